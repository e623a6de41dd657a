/* The self-test of a PKCS#11 token. */
#ifndef TBS_PKCS11_SELFTEST_H
#define TBS_PKCS11_SELFTEST_H

#include "custody/selftest.h"

/* Fails where the token cannot be opened, or its throw-away keys cannot be removed. Whatever a
 * check finds is no failure. */
enum tbs_err p11_selftest_run(const struct custody_token_config *config,
                              const struct selftest *test, struct tbs_diag *diag);

#endif
