/* The life of one token: opened, watched, mended. */
#include "custody/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS 1000000u
#define PROBE_MS 5000     /* between examinations of a token that is up */
#define WATCH_MS 200      /* between looks for calls that hang */
#define RETRY_MIN_MS 100  /* between attempts at one that is not, doubled up to */
#define RETRY_MAX_MS 1000 /* this */
#define LOCKED_MS 10000   /* where a person has to act */
#define STOP_S 3          /* for a watcher to come back from the module */
#define DRAIN_MS 1000     /* for calls in work to come back before the token is opened anew */

uint64_t custody_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- Its configuration --- */

static char *copy(const char *text, bool *failed)
{
    char *twin = text ? strdup(text) : NULL;
    *failed |= text && !twin;
    return twin;
}

static const char *const *copy_list(const char *const *texts, size_t n, bool *failed)
{
    const char **twins = calloc(n + 1, sizeof *twins);
    for (size_t i = 0; twins && i < n; i++)
        twins[i] = copy(texts[i], failed);
    *failed |= !twins;
    return twins;
}

static void free_list(const char *const *texts, size_t n)
{
    for (size_t i = 0; texts && i < n; i++)
        free((char *)texts[i]);
    free((void *)texts);
}

static bool copy_config(const struct custody_token_config *from, struct custody_token_config *to)
{
    bool failed = false;
    *to = *from;
    to->backend = copy(from->backend, &failed);
    to->module = copy(from->module, &failed);
    to->uri = copy(from->uri, &failed);
    to->pin_source = copy(from->pin_source, &failed);
    to->pin_records = copy(from->pin_records, &failed);
    to->init_args = copy(from->init_args, &failed);
    to->tcti = copy(from->tcti, &failed);
    to->keys = copy(from->keys, &failed);
    to->environment = copy_list(from->environment, from->n_environment, &failed);
    to->quirks = copy_list(from->quirks, from->n_quirks, &failed);
    return !failed;
}

static void free_config(struct custody_token_config *c)
{
    free_list(c->environment, c->n_environment);
    free_list(c->quirks, c->n_quirks);
    free((char *)c->init_args);
    free((char *)c->tcti);
    free((char *)c->keys);
    free((char *)c->backend);
    free((char *)c->module);
    free((char *)c->uri);
    free((char *)c->pin_source);
    free((char *)c->pin_records);
}

enum tbs_err custody_token_init(struct custody_token *token, struct custody *custody,
                                unsigned index, const struct custody_token_config *config,
                                struct tbs_diag *diag)
{
    pthread_condattr_t steady;
    token->custody = custody;
    token->index = index;
    token->state = CUSTODY_DOWN;
    token->since_ns = custody_now_ns();
    pthread_mutex_init(&token->lock, NULL);
    pthread_mutex_init(&token->work, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&token->changed, &steady);
    pthread_condattr_destroy(&steady);
    if (!copy_config(config, &token->config))
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening the custody");
    token->pin = (struct pin_keeper){.source = token->config.pin_source,
                                     .tcti = token->config.tcti,
                                     .records = token->config.pin_records,
                                     .keep = config->keep_pin};
    const char *name = config->uri ? config->uri : config->tcti;
    snprintf(token->name, sizeof token->name, "%s", name ? name : "");
    enum tbs_err err = custody_find_backend(config->backend, &token->ops, diag);
    if (err == TBS_OK)
        err = token->ops->check(&token->config, diag);
    if (err == TBS_OK)
        err = token->ops->prepare(&token->config, diag);
    return err != TBS_OK ? err : pin_prepare(&token->pin, diag);
}

void custody_token_free(struct custody_token *token)
{
    free_config(&token->config);
    pin_keeper_free(&token->pin);
    if (!token->stopping)
        return; /* a child of its process: threads that are not there may hold them */
    pthread_cond_destroy(&token->changed);
    pthread_mutex_destroy(&token->lock);
    pthread_mutex_destroy(&token->work);
}

/* --- States --- */

