#include "mikey/protect.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

const struct mikey_suite mikey_suite_256 = {
    .name = "256",
    .prf = MIKEY_PRF_HMAC_SHA_256,
    .encr = MIKEY_ENCR_AES_CM_256,
    .mac = MIKEY_MAC_HMAC_SHA_256_256,
    .encr_key_len = 32,
    .auth_key_len = 32,
    .mac_len = 32,
};

const struct mikey_suite mikey_suite_128 = {
    .name = "128",
    .prf = MIKEY_PRF_MIKEY_1,
    .encr = MIKEY_ENCR_AES_CM_128,
    .mac = MIKEY_MAC_HMAC_SHA_1_160,
    .encr_key_len = 16,
    .auth_key_len = 20,
    .mac_len = 20,
};

const struct mikey_suite *mikey_suite_of_prf(uint8_t prf)
{
    switch (prf) {
    case MIKEY_PRF_HMAC_SHA_256:
        return &mikey_suite_256;
    case MIKEY_PRF_MIKEY_1:
        return &mikey_suite_128;
    default:
        return NULL;
    }
}

void mikey_keys_free(struct mikey_keys *keys)
{
    tbs_secret_free(&keys->auth);
    tbs_secret_free(&keys->encr);
    tbs_secret_free(&keys->salt);
}

static struct mikey_label context_label(enum mikey_constant constant, const struct mikey_context *c)
{
    if (c->usage == MIKEY_USE_TICKET)
        return mikey_label_ticket(constant, c->usage, c->randri);
    if (c->usage == MIKEY_USE_VR)
        return mikey_label_vr(constant);
    return mikey_label_message(constant, c->usage, c->csb_id, c->randri, c->randrr);
}

static enum tbs_err derive(enum mikey_constant constant, const struct mikey_inkey *inkey,
                           const struct mikey_context *context, size_t len,
                           struct tbs_secret *ret_key, struct tbs_diag *diag)
{
    struct mikey_label label = context_label(constant, context);

    return mikey_derive(inkey, &label, len, ret_key, diag);
}

enum tbs_err mikey_derive_auth(const struct mikey_suite *suite, const struct mikey_inkey *inkey,
                               const struct mikey_context *context, struct mikey_keys *keys,
                               struct tbs_diag *diag)
{
    return derive(MIKEY_CONST_AUTH, inkey, context, suite->auth_key_len, &keys->auth, diag);
}

enum tbs_err mikey_derive_encr(const struct mikey_suite *suite, const struct mikey_inkey *inkey,
                               const struct mikey_context *context, struct mikey_keys *keys,
                               struct tbs_diag *diag)
{
    enum tbs_err err =
        derive(MIKEY_CONST_ENCR, inkey, context, suite->encr_key_len, &keys->encr, diag);

    if (err)
        return err;
    return derive(MIKEY_CONST_SALT, inkey, context, MIKEY_SALT_LEN, &keys->salt, diag);
}

static void make_iv(const struct tbs_secret *salt, uint32_t csb_id, uint64_t t, uint8_t ret_iv[16])
{
    memset(ret_iv, 0, 16);
    for (int i = 0; i < 4; i++)
        ret_iv[2 + i] = (uint8_t)(csb_id >> (24 - 8 * i));
    for (int i = 0; i < 8; i++)
        ret_iv[6 + i] = (uint8_t)(t >> (56 - 8 * i));
    for (int i = 0; i < MIKEY_SALT_LEN; i++)
        ret_iv[i] ^= salt->data[i];
}

enum tbs_err mikey_aes_cm(const struct mikey_suite *suite, const struct mikey_keys *keys,
                          uint32_t csb_id, uint64_t t, uint8_t *data, size_t len,
                          struct tbs_diag *diag)
{
    const EVP_CIPHER *cipher =
        suite->encr == MIKEY_ENCR_AES_CM_256 ? EVP_aes_256_ctr() : EVP_aes_128_ctr();
    uint8_t iv[16];
    int out = 0;

    if (keys->encr.len != suite->encr_key_len || keys->salt.len != MIKEY_SALT_LEN)
        return tbs_fail(diag, TBS_ERR_INVALID, "AES-CM needs derived keys of suite %s",
                        suite->name);
    make_iv(&keys->salt, csb_id, t, iv);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx && EVP_EncryptInit_ex2(ctx, cipher, keys->encr.data, iv, NULL) &&
              EVP_EncryptUpdate(ctx, data, &out, data, (int)len) && (size_t)out == len;

    EVP_CIPHER_CTX_free(ctx);
    OPENSSL_cleanse(iv, sizeof iv);
    if (!ok)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed in AES counter mode");
    return TBS_OK;
}

static bool mac_parts(EVP_MAC_CTX *ctx, const struct mikey_suite *suite,
                      const struct tbs_secret *key, const struct tbs_bytes *parts, size_t n_parts,
                      uint8_t *out)
{
    char sha1[] = "SHA1", sha256[] = "SHA256"; /* OSSL_PARAM wants them writable */
    char *digest = suite->mac == MIKEY_MAC_HMAC_SHA_256_256 ? sha256 : sha1;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    size_t len = 0;

    if (!EVP_MAC_init(ctx, key->data, key->len, params))
        return false;
    for (size_t i = 0; i < n_parts; i++)
        if (!EVP_MAC_update(ctx, parts[i].data, parts[i].len))
            return false;
    return EVP_MAC_final(ctx, out, &len, MIKEY_MAC_MAX) && len == suite->mac_len;
}

enum tbs_err mikey_mac(const struct mikey_suite *suite, const struct mikey_keys *keys,
                       const struct tbs_bytes *parts, size_t n_parts,
                       uint8_t ret_mac[MIKEY_MAC_MAX], struct tbs_diag *diag)
{
    uint8_t out[MIKEY_MAC_MAX];
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    bool ok = ctx && mac_parts(ctx, suite, &keys->auth, parts, n_parts, out);

    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    if (!ok)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to compute a message's MAC");
    memcpy(ret_mac, out, suite->mac_len);
    return TBS_OK;
}

enum tbs_err mikey_mac_check(const struct mikey_suite *suite, const struct mikey_keys *keys,
                             const struct tbs_bytes *parts, size_t n_parts, struct tbs_bytes mac,
                             struct tbs_diag *diag)
{
    uint8_t expected[MIKEY_MAC_MAX];
    enum tbs_err err = mikey_mac(suite, keys, parts, n_parts, expected, diag);

    if (err)
        return err;
    bool same = tbs_secret_equal(mac, tbs_bytes(expected, suite->mac_len));

    OPENSSL_cleanse(expected, sizeof expected);
    if (!same)
        return tbs_fail(diag, TBS_ERR_AUTH, "the MAC does not verify");
    return TBS_OK;
}
