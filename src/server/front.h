/* A front thread: an event loop of its own with its share of the public connections. All front
 * threads accept from one socket: whichever is awake takes the next connection, and none is
 * stranded in the backlog of a thread that is busy or stopping, as SO_REUSEPORT would have it. */
#ifndef TBS_SERVER_FRONT_H
#define TBS_SERVER_FRONT_H

#include <event2/event.h>

#include "server/job.h"
#include "server/metrics.h"
#include "server/queue.h"

struct front_shared {
    const struct server_config *config;
    struct queue *queue;
    struct metrics *metrics;
    struct admission *admission;
    int fd;              /* listening, non-blocking */
    struct event *ended; /* made active when a front thread has ended */
};

/* Starts the thread. `shared` must outlive it. */
enum tbs_err front_start(const struct front_shared *shared, struct front **ret_front,
                         struct tbs_diag *diag);

/* From other threads: */
void front_drain(struct front *front); /* stop accepting; the thread ends with the last request */
void front_abort(struct front *front); /* drop all connections; the thread ends */
bool front_has_ended(const struct front *front);
/* A worker gives a job back. */
void front_finish(struct job *job);

/* Joins the thread, which was drained or aborted. Workers may still call front_finish. */
void front_join(struct front *front);
/* After front_join and once no worker is left; NULL ok. */
void front_free(struct front *front);

#endif
