/* Stored secrets: the blob of custody_wrap_secret, whose octets custody.h describes. */
#include "custody/internal.h"
#include "custody/primitives.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

enum {
    BLOB_VERSION = 1,
    METHOD_TOKEN_GCM = 1,
    METHOD_DERIVED_GCM = 2,
    METHOD_TOKEN_IV_GCM = 3,
    SALT_LEN = 32,
    DERIVED_KEY_LEN = 32,
};

/* A blob taken apart; views into it. */
struct blob {
    uint8_t method;
    struct tbs_bytes key_id, salt, iv;
    struct tbs_bytes header; /* what is authenticated */
    struct tbs_bytes sealed; /* ciphertext and tag */
};

static enum tbs_err parse(struct tbs_bytes octets, struct blob *ret_blob, struct tbs_diag *diag)
{
    struct tbs_reader r = tbs_reader(octets);
    struct blob b = {0};
    uint8_t version = tbs_read_u8(&r);
    b.method = tbs_read_u8(&r);
    if (!r.failed && version != BLOB_VERSION)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "a stored secret is of version %u; this program reads version %d", version,
                        BLOB_VERSION);
    if (!r.failed && (b.method < METHOD_TOKEN_GCM || b.method > METHOD_TOKEN_IV_GCM))
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "a stored secret is protected by method %u, which is not known", b.method);
    b.key_id = tbs_read_bytes(&r, tbs_read_u8(&r));
    b.salt = tbs_read_bytes(&r, b.method == METHOD_DERIVED_GCM ? SALT_LEN : 0);
    size_t iv_at = r.pos;
    b.iv = tbs_read_bytes(&r, CUSTODY_GCM_IV_LEN);
    b.header = tbs_bytes_slice(octets, 0, b.method == METHOD_TOKEN_IV_GCM ? iv_at : r.pos);
    size_t left = tbs_reader_left(&r);
    b.sealed = tbs_read_bytes(&r, left);
    if (r.failed || b.key_id.len == 0 || b.key_id.len > CUSTODY_KEY_ID_MAX ||
        left <= CUSTODY_GCM_TAG_LEN || left > CUSTODY_SECRET_MAX + CUSTODY_GCM_TAG_LEN)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "a stored secret of %zu octets is cut short, too long or damaged",
                        octets.len);
    *ret_blob = b;
    return TBS_OK;
}

