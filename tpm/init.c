/* A new token: a storage key in a folder without one. */
#include "tpm.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum tbs_err tpm_set_pin(struct tpm_token *token, const struct tbs_secret *pin,
                         struct tbs_diag *diag)
{
    if (pin->len > TPM_PIN_MAX)
        return tbs_fail(diag, TBS_ERR_CONFIG, "a TPM takes a PIN of at most %d octets",
                        TPM_PIN_MAX);
    token->pin.size = (UINT16)pin->len;
    memcpy(token->pin.buffer, pin->data, pin->len);
    return TBS_OK;
}

/* The PIN must be taken as new by a TPM that is ours; the bus is trusted this once. */
enum tbs_err tpm_make_storage(struct tpm_token *token, const char *label, struct tbs_diag *diag)
{
    struct tpm_blob blob = {.id = TPM_TOKEN_FILE};
    TPM2B_PUBLIC template;
    snprintf(blob.label, sizeof blob.label, "%s", label);
    enum tbs_err err = tpm_make_primary(token, &token->storage, diag);
    if (err == TBS_OK)
        err = tpm_start_session(token, token->storage, diag);
    if (err == TBS_OK)
        err = tpm_storage_template(&template, diag);
    if (err == TBS_OK)
        err = tpm_create(token, token->storage, &template, &token->pin, &blob, diag);
    return err != TBS_OK ? err : tpm_blob_write(token->dir, &blob, diag);
}

static enum tbs_err check_label(const char *label, struct tbs_diag *diag)
{
    size_t len = label ? strlen(label) : 0;
    for (size_t i = 0; i < len; i++)
        if (label[i] < ' ' || label[i] > '~')
            len = 0;
    return len > 0 && len <= 32
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_INVALID, "a token's name has 1 to 32 octets of plain text");
}

enum tbs_err tpm_init_token(const struct custody_token_config *config, const char *token_label,
                            const char *so_pin_source, const char *user_pin_source,
                            struct tbs_diag *diag)
{
    struct tpm_token token = {.dir = config->keys, .encrypts = !config->plain_bus};
    TBS_SECRET_AUTO struct tbs_secret pin = {0};
    struct tpm_blob there;
    (void)so_pin_source; /* a TPM's owner is no officer of ours */
    enum tbs_err err = check_label(token_label, diag);
    if (err == TBS_OK)
        err = tpm_check_tcti(config->tcti, diag);
    if (err == TBS_OK && tpm_blob_read(token.dir, TPM_TOKEN_FILE, &there, NULL) == TBS_OK)
        err = tbs_fail(diag, TBS_ERR_EXISTS,
                       "there is a token in %.150s already; it is left as it is", token.dir);
    if (err == TBS_OK)
        err = pin_read(user_pin_source, &pin, diag);
    if (err == TBS_OK)
        err = tpm_set_pin(&token, &pin, diag);
    if (err == TBS_OK)
        err = tpm_prepare(config, diag);
    if (err == TBS_OK)
        err = tpm_connect(&token, config, diag);
    if (err == TBS_OK)
        err = tpm_make_storage(&token, token_label, diag);
    tpm_disconnect(&token);
    return err;
}