static void set_state(struct custody_token *token, enum custody_state state,
                      const struct tbs_diag *why)
{
    pthread_mutex_lock(&token->lock);
    if (token->state != state)
        token->since_ns = custody_now_ns();
    token->state = state;
    token->why = why ? *why : (struct tbs_diag){0};
    pthread_mutex_unlock(&token->lock);
    if (state == CUSTODY_DOWN || state == CUSTODY_LOCKED)
        token->open = false;
}

static void set_failed(struct custody_token *token, const struct tbs_diag *why)
{
    set_state(token, why->code == TBS_ERR_CONFIG ? CUSTODY_LOCKED : CUSTODY_DOWN, why);
}

static void set_up(struct custody_token *token)
{
    token->failures_in_a_row = 0;
    set_state(token, CUSTODY_UP, NULL);
    token->open = true;
}

/* --- Opening and closing --- */

static void close_token(struct custody_token *token)
{
    if (token->session)
        token->ops->session_close(token->session);
    if (token->backend)
        token->ops->close(token->backend);
    token->session = token->backend = NULL;
    custody_directory_drop(token);
}

static enum tbs_err load_keys(struct custody_token *token, struct tbs_diag *diag)
{
    struct custody_key_list list = {0};
    enum tbs_err err = token->ops->list_keys(token->backend, &list, diag);
    if (err == TBS_OK)
        err = custody_directory_update(token, token->session, &list, diag);
    free(list.keys);
    return err;
}

/* The name before the gate is open for the first time: callers read it without a lock. The serial
 * each time: the token may be another one of that label. */
static void name_token(struct custody_token *token)
{
    pthread_mutex_lock(&token->lock);
    if (token->openings == 0)
        token->ops->describe(token->backend, token->name, sizeof token->name);
    token->ops->serial(token->backend, token->serial);
    pthread_mutex_unlock(&token->lock);
}

static enum custody_origin origin_of(const void *custody, const char *id, const char *serial)
{
    return custody_origin_of(custody, id, serial);
}

static enum tbs_err open_all(struct custody_token *token, struct tbs_diag *diag)
{
    struct custody_opening opening = {&token->config, &token->pin, token->stats, origin_of,
                                      token->custody};
    enum tbs_err err = token->ops->open(&opening, &token->backend, diag);
    if (err != TBS_OK)
        return err;
    name_token(token);
    err = token->ops->session_open(token->backend, &token->session, diag);
    return err != TBS_OK ? err : load_keys(token, diag);
}

enum tbs_err custody_token_open(struct custody_token *token, struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    enum tbs_err err = open_all(token, &why);
    token->wants_login = token->wants_keys = false;
    if (err != TBS_OK) {
        close_token(token);
        set_failed(token, &why);
        return tbs_fail_raw(diag, err, why.raw, "%s", why.text);
    }
    pthread_mutex_lock(&token->lock);
    token->openings++;
    pthread_mutex_unlock(&token->lock);
    set_up(token);
    return TBS_OK;
}

/* --- Examining --- */

/* A real MAC with a real key, compared with its check value. */
static enum tbs_err probe(struct custody_token *token, struct tbs_diag *diag)
{
    const struct custody_entry *canary = custody_directory_canary(token);
    uint8_t octets[8];
    uint64_t start = custody_now_ns();
    enum tbs_err err = canary ? custody_check_instance(token, token->session, canary, diag)
                              : token->ops->random(token->session, octets, sizeof octets, diag);
    uint64_t took = custody_now_ns() - start;
    pthread_mutex_lock(&token->lock);
    token->probe_us = took / 1000;
    pthread_mutex_unlock(&token->lock);
    return err;
}

/* Twice, since the first failure may be the session's. */
static enum tbs_err probe_twice(struct custody_token *token, struct tbs_diag *diag)
{
    enum tbs_err err = probe(token, diag);
    return err == TBS_OK ? err : probe(token, diag);
}

static bool drain(struct custody_token *token)
{
    return custody_sessions_drain(token, custody_now_ns() + DRAIN_MS * (uint64_t)MS);
}

