/* What a TPM says of an object: its public area (TPMT_PUBLIC; TPM 2.0 Library, part 2, 12.2), read
 * without a TPM. Thread-safe. */
#ifndef TBS_ATTEST_PUBLIC_H
#define TBS_ATTEST_PUBLIC_H

#include <jansson.h>
#include <openssl/types.h>

#include "base/bytes.h"
#include "base/error.h"

#define ATTEST_DIGEST_LEN 32
#define ATTEST_NAME_LEN (2 + ATTEST_DIGEST_LEN) /* TPM2_ALG_SHA256 and the digest */
#define ATTEST_PUBLIC_MAX 1024                  /* octets of an area that is looked at */
#define ATTEST_PARENTS_MAX 7                    /* TPM2_PolicyOR takes eight branches */

/* TPM2_ALG_ID, TPM2_ECC_CURVE and TPMA_OBJECT, as far as keys of ours have them. */
enum {
    ATTEST_ALG_RSA = 0x0001,
    ATTEST_ALG_SHA1 = 0x0004,
    ATTEST_ALG_HMAC = 0x0005,
    ATTEST_ALG_AES = 0x0006,
    ATTEST_ALG_KEYEDHASH = 0x0008,
    ATTEST_ALG_SHA256 = 0x000B,
    ATTEST_ALG_NULL = 0x0010,
    ATTEST_ALG_ECDSA = 0x0018,
    ATTEST_ALG_ECC = 0x0023,
    ATTEST_ALG_CFB = 0x0043,
    ATTEST_P_256 = 0x0003,
};

struct attest_public {
    uint16_t type, name_alg;
    uint32_t attributes; /* TPMA_OBJECT */
    struct tbs_bytes policy;
    uint16_t symmetric, symmetric_bits, symmetric_mode; /* of a parent; else ATTEST_ALG_NULL */
    uint16_t scheme, hash;                              /* ATTEST_ALG_NULL: any, or none */
    uint16_t curve;                                     /* of ATTEST_ALG_ECC */
    uint16_t bits;                                      /* of ATTEST_ALG_RSA */
    uint32_t exponent;                                  /* 0: 65537 */
    struct tbs_bytes unique, y; /* the point's x and y, the modulus, or a digest */
};

/* Views `area`. TBS_ERR_MALFORMED when that is no public area, word for word, of one of the types
 * above. */
enum tbs_err attest_public_read(struct tbs_bytes area, struct attest_public *ret_public,
                                struct tbs_diag *diag);
/* The Name (part 1, 16): the digest of the area, after the algorithm's number. */
enum tbs_err attest_name(struct tbs_bytes area, uint8_t ret_name[ATTEST_NAME_LEN],
                         struct tbs_diag *diag);
/* A key on P-256, or of RSA. The caller frees it. TBS_ERR_UNSUPPORTED another kind;
 * TBS_ERR_MALFORMED no such key. */
enum tbs_err attest_public_key(const struct attest_public *public, EVP_PKEY **ret_key,
                               struct tbs_diag *diag);

/* As attributes of templates/templates.h: {"type", "nameAlg", each bit of TPMA_OBJECT by its name
 * in the specification, "authPolicy", "scheme", "hash", "curve" of a point, "public": the area in
 * base64, "name"}; TPM2_ALG_... as text, octets in hex. The caller owns it. */
enum tbs_err attest_attributes(struct tbs_bytes area, json_t **ret_attributes,
                               struct tbs_diag *diag);

/* --- authPolicy --- */

/* A digest that no policy gives: it only ties an id to the Name. */
enum tbs_err attest_id_policy(const char *id, uint8_t ret_policy[ATTEST_DIGEST_LEN],
                              struct tbs_diag *diag);
/* TPM2_PolicyDuplicationSelect (part 3, 23.15) of an object of any Name to this parent. */
enum tbs_err attest_select_policy(const uint8_t parent[ATTEST_NAME_LEN],
                                  uint8_t ret_policy[ATTEST_DIGEST_LEN], struct tbs_diag *diag);
/* TPM2_PolicyOR (part 3, 23.6) of the id's and one for each parent, in their order; of no parent,
 * the id's alone. TBS_ERR_LIMIT more than ATTEST_PARENTS_MAX. */
enum tbs_err attest_key_policy(const char *id, const uint8_t (*parents)[ATTEST_NAME_LEN], size_t n,
                               uint8_t ret_policy[ATTEST_DIGEST_LEN], struct tbs_diag *diag);

#endif
