/* The connection to the TPM: its start, what is left over in it, and the session. */
#include "tpm.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_sys.h>
#include <tss2/tss2_tctildr.h>

static_assert(TPM_N_COMMANDS <= CUSTODY_CALL_KINDS_MAX, "there is room for every command");

/* --- Counting --- */

void tpm_name_stats(struct custody_call_stats *stats)
{
#define TPM_NAME(command) stats[TPM_##command].name = "TPM2_" #command;
    TPM_COMMANDS(TPM_NAME)
#undef TPM_NAME
}

/* --- One at a time --- */

pthread_mutex_t *tpm_begin_turn(struct tpm_token *token)
{
    pthread_mutex_lock(&token->lock);
    return &token->lock;
}

void tpm_end_turn(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}

/* --- The way to it --- */

enum tbs_err tpm_check_tcti(const char *tcti, struct tbs_diag *diag)
{
    static const char *const kinds[] = {"device:", "swtpm:", "tabrmd:"};
    for (size_t i = 0; tcti && i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(tcti, kinds[i], strlen(kinds[i])) == 0)
            return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "tcti must name the way to the TPM: device:/dev/tpmrm0, swtpm:path=SOCKET or "
                    "tabrmd:OPTIONS");
}

/* The library would write its own sentences to the standard error output; ours say the same. */
enum tbs_err tpm_prepare(const struct custody_token_config *config, struct tbs_diag *diag)
{
    (void)config;
    return setenv("TSS2_LOG", "all+NONE", 0) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the environment");
}

/* Who talks to a TPM without a resource manager has it for himself, and finds in it what a process
 * that died there has left. Behind a resource manager everybody has slots of his own. */
bool tpm_is_alone(const char *tcti)
{
    static const char raw[] = "device:/dev/tpm";
    return strncmp(tcti, "swtpm:", 6) == 0 ||
           (strncmp(tcti, raw, strlen(raw)) == 0 && tcti[strlen(raw)] != 'r');
}

static enum tbs_err flush_all(struct tpm_token *token, TPM2_HANDLE type, struct tbs_diag *diag)
{
    TSS2_SYS_CONTEXT *sys;
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    TSS2_RC rc = Esys_GetSysContext(token->esys, &sys);
    if (rc == TSS2_RC_SUCCESS)
        rc = TPM_CALL(token, GetCapability, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                      TPM2_CAP_HANDLES, type << TPM2_HR_SHIFT, TPM2_MAX_CAP_HANDLES, &more, &data);
    for (UINT32 i = 0; rc == TSS2_RC_SUCCESS && i < data->data.handles.count; i++)
        rc = Tss2_Sys_FlushContext(sys, data->data.handles.handle[i]);
    Esys_Free(data);
    return rc == TSS2_RC_SUCCESS ? TBS_OK : tpm_fail(diag, rc, "tidying up in the TPM");
}

static enum tbs_err start_up(struct tpm_token *token, const char *tcti, struct tbs_diag *diag)
{
    TSS2_RC rc = TPM_CALL(token, Startup, TPM2_SU_CLEAR);
    if (rc != TSS2_RC_SUCCESS && (rc & ~TSS2_RC_LAYER_MASK) != TPM2_RC_INITIALIZE)
        return tpm_fail(diag, rc, "starting the TPM up");
    if (!tpm_is_alone(tcti))
        return TBS_OK;
    enum tbs_err err = flush_all(token, TPM2_HT_TRANSIENT, diag);
    return err != TBS_OK ? err : flush_all(token, TPM2_HT_LOADED_SESSION, diag);
}

enum tbs_err tpm_connect(struct tpm_token *token, const struct custody_token_config *config,
                         struct tbs_diag *diag)
{
    token->storage = token->session = ESYS_TR_NONE;
    TSS2_RC rc = Tss2_TctiLdr_Initialize(config->tcti, &token->tcti);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Initialize(&token->esys, token->tcti, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "connecting to the TPM by %.60s", config->tcti);
    return start_up(token, config->tcti, diag);
}

void tpm_disconnect(struct tpm_token *token)
{
    if (token->esys) {
        tpm_drop_keys(token);
        tpm_flush(token, &token->session);
        tpm_flush(token, &token->storage);
        Esys_Finalize(&token->esys);
    }
    if (token->tcti)
        Tss2_TctiLdr_Finalize(&token->tcti);
    OPENSSL_cleanse(&token->pin, sizeof token->pin);
}

void tpm_flush(struct tpm_token *token, ESYS_TR *handle)
{
    if (*handle != ESYS_TR_NONE && TPM_CALL(token, FlushContext, *handle) != TSS2_RC_SUCCESS)
        Esys_TR_Close(token->esys, handle); /* it is gone with the TPM's memory */
    *handle = ESYS_TR_NONE;
}

/* --- Primary and session --- */

enum tbs_err tpm_make_primary(struct tpm_token *token, ESYS_TR *ret_primary, struct tbs_diag *diag)
{
    static const TPM2B_SENSITIVE_CREATE sensitive;
    static const TPM2B_DATA outside;
    static const TPML_PCR_SELECTION pcrs;
    TPM2B_PUBLIC template;
    tpm_primary_template(&template);
    TSS2_RC rc = TPM_CALL(token, CreatePrimary, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                          ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs, ret_primary, NULL,
                          NULL, NULL, NULL);
    return rc == TSS2_RC_SUCCESS ? TBS_OK
                                 : tpm_fail(diag, rc, "making the primary of the owner hierarchy");
}

static const TPMT_SYM_DEF aes_cfb = {
    .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};

enum tbs_err tpm_start_session(struct tpm_token *token, ESYS_TR salt_key, struct tbs_diag *diag)
{
    TSS2_RC rc =
        TPM_CALL(token, StartAuthSession, salt_key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                 ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &aes_cfb, TPM2_ALG_SHA256, &token->session);
    return rc == TSS2_RC_SUCCESS ? TBS_OK : tpm_fail(diag, rc, "opening a session with the TPM");
}

ESYS_TR tpm_session(struct tpm_token *token, bool in, bool out)
{
    TPMA_SESSION attributes = TPMA_SESSION_CONTINUESESSION;
    if (!token->encrypts)
        return ESYS_TR_PASSWORD;
    if (in)
        attributes |= TPMA_SESSION_DECRYPT; /* named from where the TPM stands */
    if (out)
        attributes |= TPMA_SESSION_ENCRYPT;
    /* Fails for a session that is none, which the command then finds, too. */
    Esys_TRSess_SetAttributes(token->esys, token->session, attributes, 0xFF);
    return token->session;
}

ESYS_TR tpm_session_beside(struct tpm_token *token)
{
    return token->encrypts ? tpm_session(token, false, true) : ESYS_TR_NONE;
}
