/* Key templates by name, and what a key made by one must look like at each stage of its life.
 *
 * Attributes are JSON objects by their names in PKCS#11 2.40: flags are booleans, CKA_CLASS and
 * CKA_KEY_TYPE names such as "CKO_SECRET_KEY", CKA_ALLOWED_MECHANISMS an array of names,
 * CKA_WRAP_TEMPLATE and CKA_UNWRAP_TEMPLATE objects; null is what a token does not tell. Those of a
 * TPM's objects are its public area's, as attest/public.h has them. So nothing here needs a token
 * or its header. Ids, labels and lengths are the caller's business.
 *
 * Thread-safe. Outputs that are json_t belong to the caller. */
#ifndef TBS_TEMPLATES_TEMPLATES_H
#define TBS_TEMPLATES_TEMPLATES_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

enum template_profile {
    TEMPLATE_BORN,      /* extractable session object, for one step of a ceremony */
    TEMPLATE_SITE_ONLY, /* made in this token and never outside */
    TEMPLATE_SEALED,    /* made in this token, wrapped for others while it was born, then sealed */
    TEMPLATE_RESTORED,  /* came wrapped from another token */
    TEMPLATE_PRIVATE,   /* the private half of a pair made in this token */
    TEMPLATE_PUBLIC,    /* its public half in the same token */
    TEMPLATE_VISITING,  /* an escrow key's private half, for one call, as a session object */
    TEMPLATE_TRUSTED,   /* a transport pair's public half in the token that wraps to it */
    TEMPLATE_N_PROFILES
};

const char *template_profile_name(enum template_profile profile); /* "born", "site-only", ... */
/* False when there is no such profile. */
bool template_profile_find(const char *name, enum template_profile *ret_profile);

struct key_template {
    const char *name;         /* "tpk-hmac-sha256-replicated-v1" */
    const char *custody;      /* "site-only", "replicated", "escrowed"; each has one */
    const char *generation;   /* CKM_..., TPM2_Create; NULL for what is only imported */
    const char *check_method; /* as in a key registry; NULL: none */
    unsigned profiles;        /* bit 1 << profile for each that its keys may have */
    unsigned octets;          /* of a secret key; else 0 */
};

/* The hash of RSAES-OAEP and of its MGF1 when keys go from token to token. Some tokens,
 * SoftHSM 2.6.1 among them, know SHA-1 only. OAEP does not rest on collisions, but SP 800-131A
 * wants to hear of it. */
enum oaep_hash { OAEP_SHA_256, OAEP_SHA_1 };
const char *oaep_hash_name(enum oaep_hash hash); /* "SHA-256", "SHA-1" */
bool oaep_hash_find(const char *name, enum oaep_hash *ret_hash);

/* TBS_ERR_NOT_FOUND. Lives for ever. */
enum tbs_err template_find(const char *name, const struct key_template **ret_template,
                           struct tbs_diag *diag);
/* Those for PKCS#11 tokens, and those for TPMs; NULL after the last one. */
const struct key_template *template_at(size_t i);
const struct key_template *template_of_tpm_at(size_t i);
bool template_is_of_tpm(const struct key_template *template);
/* "CKO_SECRET_KEY" or its kin; of a TPM's objects the type, "TPM2_ALG_KEYEDHASH" or its kin. */
const char *template_class(const struct key_template *template, enum template_profile profile);

/* The id that the object has in its token: a TPM's storage key is "token" in each, whatever it is
 * called as the end of a way. */
const char *template_stored_id(const struct key_template *template, const char *id);

/* The rule that forbids tokens of a model that protect nothing, outside rehearsals: "softhsm",
 * "swtpm"; NULL: none does. */
const char *template_rule_of_model(const char *model);

/* Everything to be given to the token when the object is made, nothing left to its defaults.
 * CKA_MODIFIABLE is last and the order is to be kept: some tokens refuse what follows it. Of a
 * sealed copy it is only what differs from the born key. TBS_ERR_INVALID when keys of this template
 * have no such profile. */
enum tbs_err template_given(const struct key_template *template, enum template_profile profile,
                            json_t **ret_attributes, struct tbs_diag *diag);
/* Everything that must be read back from the token, with what it computes itself. */
enum tbs_err template_expected(const struct key_template *template, enum template_profile profile,
                               json_t **ret_attributes, struct tbs_diag *diag);

#endif
