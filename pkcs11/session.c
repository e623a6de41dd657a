/* Sessions and the cryptographic operations in them. */
#include "call.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static bool is_public(CK_STATE state)
{
    return state == CKS_RO_PUBLIC_SESSION || state == CKS_RW_PUBLIC_SESSION;
}

CK_FLAGS p11_session_flags(const struct p11_token *token, bool read_write)
{
    bool writing = read_write || token->quirks.on[P11_NO_READ_ONLY_SESSIONS];
    return CKF_SERIAL_SESSION | (writing ? CKF_RW_SESSION : 0);
}

CK_RV p11_read_info(struct p11_token *token, CK_TOKEN_INFO *ret_info)
{
    CK_TOKEN_INFO now;
    const CK_TOKEN_INFO *then = &token->info;
    CK_RV rv = P11(token, C_GetTokenInfo, token->slot, &now);
    if (rv != CKR_OK)
        return rv;
    if (memcmp(now.label, then->label, sizeof now.label) != 0 ||
        memcmp(now.serialNumber, then->serialNumber, sizeof now.serialNumber) != 0)
        return CKR_SLOT_ID_INVALID;
    *ret_info = now;
    return CKR_OK;
}

enum tbs_err p11_open_handle(struct p11_token *token, bool read_write,
                             CK_SESSION_HANDLE *ret_handle, struct tbs_diag *diag)
{
    CK_SESSION_HANDLE handle;
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token_info;
    CK_FLAGS flags = p11_session_flags(token, read_write);
    CK_RV rv = p11_read_info(token, &token_info);
    if (rv == CKR_OK)
        rv = P11(token, C_OpenSession, token->slot, flags, NULL, NULL, &handle);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "opening a session with token '%s'", token->name);
    rv = P11(token, C_GetSessionInfo, handle, &info);
    if (rv == CKR_OK && is_public(info.state))
        rv = CKR_USER_NOT_LOGGED_IN;
    if (rv != CKR_OK) {
        P11(token, C_CloseSession, handle);
        return p11_fail(diag, rv, "opening a session with token '%s'", token->name);
    }
    *ret_handle = handle;
    return TBS_OK;
}

/* Two sessions beside those that are lent out: the one that holds the login, and one that lasts
 * for a moment. */
static enum tbs_err take_room(struct p11_token *token, struct tbs_diag *diag)
{
    unsigned others = token->n_sessions++;
    if (!token->quirks.on[P11_MAX_SESSIONS] || others + 2 < token->quirks.max_sessions)
        return TBS_OK;
    token->n_sessions--;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "quirk max-sessions=%u leaves room for %u sessions with token '%s' beside the "
                    "two for login and administration; use fewer server.workers",
                    token->quirks.max_sessions, others, token->name);
}

static enum tbs_err open_session(struct p11_token *token, struct p11_session **ret_session,
                                 struct tbs_diag *diag)
{
    struct p11_session *session = calloc(1, sizeof *session);
    if (!session)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening a session");
    session->token = token;
    enum tbs_err err = p11_open_handle(token, false, &session->handle, diag);
    if (err != TBS_OK) {
        free(session);
        return err;
    }
    session->fresh = true;
    *ret_session = session;
    return TBS_OK;
}

enum tbs_err p11_session_open(void *token_, void **ret_session, struct tbs_diag *diag)
{
    struct p11_token *token = token_;
    struct p11_session *session = NULL;
    P11_IN_TURN(token);
    enum tbs_err err = take_room(token, diag);
    if (err != TBS_OK)
        return err;
    err = open_session(token, &session, diag);
    if (err != TBS_OK)
        token->n_sessions--;
    else
        *ret_session = session;
    return err;
}

static void drop_handle(struct p11_session *session)
{
    if (session->handle != CK_INVALID_HANDLE)
        P11(session->token, C_CloseSession, session->handle);
    session->handle = CK_INVALID_HANDLE;
    session->fresh = false;
}

