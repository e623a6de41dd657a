/* The one way into a module: every C_ function is called through P11, which counts and times it.
 * (Custody refuses calls in a child of the process that loaded the module, and knows which calls
 * hang.) */
#ifndef TBS_PKCS11_CALL_H
#define TBS_PKCS11_CALL_H

#include "p11.h"

/* Functions that the backend calls, in the order of its statistics. */
#define P11_FUNCTIONS(X)                                                                           \
    X(C_GetSlotList)                                                                               \
    X(C_GetTokenInfo)                                                                              \
    X(C_GetMechanismInfo)                                                                          \
    X(C_InitToken)                                                                                 \
    X(C_InitPIN)                                                                                   \
    X(C_OpenSession)                                                                               \
    X(C_CloseSession)                                                                              \
    X(C_GetSessionInfo)                                                                            \
    X(C_Login)                                                                                     \
    X(C_Logout)                                                                                    \
    X(C_FindObjectsInit)                                                                           \
    X(C_FindObjects)                                                                               \
    X(C_FindObjectsFinal)                                                                          \
    X(C_GetAttributeValue)                                                                         \
    X(C_GenerateKey)                                                                               \
    X(C_GenerateKeyPair)                                                                           \
    X(C_DestroyObject)                                                                             \
    X(C_GenerateRandom)                                                                            \
    X(C_SignInit)                                                                                  \
    X(C_Sign)                                                                                      \
    X(C_EncryptInit)                                                                               \
    X(C_Encrypt)                                                                                   \
    X(C_DecryptInit)                                                                               \
    X(C_Decrypt)

enum p11_function {
#define P11_ENUM(name) P11_##name,
    P11_FUNCTIONS(P11_ENUM)
#undef P11_ENUM
        P11_N_FUNCTIONS,
};

/* CK_RV of a call: P11(token, C_Sign, session, data, len, mac, &mac_len). */
#define P11(token, function, ...)                                                                  \
    ({                                                                                             \
        const struct p11_token *called_ = (token);                                                 \
        uint64_t began_ = custody_now_ns();                                                        \
        CK_RV rv_ = called_->f->function(__VA_ARGS__);                                             \
        custody_count_call(called_->stats, P11_##function, began_, rv_ != CKR_OK);                 \
        rv_;                                                                                       \
    })

/* Names the statistics. */
void p11_name_stats(struct custody_call_stats *stats);

#endif
