/* The audit trail of the programs: opened as the configuration says, told of what they decide. */
#ifndef TBS_TOOLS_AUDIT_TRAIL_H
#define TBS_TOOLS_AUDIT_TRAIL_H

#include "audit/audit.h"
#include "kms/kms.h"
#include "server/config.h"

/* *ret_audit stays NULL where the configuration has no audit trail. custody NULL: lines only, for
 * a program that leaves the checkpoints to the daemon. */
enum tbs_err audit_trail_open(const struct config_audit *config, struct custody *custody,
                              struct audit **ret_audit, struct tbs_diag *diag);
/* What kms_worker takes; audit NULL: nobody is told. */
struct kms_audit audit_trail_of_kms(struct audit *audit);
/* The ids of all keys that are found now. */
json_t *audit_trail_keys(struct custody *custody);
/* Appends the trail's part of /metrics; nothing for NULL. */
void audit_trail_metrics(struct audit *audit, struct tbs_buf *text);

#endif
