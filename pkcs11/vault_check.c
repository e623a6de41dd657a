/* Check values and public keys, computed from what a key does; signatures. */
#include "vault_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

/* --- Check values --- */

#define CHECK_LEN 16

static const char hmac_method[] = "hmac-empty/16", gcm_method[] = "aes-256-gcm-block";
static const uint8_t zeros[16];

/* What is sealed for a check value: its IV, so many zeros, and the tag. */
#define BLOCK_LEN (CUSTODY_GCM_IV_LEN + sizeof zeros + CUSTODY_GCM_TAG_LEN)

/* The vault's session as the rest of the backend takes it. */
static struct p11_session session_of(struct vault *v)
{
    return (struct p11_session){.token = &v->token, .handle = v->session, .fresh = true};
}

static struct custody_key key_of(struct vault *v, CK_OBJECT_HANDLE object, const char *id)
{
    struct custody_key key = {.alg = CUSTODY_HMAC_SHA_256, .handle = object};
    CK_ULONG type = CKK_GENERIC_SECRET, mechanism = CKM_SHA256_HMAC, len;
    vault_read(v, object, CKA_KEY_TYPE, &type, sizeof type, &len);
    vault_read(v, object, CKA_ALLOWED_MECHANISMS, &mechanism, sizeof mechanism, &len);
    if (type == CKK_AES)
        key.alg = CUSTODY_AES_256_GCM;
    else if (mechanism == CKM_SHA_1_HMAC)
        key.alg = CUSTODY_HMAC_SHA_1;
    snprintf(key.id, sizeof key.id, "%s", id);
    return key;
}

static json_t *check_of(const char *method, struct tbs_bytes value)
{
    char hex[2 * BLOCK_LEN + 1];
    tbs_hex(value, hex);
    return json_pack("{s:s, s:s}", "method", method, "value", hex);
}

static enum tbs_err hmac_check(struct vault *v, const struct custody_key *key, json_t **ret_check,
                               struct tbs_diag *diag)
{
    struct p11_session session = session_of(v);
    uint8_t mac[CUSTODY_MAC_MAX];
    enum tbs_err err = p11_hmac(&session, key, tbs_bytes(NULL, 0), mac, diag);
    if (err == TBS_OK)
        *ret_check = check_of(hmac_method, tbs_bytes(mac, CHECK_LEN));
    OPENSSL_cleanse(mac, sizeof mac);
    return err;
}

static enum tbs_err gcm_check(struct vault *v, const struct custody_key *key, json_t **ret_check,
                              struct tbs_diag *diag)
{
    struct p11_session session = session_of(v);
    uint8_t block[BLOCK_LEN];
    struct custody_aead aead = {.iv = block, .aad = tbs_bytes_str(key->id)};
    VAULT_TRY(p11_random(&session, block, CUSTODY_GCM_IV_LEN, diag));
    VAULT_TRY(p11_seal(&session, key, &aead, tbs_bytes(zeros, sizeof zeros),
                       block + CUSTODY_GCM_IV_LEN, diag));
    *ret_check = check_of(gcm_method, tbs_bytes(block, sizeof block));
    return TBS_OK;
}

/* Whether it opens that block to zeros. Some tokens answer a wrong tag as if they had failed. */
static enum tbs_err opens(struct vault *v, const struct custody_key *key, const char *value,
                          bool *ret_opens, struct tbs_diag *diag)
{
    struct p11_session session = session_of(v);
    uint8_t block[BLOCK_LEN], opened[BLOCK_LEN];
    struct custody_aead aead = {.iv = block, .aad = tbs_bytes_str(key->id)};
    if (!tbs_unhex(value, block, sizeof block))
        return tbs_fail(diag, TBS_ERR_INVALID, "a check value of method %s has %zu octets in hex",
                        gcm_method, sizeof block);
    enum tbs_err err = p11_unseal(
        &session, key, &aead, tbs_bytes(block + CUSTODY_GCM_IV_LEN, BLOCK_LEN - CUSTODY_GCM_IV_LEN),
        opened, diag);
    if (err == TBS_ERR_UNAVAILABLE)
        return err;
    *ret_opens = err == TBS_OK && memcmp(opened, zeros, sizeof zeros) == 0;
    return TBS_OK;
}

