/* The life of sessions, and the login. */
#include "call.h"

#include <string.h>

#include "counters.h"

static CK_RV open_session(const struct call *call, CK_FLAGS flags, CK_SESSION_HANDLE *ret_session)
{
    const struct rule *max = script_find(call_script(), RULE_SESSIONS_MAX, call->label);
    CK_SESSION_HANDLE session;
    if (max && sessions_open(call->label) >= max->value)
        return call_refuse(call, CKR_SESSION_COUNT);
    CK_RV rv = real->C_OpenSession(call->slot, flags, NULL, NULL, ret_session ? &session : NULL);
    return rv == CKR_OK ? session_add(call, session, ret_session) : rv;
}

/* No call-backs: they would name the real session. */
CK_RV mock_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                         CK_SESSION_HANDLE *ret_session)
{
    (void)application, (void)notify;
    struct call call = {
        .function = FUNCTION_C_OpenSession, .on = ON_SLOT, .handle = slot, .alone = true};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = open_session(&call, flags, ret_session);
    return call_end(&call, rv);
}

CK_RV mock_C_CloseSession(CK_SESSION_HANDLE session)
{
    struct call call = {
        .function = FUNCTION_C_CloseSession, .on = ON_SESSION, .handle = session, .alone = true};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_CloseSession(call.session);
    if (rv == CKR_OK)
        session_drop(session);
    return call_end(&call, rv);
}

CK_RV mock_C_CloseAllSessions(CK_SLOT_ID slot)
{
    struct call call = {
        .function = FUNCTION_C_CloseAllSessions, .on = ON_SLOT, .handle = slot, .alone = true};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_CloseAllSessions(call.slot);
    if (rv == CKR_OK)
        sessions_drop(call.slot);
    return call_end(&call, rv);
}

CK_RV mock_C_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    PASS_ON(C_GetSessionInfo, NULL, call.session, info);
    if (rv == CKR_OK)
        info->slotID = call_shown_slot(info->slotID);
    return call_end(&call, rv);
}

/* --- Login --- */

static void count_login(CK_RV rv, bool without_pin)
{
    switch (rv) {
    case CKR_OK:
        counter_add(COUNTER_LOGIN_OK, 1);
        break;
    case CKR_PIN_INCORRECT:
        counter_add(COUNTER_LOGIN_PIN_INCORRECT, 1);
        break;
    case CKR_PIN_LOCKED:
        counter_add(COUNTER_LOGIN_PIN_LOCKED, 1);
        break;
    case CKR_USER_ALREADY_LOGGED_IN:
        counter_add(COUNTER_LOGIN_ALREADY, 1);
        break;
    default:
        counter_add(COUNTER_LOGIN_OTHER, 1);
    }
    if (without_pin)
        counter_add(COUNTER_LOGIN_WITHOUT_PIN, 1);
}

static CK_RV log_in(const struct call *call, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG len)
{
    const struct rule *lock = script_find(call_script(), RULE_PIN_LOCK, call->label);
    const struct rule *pad = script_find(call_script(), RULE_PIN_PAD, call->label);
    if (lock && user == CKU_USER && call->token && call->token->wrong_pins >= lock->value)
        return call_refuse(call, CKR_PIN_LOCKED);
    if (pad && !pin) {
        pin = (CK_BYTE *)pad->text[0];
        len = strlen(pad->text[0]);
    }
    CK_RV rv = real->C_Login(call->session, user, pin, len);
    if (rv == CKR_PIN_INCORRECT && user == CKU_USER)
        call->token->wrong_pins++;
    else if (rv == CKR_OK && user == CKU_USER)
        call->token->wrong_pins = 0;
    return rv;
}

CK_RV mock_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG len)
{
    struct call call = {
        .function = FUNCTION_C_Login, .on = ON_SESSION, .handle = session, .alone = true};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = log_in(&call, user, pin, len);
    count_login(rv, !pin);
    return call_end(&call, rv);
}
