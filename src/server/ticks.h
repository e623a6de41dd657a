/* The steady clock of deadlines and durations: nanoseconds of CLOCK_MONOTONIC. */
#ifndef TBS_SERVER_TICKS_H
#define TBS_SERVER_TICKS_H

#include <stdint.h>
#include <time.h>

#define TICKS_PER_SECOND UINT64_C(1000000000)
#define TICKS_PER_MS UINT64_C(1000000)

static inline uint64_t ticks_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * TICKS_PER_SECOND + (uint64_t)now.tv_nsec;
}

#endif
