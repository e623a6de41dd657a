/* The threads that call the handler. */
#ifndef TBS_SERVER_WORKER_H
#define TBS_SERVER_WORKER_H

#include "server/queue.h"
#include "server/server.h"

struct workers;

/* Starts `count` threads and waits until each has opened its handler's worker. If one fails,
 * all are stopped again and its error is returned. `handler` and `queue` must outlive them. */
enum tbs_err workers_start(const struct server_handler *handler, struct queue *queue,
                           unsigned count, struct workers **ret_workers, struct tbs_diag *diag);
/* To be called several times a second by one thread: a worker that has not come back from the
 * handler at its request's deadline gets no more work, and a spare takes its place; there are as
 * many spares as workers. A worker that comes back takes over again, or ends. */
void workers_watch(struct workers *workers);
/* Those that serve or wait for work, and those that hang in the handler. Thread-safe. */
void workers_state(struct workers *workers, unsigned *ret_running, unsigned *ret_stuck);
/* After queue_close: waits until `until_ns` (CLOCK_MONOTONIC) for every thread to end, and
 * frees. TBS_ERR_UNAVAILABLE: one still is in the handler, and nothing was freed. NULL ok. */
enum tbs_err workers_stop(struct workers *workers, uint64_t until_ns, struct tbs_diag *diag);

#endif
