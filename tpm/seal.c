/* PINs sealed in the TPM. */
#include "sealed.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum tbs_err sealed_pin_prepare(const char *tcti, struct tbs_diag *diag)
{
    enum tbs_err err = tpm_check_tcti(tcti, diag);
    return err != TBS_OK ? err : tpm_prepare(NULL, diag);
}

void sealed_pin_free(struct sealed_pin *sealed)
{
    free(sealed);
}

enum tbs_err sealed_connect(struct tpm_token *token, const char *tcti, struct tbs_diag *diag)
{
    const struct custody_token_config config = {.tcti = tcti};
    *token = (struct tpm_token){.encrypts = true};
    enum tbs_err err = tpm_check_tcti(tcti, diag);
    return err != TBS_OK ? err : tpm_connect(token, &config, diag);
}

/* No userWithAuth: the policy is the only way in. noDA: nothing can be guessed. */
bool sealed_template(const struct sealed_pin *sealed, TPM2B_PUBLIC *ret_public)
{
    *ret_public = (TPM2B_PUBLIC){
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                           TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_NODA,
                       .authPolicy.size = SEALED_DIGEST_LEN,
                       .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    return policy_authorize(sealed, ret_public->publicArea.authPolicy.buffer);
}

enum tbs_err sealed_name_primary(struct tpm_token *token, uint8_t ret_name[SEALED_NAME_LEN],
                                 struct tbs_diag *diag)
{
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = Esys_TR_GetName(token->esys, token->storage, &name);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "naming the primary");
    bool fits = name->size == SEALED_NAME_LEN;
    if (fits)
        memcpy(ret_name, name->name, SEALED_NAME_LEN);
    Esys_Free(name);
    return fits ? TBS_OK : tbs_fail(diag, TBS_ERR_TOKEN, "the TPM's primary has no SHA-256 Name");
}

static enum tbs_err create(struct tpm_token *token, struct tbs_bytes pin, struct sealed_pin *sealed,
                           struct tbs_diag *diag)
{
    static const TPM2B_DATA outside;
    static const TPML_PCR_SELECTION at_creation;
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.data.size = (UINT16)pin.len};
    TPM2B_PUBLIC template, *public = NULL;
    TPM2B_PRIVATE *private = NULL;
    if (!sealed_template(sealed, &template))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to make a policy's digest");
    memcpy(sensitive.sensitive.data.buffer, pin.data, pin.len);
    TSS2_RC rc = Esys_Create(token->esys, token->storage, tpm_session(token, true, true),
                             ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template, &outside,
                             &at_creation, &private, &public, NULL, NULL, NULL);
    OPENSSL_cleanse(&sensitive, sizeof sensitive);
    tpm_wipe_traces(token);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "sealing the PIN");
    sealed->public = *public;
    sealed->private = *private;
    Esys_Free(public);
    Esys_Free(private);
    return TBS_OK;
}

/* As a token's first key: the TPM is believed to be ours this once. */
static enum tbs_err seal(const char *tcti, struct tbs_bytes pin, struct sealed_pin *sealed,
                         struct tbs_diag *diag)
{
    struct tpm_token token;
    enum tbs_err err = sealed_connect(&token, tcti, diag);
    if (err == TBS_OK)
        err = tpm_make_primary(&token, &token.storage, diag);
    if (err == TBS_OK)
        err = sealed_name_primary(&token, sealed->primary, diag);
    if (err == TBS_OK)
        err = tpm_start_session(&token, token.storage, diag);
    if (err == TBS_OK)
        err = create(&token, pin, sealed, diag);
    tpm_disconnect(&token);
    return err;
}

enum tbs_err sealed_pin_make(const char *tcti, const char *path, struct tbs_bytes pin,
                             struct tbs_bytes authority, struct sealed_pin **ret_sealed,
                             struct tbs_diag *diag)
{
    TPM2B_PUBLIC key;
    if (pin.len == 0 || pin.len > SEALED_PIN_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a TPM seals a PIN of at most %d octets",
                        SEALED_PIN_MAX);
    enum tbs_err err = authority_public(authority, &key, diag);
    if (err != TBS_OK)
        return err;
    struct sealed_pin *sealed = calloc(1, sizeof *sealed);
    if (!sealed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory sealing a PIN");
    snprintf(sealed->path, sizeof sealed->path, "%s", path);
    memcpy(sealed->authority, authority.data, authority.len);
    sealed->authority_len = authority.len;
    if (RAND_bytes(sealed->reference, sizeof sealed->reference) != 1)
        err = tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library gives no random octets");
    if (err == TBS_OK)
        err = seal(tcti, pin, sealed, diag);
    if (err == TBS_OK)
        *ret_sealed = sealed;
    else
        free(sealed);
    return err;
}
