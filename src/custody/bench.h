/* How much a token carries: operations of the KMS with throw-away keys, in one or more sessions at
 * a time with a thread each. */
#ifndef TBS_CUSTODY_BENCH_H
#define TBS_CUSTODY_BENCH_H

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

struct custody_ops;

/* Another way to the same token, to be compared with the backend's. Its functions take the
 * backend's sessions; only hmac and random are asked for. */
struct bench_rival {
    const char *name;
    const struct custody_ops *ops;
};

/* A token that was opened to be measured, by its backend's room. */
struct bench_token {
    const struct custody_ops *ops;
    void *token; /* the backend's */
    void *trial; /* for the functions below */
    /* A new key as the KMS has it, to be thrown away. */
    enum tbs_err (*generate)(void *trial, enum custody_alg alg, struct custody_key *ret_key,
                             struct tbs_diag *diag);
    /* Begins and ends what protects the way to the token; NULL: nothing does. */
    enum tbs_err (*protect)(void *trial, struct tbs_diag *diag);
    /* Removes the keys and closes the token. */
    enum tbs_err (*close)(void *trial, struct tbs_diag *diag);
    const struct bench_rival *rivals;
    size_t n_rivals;
};

struct bench;
/* Makes keys in the token and tries each operation once. The token is closed by bench_close, or
 * here on failure. */
enum tbs_err bench_open(const struct bench_token *token, struct bench **ret_bench,
                        struct tbs_diag *diag);
bool bench_unwraps_with_gcm(const struct bench *bench);
const struct bench_token *bench_token_of(const struct bench *bench);
/* Operations per second, by the backend, or by a rival that is not NULL in one session. Ends early
 * when *stop is set; the rate is then of that time. TBS_ERR_UNAVAILABLE also when the token has not
 * so many sessions. */
enum tbs_err bench_measure(struct bench *bench, const struct bench_rival *rival,
                           enum bench_operation operation, unsigned sessions, double seconds,
                           const volatile sig_atomic_t *stop, double *ret_rate,
                           struct tbs_diag *diag);
enum tbs_err bench_close(struct bench *bench, struct tbs_diag *diag);

#endif
