/* Everything of the daemon that is not MIKEY: HTTP, threads, the queue, time limits, metrics,
 * signals and the service manager. What a request means is the handler's matter.
 *
 * Threads: the caller's thread serves the management listener, signals and the watchdog;
 * front threads run the public connections and never call the handler; worker threads call
 * it, one request at a time each. Requests wait in a bounded queue between the two. */
#ifndef TBS_SERVER_SERVER_H
#define TBS_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/config.h"

#define SERVER_BODY_MAX 65536 /* octets of a request */

struct server_request {
    struct tbs_bytes body;
    const char *source;   /* "ip:port" of the peer */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; the peer gets 503 at that time */
};

/* The handler fills it in; given with an empty body of the usual limit and outcome
 * "no-answer" with status 500, which is what stays if the handler sets nothing. */
struct server_reply {
    int status;          /* 200, 400, 403, 409, 429, 500 or 503 */
    struct tbs_buf body; /* sent as application/mikey; freed by the server. If it is empty, a
                            sentence goes with the status; with 400, that no message came which
                            can be answered with one */
    const char *outcome; /* static text of [a-z0-9-], for the log and as a metrics label */
    char detail[256];    /* one sentence for the log without a secret; may be empty */
    bool retry_after;    /* adds "Retry-After: 1" */
    bool fresh;          /* an authentic request that was not seen before: always logged. Others
                            anybody can cause at will: logged once a second for each outcome */
};

struct server_handler {
    void *ctx;
    /* In the worker's own thread: once before its first request, once after its last. */
    enum tbs_err (*worker_open)(void *ctx, unsigned index, void **ret_worker, struct tbs_diag *);
    void (*worker_close)(void *worker);
    void (*handle)(void *worker, const struct server_request *, struct server_reply *);
    /* In server_run's thread, as all that follow, so they must be quick and safe beside the
     * workers. */
    enum tbs_err (*ready)(void *ctx, struct tbs_diag *);
    /* SIGHUP: logs what it has applied; on failure the old stays. */
    enum tbs_err (*reload)(void *ctx, struct tbs_diag *);
    /* Appends to /metrics with metrics_printf; may be NULL. */
    void (*metrics)(void *ctx, struct tbs_buf *text);
    /* When serving begins and every minute from then on: for what comes with time; may be NULL. */
    void (*tick)(void *ctx);
};

/* First thing in main: ignores SIGPIPE, since a peer or a token that has left is an error of
 * write and no signal; and holds SIGHUP back, also in threads that begin after this, until
 * server_run answers it. */
void server_prepare_signals(void);

/* Serves until SIGTERM or SIGINT, then stops accepting, lets requests that have begun end, and
 * returns TBS_OK. Before all workers are open, which may take any time, those two do
 * what they did before the call. One call at a time per process.
 *
 * Failures before serving: TBS_ERR_CONFIG, TBS_ERR_IO, TBS_ERR_NOMEM, or what worker_open
 * failed with. TBS_ERR_UNAVAILABLE: after the grace period a worker still was inside the
 * handler. It cannot be interrupted and uses the handler's ctx; the caller must leave that as it
 * is and _exit. `handler` itself is copied. */
enum tbs_err server_run(const struct server_config *config, const struct server_handler *handler,
                        struct tbs_diag *diag);

#endif
