/* What the TPM must refuse to somebody who has the key files, or the PIN, too. */
#include "selftest_checks.h"

#include <stdio.h>
#include <string.h>

static const char unusable[] =
    "keep no real keys in this TPM: whoever has the files and the PIN has them";

/* Refused with this answer, as it must be; with another one, to be known; or not at all. */
static void conclude(struct selftest_finding *f, TSS2_RC rc, const char *meaning)
{
    if (rc == TSS2_RC_SUCCESS)
        selftest_says(f, SELFTEST_DANGER, unusable, "%s", meaning);
    else
        selftest_says(f, SELFTEST_REFUSED, NULL, "%s", tpm_rc_name(rc));
}

static struct tpm_blob *blob_of(struct tpm_checks *c, struct selftest_finding *f)
{
    if (c->has[CUSTODY_HMAC_SHA_256])
        return &c->trial.token->keys[c->key[CUSTODY_HMAC_SHA_256].handle].blob;
    selftest_says(f, SELFTEST_CANNOT, NULL, "there is no key to try it with");
    return NULL;
}

/* Loads a key that is as it must be or not, and forgets it. */
static TSS2_RC load(struct tpm_checks *c, ESYS_TR parent, const struct tpm_blob *blob)
{
    struct tpm_token *token = c->trial.token;
    struct tbs_diag why = {0};
    ESYS_TR handle = ESYS_TR_NONE;
    tpm_unload_keys(token);
    enum tbs_err err = tpm_load(
        token, parent, parent == token->storage ? tpm_session(token, true, true) : ESYS_TR_PASSWORD,
        blob, &handle, &why);
    tpm_flush(token, &handle);
    return err == TBS_OK ? TSS2_RC_SUCCESS : (TSS2_RC)why.raw;
}

static void change_a_file(struct tpm_checks *c, struct selftest_finding *f)
{
    const struct tpm_blob *ours = blob_of(c, f);
    if (!ours)
        return;
    struct tpm_blob blob = *ours;
    blob.private.buffer[blob.private.size - 1] ^= 1;
    conclude(f, load(c, c->trial.token->storage, &blob), "a changed private area was taken");
}

static void change_attributes(struct tpm_checks *c, struct selftest_finding *f)
{
    const struct tpm_blob *ours = blob_of(c, f);
    if (!ours)
        return;
    struct tpm_blob blob = *ours;
    blob.public.publicArea.objectAttributes &= ~(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT);
    conclude(f, load(c, c->trial.token->storage, &blob),
             "a key that may not be duplicated was taken as one that may");
}

static void load_elsewhere(struct tpm_checks *c, struct selftest_finding *f)
{
    const struct tpm_blob *ours = blob_of(c, f);
    struct tbs_diag why = {0};
    ESYS_TR primary = ESYS_TR_NONE;
    if (!ours)
        return;
    tpm_unload_keys(c->trial.token);
    if (tpm_make_primary(c->trial.token, &primary, &why) != TBS_OK) {
        selftest_says(f, SELFTEST_CANNOT, NULL, "%s", why.text);
        return;
    }
    conclude(f, load(c, primary, ours), "a key was taken below another parent");
    tpm_flush(c->trial.token, &primary);
}

static bool handle_of(struct tpm_checks *c, struct selftest_finding *f, ESYS_TR *ret_handle)
{
    struct tbs_diag why = {0};
    if (!blob_of(c, f))
        return false;
    if (tpm_key_handle(c->trial.token, &c->key[CUSTODY_HMAC_SHA_256], ret_handle, &why) == TBS_OK)
        return true;
    selftest_says(f, SELFTEST_UNFIT, tpm_check_other, "%s", why.text);
    return false;
}

static void duplicate(struct tpm_checks *c, struct selftest_finding *f)
{
    static const TPMT_SYM_DEF_OBJECT none = {.algorithm = TPM2_ALG_NULL};
    static const TPM2B_DATA no_key;
    struct tpm_token *token = c->trial.token;
    TPM2B_DATA *key = NULL;
    TPM2B_PRIVATE *private = NULL;
    TPM2B_ENCRYPTED_SECRET *seed = NULL;
    ESYS_TR handle;
    if (!handle_of(c, f, &handle))
        return;
    TSS2_RC rc =
        Esys_Duplicate(token->esys, handle, ESYS_TR_RH_NULL, tpm_session(token, false, false),
                       ESYS_TR_NONE, ESYS_TR_NONE, &no_key, &none, &key, &private, &seed);
    Esys_Free(key);
    Esys_Free(private);
    Esys_Free(seed);
    conclude(f, rc, "it was given away in the clear");
}

