/* Shared by the registry's own files; no other room includes it. */
#ifndef TBS_REGISTRY_INTERNAL_H
#define TBS_REGISTRY_INTERNAL_H

#include "base/hex.h"
#include "base/secret.h"
#include "registry/registry.h"

/* --- signature.c --- */

bool signed_algorithm_known(const char *name);
/* The public key of a SubjectPublicKeyInfo, its name, and its algorithm; NULL and a sentence when
 * it signs nothing here. */
EVP_PKEY *signed_public_of(struct tbs_bytes spki, char ret_key[SIGNED_KEY_LEN + 1],
                           const char **ret_algorithm, struct tbs_diag *diag);
void signed_public_free(EVP_PKEY *public);
bool signed_verifies(EVP_PKEY *public, struct tbs_bytes octets, struct tbs_bytes signature);

/* --- registry.c --- */

/* What must be true of every key, whoever wrote it. */
enum tbs_err registry_judge(const struct registry_key *key, struct tbs_diag *diag);

#endif
