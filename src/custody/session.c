/* One thread's sessions with all tokens, and which of them does a call. */
#include "custody/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BREAKER 5             /* failures in a row after which a token is not asked */
#define AWAIT_NS 1000000000u  /* how long a call waits for a token to be mended */
#define DRAIN_PAUSE_NS 200000 /* between looks at calls that still are in work */

static bool enter(struct custody_token *token, struct custody_leg *leg)
{
    leg->since_ns = custody_now_ns();
    leg->in_call = true;
    if (token->open)
        return true;
    leg->in_call = false;
    return false;
}

static void leave(struct custody_leg *leg)
{
    leg->in_call = false;
}

static enum tbs_err open_leg(struct custody_session *session, struct custody_token *token,
                             struct tbs_diag *diag)
{
    struct custody_leg *leg = &session->legs[token->index];
    return leg->backend ? TBS_OK : token->ops->session_open(token->backend, &leg->backend, diag);
}

/* What is configured wrongly shows now, and not in the first request. A token that is down or
 * fails is left for later. */
static enum tbs_err open_legs(struct custody_session *session, struct tbs_diag *diag)
{
    struct custody *custody = session->custody;
    for (size_t t = 0; t < custody->n_tokens; t++) {
        struct custody_token *token = &custody->tokens[t];
        struct custody_leg *leg = &session->legs[t];
        struct tbs_diag why = {0};
        if (!enter(token, leg))
            continue;
        enum tbs_err err = open_leg(session, token, &why);
        leave(leg);
        if (err == TBS_ERR_CONFIG)
            return tbs_fail_raw(diag, err, why.raw, "%s", why.text);
    }
    return TBS_OK;
}

enum tbs_err custody_session_open(struct custody *custody, struct custody_session **ret_session,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = custody_in_its_process(custody, diag);
    if (err != TBS_OK)
        return err;
    struct custody_session *session = calloc(1, sizeof *session);
    if (!session)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening a session");
    session->custody = custody;
    pthread_mutex_lock(&custody->sessions_lock);
    LIST_INSERT_HEAD(&custody->sessions, session, next);
    pthread_mutex_unlock(&custody->sessions_lock);
    err = open_legs(session, diag);
    if (err != TBS_OK)
        custody_session_close(session);
    else
        *ret_session = session;
    return err;
}

void custody_session_close(struct custody_session *session)
{
    if (!session)
        return;
    struct custody *custody = session->custody;
    bool ours = custody_in_its_process(custody, NULL) == TBS_OK;
    /* Out of the list first: from then on no watcher looks at it. */
    if (ours) {
        pthread_mutex_lock(&custody->sessions_lock);
        LIST_REMOVE(session, next);
        for (size_t t = 0; t < custody->n_tokens; t++) {
            if (session->legs[t].backend)
                custody->tokens[t].ops->session_close(session->legs[t].backend);
        }
        pthread_mutex_unlock(&custody->sessions_lock);
    }
    free(session);
}

void custody_session_deadline(struct custody_session *session, uint64_t deadline_ns)
{
    session->deadline_ns = deadline_ns;
}

uint64_t custody_token_calls(const struct custody_session *session)
{
    return session->calls;
}

/* --- The watcher's side --- */

static unsigned in_call(struct custody_token *token, uint64_t before_ns)
{
    struct custody *custody = token->custody;
    struct custody_session *s;
    unsigned n = 0;
    pthread_mutex_lock(&custody->sessions_lock);
    LIST_FOREACH(s, &custody->sessions, next)
    {
        const struct custody_leg *leg = &s->legs[token->index];
        n += leg->in_call && leg->since_ns < before_ns;
    }
    pthread_mutex_unlock(&custody->sessions_lock);
    return n;
}

unsigned custody_sessions_stalled(struct custody_token *token, uint64_t before_ns)
{
    return in_call(token, before_ns);
}

bool custody_sessions_drain(struct custody_token *token, uint64_t until_ns)
{
    const struct timespec pause = {.tv_nsec = DRAIN_PAUSE_NS};
    struct custody *custody = token->custody;
    struct custody_session *s;
    token->open = false;
    while (in_call(token, UINT64_MAX) > 0) {
        if (custody_now_ns() >= until_ns)
            return false;
        nanosleep(&pause, NULL);
    }
    pthread_mutex_lock(&custody->sessions_lock);
    LIST_FOREACH(s, &custody->sessions, next)
    {
        struct custody_leg *leg = &s->legs[token->index];
        if (leg->backend)
            token->ops->session_close(leg->backend);
        leg->backend = NULL;
    }
    pthread_mutex_unlock(&custody->sessions_lock);
    return true;
}

/* --- The choice --- */

static bool holds(const struct custody_token *token, const struct custody_operation *op)
{
    return !op->entry || op->entry->at[token->index].there;
}

/* The least loaded open token that can do it and is not in `tried`; the last one where equal.
 * NULL when there is none. */
