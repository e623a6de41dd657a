/* How much a token carries: operations of the KMS with throw-away keys, in one or more sessions at
 * a time with a thread each. */
#ifndef TBS_PKCS11_BENCH_H
#define TBS_PKCS11_BENCH_H

#include <signal.h>

#include "custody/custody.h"

enum bench_operation {
    BENCH_HMAC,    /* HMAC-SHA-256 of what MIKEY's PRF asks for a ticket */
    BENCH_UNWRAP,  /* a stored secret: AES-256-GCM, or HMAC-SHA-256 where the token has none */
    BENCH_RANDOM,  /* 32 octets */
    BENCH_TICKET,  /* all that a Ticket Request for one TGK and its salt asks of the token */
    BENCH_RESOLVE, /* all that a Ticket Resolve with forking does */
    BENCH_N_OPERATIONS,
};

struct bench;
/* Opens the token, makes keys in it, and tries each operation once. */
enum tbs_err bench_open(const struct custody_token_config *config, struct bench **ret_bench,
                        struct tbs_diag *diag);
bool bench_unwraps_with_gcm(const struct bench *bench);
/* Operations per second. Ends early when *stop is set; the rate is then of that time.
 * TBS_ERR_UNAVAILABLE also when the token has not so many sessions. */
enum tbs_err bench_measure(struct bench *bench, enum bench_operation operation, unsigned sessions,
                           double seconds, const volatile sig_atomic_t *stop, double *ret_rate,
                           struct tbs_diag *diag);
/* Removes the keys and closes the token. */
enum tbs_err bench_close(struct bench *bench, struct tbs_diag *diag);

#endif
