/* What the keys do. */
#include "tpm.h"

#include <openssl/crypto.h>
#include <string.h>
#include <tss2/tss2_sys.h>

/* The library leaves what it decrypted in its buffer until the next command, and on the stack. The
 * first is overwritten by a command that is prepared and never sent: 256 zeros, from octet 12
 * on; an answer's first parameter begins there or later, and has 128 octets at most. */
__attribute__((noinline)) void tpm_wipe_traces(struct tpm_token *token)
{
    static const TPM2B_SENSITIVE_DATA zeros = {.size = sizeof zeros.buffer};
    TSS2_SYS_CONTEXT *sys = NULL;
    uint8_t stack[32768];
    if (Esys_GetSysContext(token->esys, &sys) == TSS2_RC_SUCCESS)
        Tss2_Sys_StirRandom_Prepare(sys, &zeros);
    OPENSSL_cleanse(stack, sizeof stack);
}

enum tbs_err tpm_random(void *session, uint8_t *out, size_t len, struct tbs_diag *diag)
{
    struct tpm_token *token = session;
    TPM_IN_TURN(token);
    while (len > 0) {
        TPM2B_DIGEST *random = NULL;
        UINT16 want = len < CUSTODY_DIGEST_LEN ? (UINT16)len : CUSTODY_DIGEST_LEN;
        TSS2_RC rc = TPM_CALL(token, GetRandom, tpm_session_beside(token), ESYS_TR_NONE,
                              ESYS_TR_NONE, want, &random);
        tpm_wipe_traces(token);
        if (rc != TSS2_RC_SUCCESS)
            return tpm_fail(diag, rc, "random numbers");
        size_t got = random->size < len ? random->size : len;
        memcpy(out, random->buffer, got);
        OPENSSL_cleanse(random, sizeof *random);
        Esys_Free(random);
        if (got == 0)
            return tbs_fail(diag, TBS_ERR_TOKEN, "the TPM gave no random octets");
        out += got;
        len -= got;
    }
    return TBS_OK;
}

static enum tbs_err hmac_loaded(struct tpm_token *token, const struct custody_key *key,
                                ESYS_TR handle, const TPM2B_MAX_BUFFER *data, size_t mac_len,
                                uint8_t *ret_mac, struct tbs_diag *diag)
{
    TPM2B_DIGEST *mac = NULL;
    TSS2_RC rc = TPM_CALL(token, HMAC, handle, tpm_session(token, true, true), ESYS_TR_NONE,
                          ESYS_TR_NONE, data, TPM2_ALG_NULL, &mac);
    tpm_wipe_traces(token);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "%s with key %s", custody_alg_name(key->alg), key->id);
    enum tbs_err err = TBS_OK;
    if (mac->size == mac_len)
        memcpy(ret_mac, mac->buffer, mac_len);
    else
        err = tbs_fail(diag, TBS_ERR_TOKEN, "the TPM gave a MAC of %u octets", mac->size);
    OPENSSL_cleanse(mac, sizeof *mac);
    Esys_Free(mac);
    return err;
}

/* MIKEY's PRF and the derivation for stored secrets ask for a few hundred octets at most. */
enum tbs_err tpm_hmac(void *session, const struct custody_key *key, struct tbs_bytes data,
                      uint8_t *ret_mac, struct tbs_diag *diag)
{
    struct tpm_token *token = session;
    TPM2B_MAX_BUFFER buffer = {.size = (UINT16)data.len};
    if (data.len > sizeof buffer.buffer)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a TPM does an HMAC over at most %zu octets",
                        sizeof buffer.buffer);
    if (data.len > 0)
        memcpy(buffer.buffer, data.data, data.len);
    TPM_IN_TURN(token);
    ESYS_TR handle;
    enum tbs_err err = tpm_key_handle(token, key, &handle, diag);
    if (err == TBS_OK)
        err = hmac_loaded(token, key, handle, &buffer, key->alg == CUSTODY_HMAC_SHA_1 ? 20 : 32,
                          ret_mac, diag);
    OPENSSL_cleanse(&buffer, sizeof buffer);
    return err;
}

static bool put_half(const TPM2B_ECC_PARAMETER *number, uint8_t *half)
{
    size_t len = CUSTODY_RAW_SIGNATURE_LEN / 2;
    if (number->size > len)
        return false;
    memset(half, 0, len);
    memcpy(half + len - number->size, number->buffer, number->size);
    return true;
}

enum tbs_err tpm_sign(void *session, const struct custody_key *key,
                      const uint8_t digest[CUSTODY_DIGEST_LEN], uint8_t *ret_signature,
                      struct tbs_diag *diag)
{
    static const TPMT_SIG_SCHEME own = {.scheme = TPM2_ALG_NULL};
    /* The key is not restricted, so the digest may be of anybody's making. */
    static const TPMT_TK_HASHCHECK none = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    struct tpm_token *token = session;
    TPM2B_DIGEST octets = {.size = CUSTODY_DIGEST_LEN};
    TPMT_SIGNATURE *signature = NULL;
    uint8_t raw[CUSTODY_RAW_SIGNATURE_LEN];
    ESYS_TR handle;
    memcpy(octets.buffer, digest, CUSTODY_DIGEST_LEN);
    TPM_IN_TURN(token);
    enum tbs_err err = tpm_key_handle(token, key, &handle, diag);
    if (err != TBS_OK)
        return err;
    TSS2_RC rc = TPM_CALL(token, Sign, handle, tpm_session(token, false, false), ESYS_TR_NONE,
                          ESYS_TR_NONE, &octets, &own, &none, &signature);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "signing with key %s", key->id);
    const TPMS_SIGNATURE_ECC *ecc = &signature->signature.ecdsa;
    bool fits = signature->sigAlg == TPM2_ALG_ECDSA && put_half(&ecc->signatureR, raw) &&
                put_half(&ecc->signatureS, raw + sizeof raw / 2);
    Esys_Free(signature);
    if (!fits)
        return tbs_fail(diag, TBS_ERR_TOKEN, "the TPM gave what is no ECDSA signature");
    memcpy(ret_signature, raw, sizeof raw);
    return TBS_OK;
}
