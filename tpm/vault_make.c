/* Keys in a TPM, made by a ceremony's templates, and signing with one. */
#include "vault_internal.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* --- Made here --- */

static enum tbs_err find_template(const char *name, enum template_profile profile,
                                  const struct key_template **ret, struct tbs_diag *diag)
{
    enum tbs_err err = template_find(name, ret, diag);
    if (err == TBS_ERR_NOT_FOUND || (err == TBS_OK && !template_is_of_tpm(*ret)))
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "'%.60s' is no template for keys in a TPM",
                        name);
    if (err == TBS_OK && ((*ret)->profiles & 1u << profile) == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "keys of template %s are not made %s", name,
                        profile == TEMPLATE_SITE_ONLY ? "to stay" : "to be copied");
    return err;
}

enum tbs_err tpm_new_blob(struct tpm_vault *v, const char *id, struct tpm_blob *ret_blob,
                          struct tbs_diag *diag)
{
    struct tpm_blob blob = {0};
    if (strlen(id) > CUSTODY_KEY_ID_MAX || strcmp(id, TPM_TOKEN_FILE) == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a TPM's key cannot have the id %.80s", id);
    snprintf(blob.id, sizeof blob.id, "%s", id);
    snprintf(blob.label, sizeof blob.label, "%s", id);
    VAULT_TRY(tpm_vault_use(v, diag));
    VAULT_TRY(tpm_vault_none(v, id, diag));
    *ret_blob = blob;
    return TBS_OK;
}

/* The algorithm stands in the template's name. */
enum tbs_err tpm_template_named(const char *name, enum template_profile profile,
                                const struct tpm_blob *blob, TPM2B_PUBLIC *ret_public,
                                struct tbs_diag *diag)
{
    const struct key_template *of;
    VAULT_TRY(find_template(name, profile, &of, diag));
    if (strncmp(name, "attest-", 7) == 0)
        return tpm_attest_template(blob->id, ret_public, diag);
    enum custody_alg alg = strstr(name, "-ecdsa-p256-")  ? CUSTODY_ECDSA_P_256
                           : strstr(name, "-hmac-sha1-") ? CUSTODY_HMAC_SHA_1
                                                         : CUSTODY_HMAC_SHA_256;
    return tpm_key_template(blob, alg, ret_public, diag);
}

enum tbs_err tpm_object_keep(struct tpm_vault *v, const struct tpm_blob *blob, json_t **ret_key,
                             struct tbs_diag *diag)
{
    struct tpm_object o;
    json_t *key = NULL;
    VAULT_TRY(tpm_object_try(v, blob, &o, diag));
    enum tbs_err err = tpm_object_tell(v, &o, &key, diag);
    tpm_object_drop(v, &o);
    if (err == TBS_OK)
        err = tpm_blob_write(v->dir, blob, diag);
    if (err == TBS_OK)
        *ret_key = key;
    else
        json_decref(key);
    return err;
}

static enum tbs_err make(struct tpm_vault *v, const TPM2B_PUBLIC *template, struct tpm_blob *blob,
                         json_t **ret_key, struct tbs_diag *diag)
{
    VAULT_TRY(tpm_create(&v->token, v->token.storage, template, &v->token.pin, blob, diag));
    return tpm_object_keep(v, blob, ret_key, diag);
}

enum tbs_err tpm_vault_generate(struct vault *base, const char *template, const char *id,
                                json_t **ret_key, struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    struct tpm_blob blob;
    TPM2B_PUBLIC public;
    VAULT_TRY(tpm_new_blob(v, id, &blob, diag));
    VAULT_TRY(tpm_template_named(template, TEMPLATE_SITE_ONLY, &blob, &public, diag));
    return TPM_WITNESSED(v, "TPM2_Create", json_pack("{s:s, s:s}", "id", id, "template", template),
                         diag, make(v, &public, &blob, ret_key, why));
}

/* --- Signing --- */

static enum tbs_err put_der(const uint8_t raw[CUSTODY_RAW_SIGNATURE_LEN], struct tbs_buf *ret,
                            struct tbs_diag *diag)
{
    enum { HALF = CUSTODY_RAW_SIGNATURE_LEN / 2 };
    unsigned char *der = NULL;
    BIGNUM *r = BN_bin2bn(raw, HALF, NULL), *s = BN_bin2bn(raw + HALF, HALF, NULL);
    ECDSA_SIG *signature = ECDSA_SIG_new();
    int len = 0;
    if (r && s && signature && ECDSA_SIG_set0(signature, r, s) == 1) {
        r = s = NULL; /* the signature's now */
        len = i2d_ECDSA_SIG(signature, &der);
    }
    if (len > 0)
        tbs_put_bytes(ret, tbs_bytes(der, (size_t)len));
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    OPENSSL_free(der);
    return len > 0 && !ret->failed
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL cannot write a signature");
}

/* The PIN authorises each command anyway. */
enum tbs_err tpm_vault_sign(struct vault *base, const char *id, struct tbs_bytes pin,
                            struct tbs_bytes octets, struct tbs_buf *ret_signature,
                            struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    struct tpm_object o;
    uint8_t digest[CUSTODY_DIGEST_LEN], raw[CUSTODY_RAW_SIGNATURE_LEN];
    (void)pin;
    if (EVP_Digest(octets.data, octets.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do SHA-256");
    VAULT_TRY(tpm_object_load(v, id, &o, diag));
    enum tbs_err err = tpm_sign_with(&v->token, o.handle, id, digest, raw, diag);
    tpm_object_drop(v, &o);
    return err != TBS_OK ? err : put_der(raw, ret_signature, diag);
}
