/* One thread's sessions with all tokens, and which of them does a call. */
#include "custody/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRIES 3               /* what looks like the session's failure may be the login's */
#define BREAKER 5             /* failures in a row after which a token is not asked */
#define AWAIT_NS 1000000000u  /* how long a call waits for a mended token, or for a session */
#define DRAIN_PAUSE_NS 200000 /* between looks at calls that still are in work */
#define ROOM_PAUSE_NS 1000000 /* between looks for a session that nobody uses */

static const struct custody_operation no_key;

static bool holds(const struct custody_token *token, const struct custody_operation *op)
{
    return !op->entry || op->entry->at[token->index].there;
}

/* What the token holds does not change until the call leaves. */
static bool enter(struct custody_token *token, struct custody_leg *leg,
                  const struct custody_operation *op)
{
    leg->since_ns = custody_now_ns();
    leg->in_call = true;
    if (token->open && holds(token, op))
        return true;
    leg->in_call = false;
    return false;
}

static void leave(struct custody_leg *leg)
{
    leg->in_call = false;
}

/* Who takes it out owns it. */
static void *take(struct custody_leg *leg)
{
    return atomic_exchange(&leg->backend, NULL);
}

static void close_leg(struct custody_token *token, struct custody_leg *leg)
{
    void *backend = take(leg);
    if (backend)
        token->ops->session_close(backend);
}

/* A session that another thread does not use now. */
static void *borrow(struct custody_token *token)
{
    struct custody *custody = token->custody;
    struct custody_session *s;
    void *backend = NULL;
    pthread_mutex_lock(&custody->sessions_lock);
    LIST_FOREACH(s, &custody->sessions, next)
    {
        if (!backend)
            backend = take(&s->legs[token->index]);
    }
    pthread_mutex_unlock(&custody->sessions_lock);
    return backend;
}

