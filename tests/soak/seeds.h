/* The messages that mutations begin with: files that seeds.py wrote, each with who sent it. */
#ifndef TBS_TESTS_SEEDS_H
#define TBS_TESTS_SEEDS_H

#include "tests/support/requester.h"

#define SEEDS_MAX 64

struct seed {
    struct tbs_buf octets;
    struct requester sender;
    bool is_init; /* REQUEST_INIT or RESOLVE_INIT: with a fresh T and MAC a good message */
};

struct seeds {
    size_t n;
    struct seed seed[SEEDS_MAX];
    struct tbs_buf alice, bob; /* PSKs */
};

/* From `folder`: *.mikey, alice.psk and bob.psk. Ends the program where they are not there. */
void seeds_load(const char *folder, struct seeds *ret_seeds);
void seeds_free(struct seeds *seeds);
/* A copy of a seed with this T. */
void seed_copy(const struct seed *seed, uint64_t t, struct tbs_buf *ret_message);
/* Puts the sender's MAC into a message; false when it has no place for one. */
bool seed_sign(const struct seed *seed, struct tbs_buf *message);

#endif
