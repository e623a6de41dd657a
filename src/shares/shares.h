/* A secret in the hands of several people, of whom some number together can rebuild it: SLIP-0039
 * (Shamir's sharing over GF(2^8), a digest of the secret inside, shares as words with a checksum).
 * What depends on a secret takes the same time whatever the secret is: no table is looked up and no
 * branch is taken by it. Only the number of letters of a word can be seen from outside.
 *
 * Errors: TBS_ERR_NOMEM, TBS_ERR_CRYPTO, and what each function names. No error tells a word.
 * Thread-safe; each object belongs to one thread at a time. */
#ifndef TBS_SHARES_SHARES_H
#define TBS_SHARES_SHARES_H

#include "base/error.h"
#include "base/secret.h"

#define SHARES_MAX 16        /* in a set, or in one group of it */
#define SHARES_SECRET_MIN 16 /* octets of a secret; an even number */
#define SHARES_SECRET_MAX 64
#define SHARES_EXPONENT_MAX 15
#define SHARES_COMMITMENT_LEN 32

/* One share; freed with share_free. Indices are from 0. */
struct share {
    unsigned id;       /* of the set, 15 bits */
    bool extendable;   /* the set's id is not in its encryption */
    unsigned exponent; /* PBKDF2 iterates 10000 << exponent times */
    unsigned group, group_threshold, groups;
    unsigned index, threshold;
    struct tbs_secret value;
};
void share_free(struct share *share); /* leaves it empty */

struct shares_plan {
    unsigned need, people; /* so many of so many */
    unsigned exponent;
    bool waived; /* one alone may rebuild it, or all are needed: somebody has signed for that */
};

/* Splits a secret into plan->people new shares of one group. The passphrase is empty in ceremonies;
 * it is printable ASCII. TBS_ERR_INVALID for a secret of another length; TBS_ERR_DENIED for need 1
 * or need == people without a waiver; TBS_ERR_LIMIT. */
enum tbs_err shares_split(struct tbs_bytes secret, struct tbs_bytes passphrase,
                          const struct shares_plan *plan, struct share ret_shares[SHARES_MAX],
                          struct tbs_diag *diag);
/* Rebuilds a secret from exactly as many shares as are needed. TBS_ERR_INVALID for too few, too
 * many, or ones of different sets; TBS_ERR_AUTH when what they give does not have its digest: one
 * is wrong, or not of this set. A wrong passphrase gives another secret, without any error. */
enum tbs_err shares_combine(const struct share *shares, size_t n, struct tbs_bytes passphrase,
                            struct tbs_secret *ret_secret, struct tbs_diag *diag);

/* The share as words with a blank between them; no NUL. */
enum tbs_err share_put_words(const struct share *share, struct tbs_secret *ret_words,
                             struct tbs_diag *diag);
/* Words in small letters with blanks between them. TBS_ERR_MALFORMED: a word that is not in the
 * list, by its place; a wrong checksum, by which up to three wrong words are always found. */
enum tbs_err share_read_words(struct tbs_bytes words, struct share *ret_share,
                              struct tbs_diag *diag);

/* What is written down when a set is made, so that one share can be checked alone, without the
 * others and without rebuilding anything: SHA-256 over "tbs-kms share", the set's id (2 octets),
 * index (1 octet) and value. */
enum tbs_err share_commit(const struct share *share, uint8_t ret_commitment[SHARES_COMMITMENT_LEN],
                          struct tbs_diag *diag);
/* TBS_ERR_AUTH when it is another share. */
enum tbs_err share_check(const struct share *share, const uint8_t commitment[SHARES_COMMITMENT_LEN],
                         struct tbs_diag *diag);

#endif
