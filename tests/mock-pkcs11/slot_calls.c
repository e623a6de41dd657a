/* Slots, tokens and mechanisms. */
#include "call.h"

#include <string.h>

#define SLOTS_MAX 256
#define MECHANISMS_MAX 512

/* As PKCS#11 gives lists (2.40, 5.2): their length alone, or into a room that must suffice. */
static CK_RV give(const CK_ULONG *list, CK_ULONG n, CK_ULONG *room, CK_ULONG *ret_n)
{
    bool fits = !room || *ret_n >= n;
    *ret_n = n;
    if (room && fits)
        memcpy(room, list, n * sizeof *list);
    return fits ? CKR_OK : CKR_BUFFER_TOO_SMALL;
}

static bool is_removed(CK_SLOT_ID slot)
{
    char label[LABEL_LEN + 1];
    token_label(slot, label);
    return script_find(call_script(), RULE_DEVICE_REMOVED, label) != NULL;
}

static CK_RV list_slots(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *ret_n)
{
    CK_SLOT_ID all[SLOTS_MAX], shown[SLOTS_MAX];
    CK_ULONG n_all = SLOTS_MAX, n = 0, announced;
    /* The call without room makes modules look for tokens anew (2.40, 5.5). */
    CK_RV rv = slots ? CKR_OK : real->C_GetSlotList(present, NULL, &announced);
    if (rv == CKR_OK)
        rv = real->C_GetSlotList(present, all, &n_all);
    if (rv != CKR_OK)
        return rv;
    for (CK_ULONG i = 0; i < n_all; i++) {
        if (!present || !is_removed(all[i]))
            shown[n++] = call_shown_slot(all[i]);
    }
    return give(shown, n, slots, ret_n);
}

CK_RV mock_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *ret_n)
{
    struct call call = {.function = FUNCTION_C_GetSlotList};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = ret_n ? list_slots(present, slots, ret_n) : CKR_ARGUMENTS_BAD;
    return call_end(&call, rv);
}

CK_RV mock_C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    struct call call = {.function = FUNCTION_C_GetSlotInfo, .on = ON_SLOT, .handle = slot};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_GetSlotInfo(call.slot, info);
    if (rv == CKR_OK && script_find(call_script(), RULE_DEVICE_REMOVED, call.label))
        info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
    return call_end(&call, rv);
}

static CK_FLAGS login_flags(const char *label)
{
    const struct rule *told = script_find(call_script(), RULE_LOGIN_FLAGS, label);
    const struct rule *lock = script_find(call_script(), RULE_PIN_LOCK, label);
    const struct token *token = token_find(label);
    CK_FLAGS flags = told ? told->value : 0;
    if (!lock || !token || token->wrong_pins == 0)
        return flags;
    flags |= CKF_USER_PIN_COUNT_LOW;
    if (token->wrong_pins >= lock->value)
        flags |= CKF_USER_PIN_LOCKED;
    else if (token->wrong_pins + 1 == lock->value)
        flags |= CKF_USER_PIN_FINAL_TRY;
    return flags;
}

CK_RV mock_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct call call = {.function = FUNCTION_C_GetTokenInfo, .on = ON_SLOT, .handle = slot};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_GetTokenInfo(call.slot, info);
    if (rv == CKR_OK && (info->flags & CKF_TOKEN_INITIALIZED) != 0)
        info->flags |= login_flags(call.label);
    return call_end(&call, rv);
}

CK_RV mock_C_InitToken(CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG len, CK_BYTE *label)
{
    struct call call = {.function = FUNCTION_C_InitToken, .on = ON_SLOT, .handle = slot};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_InitToken(call.slot, pin, len, label);
    return call_end(&call, rv);
}

/* A wait would keep everybody else from what only one at a time may do. */
CK_RV mock_C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    struct call call = {.function = FUNCTION_C_WaitForSlotEvent};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK && (flags & CKF_DONT_BLOCK) == 0)
        rv = call_refuse(&call, CKR_FUNCTION_NOT_SUPPORTED);
    if (rv == CKR_OK)
        rv = real->C_WaitForSlotEvent(flags, slot, reserved);
    if (rv == CKR_OK)
        *slot = call_shown_slot(*slot);
    return call_end(&call, rv);
}

/* --- Mechanisms --- */

static CK_RV list_mechanisms(const struct call *call, CK_MECHANISM_TYPE *mechanisms,
                             CK_ULONG *ret_n)
{
    CK_MECHANISM_TYPE all[MECHANISMS_MAX];
    CK_ULONG n_all = MECHANISMS_MAX, n = 0;
    CK_RV rv = real->C_GetMechanismList(call->slot, all, &n_all);
    if (rv != CKR_OK)
        return rv;
    for (CK_ULONG i = 0; i < n_all; i++) {
        if (!script_has(call_script(), RULE_NO_MECHANISM, call->label, all[i]))
            all[n++] = all[i];
    }
    return give(all, n, mechanisms, ret_n);
}

CK_RV mock_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *mechanisms, CK_ULONG *ret_n)
{
    struct call call = {.function = FUNCTION_C_GetMechanismList, .on = ON_SLOT, .handle = slot};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = ret_n ? list_mechanisms(&call, mechanisms, ret_n) : CKR_ARGUMENTS_BAD;
    return call_end(&call, rv);
}

CK_RV mock_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    CK_MECHANISM mechanism = {.mechanism = type};
    struct call call = {.function = FUNCTION_C_GetMechanismInfo,
                        .on = ON_SLOT,
                        .handle = slot,
                        .mechanism = &mechanism};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_GetMechanismInfo(call.slot, type, info);
    return call_end(&call, rv);
}
