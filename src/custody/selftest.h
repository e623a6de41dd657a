/* Whether a token is fit for the KMS: what it must do is done, with throw-away keys and the
 * functions of the service itself; what it must refuse is tried as an attacker would who has its
 * PIN. One trial of a token at a time, and nobody else's use of it is disturbed. */
#ifndef TBS_CUSTODY_SELFTEST_H
#define TBS_CUSTODY_SELFTEST_H

#include <signal.h>

#include "custody/custody.h"

/* In the order of their weight. */
enum selftest_verdict {
    SELFTEST_OK,      /* does what the KMS needs */
    SELFTEST_REFUSED, /* an attack, refused as it must be */
    SELFTEST_REMARK,  /* fit, but to be known */
    SELFTEST_CANNOT,  /* what the KMS can do without */
    SELFTEST_UNFIT,   /* what the KMS cannot do without, missing or wrong */
    SELFTEST_DANGER,  /* an attack that succeeded */
};

struct selftest_finding {
    enum selftest_verdict verdict;
    const char *check;
    char finding[400];  /* one sentence */
    const char *advice; /* what to do; NULL: nothing */
};

struct selftest {
    unsigned sessions;                 /* that the KMS has with the token at a time */
    const volatile sig_atomic_t *stop; /* ends the test after the check that is in work */
    /* Called for each check, in the caller's thread. */
    void (*tell)(void *ctx, const struct selftest_finding *finding);
    void *ctx;
};

/* Each backend's room has its own test: p11_selftest_run and tpm_selftest_run. */

void selftest_says(struct selftest_finding *finding, enum selftest_verdict verdict,
                   const char *advice, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
