/* All functions of PKCS#11 2.40, in its order, each with its shape: what it takes after the
 * session (forward.c). OWN: written out by hand. */
#ifndef TBS_TESTS_MOCK_FUNCTIONS_H
#define TBS_TESTS_MOCK_FUNCTIONS_H

#include <p11-kit/pkcs11.h>

#define MOCK_FUNCTIONS(F)                                                                          \
    F(OWN, C_Initialize)                                                                           \
    F(OWN, C_Finalize)                                                                             \
    F(OWN, C_GetInfo)                                                                              \
    F(OWN, C_GetFunctionList)                                                                      \
    F(OWN, C_GetSlotList)                                                                          \
    F(OWN, C_GetSlotInfo)                                                                          \
    F(OWN, C_GetTokenInfo)                                                                         \
    F(OWN, C_GetMechanismList)                                                                     \
    F(OWN, C_GetMechanismInfo)                                                                     \
    F(OWN, C_InitToken)                                                                            \
    F(OCTETS, C_InitPIN)                                                                           \
    F(OCTETS_TWICE, C_SetPIN)                                                                      \
    F(OWN, C_OpenSession)                                                                          \
    F(OWN, C_CloseSession)                                                                         \
    F(OWN, C_CloseAllSessions)                                                                     \
    F(OWN, C_GetSessionInfo)                                                                       \
    F(RESULT, C_GetOperationState)                                                                 \
    F(OWN, C_SetOperationState)                                                                    \
    F(OWN, C_Login)                                                                                \
    F(NOTHING, C_Logout)                                                                           \
    F(OWN, C_CreateObject)                                                                         \
    F(OWN, C_CopyObject)                                                                           \
    F(OBJECT, C_DestroyObject)                                                                     \
    F(OWN, C_GetObjectSize)                                                                        \
    F(OWN, C_GetAttributeValue)                                                                    \
    F(OWN, C_SetAttributeValue)                                                                    \
    F(OWN, C_FindObjectsInit)                                                                      \
    F(OWN, C_FindObjects)                                                                          \
    F(NOTHING, C_FindObjectsFinal)                                                                 \
    F(MECHANISM_KEY, C_EncryptInit)                                                                \
    F(OCTETS_RESULT, C_Encrypt)                                                                    \
    F(OCTETS_RESULT, C_EncryptUpdate)                                                              \
    F(RESULT, C_EncryptFinal)                                                                      \
    F(MECHANISM_KEY, C_DecryptInit)                                                                \
    F(OCTETS_RESULT, C_Decrypt)                                                                    \
    F(OCTETS_RESULT, C_DecryptUpdate)                                                              \
    F(RESULT, C_DecryptFinal)                                                                      \
    F(MECHANISM, C_DigestInit)                                                                     \
    F(OCTETS_RESULT, C_Digest)                                                                     \
    F(OCTETS, C_DigestUpdate)                                                                      \
    F(OBJECT, C_DigestKey)                                                                         \
    F(RESULT, C_DigestFinal)                                                                       \
    F(MECHANISM_KEY, C_SignInit)                                                                   \
    F(OCTETS_RESULT, C_Sign)                                                                       \
    F(OCTETS, C_SignUpdate)                                                                        \
    F(RESULT, C_SignFinal)                                                                         \
    F(MECHANISM_KEY, C_SignRecoverInit)                                                            \
    F(OCTETS_RESULT, C_SignRecover)                                                                \
    F(MECHANISM_KEY, C_VerifyInit)                                                                 \
    F(OCTETS_TWICE, C_Verify)                                                                      \
    F(OCTETS, C_VerifyUpdate)                                                                      \
    F(OCTETS, C_VerifyFinal)                                                                       \
    F(MECHANISM_KEY, C_VerifyRecoverInit)                                                          \
    F(OCTETS_RESULT, C_VerifyRecover)                                                              \
    F(OCTETS_RESULT, C_DigestEncryptUpdate)                                                        \
    F(OCTETS_RESULT, C_DecryptDigestUpdate)                                                        \
    F(OCTETS_RESULT, C_SignEncryptUpdate)                                                          \
    F(OCTETS_RESULT, C_DecryptVerifyUpdate)                                                        \
    F(OWN, C_GenerateKey)                                                                          \
    F(OWN, C_GenerateKeyPair)                                                                      \
    F(OWN, C_WrapKey)                                                                              \
    F(OWN, C_UnwrapKey)                                                                            \
    F(OWN, C_DeriveKey)                                                                            \
    F(OCTETS, C_SeedRandom)                                                                        \
    F(OCTETS, C_GenerateRandom)                                                                    \
    F(NOTHING, C_GetFunctionStatus)                                                                \
    F(NOTHING, C_CancelFunction)                                                                   \
    F(OWN, C_WaitForSlotEvent)

enum function {
#define AS_ENUM(shape, name) FUNCTION_##name,
    MOCK_FUNCTIONS(AS_ENUM)
#undef AS_ENUM
        N_FUNCTIONS
};

/* mock_C_Initialize and so on. */
#define AS_PROTOTYPE(shape, name) extern __typeof__(name) mock_##name;
MOCK_FUNCTIONS(AS_PROTOTYPE)
#undef AS_PROTOTYPE

extern const char *const function_names[N_FUNCTIONS];

#endif
