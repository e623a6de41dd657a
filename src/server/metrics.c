#include "server/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/ticks.h"

static const struct {
    uint64_t ns;
    const char *seconds;
} bounds[METRICS_BUCKETS] = {
    {UINT64_C(500000), "0.0005"}, {UINT64_C(1000000), "0.001"}, {UINT64_C(2500000), "0.0025"},
    {UINT64_C(5000000), "0.005"}, {UINT64_C(10000000), "0.01"}, {UINT64_C(25000000), "0.025"},
    {UINT64_C(50000000), "0.05"}, {UINT64_C(100000000), "0.1"}, {UINT64_C(250000000), "0.25"},
    {UINT64_C(500000000), "0.5"}, {UINT64_C(1000000000), "1"},  {UINT64_C(2500000000), "2.5"},
    {UINT64_C(5000000000), "5"},
};

static struct metrics_outcome *find(struct metrics *metrics, int status, const char *outcome)
{
    size_t known = atomic_load_explicit(&metrics->outcomes, memory_order_acquire);
    for (size_t i = 0; i < known; i++) {
        struct metrics_outcome *o = &metrics->outcome[i];
        if (o->status == status && strcmp(o->outcome, outcome) == 0)
            return o;
    }
    return NULL;
}

/* The last entry is kept for "other". An entry is written before it is published. */
static struct metrics_outcome *add(struct metrics *metrics, int status, const char *outcome)
{
    while (atomic_flag_test_and_set(&metrics->adding))
        continue; /* held for a few stores, at most METRICS_OUTCOMES times in a lifetime */
    struct metrics_outcome *o = find(metrics, status, outcome);
    size_t known = atomic_load(&metrics->outcomes);
    if (!o && known == METRICS_OUTCOMES)
        o = &metrics->outcome[METRICS_OUTCOMES - 1];
    if (!o) {
        bool last = known == METRICS_OUTCOMES - 1;
        o = &metrics->outcome[known];
        o->outcome = last ? "other" : outcome;
        o->status = last ? 0 : status;
        atomic_store_explicit(&metrics->outcomes, known + 1, memory_order_release);
    }
    atomic_flag_clear(&metrics->adding);
    return o;
}

struct metrics_outcome *metrics_request(struct metrics *metrics, int status, const char *outcome,
                                        uint64_t duration_ns)
{
    struct metrics_outcome *o = find(metrics, status, outcome);
    if (!o)
        o = add(metrics, status, outcome);
    atomic_fetch_add(&o->count, 1);
    size_t i = 0;
    while (i < METRICS_BUCKETS && duration_ns > bounds[i].ns)
        i++;
    atomic_fetch_add(&metrics->bucket[i], 1);
    atomic_fetch_add(&metrics->sum_ns, duration_ns);
    return o;
}

void metrics_printf(struct tbs_buf *text, const char *fmt, ...)
{
    char part[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(part, sizeof part, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof part)
        text->failed = true;
    else
        tbs_put_bytes(text, tbs_bytes(part, (size_t)len));
}

static void put_head(struct tbs_buf *text, const char *name, const char *type, const char *help)
{
    metrics_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_one(struct tbs_buf *text, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    put_head(text, name, type, help);
    metrics_printf(text, "%s %" PRIu64 "\n", name, value);
}

static void put_outcomes(struct metrics *m, struct tbs_buf *text)
{
    const char *name = "tbs_kms_requests_total";
    put_head(text, name, "counter", "Answered HTTP requests by outcome and status.");
    size_t known = atomic_load_explicit(&m->outcomes, memory_order_acquire);
    for (size_t i = 0; i < known; i++)
        metrics_printf(text, "%s{outcome=\"%s\",status=\"%d\"} %" PRIu64 "\n", name,
                       m->outcome[i].outcome, m->outcome[i].status,
                       atomic_load(&m->outcome[i].count));
}

static void put_durations(struct metrics *m, struct tbs_buf *text)
{
    const char *name = "tbs_kms_request_duration_seconds";
    put_head(text, name, "histogram", "Time from the whole request read to its reply ready.");
    uint64_t below = 0;
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        below += atomic_load(&m->bucket[i]);
        metrics_printf(text, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, bounds[i].seconds, below);
    }
    below += atomic_load(&m->bucket[METRICS_BUCKETS]);
    uint64_t sum = atomic_load(&m->sum_ns);
    metrics_printf(text,
                   "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %" PRIu64 ".%09" PRIu64
                   "\n%s_count %" PRIu64 "\n",
                   name, below, name, sum / TICKS_PER_SECOND, sum % TICKS_PER_SECOND, name, below);
}

void metrics_render(struct metrics *m, size_t queue_depth, size_t queue_capacity,
                    struct tbs_buf *text)
{
    put_head(text, "tbs_kms_build_info", "gauge", "The running version; the value is always 1.");
    metrics_printf(text, "tbs_kms_build_info{version=\"%s\"} 1\n", TBS_VERSION);
    put_outcomes(m, text);
    put_durations(m, text);
    put_one(text, "tbs_kms_queue_depth", "gauge", "Requests waiting for a worker.", queue_depth);
    put_one(text, "tbs_kms_queue_capacity", "gauge", "Requests that may wait.", queue_capacity);
    put_one(text, "tbs_kms_queue_rejects_total", "counter",
            "Requests turned away because the queue was full.", atomic_load(&m->queue_rejects));
    put_one(text, "tbs_kms_expired_total", "counter", "Requests whose deadline passed.",
            atomic_load(&m->expired));
    put_one(text, "tbs_kms_connections", "gauge", "Open connections of the public listener.",
            atomic_load(&m->connections));
    put_one(text, "tbs_kms_connections_total", "counter", "Connections accepted.",
            atomic_load(&m->accepted));
    put_one(text, "tbs_kms_connections_refused_total", "counter",
            "Connections closed at once because a limit was reached.", atomic_load(&m->refused));
    put_one(text, "tbs_kms_connections_evicted_total", "counter",
            "Connections closed to make room for others.", atomic_load(&m->evicted));
    put_one(text, "tbs_kms_received_bytes_total", "counter", "Octets of requests read.",
            atomic_load(&m->received_octets));
    put_one(text, "tbs_kms_sent_bytes_total", "counter", "Octets of replies handed to the system.",
            atomic_load(&m->sent_octets));
}
