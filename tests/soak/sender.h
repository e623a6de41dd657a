/* One thread that sends mutations over connections of its own and judges the answers. The
 * program ends at the first wrong one, and writes what was sent into a file. */
#ifndef TBS_TESTS_SENDER_H
#define TBS_TESTS_SENDER_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/soak/judge.h"
#include "tests/soak/prng.h"
#include "tests/soak/seeds.h"

#define SENDERS 4
#define SENDER_STATUSES 600

enum sender_kind {
    SENDER_GOOD,     /* a good message */
    SENDER_REPEATED, /* a good message twice: the same answer */
    SENDER_REPLAYED, /* a good message, and another with its T */
    SENDER_SIGNED,   /* changed, then given a right MAC where it still has a place for it */
    SENDER_DAMAGED,  /* changed after its MAC was made */
    SENDER_OTHERS,   /* messages that a KMS does not serve, also changed */
    SENDER_NOISE,    /* random octets */
    SENDER_HTTP,     /* a changed HTTP request */
    SENDER_EACH_BIT, /* every bit flipped, every cut */
    SENDER_KINDS,
};

extern const char *const sender_kind_names[SENDER_KINDS];

/* What senders share. */
struct sender_world {
    struct seeds seeds;
    struct sockaddr_in server;
    uint64_t seed, count;             /* of mutations, by all senders */
    _Atomic uint64_t done, authentic; /* mutations sent; messages whose MAC the KMS found right */
};

struct sender {
    struct sender_world *world;
    unsigned index; /* 0 to SENDERS - 1 */
    pthread_t thread;
    struct prng prng;
    struct wire wire;
    enum sender_kind kind; /* of what is sent now, */
    uint64_t number;       /* and its number in this thread */
    uint64_t sent[SENDER_KINDS], statuses[SENDER_STATUSES];
};

/* Thread functions for one part of the work each; the argument is a struct sender. */
void *sender_flip_all(void *sender);
void *sender_mutate(void *sender);

#endif