static void read_a_key(struct tpm_checks *c, struct selftest_finding *f)
{
    struct tpm_token *token = c->trial.token;
    TPM2B_SENSITIVE_DATA *octets = NULL;
    ESYS_TR handle;
    if (!handle_of(c, f, &handle))
        return;
    TSS2_RC rc = Esys_Unseal(token->esys, handle, tpm_session(token, false, false), ESYS_TR_NONE,
                             ESYS_TR_NONE, &octets);
    Esys_Free(octets);
    conclude(f, rc, "the TPM unsealed it");
}

/* With a password that is not the PIN: a session would prove the same. */
static TSS2_RC use_with(struct tpm_checks *c, ESYS_TR handle, const TPM2B_AUTH *password)
{
    struct tpm_token *token = c->trial.token;
    TPM2B_MAX_BUFFER data = {.size = 4};
    TPM2B_DIGEST *mac = NULL;
    TSS2_RC rc = Esys_TR_SetAuth(token->esys, handle, password);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_HMAC(token->esys, handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data,
                       TPM2_ALG_NULL, &mac);
    Esys_TR_SetAuth(token->esys, handle, &token->pin);
    Esys_Free(mac);
    return rc;
}

/* BAD_AUTH is of an object that the lockout does not count, AUTH_FAIL of one that it does. */
static void use_without_pin(struct tpm_checks *c, struct selftest_finding *f)
{
    static const TPM2B_AUTH no_password, wrong = {.size = 5, .buffer = "wrong"};
    ESYS_TR handle;
    if (!handle_of(c, f, &handle))
        return;
    TSS2_RC rc = use_with(c, handle, &no_password);
    if (rc != TSS2_RC_SUCCESS)
        rc = use_with(c, handle, &wrong);
    if (strcmp(tpm_rc_name(rc), "AUTH_FAIL") == 0)
        selftest_says(f, SELFTEST_UNFIT, tpm_check_other,
                      "refused, but counted against the TPM's lockout in spite of noDA");
    else
        conclude(f, rc, "a key works without the PIN");
}

static void plant(struct tpm_checks *c, struct selftest_finding *f)
{
    struct tbs_diag why = {0};
    struct custody_key key;
    struct tpm_blob blob;
    if (tpm_check_known_key(c, CUSTODY_HMAC_SHA_256, &blob, &why) != TBS_OK)
        selftest_says(f, SELFTEST_CANNOT, NULL, "%s", why.text);
    else if (tpm_judge_key(&blob, &blob.public, &key, &why) == TBS_OK)
        selftest_says(f, SELFTEST_DANGER, unusable, "a key that somebody knows passes for ours");
    else
        selftest_says(f, SELFTEST_REFUSED, NULL, "by its attribute sensitiveDataOrigin");
}

/* The public area says it was made in the TPM; the private one is bound to that it was not. */
static void plant_in_disguise(struct tpm_checks *c, struct selftest_finding *f)
{
    struct tbs_diag why = {0};
    struct tpm_blob blob;
    if (tpm_check_known_key(c, CUSTODY_HMAC_SHA_256, &blob, &why) != TBS_OK) {
        selftest_says(f, SELFTEST_CANNOT, NULL, "%s", why.text);
        return;
    }
    blob.public.publicArea.objectAttributes |= TPMA_OBJECT_SENSITIVEDATAORIGIN;
    conclude(f, load(c, c->trial.token->storage, &blob),
             "a key that somebody knows was taken as made in the TPM");
}

const struct tpm_check tpm_checks_attacks[] = {
    {"use a key without the PIN", use_without_pin},
    {"read a key", read_a_key},
    {"duplicate a key", duplicate},
    {"change a key's file", change_a_file},
    {"change a key's attributes", change_attributes},
    {"load a key elsewhere", load_elsewhere},
    {"plant a known key", plant},
    {"hide that it is known", plant_in_disguise},
    {0},
};
