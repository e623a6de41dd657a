/* Signatures of AUDIT keys: the digest and the encoding are OpenSSL's, the signing the token's. */
#include "custody/internal.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define SIGNATURE_MAX 80 /* octets of two INTEGERs of 32 octets, in DER */

static enum tbs_err crypto_failed(const char *what, struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed at %s", what);
}

static enum tbs_err digest_of(struct tbs_bytes data, uint8_t ret_digest[CUSTODY_DIGEST_LEN],
                              struct tbs_diag *diag)
{
    return EVP_Digest(data.data, data.len, ret_digest, NULL, EVP_sha256(), NULL) == 1
               ? TBS_OK
               : crypto_failed("a SHA-256 digest", diag);
}

/* --- The public key --- */

static EVP_PKEY *public_key(const uint8_t *point)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"P-256", 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point, CUSTODY_POINT_LEN),
        OSSL_PARAM_END,
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

enum tbs_err custody_public_key(const struct custody_key *audit, struct tbs_buf *ret_spki,
                                struct tbs_diag *diag)
{
    if (!audit || audit->role != CUSTODY_ROLE_AUDIT)
        return tbs_fail(diag, TBS_ERR_INVALID, "only AUDIT keys have a public key");
    uint8_t *der = NULL;
    EVP_PKEY *key = public_key(audit->point);
    int len = key ? i2d_PUBKEY(key, &der) : -1;
    EVP_PKEY_free(key);
    if (len <= 0)
        return crypto_failed("a public key", diag);
    tbs_put_bytes(ret_spki, tbs_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return ret_spki->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a public key")
                            : TBS_OK;
}

/* --- Signing --- */

static int encode(const uint8_t raw[CUSTODY_RAW_SIGNATURE_LEN], uint8_t ret_der[SIGNATURE_MAX])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, CUSTODY_RAW_SIGNATURE_LEN / 2, NULL);
    BIGNUM *s = BN_bin2bn(raw + CUSTODY_RAW_SIGNATURE_LEN / 2, CUSTODY_RAW_SIGNATURE_LEN / 2, NULL);
    int len = -1;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* the signature's now */
        len = i2d_ECDSA_SIG(sig, &ret_der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len;
}

struct signing {
    uint8_t digest[CUSTODY_DIGEST_LEN], raw[CUSTODY_RAW_SIGNATURE_LEN];
};

static enum tbs_err run_sign(const struct custody_ops *ops, void *session,
                             const struct custody_key *key, void *ctx, struct tbs_diag *diag)
{
    struct signing *s = ctx;
    return ops->sign ? ops->sign(session, key, s->digest, s->raw, diag)
                     : tbs_fail(diag, TBS_ERR_UNSUPPORTED, "custody backend %s cannot do ECDSA",
                                ops->name);
}

enum tbs_err custody_sign(struct custody_session *session, const struct custody_key *audit,
                          struct tbs_bytes data, struct tbs_buf *ret_signature,
                          struct tbs_diag *diag)
{
    if (!audit || !custody_has_key(session->custody, audit) || audit->role != CUSTODY_ROLE_AUDIT)
        return tbs_fail(diag, TBS_ERR_INVALID, "signatures are for AUDIT keys only");
    struct signing s;
    uint8_t der[SIGNATURE_MAX];
    const struct custody_operation op = {custody_entry_of(audit), run_sign, &s};
    enum tbs_err err = custody_may(session->custody, audit, CUSTODY_PROTECT, diag);
    if (err == TBS_OK)
        err = digest_of(data, s.digest, diag);
    if (err == TBS_OK)
        err = custody_perform(session, &op, diag);
    if (err != TBS_OK)
        return err;
    int len = encode(s.raw, der);
    if (len <= 0)
        return crypto_failed("encoding a signature", diag);
    tbs_put_bytes(ret_signature, tbs_bytes(der, (size_t)len));
    return ret_signature->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a signature")
                                 : TBS_OK;
}

/* --- The check of a key --- */

static bool verifies(const uint8_t *point, const struct signing *s)
{
    uint8_t der[SIGNATURE_MAX];
    int len = encode(s->raw, der);
    EVP_PKEY *key = public_key(point);
    EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    bool ok = len > 0 && ctx && EVP_PKEY_verify_init(ctx) == 1 &&
              EVP_PKEY_verify(ctx, der, (size_t)len, s->digest, sizeof s->digest) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

enum tbs_err custody_sign_check(const struct custody_ops *ops, void *session,
                                const struct custody_key *key, const uint8_t *point,
                                const char *where, struct tbs_diag *diag)
{
    struct signing s;
    enum tbs_err err = digest_of(tbs_bytes_str("tbs-kms key check"), s.digest, diag);
    if (err == TBS_OK)
        err = run_sign(ops, session, key, &s, diag);
    if (err == TBS_OK && !verifies(point, &s))
        err = tbs_fail(diag, TBS_ERR_AUTH,
                       "key %s on token '%s' does not sign for its public key; destroy both and "
                       "generate others",
                       key->id, where);
    return err;
}
