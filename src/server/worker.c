#include "server/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/front.h"
#include "server/job.h"
#include "server/log.h"
#include "server/thread.h"
#include "server/ticks.h"

#define LATE_NS (TICKS_PER_SECOND / 4) /* past its deadline, after which a worker is stuck */

struct worker {
    struct workers *all;
    pthread_t thread;
    unsigned index;
    _Atomic uint64_t deadline_ns; /* of the request that is in the handler; 0: none */
    bool started, ended, stuck;   /* under the lock */
};

struct workers {
    const struct server_handler *handler;
    struct queue *queue;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count, room; /* workers wanted; with spares, as many again */
    unsigned running;     /* those that are not stuck and have not ended */
    unsigned opened;
    enum tbs_err err; /* the first failure to open, with its sentence */
    struct tbs_diag diag;
    struct worker worker[];
};

static void give_back(struct job *job, const char *outcome, const char *detail)
{
    job->reply.status = 503;
    job->reply.outcome = outcome;
    job->reply.retry_after = true;
    snprintf(job->reply.detail, sizeof job->reply.detail, "%s", detail);
    front_finish(job);
}

/* Back from the handler. False when a spare has taken this worker's place meanwhile. */
static bool goes_on(struct worker *worker)
{
    struct workers *all = worker->all;
    bool on = true;
    worker->deadline_ns = 0;
    pthread_mutex_lock(&all->lock);
    if (worker->stuck) {
        worker->stuck = false;
        all->running++;
        on = all->running <= all->count;
        log_write(LOG_LEVEL_WARN, "worker-back", LOG_NUMBER("worker", worker->index),
                  LOG_NUMBER("running", all->running));
    }
    pthread_mutex_unlock(&all->lock);
    return on;
}

static void serve(struct worker *worker, void *ctx)
{
    struct workers *all = worker->all;
    struct job *job;
    bool on = true;
    while (on && (job = queue_pop(all->queue))) {
        if (atomic_load(&job->abandoned)) {
            give_back(job, "abandoned", "nobody waited for it any more");
        } else if (ticks_ns() >= job->deadline_ns) {
            job->expired = true;
            give_back(job, "expired", "its deadline passed in the queue");
        } else {
            const struct server_request request = {tbs_buf_view(&job->body), job->source,
                                                   job->deadline_ns};
            worker->deadline_ns = job->deadline_ns;
            all->handler->handle(ctx, &request, &job->reply);
            front_finish(job);
            on = goes_on(worker);
        }
    }
}

