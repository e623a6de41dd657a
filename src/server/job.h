/* One request on its way from a front thread through the queue to a worker and back. */
#ifndef TBS_SERVER_JOB_H
#define TBS_SERVER_JOB_H

#include <stdatomic.h>

#include "server/address.h"
#include "server/server.h"

struct front;
struct http_conn;

struct job {
    struct job *next; /* in the front's list of finished jobs */
    struct front *front;
    struct http_conn *conn; /* the front thread's alone; NULL once nobody waits any more */
    atomic_bool abandoned;  /* nobody waits any more: a worker need not begin */
    bool accounted;         /* the front thread's: counted and logged already */
    bool expired;           /* the worker's: the deadline had passed when it took the job */
    struct tbs_buf body;
    char source[ADDRESS_TEXT];
    uint64_t received_ns, deadline_ns;
    struct server_reply reply;
};

void job_free(struct job *job);

#endif
