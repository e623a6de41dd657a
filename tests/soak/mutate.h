/* Changes to octets and to MIKEY messages, drawn from a generator. Thread-safe. */
#ifndef TBS_TESTS_MUTATE_H
#define TBS_TESTS_MUTATE_H

#include "base/bytes.h"
#include "tests/soak/prng.h"

/* A part of `octets` replaced: [at, at + cut) by `put`, which may be a view into them. */
void mutate_splice(struct tbs_buf *octets, size_t at, size_t cut, struct tbs_bytes put);
/* One to four changes that know nothing of a format: bits flipped, an octet set, octets
 * cut off, inserted, removed, repeated. */
void mutate_octets(struct prng *prng, struct tbs_buf *octets);
/* One to four changes to a MIKEY message: the above, and header fields, lengths, fields made
 * longer and shorter with right lengths, payloads swapped, dropped and repeated, in it and in its
 * Ticket Policy. */
void mutate_message(struct prng *prng, struct tbs_buf *message);
/* A number of random octets, some of them after a HDR that looks right. */
void mutate_noise(struct prng *prng, struct tbs_buf *ret_message);

#endif
