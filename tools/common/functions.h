/* The network functions of a configuration that share a TPK with the KMS (kms.functions).
 * Stateless; thread-safe. */
#ifndef TBS_TOOLS_FUNCTIONS_H
#define TBS_TOOLS_FUNCTIONS_H

#include "base/name.h"
#include "kms/kms.h"
#include "server/config.h"

/* Views the configuration and itself: not to be copied. */
struct functions {
    size_t n;
    struct kms_function list[KMS_FUNCTIONS_MAX];
    char identity[KMS_FUNCTIONS_MAX][TBS_NAME_MAX + 1]; /* in the store's spelling */
};

/* TBS_ERR_CONFIG for an identity that is none. */
enum tbs_err functions_of(const struct config_kms *config, struct functions *ret_functions,
                          struct tbs_diag *diag);
/* Keeps their TPKs from being current (custody_share). */
enum tbs_err functions_share(const struct config_kms *config, struct custody *custody,
                             struct tbs_diag *diag);

#endif
