/* CK_RV (PKCS#11 2.40, 5.1): its name and what it means for us. */
#include "p11.h"

#include <stdarg.h>
#include <stdio.h>

#define CKR_AEAD_DECRYPT_FAILED 0x35UL /* PKCS#11 3.0; such tokens give it to all callers */

static const struct {
    CK_RV rv;
    const char *name;
    enum tbs_err err;
} answers[] = {
#define ANSWER(rv, err)                                                                            \
    {                                                                                              \
        rv, #rv, err                                                                               \
    }
    ANSWER(CKR_HOST_MEMORY, TBS_ERR_NOMEM),
    /* Gone or busy: another session, another login or a moment's wait may help. */
    ANSWER(CKR_DEVICE_ERROR, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_DEVICE_MEMORY, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_DEVICE_REMOVED, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_TOKEN_NOT_PRESENT, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_SLOT_ID_INVALID, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_SESSION_CLOSED, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_SESSION_COUNT, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_SESSION_HANDLE_INVALID, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_KEY_HANDLE_INVALID, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_OBJECT_HANDLE_INVALID, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_USER_NOT_LOGGED_IN, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_CRYPTOKI_NOT_INITIALIZED, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_OPERATION_ACTIVE, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_OPERATION_NOT_INITIALIZED, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_FUNCTION_CANCELED, TBS_ERR_UNAVAILABLE),
    ANSWER(CKR_CANCEL, TBS_ERR_UNAVAILABLE),
    /* The token failed. */
    ANSWER(CKR_GENERAL_ERROR, TBS_ERR_TOKEN),
    ANSWER(CKR_FUNCTION_FAILED, TBS_ERR_TOKEN),
    ANSWER(CKR_BUFFER_TOO_SMALL, TBS_ERR_TOKEN),
    ANSWER(CKR_ARGUMENTS_BAD, TBS_ERR_TOKEN),
    ANSWER(CKR_RANDOM_NO_RNG, TBS_ERR_UNSUPPORTED),
    ANSWER(CKR_FIPS_SELF_TEST_FAILED, TBS_ERR_TOKEN),
    /* It cannot. */
    ANSWER(CKR_MECHANISM_INVALID, TBS_ERR_UNSUPPORTED),
    ANSWER(CKR_MECHANISM_PARAM_INVALID, TBS_ERR_UNSUPPORTED),
    ANSWER(CKR_FUNCTION_NOT_SUPPORTED, TBS_ERR_UNSUPPORTED),
    ANSWER(CKR_CANT_LOCK, TBS_ERR_UNSUPPORTED),
    ANSWER(CKR_NEED_TO_CREATE_THREADS, TBS_ERR_UNSUPPORTED),
    /* A person has to act. */
    ANSWER(CKR_PIN_INCORRECT, TBS_ERR_CONFIG),
    ANSWER(CKR_PIN_INVALID, TBS_ERR_CONFIG),
    ANSWER(CKR_PIN_LEN_RANGE, TBS_ERR_CONFIG),
    ANSWER(CKR_PIN_EXPIRED, TBS_ERR_CONFIG),
    ANSWER(CKR_PIN_LOCKED, TBS_ERR_CONFIG),
    ANSWER(CKR_PIN_TOO_WEAK, TBS_ERR_CONFIG),
    ANSWER(CKR_USER_PIN_NOT_INITIALIZED, TBS_ERR_CONFIG),
    ANSWER(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, TBS_ERR_CONFIG),
    ANSWER(CKR_USER_TOO_MANY_TYPES, TBS_ERR_CONFIG),
    ANSWER(CKR_TOKEN_NOT_RECOGNIZED, TBS_ERR_CONFIG),
    ANSWER(CKR_TOKEN_WRITE_PROTECTED, TBS_ERR_CONFIG),
    ANSWER(CKR_SESSION_READ_ONLY, TBS_ERR_CONFIG),
    ANSWER(CKR_SESSION_EXISTS, TBS_ERR_CONFIG),
    ANSWER(CKR_SESSION_READ_ONLY_EXISTS, TBS_ERR_CONFIG),
    ANSWER(CKR_SESSION_READ_WRITE_SO_EXISTS, TBS_ERR_CONFIG),
    ANSWER(CKR_KEY_FUNCTION_NOT_PERMITTED, TBS_ERR_CONFIG),
    ANSWER(CKR_KEY_TYPE_INCONSISTENT, TBS_ERR_CONFIG),
    ANSWER(CKR_KEY_SIZE_RANGE, TBS_ERR_CONFIG),
    ANSWER(CKR_TEMPLATE_INCOMPLETE, TBS_ERR_CONFIG),
    ANSWER(CKR_TEMPLATE_INCONSISTENT, TBS_ERR_CONFIG),
    ANSWER(CKR_ATTRIBUTE_READ_ONLY, TBS_ERR_CONFIG),
    ANSWER(CKR_ATTRIBUTE_SENSITIVE, TBS_ERR_CONFIG),
    ANSWER(CKR_ATTRIBUTE_TYPE_INVALID, TBS_ERR_CONFIG),
    ANSWER(CKR_ATTRIBUTE_VALUE_INVALID, TBS_ERR_CONFIG),
    ANSWER(CKR_ACTION_PROHIBITED, TBS_ERR_CONFIG),
    ANSWER(CKR_FUNCTION_REJECTED, TBS_ERR_CONFIG),
    ANSWER(CKR_LIBRARY_LOAD_FAILED, TBS_ERR_CONFIG),
    /* What was to be opened is not what was sealed. */
    ANSWER(CKR_ENCRYPTED_DATA_INVALID, TBS_ERR_AUTH),
    ANSWER(CKR_ENCRYPTED_DATA_LEN_RANGE, TBS_ERR_AUTH),
    ANSWER(CKR_AEAD_DECRYPT_FAILED, TBS_ERR_AUTH),
    ANSWER(CKR_DATA_LEN_RANGE, TBS_ERR_LIMIT),
#undef ANSWER
};

#define N_ANSWERS (sizeof answers / sizeof *answers)

const char *p11_rv_name(CK_RV rv)
{
    for (size_t i = 0; i < N_ANSWERS; i++) {
        if (answers[i].rv == rv)
            return answers[i].name;
    }
    return rv >= CKR_VENDOR_DEFINED ? "a vendor's own code" : "an unexpected code";
}

enum tbs_err p11_rv_err(CK_RV rv)
{
    for (size_t i = 0; i < N_ANSWERS; i++) {
        if (answers[i].rv == rv)
            return answers[i].err;
    }
    return TBS_ERR_TOKEN;
}

static const char *meaning(enum tbs_err err)
{
    switch (err) {
    case TBS_ERR_UNAVAILABLE:
        return "it is gone, busy or logged out; try again, or open it anew";
    case TBS_ERR_UNSUPPORTED:
        return "this token, or the connection to it, cannot do that";
    case TBS_ERR_CONFIG:
        return "correct the token or its configuration";
    case TBS_ERR_TOKEN:
        return "the token failed; see its own log";
    default:
        return tbs_err_name(err);
    }
}

enum tbs_err p11_fail(struct tbs_diag *diag, CK_RV rv, const char *fmt, ...)
{
    char what[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    enum tbs_err err = p11_rv_err(rv);
    return tbs_fail_raw(diag, err, rv, "%s: the token answered %s (0x%lx): %s", what,
                        p11_rv_name(rv), rv, meaning(err));
}
