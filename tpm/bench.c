/* What a TPM carries, beside what the library alone does with it. */
#include "trial_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- The library alone --- */

static enum tbs_err raw_hmac(void *session, ESYS_TR authorisation, const struct custody_key *key,
                             struct tbs_bytes data, uint8_t *ret_mac, struct tbs_diag *diag)
{
    struct tpm_token *token = session;
    TPM2B_MAX_BUFFER buffer = {.size = (UINT16)data.len};
    TPM2B_DIGEST *mac;
    ESYS_TR handle;
    memcpy(buffer.buffer, data.data, data.len);
    enum tbs_err err = tpm_key_handle(token, key, &handle, diag);
    if (err != TBS_OK)
        return err;
    TSS2_RC rc = Esys_HMAC(token->esys, handle, authorisation, ESYS_TR_NONE, ESYS_TR_NONE, &buffer,
                           TPM2_ALG_NULL, &mac);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "a MAC by the library alone");
    memcpy(ret_mac, mac->buffer, mac->size < CUSTODY_MAC_MAX ? mac->size : CUSTODY_MAC_MAX);
    Esys_Free(mac);
    return TBS_OK;
}

static enum tbs_err raw_random(void *session, ESYS_TR beside, uint8_t *out, size_t len,
                               struct tbs_diag *diag)
{
    struct tpm_token *token = session;
    TPM2B_DIGEST *random;
    TSS2_RC rc =
        Esys_GetRandom(token->esys, beside, ESYS_TR_NONE, ESYS_TR_NONE, (UINT16)len, &random);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "random numbers by the library alone");
    memcpy(out, random->buffer, random->size < len ? random->size : len);
    Esys_Free(random);
    return TBS_OK;
}

static enum tbs_err plain_hmac(void *session, const struct custody_key *key, struct tbs_bytes data,
                               uint8_t *ret_mac, struct tbs_diag *diag)
{
    return raw_hmac(session, ESYS_TR_PASSWORD, key, data, ret_mac, diag);
}

static enum tbs_err plain_random(void *session, uint8_t *out, size_t len, struct tbs_diag *diag)
{
    return raw_random(session, ESYS_TR_NONE, out, len, diag);
}

/* Its attributes are what the backend's commands left; they are set anew all the same. */
static ESYS_TR protecting(struct tpm_token *token, TPMA_SESSION what)
{
    Esys_TRSess_SetAttributes(token->esys, token->session, TPMA_SESSION_CONTINUESESSION | what,
                              0xFF);
    return token->session;
}

static enum tbs_err session_hmac(void *session, const struct custody_key *key,
                                 struct tbs_bytes data, uint8_t *ret_mac, struct tbs_diag *diag)
{
    return raw_hmac(session, protecting(session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT), key,
                    data, ret_mac, diag);
}

static enum tbs_err session_random(void *session, uint8_t *out, size_t len, struct tbs_diag *diag)
{
    return raw_random(session, protecting(session, TPMA_SESSION_ENCRYPT), out, len, diag);
}

static const struct custody_ops plain = {.hmac = plain_hmac, .random = plain_random};
static const struct custody_ops in_session = {.hmac = session_hmac, .random = session_random};
static const struct bench_rival rivals[] = {
    {"raw, in the clear", &plain},
    {"raw, in a session", &in_session},
};

/* --- The token --- */

static enum tbs_err generate(void *trial, enum custody_alg alg, struct custody_key *ret_key,
                             struct tbs_diag *diag)
{
    return tpm_trial_generate(trial, alg, ret_key, diag);
}

static enum tbs_err protect(void *trial_, struct tbs_diag *diag)
{
    struct tpm_trial *trial = trial_;
    struct tpm_token *token = trial->token;
    TPM_IN_TURN(token);
    tpm_flush(token, &token->session);
    return tpm_start_session(token, token->storage, diag);
}

static enum tbs_err end(void *trial, struct tbs_diag *diag)
{
    (void)diag;
    tpm_trial_close(trial);
    free(trial);
    return TBS_OK;
}

enum tbs_err tpm_bench_token(const struct custody_token_config *config,
                             struct bench_token *ret_token, struct tbs_diag *diag)
{
    struct tpm_trial *trial = calloc(1, sizeof *trial);
    if (!trial)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory measuring a token");
    enum tbs_err err = tpm_trial_open(config, trial, diag);
    if (err != TBS_OK) {
        free(trial);
        return err;
    }
    *ret_token = (struct bench_token){
        .ops = trial->ops,
        .token = trial->token,
        .trial = trial,
        .generate = generate,
        .protect = protect,
        .close = end,
        .rivals = rivals,
        .n_rivals = sizeof rivals / sizeof *rivals,
    };
    return TBS_OK;
}
