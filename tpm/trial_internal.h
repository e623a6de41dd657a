/* What measurements and self-tests of a TPM share. */
#ifndef TBS_TPM_TRIAL_INTERNAL_H
#define TBS_TPM_TRIAL_INTERNAL_H

#include "tpm.h"
#include "trial.h"

struct tpm_trial {
    const struct custody_token_config *config;
    const struct custody_ops *ops;
    struct pin_keeper pin;
    struct tpm_token *token;
};

enum tbs_err tpm_trial_open(const struct custody_token_config *config, struct tpm_trial *ret_trial,
                            struct tbs_diag *diag);
void tpm_trial_close(struct tpm_trial *trial);
/* A key as the KMS has it. Its id says the role and the algorithm. */
enum tbs_err tpm_trial_generate(struct tpm_trial *trial, enum custody_alg alg,
                                struct custody_key *ret_key, struct tbs_diag *diag);

#endif
