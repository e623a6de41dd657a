/* Shared by the files of the vault of TPMs; no other room includes it. */
#ifndef TBS_TPM_VAULT_INTERNAL_H
#define TBS_TPM_VAULT_INTERNAL_H

#include <limits.h>

#include "templates/templates.h"
#include "tpm.h"
#include "vault/backend.h"

struct tpm_vault {
    struct vault base;
    struct tpm_token token; /* its esys is NULL while the vault rests */
    struct custody_token_config config;
    char tcti[256], dir[PATH_MAX];
    char label[33]; /* that the token is to get; empty: none */
    char serial[CUSTODY_TOKEN_SERIAL_MAX + 1], model[40], maker[5];
    uint32_t firmware[2];
    bool initialised, logged_in;
    struct tbs_secret pin;
};

static inline struct tpm_vault *tpm_vault(struct vault *base)
{
    return (struct tpm_vault *)base;
}

/* --- vault.c --- */

/* Takes the way to the TPM again, and the login where there was one. */
enum tbs_err tpm_vault_wake(struct tpm_vault *v, struct tbs_diag *diag);
/* The same, and TBS_ERR_INVALID when nobody is logged in. */
enum tbs_err tpm_vault_use(struct tpm_vault *v, struct tbs_diag *diag);
void tpm_vault_rest(struct vault *base);
/* Tells the witness how a call that changes the token ended; `why` becomes the error. */
enum tbs_err tpm_vault_after(struct tpm_vault *v, const char *call, enum tbs_err did,
                             const struct tbs_diag *why, struct tbs_diag *diag);

/* A call that changes the token, between the witness's two. `what` is taken over; in `expression`
 * the diagnosis is `why`. */
#define TPM_WITNESSED(v, call, what, diag, expression)                                             \
    ({                                                                                             \
        struct tbs_diag why_ = {0}, *why = &why_;                                                  \
        enum tbs_err err_ = vault_before(&(v)->base, call, what, diag);                            \
        if (err_ == TBS_OK)                                                                        \
            err_ = tpm_vault_after(v, call, expression, why, diag);                                \
        err_;                                                                                      \
    })

/* --- vault_look.c --- */

/* A key's file, loaded, and its public area as the TPM tells it. */
struct tpm_object {
    struct tpm_blob blob;
    ESYS_TR handle;
    uint8_t octets[sizeof(TPM2B_PUBLIC)];
    struct tbs_bytes area; /* views octets */
};

/* TBS_ERR_NOT_FOUND no such file. To be dropped when the answer was TBS_OK. */
enum tbs_err tpm_object_load(struct tpm_vault *v, const char *id, struct tpm_object *ret_object,
                             struct tbs_diag *diag);
/* What the TPM says of one that is loaded, with the Name as it must be. */
enum tbs_err tpm_object_read(struct tpm_vault *v, struct tpm_object *object, struct tbs_diag *diag);
/* One that has no file yet. */
enum tbs_err tpm_object_try(struct tpm_vault *v, const struct tpm_blob *blob,
                            struct tpm_object *ret_object, struct tbs_diag *diag);
void tpm_object_drop(struct tpm_vault *v, struct tpm_object *object);
/* {"attributes", "check", "spki" of a pair}. */
enum tbs_err tpm_object_tell(struct tpm_vault *v, const struct tpm_object *object, json_t **ret_key,
                             struct tbs_diag *diag);
enum tbs_err tpm_object_spki(struct tbs_bytes area, struct tbs_buf *ret_spki,
                             struct tbs_diag *diag);
/* TBS_ERR_EXISTS when there is a file of this id. */
enum tbs_err tpm_vault_none(struct tpm_vault *v, const char *id, struct tbs_diag *diag);
/* Removes every file of the folder that is a key's. */
enum tbs_err tpm_vault_erase(struct tpm_vault *v, struct tbs_diag *diag);

