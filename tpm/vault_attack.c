/* Attempts that a TPM must refuse, made on a key that is to be used. */
#include "vault_internal.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

struct attack {
    struct tpm_vault *v;
    struct tpm_object *o;
};

/* To nobody's key, so in the clear; the role DUP asks for a policy session besides. */
static TSS2_RC duplicate(struct attack *a)
{
    static const TPMT_SYM_DEF_OBJECT none = {.algorithm = TPM2_ALG_NULL};
    TPM2B_DATA *key = NULL;
    TPM2B_PRIVATE *duplicate = NULL;
    TPM2B_ENCRYPTED_SECRET *seed = NULL;
    TSS2_RC rc = Esys_Duplicate(a->v->token.esys, a->o->handle, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD,
                                ESYS_TR_NONE, ESYS_TR_NONE, NULL, &none, &key, &duplicate, &seed);
    Esys_Free(key);
    Esys_Free(duplicate);
    Esys_Free(seed);
    return rc;
}

/* To a storage key of the attacker's, with a policy that lets it go there. */
static TSS2_RC duplicate_to_own(struct attack *a)
{
    static const TPM2B_SENSITIVE_CREATE sensitive;
    static const TPM2B_DATA outside;
    static const TPML_PCR_SELECTION pcrs;
    static const TPMT_SYM_DEF_OBJECT none = {.algorithm = TPM2_ALG_NULL};
    ESYS_CONTEXT *esys = a->v->token.esys;
    TPM2B_PUBLIC template;
    TPML_DIGEST branches = {.count = 2};
    ESYS_TR own = ESYS_TR_NONE, policy = ESYS_TR_NONE;
    TPM2B_NAME *name = NULL;
    TPM2B_DATA *key = NULL;
    TPM2B_PRIVATE *private = NULL;
    TPM2B_ENCRYPTED_SECRET *seed = NULL;
    tpm_primary_template(&template);
    TSS2_RC rc =
        Esys_CreatePrimary(esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           &sensitive, &template, &outside, &pcrs, &own, NULL, NULL, NULL, NULL);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_GetName(esys, own, &name);
    branches.digests[0].size = branches.digests[1].size = ATTEST_DIGEST_LEN;
    if (rc == TSS2_RC_SUCCESS &&
        (attest_id_policy(a->o->blob.id, branches.digests[0].buffer, NULL) != TBS_OK ||
         attest_select_policy(name->name, branches.digests[1].buffer, NULL) != TBS_OK))
        rc = TSS2_ESYS_RC_GENERAL_FAILURE;
    if (rc == TSS2_RC_SUCCESS)
        rc = tpm_select_parent(a->v, a->o, name, &branches, &policy);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Duplicate(esys, a->o->handle, own, policy, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                            &none, &key, &private, &seed);
    Esys_Free(name);
    Esys_Free(key);
    Esys_Free(private);
    Esys_Free(seed);
    tpm_flush(&a->v->token, &policy);
    tpm_flush(&a->v->token, &own);
    return rc;
}

static TSS2_RC unseal(struct attack *a)
{
    TPM2B_SENSITIVE_DATA *data = NULL;
    TSS2_RC rc = Esys_Unseal(a->v->token.esys, a->o->handle, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                             ESYS_TR_NONE, &data);
    Esys_Free(data);
    return rc;
}

static TSS2_RC load_with(struct attack *a, TPMA_OBJECT other)
{
    struct tpm_blob blob = a->o->blob;
    ESYS_TR handle = ESYS_TR_NONE;
    blob.public.publicArea.objectAttributes ^= other;
    TSS2_RC rc =
        Esys_Load(a->v->token.esys, a->v->token.storage, tpm_session(&a->v->token, true, true),
                  ESYS_TR_NONE, ESYS_TR_NONE, &blob.private, &blob.public, &handle);
    tpm_flush(&a->v->token, &handle);
    return rc;
}

static TSS2_RC load_movable(struct attack *a)
{
    return load_with(a, TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT);
}

static TSS2_RC load_deciphering(struct attack *a)
{
    return load_with(a, TPMA_OBJECT_DECRYPT);
}

