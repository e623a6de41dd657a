#include "custody/bench.h"

#include <pthread.h>
#include <stdlib.h>

#include "custody/backend.h"

#define SECRET_LEN 32 /* of a device's key */
#define SEALED_LEN (SECRET_LEN + CUSTODY_GCM_TAG_LEN)
#define RANDOM_LEN 32

struct bench {
    struct bench_token token;
    const struct custody_ops *by; /* whose functions are measured */
    struct custody_key tpk, kek;
    bool gcm;
    uint8_t sealed[SEALED_LEN], made_iv[CUSTODY_GCM_IV_LEN];
};

static const uint8_t octets[256]; /* the data of every operation: its value is no matter */

/* --- Operations --- */

static struct custody_aead aead(void)
{
    return (struct custody_aead){.iv = octets, .aad = tbs_bytes(octets, 64)};
}

/* A label, and an octet string of a MAC and that label: RFC 3830 4.1.2, RFC 6043 A.2. */
static enum tbs_err prf_round(struct bench *b, void *session, struct tbs_diag *diag)
{
    uint8_t mac[CUSTODY_MAC_MAX];
    enum tbs_err err = b->by->hmac(session, &b->tpk, tbs_bytes(octets, 43), mac, diag);
    return err != TBS_OK ? err : b->by->hmac(session, &b->tpk, tbs_bytes(octets, 75), mac, diag);
}

static enum tbs_err one_hmac(struct bench *b, void *session, struct tbs_diag *diag)
{
    uint8_t mac[CUSTODY_MAC_MAX];
    return b->by->hmac(session, &b->tpk, tbs_bytes(octets, 59), mac, diag);
}

static enum tbs_err one_unwrap(struct bench *b, void *session, struct tbs_diag *diag)
{
    uint8_t out[SEALED_LEN];
    struct custody_aead how = aead();
    if (b->kek.token_iv)
        how.iv = b->made_iv;
    return b->gcm
               ? b->by->unseal(session, &b->kek, &how, tbs_bytes(b->sealed, SEALED_LEN), out, diag)
               : b->by->hmac(session, &b->kek, tbs_bytes(octets, 62), out, diag);
}

static enum tbs_err one_random(struct bench *b, void *session, struct tbs_diag *diag)
{
    uint8_t out[RANDOM_LEN];
    return b->by->random(session, out, sizeof out, diag);
}

static enum tbs_err request(struct bench *b, void *session, int n_random, struct tbs_diag *diag)
{
    enum tbs_err err = one_unwrap(b, session, diag);
    for (int i = 0; i < n_random && err == TBS_OK; i++)
        err = one_random(b, session, diag);
    for (int i = 0; i < 3 && err == TBS_OK; i++)
        err = prf_round(b, session, diag);
    return err;
}

static enum tbs_err one_ticket(struct bench *b, void *session, struct tbs_diag *diag)
{
    return request(b, session, 4, diag);
}

static enum tbs_err one_resolve(struct bench *b, void *session, struct tbs_diag *diag)
{
    return request(b, session, 1, diag);
}

static enum tbs_err (*const operations[BENCH_N_OPERATIONS])(struct bench *, void *,
                                                            struct tbs_diag *) = {
    [BENCH_HMAC] = one_hmac,     [BENCH_UNWRAP] = one_unwrap,   [BENCH_RANDOM] = one_random,
    [BENCH_TICKET] = one_ticket, [BENCH_RESOLVE] = one_resolve,
};

/* --- Threads --- */

struct runner {
    struct bench *bench;
    enum bench_operation operation;
    const volatile sig_atomic_t *stop;
    uint64_t until_ns, done;
    void *session;
    pthread_t thread;
    bool started;
    enum tbs_err err;
    struct tbs_diag diag;
};

static void *run(void *arg)
{
    struct runner *r = arg;
    while (r->err == TBS_OK && !*r->stop && custody_now_ns() < r->until_ns) {
        r->err = operations[r->operation](r->bench, r->session, &r->diag);
        r->done += r->err == TBS_OK;
    }
    return NULL;
}

static enum tbs_err open_sessions(struct bench *bench, struct runner *runners, unsigned n,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    for (unsigned i = 0; i < n && err == TBS_OK; i++)
        err = bench->token.ops->session_open(bench->token.token, &runners[i].session, diag);
    return err;
}

