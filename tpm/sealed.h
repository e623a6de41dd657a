/* Sealed PINs inside tpm/; nobody else includes this. What others may is in custody/sealed_pin.h.
 *
 * Below the primary of tpm.h, beside the storage key and in no relation to it, is a keyedhash
 * object that holds the PIN. It has no authValue: only its policy opens it. */
#ifndef TBS_TPM_SEALED_H
#define TBS_TPM_SEALED_H

#include <limits.h>

#include "custody/sealed_pin.h"
#include "tpm.h"

#define SEALED_DIGEST_LEN TPM2_SHA256_DIGEST_SIZE
#define SEALED_NAME_LEN (2 + SEALED_DIGEST_LEN)
#define SEALED_AUTHORITY_MAX 128 /* octets of the SubjectPublicKeyInfo */
#define SEALED_SIGNATURE_MAX 72  /* octets of an Ecdsa-Sig-Value on P-256 */

/* A state that is signed. */
struct sealed_policy {
    struct sealed_pin_pcrs pcrs;
    uint8_t signature[SEALED_SIGNATURE_MAX];
    size_t signature_len;
};

struct sealed_pin {
    char path[PATH_MAX];
    uint8_t primary[SEALED_NAME_LEN];
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
    uint8_t authority[SEALED_AUTHORITY_MAX];
    size_t authority_len;
    uint8_t reference[SEALED_DIGEST_LEN];
    struct sealed_policy policies[SEALED_PIN_POLICIES_MAX]; /* the newest first */
    size_t n_policies;
};

/* --- sealed_file.c --- */

/* All that can be known without a TPM. TBS_ERR_CONFIG. */
enum tbs_err sealed_parse(const char *path, struct tbs_bytes text, struct sealed_pin *ret_sealed,
                          struct tbs_diag *diag);

/* --- authority.c: the operators' key --- */

/* As the TPM loads it. TBS_ERR_INVALID unless it is a key on P-256. */
enum tbs_err authority_public(struct tbs_bytes spki, TPM2B_PUBLIC *ret_public,
                              struct tbs_diag *diag);
/* False: it is not a signature by that key over these octets. */
bool authority_verifies(const struct sealed_pin *sealed, struct tbs_bytes octets,
                        struct tbs_bytes signature);
bool authority_signature(struct tbs_bytes der, TPMT_SIGNATURE *ret_signature);

/* --- policy.c: what a policy's digest is made of (part 3, 23.7 and 23.16) --- */

void policy_selection(uint32_t chosen, TPML_PCR_SELECTION *ret_selection);
/* Of the values, one after the other. */
bool policy_pcr_digest(const struct sealed_pin_pcrs *pcrs, uint8_t ret_digest[SEALED_DIGEST_LEN]);
bool policy_pcr(const struct sealed_pin_pcrs *pcrs, uint8_t ret_digest[SEALED_DIGEST_LEN]);
/* The sealed object's own, for this authority and reference. */
bool policy_authorize(const struct sealed_pin *sealed, uint8_t ret_digest[SEALED_DIGEST_LEN]);
bool policy_sha256(struct tbs_bytes octets, uint8_t ret_digest[SEALED_DIGEST_LEN]);
/* "PCR 7", "PCRs 0, 4 and 7". */
#define POLICY_NAMES_MAX 128
void policy_names(uint32_t pcrs, char ret_names[POLICY_NAMES_MAX]);

/* --- state.c --- */

enum tbs_err sealed_read_pcrs(struct tpm_token *token, uint32_t chosen,
                              struct sealed_pin_pcrs *ret_pcrs, struct tbs_diag *diag);
/* As sealed_pin_nearest; NULL: none is signed. */
const struct sealed_policy *sealed_nearest(const struct sealed_pin *sealed,
                                           const struct sealed_pin_pcrs *now, uint32_t *ret_differ);

/* --- seal.c --- */

/* The caller disconnects, also on failure. */
enum tbs_err sealed_connect(struct tpm_token *token, const char *tcti, struct tbs_diag *diag);
/* Of token->storage, which is the primary here. */
enum tbs_err sealed_name_primary(struct tpm_token *token, uint8_t ret_name[SEALED_NAME_LEN],
                                 struct tbs_diag *diag);
/* The sealed object's public area but for what the TPM makes. */
bool sealed_template(const struct sealed_pin *sealed, TPM2B_PUBLIC *ret_public);

#endif
