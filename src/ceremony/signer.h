/* Somebody's private key in a PEM file, which signs for a role. Not thread-safe. */
#ifndef TBS_CEREMONY_SIGNER_H
#define TBS_CEREMONY_SIGNER_H

#include "registry/signed.h"

struct signer {
    EVP_PKEY *key;
    struct tbs_buf spki; /* SubjectPublicKeyInfo, DER */
};

/* If the key is encrypted, OpenSSL asks for its passphrase at the terminal. TBS_ERR_NOT_FOUND,
 * TBS_ERR_IO; TBS_ERR_CONFIG no private key, or a wrong passphrase. */
enum tbs_err signer_open(const char *file, struct signer *ret_signer, struct tbs_diag *diag);
void signer_free(struct signer *signer); /* leaves it empty */

/* A new P-256 key in a new file of mode 0600, without passphrase: for rehearsals. */
enum tbs_err signer_make(const char *file, struct tbs_diag *diag);

/* For signed_lines_sign; views the signer. */
struct signed_maker signer_maker(struct signer *signer);
/* A public key from its SubjectPublicKeyInfo, as PEM. */
enum tbs_err signer_public_pem(struct tbs_bytes spki, struct tbs_buf *pem, struct tbs_diag *diag);

#endif