/* The sessions are open. */
static enum tbs_err run_all(struct runner *runners, unsigned n, double seconds, double *ret_rate,
                            struct tbs_diag *diag)
{
    uint64_t done = 0, begin = custody_now_ns();
    const struct runner *failed = NULL;
    for (unsigned i = 0; i < n; i++) {
        runners[i].until_ns = begin + (uint64_t)(seconds * 1e9);
        runners[i].started = pthread_create(&runners[i].thread, NULL, run, &runners[i]) == 0;
        if (!runners[i].started)
            runners[i].err = tbs_fail(&runners[i].diag, TBS_ERR_NOMEM, "cannot start a thread");
    }
    for (unsigned i = 0; i < n; i++) {
        if (runners[i].started)
            pthread_join(runners[i].thread, NULL);
        if (runners[i].err != TBS_OK)
            failed = &runners[i];
        done += runners[i].done;
    }
    if (failed)
        return tbs_fail_raw(diag, failed->err, failed->diag.raw, "%s", failed->diag.text);
    *ret_rate = (double)done * 1e9 / (double)(custody_now_ns() - begin);
    return TBS_OK;
}

enum tbs_err bench_measure(struct bench *bench, const struct bench_rival *rival,
                           enum bench_operation operation, unsigned sessions, double seconds,
                           const volatile sig_atomic_t *stop, double *ret_rate,
                           struct tbs_diag *diag)
{
    bench->by = rival ? rival->ops : bench->token.ops;
    struct runner *runners = calloc(sessions, sizeof *runners);
    if (!runners)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory measuring a token");
    for (unsigned i = 0; i < sessions; i++)
        runners[i] = (struct runner){.bench = bench, .operation = operation, .stop = stop};
    enum tbs_err err = open_sessions(bench, runners, sessions, diag);
    if (err == TBS_OK)
        err = run_all(runners, sessions, seconds, ret_rate, diag);
    for (unsigned i = 0; i < sessions; i++)
        if (runners[i].session)
            bench->token.ops->session_close(runners[i].session);
    free(runners);
    return err;
}

/* --- Keys --- */

static enum tbs_err make_gcm_kek(struct bench *b, void *session, struct tbs_diag *diag)
{
    struct custody_aead how = aead();
    how.made_iv = b->made_iv;
    enum tbs_err err = b->by->seal
                           ? b->token.generate(b->token.trial, CUSTODY_AES_256_GCM, &b->kek, diag)
                           : TBS_ERR_UNSUPPORTED;
    return err != TBS_OK ? err
                         : b->by->seal(session, &b->kek, &how, tbs_bytes(octets, SECRET_LEN),
                                       b->sealed, diag);
}

static enum tbs_err prepare(struct bench *b, void *session, struct tbs_diag *diag)
{
    enum tbs_err err = b->token.generate(b->token.trial, CUSTODY_HMAC_SHA_256, &b->tpk, diag);
    if (err != TBS_OK)
        return err;
    b->gcm = make_gcm_kek(b, session, NULL) == TBS_OK;
    if (!b->gcm)
        err = b->token.generate(b->token.trial, CUSTODY_HMAC_SHA_256, &b->kek, diag);
    for (int i = 0; i < BENCH_N_OPERATIONS && err == TBS_OK; i++)
        err = operations[i](b, session, diag);
    return err;
}

enum tbs_err bench_open(const struct bench_token *token, struct bench **ret_bench,
                        struct tbs_diag *diag)
{
    struct bench *b = calloc(1, sizeof *b);
    void *session;
    if (!b) {
        token->close(token->trial, NULL);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory measuring a token");
    }
    b->token = *token;
    b->by = token->ops;
    enum tbs_err err = token->ops->session_open(token->token, &session, diag);
    if (err == TBS_OK) {
        err = prepare(b, session, diag);
        token->ops->session_close(session);
    }
    if (err != TBS_OK) {
        bench_close(b, NULL);
        return err;
    }
    *ret_bench = b;
    return TBS_OK;
}

bool bench_unwraps_with_gcm(const struct bench *bench)
{
    return bench->gcm;
}

const struct bench_token *bench_token_of(const struct bench *bench)
{
    return &bench->token;
}

enum tbs_err bench_close(struct bench *bench, struct tbs_diag *diag)
{
    enum tbs_err err = bench->token.close(bench->token.trial, diag);
    free(bench);
    return err;
}
