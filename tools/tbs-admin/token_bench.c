#include "tools/tbs-admin/token_bench.h"

#include "tools/common/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "custody/backend.h"
#include "pkcs11/bench.h"
#include "tools/tbs-admin/interrupt.h"
#include "tpm/trial.h"

#define SESSIONS_MAX 64 /* as server.workers */
#define SECONDS_MAX 60
#define GAIN 1.05 /* less is none */
#define STEPS_MAX 16
#define RIVALS_MAX 4
#define ROUNDS 5

struct step {
    unsigned sessions;
    const struct bench_rival *rival; /* NULL: our backend */
    double rate[BENCH_N_OPERATIONS];
};

struct series {
    struct step step[STEPS_MAX];
    size_t n;
    struct step rival[RIVALS_MAX]; /* in one session */
    size_t n_rivals;
    double protect_ms; /* 0: nothing protects the way to the token */
};

static const char *const names[BENCH_N_OPERATIONS] = {
    [BENCH_HMAC] = "HMAC",      [BENCH_UNWRAP] = "unwrap",    [BENCH_RANDOM] = "random",
    [BENCH_TICKET] = "tickets", [BENCH_RESOLVE] = "resolves",
};

static enum tbs_err parse(const char *option, const char *text, unsigned most, unsigned *number,
                          struct tbs_diag *diag)
{
    char *end;

    if (!text)
        return TBS_OK;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);

    if (errno || *text < '0' || *text > '9' || *end || value < 1 || value > most)
        return tbs_fail(diag, TBS_ERR_INVALID, "%s wants a number from 1 to %u", option, most);
    *number = (unsigned)value;
    return TBS_OK;
}

