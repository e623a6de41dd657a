/* Login, with care for the token's counter of wrong PINs. */
#include "call.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

#include "custody/pin.h"
#include "custody/pin_record.h"

/* PINs that tokens refused, as salted digests, so that a service which tries again and again
 * does not lock its token. The oldest is forgotten first. */
#define REFUSED_MAX 8
#define DIGEST_LEN 32

static struct {
    pthread_mutex_t lock;
    bool salted;
    uint8_t salt[DIGEST_LEN];
    uint8_t digest[REFUSED_MAX][DIGEST_LEN];
    unsigned n; /* ever refused */
} refused = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool digest_locked(const CK_TOKEN_INFO *info, const struct tbs_secret *pin,
                          uint8_t ret_digest[DIGEST_LEN])
{
    if (!refused.salted)
        refused.salted = RAND_bytes(refused.salt, sizeof refused.salt) == 1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = refused.salted && ctx && EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, refused.salt, sizeof refused.salt) == 1 &&
              EVP_DigestUpdate(ctx, info->label, sizeof info->label) == 1 &&
              EVP_DigestUpdate(ctx, info->serialNumber, sizeof info->serialNumber) == 1 &&
              EVP_DigestUpdate(ctx, pin->data, pin->len) == 1 &&
              EVP_DigestFinal_ex(ctx, ret_digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool was_refused_locked(const uint8_t digest[DIGEST_LEN])
{
    for (unsigned i = 0; i < refused.n && i < REFUSED_MAX; i++) {
        if (memcmp(refused.digest[i], digest, DIGEST_LEN) == 0)
            return true;
    }
    return false;
}

static bool refuses_pin(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE;
}

static enum tbs_err begin_record(const struct p11_token *token, const CK_TOKEN_INFO *info,
                                 const struct tbs_secret *pin, struct pin_record *ret_record,
                                 struct tbs_diag *diag)
{
    uint8_t name[sizeof info->label + sizeof info->serialNumber];
    memcpy(name, info->label, sizeof info->label);
    memcpy(name + sizeof info->label, info->serialNumber, sizeof info->serialNumber);
    return pin_record_begin(token->pin->records, tbs_bytes(name, sizeof name), tbs_secret_view(pin),
                            (info->flags & CKF_USER_PIN_COUNT_LOW) != 0, ret_record, diag);
}

/* Holds the lock across C_Login: two threads must not both send the same wrong PIN. */
static enum tbs_err login_locked(struct p11_token *token, const CK_TOKEN_INFO *info,
                                 const struct tbs_secret *pin, struct tbs_diag *diag)
{
    uint8_t digest[DIGEST_LEN];
    struct pin_record record;
    if (!digest_locked(info, pin, digest))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do SHA-256");
    if (was_refused_locked(digest))
        return tbs_fail_raw(diag, TBS_ERR_CONFIG, CKR_PIN_INCORRECT,
                            "token '%s' has refused this PIN before, so it is not sent again; "
                            "correct the PIN source, or start anew if the token's PIN was changed",
                            token->name);
    enum tbs_err err = begin_record(token, info, pin, &record, diag);
    if (err != TBS_OK)
        return err;
    CK_RV rv = P11(token, C_Login, token->holder, CKU_USER, pin->data, pin->len);
    bool passed = rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN;
    pin_record_end(&record, passed ? PIN_PASSED : refuses_pin(rv) ? PIN_REFUSED : PIN_UNTOLD);
    if (passed)
        return TBS_OK;
    if (refuses_pin(rv))
        memcpy(refused.digest[refused.n++ % REFUSED_MAX], digest, DIGEST_LEN);
    return p11_fail(diag, rv, "logging in to token '%s'", token->name);
}

static enum tbs_err login_with_pin(struct p11_token *token, const CK_TOKEN_INFO *info,
                                   struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret pin = {0};
    enum tbs_err err = pin_obtain(token->pin, &pin, diag);
    if (err != TBS_OK)
        return err;
    pthread_mutex_lock(&refused.lock);
    err = login_locked(token, info, &pin, diag);
    pthread_mutex_unlock(&refused.lock);
    return err;
}

static enum tbs_err login_at_pin_pad(struct p11_token *token, struct tbs_diag *diag)
{
    CK_RV rv = P11(token, C_Login, token->holder, CKU_USER, NULL, 0);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        return TBS_OK;
    return p11_fail(diag, rv, "logging in at the PIN pad of token '%s'", token->name);
}

static enum tbs_err check_counters(const struct p11_token *token, const CK_TOKEN_INFO *info,
                                   struct tbs_diag *diag)
{
    if ((info->flags & CKF_USER_PIN_INITIALIZED) == 0)
        return tbs_fail_raw(diag, TBS_ERR_CONFIG, CKR_USER_PIN_NOT_INITIALIZED,
                            "token '%s' has no user PIN yet; its security officer must set one",
                            token->name);
    if ((info->flags & CKF_USER_PIN_LOCKED) != 0)
        return tbs_fail_raw(diag, TBS_ERR_CONFIG, CKR_PIN_LOCKED,
                            "the user PIN of token '%s' is locked; its security officer must set "
                            "a new one",
                            token->name);
    if ((info->flags & CKF_USER_PIN_FINAL_TRY) != 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the user PIN of token '%s' is down to its last try, which is not risked "
                        "here; log in once by hand with the right PIN",
                        token->name);
    return TBS_OK;
}

static bool is_logged_in(struct p11_token *token)
{
    CK_SESSION_INFO info;
    return P11(token, C_GetSessionInfo, token->holder, &info) == CKR_OK &&
           (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS);
}

enum tbs_err p11_login(struct p11_token *token, const CK_TOKEN_INFO *info, struct tbs_diag *diag)
{
    if (is_logged_in(token))
        return TBS_OK;
    enum tbs_err err = check_counters(token, info, diag);
    if (err != TBS_OK)
        return err;
    if ((info->flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0)
        return login_at_pin_pad(token, diag);
    return login_with_pin(token, info, diag);
}

static enum tbs_err hold_again(struct p11_token *token, struct tbs_diag *diag)
{
    CK_SESSION_INFO info;
    CK_RV rv = P11(token, C_GetSessionInfo, token->holder, &info);
    if (rv == CKR_OK)
        return TBS_OK;
    token->holder = CK_INVALID_HANDLE;
    rv = P11(token, C_OpenSession, token->slot, p11_session_flags(token, false), NULL, NULL,
             &token->holder);
    return rv == CKR_OK ? TBS_OK
                        : p11_fail(diag, rv, "opening a session with token '%s'", token->name);
}

enum tbs_err p11_login_again(void *token_, struct tbs_diag *diag)
{
    struct p11_token *token = token_;
    P11_IN_TURN(token);
    CK_TOKEN_INFO info;
    CK_RV rv = p11_read_info(token, &info);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "examining token '%s'", token->name);
    enum tbs_err err = hold_again(token, diag);
    return err != TBS_OK ? err : p11_login(token, &info, diag);
}
