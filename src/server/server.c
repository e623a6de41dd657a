#include "server/server.h"

#include <errno.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/address.h"
#include "server/front.h"
#include "server/management.h"
#include "server/notify.h"
#include "server/ticks.h"
#include "server/worker.h"

#define FRONTS_MAX 64
#define WATCH_MS 200 /* between looks for workers that hang */
#define TICK_S 60
#define SPARE_DESCRIPTORS 128 /* token module, log, listeners, management */
#define THREAD_DESCRIPTORS 5  /* a front's event loop and accept, a worker's store and token */

static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
#define SIGNALS (sizeof signals / sizeof signals[0])

/* On the heap: in the one case where a worker hangs in the handler, it outlives server_run. */
struct server {
    const struct server_config *config;
    struct server_handler handler;
    struct event_base *base;
    struct event *signal[SIGNALS], *ended, *grace, *watchdog, *watch, *tick;
    int fd, management_fd;
    char address[ADDRESS_TEXT], management_address[ADDRESS_TEXT];
    bool address_file_written;
    struct metrics metrics;
    struct queue *queue;
    struct admission *admission;
    struct workers *workers;
    struct front_shared shared;
    struct front *front[FRONTS_MAX];
    unsigned fronts;
    struct management management;
    uint64_t stop_by_ns;
};

static enum tbs_err listen_on(const char *key, const char *text, bool loopback, int *ret_fd,
                              char bound[ADDRESS_TEXT], struct tbs_diag *diag)
{
    struct address address;
    enum tbs_err err = address_parse(text, &address, diag);
    if (err != TBS_OK)
        return err;
    if (loopback && !address_is_loopback(&address))
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%s must be a loopback address, it has no access "
                        "control",
                        key);
    err = address_listen(&address, ret_fd, diag);
    return err == TBS_OK ? address_bound(*ret_fd, bound, diag) : err;
}

static enum tbs_err open_sockets(struct server *s, struct tbs_diag *diag)
{
    enum tbs_err err =
        listen_on("server.listen", s->config->listen, false, &s->fd, s->address, diag);
    if (err == TBS_OK)
        err = listen_on("server.management", s->config->management, true, &s->management_fd,
                        s->management_address, diag);
    return err;
}

/* Every connection allowed must get a descriptor, or accept would fail under load. */
static enum tbs_err raise_descriptor_limit(const struct server *s, struct tbs_diag *diag)
{
    struct rlimit limit;
    const struct server_config *config = s->config;
    rlim_t need = config->connections + SPARE_DESCRIPTORS +
                  THREAD_DESCRIPTORS * (config->front_threads + 2 * config->workers);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot read the limit of open files: %s", strerror(errno));
    if (limit.rlim_cur >= need)
        return TBS_OK;
    if (limit.rlim_max < need)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "server.connections %u, front_threads %u and workers %u need %lu open "
                        "files, the limit is %lu: raise LimitNOFILE or lower the settings",
                        config->connections, config->front_threads, config->workers,
                        (unsigned long)need, (unsigned long)limit.rlim_max);
    limit.rlim_cur = need;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot raise the limit of open files: %s", strerror(errno));
    return TBS_OK;
}

static void begin_stop(struct server *s, const char *reason)
{
    if (s->stop_by_ns)
        return;
    log_write(LOG_LEVEL_INFO, "stopping", LOG_TEXT("reason", reason));
    notify_stopping();
    s->management.stopping = true;
    s->stop_by_ns = ticks_ns() + s->config->grace_s * TICKS_PER_SECOND;
    event_add(s->grace, &(struct timeval){.tv_sec = (time_t)s->config->grace_s});
    for (unsigned i = 0; i < s->fronts; i++)
        front_drain(s->front[i]);
}

static void reload(struct server *s)
{
    struct tbs_diag diag = {0};
    notify_reloading();
    if (s->handler.reload(s->handler.ctx, &diag) != TBS_OK)
        log_write(LOG_LEVEL_ERROR, "reload-failed", LOG_TEXT("reason", diag.text));
    notify_ready(s->address);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    if (number == SIGHUP)
        reload(arg);
    else
        begin_stop(arg, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void on_front_ended(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct server *s = arg;
    for (unsigned i = 0; i < s->fronts; i++)
        if (!front_has_ended(s->front[i]))
            return;
    event_base_loopbreak(s->base);
}

static void on_grace_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct server *s = arg;
    log_write(LOG_LEVEL_WARN, "grace-over", LOG_NUMBER("seconds", s->config->grace_s),
              LOG_NUMBER("connections", atomic_load(&s->metrics.connections)));
    for (unsigned i = 0; i < s->fronts; i++)
        front_abort(s->front[i]);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct server *s = arg;
    workers_watch(s->workers);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct server *s = arg;
    if (s->handler.tick)
        s->handler.tick(s->handler.ctx);
}

static enum tbs_err open_loop(struct server *s, struct tbs_diag *diag)
{
    bool complete = (s->base = event_base_new()) != NULL;
    for (size_t i = 0; i < SIGNALS && complete; i++) {
        s->signal[i] = evsignal_new(s->base, signals[i], on_signal, s);
        complete = s->signal[i] != NULL;
    }
    complete = complete && (s->ended = event_new(s->base, -1, 0, on_front_ended, s)) &&
               (s->grace = evtimer_new(s->base, on_grace_over, s)) &&
               (s->watch = event_new(s->base, -1, EV_PERSIST, on_watch, s)) &&
               (s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s));
    if (!complete)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the event loop");
    s->watchdog = notify_watchdog(s->base);
    return TBS_OK;
}

static void mask_hangup(int how)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(how, &hangup, NULL);
}

