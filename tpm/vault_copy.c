/* Keys that go to other TPMs: their Names bind who may get them (TPM2_PolicyDuplicationSelect). */
#include "vault_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "base/base64.h"

#define WRAPPED_MAX 4096 /* octets of a key on its way */

/* --- Parents --- */

static bool take_point(EVP_PKEY *key, TPMS_ECC_POINT *point)
{
    uint8_t octets[CUSTODY_POINT_LEN];
    size_t len = 0, half = (CUSTODY_POINT_LEN - 1) / 2;
    if (!key ||
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, octets,
                                        sizeof octets, &len) != 1 ||
        len != sizeof octets || octets[0] != 4)
        return false;
    point->x.size = point->y.size = (UINT16)half;
    memcpy(point->x.buffer, octets + 1, half);
    memcpy(point->y.buffer, octets + 1 + half, half);
    return true;
}

/* All but the point of a storage key of ours is fixed, so its public key gives its public area. */
static enum tbs_err parent_of(struct tbs_bytes spki, TPM2B_PUBLIC *ret_public,
                              uint8_t ret_name[ATTEST_NAME_LEN], struct tbs_diag *diag)
{
    const unsigned char *at = spki.data;
    uint8_t octets[sizeof(TPM2B_PUBLIC)];
    size_t len = 0;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    enum tbs_err err = tpm_storage_template(ret_public, diag);
    if (err == TBS_OK && (!take_point(key, &ret_public->publicArea.unique.ecc) ||
                          !tpm_marshal_public(ret_public, octets, &len)))
        err = tbs_fail(diag, TBS_ERR_MALFORMED,
                       "a storage key of a TPM is on P-256, and this is not");
    EVP_PKEY_free(key);
    return err != TBS_OK ? err : attest_name(tbs_bytes(octets, len), ret_name, diag);
}

/* --- The storage key itself --- */

enum tbs_err tpm_vault_storage(struct tpm_vault *v, struct tpm_object *ret_object,
                               struct tbs_diag *diag)
{
    VAULT_TRY(tpm_vault_use(v, diag));
    VAULT_TRY(tpm_blob_read(v->dir, TPM_TOKEN_FILE, &ret_object->blob, diag));
    ret_object->handle = v->token.storage;
    return tpm_object_read(v, ret_object, diag);
}

enum tbs_err tpm_vault_transport_make(struct vault *base, const char *id, json_t **ret_key,
                                      struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    struct tpm_object o;
    (void)id; /* it is there since the token was made */
    VAULT_TRY(tpm_vault_storage(v, &o, diag));
    return tpm_object_tell(v, &o, ret_key, diag);
}

/* Nothing is put into this TPM: a key's own Name will say who may get it. */
enum tbs_err tpm_vault_transport_trust(struct vault *base, const char *id, struct tbs_bytes spki,
                                       json_t **ret_key, struct tbs_diag *diag)
{
    struct tpm_object o = {0};
    uint8_t name[ATTEST_NAME_LEN];
    size_t len = 0;
    snprintf(o.blob.id, sizeof o.blob.id, "%s", id);
    VAULT_TRY(parent_of(spki, &o.blob.public, name, diag));
    if (!tpm_marshal_public(&o.blob.public, o.octets, &len))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the storage key %s has no public area", id);
    o.area = tbs_bytes(o.octets, len);
    return tpm_object_tell(tpm_vault(base), &o, ret_key, diag);
}

/* --- Away --- */

/* In the order of its authPolicy: the id, which nothing satisfies, and each parent. */
static enum tbs_err branches_of(const struct tpm_blob *blob, TPML_DIGEST *ret,
                                struct tbs_diag *diag)
{
    *ret = (TPML_DIGEST){.count = (UINT32)(1 + blob->n_parents)};
    VAULT_TRY(attest_id_policy(blob->id, ret->digests[0].buffer, diag));
    for (size_t i = 0; i < blob->n_parents; i++)
        VAULT_TRY(attest_select_policy(blob->parents[i], ret->digests[1 + i].buffer, diag));
    for (UINT32 i = 0; i < ret->count; i++)
        ret->digests[i].size = ATTEST_DIGEST_LEN;
    return TBS_OK;
}

TSS2_RC tpm_select_parent(struct tpm_vault *v, const struct tpm_object *o, const TPM2B_NAME *parent,
                          const TPML_DIGEST *branches, ESYS_TR *ret_policy)
{
    static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    TPM2B_NAME name = {.size = ATTEST_NAME_LEN};
    if (attest_name(o->area, name.name, NULL) != TBS_OK)
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    TSS2_RC rc = Esys_StartAuthSession(v->token.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none,
                                       TPM2_ALG_SHA256, ret_policy);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_PolicyDuplicationSelect(v->token.esys, *ret_policy, ESYS_TR_NONE, ESYS_TR_NONE,
                                          ESYS_TR_NONE, &name, parent, TPM2_NO);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_PolicyOR(v->token.esys, *ret_policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                           branches);
    return rc;
}

