/* Attestations: read, and their signatures verified. */
#include "attest/attest.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/secret.h"

#define MAGIC 0xFF544347u /* TPM_GENERATED_VALUE: only a TPM signs what begins so */
#define ATTEST_MAX 1024   /* octets */

static struct tbs_bytes read_sized(struct tbs_reader *r)
{
    return tbs_read_bytes(r, tbs_read_u16(r));
}

/* TPML_PCR_SELECTION, of one bank. */
static bool read_quote(struct tbs_reader *r, struct attest *a)
{
    if (tbs_read_u32(r) != 1 || tbs_read_u16(r) != ATTEST_ALG_SHA256)
        return false;
    uint8_t n = tbs_read_u8(r);
    if (n > ATTEST_PCRS_MAX / 8)
        return false;
    for (uint8_t i = 0; i < n; i++)
        a->pcrs |= (uint32_t)tbs_read_u8(r) << (8 * i);
    a->digest = read_sized(r);
    return a->digest.len == ATTEST_DIGEST_LEN;
}

static bool read_certify(struct tbs_reader *r, struct attest *a)
{
    a->name = read_sized(r);
    a->qualified_name = read_sized(r);
    return a->name.len == ATTEST_NAME_LEN && a->qualified_name.len == ATTEST_NAME_LEN;
}

enum tbs_err attest_read(struct tbs_bytes octets, struct attest *ret_attest, struct tbs_diag *diag)
{
    struct attest a = {0};
    struct tbs_reader r = tbs_reader(octets);
    bool good = octets.len <= ATTEST_MAX && tbs_read_u32(&r) == MAGIC;
    uint16_t type = tbs_read_u16(&r);
    a.signer = read_sized(&r);
    a.extra = read_sized(&r);
    /* Clock, resets and firmware are made unrecognisable for keys below the owner hierarchy. */
    tbs_read_bytes(&r, 8 + 4 + 4 + 1 + 8);
    a.type = type == ATTEST_QUOTE ? ATTEST_QUOTE : ATTEST_CERTIFY;
    good = good && (type == ATTEST_CERTIFY ? read_certify(&r, &a)
                                           : type == ATTEST_QUOTE && read_quote(&r, &a));
    if (!good || r.failed || tbs_reader_left(&r) > 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "%zu octets are not what a TPM attests of a key or of PCRs", octets.len);
    *ret_attest = a;
    return TBS_OK;
}

/* --- Signatures --- */

/* TPMT_SIGNATURE to DER. */
static bool to_der(struct tbs_bytes signature, struct tbs_buf *der)
{
    struct tbs_reader r = tbs_reader(signature);
    bool known = tbs_read_u16(&r) == ATTEST_ALG_ECDSA;
    known = tbs_read_u16(&r) == ATTEST_ALG_SHA256 && known;
    struct tbs_bytes one = read_sized(&r), two = read_sized(&r);
    if (!known || r.failed || tbs_reader_left(&r) > 0 || one.len > 32 || two.len > 32)
        return false;
    BIGNUM *a = BN_bin2bn(one.data, (int)one.len, NULL);
    BIGNUM *b = BN_bin2bn(two.data, (int)two.len, NULL);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    unsigned char *out = NULL;
    int len = 0;
    if (a && b && pair && ECDSA_SIG_set0(pair, a, b) == 1) {
        a = b = NULL; /* the pair's now */
        len = i2d_ECDSA_SIG(pair, &out);
    }
    if (len > 0)
        tbs_put_bytes(der, tbs_bytes(out, (size_t)len));
    OPENSSL_free(out);
    BN_free(a);
    BN_free(b);
    ECDSA_SIG_free(pair);
    return len > 0 && !der->failed;
}

static bool verifies(EVP_PKEY *key, struct tbs_bytes octets, const struct tbs_buf *der)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool yes = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
               EVP_DigestVerify(ctx, der->data, der->len, octets.data, octets.len) == 1;
    EVP_MD_CTX_free(ctx);
    return yes;
}

enum tbs_err attest_verify(struct tbs_bytes octets, struct tbs_bytes signature,
                           const struct attest_public *key, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf der = tbs_buf();
    EVP_PKEY *public = NULL;
    enum tbs_err err = attest_public_key(key, &public, diag);
    if (err != TBS_OK)
        return err;
    bool good = to_der(signature, &der) && verifies(public, octets, &der);
    EVP_PKEY_free(public);
    return good ? TBS_OK : tbs_fail(diag, TBS_ERR_AUTH, "the TPM's signature does not verify");
}

enum tbs_err attest_qualified(struct tbs_bytes parent, const uint8_t name[ATTEST_NAME_LEN],
                              uint8_t ret_name[ATTEST_NAME_LEN], struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf();
    tbs_put_bytes(&octets, parent);
    tbs_put_bytes(&octets, tbs_bytes(name, ATTEST_NAME_LEN));
    return octets.failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a Name")
                         : attest_name(tbs_buf_view(&octets), ret_name, diag);
}
