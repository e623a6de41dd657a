/* The TPM backend: its table, and the opening of a token. */
#include "tpm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

/* --- Opening --- */

static void end(struct tpm_token *token)
{
    tpm_disconnect(token);
    pthread_mutex_destroy(&token->lock);
    free(token);
}

static void tpm_close(void *token)
{
    end(token);
}

/* After the algorithm's two octets, as many of the Name as a serial has digits for. */
static enum tbs_err name_serial(struct tpm_token *token, struct tbs_diag *diag)
{
    TPM2B_NAME *name;
    TSS2_RC rc = Esys_TR_GetName(token->esys, token->storage, &name);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "naming the storage key of %.160s", token->dir);
    tbs_hex(tbs_bytes(name->name + 2, CUSTODY_TOKEN_SERIAL_MAX / 2), token->serial);
    Esys_Free(name);
    return TBS_OK;
}

/* The primary gives its place to the keys as soon as the storage key is in. */
static enum tbs_err load_storage(struct tpm_token *token, struct tbs_diag *diag)
{
    struct tpm_blob blob;
    ESYS_TR primary = ESYS_TR_NONE;
    enum tbs_err err = tpm_blob_read(token->dir, TPM_TOKEN_FILE, &blob, diag);
    if (err == TBS_ERR_NOT_FOUND)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "there is no token in %.200s (token.json is missing)", token->dir);
    if (err == TBS_OK)
        err = tpm_judge_storage(&blob.public, diag);
    if (err == TBS_OK)
        err = tpm_make_primary(token, &primary, diag);
    if (err == TBS_OK)
        err = tpm_load(token, primary, ESYS_TR_PASSWORD, &blob, &token->storage, diag);
    tpm_flush(token, &primary);
    if (err != TBS_OK)
        return err;
    snprintf(token->name, sizeof token->name, "%s", blob.label);
    return name_serial(token, diag);
}

/* Has the storage key authorise a policy that nobody needs: an answer to whether the PIN is right
 * also where there is no key yet. */
static enum tbs_err try_pin(struct tpm_token *token, struct tbs_diag *diag)
{
    static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    static const TPM2B_NONCE no_nonce;
    static const TPM2B_DIGEST no_cp_hash;
    ESYS_TR trial = ESYS_TR_NONE;
    TSS2_RC rc =
        TPM_CALL(token, StartAuthSession, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                 ESYS_TR_NONE, NULL, TPM2_SE_TRIAL, &none, TPM2_ALG_SHA256, &trial);
    if (rc == TSS2_RC_SUCCESS)
        rc = TPM_CALL(token, PolicySecret, token->storage, trial, tpm_session(token, false, false),
                      ESYS_TR_NONE, ESYS_TR_NONE, &no_nonce, &no_cp_hash, &no_nonce, 0, NULL, NULL);
    tpm_flush(token, &trial);
    return rc == TSS2_RC_SUCCESS ? TBS_OK
                                 : tpm_fail(diag, rc, "giving the PIN to token '%s'", token->name);
}

enum tbs_err tpm_enter(struct tpm_token *token, const struct tbs_secret *pin, struct tbs_diag *diag)
{
    enum tbs_err err = tpm_set_pin(token, pin, diag);
    if (err == TBS_OK)
        err = load_storage(token, diag);
    if (err == TBS_OK)
        err = tpm_start_session(token, token->storage, diag);
    return err != TBS_OK ? err : try_pin(token, diag);
}

static enum tbs_err open_up(struct tpm_token *token, const struct custody_opening *opening,
                            struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret pin = {0};
    /* First, since a sealed PIN takes a connection of its own. */
    enum tbs_err err = pin_obtain(opening->pin, &pin, diag);
    if (err == TBS_OK)
        err = tpm_connect(token, opening->config, diag);
    return err != TBS_OK ? err : tpm_enter(token, &pin, diag);
}

static enum tbs_err tpm_open(const struct custody_opening *opening, void **ret_token,
                             struct tbs_diag *diag)
{
    struct tpm_token *token = calloc(1, sizeof *token);
    if (!token)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening the token");
    pthread_mutex_init(&token->lock, NULL);
    token->dir = opening->config->keys;
    token->encrypts = !opening->config->plain_bus;
    token->stats = opening->stats;
    token->origin = opening->origin;
    token->origin_ctx = opening->origin_ctx;
    if (token->stats)
        tpm_name_stats(token->stats);
    enum tbs_err err = open_up(token, opening, diag);
    if (err != TBS_OK) {
        end(token);
        return err;
    }
    *ret_token = token;
    return TBS_OK;
}

/* There is no login that could be gone alone: only with all that was loaded, and then the token
 * must be opened anew. */
static enum tbs_err tpm_login(void *token_, struct tbs_diag *diag)
{
    struct tpm_token *token = token_;
    TPM_IN_TURN(token);
    return try_pin(token, diag);
}

/* --- The rest --- */

static enum tbs_err tpm_check(const struct custody_token_config *config, struct tbs_diag *diag)
{
    enum tbs_err err = tpm_check_tcti(config->tcti, diag);
    if (err != TBS_OK)
        return err;
    if (!config->keys || config->keys[0] != '/')
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "keys must be the absolute path of the folder with the TPM's key files");
    if (config->n_quirks > 0)
        return tbs_fail(diag, TBS_ERR_CONFIG, "'%.32s' is not a quirk of a TPM; there is none",
                        config->quirks[0]);
    return TBS_OK;
}

static void tpm_describe(void *token_, char *ret_name, size_t size)
{
    const struct tpm_token *token = token_;
    snprintf(ret_name, size, "%s", token->name);
}

static void tpm_serial(void *token_, char ret_serial[CUSTODY_TOKEN_SERIAL_MAX + 1])
{
    const struct tpm_token *token = token_;
    memcpy(ret_serial, token->serial, sizeof token->serial);
}

static const struct custody_quirk *tpm_quirks(const void *token, size_t *ret_n)
{
    (void)token;
    *ret_n = 0;
    return NULL;
}

/* All threads share the one session with the TPM, which does one thing at a time anyway. */
static enum tbs_err tpm_session_open(void *token, void **ret_session, struct tbs_diag *diag)
{
    (void)diag;
    *ret_session = token;
    return TBS_OK;
}

static void tpm_session_close(void *session)
{
    (void)session;
}

static const struct custody_ops ops = {
    .version = CUSTODY_OPS_VERSION,
    .name = "tpm",
    .description = "a TPM 2.0",
    .config_help = "tcti: device:/dev/tpmrm0, swtpm:... or tabrmd:.... keys: the folder with the "
                   "key files. pin_source: fd:N, file:/path, credential:NAME, tpm:/path or "
                   "prompt.",
    .in_turn = true,
    .check = tpm_check,
    .prepare = tpm_prepare,
    .open = tpm_open,
    .close = tpm_close,
    .login = tpm_login,
    .classify = tpm_classify,
    .describe = tpm_describe,
    .serial = tpm_serial,
    .quirks = tpm_quirks,
    .session_open = tpm_session_open,
    .session_close = tpm_session_close,
    .list_keys = tpm_list_keys,
    .generate_key = tpm_generate_key,
    .destroy_key = tpm_destroy_key,
    .random = tpm_random,
    .hmac = tpm_hmac,
    .sign = tpm_sign,
    .init_token = tpm_init_token,
};

enum tbs_err custody_backend_tpm(const struct custody_ops **ret_ops, struct tbs_diag *diag)
{
    (void)diag;
    *ret_ops = &ops;
    return TBS_OK;
}
