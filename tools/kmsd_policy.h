/* The policy of the daemon: from its configuration, told in the log and the audit trail. */
#ifndef TBS_TOOLS_KMSD_POLICY_H
#define TBS_TOOLS_KMSD_POLICY_H

#include "audit/audit.h"
#include "policies/rules.h"
#include "server/config.h"

/* kms.policy's, or the built-in one. */
enum tbs_err kmsd_policy_open(const struct config_kms *config, struct policy_live **ret_policy,
                              struct tbs_diag *diag);
/* That decisions are of these rules from here on. audit may be NULL. */
enum tbs_err kmsd_policy_tell(struct policy_live *live, const struct config_kms *config,
                              struct audit *audit, struct tbs_diag *diag);
/* Reads the rules anew and tells so. Where that fails, those in use stay. */
enum tbs_err kmsd_policy_reload(struct policy_live *live, const struct config_kms *config,
                                struct audit *audit, struct tbs_diag *diag);

#endif