static enum tbs_err check_owner(struct tbs_bytes owner, struct tbs_diag *diag)
{
    if (owner.len == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a stored secret needs an owner");
    if (owner.len > CUSTODY_OWNER_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "an owner's identity of %zu octets is over %d",
                        owner.len, CUSTODY_OWNER_MAX);
    return TBS_OK;
}

/* The header says itself where it ends, so header and owner cannot be shifted against each
 * other. */
static enum tbs_err build_aad(struct tbs_bytes header, struct tbs_bytes owner, struct tbs_buf *aad,
                              struct tbs_diag *diag)
{
    tbs_put_bytes(aad, header);
    tbs_put_bytes(aad, owner);
    return aad->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a stored secret")
                       : TBS_OK;
}

/* --- Method 2: a key per blob, derived in the token --- */

/* NIST SP 800-108r1 4.1, one round of 256 bits. */
static enum tbs_err derive(struct custody_session *session, const struct custody_key *kek,
                           struct tbs_bytes salt, struct tbs_secret *ret_key, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf input = tbs_buf();
    tbs_put_u32(&input, 1);
    tbs_put_bytes(&input, tbs_bytes_str("tbs-kms stored secret"));
    tbs_put_u8(&input, 0);
    tbs_put_bytes(&input, salt);
    tbs_put_u32(&input, 8 * DERIVED_KEY_LEN);
    if (input.failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a stored secret");
    TBS_SECRET_AUTO struct tbs_secret key = {0};
    enum tbs_err err = tbs_secret_alloc(DERIVED_KEY_LEN, &key, diag);
    if (err == TBS_OK)
        err = custody_call_hmac(session, kek, tbs_buf_view(&input), key.data, diag);
    if (err != TBS_OK)
        return err;
    *ret_key = key;
    key = (struct tbs_secret){0};
    return TBS_OK;
}

static EVP_CIPHER_CTX *gcm_start(const struct tbs_secret *key, const struct custody_aead *aead,
                                 bool encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;
    if (ctx &&
        EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key->data, aead->iv, encrypt, NULL) == 1 &&
        EVP_CipherUpdate(ctx, NULL, &n, aead->aad.data, (int)aead->aad.len) == 1)
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

static enum tbs_err gcm_seal(const struct tbs_secret *key, const struct custody_aead *aead,
                             struct tbs_bytes plain, uint8_t *out, struct tbs_diag *diag)
{
    int n;
    EVP_CIPHER_CTX *ctx = gcm_start(key, aead, true);
    bool ok =
        ctx && EVP_CipherUpdate(ctx, out, &n, plain.data, (int)plain.len) == 1 &&
        EVP_CipherFinal_ex(ctx, out + plain.len, &n) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CUSTODY_GCM_TAG_LEN, out + plain.len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok ? TBS_OK : tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do AES-256-GCM");
}

static enum tbs_err gcm_unseal(const struct tbs_secret *key, const struct custody_aead *aead,
                               struct tbs_bytes sealed, uint8_t *out, struct tbs_diag *diag)
{
    size_t len = sealed.len - CUSTODY_GCM_TAG_LEN;
    uint8_t tag[CUSTODY_GCM_TAG_LEN];
    memcpy(tag, sealed.data + len, sizeof tag);
    int n;
    EVP_CIPHER_CTX *ctx = gcm_start(key, aead, false);
    bool ok = ctx && EVP_CipherUpdate(ctx, out, &n, sealed.data, (int)len) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1;
    bool authentic = ok && EVP_CipherFinal_ex(ctx, out + len, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do AES-256-GCM");
    return authentic ? TBS_OK : tbs_fail(diag, TBS_ERR_AUTH, "the tag does not verify");
}

/* --- Both methods --- */

static enum tbs_err seal(struct custody_session *session, const struct custody_key *kek,
                         struct tbs_bytes salt, const struct custody_aead *aead,
                         struct tbs_bytes secret, uint8_t *out, struct tbs_diag *diag)
{
    if (kek->alg == CUSTODY_AES_256_GCM)
        return custody_call_seal(session, kek, aead, secret, out, diag);
    TBS_SECRET_AUTO struct tbs_secret key = {0};
    enum tbs_err err = derive(session, kek, salt, &key, diag);
    return err != TBS_OK ? err : gcm_seal(&key, aead, secret, out, diag);
}

static enum tbs_err unseal(struct custody_session *session, const struct custody_key *kek,
                           struct tbs_bytes salt, const struct custody_aead *aead,
                           struct tbs_bytes sealed, uint8_t *out, struct tbs_diag *diag)
{
    if (kek->alg == CUSTODY_AES_256_GCM)
        return custody_call_unseal(session, kek, aead, sealed, out, diag);
    TBS_SECRET_AUTO struct tbs_secret key = {0};
    enum tbs_err err = derive(session, kek, salt, &key, diag);
    return err != TBS_OK ? err : gcm_unseal(&key, aead, sealed, out, diag);
}

/* With no usable KEK an unusable one is still chosen: the token then says itself, in the
 * error, what it cannot do. */
static const struct custody_key *choose_kek(const struct custody *custody)
{
    const struct custody_key *kek = custody_current_kek(custody);
    for (size_t i = custody->directory.n; !kek && i-- > 0;) {
        if (custody->directory.entries[i]->key.role == CUSTODY_ROLE_KEK)
            kek = &custody->directory.entries[i]->key;
    }
    return kek;
}

static uint8_t method_of(const struct custody_key *kek)
{
    if (kek->alg != CUSTODY_AES_256_GCM)
        return METHOD_DERIVED_GCM;
    return kek->token_iv ? METHOD_TOKEN_IV_GCM : METHOD_TOKEN_GCM;
}

static enum tbs_err put_header(struct custody_session *session, const struct custody_key *kek,
                               struct tbs_buf *blob, struct tbs_diag *diag)
{
    uint8_t method = method_of(kek), random[SALT_LEN + CUSTODY_GCM_IV_LEN] = {0};
    size_t n = method == METHOD_DERIVED_GCM ? sizeof random : CUSTODY_GCM_IV_LEN;
    enum tbs_err err = TBS_OK;
    if (method != METHOD_TOKEN_IV_GCM)
        err = custody_random(session, random, n, diag);
    if (err != TBS_OK)
        return err;
    tbs_put_u8(blob, BLOB_VERSION);
    tbs_put_u8(blob, method);
    tbs_put_u8(blob, (uint8_t)strlen(kek->id));
    tbs_put_bytes(blob, tbs_bytes_str(kek->id));
    tbs_put_bytes(blob, tbs_bytes(random, n));
    return TBS_OK;
}

/* Puts header and zeros for the sealed part into out, reads it back as the reader would, and
 * seals into place; the token's own IV, too. */
static enum tbs_err wrap(struct custody_session *session, const struct custody_key *kek,
                         struct tbs_bytes owner, struct tbs_bytes secret, struct tbs_buf *out,
                         struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf aad = tbs_buf();
    struct blob b;
    enum tbs_err err = put_header(session, kek, out, diag);
    if (err != TBS_OK)
        return err;
    size_t at = out->len;
    tbs_put_zeros(out, secret.len + CUSTODY_GCM_TAG_LEN);
    if (out->failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a stored secret");
    err = parse(tbs_buf_view(out), &b, diag);
    if (err == TBS_OK)
        err = build_aad(b.header, owner, &aad, diag);
    if (err != TBS_OK)
        return err;
    struct custody_aead aead = {b.iv.data, tbs_buf_view(&aad), out->data + at - CUSTODY_GCM_IV_LEN};
    return seal(session, kek, b.salt, &aead, secret, out->data + at, diag);
}

enum tbs_err custody_wrap_secret(struct custody_session *session, struct tbs_bytes owner,
                                 struct tbs_bytes secret, struct tbs_buf *ret_blob,
                                 struct tbs_diag *diag)
{
    enum tbs_err err = check_owner(owner, diag);
    if (err != TBS_OK)
        return err;
    if (secret.len == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "an empty secret cannot be stored");
    if (secret.len > CUSTODY_SECRET_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a secret of %zu octets is over %d", secret.len,
                        CUSTODY_SECRET_MAX);
    const struct custody_key *kek = choose_kek(session->custody);
    if (!kek)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "the token holds no key-encryption key; let a ceremony make one");

    err = custody_may(session->custody, kek, CUSTODY_PROTECT, diag);
    TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
    if (err == TBS_OK)
        err = wrap(session, kek, owner, secret, &blob, diag);
    if (err != TBS_OK)
        return err;
    tbs_put_bytes(ret_blob, tbs_buf_view(&blob));
    return ret_blob->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "no room for a stored secret") : TBS_OK;
}

static enum tbs_err find_kek(struct custody *custody, const struct blob *b,
                             const struct custody_key **ret_kek, struct tbs_diag *diag)
{
    const struct custody_key *kek;
    enum tbs_err err = custody_need_key(custody, b->key_id, CUSTODY_ROLE_KEK, &kek, diag);
    if (err != TBS_OK)
        return err;
    bool in_token = b->method != METHOD_DERIVED_GCM;
    if (in_token != (kek->alg == CUSTODY_AES_256_GCM))
        return tbs_fail(diag, TBS_ERR_AUTH,
                        "a stored secret under %s was changed: that key is not for its method",
                        kek->id);
    *ret_kek = kek;
    return TBS_OK;
}

static enum tbs_err unwrap(struct custody_session *session, const struct custody_key *kek,
                           struct tbs_bytes owner, const struct blob *b,
                           struct tbs_secret *ret_secret, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf aad = tbs_buf();
    TBS_SECRET_AUTO struct tbs_secret opened = {0};
    enum tbs_err err = build_aad(b->header, owner, &aad, diag);
    if (err == TBS_OK)
        err = tbs_secret_alloc(b->sealed.len, &opened, diag);
    if (err != TBS_OK)
        return err;
    struct custody_aead aead = {.iv = b->iv.data, .aad = tbs_buf_view(&aad)};
    err = unseal(session, kek, b->salt, &aead, b->sealed, opened.data, diag);
    if (err != TBS_OK)
        return err;
    size_t len = b->sealed.len - CUSTODY_GCM_TAG_LEN;
    return tbs_secret_copy(tbs_bytes(opened.data, len), ret_secret, diag);
}

enum tbs_err custody_unwrap_secret(struct custody_session *session, struct tbs_bytes owner,
                                   struct tbs_bytes blob, struct tbs_secret *ret_secret,
                                   struct tbs_diag *diag)
{
    struct blob b;
    const struct custody_key *kek = NULL;
    enum tbs_err err = check_owner(owner, diag);
    if (err == TBS_OK)
        err = parse(blob, &b, diag);
    if (err == TBS_OK)
        err = find_kek(session->custody, &b, &kek, diag);
    if (err == TBS_OK)
        err = custody_may(session->custody, kek, CUSTODY_PROCESS, diag);
    if (err == TBS_OK)
        err = unwrap(session, kek, owner, &b, ret_secret, diag);
    if (err == TBS_ERR_AUTH)
        tbs_fail_raw(diag, TBS_ERR_AUTH, diag ? diag->raw : 0,
                     "a stored secret does not belong to this owner, or it was changed");
    return err;
}

enum tbs_err custody_secret_kek(struct tbs_bytes blob, struct tbs_bytes *ret_id,
                                struct tbs_diag *diag)
{
    struct blob b;
    enum tbs_err err = parse(blob, &b, diag);
    if (err == TBS_OK)
        *ret_id = b.key_id;
    return err;
}
