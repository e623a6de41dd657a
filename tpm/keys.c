/* Keys: found in files, loaded when needed, made and destroyed. */
#include "tpm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Loading --- */

enum tbs_err tpm_load(struct tpm_token *token, ESYS_TR parent, ESYS_TR session,
                      const struct tpm_blob *blob, ESYS_TR *ret_handle, struct tbs_diag *diag)
{
    ESYS_TR handle = ESYS_TR_NONE;
    TSS2_RC rc = TPM_CALL(token, Load, parent, session, ESYS_TR_NONE, ESYS_TR_NONE, &blob->private,
                          &blob->public, &handle);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_SetAuth(token->esys, handle, &token->pin);
    if (rc != TSS2_RC_SUCCESS) {
        tpm_flush(token, &handle);
        return tpm_fail(diag, rc, "loading %s.json into the TPM", blob->id);
    }
    *ret_handle = handle;
    return TBS_OK;
}

static struct tpm_loaded *least_used(struct tpm_token *token, size_t *ret_n)
{
    struct tpm_loaded *least = NULL;
    size_t n = 0;
    for (size_t i = 0; i < token->n_keys; i++) {
        struct tpm_loaded *k = &token->keys[i];
        if (k->handle == ESYS_TR_NONE)
            continue;
        n++;
        if (!least || k->last_used < least->last_used)
            least = k;
    }
    *ret_n = n;
    return least;
}

static void make_room(struct tpm_token *token)
{
    size_t n;
    for (struct tpm_loaded *least; (least = least_used(token, &n)) && n >= TPM_LOADED_MAX;)
        tpm_flush(token, &least->handle);
}

static enum tbs_err load_key(struct tpm_token *token, const struct tpm_blob *blob,
                             ESYS_TR *ret_handle, struct tbs_diag *diag)
{
    make_room(token);
    return tpm_load(token, token->storage, tpm_session(token, true, true), blob, ret_handle, diag);
}

enum tbs_err tpm_key_handle(struct tpm_token *token, const struct custody_key *key,
                            ESYS_TR *ret_handle, struct tbs_diag *diag)
{
    struct tpm_loaded *k = key->handle < token->n_keys ? &token->keys[key->handle] : NULL;
    if (!k || strcmp(k->blob.id, key->id) != 0)
        return tpm_fail(diag, TPM2_RC_HANDLE, "using key %s, which is listed no more", key->id);
    if (k->handle == ESYS_TR_NONE) {
        enum tbs_err err = load_key(token, &k->blob, &k->handle, diag);
        if (err != TBS_OK)
            return err;
    }
    k->last_used = ++token->clock;
    *ret_handle = k->handle;
    return TBS_OK;
}

void tpm_unload_keys(struct tpm_token *token)
{
    for (size_t i = 0; i < token->n_keys; i++)
        tpm_flush(token, &token->keys[i].handle);
}

void tpm_drop_keys(struct tpm_token *token)
{
    tpm_unload_keys(token);
    free(token->keys);
    token->keys = NULL;
    token->n_keys = 0;
}

/* --- Judging --- */

/* The Name is the digest of the public area; we compute it ourselves. */
static bool is_name_of(const TPM2B_PUBLIC *public, const TPM2B_NAME *name)
{
    uint8_t octets[sizeof(TPM2B_PUBLIC)], digest[TPM2_SHA256_DIGEST_SIZE];
    size_t len = 0;
    return name->size == 2 + sizeof digest && name->name[0] == TPM2_ALG_SHA256 >> 8 &&
           name->name[1] == (TPM2_ALG_SHA256 & 0xFF) && tpm_marshal_public(public, octets, &len) &&
           EVP_Digest(octets, len, digest, NULL, EVP_sha256(), NULL) == 1 &&
           memcmp(name->name + 2, digest, sizeof digest) == 0;
}

/* What the TPM says of the loaded key, not what stands in the file. */
static enum tbs_err judge(struct tpm_token *token, const struct tpm_blob *blob, ESYS_TR handle,
                          struct custody_key *ret_key, struct tbs_diag *diag)
{
    TPM2B_PUBLIC *public = NULL;
    TPM2B_NAME *name = NULL, *qualified = NULL;
    TSS2_RC rc = TPM_CALL(token, ReadPublic, handle, tpm_session_beside(token), ESYS_TR_NONE,
                          ESYS_TR_NONE, &public, &name, &qualified);
    enum tbs_err err = rc == TSS2_RC_SUCCESS
                           ? TBS_OK
                           : tpm_fail(diag, rc, "reading the attributes of key %s", blob->id);
    if (err == TBS_OK && !is_name_of(public, name))
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       "key %s is not used: the TPM gives it a Name that is not that of its public "
                       "area",
                       blob->id);
    if (err == TBS_OK)
        err = tpm_judge_key(blob, public, ret_key, diag);
    Esys_Free(public);
    Esys_Free(name);
    Esys_Free(qualified);
    return err;
}

/* --- Listing --- */

enum tbs_err tpm_keep_key(struct tpm_token *token, const struct tpm_blob *blob,
                          struct tbs_diag *diag)
{
    if (token->n_keys == CUSTODY_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "%.150s has more than %d keys", token->dir,
                        CUSTODY_KEYS_MAX);
    struct tpm_loaded *keys = realloc(token->keys, (token->n_keys + 1) * sizeof *keys);
    if (!keys)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys");
    token->keys = keys;
    keys[token->n_keys++] = (struct tpm_loaded){.blob = *blob, .handle = ESYS_TR_NONE};
    return TBS_OK;
}

