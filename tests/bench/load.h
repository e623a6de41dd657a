/* Works through messages with threads, against the clock. */
#ifndef TBS_BENCH_LOAD_H
#define TBS_BENCH_LOAD_H

#include <time.h>

#include "bench.h"

#define CALLERS_MAX 256

struct load {
    const struct way *way;
    unsigned n;
    void *caller[CALLERS_MAX];
};

struct load_time {
    uint64_t wall_ns, cpu_ns;
};

/* n callers, 1 to CALLERS_MAX. */
enum tbs_err load_open(const struct bench *bench, const struct way *way, unsigned n,
                       struct load *ret_load, struct tbs_diag *diag);
void load_close(struct load *load);
/* Each message once; the callers, a thread each, take them in turn. Adds to time, with the CPU
 * time of that clock, and writes how long each message took to ret_latency_ns[0..messages->n-1].
 * The first failure ends it. */
enum tbs_err load_run(const struct load *load, const struct messages *messages, clockid_t cpu,
                      struct load_time *time, uint64_t *ret_latency_ns, struct tbs_diag *diag);

#endif
