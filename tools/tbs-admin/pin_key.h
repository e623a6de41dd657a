/* The operators' key that signs PCR policies, in PEM, as openssl makes it. */
#ifndef TBS_TOOLS_PIN_KEY_H
#define TBS_TOOLS_PIN_KEY_H

#include <openssl/evp.h>

#include "base/bytes.h"
#include "base/error.h"

/* A private key that others may not read; a passphrase is asked for at the terminal. The caller
 * frees ret_key with EVP_PKEY_free. */
enum tbs_err pin_key_read(const char *path, EVP_PKEY **ret_key, struct tbs_diag *diag);
enum tbs_err pin_key_read_public(const char *path, EVP_PKEY **ret_key, struct tbs_diag *diag);

/* Append: its SubjectPublicKeyInfo in DER; a signature over octets with SHA-256. */
enum tbs_err pin_key_put_spki(const EVP_PKEY *key, struct tbs_buf *ret_spki, struct tbs_diag *diag);
enum tbs_err pin_key_sign(EVP_PKEY *key, struct tbs_bytes octets, struct tbs_buf *ret_signature,
                          struct tbs_diag *diag);

#endif
