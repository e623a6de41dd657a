#include "faulty_module.h"

#include "softhsm.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

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

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *mac,
                  CK_ULONG *mac_len)
{
    CK_RV rv = once(&faults.sign);
    return rv != CKR_OK ? rv : real.C_Sign(session, data, len, mac, mac_len);
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *sealed, CK_ULONG len, CK_BYTE *out,
                     CK_ULONG *out_len)
{
    CK_RV rv = once(&faults.decrypt);
    return rv != CKR_OK ? rv : real.C_Decrypt(session, sealed, len, out, out_len);
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return faults.encrypt_init != CKR_OK ? faults.encrypt_init
                                         : real.C_EncryptInit(session, mechanism, key);
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
        if (faults.hidden != 0 && template[i].type == faults.hidden) {
            template[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
            rv = CKR_ATTRIBUTE_TYPE_INVALID;
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
    list.C_Login = log_in;
    list.C_Sign = sign;
    list.C_Decrypt = decrypt;
    list.C_EncryptInit = encrypt_init;
    list.C_DestroyObject = destroy;
    list.C_GetAttributeValue = get_attributes;
    *ret_list = &list;
    return CKR_OK;
}
