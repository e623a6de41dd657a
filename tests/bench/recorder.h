/* A PKCS#11 module that passes everything on to another one, and, while told to, writes down
 * the operations of one thread with their inputs, so that they can be repeated. */
#ifndef TBS_BENCH_RECORDER_H
#define TBS_BENCH_RECORDER_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RECORDER_OPERATIONS 64
#define RECORDER_OCTETS 512

enum recorder_kind { RECORDER_RANDOM, RECORDER_SIGN, RECORDER_DECRYPT };

struct recorder_operation {
    enum recorder_kind kind;
    CK_MECHANISM_TYPE mechanism;
    CK_OBJECT_HANDLE key;
    CK_ULONG len; /* of the input; for RECORDER_RANDOM of what is asked for */
    uint8_t input[RECORDER_OCTETS];
    CK_GCM_PARAMS gcm; /* points into iv and aad; RECORDER_DECRYPT only */
    uint8_t iv[16], aad[RECORDER_OCTETS];
};

/* The module has one, as its symbol `recorder`. */
struct recorder {
    const char *module;     /* the module behind this one, set before this one is used */
    CK_FUNCTION_LIST *real; /* its functions */
    CK_SLOT_ID slot;        /* of the latest session */
    _Atomic pid_t thread;   /* whose operations are kept; 0: nobody's */
    bool overflow;          /* an operation was too many or too large to be kept */
    unsigned n;
    struct recorder_operation operation[RECORDER_OPERATIONS];
};

#endif
