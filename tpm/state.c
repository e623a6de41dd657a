/* States of the host: the PCRs as they are, and those that the operators have signed. */
#include "sealed.h"

#include <string.h>

/* --- PCRs --- */

/* A TPM gives some eight at a time, and says which. */
static enum tbs_err read_some(struct tpm_token *token, struct sealed_pin_pcrs *pcrs,
                              uint32_t *missing, struct tbs_diag *diag)
{
    TPML_PCR_SELECTION wanted, *given = NULL;
    TPML_DIGEST *values = NULL;
    policy_selection(*missing, &wanted);
    TSS2_RC rc = Esys_PCR_Read(token->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted, NULL,
                               &given, &values);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "reading the PCRs");
    const TPMS_PCR_SELECTION *bank = &given->pcrSelections[0];
    UINT32 n = 0;
    for (unsigned i = 0; given->count == 1 && i < bank->sizeofSelect * 8u; i++)
        if (bank->pcrSelect[i / 8] >> i % 8 & 1 && n < values->count && *missing >> i & 1 &&
            values->digests[n].size == SEALED_PIN_PCR_LEN) {
            memcpy(pcrs->value[i], values->digests[n++].buffer, SEALED_PIN_PCR_LEN);
            *missing &= ~(UINT32_C(1) << i);
        }
    Esys_Free(given);
    Esys_Free(values);
    return n > 0 ? TBS_OK
                 : tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                            "this TPM keeps not all of these PCRs in SHA-256; its firmware may "
                            "offer to switch that bank on");
}

enum tbs_err sealed_read_pcrs(struct tpm_token *token, uint32_t chosen,
                              struct sealed_pin_pcrs *ret_pcrs, struct tbs_diag *diag)
{
    struct sealed_pin_pcrs pcrs = {.chosen = chosen};
    enum tbs_err err = TBS_OK;
    for (uint32_t missing = chosen; err == TBS_OK && missing != 0;)
        err = read_some(token, &pcrs, &missing, diag);
    if (err == TBS_OK)
        *ret_pcrs = pcrs;
    return err;
}

enum tbs_err sealed_pin_read_pcrs(const char *tcti, uint32_t chosen,
                                  struct sealed_pin_pcrs *ret_pcrs, struct tbs_diag *diag)
{
    struct tpm_token token;
    enum tbs_err err = sealed_connect(&token, tcti, diag);
    if (err == TBS_OK)
        err = sealed_read_pcrs(&token, chosen, ret_pcrs, diag);
    tpm_disconnect(&token);
    return err;
}

/* --- Signed states --- */

enum tbs_err sealed_pin_to_sign(const struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                                uint8_t ret_octets[SEALED_PIN_TO_SIGN_LEN], struct tbs_diag *diag)
{
    if (!policy_pcr(pcrs, ret_octets))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to make a policy's digest");
    memcpy(ret_octets + SEALED_DIGEST_LEN, sealed->reference, sizeof sealed->reference);
    return TBS_OK;
}

enum tbs_err sealed_pin_approve(struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                                struct tbs_bytes signature, bool keep, struct tbs_diag *diag)
{
    struct sealed_policy policy = {.pcrs = *pcrs, .signature_len = signature.len};
    uint8_t to_sign[SEALED_PIN_TO_SIGN_LEN];
    if (pcrs->chosen == 0 || pcrs->chosen >> SEALED_PIN_PCRS != 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a PCR policy is about one PCR or more, of 0 to %d",
                        SEALED_PIN_PCRS - 1);
    enum tbs_err err = sealed_pin_to_sign(sealed, pcrs, to_sign, diag);
    if (err != TBS_OK)
        return err;
    if (signature.len == 0 || signature.len > sizeof policy.signature ||
        !authority_verifies(sealed, tbs_bytes(to_sign, sizeof to_sign), signature))
        return tbs_fail(diag, TBS_ERR_AUTH,
                        "this signature is not by the key that the PIN was sealed for, over these "
                        "PCRs with these values");
    memcpy(policy.signature, signature.data, signature.len);
    size_t kept = keep ? sealed->n_policies : 0;
    if (kept == SEALED_PIN_POLICIES_MAX)
        kept--;
    memmove(sealed->policies + 1, sealed->policies, kept * sizeof policy);
    sealed->policies[0] = policy;
    sealed->n_policies = kept + 1;
    return TBS_OK;
}

uint32_t sealed_pin_chosen(const struct sealed_pin *sealed)
{
    uint32_t chosen = 0;
    for (size_t i = 0; i < sealed->n_policies; i++)
        chosen |= sealed->policies[i].pcrs.chosen;
    return chosen;
}

static uint32_t differing(const struct sealed_pin_pcrs *want, const struct sealed_pin_pcrs *now)
{
    uint32_t differ = 0;
    for (unsigned i = 0; i < SEALED_PIN_PCRS; i++)
        if (want->chosen >> i & 1 && memcmp(want->value[i], now->value[i], SEALED_PIN_PCR_LEN) != 0)
            differ |= UINT32_C(1) << i;
    return differ;
}

const struct sealed_policy *sealed_nearest(const struct sealed_pin *sealed,
                                           const struct sealed_pin_pcrs *now, uint32_t *ret_differ)
{
    const struct sealed_policy *best = NULL;
    for (size_t i = 0; i < sealed->n_policies; i++) {
        uint32_t differ = differing(&sealed->policies[i].pcrs, now);
        if (best && __builtin_popcount(differ) >= __builtin_popcount(*ret_differ))
            continue;
        best = &sealed->policies[i];
        *ret_differ = differ;
    }
    return best;
}

bool sealed_pin_nearest(const struct sealed_pin *sealed, const struct sealed_pin_pcrs *now,
                        struct sealed_pin_pcrs *ret_signed, uint32_t *ret_differ)
{
    const struct sealed_policy *best = sealed_nearest(sealed, now, ret_differ);
    if (best)
        *ret_signed = best->pcrs;
    return best != NULL;
}
