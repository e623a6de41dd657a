/* The operators' key, which signs the states of the host in which a sealed PIN opens. Its private
 * half is never here. */
#include "sealed.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#define HALF 32 /* octets of a coordinate, and of each number of a signature */

static EVP_PKEY *load(struct tbs_bytes spki)
{
    const unsigned char *at = spki.data;
    char group[32] = "";
    EVP_PKEY *key = spki.len <= SEALED_AUTHORITY_MAX ? d2i_PUBKEY(NULL, &at, (long)spki.len) : NULL;
    if (key && at == spki.data + spki.len && EVP_PKEY_is_a(key, "EC") &&
        EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
        strcmp(group, SN_X9_62_prime256v1) == 0)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static bool put_coordinate(const EVP_PKEY *key, const char *which, TPM2B_ECC_PARAMETER *ret)
{
    BIGNUM *number = NULL;
    ret->size = HALF;
    bool ok = EVP_PKEY_get_bn_param(key, which, &number) == 1 &&
              BN_bn2binpad(number, ret->buffer, HALF) == HALF;
    BN_free(number);
    return ok;
}

/* The same public area as tpm2_loadexternal makes of a PEM file, so that others come to the same
 * Name. */
enum tbs_err authority_public(struct tbs_bytes spki, TPM2B_PUBLIC *ret_public,
                              struct tbs_diag *diag)
{
    TPM2B_PUBLIC public = {
        .publicArea = {.type = TPM2_ALG_ECC,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_DECRYPT |
                                           TPMA_OBJECT_SIGN_ENCRYPT,
                       .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                                .scheme.scheme = TPM2_ALG_NULL,
                                                .curveID = TPM2_ECC_NIST_P256,
                                                .kdf.scheme = TPM2_ALG_NULL}}};
    TPMS_ECC_POINT *point = &public.publicArea.unique.ecc;
    EVP_PKEY *key = load(spki);
    bool ok = key && put_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, &point->x) &&
              put_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, &point->y);
    EVP_PKEY_free(key);
    if (!ok)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the key that signs PCR policies must be on P-256 (openssl genpkey "
                        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256)");
    *ret_public = public;
    return TBS_OK;
}

bool authority_verifies(const struct sealed_pin *sealed, struct tbs_bytes octets,
                        struct tbs_bytes signature)
{
    EVP_PKEY *key = load(tbs_bytes(sealed->authority, sealed->authority_len));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(ctx, signature.data, signature.len, octets.data, octets.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

bool authority_signature(struct tbs_bytes der, TPMT_SIGNATURE *ret_signature)
{
    const unsigned char *at = der.data;
    ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
    *ret_signature = (TPMT_SIGNATURE){.sigAlg = TPM2_ALG_ECDSA};
    TPMS_SIGNATURE_ECDSA *s = &ret_signature->signature.ecdsa;
    s->hash = TPM2_ALG_SHA256;
    s->signatureR.size = s->signatureS.size = HALF;
    bool ok = numbers && at == der.data + der.len &&
              BN_bn2binpad(ECDSA_SIG_get0_r(numbers), s->signatureR.buffer, HALF) == HALF &&
              BN_bn2binpad(ECDSA_SIG_get0_s(numbers), s->signatureS.buffer, HALF) == HALF;
    ECDSA_SIG_free(numbers);
    return ok;
}