/* what NULL: there is nothing to show any more. */
static void show_progress(unsigned sessions, const char *what)
{
    if (!isatty(STDERR_FILENO))
        return;
    fputs("\r\033[K", stderr);
    if (what)
        fprintf(stderr, "%u session%s: %s", sessions, sessions == 1 ? "" : "s", what);
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* In rounds, and of those the median: others use the machine and the token, too. */
static enum tbs_err measure(struct bench *bench, unsigned seconds, struct step *step,
                            struct tbs_diag *diag)
{
    double sample[BENCH_N_OPERATIONS][ROUNDS] = {0};
    enum tbs_err err = TBS_OK;

    for (int i = 0; i < ROUNDS * BENCH_N_OPERATIONS && !err && !interrupted; i++) {
        int operation = i % BENCH_N_OPERATIONS;

        show_progress(step->sessions, names[operation]);
        err = bench_measure(bench, step->rival, (enum bench_operation)operation, step->sessions,
                            (double)seconds / ROUNDS, &interrupted,
                            &sample[operation][i / BENCH_N_OPERATIONS], diag);
    }
    show_progress(0, NULL);
    for (int i = 0; i < BENCH_N_OPERATIONS; i++) {
        qsort(sample[i], ROUNDS, sizeof *sample[i], compare);
        step->rate[i] = sample[i][ROUNDS / 2];
    }
    return err;
}

/* The fewest sessions that are nearly as good as any. */
static const struct step *best(const struct series *s)
{
    const struct step *chosen = &s->step[0];

    for (size_t i = 1; i < s->n; i++)
        if (s->step[i].rate[BENCH_TICKET] > GAIN * chosen->rate[BENCH_TICKET])
            chosen = &s->step[i];
    return chosen;
}

/* Doubled, but `until` itself is never left out; 0: enough. */
static unsigned next(const struct series *s, unsigned until, bool go_on)
{
    unsigned last = s->n > 0 ? s->step[s->n - 1].sessions : 0;
    unsigned doubled = last > 0 ? 2 * last : 1;

    if (last < until)
        return doubled < until ? doubled : until;
    bool gained = best(s) == &s->step[s->n - 1];

    return go_on && gained && doubled <= SESSIONS_MAX ? doubled : 0;
}

static enum tbs_err measure_all(struct bench *bench, unsigned until, bool go_on, unsigned seconds,
                                struct series *s, struct tbs_diag *diag)
{
    unsigned sessions;

    while (!interrupted && (sessions = next(s, until, go_on)) > 0) {
        struct step *step = &s->step[s->n];

        step->sessions = sessions;
        enum tbs_err err = measure(bench, seconds, step, diag);

        /* As many sessions as the token has: what was measured with fewer counts. */
        if (err == TBS_ERR_UNAVAILABLE && s->n > 0) {
            fprintf(stderr, "tbs-admin: no more than %u sessions: %s\n", s->step[s->n - 1].sessions,
                    diag->text);
            return TBS_OK;
        }
        if (err)
            return err;
        s->n++;
    }
    return TBS_OK;
}

static enum tbs_err measure_rivals(struct bench *bench, unsigned seconds, struct series *s,
                                   struct tbs_diag *diag)
{
    const struct bench_token *token = bench_token_of(bench);
    enum tbs_err err = TBS_OK;

    for (; s->n_rivals < token->n_rivals && !err && !interrupted; s->n_rivals++) {
        struct step *step = &s->rival[s->n_rivals];

        *step = (struct step){.sessions = 1, .rival = &token->rivals[s->n_rivals]};
        err = measure(bench, seconds, step, diag);
    }
    return err;
}

/* The median, in milliseconds. */
static enum tbs_err measure_protection(struct bench *bench, double *ret_ms, struct tbs_diag *diag)
{
    const struct bench_token *token = bench_token_of(bench);
    double sample[ROUNDS];
    enum tbs_err err = TBS_OK;

    for (int i = 0; token->protect && i < ROUNDS && !err; i++) {
        uint64_t began = custody_now_ns();

        err = token->protect(token->trial, diag);
        sample[i] = (double)(custody_now_ns() - began) / 1e6;
    }
    if (err || !token->protect)
        return err;
    qsort(sample, ROUNDS, sizeof *sample, compare);
    *ret_ms = sample[ROUNDS / 2];
    return TBS_OK;
}

static json_t *row_of(const struct step *step, const struct step *chosen)
{
    char text[32];
    json_t *row = json_array();

    snprintf(text, sizeof text, "%u", step->sessions);
    json_array_append_new(row, json_string(step->rival ? step->rival->name : text));
    for (int i = 0; i < BENCH_N_OPERATIONS; i++) {
        snprintf(text, sizeof text, "%.0f", step->rate[i]);
        json_array_append_new(row, json_string(text));
    }
    json_array_append_new(row, json_string(step == chosen ? "best" : ""));
    return row;
}

static void print_verdict(const struct bench *bench, const struct series *s,
                          const struct step *chosen)
{
    printf("\nOperations per second; a ticket is 11 calls, a resolve 8, and stored keys are "
           "unwrapped with %s.\n"
           "This token carries %.0f Ticket Requests or %.0f Ticket Resolves per second; more than "
           "%u session%s gain%s it nothing.\n",
           bench_unwraps_with_gcm(bench) ? "AES-256-GCM" : "HMAC-SHA-256, for want of AES-GCM",
           chosen->rate[BENCH_TICKET], chosen->rate[BENCH_RESOLVE], chosen->sessions,
           chosen->sessions == 1 ? "" : "s", chosen->sessions == 1 ? "s" : "");
    if (s->n_rivals > 0)
        printf("Raw is the library alone, in one session, without our backend.\n");
    if (s->protect_ms > 0)
        printf("The session that protects the bus takes %.1f ms to begin, once for each opening.\n",
               s->protect_ms);
}

static void print(const struct admin *a, const char *name, const struct bench *bench,
                  const struct series *s)
{
    static const char *const columns[] = {"sessions", "hmac",     "unwrap",  "random",
                                          "tickets",  "resolves", "verdict", NULL};
    const struct step *chosen = best(s);
    json_t *rows = json_array();

    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(rows, row_of(&s->step[i], chosen));
    for (size_t i = 0; i < s->n_rivals; i++)
        json_array_append_new(rows, row_of(&s->rival[i], chosen));
    if (!a->json)
        printf("Token %s\n", name);
    admin_print(a, columns, rows);
    if (!a->json)
        print_verdict(bench, s, chosen);
}

static enum tbs_err bench_one(struct admin *a, const struct custody_token_config *token,
                              unsigned until, unsigned seconds, struct tbs_diag *diag)
{
    struct bench_token opened;
    struct bench *bench;
    struct series series = {0};
    struct tbs_diag left = {0};
    enum tbs_err err = token_is_tpm(token) ? tpm_bench_token(token, &opened, diag)
                                           : p11_bench_token(token, &opened, diag);

    if (!err)
        err = bench_open(&opened, &bench, diag);
    if (err)
        return err;
    err = measure_all(bench, until, !admin_options.sessions, seconds, &series, diag);
    if (!err)
        err = measure_rivals(bench, seconds, &series, diag);
    if (!err)
        err = measure_protection(bench, &series.protect_ms, diag);
    if (!err && !interrupted)
        print(a, token_name(token), bench, &series);
    enum tbs_err closed = bench_close(bench, &left);

    return err || !closed ? err : tbs_fail_raw(diag, closed, left.raw, "%s", left.text);
}

enum tbs_err token_bench(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct tokens tokens;
    unsigned seconds = 1, until = 0;
    enum tbs_err err = parse("--seconds", admin_options.seconds, SECONDS_MAX, &seconds, diag);

    (void)n, (void)words;
    if (!err)
        err = parse("--sessions", admin_options.sessions, SESSIONS_MAX, &until, diag);
    if (!err)
        err = admin_config(a, diag);
    if (err)
        return err;
    if (until == 0)
        until = a->config->server.workers;
    interrupt_hold();
    tokens_of(&a->config->custody, &tokens);
    for (size_t i = 0; i < tokens.custody.n_tokens && !err && !interrupted; i++)
        err = bench_one(a, &tokens.token[i], until, seconds, diag);
    if (!err)
        interrupt_end();
    return err;
}
