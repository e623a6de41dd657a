/* In place of the backend where it is compiled out. */
#include "custody/backend.h"
#include "tpm/trial.h"

static enum tbs_err absent(struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                    "this program was built without the custody backend tpm; build it with "
                    "-Dtpm=enabled");
}

enum tbs_err custody_backend_tpm(const struct custody_ops **ret_ops, struct tbs_diag *diag)
{
    (void)ret_ops;
    return absent(diag);
}

enum tbs_err tpm_bench_token(const struct custody_token_config *config,
                             struct bench_token *ret_token, struct tbs_diag *diag)
{
    (void)config, (void)ret_token;
    return absent(diag);
}

enum tbs_err tpm_selftest_run(const struct custody_token_config *config,
                              const struct selftest *test, struct tbs_diag *diag)
{
    (void)config, (void)test;
    return absent(diag);
}
