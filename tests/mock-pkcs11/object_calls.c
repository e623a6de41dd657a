/* The functions that give out object handles, or take several, or tell attributes. */
#include "call.h"

CK_RV mock_C_SetOperationState(CK_SESSION_HANDLE session, CK_BYTE *saved, CK_ULONG n,
                               CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentication_key)
{
    PASS_ON(C_SetOperationState, NULL, call.session, saved, n, object_real(&call, encryption_key),
            object_real(&call, authentication_key));
    return call_end(&call, rv);
}

CK_RV mock_C_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG n,
                          CK_OBJECT_HANDLE *object)
{
    PASS_ON(C_CreateObject, NULL, call.session, template, n, object);
    END_WITH_OBJECT();
}

CK_RV mock_C_CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE original,
                        CK_ATTRIBUTE *template, CK_ULONG n, CK_OBJECT_HANDLE *object)
{
    PASS_ON(C_CopyObject, NULL, call.session, object_real(&call, original), template, n, object);
    END_WITH_OBJECT();
}

CK_RV mock_C_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG *size)
{
    PASS_ON(C_GetObjectSize, NULL, call.session, object_real(&call, object), size);
    return call_end(&call, rv);
}

static CK_RV tell(const struct call *call, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
                  CK_ULONG n)
{
    CK_RV rv = real->C_GetAttributeValue(call->session, object, template, n);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_ATTRIBUTE *attribute = &template[i];
        if (script_has(call_script(), RULE_ATTRIBUTE_FLIP, call->label, attribute->type) &&
            attribute->pValue && attribute->ulValueLen == sizeof(CK_BBOOL))
            *(CK_BBOOL *)attribute->pValue ^= 1;
        if (script_has(call_script(), RULE_ATTRIBUTE_HIDE, call->label, attribute->type)) {
            attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
            rv = call_refuse(call, CKR_ATTRIBUTE_TYPE_INVALID);
        }
    }
    return rv;
}

CK_RV mock_C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                               CK_ATTRIBUTE *template, CK_ULONG n)
{
    struct call call = {
        .function = FUNCTION_C_GetAttributeValue, .on = ON_SESSION, .handle = session};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = tell(&call, object_real(&call, object), template, n);
    return call_end(&call, rv);
}

CK_RV mock_C_SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                               CK_ATTRIBUTE *template, CK_ULONG n)
{
    PASS_ON(C_SetAttributeValue, NULL, call.session, object_real(&call, object), template, n);
    return call_end(&call, rv);
}

CK_RV mock_C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG n)
{
    PASS_ON(C_FindObjectsInit, NULL, call.session, template, n);
    return call_end(&call, rv);
}

CK_RV mock_C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG room,
                         CK_ULONG *n)
{
    PASS_ON(C_FindObjects, NULL, call.session, objects, room, n);
    for (CK_ULONG i = 0; rv == CKR_OK && i < *n; i++)
        objects[i] = object_seen(&call, objects[i]);
    return call_end(&call, rv);
}

CK_RV mock_C_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template,
                         CK_ULONG n, CK_OBJECT_HANDLE *object)
{
    PASS_ON(C_GenerateKey, mechanism, call.session, mechanism, template, n, object);
    END_WITH_OBJECT();
}

CK_RV mock_C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                             CK_ATTRIBUTE *public_template, CK_ULONG n_public,
                             CK_ATTRIBUTE *private_template, CK_ULONG n_private,
                             CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *object)
{
    PASS_ON(C_GenerateKeyPair, mechanism, call.session, mechanism, public_template, n_public,
            private_template, n_private, public_key, object);
    if (rv == CKR_OK)
        *public_key = object_seen(&call, *public_key);
    END_WITH_OBJECT();
}

CK_RV mock_C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                     CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key, CK_BYTE *wrapped,
                     CK_ULONG *n_wrapped)
{
    PASS_ON(C_WrapKey, mechanism, call.session, mechanism, object_real(&call, wrapping_key),
            object_real(&call, key), wrapped, n_wrapped);
    return call_end(&call, rv);
}

CK_RV mock_C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                       CK_OBJECT_HANDLE unwrapping_key, CK_BYTE *wrapped, CK_ULONG n_wrapped,
                       CK_ATTRIBUTE *template, CK_ULONG n, CK_OBJECT_HANDLE *object)
{
    PASS_ON(C_UnwrapKey, mechanism, call.session, mechanism, object_real(&call, unwrapping_key),
            wrapped, n_wrapped, template, n, object);
    END_WITH_OBJECT();
}

CK_RV mock_C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                       CK_OBJECT_HANDLE base_key, CK_ATTRIBUTE *template, CK_ULONG n,
                       CK_OBJECT_HANDLE *object)
{
    PASS_ON(C_DeriveKey, mechanism, call.session, mechanism, object_real(&call, base_key), template,
            n, object);
    END_WITH_OBJECT();
}
