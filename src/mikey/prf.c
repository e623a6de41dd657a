#include "mikey/prf.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define OUTKEY_MAX 1024

size_t mikey_prf_hash_len(enum mikey_prf prf)
{
    return prf == MIKEY_PRF_MIKEY_1 ? 20 : 32;
}

static void add(struct mikey_label *l, const void *data, size_t len)
{
    if (len > 0)
        memcpy(l->data + l->len, data, len);
    l->len += len;
}

static void add_u8(struct mikey_label *l, uint8_t v)
{
    add(l, &v, 1);
}

static void add_u16(struct mikey_label *l, uint16_t v)
{
    add_u8(l, (uint8_t)(v >> 8));
    add_u8(l, (uint8_t)v);
}

static void add_u32(struct mikey_label *l, uint32_t v)
{
    add_u16(l, (uint16_t)(v >> 16));
    add_u16(l, (uint16_t)v);
}

/* A RAND longer than its length octet can say cannot come from the wire. */
static void add_rand(struct mikey_label *l, struct tbs_bytes rand)
{
    uint8_t len = (uint8_t)(rand.len < MIKEY_RAND_MAX ? rand.len : MIKEY_RAND_MAX);

    add_u8(l, len);
    add(l, rand.data, len);
}

static struct mikey_label label_start(uint32_t constant, uint8_t cs_id, uint32_t csb_id,
                                      enum mikey_usage usage)
{
    struct mikey_label l;

    l.len = 0;
    add_u32(&l, constant);
    add_u8(&l, cs_id);
    add_u32(&l, csb_id);
    add_u8(&l, (uint8_t)usage);
    return l;
}

struct mikey_label mikey_label_message(enum mikey_constant constant, enum mikey_usage usage,
                                       uint32_t csb_id, struct tbs_bytes randri,
                                       struct tbs_bytes randrr)
{
    struct mikey_label l = label_start(constant, 0xFF, csb_id, usage);

    add_rand(&l, randri);
    add_rand(&l, randrr);
    return l;
}

struct mikey_label mikey_label_traffic(enum mikey_constant constant, uint8_t cs_id,
                                       struct tbs_bytes randri, struct tbs_bytes randrr)
{
    struct mikey_label l = label_start(constant, cs_id, 0xFFFFFFFF, MIKEY_USE_TRAFFIC);

    add_rand(&l, randri);
    add_rand(&l, randrr);
    return l;
}

struct mikey_label mikey_label_ticket(enum mikey_constant constant, enum mikey_usage usage,
                                      struct tbs_bytes rand)
{
    struct mikey_label l = label_start(constant, 0xFF, 0xFFFFFFFF, usage);

    add_rand(&l, rand);
    return l;
}

struct mikey_label mikey_label_vr(enum mikey_constant constant)
{
    return label_start(constant, 0xFF, 0xFFFFFFFF, MIKEY_USE_VR);
}

enum tbs_err mikey_label_fork(enum mikey_constant constant, struct tbs_bytes id,
                              struct tbs_bytes randrkms, struct mikey_label *ret_label,
                              struct tbs_diag *diag)
{
    if (id.len > MIKEY_ID_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT,
                        "the Responder's identity is %zu octets long, more than the %d that key "
                        "forking accepts",
                        id.len, MIKEY_ID_MAX);
    struct mikey_label l = label_start(constant, 0xFF, 0xFFFFFFFF, MIKEY_USE_FORK);

    add_u16(&l, (uint16_t)id.len);
    add(&l, id.data, id.len);
    add_rand(&l, randrkms);
    *ret_label = l;
    return TBS_OK;
}

