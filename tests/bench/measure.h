/* What is measured, and how it is shown. */
#ifndef TBS_BENCH_MEASURE_H
#define TBS_BENCH_MEASURE_H

#include "bench.h"

enum percentile { P50, P90, P99, P100, PERCENTILES };

/* Messages per second, beside the bare token: the same operations of the token alone. */
struct speed {
    struct exchange exchange;
    bool over_http;
    unsigned callers;       /* worker threads in process, or connections */
    unsigned bare_sessions; /* as many as the callers have at work at once */
    double per_second, bare_per_second;
    double cpu_us, bare_cpu_us; /* per message; over HTTP the daemon's */
    double latency_us[PERCENTILES];
};

/* What one message costs besides time. */
struct cost {
    struct exchange exchange;
    unsigned token_calls;
    double allocations, bare_allocations;
};

#define SPEEDS_MAX 32
#define COSTS 8

struct results {
    unsigned cores;
    size_t count; /* messages of each speed */
    size_t n_speeds;
    struct speed speed[SPEEDS_MAX];
    struct cost cost[COSTS];
};

/* count: messages for each speed, at least 1. */
enum tbs_err measure(struct bench *bench, size_t count, struct results *ret_results,
                     struct tbs_diag *diag);

/* --- report.c: to standard output --- */

void report_text(const struct results *results);
enum tbs_err report_json(const struct results *results, struct tbs_diag *diag);

#endif
