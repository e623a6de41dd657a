/* A TPM under trial: with throw-away keys that are in no file, so that nothing of them is left when
 * the TPM forgets them. The token's own keys are not looked at. */
#ifndef TBS_TPM_TRIAL_H
#define TBS_TPM_TRIAL_H

#include "custody/bench.h"
#include "custody/selftest.h"

/* Opens it for bench_open. The rivals are the library alone, in the clear and in a session. */
enum tbs_err tpm_bench_token(const struct custody_token_config *config,
                             struct bench_token *ret_token, struct tbs_diag *diag);
/* Fails where the token cannot be opened. Whatever a check finds is no failure. */
enum tbs_err tpm_selftest_run(const struct custody_token_config *config,
                              const struct selftest *test, struct tbs_diag *diag);

#endif
