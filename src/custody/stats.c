/* Calls of a backend into its token, counted and timed. */
#include "custody/internal.h"

static size_t bucket_of(uint64_t ns)
{
    size_t i = 0;
    while (i < CUSTODY_LATENCY_BUCKETS - 1 && ns > (uint64_t)CUSTODY_LATENCY_FIRST_US * 1000 << i)
        i++;
    return i;
}

void custody_count_call(struct custody_call_stats *stats, size_t kind, uint64_t began_ns,
                        bool failed)
{
    uint64_t ns = custody_now_ns() - began_ns;
    if (!stats)
        return;
    stats += kind;
    stats->calls++;
    stats->failures += failed;
    stats->nanoseconds += ns;
    stats->bucket[bucket_of(ns)]++;
}

const struct custody_call_stats *custody_token_calls_of(const struct custody *custody, size_t token,
                                                        size_t kind)
{
    if (token >= custody->n_tokens || kind >= CUSTODY_CALL_KINDS_MAX)
        return NULL;
    const struct custody_call_stats *stats = &custody->tokens[token].stats[kind];
    return stats->name ? stats : NULL;
}
