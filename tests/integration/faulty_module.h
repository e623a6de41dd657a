/* The knobs of a PKCS#11 module that passes everything on to SoftHSM, and fails, lies or gives way
 * as told. */
#ifndef TBS_TESTS_FAULTY_MODULE_H
#define TBS_TESTS_FAULTY_MODULE_H

#include <p11-kit/pkcs11.h>
#include <stdatomic.h>
#include <stdbool.h>

struct faults {
    CK_FLAGS token_flags;   /* shown besides the token's own */
    unsigned logins;        /* seen */
    bool login_without_pin; /* seen: as at a PIN pad */
    _Atomic CK_RV sign;     /* CKR_OK: pass on; else answered once, operation left active */
    _Atomic CK_RV decrypt;  /* likewise */
    CK_RV encrypt_init;     /* answered always */
    CK_RV destroy;          /* answered always */
    CK_ATTRIBUTE_TYPE flipped, hidden; /* boolean told wrongly; attribute not told; 0: none */
    CK_ATTRIBUTE_TYPE unknown;         /* not told, and refused in a template; 0: none */
    CK_KEY_TYPE key_type;              /* told of every key; 0: its own */
    bool makes_ivs;                    /* of AES-GCM, whatever it is given */
    bool refuses_read_only;            /* sessions */
    atomic_uint sessions;              /* seen: open now */
    bool slow;                         /* signs take a while */
    atomic_uint signing, signing_most; /* seen: now, and at most at once */
    /* A function, such as "C_WrapKey", that answers CKR_OK where SoftHSM refuses. NULL: the one
     * that FAULTY_LENIENT names in the environment, if any. */
    const char *lenient;
    bool heeds;            /* a lenient C_SetAttributeValue seems to have an effect */
    bool vouches;          /* every key was made here and never left */
    bool zeros;            /* for random octets */
    unsigned sessions_max; /* 0: no limit */
};

extern struct faults faults;

#endif