static enum tbs_err spki_check(struct vault *v, CK_OBJECT_HANDLE object, json_t **ret_check,
                               struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    uint8_t hash[32];
    char hex[65];
    VAULT_TRY(vault_spki(v, object, &spki, diag));
    if (EVP_Digest(spki.data, spki.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "SHA-256 failed in the crypto library");
    tbs_hex(tbs_bytes(hash, sizeof hash), hex);
    *ret_check = json_pack("{s:s, s:s}", "method", "spki-sha256", "value", hex);
    return TBS_OK;
}

enum tbs_err vault_check_object(struct vault *v, CK_OBJECT_HANDLE object, json_t **ret_check,
                                struct tbs_diag *diag)
{
    CK_ULONG class = CKO_SECRET_KEY, len, id_len = 0;
    char id[CUSTODY_KEY_ID_MAX + 1] = "";
    vault_read(v, object, CKA_CLASS, &class, sizeof class, &len);
    vault_read(v, object, CKA_ID, id, sizeof id - 1, &id_len);
    if (class != CKO_SECRET_KEY)
        return spki_check(v, object, ret_check, diag);
    struct custody_key key = key_of(v, object, id);
    return key.alg == CUSTODY_AES_256_GCM ? gcm_check(v, &key, ret_check, diag)
                                          : hmac_check(v, &key, ret_check, diag);
}

static const char *text_of(const json_t *check, const char *name)
{
    const char *text = json_string_value(json_object_get(check, name));
    return text ? text : "";
}

/* A key that may not be used so is another than one that gave this check value. */
static bool gives_none(enum tbs_err err)
{
    return err == TBS_ERR_CONFIG || err == TBS_ERR_UNSUPPORTED;
}

enum tbs_err vault_has_check(struct vault *v, CK_OBJECT_HANDLE object, const json_t *check,
                             bool *ret_same, struct tbs_diag *diag)
{
    struct custody_key key = key_of(v, object, text_of(check, "id"));
    bool block = strcmp(text_of(check, "method"), gcm_method) == 0, same = false;
    json_t *is = NULL;
    enum tbs_err err = TBS_OK;
    if (block && key.alg == CUSTODY_AES_256_GCM)
        err = opens(v, &key, text_of(check, "value"), &same, diag);
    else if (!block && key.alg != CUSTODY_AES_256_GCM)
        err = vault_check_object(v, object, &is, diag);
    if (is)
        same = strcmp(text_of(is, "method"), text_of(check, "method")) == 0 &&
               strcmp(text_of(is, "value"), text_of(check, "value")) == 0;
    json_decref(is);
    if (err != TBS_OK && !gives_none(err))
        return err;
    *ret_same = same;
    return TBS_OK;
}

/* A pair is told by its public half. */
static enum tbs_err find_checked(struct vault *v, const char *id, CK_OBJECT_HANDLE *ret_object,
                                 struct tbs_diag *diag)
{
    enum tbs_err err = vault_find(v, CKO_SECRET_KEY, id, ret_object, diag);
    return err == TBS_ERR_NOT_FOUND ? vault_find(v, CKO_PUBLIC_KEY, id, ret_object, diag) : err;
}

enum tbs_err vault_check(struct vault *vault, const char *id, json_t **ret_check,
                         struct tbs_diag *diag)
{
    CK_OBJECT_HANDLE object;
    VAULT_TRY(find_checked(vault, id, &object, diag));
    return vault_check_object(vault, object, ret_check, diag);
}

enum tbs_err vault_confirm(struct vault *vault, const char *id, const json_t *check,
                           struct tbs_diag *diag)
{
    CK_OBJECT_HANDLE object;
    VAULT_TRY(find_checked(vault, id, &object, diag));
    json_t *with_id = json_pack("{s:s, s:s, s:s}", "method", text_of(check, "method"), "value",
                                text_of(check, "value"), "id", id);
    bool same = false;
    enum tbs_err err = vault_has_check(vault, object, with_id, &same, diag);
    json_decref(with_id);
    if (err != TBS_OK)
        return err;
    return same ? TBS_OK
                : tbs_fail(diag, TBS_ERR_AUTH,
                           "key %s on token '%s' is another key: its check value is not %.80s", id,
                           vault->token.name, text_of(check, "value"));
}

/* --- Public keys --- */

static EVP_PKEY *public_of(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *read_ec(struct vault *v, CK_OBJECT_HANDLE object)
{
    uint8_t point[80];
    CK_ULONG len;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build && vault_read(v, object, CKA_EC_POINT, point, sizeof point, &len) && len > 2 &&
        point[0] == 0x04 && point[1] == len - 2 &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point + 2, len - 2) == 1)
        key = public_of("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *read_rsa(struct vault *v, CK_OBJECT_HANDLE object)
{
    uint8_t n[1024], e[16];
    CK_ULONG n_len, e_len;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    BIGNUM *modulus = NULL, *exponent = NULL;
    if (build && vault_read(v, object, CKA_MODULUS, n, sizeof n, &n_len) &&
        vault_read(v, object, CKA_PUBLIC_EXPONENT, e, sizeof e, &e_len) &&
        (modulus = BN_bin2bn(n, (int)n_len, NULL)) && (exponent = BN_bin2bn(e, (int)e_len, NULL)) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = public_of("RSA", build);
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(build);
    return key;
}

enum tbs_err vault_spki(struct vault *v, CK_OBJECT_HANDLE object, struct tbs_buf *ret_spki,
                        struct tbs_diag *diag)
{
    CK_ULONG type = CK_UNAVAILABLE_INFORMATION, len;
    unsigned char *der = NULL;
    vault_read(v, object, CKA_KEY_TYPE, &type, sizeof type, &len);
    EVP_PKEY *key = type == CKK_RSA ? read_rsa(v, object) : read_ec(v, object);
    int size = key ? i2d_PUBKEY(key, &der) : 0;
    if (size > 0)
        tbs_put_bytes(ret_spki, tbs_bytes(der, (size_t)size));
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    return size > 0 && !ret_spki->failed
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_MALFORMED,
                          "token '%s' tells a public key that is none of RSA or P-256",
                          v->token.name);
}

/* --- Signing --- */

enum tbs_err vault_sign(struct vault *vault, const char *id, struct tbs_bytes pin,
                        struct tbs_bytes octets, struct tbs_buf *ret_signature,
                        struct tbs_diag *diag)
{
    CK_FUNCTION_LIST *f = vault->token.f;
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_HANDLE key;
    CK_BBOOL again = CK_FALSE;
    CK_ULONG len, raw_len = 64;
    uint8_t hash[32], raw[64];
    VAULT_TRY(vault_find(vault, CKO_PRIVATE_KEY, id, &key, diag));
    vault_read(vault, key, CKA_ALWAYS_AUTHENTICATE, &again, sizeof again, &len);
    if (EVP_Digest(octets.data, octets.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "SHA-256 failed in the crypto library");
    CK_RV rv = f->C_SignInit(vault->session, &mechanism, key);
    if (rv == CKR_OK && again)
        rv = f->C_Login(vault->session, CKU_CONTEXT_SPECIFIC,
                        pin.len > 0 ? (unsigned char *)pin.data : NULL, pin.len);
    if (rv == CKR_OK)
        rv = f->C_Sign(vault->session, hash, sizeof hash, raw, &raw_len);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "signing with key %s", id);
    return p11_ecdsa_der(raw, raw_len, ret_signature)
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CRYPTO, "a signature of key %s is none", id);
}
