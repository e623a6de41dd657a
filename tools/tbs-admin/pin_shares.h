/* A PIN of a ceremony, rebuilt from the custodians' shares. */
#ifndef TBS_TOOLS_PIN_SHARES_H
#define TBS_TOOLS_PIN_SHARES_H

#include "base/error.h"
#include "base/secret.h"

/* Asks at the terminal for as many shares as it takes, without echo. */
enum tbs_err pin_from_shares(struct tbs_secret *ret_pin, struct tbs_diag *diag);

#endif
