#include "server/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/front.h"
#include "server/job.h"
#include "server/thread.h"
#include "server/ticks.h"

struct worker {
    struct workers *all;
    pthread_t thread;
    unsigned index;
};

struct workers {
    const struct server_handler *handler;
    struct queue *queue;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count, opened, ended;
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

static void serve(struct workers *all, void *ctx)
{
    struct job *job;
    while ((job = queue_pop(all->queue))) {
        if (atomic_load(&job->abandoned)) {
            give_back(job, "abandoned", "nobody waited for it any more");
        } else if (ticks_ns() >= job->deadline_ns) {
            job->expired = true;
            give_back(job, "expired", "its deadline passed in the queue");
        } else {
            const struct server_request request = {tbs_buf_view(&job->body), job->source,
                                                   job->deadline_ns};
            all->handler->handle(ctx, &request, &job->reply);
            front_finish(job);
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
        serve(all, ctx);
        all->handler->worker_close(ctx);
    }
    pthread_mutex_lock(&all->lock);
    all->ended++;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

static void join_and_free(struct workers *all)
{
    for (unsigned i = 0; i < all->count; i++)
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
    struct workers *all = calloc(1, sizeof *all + count * sizeof all->worker[0]);
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
    return all;
}

enum tbs_err workers_start(const struct server_handler *handler, struct queue *queue,
                           unsigned count, struct workers **ret_workers, struct tbs_diag *diag)
{
    struct workers *all = workers_new(handler, queue, count);
    if (!all)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for %u workers", count);
    enum tbs_err err = TBS_OK;
    for (; all->count < count && err == TBS_OK; all->count++) {
        struct worker *worker = &all->worker[all->count];
        *worker = (struct worker){.all = all, .index = all->count};
        if (thread_start(&worker->thread, run, worker) != 0) {
            err = tbs_fail(diag, TBS_ERR_NOMEM, "cannot start worker thread %u", all->count);
            break;
        }
    }
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

enum tbs_err workers_stop(struct workers *all, uint64_t until_ns, struct tbs_diag *diag)
{
    if (!all)
        return TBS_OK;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / TICKS_PER_SECOND),
                                   .tv_nsec = (long)(until_ns % TICKS_PER_SECOND)};
    pthread_mutex_lock(&all->lock);
    while (all->ended < all->count &&
           pthread_cond_timedwait(&all->changed, &all->lock, &until) == 0)
        continue;
    unsigned left = all->count - all->ended;
    pthread_mutex_unlock(&all->lock);
    if (left > 0)
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                        "%u of %u workers did not come back from the handler within the grace "
                        "period; the token or the store hangs",
                        left, all->count);
    join_and_free(all);
    return TBS_OK;
}
