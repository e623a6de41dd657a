/* Public areas: read, named, and told as attributes. */
#include "attest/public.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#include "base/base64.h"
#include "base/hex.h"
#include "base/secret.h"

/* --- Reading --- */

static struct tbs_bytes read_sized(struct tbs_reader *r)
{
    return tbs_read_bytes(r, tbs_read_u16(r));
}

/* TPMT_SYM_DEF_OBJECT. */
static void read_symmetric(struct tbs_reader *r, struct attest_public *p)
{
    p->symmetric = tbs_read_u16(r);
    if (p->symmetric == ATTEST_ALG_NULL)
        return;
    p->symmetric_bits = tbs_read_u16(r);
    p->symmetric_mode = tbs_read_u16(r);
}

/* A scheme of ours has a hash, or is none. */
static bool read_scheme(struct tbs_reader *r, struct attest_public *p, uint16_t only)
{
    p->scheme = tbs_read_u16(r);
    p->hash = ATTEST_ALG_NULL;
    if (p->scheme == ATTEST_ALG_NULL)
        return true;
    p->hash = tbs_read_u16(r);
    return p->scheme == only;
}

static bool read_rest(struct tbs_reader *r, struct attest_public *p)
{
    p->symmetric = ATTEST_ALG_NULL;
    switch (p->type) {
    case ATTEST_ALG_KEYEDHASH:
        if (!read_scheme(r, p, ATTEST_ALG_HMAC))
            return false;
        break;
    case ATTEST_ALG_ECC:
        read_symmetric(r, p);
        if (!read_scheme(r, p, ATTEST_ALG_ECDSA))
            return false;
        p->curve = tbs_read_u16(r);
        if (tbs_read_u16(r) != ATTEST_ALG_NULL) /* a KDF */
            return false;
        break;
    case ATTEST_ALG_RSA:
        read_symmetric(r, p);
        if (!read_scheme(r, p, ATTEST_ALG_NULL))
            return false;
        p->bits = tbs_read_u16(r);
        p->exponent = tbs_read_u32(r);
        break;
    default:
        return false;
    }
    p->unique = read_sized(r);
    if (p->type == ATTEST_ALG_ECC)
        p->y = read_sized(r);
    return true;
}

enum tbs_err attest_public_read(struct tbs_bytes area, struct attest_public *ret_public,
                                struct tbs_diag *diag)
{
    struct attest_public p = {0};
    struct tbs_reader r = tbs_reader(area);
    p.type = tbs_read_u16(&r);
    p.name_alg = tbs_read_u16(&r);
    p.attributes = tbs_read_u32(&r);
    p.policy = read_sized(&r);
    if (area.len > ATTEST_PUBLIC_MAX || !read_rest(&r, &p) || r.failed || tbs_reader_left(&r) > 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "%zu octets are no public area of a key that is known here", area.len);
    *ret_public = p;
    return TBS_OK;
}

enum tbs_err attest_name(struct tbs_bytes area, uint8_t ret_name[ATTEST_NAME_LEN],
                         struct tbs_diag *diag)
{
    uint8_t name[ATTEST_NAME_LEN] = {ATTEST_ALG_SHA256 >> 8, ATTEST_ALG_SHA256 & 0xFF};
    if (EVP_Digest(area.data, area.len, name + 2, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do SHA-256");
    memcpy(ret_name, name, sizeof name);
    return TBS_OK;
}

/* --- Keys --- */

static enum tbs_err from_params(const char *type, OSSL_PARAM_BLD *build, EVP_PKEY **ret_key,
                                struct tbs_diag *diag)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    bool ok = params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    if (!ok)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "a TPM's public area holds no %s key", type);
    *ret_key = key;
    return TBS_OK;
}

enum { HALF = 32 };

static bool put_half(struct tbs_bytes number, uint8_t *half)
{
    if (number.len > HALF)
        return false;
    memset(half, 0, HALF - number.len);
    if (number.len > 0)
        memcpy(half + HALF - number.len, number.data, number.len);
    return true;
}

static enum tbs_err point(const struct attest_public *p, EVP_PKEY **ret_key, struct tbs_diag *diag)
{
    uint8_t octets[1 + 2 * HALF] = {4};
    if (p->curve != ATTEST_P_256)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "a TPM's key is on curve 0x%x, not on P-256",
                        p->curve);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool ok =
        build && put_half(p->unique, octets + 1) && put_half(p->y, octets + 1 + HALF) &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof octets);
    enum tbs_err err = ok ? from_params("EC", build, ret_key, diag)
                          : tbs_fail(diag, TBS_ERR_MALFORMED, "a TPM's point is not on P-256");
    OSSL_PARAM_BLD_free(build);
    return err;
}

