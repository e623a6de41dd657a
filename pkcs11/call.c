#include "call.h"

#include <assert.h>
#include <time.h>

static_assert(P11_N_FUNCTIONS <= CUSTODY_CALL_KINDS_MAX, "there is room for every function");

uint64_t p11_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t bucket_of(uint64_t ns)
{
    size_t i = 0;
    while (i < CUSTODY_LATENCY_BUCKETS - 1 && ns > (uint64_t)CUSTODY_LATENCY_FIRST_US * 1000 << i)
        i++;
    return i;
}

void p11_count(const struct p11_token *token, enum p11_function function, uint64_t began_ns,
               CK_RV rv)
{
    struct custody_call_stats *stats = token->stats ? &token->stats[function] : NULL;
    uint64_t ns = p11_now_ns() - began_ns;
    if (!stats)
        return;
    stats->calls++;
    stats->failures += rv != CKR_OK;
    stats->nanoseconds += ns;
    stats->bucket[bucket_of(ns)]++;
}

void p11_name_stats(struct custody_call_stats *stats)
{
#define P11_NAME(function) stats[P11_##function].name = #function;
    P11_FUNCTIONS(P11_NAME)
#undef P11_NAME
}