static bool open_worker(struct worker *worker, void **ret_ctx)
{
    struct workers *all = worker->all;
    struct tbs_diag diag = {0};
    enum tbs_err err = all->handler->worker_open(all->handler->ctx, worker->index, ret_ctx, &diag);
    pthread_mutex_lock(&all->lock);
    if (err == TBS_OK)
        all->opened++;
    else if (all->err == TBS_OK)
        all->err = err, all->diag = diag;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    return err == TBS_OK;
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    struct workers *all = worker->all;
    void *ctx = NULL;
    if (open_worker(worker, &ctx)) {
        serve(worker, ctx);
        all->handler->worker_close(ctx);
    }
    pthread_mutex_lock(&all->lock);
    worker->ended = true;
    all->running--;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

static void join_and_free(struct workers *all)
{
    for (unsigned i = 0; i < all->room; i++)
        if (all->worker[i].started)
            pthread_join(all->worker[i].thread, NULL);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

static enum tbs_err wait_until_open(struct workers *all)
{
    pthread_mutex_lock(&all->lock);
    while (all->err == TBS_OK && all->opened < all->count)
        pthread_cond_wait(&all->changed, &all->lock);
    enum tbs_err err = all->err;
    pthread_mutex_unlock(&all->lock);
    return err;
}

static struct workers *workers_new(const struct server_handler *handler, struct queue *queue,
                                   unsigned count)
{
    struct workers *all = calloc(1, sizeof *all + 2 * count * sizeof all->worker[0]);
    pthread_condattr_t steady;
    if (!all || pthread_condattr_init(&steady) != 0) {
        free(all);
        return NULL;
    }
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&all->changed, &steady);
    pthread_condattr_destroy(&steady);
    pthread_mutex_init(&all->lock, NULL);
    all->handler = handler;
    all->queue = queue;
    all->count = count;
    all->room = 2 * count;
    for (unsigned i = 0; i < all->room; i++)
        all->worker[i] = (struct worker){.all = all, .index = i};
    return all;
}

static bool start_locked(struct worker *worker)
{
    worker->ended = worker->stuck = false;
    worker->started = thread_start(&worker->thread, run, worker) == 0;
    worker->all->running += worker->started;
    return worker->started;
}

static enum tbs_err start_all(struct workers *all, struct tbs_diag *diag)
{
    bool complete = true;
    pthread_mutex_lock(&all->lock);
    for (unsigned i = 0; i < all->count && complete; i++)
        complete = start_locked(&all->worker[i]);
    pthread_mutex_unlock(&all->lock);
    return complete ? TBS_OK
                    : tbs_fail(diag, TBS_ERR_NOMEM, "cannot start %u worker threads", all->count);
}

enum tbs_err workers_start(const struct server_handler *handler, struct queue *queue,
                           unsigned count, struct workers **ret_workers, struct tbs_diag *diag)
{
    struct workers *all = workers_new(handler, queue, count);
    if (!all)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for %u workers", count);
    enum tbs_err err = start_all(all, diag);
    if (err == TBS_OK && (err = wait_until_open(all)) != TBS_OK)
        tbs_fail_raw(diag, err, all->diag.raw, "%s", all->diag.text);
    if (err != TBS_OK) {
        queue_close(queue);
        join_and_free(all);
        return err;
    }
    *ret_workers = all;
    return TBS_OK;
}

/* --- Workers that hang in the handler --- */

static void find_stuck_locked(struct workers *all, uint64_t now)
{
    for (unsigned i = 0; i < all->room; i++) {
        struct worker *worker = &all->worker[i];
        uint64_t deadline = worker->deadline_ns;
        if (!worker->started || worker->stuck || deadline == 0 || now <= deadline + LATE_NS)
            continue;
        worker->stuck = true;
        all->running--;
        log_write(LOG_LEVEL_ERROR, "worker-stuck", LOG_NUMBER("worker", i),
                  LOG_NUMBER("running", all->running));
    }
}

/* Those that have ended make room for others. */
static struct worker *free_place_locked(struct workers *all)
{
    for (unsigned i = 0; i < all->room; i++) {
        struct worker *worker = &all->worker[i];
        if (worker->started && worker->ended) {
            pthread_join(worker->thread, NULL); /* it is at its very end */
            worker->started = false;
        }
        if (!worker->started)
            return worker;
    }
    return NULL;
}

void workers_watch(struct workers *all)
{
    struct worker *spare;
    pthread_mutex_lock(&all->lock);
    find_stuck_locked(all, ticks_ns());
    while (all->running < all->count && (spare = free_place_locked(all)) && start_locked(spare))
        log_write(LOG_LEVEL_WARN, "worker-spare", LOG_NUMBER("worker", spare->index));
    pthread_mutex_unlock(&all->lock);
}

void workers_state(struct workers *all, unsigned *ret_running, unsigned *ret_stuck)
{
    *ret_stuck = 0;
    pthread_mutex_lock(&all->lock);
    *ret_running = all->running;
    for (unsigned i = 0; i < all->room; i++)
        *ret_stuck += all->worker[i].started && all->worker[i].stuck;
    pthread_mutex_unlock(&all->lock);
}

static unsigned count_left_locked(const struct workers *all)
{
    unsigned left = 0;
    for (unsigned i = 0; i < all->room; i++)
        left += all->worker[i].started && !all->worker[i].ended;
    return left;
}

enum tbs_err workers_stop(struct workers *all, uint64_t until_ns, struct tbs_diag *diag)
{
    if (!all)
        return TBS_OK;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / TICKS_PER_SECOND),
                                   .tv_nsec = (long)(until_ns % TICKS_PER_SECOND)};
    pthread_mutex_lock(&all->lock);
    while (count_left_locked(all) > 0 &&
           pthread_cond_timedwait(&all->changed, &all->lock, &until) == 0)
        continue;
    unsigned left = count_left_locked(all);
    pthread_mutex_unlock(&all->lock);
    if (left > 0)
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                        "%u worker%s did not come back from the handler within the grace period; "
                        "the token or the store hangs",
                        left, left == 1 ? "" : "s");
    join_and_free(all);
    return TBS_OK;
}
