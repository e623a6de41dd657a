#include "faulty_module.h"

#include "softhsm.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
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

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *mac,
                  CK_ULONG *mac_len)
{
    CK_RV rv = gettid() == getpid() ? once(&faults.sign) : CKR_OK; /* not custody's watcher */
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
    return rv != CKR_OK ? rv : real.C_Decrypt(session, sealed, len, out, out_len);
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
    return real.C_EncryptInit(session, mechanism, key);
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
    *ret_list = &list;
    return CKR_OK;
}