void server_prepare_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    mask_hangup(SIG_BLOCK);
}

/* Only now, with the workers open: while the token may keep the start waiting for as long as it
 * likes, SIGTERM and SIGINT end the process by themselves. */
static enum tbs_err hear_signals(struct server *s, struct tbs_diag *diag)
{
    for (size_t i = 0; i < SIGNALS; i++)
        if (event_add(s->signal[i], NULL) != 0)
            return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the signals");
    mask_hangup(SIG_UNBLOCK);
    return TBS_OK;
}

static enum tbs_err start_fronts(struct server *s, struct tbs_diag *diag)
{
    s->shared =
        (struct front_shared){s->config, s->queue, &s->metrics, s->admission, s->fd, s->ended};
    for (; s->fronts < s->config->front_threads; s->fronts++) {
        enum tbs_err err = front_start(&s->shared, &s->front[s->fronts], diag);
        if (err != TBS_OK)
            return err;
    }
    return TBS_OK;
}

static enum tbs_err open_management(struct server *s, struct tbs_diag *diag)
{
    s->management.handler = &s->handler;
    s->management.metrics = &s->metrics;
    s->management.queue = s->queue;
    s->management.queue_capacity = s->config->queue;
    s->management.workers = s->workers;
    return management_open(&s->management, s->base, s->management_fd, diag);
}

/* A file of our own: nothing that lies at this path, least of all a link, is written to. */
static bool write_new_file(const char *path, const char *first, const char *second)
{
    unlink(path); /* of a start that did not end well */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool written = dprintf(fd, "%s\n%s\n", first, second) > 0;
    return close(fd) == 0 && written;
}

/* Renamed into place, so that a reader sees both lines or no file. */
static enum tbs_err write_address_file(struct server *s, struct tbs_diag *diag)
{
    const char *path = s->config->address_file;
    char *part;
    if (!path)
        return TBS_OK;
    if (asprintf(&part, "%s.new", path) < 0)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the address file");
    bool written =
        write_new_file(part, s->address, s->management_address) && rename(part, path) == 0;
    int error = errno;
    if (!written)
        unlink(part);
    free(part);
    if (!written)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)error,
                            "cannot write the address file %s: %s", path, strerror(error));
    s->address_file_written = true;
    return TBS_OK;
}

static enum tbs_err start(struct server *s, struct tbs_diag *diag)
{
    enum tbs_err err = open_sockets(s, diag);
    if (err == TBS_OK)
        err = raise_descriptor_limit(s, diag);
    if (err == TBS_OK)
        err = open_loop(s, diag);
    if (err == TBS_OK)
        err = queue_new(s->config->queue, &s->queue, diag);
    if (err == TBS_OK)
        err = admission_new(s->config->connections, s->config->connections_per_source,
                            &s->admission, diag);
    if (err == TBS_OK)
        err = workers_start(&s->handler, s->queue, s->config->workers, &s->workers, diag);
    if (err == TBS_OK)
        err = hear_signals(s, diag);
    if (err == TBS_OK)
        err = start_fronts(s, diag);
    if (err == TBS_OK)
        err = open_management(s, diag);
    if (err == TBS_OK)
        err = write_address_file(s, diag);
    return err;
}

static void serve(struct server *s)
{
    log_write(LOG_LEVEL_INFO, "listening", LOG_TEXT("address", s->address),
              LOG_TEXT("management", s->management_address), LOG_TEXT("path", s->config->path),
              LOG_NUMBER("workers", s->config->workers));
    notify_ready(s->address);
    event_add(s->watch, &(struct timeval){.tv_usec = WATCH_MS * 1000});
    on_tick(-1, 0, s);
    event_add(s->tick, &(struct timeval){.tv_sec = TICK_S});
    event_base_loop(s->base, 0);
}

static void server_free(struct server *s)
{
    for (unsigned i = 0; i < s->fronts; i++)
        front_free(s->front[i]);
    management_close(&s->management);
    struct event *const events[] = {s->signal[0], s->signal[1], s->signal[2], s->ended,
                                    s->grace,     s->watchdog,  s->watch,     s->tick};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i])
            event_free(events[i]);
    if (s->base)
        event_base_free(s->base);
    queue_free(s->queue);
    admission_free(s->admission);
    if (s->fd >= 0)
        close(s->fd);
    if (s->management_fd >= 0)
        close(s->management_fd);
    free(s);
}

/* Front threads first: what they put into the queue before they end is still served. */
static enum tbs_err stop(struct server *s, struct tbs_diag *diag)
{
    for (unsigned i = 0; i < s->fronts; i++) {
        front_abort(s->front[i]);
        front_join(s->front[i]);
    }
    if (s->address_file_written)
        unlink(s->config->address_file);
    if (s->queue)
        queue_close(s->queue);
    uint64_t soonest = ticks_ns() + TICKS_PER_SECOND;
    return workers_stop(s->workers, s->stop_by_ns > soonest ? s->stop_by_ns : soonest, diag);
}

enum tbs_err server_run(const struct server_config *config, const struct server_handler *handler,
                        struct tbs_diag *diag)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s || evthread_use_pthreads() != 0) {
        free(s);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the server");
    }
    s->config = config;
    s->handler = *handler;
    s->fd = s->management_fd = -1;
    enum tbs_err err = start(s, diag);
    if (err == TBS_OK)
        serve(s);
    enum tbs_err stopped = stop(s, err == TBS_OK ? diag : NULL);
    if (stopped != TBS_OK)
        return stopped;
    server_free(s);
    if (err == TBS_OK)
        log_write(LOG_LEVEL_INFO, "stopped");
    return err;
}
