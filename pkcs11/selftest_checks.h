/* The self-test's own: one table of checks a file. */
#ifndef TBS_PKCS11_CHECKS_H
#define TBS_PKCS11_CHECKS_H

#include "selftest.h"
#include "trial.h"

#define CHECKS_ALGS 3 /* of enum custody_alg */

struct checks {
    const struct selftest *test;
    struct trial trial;
    void *service; /* a session as a worker of the KMS has it */
    struct custody_key key[CHECKS_ALGS];
    bool has[CHECKS_ALGS]; /* made, and judged fit */
};

/* Fills in all of the finding but its name. */
struct check {
    const char *name;
    void (*run)(struct checks *c, struct selftest_finding *finding);
};
/* In this order; each ends with an empty one. */
extern const struct check checks_crypto[]; /* makes the keys */
extern const struct check checks_sessions[];
extern const struct check checks_attacks[];
extern const struct check checks_planted[];

/* --- What is said --- */

extern const char check_other_token[], check_unusable[]; /* advice */

/* Several attempts at one thing. */
#define CHECK_ANSWERS_MAX 3
struct check_attempts {
    unsigned n;
    const char *passed; /* the first that did; NULL: none */
    CK_RV answers[CHECK_ANSWERS_MAX];
    unsigned n_answers; /* different ones */
};
void check_attempt(struct check_attempts *a, const char *how, CK_RV rv);
/* Refused, or a danger where one passed: `how` it was done, and `meaning`. */
void check_conclude(const struct check_attempts *a, struct selftest_finding *f,
                    const char *meaning);

/* --- What attackers have --- */

/* An AES key that wraps and unwraps: with a value that the attacker knows, or made by the token
 * where it takes none. */
CK_RV check_attackers_key(const struct checks *c, CK_OBJECT_HANDLE *ret_object);

#endif
