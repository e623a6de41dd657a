/* Between the files of this room. */
#ifndef TBS_SHARES_INTERNAL_H
#define TBS_SHARES_INTERNAL_H

#include "shares/shares.h"

/* --- shamir.c: GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 --- */

struct point {
    uint8_t x; /* public */
    const uint8_t *y;
};
/* The polynomials through these points, one for each of len octets, at x. The x are different. */
void shamir_at(const struct point *points, size_t n, size_t len, uint8_t x, uint8_t *ret_y);

/* --- feistel.c: the encryption of SLIP-0039 --- */

/* In place; `octets` has an even length. */
enum tbs_err feistel(struct tbs_secret *octets, struct tbs_bytes passphrase,
                     const struct share *parameters, bool encrypt, struct tbs_diag *diag);

#endif