/* For a key in memory: OpenSSL looks HMAC up and takes the key once, not for each MAC. */
static EVP_MAC_CTX *open_hmac(enum mikey_prf prf, struct tbs_bytes key)
{
    char sha1[] = "SHA1", sha256[] = "SHA256"; /* OSSL_PARAM wants them writable */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                         prf == MIKEY_PRF_MIKEY_1 ? sha1 : sha256, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;

    EVP_MAC_free(mac);
    if (ctx && EVP_MAC_init(ctx, key.data, key.len, params))
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static enum tbs_err block_hmac(const struct mikey_inkey *block, EVP_MAC_CTX *ctx,
                               struct tbs_bytes data, uint8_t ret_mac[MIKEY_HASH_MAX],
                               struct tbs_diag *diag)
{
    size_t len;

    if (block->hmac)
        return block->hmac(block->ctx, data, ret_mac, diag);
    /* Without a key it begins again with the one it has, since OpenSSL 3.0.3. */
    if (!ctx || !EVP_MAC_init(ctx, NULL, 0, NULL) || !EVP_MAC_update(ctx, data.data, data.len) ||
        !EVP_MAC_final(ctx, ret_mac, &len, MIKEY_HASH_MAX))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to compute an HMAC");
    return TBS_OK;
}

/* The P-function, XORed into out: A_0 = label, A_i = HMAC(s, A_(i-1)),
 * P = HMAC(s, A_1 || label) || HMAC(s, A_2 || label) || ... (RFC 3830 4.1.2). */
static enum tbs_err p_xor(const struct mikey_inkey *block, const struct mikey_label *label,
                          uint8_t *out, size_t out_len, struct tbs_diag *diag)
{
    uint8_t a[MIKEY_HASH_MAX], mac[MIKEY_HASH_MAX], input[MIKEY_HASH_MAX + MIKEY_LABEL_MAX];
    size_t hash_len = mikey_prf_hash_len(block->prf);
    struct tbs_bytes a_input = tbs_bytes(label->data, label->len);
    EVP_MAC_CTX *ctx = block->hmac ? NULL : open_hmac(block->prf, block->key);
    enum tbs_err err = TBS_OK;

    memcpy(input + hash_len, label->data, label->len);
    for (size_t done = 0; done < out_len; done += hash_len) {
        err = block_hmac(block, ctx, a_input, a, diag);
        if (err)
            break;
        a_input = tbs_bytes(a, hash_len);
        memcpy(input, a, hash_len);
        err = block_hmac(block, ctx, tbs_bytes(input, hash_len + label->len), mac, diag);
        if (err)
            break;
        size_t n = out_len - done < hash_len ? out_len - done : hash_len;

        for (size_t i = 0; i < n; i++)
            out[done + i] ^= mac[i];
    }
    EVP_MAC_CTX_free(ctx);
    OPENSSL_cleanse(a, sizeof a);
    OPENSSL_cleanse(mac, sizeof mac);
    OPENSSL_cleanse(input, hash_len);
    return err;
}

enum tbs_err mikey_derive(const struct mikey_inkey *inkey, const struct mikey_label *label,
                          size_t outkey_len, struct tbs_secret *ret_outkey, struct tbs_diag *diag)
{
    struct tbs_secret out TBS_SECRET_AUTO = {0};
    enum tbs_err err;

    if (outkey_len == 0 || outkey_len > OUTKEY_MAX || (!inkey->hmac && inkey->key.len == 0))
        return tbs_fail(diag, TBS_ERR_INVALID, "a key derivation needs a key and 1 to %d octets",
                        OUTKEY_MAX);
    err = tbs_secret_alloc(outkey_len, &out, diag);
    if (err)
        return err;
    struct mikey_inkey block = *inkey;
    size_t pos = 0;

    do {
        if (!inkey->hmac) {
            size_t left = inkey->key.len - pos;

            block.key = tbs_bytes_slice(inkey->key, pos,
                                        left < MIKEY_INKEY_BLOCK ? left : MIKEY_INKEY_BLOCK);
            pos += block.key.len;
        }
        err = p_xor(&block, label, out.data, out.len, diag);
        if (err)
            return err;
    } while (!inkey->hmac && pos < inkey->key.len);
    *ret_outkey = out;
    out = (struct tbs_secret){0};
    return TBS_OK;
}
