#include "server/front.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http_site.h"
#include "server/thread.h"
#include "server/ticks.h"

enum command { COMMAND_SERVE, COMMAND_DRAIN, COMMAND_ABORT };

struct front {
    const struct front_shared *shared;
    pthread_t thread;
    struct event_base *base;
    struct event *wake;
    struct http_site site;
    struct log_limit full_log, late_log;
    pthread_mutex_t lock;
    struct job *finished; /* under lock */
    _Atomic int command;
    atomic_bool ended;
};

void job_free(struct job *job)
{
    tbs_buf_free(&job->body);
    tbs_buf_free(&job->reply.body);
    free(job);
}

/* One answered request, counted and logged. What is not fresh makes one line per second and
 * outcome; the other lines are for level debug. */
static void account(struct front *front, enum log_level level, const char *source,
                    const struct server_reply *reply, uint64_t since_ns)
{
    uint64_t took = ticks_ns() - since_ns, more = 0;
    struct metrics_outcome *entry =
        metrics_request(front->shared->metrics, reply->status, reply->outcome, took);
    if (!reply->fresh && !log_limit_pass(&entry->log, &more))
        level = LOG_LEVEL_DEBUG;
    struct log_field fields[7] = {LOG_TEXT("source", source), LOG_NUMBER("status", reply->status),
                                  LOG_TEXT("outcome", reply->outcome),
                                  LOG_NUMBER("duration_us", took / 1000)};
    unsigned n = 4;
    if (*reply->detail)
        fields[n++] = LOG_TEXT("detail", reply->detail);
    if (more > 0)
        fields[n++] = LOG_NUMBER("more", more);
    log_write_fields(level, "request", fields);
}

static int admit(void *ctx, const struct http_head *head)
{
    const struct front *front = ctx;
    if (strcmp(head->path, front->shared->config->path) != 0)
        return 404;
    if (head->method != HTTP_POST)
        return 405;
    if (strcmp(head->type, "application/mikey") != 0)
        return 415;
    return head->has_length ? 0 : 411;
}

static void refused(void *ctx, struct http_conn *conn, int status)
{
    const struct server_reply reply = {.status = status, .outcome = http_status(status)->outcome};
    account(ctx, LOG_LEVEL_INFO, http_conn_source(conn), &reply, ticks_ns());
}

/* The job's connection gets no more from it; a worker that has it finishes it for nobody. */
static void part(struct job *job)
{
    http_conn_set_user(job->conn, NULL);
    job->conn = NULL;
    atomic_store(&job->abandoned, true);
}

static void gone(void *ctx, struct http_conn *conn)
{
    (void)ctx;
    part(http_conn_user(conn));
}

static void expired(void *ctx, struct http_conn *conn)
{
    struct front *front = ctx;
    struct job *job = http_conn_user(conn);
    atomic_fetch_add(&front->shared->metrics->expired, 1);
    const struct server_reply reply = {.status = 503, .outcome = "expired"};
    account(front, LOG_LEVEL_WARN, job->source, &reply, job->received_ns);
    job->accounted = true;
    part(job);
    http_conn_reply_status(conn, 503, true);
}

static struct job *job_new(struct front *front, struct http_conn *conn, struct tbs_bytes body)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->front = front;
    job->conn = conn;
    job->received_ns = ticks_ns();
    job->deadline_ns = job->received_ns + front->shared->config->deadline_ms * TICKS_PER_MS;
    snprintf(job->source, sizeof job->source, "%s", http_conn_source(conn));
    job->reply = (struct server_reply){.status = 500, .body = tbs_buf(), .outcome = "no-answer"};
    job->body = tbs_buf();
    tbs_put_bytes(&job->body, body);
    if (!job->body.failed)
        return job;
    job_free(job);
    return NULL;
}

/* The overload itself must not cost a log line each. */
static void turn_away(struct front *front, struct http_conn *conn)
{
    uint64_t dropped;
    atomic_fetch_add(&front->shared->metrics->queue_rejects, 1);
    const struct server_reply reply = {.status = 503, .outcome = "overload"};
    account(front, LOG_LEVEL_DEBUG, http_conn_source(conn), &reply, ticks_ns());
    if (log_limit_pass(&front->full_log, &dropped))
        log_write(LOG_LEVEL_WARN, "queue-full", LOG_NUMBER("queue", front->shared->config->queue),
                  LOG_NUMBER("more", dropped));
    http_conn_reply_status(conn, 503, true);
}

static void request(void *ctx, struct http_conn *conn, const struct http_head *head,
                    struct tbs_bytes body)
{
    (void)head;
    struct front *front = ctx;
    struct job *job = job_new(front, conn, body);
    if (job && queue_push(front->shared->queue, job) == TBS_OK) {
        http_conn_set_user(conn, job);
        return;
    }
    if (job)
        job_free(job);
    turn_away(front, conn);
}

static bool is_handler_status(int status)
{
    return status == 200 || (status >= 400 && http_status(status)->code == status);
}

/* A reply that cannot be sent as it is becomes a 500. */
static void check_reply(struct server_reply *reply)
{
    if (is_handler_status(reply->status) && !reply->body.failed && reply->outcome)
        return;
    reply->status = 500;
    reply->outcome = "bad-answer";
    tbs_buf_free(&reply->body);
    snprintf(reply->detail, sizeof reply->detail, "the handler's reply cannot be sent");
}

/* Not the sentence of HTTP's own 400: as HTTP the request was well-formed. */
static void answer_not_mikey(struct http_conn *conn)
{
    http_conn_reply(conn, &(struct http_reply){
                              .status = 400,
                              .type = "text/plain; charset=utf-8",
                              .body = tbs_bytes_str(
                                  "The body is not a MIKEY message that is answered here.\n")});
}