/* Logs in where that is needed, and finds the keys again: they may have other handles now. */
static enum tbs_err mend_in_place(struct custody_token *token, struct tbs_diag *diag)
{
    enum tbs_err err = token->ops->login(token->backend, diag);
    token->ops->session_close(token->session);
    token->session = NULL;
    if (err == TBS_OK)
        err = token->ops->session_open(token->backend, &token->session, diag);
    if (err == TBS_OK)
        err = load_keys(token, diag);
    return err != TBS_OK ? err : probe(token, diag);
}

/* From the lightest remedy to the heaviest. */
static enum tbs_err mend(struct custody_token *token, struct tbs_diag *diag)
{
    if (token->backend && (token->wants_login || token->wants_keys) &&
        mend_in_place(token, diag) == TBS_OK) {
        token->wants_login = token->wants_keys = false;
        set_up(token);
        return TBS_OK;
    }
    close_token(token);
    return custody_token_open(token, diag);
}

static unsigned count_stalled(struct custody_token *token)
{
    uint64_t now = custody_now_ns();
    unsigned n = custody_sessions_stalled(token, now - token->custody->stall_ns);
    pthread_mutex_lock(&token->lock);
    token->stalled = n;
    pthread_mutex_unlock(&token->lock);
    return n;
}

static void hangs(struct custody_token *token, unsigned n, struct tbs_diag *ret_why)
{
    tbs_fail(ret_why, TBS_ERR_UNAVAILABLE,
             "%u call%s to token '%s' hang%s for more than %llu ms; it gets no more until they "
             "come back",
             n, n == 1 ? "" : "s", token->name, n == 1 ? "s" : "",
             (unsigned long long)(token->custody->stall_ns / MS));
}

/* An examination, and what follows from it. A token stays UP while it is mended: callers wait. */
static void examine(struct custody_token *token)
{
    struct tbs_diag why = {0};
    unsigned stalled = count_stalled(token);
    if (stalled > 0) {
        hangs(token, stalled, &why);
        set_state(token, CUSTODY_DOWN, &why);
        return;
    }
    if (token->backend && !token->wants_login && !token->wants_keys &&
        probe_twice(token, &why) == TBS_OK) {
        set_up(token);
        return;
    }
    if (why.raw != 0 && token->ops->classify(why.raw) == CUSTODY_RELOGIN)
        token->wants_login = true;
    if (!drain(token)) {
        hangs(token, 1, &why);
        set_state(token, CUSTODY_DOWN, &why);
        return;
    }
    mend(token, &why);
}

/* --- The watcher --- */

/* A tenth more or less, so that many services do not ask one device in step. */
static uint64_t jittered(uint64_t ms)
{
    uint64_t now = custody_now_ns();
    return now + ms * MS * (90 + now / 1000 % 21) / 100;
}

static uint64_t next_time(struct custody_token *token, unsigned *failed)
{
    pthread_mutex_lock(&token->lock);
    enum custody_state state = token->state;
    unsigned stalled = token->stalled;
    pthread_mutex_unlock(&token->lock);
    if (state == CUSTODY_UP) {
        *failed = 0;
        return jittered(PROBE_MS);
    }
    if (state == CUSTODY_LOCKED)
        return jittered(LOCKED_MS);
    if (stalled > 0)
        return jittered(WATCH_MS);
    uint64_t ms = RETRY_MIN_MS << (*failed < 4 ? *failed : 4);
    ++*failed;
    return jittered(ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS);
}

/* Looks for calls that hang while it waits. */
static bool found_stalled(struct custody_token *token)
{
    if (!token->open || token->busy == 0)
        return false;
    pthread_mutex_unlock(&token->lock);
    bool found = count_stalled(token) > 0;
    pthread_mutex_lock(&token->lock);
    return found;
}

static void sleep_locked(struct custody_token *token, uint64_t until_ns)
{
    uint64_t wake = custody_now_ns() + WATCH_MS * (uint64_t)MS;
    wake = wake < until_ns ? wake : until_ns;
    const struct timespec at = {.tv_sec = (time_t)(wake / 1000000000u),
                                .tv_nsec = (long)(wake % 1000000000u)};
    pthread_cond_timedwait(&token->changed, &token->lock, &at);
}

