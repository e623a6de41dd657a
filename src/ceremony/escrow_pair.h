/* An escrow key: an RSA pair made in this computer, whose private half is kept encrypted under a
 * share key and is never stored otherwise. Thread-safe. */
#ifndef TBS_CEREMONY_ESCROW_PAIR_H
#define TBS_CEREMONY_ESCROW_PAIR_H

#include "base/secret.h"

#define ESCROW_SECRET_LEN 32 /* octets of a share key */

/* A new pair of 3072 bits: its SubjectPublicKeyInfo (DER), and the private half as an encrypted
 * PKCS #8 in PEM (RFC 7468 11). Its passphrase is the share key in hexadecimal, so that openssl
 * alone opens it. TBS_ERR_CRYPTO, TBS_ERR_NOMEM. */
enum tbs_err escrow_pair_make(const struct tbs_secret *share_key, struct tbs_buf *spki,
                              struct tbs_buf *sealed, struct tbs_diag *diag);
/* The private half as PKCS #8 (DER). TBS_ERR_AUTH when that share key does not open it, or its
 * public half is another than `spki`. */
enum tbs_err escrow_pair_open(const struct tbs_secret *share_key, struct tbs_bytes sealed,
                              struct tbs_bytes spki, struct tbs_secret *ret_pkcs8,
                              struct tbs_diag *diag);
/* The same private half under another share key. */
enum tbs_err escrow_pair_seal(const struct tbs_secret *share_key, struct tbs_bytes pkcs8,
                              struct tbs_buf *sealed, struct tbs_diag *diag);

#endif