static void answer(struct http_conn *conn, const struct server_reply *reply)
{
    http_conn_set_user(conn, NULL);
    if (reply->body.len == 0 && reply->status == 400)
        answer_not_mikey(conn);
    else if (reply->body.len == 0 && reply->status != 200)
        http_conn_reply_status(conn, reply->status, reply->retry_after);
    else
        http_conn_reply(conn,
                        &(struct http_reply){.status = reply->status,
                                             .type = reply->body.len ? "application/mikey" : NULL,
                                             .retry_after = reply->retry_after,
                                             .body = tbs_buf_view(&reply->body)});
}

/* Answered as expired; what the handler did after all still belongs into the log. */
static void log_late(struct front *front, const struct job *job)
{
    uint64_t more = 0;
    if (job->reply.fresh || log_limit_pass(&front->late_log, &more))
        log_write(LOG_LEVEL_WARN, "late-answer", LOG_TEXT("source", job->source),
                  LOG_TEXT("outcome", job->reply.outcome),
                  LOG_NUMBER("duration_us", (ticks_ns() - job->received_ns) / 1000),
                  LOG_NUMBER("more", more));
}

static void deliver(struct front *front, struct job *job)
{
    struct server_reply *reply = &job->reply;
    check_reply(reply);
    if (!job->accounted && job->expired)
        atomic_fetch_add(&front->shared->metrics->expired, 1);
    if (!job->accounted)
        account(front, LOG_LEVEL_INFO, job->source, reply, job->received_ns);
    else
        log_late(front, job);
    if (job->conn)
        answer(job->conn, reply);
    job_free(job);
}

static struct job *take_finished(struct front *front)
{
    pthread_mutex_lock(&front->lock);
    struct job *newest = front->finished;
    front->finished = NULL;
    pthread_mutex_unlock(&front->lock);
    struct job *oldest = NULL;
    while (newest) {
        struct job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void deliver_finished(struct front *front)
{
    for (struct job *job = take_finished(front), *next; job; job = next) {
        next = job->next;
        deliver(front, job);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct front *front = arg;
    deliver_finished(front);
    int command = atomic_load(&front->command);
    if (command == COMMAND_ABORT)
        event_base_loopbreak(front->base);
    else if (command == COMMAND_DRAIN && !front->site.draining)
        http_site_drain(&front->site);
}

static void drained(void *ctx)
{
    struct front *front = ctx;
    event_base_loopbreak(front->base);
}

static void *run(void *arg)
{
    struct front *front = arg;
    event_base_loop(front->base, EVLOOP_NO_EXIT_ON_EMPTY);
    http_site_close(&front->site);
    atomic_store(&front->ended, true);
    event_active(front->shared->ended, EV_READ, 0);
    return NULL;
}

static void set_up_site(struct front *front)
{
    static const struct http_calls calls = {admit, request, expired, gone, refused, drained};
    const struct server_config *config = front->shared->config;
    struct metrics *metrics = front->shared->metrics;
    front->site = (struct http_site){
        .ctx = front,
        .calls = &calls,
        .allow = "POST",
        .limits = {SERVER_BODY_MAX, config->idle_timeout_s * 1000,
                   config->transfer_timeout_s * 1000, config->deadline_ms},
        .admission = front->shared->admission,
        .traffic = {&metrics->connections, &metrics->accepted, &metrics->refused, &metrics->evicted,
                    &metrics->received_octets, &metrics->sent_octets}};
}

enum tbs_err front_start(const struct front_shared *shared, struct front **ret_front,
                         struct tbs_diag *diag)
{
    struct front *front = calloc(1, sizeof *front);
    if (!front)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a front thread");
    pthread_mutex_init(&front->lock, NULL);
    front->shared = shared;
    set_up_site(front);
    front->base = event_base_new();
    front->wake = front->base ? event_new(front->base, -1, 0, on_wake, front) : NULL;
    enum tbs_err err = TBS_OK;
    if (!front->wake)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a front thread");
    else
        err = http_site_open(&front->site, front->base, shared->fd, diag);
    if (err == TBS_OK && thread_start(&front->thread, run, front) != 0) {
        http_site_close(&front->site);
        err = tbs_fail(diag, TBS_ERR_NOMEM, "cannot start a front thread");
    }
    if (err != TBS_OK)
        front_free(front);
    else
        *ret_front = front;
    return err;
}

static void give_command(struct front *front, enum command command)
{
    atomic_store(&front->command, (int)command);
    event_active(front->wake, EV_READ, 0);
}

void front_drain(struct front *front)
{
    give_command(front, COMMAND_DRAIN);
}

void front_abort(struct front *front)
{
    give_command(front, COMMAND_ABORT);
}

bool front_has_ended(const struct front *front)
{
    return atomic_load(&front->ended);
}

void front_finish(struct job *job)
{
    struct front *front = job->front;
    pthread_mutex_lock(&front->lock);
    job->next = front->finished;
    front->finished = job;
    pthread_mutex_unlock(&front->lock);
    event_active(front->wake, EV_READ, 0);
}

void front_join(struct front *front)
{
    pthread_join(front->thread, NULL);
}

void front_free(struct front *front)
{
    if (!front)
        return;
    deliver_finished(front); /* for nobody: their connections went with the thread */
    if (front->wake)
        event_free(front->wake);
    if (front->base)
        event_base_free(front->base);
    pthread_mutex_destroy(&front->lock);
    free(front);
}
