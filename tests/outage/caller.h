/* One thread that asks for tickets and resolves them, over a connection of its own, at a steady
 * pace. Every answer is opened and verified, a resolved ticket must have the keys that were
 * granted, and what was refused is sent again as it is until it is answered. */
#ifndef TBS_TESTS_CALLER_H
#define TBS_TESTS_CALLER_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/soak/wire.h"
#include "tests/support/requester.h"

#define CALLER_TICKETS 64 /* the latest ones are resolved once more when a row ends */

/* A ticket that was granted. */
struct caller_ticket {
    struct tbs_buf core;
    struct mikey_key_set keys;
};

/* What callers share. */
struct caller_world {
    struct sockaddr_in server;
    struct tbs_buf alice, bob; /* their pre-shared keys */
    uint64_t pause_ns;         /* between the beginnings of two messages of one caller */
    atomic_bool stop;
    atomic_uint asked, checked; /* rounds of checks that were asked for; callers that did one */
};

struct caller {
    struct caller_world *world;
    pthread_t thread;
    struct wire wire;
    struct requester alice, bob;
    struct caller_ticket ticket[CALLER_TICKETS];
    size_t granted; /* since the row began */
    unsigned checks;
};

/* Thread function; the argument is a struct caller that is zero but for its world. */
void *caller_run(void *caller);

#endif
