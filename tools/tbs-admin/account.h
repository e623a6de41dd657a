/* The account file of tbs(1), from --account-out and --url. */
#ifndef TBS_TOOLS_ADMIN_ACCOUNT_H
#define TBS_TOOLS_ADMIN_ACCOUNT_H

#include "server/config.h"

/* Whether the options and the configuration say enough for one; fine without --account-out. */
enum tbs_err account_check_options(const struct config *config, struct tbs_diag *diag);
/* Makes the file, new, for the user that speaks as `identity` with the key in --psk-out. */
enum tbs_err account_write(const struct config *config, const char *identity,
                           struct tbs_diag *diag);

#endif
