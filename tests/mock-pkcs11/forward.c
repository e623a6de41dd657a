/* The functions that are passed on as they are, by their shapes. */
#include "call.h"

#define OWN(name)

#define NOTHING(name)                                                                              \
    CK_RV mock_##name(CK_SESSION_HANDLE session)                                                   \
    {                                                                                              \
        PASS_ON(name, NULL, call.session);                                                         \
        return call_end(&call, rv);                                                                \
    }

#define OCTETS(name)                                                                               \
    CK_RV mock_##name(CK_SESSION_HANDLE session, CK_BYTE *octets, CK_ULONG n)                      \
    {                                                                                              \
        PASS_ON(name, NULL, call.session, octets, n);                                              \
        return call_end(&call, rv);                                                                \
    }

#define OCTETS_TWICE(name)                                                                         \
    CK_RV mock_##name(CK_SESSION_HANDLE session, CK_BYTE *octets, CK_ULONG n, CK_BYTE *others,     \
                      CK_ULONG n_others)                                                           \
    {                                                                                              \
        PASS_ON(name, NULL, call.session, octets, n, others, n_others);                            \
        return call_end(&call, rv);                                                                \
    }

#define RESULT(name)                                                                               \
    CK_RV mock_##name(CK_SESSION_HANDLE session, CK_BYTE *result, CK_ULONG *n_result)              \
    {                                                                                              \
        PASS_ON(name, NULL, call.session, result, n_result);                                       \
        return call_end(&call, rv);                                                                \
    }

#define OCTETS_RESULT(name)                                                                        \
    CK_RV mock_##name(CK_SESSION_HANDLE session, CK_BYTE *octets, CK_ULONG n, CK_BYTE *result,     \
                      CK_ULONG *n_result)                                                          \
    {                                                                                              \
        PASS_ON(name, NULL, call.session, octets, n, result, n_result);                            \
        return call_end(&call, rv);                                                                \
    }

#define MECHANISM(name)                                                                            \
    CK_RV mock_##name(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism)                          \
    {                                                                                              \
        PASS_ON(name, mechanism, call.session, mechanism);                                         \
        return call_end(&call, rv);                                                                \
    }

#define MECHANISM_KEY(name)                                                                        \
    CK_RV mock_##name(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)    \
    {                                                                                              \
        PASS_ON(name, mechanism, call.session, mechanism, object_real(&call, key));                \
        return call_end(&call, rv);                                                                \
    }

#define OBJECT(name)                                                                               \
    CK_RV mock_##name(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)                          \
    {                                                                                              \
        PASS_ON(name, NULL, call.session, object_real(&call, object));                             \
        return call_end(&call, rv);                                                                \
    }

#define FORWARD(shape, name) shape(name)
MOCK_FUNCTIONS(FORWARD)
