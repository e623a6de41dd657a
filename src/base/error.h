/* Errors: one enum for every room, and a place for the one clear sentence.
 *
 * Functions return TBS_OK (0) or a negative enum tbs_err. Where a `struct tbs_diag *` is
 * taken it may be NULL; on failure it holds the sentence that says what is wrong, where,
 * and what to do. It never holds a secret. Outputs named ret_* are untouched on failure. */
#ifndef TBS_BASE_ERROR_H
#define TBS_BASE_ERROR_H

enum tbs_err {
    TBS_OK = 0,
    TBS_ERR_NOMEM = -1,        /* out of memory, or of secure memory */
    TBS_ERR_INVALID = -2,      /* the caller passed what the contract forbids */
    TBS_ERR_MALFORMED = -3,    /* octets from outside do not decode */
    TBS_ERR_UNSUPPORTED = -4,  /* decodes, but this algorithm, type or version is not ours */
    TBS_ERR_AUTH = -5,         /* a MAC, tag or identity does not verify */
    TBS_ERR_DENIED = -6,       /* policy says no */
    TBS_ERR_NOT_FOUND = -7,    /* no such key, subscriber, group, file */
    TBS_ERR_EXISTS = -8,       /* would overwrite or duplicate */
    TBS_ERR_TIME = -9,         /* timestamp outside its window, or validity ended */
    TBS_ERR_REPLAY = -10,      /* seen before */
    TBS_ERR_IO = -11,          /* a system call failed */
    TBS_ERR_CONFIG = -12,      /* configuration or permission: a person has to act */
    TBS_ERR_TOKEN = -13,       /* the token failed; raw holds the CK_RV or TSS2_RC */
    TBS_ERR_UNAVAILABLE = -14, /* overload or token down: try later */
    TBS_ERR_CRYPTO = -15,      /* the crypto library failed */
    TBS_ERR_LIMIT = -16,       /* larger than a stated limit */
};

struct tbs_diag {
    enum tbs_err code;
    unsigned long raw; /* CK_RV, errno, SQLite code; 0 if none */
    char text[320];
};

/* A short name such as "malformed"; never NULL. */
const char *tbs_err_name(enum tbs_err code);

/* Fills diag (may be NULL) and returns code, so that callers write `return tbs_fail(...)`. */
enum tbs_err tbs_fail(struct tbs_diag *diag, enum tbs_err code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
enum tbs_err tbs_fail_raw(struct tbs_diag *diag, enum tbs_err code, unsigned long raw,
                          const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
