/* SplitMix64: the same seed gives the same run on every machine. */
#ifndef TBS_TESTS_PRNG_H
#define TBS_TESTS_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline uint64_t prng_next(struct prng *prng)
{
    uint64_t z = prng->state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* 0 to n - 1; 0 for n = 0. */
static inline size_t prng_below(struct prng *prng, size_t n)
{
    uint64_t drawn = prng_next(prng);

    return n ? (size_t)(drawn % n) : 0;
}

#endif
