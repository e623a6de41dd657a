#include "measure.h"

#include <jansson.h>
#include <stdio.h>

static const char *exchange_name(const struct exchange *e)
{
    return e->is_resolve ? "Ticket Resolve" : "Ticket Request";
}

/* --- For people --- */

static void print_speed(const struct speed *s)
{
    char who[64];

    if (s->over_http)
        snprintf(who, sizeof who, "HTTP, %u connection%s", s->callers, s->callers > 1 ? "s" : "");
    else
        snprintf(who, sizeof who, "in process, %u thread%s", s->callers, s->callers > 1 ? "s" : "");
    printf("  %-22s %6.0f %6.0f %5.0f %% %6.0f %6.0f %5.0f %%", who, s->per_second,
           s->bare_per_second, 100 * s->per_second / s->bare_per_second, s->cpu_us, s->bare_cpu_us,
           100 * s->bare_cpu_us / s->cpu_us);
    for (size_t i = 0; i < PERCENTILES; i++)
        printf(" %6.0f", s->latency_us[i]);
    printf("\n");
}

static void print_cost(const struct cost *c)
{
    char what[64];

    snprintf(what, sizeof what, "%s, %u TGK%s%s", exchange_name(&c->exchange), c->exchange.keys,
             c->exchange.keys > 1 ? "s" : "", c->exchange.forking ? ", forking" : "");
    printf("  %-34s %11u %13.0f %13.0f\n", what, c->token_calls, c->allocations,
           c->bare_allocations);
}

void report_text(const struct results *results)
{
    const struct results *r = results;

    printf(
        "Suite 256, one TGK, forking; %zu messages each; %u cores. Bare: the token's part "
        "alone.\n\n"
        "                              per second         CPU us/message            latency, us\n"
        "                           ours   bare   ratio   ours   bare   ratio"
        "    p50    p90    p99    max\n",
        r->count, r->cores);
    for (size_t i = 0; i < r->n_speeds; i++) {
        const struct speed *s = &r->speed[i];

        if (i == 0 || s->exchange.is_resolve != s[-1].exchange.is_resolve)
            printf("%s\n", exchange_name(&s->exchange));
        print_speed(s);
    }
    printf("\nPer message                          token calls   allocations   of them bare\n");
    for (size_t i = 0; i < COSTS; i++)
        print_cost(&r->cost[i]);
}

/* --- For programs --- */

static json_t *exchange_json(const struct exchange *e)
{
    return json_pack("{s:s,s:b,s:i}", "exchange", e->is_resolve ? "resolve" : "request", "forking",
                     e->forking, "tgks", (int)e->keys);
}

static json_t *speed_json(const struct speed *s)
{
    json_t *latency =
        json_pack("{s:f,s:f,s:f,s:f}", "p50", s->latency_us[P50], "p90", s->latency_us[P90], "p99",
                  s->latency_us[P99], "max", s->latency_us[P100]);
    json_t *speed = json_pack(
        "{s:s,s:i,s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:o}", "way", s->over_http ? "http" : "in-process",
        "callers", (int)s->callers, "bare_sessions", (int)s->bare_sessions, "per_second",
        s->per_second, "bare_per_second", s->bare_per_second, "ratio",
        s->per_second / s->bare_per_second, "cpu_us", s->cpu_us, "bare_cpu_us", s->bare_cpu_us,
        "cpu_ratio", s->bare_cpu_us / s->cpu_us, "latency_us", latency);

    json_object_update_new(speed, exchange_json(&s->exchange));
    return speed;
}

static json_t *cost_json(const struct cost *c)
{
    json_t *cost = json_pack("{s:i,s:f,s:f}", "token_calls", (int)c->token_calls, "allocations",
                             c->allocations, "bare_allocations", c->bare_allocations);

    json_object_update_new(cost, exchange_json(&c->exchange));
    return cost;
}

enum tbs_err report_json(const struct results *results, struct tbs_diag *diag)
{
    const struct results *r = results;
    json_t *speeds = json_array(), *costs = json_array();

    for (size_t i = 0; i < r->n_speeds; i++)
        json_array_append_new(speeds, speed_json(&r->speed[i]));
    for (size_t i = 0; i < COSTS; i++)
        json_array_append_new(costs, cost_json(&r->cost[i]));
    json_t *all = json_pack("{s:i,s:I,s:i,s:o,s:o}", "suite", 256, "messages", (json_int_t)r->count,
                            "cores", (int)r->cores, "speeds", speeds, "costs", costs);
    int failed = !all || json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0;

    json_decref(all);
    if (failed || putchar('\n') == EOF)
        return tbs_fail(diag, TBS_ERR_IO, "cannot write the results");
    return TBS_OK;
}