enum tbs_err tpm_vault_inventory(struct vault *base, json_t **ret_objects, struct tbs_diag *diag);
enum tbs_err tpm_vault_destroy_objects(struct vault *base, const json_t *objects,
                                       struct tbs_diag *diag);
enum tbs_err tpm_vault_check(struct vault *base, const char *id, json_t **ret_check,
                             struct tbs_diag *diag);
enum tbs_err tpm_vault_confirm(struct vault *base, const char *id, const json_t *check,
                               struct tbs_diag *diag);
enum tbs_err tpm_vault_destroy_by_check(struct vault *base, const json_t *check,
                                        struct tbs_bytes pin, json_t **ret_done,
                                        struct tbs_diag *diag);

/* --- vault_make.c --- */

/* Of this id, of which there is none yet. TBS_ERR_EXISTS. */
enum tbs_err tpm_new_blob(struct tpm_vault *v, const char *id, struct tpm_blob *ret_blob,
                          struct tbs_diag *diag);
/* TBS_ERR_UNSUPPORTED no such template for a TPM; TBS_ERR_INVALID its keys have no such profile. */
enum tbs_err tpm_template_named(const char *name, enum template_profile profile,
                                const struct tpm_blob *blob, TPM2B_PUBLIC *ret_public,
                                struct tbs_diag *diag);
/* Loads it and tells what it is before its file is there: a key that cannot be used leaves none. */
enum tbs_err tpm_object_keep(struct tpm_vault *v, const struct tpm_blob *blob, json_t **ret_key,
                             struct tbs_diag *diag);

enum tbs_err tpm_vault_generate(struct vault *base, const char *template, const char *id,
                                json_t **ret_key, struct tbs_diag *diag);
enum tbs_err tpm_vault_sign(struct vault *base, const char *id, struct tbs_bytes pin,
                            struct tbs_bytes octets, struct tbs_buf *ret_signature,
                            struct tbs_diag *diag);

/* --- vault_copy.c --- */

/* The token's storage key; not to be dropped. */
enum tbs_err tpm_vault_storage(struct tpm_vault *v, struct tpm_object *ret_object,
                               struct tbs_diag *diag);
/* A policy session in which the key may go to this parent, if a branch of its policy says so. */
TSS2_RC tpm_select_parent(struct tpm_vault *v, const struct tpm_object *o, const TPM2B_NAME *parent,
                          const TPML_DIGEST *branches, ESYS_TR *ret_policy);
enum tbs_err tpm_vault_transport_make(struct vault *base, const char *id, json_t **ret_key,
                                      struct tbs_diag *diag);
enum tbs_err tpm_vault_transport_trust(struct vault *base, const char *id, struct tbs_bytes spki,
                                       json_t **ret_key, struct tbs_diag *diag);
enum tbs_err tpm_vault_generate_replicated(struct vault *base, const char *template, const char *id,
                                           const struct vault_recipient *recipients, size_t n,
                                           json_t **ret_key, struct tbs_diag *diag);
enum tbs_err tpm_vault_unwrap(struct vault *base, const char *template, const char *id,
                              const char *transport, enum oaep_hash oaep, struct tbs_bytes wrapped,
                              json_t **ret_key, struct tbs_diag *diag);

/* --- vault_attest.c --- */

enum tbs_err tpm_vault_identify(struct vault *base, const char *id, json_t **ret_key,
                                struct tbs_diag *diag);
enum tbs_err tpm_vault_certify(struct vault *base, const char *by, const char *id,
                               const uint8_t data[ATTEST_DIGEST_LEN], json_t **ret_attested,
                               struct tbs_diag *diag);
enum tbs_err tpm_vault_quote(struct vault *base, const char *by,
                             const uint8_t data[ATTEST_DIGEST_LEN], json_t **ret_attested,
                             struct tbs_diag *diag);

/* --- vault_attack.c --- */

enum tbs_err tpm_vault_attack(struct vault *base, const char *id, json_t **ret_attempts,
                              struct tbs_diag *diag);

#endif
