/* Policies of sealed PINs as digests, made without a TPM: so a state can be signed before it is. */
#include "sealed.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

bool policy_sha256(struct tbs_bytes octets, uint8_t ret_digest[SEALED_DIGEST_LEN])
{
    return EVP_Digest(octets.data, octets.len, ret_digest, NULL, EVP_sha256(), NULL) == 1;
}

static bool hash_of(struct tbs_buf *octets, uint8_t ret_digest[SEALED_DIGEST_LEN])
{
    bool ok = !octets->failed && policy_sha256(tbs_buf_view(octets), ret_digest);
    tbs_buf_free(octets);
    return ok;
}

void policy_selection(uint32_t chosen, TPML_PCR_SELECTION *ret_selection)
{
    *ret_selection = (TPML_PCR_SELECTION){.count = 1};
    TPMS_PCR_SELECTION *bank = &ret_selection->pcrSelections[0];
    bank->hash = TPM2_ALG_SHA256;
    bank->sizeofSelect = SEALED_PIN_PCRS / 8;
    for (unsigned i = 0; i < bank->sizeofSelect; i++)
        bank->pcrSelect[i] = (uint8_t)(chosen >> 8 * i);
}

bool policy_pcr_digest(const struct sealed_pin_pcrs *pcrs, uint8_t ret_digest[SEALED_DIGEST_LEN])
{
    struct tbs_buf values = tbs_buf();
    for (unsigned i = 0; i < SEALED_PIN_PCRS; i++)
        if (pcrs->chosen >> i & 1)
            tbs_put_bytes(&values, tbs_bytes(pcrs->value[i], sizeof pcrs->value[i]));
    return hash_of(&values, ret_digest);
}

/* A policy's digest is of zeros at first. */
bool policy_pcr(const struct sealed_pin_pcrs *pcrs, uint8_t ret_digest[SEALED_DIGEST_LEN])
{
    uint8_t selection[sizeof(TPML_PCR_SELECTION)], digest[SEALED_DIGEST_LEN];
    TPML_PCR_SELECTION chosen;
    size_t len = 0;
    policy_selection(pcrs->chosen, &chosen);
    if (Tss2_MU_TPML_PCR_SELECTION_Marshal(&chosen, selection, sizeof selection, &len) !=
            TSS2_RC_SUCCESS ||
        !policy_pcr_digest(pcrs, digest))
        return false;
    struct tbs_buf update = tbs_buf();
    tbs_put_zeros(&update, SEALED_DIGEST_LEN);
    tbs_put_u32(&update, TPM2_CC_PolicyPCR);
    tbs_put_bytes(&update, tbs_bytes(selection, len));
    tbs_put_bytes(&update, tbs_bytes(digest, sizeof digest));
    return hash_of(&update, ret_digest);
}

static bool name_of(const struct sealed_pin *sealed, uint8_t ret_name[SEALED_NAME_LEN])
{
    uint8_t octets[sizeof(TPM2B_PUBLIC)];
    TPM2B_PUBLIC public;
    size_t len = 0;
    ret_name[0] = TPM2_ALG_SHA256 >> 8;
    ret_name[1] = TPM2_ALG_SHA256 & 0xFF;
    return authority_public(tbs_bytes(sealed->authority, sealed->authority_len), &public, NULL) ==
               TBS_OK &&
           tpm_marshal_public(&public, octets, &len) &&
           policy_sha256(tbs_bytes(octets, len), ret_name + 2);
}

bool policy_authorize(const struct sealed_pin *sealed, uint8_t ret_digest[SEALED_DIGEST_LEN])
{
    uint8_t name[SEALED_NAME_LEN], digest[SEALED_DIGEST_LEN];
    if (!name_of(sealed, name))
        return false;
    struct tbs_buf update = tbs_buf();
    tbs_put_zeros(&update, SEALED_DIGEST_LEN);
    tbs_put_u32(&update, TPM2_CC_PolicyAuthorize);
    tbs_put_bytes(&update, tbs_bytes(name, sizeof name));
    if (!hash_of(&update, digest))
        return false;
    update = tbs_buf();
    tbs_put_bytes(&update, tbs_bytes(digest, sizeof digest));
    tbs_put_bytes(&update, tbs_bytes(sealed->reference, sizeof sealed->reference));
    return hash_of(&update, ret_digest);
}

void policy_names(uint32_t pcrs, char ret_names[POLICY_NAMES_MAX])
{
    unsigned left = (unsigned)__builtin_popcount(pcrs);
    size_t len = (size_t)snprintf(ret_names, POLICY_NAMES_MAX, left == 1 ? "PCR" : "PCRs");
    const char *before = " ";
    for (unsigned i = 0; i < SEALED_PIN_PCRS; i++)
        if (pcrs >> i & 1) {
            len += (size_t)snprintf(ret_names + len, POLICY_NAMES_MAX - len, "%s%u", before, i);
            before = --left == 1 ? " and " : ", ";
        }
}