static enum tbs_err modulus(const struct attest_public *p, EVP_PKEY **ret_key,
                            struct tbs_diag *diag)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(p->unique.data, (int)p->unique.len, NULL);
    BIGNUM *e = BN_new();
    bool ok = build && n && e && p->unique.len * 8 == p->bits &&
              BN_set_word(e, p->exponent ? p->exponent : 65537) == 1 &&
              OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
              OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
    enum tbs_err err = ok ? from_params("RSA", build, ret_key, diag)
                          : tbs_fail(diag, TBS_ERR_MALFORMED, "a TPM's RSA key is none");
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return err;
}

enum tbs_err attest_public_key(const struct attest_public *public, EVP_PKEY **ret_key,
                               struct tbs_diag *diag)
{
    if (public->type == ATTEST_ALG_ECC)
        return point(public, ret_key, diag);
    if (public->type == ATTEST_ALG_RSA)
        return modulus(public, ret_key, diag);
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "an object of type 0x%x has no public key",
                    public->type);
}

/* --- Attributes --- */

static const struct {
    uint32_t bit;
    const char *name;
} bits[] = {
    {1u << 1, "fixedTPM"},     {1u << 2, "stClear"},
    {1u << 4, "fixedParent"},  {1u << 5, "sensitiveDataOrigin"},
    {1u << 6, "userWithAuth"}, {1u << 7, "adminWithPolicy"},
    {1u << 10, "noDA"},        {1u << 11, "encryptedDuplication"},
    {1u << 16, "restricted"},  {1u << 17, "decrypt"},
    {1u << 18, "sign"},
};

static json_t *alg_name(uint16_t alg)
{
    static const struct {
        uint16_t alg;
        const char *name;
    } names[] = {
        {ATTEST_ALG_RSA, "TPM2_ALG_RSA"},       {ATTEST_ALG_SHA1, "TPM2_ALG_SHA1"},
        {ATTEST_ALG_HMAC, "TPM2_ALG_HMAC"},     {ATTEST_ALG_AES, "TPM2_ALG_AES"},
        {ATTEST_ALG_SHA256, "TPM2_ALG_SHA256"}, {ATTEST_ALG_NULL, "TPM2_ALG_NULL"},
        {ATTEST_ALG_ECDSA, "TPM2_ALG_ECDSA"},   {ATTEST_ALG_ECC, "TPM2_ALG_ECC"},
        {ATTEST_ALG_CFB, "TPM2_ALG_CFB"},       {ATTEST_ALG_KEYEDHASH, "TPM2_ALG_KEYEDHASH"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].alg == alg)
            return json_string(names[i].name);
    return json_sprintf("0x%04x", alg);
}

static json_t *hex_of(struct tbs_bytes octets)
{
    char text[2 * ATTEST_PUBLIC_MAX + 1];
    tbs_hex(octets, text);
    return json_string(text);
}

static int put_bits(json_t *all, uint32_t attributes)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        failed |= json_object_set_new(all, bits[i].name, json_boolean(attributes & bits[i].bit));
        attributes &= ~bits[i].bit;
    }
    if (attributes != 0) /* what nobody knows is seen as something too much */
        failed |= json_object_set_new(all, "reserved", json_sprintf("0x%08x", attributes));
    return failed;
}

static json_t *attributes_of(const struct attest_public *p, struct tbs_bytes area,
                             const uint8_t name[ATTEST_NAME_LEN])
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    tbs_put_base64(&text, area);
    json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s%, s:o}", "type", alg_name(p->type),
                            "nameAlg", alg_name(p->name_alg), "authPolicy", hex_of(p->policy),
                            "scheme", alg_name(p->scheme), "hash", alg_name(p->hash), "symmetric",
                            alg_name(p->symmetric), "public", (const char *)text.data, text.len,
                            "name", hex_of(tbs_bytes(name, ATTEST_NAME_LEN)));
    int failed = put_bits(all, p->attributes);
    if (p->type == ATTEST_ALG_ECC)
        failed |= json_object_set_new(all, "curve",
                                      p->curve == ATTEST_P_256 ? json_string("TPM2_ECC_NIST_P256")
                                                               : json_sprintf("0x%04x", p->curve));
    if (failed == 0)
        return all;
    json_decref(all);
    return NULL;
}

enum tbs_err attest_attributes(struct tbs_bytes area, json_t **ret_attributes,
                               struct tbs_diag *diag)
{
    struct attest_public p;
    uint8_t name[ATTEST_NAME_LEN];
    enum tbs_err err = attest_public_read(area, &p, diag);
    if (err == TBS_OK)
        err = attest_name(area, name, diag);
    if (err != TBS_OK)
        return err;
    json_t *all = attributes_of(&p, area, name);
    if (!all)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the attributes of a key");
    *ret_attributes = all;
    return TBS_OK;
}
