/* A PIN sealed to a TPM 2.0 (TPM 2.0 Library, part 1, 19.7 and 27), in a file. It is in tpm/; a
 * program that was built without answers TBS_ERR_UNSUPPORTED to everything.
 *
 * The sealed object's policy is PolicyAuthorize (part 3, 23.16) with a key of the operators: it
 * opens in every state of the host that they have signed, and only there. A state is the values of
 * some PCRs. The file holds the object and up to SEALED_PIN_POLICIES_MAX signed states, so that a
 * new one can be signed before an update, or after it, without the PIN. What is signed also holds a
 * reference of this one sealing: when a PIN is sealed anew no older signature opens it.
 *
 * The PIN crosses the bus encrypted, in a session salted with a primary whose Name is in the file.
 *
 * `tcti` is as in struct custody_token_config. Not thread-safe where they share a sealed_pin. */
#ifndef TBS_CUSTODY_SEALED_PIN_H
#define TBS_CUSTODY_SEALED_PIN_H

#include "base/secret.h"

#define SEALED_PIN_MAX 128 /* octets that a TPM seals */
#define SEALED_PIN_POLICIES_MAX 4
#define SEALED_PIN_PCRS 24 /* of a PC */
#define SEALED_PIN_PCR_LEN 32
#define SEALED_PIN_TO_SIGN_LEN 64

/* Some PCRs of the SHA-256 bank and their values. */
struct sealed_pin_pcrs {
    uint32_t chosen;                                    /* a bit for each, PCR 0's the lowest */
    uint8_t value[SEALED_PIN_PCRS][SEALED_PIN_PCR_LEN]; /* zero where not chosen */
};

struct sealed_pin;

/* Before any thread: what the TPM's library needs in the environment. TBS_ERR_CONFIG unless the
 * TCTI is one of those that are known. */
enum tbs_err sealed_pin_prepare(const char *tcti, struct tbs_diag *diag);

/* The values now. TBS_ERR_UNSUPPORTED when the TPM has not all of them in SHA-256. This, and all
 * that has a tcti: TBS_ERR_UNAVAILABLE the TPM is not to be had now; TBS_ERR_TOKEN it fails. */
enum tbs_err sealed_pin_read_pcrs(const char *tcti, uint32_t chosen,
                                  struct sealed_pin_pcrs *ret_pcrs, struct tbs_diag *diag);

/* Seals a PIN of 1 to SEALED_PIN_MAX octets; no state is signed yet, so nothing opens it.
 * path: of its file, which is not written yet. authority: the operators' public key, on P-256, a
 * SubjectPublicKeyInfo in DER (RFC 5480). The caller frees ret_sealed. TBS_ERR_INVALID another key;
 * TBS_ERR_LIMIT. */
enum tbs_err sealed_pin_make(const char *tcti, const char *path, struct tbs_bytes pin,
                             struct tbs_bytes authority, struct sealed_pin **ret_sealed,
                             struct tbs_diag *diag);
void sealed_pin_free(struct sealed_pin *sealed); /* NULL ok */

/* TBS_ERR_CONFIG: others may write it, or it is not such a file word for word, with a signature
 * that is right for each state. TBS_ERR_NOT_FOUND, TBS_ERR_IO. */
enum tbs_err sealed_pin_read(const char *path, struct sealed_pin **ret_sealed,
                             struct tbs_diag *diag);
/* Makes or replaces its file, in one step; mode 0600. */
enum tbs_err sealed_pin_write(const struct sealed_pin *sealed, struct tbs_diag *diag);

/* The PCRs of all signed states; 0: none is signed. */
uint32_t sealed_pin_chosen(const struct sealed_pin *sealed);
/* The signed state that differs in the fewest PCRs, and in which. False: none is signed. */
bool sealed_pin_nearest(const struct sealed_pin *sealed, const struct sealed_pin_pcrs *now,
                        struct sealed_pin_pcrs *ret_signed, uint32_t *ret_differ);

/* What the operators' key signs for a state: the policy's digest (PolicyPCR) and the reference. */
enum tbs_err sealed_pin_to_sign(const struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                                uint8_t ret_octets[SEALED_PIN_TO_SIGN_LEN], struct tbs_diag *diag);
/* Takes the signature of those octets, ECDSA with SHA-256, in DER. keep: beside the states of
 * before, of which the oldest goes when there is no room, else in their place. TBS_ERR_AUTH: the
 * signature is not of this key over this state; TBS_ERR_INVALID no PCR is chosen. */
enum tbs_err sealed_pin_approve(struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                                struct tbs_bytes signature, bool keep, struct tbs_diag *diag);

/* Has the TPM open it. TBS_ERR_CONFIG: no state is signed, PCRs differ (the sentence names them),
 * or it was sealed to another TPM. */
enum tbs_err sealed_pin_open(const char *tcti, const struct sealed_pin *sealed,
                             struct tbs_secret *ret_pin, struct tbs_diag *diag);

#endif