void p11_session_close(void *session_)
{
    struct p11_session *session = session_;
    P11_IN_TURN(session->token);
    drop_handle(session);
    session->token->n_sessions--;
    free(session);
}

/* After a failure the state of a session is not known: some tokens keep the operation active.
 * Such a session is replaced here. */
static enum tbs_err ready(struct p11_session *session, struct tbs_diag *diag)
{
    if (session->fresh)
        return TBS_OK;
    drop_handle(session);
    enum tbs_err err = p11_open_handle(session->token, false, &session->handle, diag);
    session->fresh = err == TBS_OK;
    return err;
}

static enum tbs_err failed(struct p11_session *session, CK_RV rv, const char *what,
                           const char *key_id, struct tbs_diag *diag)
{
    session->fresh = false;
    return p11_fail(diag, rv, "%s with %s on token '%s'", what, key_id, session->token->name);
}

static enum tbs_err wrong_length(struct p11_session *session, const char *what, CK_ULONG len,
                                 struct tbs_diag *diag)
{
    session->fresh = false;
    return tbs_fail(diag, TBS_ERR_TOKEN, "token '%s' gave %lu octets for %s, which is not right",
                    session->token->name, len, what);
}

enum tbs_err p11_random(void *session_, uint8_t *out, size_t len, struct tbs_diag *diag)
{
    struct p11_session *session = session_;
    P11_IN_TURN(session->token);
    enum tbs_err err = ready(session, diag);
    if (err != TBS_OK)
        return err;
    CK_RV rv = P11(session->token, C_GenerateRandom, session->handle, out, len);
    return rv == CKR_OK ? TBS_OK : failed(session, rv, "random numbers", "no key", diag);
}

enum tbs_err p11_hmac(void *session_, const struct custody_key *key, struct tbs_bytes data,
                      uint8_t *ret_mac, struct tbs_diag *diag)
{
    struct p11_session *session = session_;
    P11_IN_TURN(session->token);
    CK_MECHANISM mechanism = {key->alg == CUSTODY_HMAC_SHA_1 ? CKM_SHA_1_HMAC : CKM_SHA256_HMAC,
                              NULL, 0};
    uint8_t mac[CUSTODY_MAC_MAX], nothing = 0;
    CK_ULONG len = sizeof mac;
    size_t want = key->alg == CUSTODY_HMAC_SHA_1 ? 20 : 32;
    enum tbs_err err = ready(session, diag);
    if (err != TBS_OK)
        return err;
    CK_RV rv = P11(session->token, C_SignInit, session->handle, &mechanism, key->handle);
    /* SoftHSM takes no NULL, not even for an empty message. */
    if (rv == CKR_OK)
        rv = P11(session->token, C_Sign, session->handle,
                 data.len > 0 ? (CK_BYTE *)data.data : &nothing, data.len, mac, &len);
    if (rv != CKR_OK)
        err = failed(session, rv, custody_alg_name(key->alg), key->id, diag);
    else if (len != want)
        err = wrong_length(session, "an HMAC", len, diag);
    else
        memcpy(ret_mac, mac, want);
    OPENSSL_cleanse(mac, sizeof mac);
    return err;
}

enum tbs_err p11_sign(void *session_, const struct custody_key *key, const uint8_t *digest,
                      uint8_t *ret_signature, struct tbs_diag *diag)
{
    struct p11_session *session = session_;
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_ULONG len = CUSTODY_RAW_SIGNATURE_LEN;
    P11_IN_TURN(session->token);
    enum tbs_err err = ready(session, diag);
    if (err != TBS_OK)
        return err;
    CK_RV rv = P11(session->token, C_SignInit, session->handle, &mechanism, key->handle);
    if (rv == CKR_OK)
        rv = P11(session->token, C_Sign, session->handle, (CK_BYTE *)digest, CUSTODY_DIGEST_LEN,
                 ret_signature, &len);
    if (rv != CKR_OK)
        return failed(session, rv, custody_alg_name(key->alg), key->id, diag);
    return len == CUSTODY_RAW_SIGNATURE_LEN ? TBS_OK
                                            : wrong_length(session, "a signature", len, diag);
}

