#include "measure.h"

#include <stdlib.h>
#include <unistd.h>

#include "allocations.h"
#include "load.h"

#define ROUNDS 20  /* ours and the bare token take turns, so that both see the same machine */
#define WARM_UP 50 /* messages before the first round */
#define COUNTED 20 /* messages whose allocations are counted */

/* --- Speed --- */

/* One speed while it is measured. */
struct race {
    struct bench *bench;
    const struct exchange *exchange;
    struct load ours, bare;
    clockid_t cpu; /* of ours */
    struct load_time our_time, bare_time;
    uint64_t *latency_ns, *bare_latency_ns;
};

static enum tbs_err run_round(struct race *r, size_t n, size_t at, struct tbs_diag *diag)
{
    struct messages *messages = &r->bench->messages;
    enum tbs_err err = messages_make(r->bench, r->exchange, n, diag);

    if (!err)
        err = load_run(&r->ours, messages, r->cpu, &r->our_time, &r->latency_ns[at], diag);
    if (!err)
        err = load_run(&r->bare, messages, CLOCK_PROCESS_CPUTIME_ID, &r->bare_time,
                       r->bare_latency_ns, diag);
    return err;
}

static enum tbs_err run_rounds(struct race *r, size_t count, struct tbs_diag *diag)
{
    size_t warm_up = count < WARM_UP ? count : WARM_UP, done = 0;
    enum tbs_err err = run_round(r, warm_up, 0, diag);

    r->our_time = r->bare_time = (struct load_time){0};
    for (unsigned i = 1; !err && i <= ROUNDS; i++) {
        size_t until = count * i / ROUNDS;

        err = run_round(r, until - done, done, diag);
        done = until;
    }
    return err;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void judge(struct race *r, size_t count, struct speed *s)
{
    static const size_t percent[PERCENTILES] = {[P50] = 50, [P90] = 90, [P99] = 99, [P100] = 100};

    s->per_second = 1e9 * (double)count / (double)r->our_time.wall_ns;
    s->bare_per_second = 1e9 * (double)count / (double)r->bare_time.wall_ns;
    s->cpu_us = 1e-3 * (double)r->our_time.cpu_ns / (double)count;
    s->bare_cpu_us = 1e-3 * (double)r->bare_time.cpu_ns / (double)count;
    qsort(r->latency_ns, count, sizeof *r->latency_ns, compare);
    for (size_t i = 0; i < PERCENTILES; i++)
        s->latency_us[i] = 1e-3 * (double)r->latency_ns[(count - 1) * percent[i] / 100];
}

static enum tbs_err open_race(struct race *r, const struct speed *s, size_t count,
                              struct tbs_diag *diag)
{
    r->latency_ns = calloc(count, sizeof *r->latency_ns);
    r->bare_latency_ns = calloc(count, sizeof *r->bare_latency_ns);
    if (!r->latency_ns || !r->bare_latency_ns)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for %zu messages", count);
    r->cpu = CLOCK_PROCESS_CPUTIME_ID;
    if (s->over_http && clock_getcpuclockid(r->bench->daemon_pid, &r->cpu) != 0)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is no daemon with process id %d",
                        (int)r->bench->daemon_pid);
    enum tbs_err err =
        load_open(r->bench, s->over_http ? &way_http : &way_kms, s->callers, &r->ours, diag);

    if (!err)
        err = load_open(r->bench, &way_token, s->bare_sessions, &r->bare, diag);
    return err;
}

static enum tbs_err measure_speed(struct bench *bench, size_t count, struct speed *s,
                                  struct tbs_diag *diag)
{
    struct race r = {.bench = bench, .exchange = &s->exchange};
    enum tbs_err err = messages_make(bench, &s->exchange, 1, diag);

    if (!err)
        err = token_record(bench, tbs_buf_view(&bench->messages.at[0]), diag);
    if (!err)
        err = open_race(&r, s, count, diag);
    if (!err)
        err = run_rounds(&r, count, diag);
    if (!err)
        judge(&r, count, s);
    load_close(&r.ours);
    load_close(&r.bare);
    free(r.latency_ns);
    free(r.bare_latency_ns);
    return err;
}

/* --- Cost --- */

static enum tbs_err count_bare_allocations(struct bench *bench, struct cost *c,
                                           struct tbs_diag *diag)
{
    void *token;
    enum tbs_err err = way_token.open(bench, &token, diag);

    if (err)
        return err;
    unsigned long before = allocations();

    for (size_t i = 0; !err && i < COUNTED; i++)
        err = way_token.answer(token, tbs_bytes(NULL, 0), diag);
    c->bare_allocations = (double)(allocations() - before) / COUNTED;
    way_token.close(token);
    return err;
}

/* The first message is not counted: what it finds unprepared is made once. */
static enum tbs_err measure_cost(struct bench *bench, struct cost *c, struct tbs_diag *diag)
{
    const struct messages *m = &bench->messages;
    enum tbs_err err = messages_make(bench, &c->exchange, 1 + COUNTED, diag);

    if (!err)
        err = token_record(bench, tbs_buf_view(&m->at[0]), diag);
    c->token_calls = bench->recorder->n;
    unsigned long before = allocations();

    for (size_t i = 1; !err && i < m->n; i++)
        err = way_kms.answer(&bench->worker, tbs_buf_view(&m->at[i]), diag);
    c->allocations = (double)(allocations() - before) / COUNTED;
    return err ? err : count_bare_allocations(bench, c, diag);
}

/* --- All of it --- */

static void plan_speed(struct results *r, bool is_resolve, bool over_http, unsigned callers,
                       unsigned bare_sessions)
{
    r->speed[r->n_speeds++] = (struct speed){
        .exchange = {.is_resolve = is_resolve, .forking = true, .keys = 1},
        .over_http = over_http,
        .callers = callers,
        .bare_sessions = bare_sessions,
    };
}

/* In process 1, 2, 4 ... threads up to a thread for each core; over HTTP one connection, and
 * two for each worker of the daemon, so that none of them waits for a client. */
static void plan_speeds(struct results *r, unsigned workers)
{
    unsigned most = r->cores < CALLERS_MAX ? r->cores : CALLERS_MAX;

    for (int is_resolve = 0; is_resolve < 2; is_resolve++) {
        for (unsigned n = 1; n < most; n *= 2)
            plan_speed(r, is_resolve, false, n, n);
        plan_speed(r, is_resolve, false, most, most);
        plan_speed(r, is_resolve, true, 1, 1);
        plan_speed(r, is_resolve, true, 2 * workers, workers);
    }
}

static void plan_costs(struct results *r)
{
    for (unsigned i = 0; i < COSTS; i++)
        r->cost[i].exchange =
            (struct exchange){.is_resolve = i & 4, .forking = i & 2, .keys = i & 1 ? 4 : 1};
}

enum tbs_err measure(struct bench *bench, size_t count, struct results *ret_results,
                     struct tbs_diag *diag)
{
    struct results *r = ret_results;
    enum tbs_err err = TBS_OK;

    *r = (struct results){.cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN), .count = count};
    plan_costs(r);
    plan_speeds(r, bench->config->server.workers);
    for (size_t i = 0; !err && i < COSTS; i++)
        err = measure_cost(bench, &r->cost[i], diag);
    for (size_t i = 0; !err && i < r->n_speeds; i++)
        err = measure_speed(bench, count, &r->speed[i], diag);
    return err;
}
