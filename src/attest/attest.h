/* What a TPM attests (TPMS_ATTEST; TPM 2.0 Library, part 2, 10.12.8), read and verified without a
 * TPM. Thread-safe. */
#ifndef TBS_ATTEST_ATTEST_H
#define TBS_ATTEST_ATTEST_H

#include "attest/public.h"

#define ATTEST_PCRS_MAX 24

enum attest_type { ATTEST_CERTIFY = 0x8017, ATTEST_QUOTE = 0x8018 };

struct attest {
    enum attest_type type;
    struct tbs_bytes signer;               /* qualified Name of the key that signed */
    struct tbs_bytes extra;                /* the qualifying data */
    struct tbs_bytes name, qualified_name; /* of a certified object */
    uint32_t pcrs;                         /* quoted: bit 1 << PCR, of the SHA-256 bank */
    struct tbs_bytes digest;               /* of their values, in their order */
};

/* Views `octets`. TBS_ERR_MALFORMED when that is not what a TPM attests of an object or of PCRs of
 * the one bank of SHA-256. */
enum tbs_err attest_read(struct tbs_bytes octets, struct attest *ret_attest, struct tbs_diag *diag);
/* signature: TPMT_SIGNATURE, of ECDSA with SHA-256, by the key of this public area. TBS_ERR_AUTH
 * when it does not verify. */
enum tbs_err attest_verify(struct tbs_bytes octets, struct tbs_bytes signature,
                           const struct attest_public *key, struct tbs_diag *diag);
/* The qualified Name of an object below this one (part 1, 16): that of the parent and the own Name
 * hashed; above a primary is its hierarchy's handle. */
enum tbs_err attest_qualified(struct tbs_bytes parent, const uint8_t name[ATTEST_NAME_LEN],
                              uint8_t ret_name[ATTEST_NAME_LEN], struct tbs_diag *diag);

#endif
