/* The loopback listener for operators and monitors, in server_run's own thread:
 *   GET /healthz  200 while the process serves or drains
 *   GET /readyz   200, or 503 with the reason as text
 *   GET /metrics  Prometheus text 0.0.4 */
#ifndef TBS_SERVER_MANAGEMENT_H
#define TBS_SERVER_MANAGEMENT_H

#include "server/http_site.h"
#include "server/metrics.h"
#include "server/queue.h"
#include "server/server.h"
#include "server/worker.h"

struct management {
    /* Set by the owner before management_open. */
    const struct server_handler *handler;
    struct metrics *metrics;
    struct queue *queue;
    unsigned queue_capacity;
    struct workers *workers;
    /* Set by the owner at any time, in the thread of the event base. */
    bool stopping;
    /* The room's own. */
    struct http_site site;
    struct admission *admission;
    _Atomic uint64_t open, accepted, refused, evicted, received_octets, sent_octets;
};

/* `fd` is a listening loopback socket that stays the caller's. */
enum tbs_err management_open(struct management *management, struct event_base *base, int fd,
                             struct tbs_diag *diag);
void management_close(struct management *management); /* also if it was never opened */

#endif
