/* A sealed PIN opened: the state is looked for among the signed ones, and the TPM is shown that it
 * is one (TPM 2.0 Library, part 1, 19.7.11). */
#include "sealed.h"

#include <openssl/crypto.h>
#include <string.h>

static enum tbs_err broken_policy(TSS2_RC rc, const struct sealed_pin *sealed,
                                  struct tbs_diag *diag)
{
    return tpm_fail(diag, rc, "showing the TPM that the state which %.100s wants is signed",
                    sealed->path);
}

/* The state, out of those that are signed, in which the host is now. */
static enum tbs_err find_state(struct tpm_token *token, const struct sealed_pin *sealed,
                               const struct sealed_policy **ret_policy, struct tbs_diag *diag)
{
    struct sealed_pin_pcrs now;
    uint32_t differ = 0;
    char names[POLICY_NAMES_MAX];
    if (sealed->n_policies == 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "no PCR policy is signed in %.180s yet, so nothing opens it: run tbs-admin "
                        "pin reseal",
                        sealed->path);
    enum tbs_err err = sealed_read_pcrs(token, sealed_pin_chosen(sealed), &now, diag);
    if (err != TBS_OK)
        return err;
    const struct sealed_policy *policy = sealed_nearest(sealed, &now, &differ);
    policy_names(differ, names);
    if (differ != 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the PIN in %.120s stays sealed: %s %s from what is signed; after a change "
                        "that was wanted run tbs-admin pin reseal",
                        sealed->path, names,
                        __builtin_popcount(differ) == 1 ? "differs" : "differ");
    *ret_policy = policy;
    return TBS_OK;
}

/* The Name is compared before it salts a session: who stands between us and the TPM has no primary
 * of that Name. */
static enum tbs_err find_primary(struct tpm_token *token, const struct sealed_pin *sealed,
                                 struct tbs_diag *diag)
{
    uint8_t name[SEALED_NAME_LEN];
    enum tbs_err err = tpm_make_primary(token, &token->storage, diag);
    if (err == TBS_OK)
        err = sealed_name_primary(token, name, diag);
    if (err != TBS_OK)
        return err;
    return memcmp(name, sealed->primary, sizeof name) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CONFIG,
                          "the PIN in %.150s was sealed to another TPM, or this one was cleared "
                          "since; seal it anew with tbs-admin pin seal",
                          sealed->path);
}

static enum tbs_err start_policy(struct tpm_token *token, const struct sealed_policy *policy,
                                 const struct sealed_pin *sealed, struct tbs_diag *diag)
{
    static const TPMT_SYM_DEF aes_cfb = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    TPM2B_DIGEST digest = {.size = SEALED_DIGEST_LEN};
    TPML_PCR_SELECTION chosen;
    policy_selection(policy->pcrs.chosen, &chosen);
    if (!policy_pcr_digest(&policy->pcrs, digest.buffer))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do SHA-256");
    TSS2_RC rc = Esys_StartAuthSession(token->esys, token->storage, ESYS_TR_NONE, ESYS_TR_NONE,
                                       ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &aes_cfb,
                                       TPM2_ALG_SHA256, &token->session);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "opening a session with the TPM");
    rc = Esys_PolicyPCR(token->esys, token->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                        &digest, &chosen);
    return rc == TSS2_RC_SUCCESS ? TBS_OK : broken_policy(rc, sealed, diag);
}

/* The TPM's own word that the signature is right. */
static enum tbs_err verify(struct tpm_token *token, const TPM2B_PUBLIC *key,
                           const TPM2B_DIGEST *digest, const TPMT_SIGNATURE *signature,
                           TPM2B_NAME *ret_name, TPMT_TK_VERIFIED *ret_ticket,
                           const struct sealed_pin *sealed, struct tbs_diag *diag)
{
    ESYS_TR handle = ESYS_TR_NONE;
    TPM2B_NAME *name = NULL;
    TPMT_TK_VERIFIED *ticket = NULL;
    TSS2_RC rc = Esys_LoadExternal(token->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, key,
                                   ESYS_TR_RH_OWNER, &handle);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_GetName(token->esys, handle, &name);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_VerifySignature(token->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                  digest, signature, &ticket);
    tpm_flush(token, &handle);
    if (rc == TSS2_RC_SUCCESS) {
        *ret_name = *name;
        *ret_ticket = *ticket;
    }
    Esys_Free(name);
    Esys_Free(ticket);
    return rc == TSS2_RC_SUCCESS ? TBS_OK : broken_policy(rc, sealed, diag);
}

