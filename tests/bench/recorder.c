#include "recorder.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

struct recorder recorder;
static CK_FUNCTION_LIST list;

static bool is_recorded(void)
{
    return recorder.thread != 0 && recorder.thread == gettid();
}

/* Where the operation that begins is kept; its input follows with the next call. */
static struct recorder_operation *begin(enum recorder_kind kind)
{
    if (!is_recorded())
        return NULL;
    if (recorder.n == RECORDER_OPERATIONS) {
        recorder.overflow = true;
        return NULL;
    }
    struct recorder_operation *o = &recorder.operation[recorder.n++];

    *o = (struct recorder_operation){.kind = kind};
    return o;
}

static void copy(uint8_t *to, size_t room, const CK_BYTE *from, CK_ULONG len)
{
    if (len > room)
        recorder.overflow = true;
    else if (len > 0)
        memcpy(to, from, len);
}

static void keep_input(const CK_BYTE *input, CK_ULONG len)
{
    if (!is_recorded() || recorder.n == 0)
        return;
    struct recorder_operation *o = &recorder.operation[recorder.n - 1];

    o->len = len;
    copy(o->input, sizeof o->input, input, len);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *ret_session)
{
    recorder.slot = slot;
    return recorder.real->C_OpenSession(slot, flags, app, notify, ret_session);
}

static CK_RV generate_random(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG len)
{
    struct recorder_operation *o = begin(RECORDER_RANDOM);

    if (o)
        o->len = len;
    return recorder.real->C_GenerateRandom(session, out, len);
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct recorder_operation *o = begin(RECORDER_SIGN);

    if (o) {
        o->mechanism = mechanism->mechanism;
        o->key = key;
    }
    return recorder.real->C_SignInit(session, mechanism, key);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *mac,
                  CK_ULONG *mac_len)
{
    keep_input(data, len);
    return recorder.real->C_Sign(session, data, len, mac, mac_len);
}

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct recorder_operation *o = begin(RECORDER_DECRYPT);

    if (o) {
        o->mechanism = mechanism->mechanism;
        o->key = key;
        o->gcm = *(CK_GCM_PARAMS *)mechanism->pParameter;
        copy(o->iv, sizeof o->iv, o->gcm.iv_ptr, o->gcm.iv_len);
        copy(o->aad, sizeof o->aad, o->gcm.aad_ptr, o->gcm.aad_len);
        o->gcm.iv_ptr = o->iv;
        o->gcm.aad_ptr = o->aad;
    }
    return recorder.real->C_DecryptInit(session, mechanism, key);
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *sealed, CK_ULONG len, CK_BYTE *out,
                     CK_ULONG *out_len)
{
    keep_input(sealed, len);
    return recorder.real->C_Decrypt(session, sealed, len, out, out_len);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret_list)
{
    void *module = dlopen(recorder.module, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = module ? dlsym(module, "C_GetFunctionList") : NULL;

    if (!get || get(&recorder.real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    list = *recorder.real;
    list.C_OpenSession = open_session;
    list.C_GenerateRandom = generate_random;
    list.C_SignInit = sign_init;
    list.C_Sign = sign;
    list.C_DecryptInit = decrypt_init;
    list.C_Decrypt = decrypt;
    *ret_list = &list;
    return CKR_OK;
}