static bool put_way(const struct tpm_blob *blob, const TPM2B_PRIVATE *private,
                    const TPM2B_ENCRYPTED_SECRET *seed, struct tbs_buf *octets)
{
    uint8_t part[WRAPPED_MAX];
    size_t len = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(&blob->public, part, sizeof part, &len) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(private, part, sizeof part, &len) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_ENCRYPTED_SECRET_Marshal(seed, part, sizeof part, &len) != TSS2_RC_SUCCESS)
        return false;
    tbs_put_bytes(octets, tbs_bytes(part, len));
    tbs_put_u8(octets, (uint8_t)blob->n_parents);
    for (size_t i = 0; i < blob->n_parents; i++)
        tbs_put_bytes(octets, tbs_bytes(blob->parents[i], ATTEST_NAME_LEN));
    return !octets->failed;
}

static TSS2_RC duplicate(struct tpm_vault *v, const struct tpm_object *o,
                         const TPM2B_PUBLIC *parent, const TPM2B_NAME *name,
                         const TPML_DIGEST *branches, TPM2B_PRIVATE **ret_private,
                         TPM2B_ENCRYPTED_SECRET **ret_seed)
{
    static const TPMT_SYM_DEF_OBJECT none = {.algorithm = TPM2_ALG_NULL};
    ESYS_TR policy = ESYS_TR_NONE, to = ESYS_TR_NONE;
    TPM2B_DATA *key = NULL;
    TSS2_RC rc = Esys_LoadExternal(v->token.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                                   parent, ESYS_TR_RH_NULL, &to);
    if (rc == TSS2_RC_SUCCESS)
        rc = tpm_select_parent(v, o, name, branches, &policy);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Duplicate(v->token.esys, o->handle, to, policy, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                            &none, &key, ret_private, ret_seed);
    Esys_Free(key);
    tpm_flush(&v->token, &policy);
    tpm_flush(&v->token, &to);
    return rc;
}

static enum tbs_err send(struct tpm_vault *v, const struct tpm_object *o,
                         const struct vault_recipient *to, json_t *wrapped, struct tbs_diag *diag)
{
    TPM2B_PUBLIC parent;
    TPM2B_NAME name = {.size = ATTEST_NAME_LEN};
    TPML_DIGEST branches;
    TPM2B_PRIVATE *private = NULL;
    TPM2B_ENCRYPTED_SECRET *seed = NULL;
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf(), text = tbs_buf();
    VAULT_TRY(parent_of(to->spki, &parent, name.name, diag));
    VAULT_TRY(branches_of(&o->blob, &branches, diag));
    TSS2_RC rc = duplicate(v, o, &parent, &name, &branches, &private, &seed);
    enum tbs_err err =
        rc == TSS2_RC_SUCCESS ? TBS_OK : tpm_fail(diag, rc, "duplicating key %s", o->blob.id);
    if (err == TBS_OK && !put_way(&o->blob, private, seed, &octets))
        err = tbs_fail(diag, TBS_ERR_TOKEN, "the TPM gave what is no duplicate");
    tbs_put_base64(&text, tbs_buf_view(&octets));
    if (err == TBS_OK &&
        json_object_set_new(wrapped, to->id, json_stringn((const char *)text.data, text.len)) != 0)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a duplicate");
    Esys_Free(private);
    Esys_Free(seed);
    return err;
}

/* --- Its PIN --- */

static const TPM2B_AUTH nothing;

/* On its way a key has none: what is around it is for one storage key alone, whose PIN it takes.
 * Where it stays it gets that of its token. */
static enum tbs_err settle(struct tpm_vault *v, struct tpm_blob *blob, json_t **ret_key,
                           struct tbs_diag *diag)
{
    struct tpm_object o;
    TPM2B_PRIVATE *private = NULL;
    VAULT_TRY(tpm_object_try(v, blob, &o, diag));
    TSS2_RC rc = Esys_TR_SetAuth(v->token.esys, o.handle, &nothing);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_ObjectChangeAuth(v->token.esys, o.handle, v->token.storage,
                                   tpm_session(&v->token, true, true), ESYS_TR_NONE, ESYS_TR_NONE,
                                   &v->token.pin, &private);
    tpm_object_drop(v, &o);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "giving key %s its PIN", blob->id);
    blob->private = *private;
    Esys_Free(private);
    return tpm_object_keep(v, blob, ret_key, diag);
}