static enum tbs_err add(void *token, const char *id, struct tbs_diag *diag)
{
    struct tpm_blob blob;
    enum tbs_err err = tpm_blob_read(((struct tpm_token *)token)->dir, id, &blob, diag);
    return err != TBS_OK ? err : tpm_keep_key(token, &blob, diag);
}

static enum tbs_err judge_listed(struct tpm_token *token, size_t i, struct custody_key *ret_key,
                                 struct tbs_diag *diag)
{
    struct custody_key named = {.handle = i}, key;
    ESYS_TR handle;
    snprintf(named.id, sizeof named.id, "%s", token->keys[i].blob.id);
    enum tbs_err err = tpm_key_handle(token, &named, &handle, diag);
    if (err == TBS_OK)
        err = judge(token, &token->keys[i].blob, handle, &key, diag);
    if (err != TBS_OK)
        return err;
    key.handle = i;
    *ret_key = key;
    return TBS_OK;
}

enum tbs_err tpm_list_keys(void *token_, struct custody_key_list *ret_list, struct tbs_diag *diag)
{
    struct tpm_token *token = token_;
    TPM_IN_TURN(token);
    tpm_drop_keys(token);
    enum tbs_err err = tpm_blob_each(token->dir, add, token, diag);
    if (err != TBS_OK)
        return err;
    struct custody_key *keys = calloc(token->n_keys + 1, sizeof *keys);
    if (!keys)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys");
    for (size_t i = 0; err == TBS_OK && i < token->n_keys; i++)
        err = judge_listed(token, i, &keys[i], diag);
    if (err != TBS_OK) {
        free(keys);
        return err;
    }
    *ret_list = (struct custody_key_list){keys, token->n_keys};
    return TBS_OK;
}

/* --- Making and destroying --- */

enum tbs_err tpm_create(struct tpm_token *token, ESYS_TR parent, const TPM2B_PUBLIC *template,
                        struct tpm_blob *blob, struct tbs_diag *diag)
{
    static const TPM2B_DATA outside;
    static const TPML_PCR_SELECTION pcrs;
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth = token->pin};
    TPM2B_PRIVATE *private = NULL;
    TPM2B_PUBLIC *public = NULL;
    TSS2_RC rc =
        TPM_CALL(token, Create, parent, tpm_session(token, true, true), ESYS_TR_NONE, ESYS_TR_NONE,
                 &sensitive, template, &outside, &pcrs, &private, &public, NULL, NULL, NULL);
    OPENSSL_cleanse(&sensitive, sizeof sensitive);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "making key %s", blob->id);
    blob->private = *private;
    blob->public = *public;
    Esys_Free(private);
    Esys_Free(public);
    return TBS_OK;
}

/* It needs a place of its own while the TPM makes it. */
static enum tbs_err create_key(struct tpm_token *token, const TPM2B_PUBLIC *template,
                               struct tpm_blob *blob, struct tbs_diag *diag)
{
    make_room(token);
    return tpm_create(token, token->storage, template, blob, diag);
}

static enum tbs_err try_new(struct tpm_token *token, const struct tpm_blob *blob,
                            struct custody_key *ret_key, struct tbs_diag *diag)
{
    ESYS_TR handle;
    enum tbs_err err = load_key(token, blob, &handle, diag);
    if (err != TBS_OK)
        return err;
    err = judge(token, blob, handle, ret_key, diag);
    tpm_flush(token, &handle);
    return err;
}

enum tbs_err tpm_make_key(struct tpm_token *token, enum custody_alg alg, const char *id,
                          const char *label, struct tpm_blob *ret_blob, struct custody_key *ret_key,
                          struct tbs_diag *diag)
{
    TPM2B_PUBLIC template;
    *ret_blob = (struct tpm_blob){0};
    snprintf(ret_blob->id, sizeof ret_blob->id, "%s", id);
    snprintf(ret_blob->label, sizeof ret_blob->label, "%s", label ? label : "");
    enum tbs_err err = tpm_key_template(id, alg, &template, diag);
    if (err == TBS_OK)
        err = create_key(token, &template, ret_blob, diag);
    return err != TBS_OK ? err : try_new(token, ret_blob, ret_key, diag);
}

/* Until it is listed the new key has no place; nobody may use it before. */
enum tbs_err tpm_generate_key(void *token_, enum custody_role role, enum custody_alg alg,
                              const char *id, const char *label, struct custody_key *ret_key,
                              struct tbs_diag *diag)
{
    struct tpm_token *token = token_;
    TPM_IN_TURN(token);
    struct custody_key key;
    struct tpm_blob blob;
    (void)role; /* the id says it */
    enum tbs_err err = tpm_make_key(token, alg, id, label, &blob, &key, diag);
    if (err == TBS_OK)
        err = tpm_blob_write(token->dir, &blob, diag);
    if (err == TBS_OK)
        *ret_key = key;
    return err;
}

enum tbs_err tpm_destroy_key(void *token_, const struct custody_key *key, struct tbs_diag *diag)
{
    struct tpm_token *token = token_;
    TPM_IN_TURN(token);
    for (size_t i = 0; i < token->n_keys; i++)
        if (strcmp(token->keys[i].blob.id, key->id) == 0)
            tpm_flush(token, &token->keys[i].handle);
    return tpm_blob_remove(token->dir, key->id, diag);
}