static struct custody_token *choose(struct custody_session *session,
                                    const struct custody_operation *op, unsigned tried)
{
    struct custody *custody = session->custody;
    struct custody_token *best = NULL;
    for (size_t i = 0; i < custody->n_tokens; i++) {
        struct custody_token *t = &custody->tokens[(session->last + i) % custody->n_tokens];
        if (tried & 1u << t->index || !t->open || !holds(t, op))
            continue;
        if (!best || t->busy < best->busy)
            best = t;
    }
    return best;
}

static enum tbs_err nobody(const struct custody_session *session,
                           const struct custody_operation *op, struct tbs_diag *diag)
{
    struct custody_health health;
    custody_known_health(session->custody, &health);
    const char *what = op->entry ? op->entry->key.id : "random numbers";
    unsigned long cannot = op->entry ? custody_directory_cannot(session->custody, op->entry) : 0;
    if (cannot)
        return tbs_fail_raw(diag, TBS_ERR_UNSUPPORTED, cannot,
                            "%s with %s: this token, or the connection to it, cannot do that",
                            custody_alg_name(op->entry->key.alg), what);
    return tbs_fail_raw(diag, TBS_ERR_UNAVAILABLE, health.why.raw, "no token serves %s now: %.200s",
                        what, health.why.text);
}

/* --- One call on one token --- */

static enum tbs_err call(struct custody_session *session, struct custody_token *token,
                         const struct custody_operation *op, struct tbs_diag *diag)
{
    const struct custody_key *key = op->entry ? &op->entry->at[token->index].key : NULL;
    enum tbs_err err = open_leg(session, token, diag);
    if (err != TBS_OK)
        return err;
    return op->run(token->ops, session->legs[token->index].backend, key, op->ctx, diag);
}

static enum tbs_err call_on(struct custody_session *session, struct custody_token *token,
                            const struct custody_operation *op, struct tbs_diag *diag)
{
    struct custody_leg *leg = &session->legs[token->index];
    if (!enter(token, leg))
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE, "token '%s' has just gone down", token->name);
    token->busy++;
    token->calls++;
    session->last = token->index;
    enum tbs_err err = call(session, token, op, diag);
    token->busy--;
    leave(leg);
    return err;
}

/* --- What to do about a failure --- */

static bool is_over(const struct custody_session *session)
{
    return session->deadline_ns > 0 && custody_now_ns() >= session->deadline_ns;
}

static enum custody_class class_of(const struct custody_token *token, enum tbs_err err,
                                   const struct tbs_diag *why)
{
    if (why->raw != 0)
        return token->ops->classify(why->raw);
    if (err == TBS_ERR_UNAVAILABLE) /* the gate was shut in between */
        return CUSTODY_RETRY_OTHER;
    return err == TBS_ERR_TOKEN ? CUSTODY_RETRY_OTHER : CUSTODY_CALLER;
}

/* Has the token mended where that is needed, and says where the one repetition goes: NULL for
 * nowhere. */
static struct custody_token *second_try(struct custody_session *session,
                                        const struct custody_operation *op,
                                        struct custody_token *token, enum custody_class class)
{
    uint64_t until = custody_now_ns() + AWAIT_NS;
    token->failures++;
    if (class == CUSTODY_CALLER || class == CUSTODY_FATAL_CONFIG)
        return NULL;
    if (class == CUSTODY_RETRY_SAME)
        return token;
    bool broken = ++token->failures_in_a_row >= BREAKER;
    if (broken)
        token->open = false;
    uint64_t ticket = class == CUSTODY_SHED ? 0 : custody_token_ask(token, class);
    struct custody_token *other = choose(session, op, 1u << token->index);
    if (other || class == CUSTODY_SHED)
        return other;
    if (class == CUSTODY_RETRY_OTHER && !broken)
        return token;
    if (session->deadline_ns > 0 && session->deadline_ns < until)
        until = session->deadline_ns;
    custody_token_await(token, ticket, until);
    return choose(session, op, 0);
}

enum tbs_err custody_perform(struct custody_session *session, const struct custody_operation *op,
                             struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    enum tbs_err err = custody_in_its_process(session->custody, diag);
    if (err != TBS_OK)
        return err;
    session->calls++;
    struct custody_token *token = choose(session, op, 0);
    for (int try = 0; token && try < 2; try++) {
        if (is_over(session))
            return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                            "the request's deadline passed before the token was asked");
        why = (struct tbs_diag){0};
        err = call_on(session, token, op, &why);
        if (err == TBS_OK) {
            if (token->failures_in_a_row > 0)
                token->failures_in_a_row = 0;
            return TBS_OK;
        }
        struct custody_token *next = second_try(session, op, token, class_of(token, err, &why));
        token = try == 0 ? next : NULL;
    }
    return why.code == TBS_OK ? nobody(session, op, diag)
                              : tbs_fail_raw(diag, err, why.raw, "%s", why.text);
}
