/* Pairs: the public half as others know it, and what shows that a private one belongs to it. */
#include "vault_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#define HASH_LEN 32
#define SIGNATURE_LEN 64 /* P-256: r and s */

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

static EVP_PKEY *read_ec(struct p11_vault *v, CK_OBJECT_HANDLE object)
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

static EVP_PKEY *read_rsa(struct p11_vault *v, CK_OBJECT_HANDLE object)
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

enum tbs_err vault_spki(struct p11_vault *v, CK_OBJECT_HANDLE object, struct tbs_buf *ret_spki,
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

/* Logs in anew for this one signature where the key asks for it. */
static CK_RV sign_hash(struct p11_vault *v, CK_OBJECT_HANDLE key, struct tbs_bytes pin,
                       uint8_t hash[HASH_LEN], uint8_t ret_raw[SIGNATURE_LEN], CK_ULONG *ret_len)
{
    CK_FUNCTION_LIST *f = v->token.f;
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BBOOL again = CK_FALSE;
    CK_ULONG len;
    *ret_len = SIGNATURE_LEN;
    vault_read(v, key, CKA_ALWAYS_AUTHENTICATE, &again, sizeof again, &len);
    CK_RV rv = f->C_SignInit(v->session, &mechanism, key);
    if (rv == CKR_OK && again)
        rv = f->C_Login(v->session, CKU_CONTEXT_SPECIFIC,
                        pin.len > 0 ? (unsigned char *)pin.data : NULL, pin.len);
    return rv == CKR_OK ? f->C_Sign(v->session, hash, HASH_LEN, ret_raw, ret_len) : rv;
}

enum tbs_err p11_vault_sign(struct vault *base, const char *id, struct tbs_bytes pin,
                            struct tbs_bytes octets, struct tbs_buf *ret_signature,
                            struct tbs_diag *diag)
{
    struct p11_vault *vault = p11_vault(base);
    CK_OBJECT_HANDLE key;
    CK_ULONG raw_len;
    uint8_t hash[HASH_LEN], raw[SIGNATURE_LEN];
    VAULT_TRY(vault_find(vault, CKO_PRIVATE_KEY, id, &key, diag));
    if (EVP_Digest(octets.data, octets.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "SHA-256 failed in the crypto library");
    CK_RV rv = sign_hash(vault, key, pin, hash, raw, &raw_len);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "signing with key %s", id);
    return p11_ecdsa_der(raw, raw_len, ret_signature)
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CRYPTO, "a signature of key %s is none", id);
}

/* --- The other half --- */

static bool verifies(EVP_PKEY *public, const uint8_t hash[HASH_LEN], const struct tbs_buf *der)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(public, NULL);
    bool good = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
                EVP_PKEY_verify(ctx, der->data, der->len, hash, HASH_LEN) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* One that may not sign is no signing key, and one of another curve is another. */
static bool is_another(CK_RV rv)
{
    return rv == CKR_KEY_FUNCTION_NOT_PERMITTED || rv == CKR_MECHANISM_INVALID ||
           rv == CKR_KEY_TYPE_INCONSISTENT || rv == CKR_BUFFER_TOO_SMALL;
}

static enum tbs_err signs_for(struct p11_vault *v, CK_OBJECT_HANDLE object, EVP_PKEY *public,
                              struct tbs_bytes pin, bool *ret_is, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf der = tbs_buf();
    uint8_t hash[HASH_LEN], raw[SIGNATURE_LEN];
    CK_ULONG len;
    VAULT_TRY(p11_vault_random(&v->base, hash, sizeof hash, diag));
    CK_RV rv = sign_hash(v, object, pin, hash, raw, &len);
    if (rv != CKR_OK && !is_another(rv))
        return p11_fail(diag, rv, "trying which key signs");
    *ret_is = rv == CKR_OK && p11_ecdsa_der(raw, len, &der) && verifies(public, hash, &der);
    return TBS_OK;
}

enum tbs_err vault_is_half(struct p11_vault *v, CK_OBJECT_HANDLE object, EVP_PKEY *public,
                           struct tbs_bytes pin, bool *ret_is, struct tbs_diag *diag)
{
    CK_ULONG type = CK_UNAVAILABLE_INFORMATION, len;
    vault_read(v, object, CKA_KEY_TYPE, &type, sizeof type, &len);
    *ret_is = false;
    if (type == CKK_EC && EVP_PKEY_is_a(public, "EC"))
        return signs_for(v, object, public, pin, ret_is, diag);
    if (type != CKK_RSA || !EVP_PKEY_is_a(public, "RSA"))
        return TBS_OK;
    EVP_PKEY *told = read_rsa(v, object);
    if (!told)
        return tbs_fail(diag, TBS_ERR_TOKEN, "token '%s' does not tell the modulus of an RSA key",
                        v->token.name);
    *ret_is = EVP_PKEY_eq(told, public) == 1;
    EVP_PKEY_free(told);
    return TBS_OK;
}
