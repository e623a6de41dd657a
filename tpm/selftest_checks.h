/* The self-test's own: one table of checks a file. */
#ifndef TBS_TPM_CHECKS_H
#define TBS_TPM_CHECKS_H

#include "trial_internal.h"

#define TPM_CHECKS_ALGS 4 /* of enum custody_alg */

struct tpm_checks {
    const struct selftest *test;
    struct tpm_trial trial;
    struct custody_key key[TPM_CHECKS_ALGS];
    bool has[TPM_CHECKS_ALGS]; /* made, and judged fit */
};

/* Fills in all of the finding but its name. */
struct tpm_check {
    const char *name;
    void (*run)(struct tpm_checks *c, struct selftest_finding *finding);
};
/* In this order; each ends with an empty one. */
extern const struct tpm_check tpm_checks_use[]; /* makes the keys */
extern const struct tpm_check tpm_checks_attacks[];

extern const char tpm_check_other[]; /* advice */

/* Creates a key with octets that the caller knows; else as one of ours. ret_blob is complete. */
enum tbs_err tpm_check_known_key(struct tpm_checks *c, enum custody_alg alg,
                                 struct tpm_blob *ret_blob, struct tbs_diag *diag);
#define TPM_CHECK_KNOWN "a known key, to be thrown away.." /* 32 octets */

#endif