static enum tbs_err make_and_send(struct tpm_vault *v, const TPM2B_PUBLIC *template,
                                  struct tpm_blob *blob, const struct vault_recipient *recipients,
                                  size_t n, json_t **ret_key, struct tbs_diag *diag)
{
    struct tpm_object o;
    json_t *key = NULL, *wrapped = json_object();
    enum tbs_err err = tpm_create(&v->token, v->token.storage, template, &nothing, blob, diag);
    if (err == TBS_OK)
        err = tpm_object_try(v, blob, &o, diag);
    if (err == TBS_OK) {
        for (size_t i = 0; err == TBS_OK && i < n; i++)
            err = send(v, &o, &recipients[i], wrapped, diag);
        tpm_object_drop(v, &o);
    }
    if (err == TBS_OK)
        err = settle(v, blob, &key, diag);
    if (err == TBS_OK && json_object_set(key, "wrapped", wrapped) != 0)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for duplicates");
    json_decref(wrapped);
    if (err == TBS_OK)
        *ret_key = key;
    else
        json_decref(key);
    return err;
}

enum tbs_err tpm_vault_generate_replicated(struct vault *base, const char *template, const char *id,
                                           const struct vault_recipient *recipients, size_t n,
                                           json_t **ret_key, struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    struct tpm_blob blob;
    TPM2B_PUBLIC public, parent;
    if (n == 0 || n > ATTEST_PARENTS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a TPM's key goes to 1 to %d others",
                        ATTEST_PARENTS_MAX);
    VAULT_TRY(tpm_new_blob(v, id, &blob, diag));
    for (size_t i = 0; i < n; i++)
        VAULT_TRY(parent_of(recipients[i].spki, &parent, blob.parents[i], diag));
    blob.n_parents = n;
    VAULT_TRY(tpm_template_named(template, TEMPLATE_SEALED, &blob, &public, diag));
    return TPM_WITNESSED(v, "TPM2_Duplicate",
                         json_pack("{s:s, s:s}", "id", id, "template", template), diag,
                         make_and_send(v, &public, &blob, recipients, n, ret_key, why));
}

/* --- Here --- */

static enum tbs_err read_way(struct tbs_bytes octets, struct tpm_blob *blob,
                             TPM2B_ENCRYPTED_SECRET *ret_seed, struct tbs_diag *diag)
{
    size_t at = 0;
    bool good = Tss2_MU_TPM2B_PUBLIC_Unmarshal(octets.data, octets.len, &at, &blob->public) ==
                    TSS2_RC_SUCCESS &&
                Tss2_MU_TPM2B_PRIVATE_Unmarshal(octets.data, octets.len, &at, &blob->private) ==
                    TSS2_RC_SUCCESS &&
                Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(octets.data, octets.len, &at, ret_seed) ==
                    TSS2_RC_SUCCESS;
    struct tbs_reader r = tbs_reader(tbs_bytes_slice(octets, at, octets.len - at));
    blob->n_parents = good ? tbs_read_u8(&r) : 0;
    for (size_t i = 0; i < blob->n_parents && i < ATTEST_PARENTS_MAX; i++) {
        struct tbs_bytes name = tbs_read_bytes(&r, ATTEST_NAME_LEN);
        if (name.len == ATTEST_NAME_LEN)
            memcpy(blob->parents[i], name.data, name.len);
    }
    return good && blob->n_parents > 0 && blob->n_parents <= ATTEST_PARENTS_MAX && !r.failed &&
                   tbs_reader_left(&r) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_MALFORMED, "what came for key %s is no duplicate of a TPM",
                          blob->id);
}

static enum tbs_err import(struct tpm_vault *v, struct tpm_blob *blob,
                           const TPM2B_ENCRYPTED_SECRET *seed, json_t **ret_key,
                           struct tbs_diag *diag)
{
    static const TPMT_SYM_DEF_OBJECT none = {.algorithm = TPM2_ALG_NULL};
    static const TPM2B_DATA no_key;
    TPM2B_PRIVATE *private = NULL;
    TSS2_RC rc = Esys_Import(v->token.esys, v->token.storage, tpm_session(&v->token, false, false),
                             ESYS_TR_NONE, ESYS_TR_NONE, &no_key, &blob->public, &blob->private,
                             seed, &none, &private);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "importing key %s", blob->id);
    blob->private = *private;
    Esys_Free(private);
    return settle(v, blob, ret_key, diag);
}

enum tbs_err tpm_vault_unwrap(struct vault *base, const char *template, const char *id,
                              const char *transport, enum oaep_hash oaep, struct tbs_bytes wrapped,
                              json_t **ret_key, struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    struct tpm_blob blob;
    TPM2B_PUBLIC must;
    TPM2B_ENCRYPTED_SECRET seed;
    (void)transport, (void)oaep; /* the storage key, by its nameAlg */
    VAULT_TRY(tpm_new_blob(v, id, &blob, diag));
    VAULT_TRY(read_way(wrapped, &blob, &seed, diag));
    VAULT_TRY(tpm_template_named(template, TEMPLATE_RESTORED, &blob, &must, diag));
    VAULT_TRY(tpm_judge_public(id, &blob.public, &must, diag));
    return TPM_WITNESSED(v, "TPM2_Import", json_pack("{s:s, s:s}", "id", id, "template", template),
                         diag, import(v, &blob, &seed, ret_key, why));
}