static enum tbs_err authorize(struct tpm_token *token, const struct sealed_policy *policy,
                              const struct sealed_pin *sealed, struct tbs_diag *diag)
{
    uint8_t to_sign[SEALED_PIN_TO_SIGN_LEN];
    TPM2B_DIGEST digest = {.size = SEALED_DIGEST_LEN}, approved = {.size = SEALED_DIGEST_LEN};
    TPM2B_NONCE reference = {.size = SEALED_DIGEST_LEN};
    TPM2B_PUBLIC key;
    TPMT_SIGNATURE signature;
    TPMT_TK_VERIFIED ticket;
    TPM2B_NAME name;
    enum tbs_err err = sealed_pin_to_sign(sealed, &policy->pcrs, to_sign, diag);
    if (err == TBS_OK)
        err = authority_public(tbs_bytes(sealed->authority, sealed->authority_len), &key, diag);
    if (err != TBS_OK)
        return err;
    if (!policy_sha256(tbs_bytes(to_sign, sizeof to_sign), digest.buffer) ||
        !authority_signature(tbs_bytes(policy->signature, policy->signature_len), &signature))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to take a signature apart");
    memcpy(approved.buffer, to_sign, SEALED_DIGEST_LEN);
    memcpy(reference.buffer, sealed->reference, SEALED_DIGEST_LEN);
    err = verify(token, &key, &digest, &signature, &name, &ticket, sealed, diag);
    if (err != TBS_OK)
        return err;
    TSS2_RC rc = Esys_PolicyAuthorize(token->esys, token->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                      ESYS_TR_NONE, &approved, &reference, &name, &ticket);
    return rc == TSS2_RC_SUCCESS ? TBS_OK : broken_policy(rc, sealed, diag);
}

static enum tbs_err unseal(struct tpm_token *token, const struct sealed_pin *sealed,
                           struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    ESYS_TR handle = ESYS_TR_NONE;
    TPM2B_SENSITIVE_DATA *pin = NULL;
    TSS2_RC rc = Esys_Load(token->esys, token->storage, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                           ESYS_TR_NONE, &sealed->private, &sealed->public, &handle);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Unseal(token->esys, handle, tpm_session(token, false, true), ESYS_TR_NONE,
                         ESYS_TR_NONE, &pin);
    tpm_wipe_traces(token);
    tpm_flush(token, &handle);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "opening the sealed PIN %.100s", sealed->path);
    enum tbs_err err = tbs_secret_copy(tbs_bytes(pin->buffer, pin->size), ret_pin, diag);
    OPENSSL_cleanse(pin, sizeof *pin);
    Esys_Free(pin);
    return err;
}

enum tbs_err sealed_pin_open(const char *tcti, const struct sealed_pin *sealed,
                             struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    struct tpm_token token;
    const struct sealed_policy *policy = NULL;
    enum tbs_err err = sealed_connect(&token, tcti, diag);
    if (err == TBS_OK)
        err = find_primary(&token, sealed, diag);
    if (err == TBS_OK)
        err = find_state(&token, sealed, &policy, diag);
    if (err == TBS_OK)
        err = start_policy(&token, policy, sealed, diag);
    if (err == TBS_OK)
        err = authorize(&token, policy, sealed, diag);
    if (err == TBS_OK)
        err = unseal(&token, sealed, ret_pin, diag);
    tpm_disconnect(&token);
    return err;
}