static void pause_ns(long ns)
{
    const struct timespec pause = {.tv_nsec = ns};
    nanosleep(&pause, NULL);
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
        void *backend = NULL;
        if (!enter(token, leg, &no_key))
            continue;
        enum tbs_err err = token->ops->session_open(token->backend, &backend, &why);
        leg->backend = backend;
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

/* Closing may hang: not under the lock, but as a call, which the watcher waits for. */
static void close_open_legs(struct custody_session *session)
{
    for (size_t t = 0; t < session->custody->n_tokens; t++) {
        struct custody_token *token = &session->custody->tokens[t];
        if (!enter(token, &session->legs[t], &no_key))
            continue;
        close_leg(token, &session->legs[t]);
        leave(&session->legs[t]);
    }
}

void custody_session_close(struct custody_session *session)
{
    if (!session)
        return;
    struct custody *custody = session->custody;
    if (custody_in_its_process(custody, NULL) == TBS_OK) {
        close_open_legs(session);
        pthread_mutex_lock(&custody->sessions_lock);
        LIST_REMOVE(session, next);
        for (size_t t = 0; t < custody->n_tokens; t++)
            close_leg(&custody->tokens[t], &session->legs[t]);
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
    return custody_token_moves(token, before_ns) ? 0 : in_call(token, before_ns);
}

bool custody_sessions_drain(struct custody_token *token, uint64_t until_ns)
{
    void *backend;
    token->open = false;
    while (in_call(token, UINT64_MAX) > 0) {
        if (custody_now_ns() >= until_ns)
            return false;
        pause_ns(DRAIN_PAUSE_NS);
    }
    /* Not under the lock: closing may hang, too. */
    while ((backend = borrow(token)))
        token->ops->session_close(backend);
    return true;
}

/* --- The choice --- */

/* The least loaded open token that can do it and is not in `tried`; the last one where equal.
 * NULL when there is none. */
static struct custody_token *choose(struct custody_session *session,
                                    const struct custody_operation *op, unsigned tried)
{
    struct custody *custody = session->custody;
    struct custody_token *best = NULL;
    for (size_t i = 0; i < custody->n_tokens; i++) {
        struct custody_token *t = &custody->tokens[(session->last + i) % custody->n_tokens];
        if (tried & 1u << t->index || !custody_token_serves(t) || !holds(t, op))
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
                        what, health.why.code ? health.why.text : "it is being examined");
}

/* --- One call on one token --- */

static bool is_over(const struct custody_session *session)
{
    return session->deadline_ns > 0 && custody_now_ns() >= session->deadline_ns;
}

static enum custody_class class_of(const struct custody_token *token, enum tbs_err err,
                                   const struct tbs_diag *why)
{
    if (why->raw != 0)
        return token->ops->classify(why->raw);
    return err == TBS_ERR_TOKEN ? CUSTODY_RETRY_OTHER : CUSTODY_CALLER;
}

/* This thread's session with the token. Where the token has no more of them, one of another
 * thread's, which is waited for where no other token can do the call. */
static enum tbs_err obtain(struct custody_session *session, struct custody_token *token,
                           bool may_wait, void **ret_backend, struct tbs_diag *diag)
{
    uint64_t until = custody_now_ns() + AWAIT_NS;
    void *backend = take(&session->legs[token->index]);
    enum tbs_err err = TBS_OK;
    while (!backend) {
        struct tbs_diag why = {0};
        err = token->ops->session_open(token->backend, &backend, &why);
        if (err != TBS_OK && class_of(token, err, &why) == CUSTODY_SHED)
            backend = borrow(token);
        if (backend)
            break;
        if (class_of(token, err, &why) != CUSTODY_SHED || !may_wait || !token->open ||
            is_over(session) || custody_now_ns() >= until)
            return tbs_fail_raw(diag, err, why.raw, "%s", why.text);
        pause_ns(ROOM_PAUSE_NS);
    }
    *ret_backend = backend;
    return TBS_OK;
}

static enum tbs_err call(struct custody_session *session, struct custody_token *token,
                         const struct custody_operation *op, struct tbs_diag *diag)
{
    const struct custody_key *key = op->entry ? &op->entry->at[token->index].key : NULL;
    bool is_alone = !choose(session, op, 1u << token->index);
    void *backend = NULL;
    enum tbs_err err = obtain(session, token, is_alone, &backend, diag);
    if (err != TBS_OK)
        return err;
    err = op->run(token->ops, backend, key, op->ctx, diag);
    session->legs[token->index].backend = backend;
    return err;
}

/* The gate has let it in. */
static enum tbs_err call_on(struct custody_session *session, struct custody_token *token,
                            const struct custody_operation *op, struct tbs_diag *diag)
{
    token->busy++;
    token->calls++;
    session->last = token->index;
    enum tbs_err err = call(session, token, op, diag);
    token->back_ns = custody_now_ns();
    token->busy--;
    leave(&session->legs[token->index]);
    return err;
}

/* --- What to do about a failure --- */

static uint64_t patience(const struct custody_session *session)
{
    uint64_t until = custody_now_ns() + AWAIT_NS;
    return session->deadline_ns > 0 && session->deadline_ns < until ? session->deadline_ns : until;
}

/* Has the token examined where that is needed and was not done since the call began; the ticket
 * to wait with. */
static uint64_t report(struct custody_token *token, enum custody_class class, uint64_t done_before)
{
    token->failures++;
    if (class != CUSTODY_RETRY_OTHER && class != CUSTODY_RELOGIN && class != CUSTODY_REINIT)
        return 0;
    if (token->done != done_before)
        return 0;
    if (++token->failures_in_a_row >= BREAKER)
        token->open = false;
    return custody_token_ask(token, class);
}

static bool await_any_mended(struct custody *custody, uint64_t until_ns)
{
    for (size_t i = 0; i < custody->n_tokens; i++) {
        if (custody_token_await_mended(&custody->tokens[i], until_ns))
            return true;
    }
    return false;
}

/* Where the call is repeated; NULL for nowhere. */
static struct custody_token *next_try(struct custody_session *session,
                                      const struct custody_operation *op,
                                      struct custody_token *token, enum custody_class class,
                                      uint64_t ticket)
{
    if (class == CUSTODY_CALLER)
        return NULL;
    if (class == CUSTODY_RETRY_SAME)
        return token;
    unsigned tried = 1u << token->index;
    struct custody_token *other = choose(session, op, tried);
    if (!other && await_any_mended(session->custody, patience(session)))
        other = choose(session, op, tried);
    if (other || class == CUSTODY_SHED || class == CUSTODY_FATAL_CONFIG)
        return other;
    if (class != CUSTODY_RETRY_OTHER || !token->open)
        custody_token_await(token, ticket, patience(session));
    return token;
}

/* Through the gate of this token, or of one that serves instead. NULL: there is none. */
static struct custody_token *enter_any(struct custody_session *session,
                                       const struct custody_operation *op,
                                       struct custody_token *token)
{
    uint64_t until = patience(session);
    while (!token || !enter(token, &session->legs[token->index], op)) {
        bool is_mended = await_any_mended(session->custody, until);
        token = choose(session, op, 0);
        if ((!token && !is_mended) || custody_now_ns() >= until)
            return NULL;
    }
    return token;
}

static enum tbs_err too_late(struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                    "the request's deadline passed before the token was asked");
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
    for (int try = 1; try == 1 || token; try++) {
        if (is_over(session))
            return too_late(diag);
        token = enter_any(session, op, token);
        if (!token)
            break;
        uint64_t done = token->done;
        why = (struct tbs_diag){0};
        err = call_on(session, token, op, &why);
        if (err == TBS_OK) {
            if (token->failures_in_a_row > 0)
                token->failures_in_a_row = 0;
            return TBS_OK;
        }
        enum custody_class class = class_of(token, err, &why);
        uint64_t ticket = report(token, class, done);
        token = try < TRIES ? next_try(session, op, token, class, ticket) : NULL;
    }
    return why.code == TBS_OK ? nobody(session, op, diag)
                              : tbs_fail_raw(diag, err, why.raw, "%s", why.text);
}
