#include "trial_internal.h"

enum tbs_err tpm_trial_open(const struct custody_token_config *config, struct tpm_trial *ret_trial,
                            struct tbs_diag *diag)
{
    struct tpm_trial *t = ret_trial;
    void *token;
    *t = (struct tpm_trial){.config = config,
                            .pin = {.source = config->pin_source, .records = config->pin_records}};
    struct custody_opening opening = {.config = config, .pin = &t->pin};
    enum tbs_err err = custody_backend_tpm(&t->ops, diag);
    if (err == TBS_OK)
        err = t->ops->prepare(config, diag);
    if (err == TBS_OK)
        err = t->ops->open(&opening, &token, diag);
    if (err != TBS_OK)
        pin_keeper_free(&t->pin);
    else
        t->token = token;
    return err;
}

void tpm_trial_close(struct tpm_trial *t)
{
    t->ops->close(t->token);
    pin_keeper_free(&t->pin);
}

enum tbs_err tpm_trial_generate(struct tpm_trial *t, enum custody_alg alg,
                                struct custody_key *ret_key, struct tbs_diag *diag)
{
    static const char *const ids[] = {
        [CUSTODY_HMAC_SHA_1] = "tpk-sha1-test",
        [CUSTODY_HMAC_SHA_256] = "tpk-test",
        [CUSTODY_AES_256_GCM] = "kek-test",
        [CUSTODY_ECDSA_P_256] = "audit-test",
    };
    struct tpm_blob blob;
    TPM_IN_TURN(t->token);
    enum tbs_err err = tpm_make_key(t->token, alg, ids[alg], "token trial", &blob, ret_key, diag);
    if (err == TBS_OK)
        err = tpm_keep_key(t->token, &blob, diag);
    if (err == TBS_OK)
        ret_key->handle = t->token->n_keys - 1;
    return err;
}
