/* What the daemon counts, and its text form: Prometheus exposition format 0.0.4. Counting is
 * lock-free and thread-safe. */
#ifndef TBS_SERVER_METRICS_H
#define TBS_SERVER_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/log.h"

#define METRICS_BUCKETS 13 /* upper bounds in metrics.c; slower ones count as +Inf alone */
#define METRICS_OUTCOMES 64

struct metrics_outcome {
    const char *outcome; /* static text of [a-z0-9-] */
    int status;
    _Atomic uint64_t count;
    struct log_limit log; /* for its lines */
};

/* All zero at first. */
struct metrics {
    _Atomic uint64_t received_octets, sent_octets;        /* of the public listener */
    _Atomic uint64_t connections, accepted;               /* open now; ever */
    _Atomic uint64_t refused, evicted;                    /* over a limit; to make room */
    _Atomic uint64_t queue_rejects, expired;              /* queue full; deadline passed */
    _Atomic uint64_t bucket[METRICS_BUCKETS + 1], sum_ns; /* whole request read to reply ready */
    atomic_flag adding;
    _Atomic size_t outcomes; /* entries below are final up to here */
    struct metrics_outcome outcome[METRICS_OUTCOMES];
};

/* Counts one answered request. Pairs beyond METRICS_OUTCOMES are counted as outcome "other"
 * with status 0. Returns the pair's entry. */
struct metrics_outcome *metrics_request(struct metrics *metrics, int status, const char *outcome,
                                        uint64_t duration_ns);

/* The text of everything above and of the queue. */
void metrics_render(struct metrics *metrics, size_t queue_depth, size_t queue_capacity,
                    struct tbs_buf *text);

/* Appends to a metrics text; a line too long for 512 octets sets text->failed. */
void metrics_printf(struct tbs_buf *text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
