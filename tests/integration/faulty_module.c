#include "faulty_module.h"

#include "softhsm.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct faults faults;
static CK_FUNCTION_LIST real, list;

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = real.C_GetTokenInfo(slot, info);
    if (rv == CKR_OK && (info->flags & CKF_TOKEN_INITIALIZED) != 0)
        info->flags |= faults.token_flags;
    return rv;
}

static CK_RV log_in(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    static CK_UTF8CHAR typed[] = SOFTHSM_USER_PIN;
    faults.logins++;
    faults.login_without_pin = pin == NULL && len == 0;
    return faults.login_without_pin ? real.C_Login(session, user, typed, sizeof typed - 1)
                                    : real.C_Login(session, user, pin, len);
}

static CK_RV once(_Atomic CK_RV *fault)
{
    return atomic_exchange(fault, CKR_OK);
}

static CK_RV answer(const char *function, CK_RV rv)
{
    return faults.lenient && strcmp(faults.lenient, function) == 0 ? CKR_OK : rv;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *mac,
                  CK_ULONG *mac_len)
{
    CK_RV rv = once(&faults.sign);
    if (rv != CKR_OK)
        return rv;
    unsigned signing = ++faults.signing;
    if (signing > faults.signing_most)
        faults.signing_most = signing;
    if (faults.slow)
        usleep(1000);
    rv = real.C_Sign(session, data, len, mac, mac_len);
    faults.signing--;
    return rv;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *session)
{
    if (faults.sessions_max > 0 && faults.sessions >= faults.sessions_max)
        return CKR_SESSION_COUNT;
    if (faults.refuses_read_only && (flags & CKF_RW_SESSION) == 0)
        return CKR_FUNCTION_FAILED;
    CK_RV rv = real.C_OpenSession(slot, flags, application, notify, session);
    faults.sessions += rv == CKR_OK;
    return rv;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    CK_RV rv = real.C_CloseSession(session);
    faults.sessions -= rv == CKR_OK;
    return rv;
}

static CK_RV generate_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                          CK_ATTRIBUTE *template, CK_ULONG n, CK_OBJECT_HANDLE *key)
{
    for (CK_ULONG i = 0; i < n; i++)
        if (faults.unknown != 0 && template[i].type == faults.unknown)
            return CKR_ATTRIBUTE_TYPE_INVALID;
    return real.C_GenerateKey(session, mechanism, template, n, key);
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *sealed, CK_ULONG len, CK_BYTE *out,
                     CK_ULONG *out_len)
{
    CK_RV rv = once(&faults.decrypt);
    if (rv == CKR_OK)
        rv = real.C_Decrypt(session, sealed, len, out, out_len);
    if (rv != CKR_OK && answer("C_Decrypt", rv) == CKR_OK) {
        *out_len = len - 16;
        return CKR_OK;
    }
    return rv;
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    if (faults.encrypt_init != CKR_OK)
        return faults.encrypt_init;
    if (faults.makes_ivs) {
        CK_GCM_PARAMS *gcm = mechanism->pParameter;
        CK_RV rv = real.C_GenerateRandom(session, gcm->iv_ptr, gcm->iv_len);
        if (rv != CKR_OK)
            return rv;
    }
    return answer("C_EncryptInit", real.C_EncryptInit(session, mechanism, key));
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return answer("C_SignInit", real.C_SignInit(session, mechanism, key));
}

static CK_RV wrap_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE with,
                      CK_OBJECT_HANDLE key, CK_BYTE *out, CK_ULONG *len)
{
    return answer("C_WrapKey", real.C_WrapKey(session, mechanism, with, key, out, len));
}

static CK_RV copy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_ATTRIBUTE *template,
                         CK_ULONG n, CK_OBJECT_HANDLE *ret_object)
{
    return answer("C_CopyObject", real.C_CopyObject(session, key, template, n, ret_object));
}

static CK_RV derive_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base,
                        CK_ATTRIBUTE *template, CK_ULONG n, CK_OBJECT_HANDLE *ret_object)
{
    return answer("C_DeriveKey",
                  real.C_DeriveKey(session, mechanism, base, template, n, ret_object));
}

static CK_RV set_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE *template, CK_ULONG n)
{
    CK_RV rv = real.C_SetAttributeValue(session, object, template, n);
    if (rv != CKR_OK && faults.heeds)
        faults.flipped = template->type;
    return answer("C_SetAttributeValue", rv);
}

static CK_RV generate_random(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG len)
{
    if (!faults.zeros)
        return real.C_GenerateRandom(session, out, len);
    memset(out, 0, len);
    return CKR_OK;
}

static CK_RV destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    return faults.destroy != CKR_OK ? faults.destroy : real.C_DestroyObject(session, object);
}

static CK_RV get_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE *template, CK_ULONG n)
{
    CK_RV rv = real.C_GetAttributeValue(session, object, template, n);
    for (CK_ULONG i = 0; i < n; i++) {
        if (faults.flipped != 0 && template[i].type == faults.flipped)
            *(CK_BBOOL *)template[i].pValue ^= 1;
        if (faults.key_type != 0 && template[i].type == CKA_KEY_TYPE)
            *(CK_KEY_TYPE *)template[i].pValue = faults.key_type;
        if ((faults.hidden != 0 && template[i].type == faults.hidden) ||
            (faults.unknown != 0 && template[i].type == faults.unknown)) {
            template[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
            rv = CKR_ATTRIBUTE_TYPE_INVALID;
        }
        if (faults.vouches &&
            (template[i].type == CKA_LOCAL || template[i].type == CKA_ALWAYS_SENSITIVE ||
             template[i].type == CKA_NEVER_EXTRACTABLE))
            *(CK_BBOOL *)template[i].pValue = CK_TRUE;
        if (template[i].type == CKA_VALUE && answer("C_GetAttributeValue", rv) == CKR_OK) {
            memset(template[i].pValue, 0, 32);
            template[i].ulValueLen = 32;
            rv = CKR_OK;
        }
    }
    return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret_list)
{
    void *softhsm = dlopen(SOFTHSM_MODULE, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = softhsm ? dlsym(softhsm, "C_GetFunctionList") : NULL;
    CK_FUNCTION_LIST *its;
    if (!get || get(&its) != CKR_OK)
        return CKR_GENERAL_ERROR;
    real = *its;
    list = real;
    list.C_GetTokenInfo = get_token_info;
    list.C_OpenSession = open_session;
    list.C_CloseSession = close_session;
    list.C_Login = log_in;
    list.C_GenerateKey = generate_key;
    list.C_Sign = sign;
    list.C_Decrypt = decrypt;
    list.C_EncryptInit = encrypt_init;
    list.C_DestroyObject = destroy;
    list.C_GetAttributeValue = get_attributes;
    list.C_SignInit = sign_init;
    list.C_WrapKey = wrap_key;
    list.C_CopyObject = copy_object;
    list.C_DeriveKey = derive_key;
    list.C_SetAttributeValue = set_attributes;
    list.C_GenerateRandom = generate_random;
    if (!faults.lenient)
        faults.lenient = getenv("FAULTY_LENIENT");
    *ret_list = &list;
    return CKR_OK;
}