static TSS2_RC load_renamed(struct attack *a)
{
    struct tpm_blob blob = a->o->blob;
    ESYS_TR handle = ESYS_TR_NONE;
    blob.public.publicArea.authPolicy.buffer[0] ^= 1;
    TSS2_RC rc =
        Esys_Load(a->v->token.esys, a->v->token.storage, tpm_session(&a->v->token, true, true),
                  ESYS_TR_NONE, ESYS_TR_NONE, &blob.private, &blob.public, &handle);
    tpm_flush(&a->v->token, &handle);
    return rc;
}

/* noDA: it costs the TPM's lockout nothing. */
static TSS2_RC use_without_pin(struct attack *a)
{
    static const TPM2B_AUTH wrong = {.size = 5, .buffer = "wrong"};
    static const TPM2B_DIGEST digest = {.size = CUSTODY_DIGEST_LEN};
    static const TPMT_SIG_SCHEME own = {.scheme = TPM2_ALG_NULL};
    static const TPMT_TK_HASHCHECK none = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPMT_SIGNATURE *signature = NULL;
    ESYS_CONTEXT *esys = a->v->token.esys;
    TSS2_RC rc = Esys_TR_SetAuth(esys, a->o->handle, &wrong);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Sign(esys, a->o->handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                       &own, &none, &signature);
    Esys_Free(signature);
    Esys_TR_SetAuth(esys, a->o->handle, &a->v->token.pin);
    return rc;
}

static TSS2_RC decipher(struct attack *a)
{
    static const TPM2B_ECC_POINT point = {.size = sizeof(TPMS_ECC_POINT)};
    static const TPM2B_MAX_BUFFER data = {.size = 16};
    static const TPM2B_IV iv = {.size = 16};
    TPM2B_ECC_POINT *shared = NULL;
    TPM2B_MAX_BUFFER *out = NULL;
    TPM2B_IV *next = NULL;
    TSS2_RC rc =
        a->o->blob.public.publicArea.type == TPM2_ALG_ECC
            ? Esys_ECDH_ZGen(a->v->token.esys, a->o->handle, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                             ESYS_TR_NONE, &point, &shared)
            : Esys_EncryptDecrypt2(a->v->token.esys, a->o->handle, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                   ESYS_TR_NONE, &data, TPM2_YES, TPM2_ALG_CFB, &iv, &out, &next);
    Esys_Free(shared);
    Esys_Free(out);
    Esys_Free(next);
    return rc;
}

/* An answer of the way to the TPM proves nothing of the TPM. */
static enum tbs_err note(json_t *attempts, const char *name, TSS2_RC rc, struct tbs_diag *diag)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    if (rc != TSS2_RC_SUCCESS && layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return tpm_fail(diag, rc, "trying to %s", name);
    json_t *attempt = json_pack("{s:s, s:o, s:b}", "name", name, "rv", json_sprintf("0x%03x", rc),
                                "refused", rc != TSS2_RC_SUCCESS);
    return json_array_append_new(attempts, attempt) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the attempts on a key");
}

static enum tbs_err try_all(struct attack *a, json_t *attempts, struct tbs_diag *diag)
{
    static const struct {
        const char *name;
        TSS2_RC (*attempt)(struct attack *a);
    } all[] = {
        {"duplicate it to nobody", duplicate},
        {"duplicate it to a storage key of one's own", duplicate_to_own},
        {"unseal it", unseal},
        {"decipher with it", decipher},
        {"use it without the PIN", use_without_pin},
        {"load it as one that can move", load_movable},
        {"load it as one that deciphers", load_deciphering},
        {"load it with another policy", load_renamed},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        VAULT_TRY(note(attempts, all[i].name, all[i].attempt(a), diag));
    return TBS_OK;
}

enum tbs_err tpm_vault_attack(struct vault *base, const char *id, json_t **ret_attempts,
                              struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    struct tpm_object o;
    json_t *attempts = json_array();
    enum tbs_err err = tpm_object_load(v, id, &o, diag);
    if (err == TBS_OK) {
        err = try_all(&(struct attack){v, &o}, attempts, diag);
        tpm_object_drop(v, &o);
    }
    if (err == TBS_OK)
        *ret_attempts = attempts;
    else
        json_decref(attempts);
    return err;
}
