/* Somebody's own private key in a token, such as a smart card, that signs for them. Not
 * thread-safe; PKCS#11 logins hold for the whole process. Errors: TBS_ERR_TOKEN and its kin with
 * the CK_RV as raw; TBS_ERR_NOMEM; what each function names. */
#ifndef TBS_VAULT_PERSON_KEY_H
#define TBS_VAULT_PERSON_KEY_H

#include "base/bytes.h"
#include "base/secret.h"

struct person_key;

/* uri: RFC 7512 without a query; token= or serial= and object= or id= are there, and name one
 * private key. No error repeats it, as it may hold a PIN where none belongs. TBS_ERR_CONFIG no such
 * URI or module; TBS_ERR_NOT_FOUND no such token. */
enum tbs_err person_key_open(const char *module, const char *uri, struct person_key **ret_key,
                             struct tbs_diag *diag);
void person_key_close(struct person_key *key); /* NULL ok */

const char *
person_key_token(const struct person_key *key); /* its label; lives as long as the key */
bool person_key_has_pin_pad(const struct person_key *key);
/* A PIN of length 0 is for a PIN pad. TBS_ERR_NOT_FOUND the token has no such key, TBS_ERR_CONFIG
 * several; TBS_ERR_UNSUPPORTED it is neither EC nor RSA. */
enum tbs_err person_key_login(struct person_key *key, struct tbs_bytes pin, struct tbs_diag *diag);
/* By SHA-256, as registry/signed.h has it of the key's kind. The PIN is for a key that asks for it
 * each time (CKA_ALWAYS_AUTHENTICATE). */
enum tbs_err person_key_sign(struct person_key *key, struct tbs_bytes pin, struct tbs_bytes octets,
                             struct tbs_buf *ret_signature, struct tbs_diag *diag);

#endif
