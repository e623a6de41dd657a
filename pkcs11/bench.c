#include "bench.h"

#include <stdlib.h>

#include "trial.h"

static enum tbs_err generate(void *trial, enum custody_alg alg, struct custody_key *ret_key,
                             struct tbs_diag *diag)
{
    return trial_generate(trial, alg, ret_key, diag);
}

static enum tbs_err end(void *trial, struct tbs_diag *diag)
{
    enum tbs_err err = trial_close(trial, diag);
    free(trial);
    return err;
}

enum tbs_err p11_bench_token(const struct custody_token_config *config,
                             struct bench_token *ret_token, struct tbs_diag *diag)
{
    struct trial *trial = calloc(1, sizeof *trial);
    size_t leftovers;
    if (!trial)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory measuring a token");
    enum tbs_err err = trial_open(config, trial, &leftovers, diag);
    if (err != TBS_OK) {
        free(trial);
        return err;
    }
    *ret_token = (struct bench_token){.ops = trial->ops,
                                      .token = trial->token,
                                      .trial = trial,
                                      .generate = generate,
                                      .close = end};
    return TBS_OK;
}