/* iv is a copy: a token that makes its own writes it there. */
static CK_GCM_PARAMS gcm_params(const struct custody_aead *aead, CK_BYTE iv[CUSTODY_GCM_IV_LEN])
{
    return (CK_GCM_PARAMS){
        .iv_ptr = iv,
        .iv_len = CUSTODY_GCM_IV_LEN,
        .iv_bits = 8 * CUSTODY_GCM_IV_LEN,
        .aad_ptr = (CK_BYTE *)aead->aad.data,
        .aad_len = aead->aad.len,
        .tag_bits = 8 * CUSTODY_GCM_TAG_LEN,
    };
}

/* Never zeros under an AES-GCM key: they stand for "make one". */
static enum tbs_err judge_iv(const struct custody_key *key, const CK_BYTE iv[CUSTODY_GCM_IV_LEN],
                             const CK_BYTE given[CUSTODY_GCM_IV_LEN], struct tbs_diag *diag)
{
    bool made = memcmp(iv, given, CUSTODY_GCM_IV_LEN) != 0;
    if (made == key->token_iv)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    made ? "the token seals with %s under an IV of its own; quirk token-iv is for "
                           "that"
                         : "the token makes no IV for %s; take quirk token-iv away",
                    key->id);
}

enum tbs_err p11_seal(void *session_, const struct custody_key *key,
                      const struct custody_aead *aead, struct tbs_bytes plain, uint8_t *out,
                      struct tbs_diag *diag)
{
    struct p11_session *session = session_;
    P11_IN_TURN(session->token);
    CK_BYTE given[CUSTODY_GCM_IV_LEN] = {0}, iv[CUSTODY_GCM_IV_LEN];
    if (!key->token_iv)
        memcpy(given, aead->iv, sizeof given);
    memcpy(iv, given, sizeof iv);
    CK_GCM_PARAMS params = gcm_params(aead, iv);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
    CK_ULONG want = plain.len + CUSTODY_GCM_TAG_LEN, len = want;
    enum tbs_err err = ready(session, diag);
    if (err != TBS_OK)
        return err;
    CK_RV rv = P11(session->token, C_EncryptInit, session->handle, &mechanism, key->handle);
    if (rv == CKR_OK)
        rv = P11(session->token, C_Encrypt, session->handle, (CK_BYTE *)plain.data, plain.len, out,
                 &len);
    if (rv != CKR_OK)
        return failed(session, rv, "AES-GCM", key->id, diag);
    if (len != want)
        return wrong_length(session, "AES-GCM", len, diag);
    err = judge_iv(key, iv, given, diag);
    if (err == TBS_OK && key->token_iv)
        memcpy(aead->made_iv, iv, sizeof iv);
    return err;
}

enum tbs_err p11_unseal(void *session_, const struct custody_key *key,
                        const struct custody_aead *aead, struct tbs_bytes sealed, uint8_t *out,
                        struct tbs_diag *diag)
{
    struct p11_session *session = session_;
    P11_IN_TURN(session->token);
    CK_BYTE iv[CUSTODY_GCM_IV_LEN];
    memcpy(iv, aead->iv, sizeof iv);
    CK_GCM_PARAMS params = gcm_params(aead, iv);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
    CK_ULONG len = sealed.len;
    enum tbs_err err = ready(session, diag);
    if (err != TBS_OK)
        return err;
    CK_RV rv = P11(session->token, C_DecryptInit, session->handle, &mechanism, key->handle);
    if (rv != CKR_OK)
        return failed(session, rv, "AES-GCM", key->id, diag);
    rv = P11(session->token, C_Decrypt, session->handle, (CK_BYTE *)sealed.data, sealed.len, out,
             &len);
    if (rv != CKR_OK)
        err = failed(session, rv, "AES-GCM", key->id, diag);
    else if (len != sealed.len - CUSTODY_GCM_TAG_LEN)
        err = wrong_length(session, "AES-GCM", len, diag);
    return err;
}
