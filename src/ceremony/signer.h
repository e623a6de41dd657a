/* Somebody's private key, in a PEM file or in a token, which signs for a role. Not thread-safe. */
#ifndef TBS_CEREMONY_SIGNER_H
#define TBS_CEREMONY_SIGNER_H

#include "base/secret.h"
#include "registry/signed.h"
#include "vault/person_key.h"

struct signer {
    EVP_PKEY *key; /* NULL: in a token */
    struct person_key *in_token;
    struct tbs_secret pin; /* as long as the program runs; empty where it is typed at a pad */
    struct tbs_buf spki;   /* SubjectPublicKeyInfo, DER; empty: nobody signs */
};

/* Where a key is: a PEM file, or "pkcs11:..." (vault/person_key.h) in a token of `module`, whose
 * public half is one of these PEM files: a token need not tell it. */
struct signer_place {
    const char *key;
    const char *module;         /* NULL for a file */
    const char *const *publics; /* NULL for a file */
    size_t n_publics;
};
bool signer_is_uri(const char *key);

/* A passphrase, or the token's PIN, is asked for at the terminal without echo; a token with a pad
 * has the PIN typed there. A token's key signs something random at once. TBS_ERR_NOT_FOUND,
 * TBS_ERR_IO; TBS_ERR_CONFIG no private key, or a wrong passphrase or PIN; TBS_ERR_AUTH it is the
 * other half of none of the public keys. */
enum tbs_err signer_open(const struct signer_place *place, struct signer *ret_signer,
                         struct tbs_diag *diag);
void signer_free(struct signer *signer); /* leaves it empty */

/* A new P-256 key in a new file of mode 0600, without passphrase: for rehearsals. */
enum tbs_err signer_make(const char *file, struct tbs_diag *diag);

/* For signed_lines_sign; views the signer. */
struct signed_maker signer_maker(struct signer *signer);
/* A public key from its SubjectPublicKeyInfo, as PEM. */
enum tbs_err signer_public_pem(struct tbs_bytes spki, struct tbs_buf *pem, struct tbs_diag *diag);

#endif