/* Waits until it is time, somebody asks, calls hang, or the end. True: examine. */
static bool wait_for_work(struct custody_token *token, uint64_t until_ns)
{
    pthread_mutex_lock(&token->lock);
    while (!token->stopping && token->taken == token->asks && custody_now_ns() < until_ns &&
           !found_stalled(token))
        sleep_locked(token, until_ns);
    if (token->taken == token->asks)
        token->asks++; /* nobody's, but to be waited for like any */
    token->taken = token->asks;
    token->wants_login |= token->says_login;
    token->wants_keys |= token->says_keys;
    token->says_login = token->says_keys = false;
    bool work = !token->stopping;
    pthread_mutex_unlock(&token->lock);
    return work;
}

static void announce(struct custody_token *token, bool ended)
{
    pthread_mutex_lock(&token->lock);
    token->done = token->taken;
    token->ended = ended;
    pthread_cond_broadcast(&token->changed);
    pthread_mutex_unlock(&token->lock);
}

static void *watch(void *arg)
{
    struct custody_token *token = arg;
    unsigned failed = 0;
    while (wait_for_work(token, next_time(token, &failed))) {
        pthread_mutex_lock(&token->work);
        token->examined_since_ns = custody_now_ns();
        examine(token);
        token->examined_since_ns = 0;
        pthread_mutex_unlock(&token->work);
        announce(token, false);
    }
    announce(token, true);
    return NULL;
}

enum tbs_err custody_token_start(struct custody_token *token, struct tbs_diag *diag)
{
    token->started = pthread_create(&token->watcher, NULL, watch, token) == 0;
    return token->started ? TBS_OK
                          : tbs_fail(diag, TBS_ERR_NOMEM, "cannot start a thread for a token");
}

bool custody_token_stop(struct custody_token *token)
{
    const struct timespec until = {.tv_sec = (time_t)(custody_now_ns() / 1000000000u + STOP_S)};
    pthread_mutex_lock(&token->lock);
    token->stopping = true;
    pthread_cond_broadcast(&token->changed);
    while (token->started && !token->ended &&
           pthread_cond_timedwait(&token->changed, &token->lock, &until) == 0)
        continue;
    bool is_back = token->ended || !token->started;
    pthread_mutex_unlock(&token->lock);
    if (!is_back)
        return false;
    if (token->started)
        pthread_join(token->watcher, NULL);
    token->open = false;
    close_token(token);
    return true;
}

uint64_t custody_token_ask(struct custody_token *token, enum custody_class report)
{
    pthread_mutex_lock(&token->lock);
    token->says_login |= report == CUSTODY_RELOGIN;
    token->says_keys |= report == CUSTODY_REINIT;
    uint64_t ticket = ++token->asks;
    pthread_cond_broadcast(&token->changed);
    pthread_mutex_unlock(&token->lock);
    return ticket;
}

static void await_locked(struct custody_token *token, uint64_t ticket, uint64_t until_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u),
                                   .tv_nsec = (long)(until_ns % 1000000000u)};
    while (!token->stopping && token->done < ticket &&
           pthread_cond_timedwait(&token->changed, &token->lock, &until) == 0)
        continue;
}

void custody_token_await(struct custody_token *token, uint64_t ticket, uint64_t until_ns)
{
    pthread_mutex_lock(&token->lock);
    await_locked(token, ticket, until_ns);
    pthread_mutex_unlock(&token->lock);
}

bool custody_token_await_mended(struct custody_token *token, uint64_t until_ns)
{
    pthread_mutex_lock(&token->lock);
    bool is_mended = token->state == CUSTODY_UP && !token->open;
    if (is_mended)
        await_locked(token, token->asks, until_ns);
    pthread_mutex_unlock(&token->lock);
    return is_mended;
}

bool custody_token_moves(const struct custody_token *token, uint64_t since_ns)
{
    return token->ops->in_turn && token->back_ns > since_ns;
}

bool custody_token_examination_hangs(const struct custody_token *token)
{
    uint64_t since = token->examined_since_ns,
             stalled = custody_now_ns() - token->custody->stall_ns;
    return since > 0 && since < stalled && !custody_token_moves(token, stalled);
}

bool custody_token_serves(const struct custody_token *token)
{
    return token->open && !custody_token_examination_hangs(token);
}
