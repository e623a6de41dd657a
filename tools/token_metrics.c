#include "tools/token_metrics.h"

#include <stdio.h>
#include <string.h>

#include "server/metrics.h"

/* A token's name as the value of a label. */
struct label {
    char text[CUSTODY_NAME_MAX + 16];
};

struct token {
    struct custody_token_status status;
    struct label label;
};

/* Of tokens with one name a later one gets its place among all, such as tbs#2. */
static struct label label_of(const struct token *tokens, size_t t)
{
    struct label label;
    size_t same = 0;

    while (same < t && strcmp(tokens[same].status.name, tokens[t].status.name) != 0)
        same++;
    strcpy(label.text, tokens[t].status.name);
    if (same < t)
        sprintf(label.text + strlen(label.text), "#%u", (unsigned)t + 1);
    for (char *c = label.text; *c; c++)
        if (*c == '"' || *c == '\\')
            *c = '?';
    return label;
}

typedef void (*line_fn)(const struct token *token, const char *metric, struct tbs_buf *text);

static void states(const struct token *t, const char *metric, struct tbs_buf *text)
{
    for (int state = CUSTODY_UP; state <= CUSTODY_LOCKED; state++)
        metrics_printf(text, "%s{token=\"%s\",state=\"%s\"} %d\n", metric, t->label.text,
                       custody_state_name((enum custody_state)state),
                       (int)t->status.state == state);
}

static void number(const struct token *t, const char *metric, uint64_t value, struct tbs_buf *text)
{
    metrics_printf(text, "%s{token=\"%s\"} %llu\n", metric, t->label.text,
                   (unsigned long long)value);
}

static void openings(const struct token *t, const char *metric, struct tbs_buf *text)
{
    number(t, metric, t->status.openings, text);
}

static void stalled(const struct token *t, const char *metric, struct tbs_buf *text)
{
    number(t, metric, t->status.stalled, text);
}

static void operations(const struct token *t, const char *metric, struct tbs_buf *text)
{
    number(t, metric, t->status.calls, text);
}

static void failures(const struct token *t, const char *metric, struct tbs_buf *text)
{
    number(t, metric, t->status.failures, text);
}

static void probe(const struct token *t, const char *metric, struct tbs_buf *text)
{
    metrics_printf(text, "%s{token=\"%s\"} %.6f\n", metric, t->label.text,
                   (double)t->status.probe_us / 1e6);
}

static const struct {
    const char *metric, *type, *help;
    line_fn line;
} gauges[] = {
    {"tbs_token_state", "gauge", "1 for the state that the token is in.", states},
    {"tbs_token_openings_total", "counter", "Times it was opened; above 1 are recoveries.",
     openings},
    {"tbs_token_stalled_calls", "gauge", "Calls that hang now.", stalled},
    {"tbs_token_operations_total", "counter", "Operations asked of it.", operations},
    {"tbs_token_failures_total", "counter", "Operations that failed.", failures},
    {"tbs_token_probe_seconds", "gauge", "The last real MAC of its watcher.", probe},
};

static void head(const char *metric, const char *type, const char *help, struct tbs_buf *text)
{
    metrics_printf(text, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

/* One histogram; the failures beside it. */
static void call_kind(const struct label *label, const struct custody_call_stats *k,
                      struct tbs_buf *text)
{
    static const char metric[] = "tbs_token_call_seconds";
    unsigned long long sum = 0;
    double bound = CUSTODY_LATENCY_FIRST_US / 1e6;

    for (size_t i = 0; i < CUSTODY_LATENCY_BUCKETS - 1; i++, bound *= 2) {
        sum += k->bucket[i];
        metrics_printf(text, "%s_bucket{token=\"%s\",function=\"%s\",le=\"%g\"} %llu\n", metric,
                       label->text, k->name, bound, sum);
    }
    sum += k->bucket[CUSTODY_LATENCY_BUCKETS - 1];
    metrics_printf(text, "%s_bucket{token=\"%s\",function=\"%s\",le=\"+Inf\"} %llu\n", metric,
                   label->text, k->name, sum);
    metrics_printf(text, "%s_sum{token=\"%s\",function=\"%s\"} %.6f\n", metric, label->text,
                   k->name, (double)k->nanoseconds / 1e9);
    metrics_printf(text, "%s_count{token=\"%s\",function=\"%s\"} %llu\n", metric, label->text,
                   k->name, sum);
}

static void call_failures(const struct label *label, const struct custody_call_stats *k,
                          struct tbs_buf *text)
{
    metrics_printf(text, "tbs_token_call_failures_total{token=\"%s\",function=\"%s\"} %llu\n",
                   label->text, k->name, (unsigned long long)k->failures);
}

static void each_kind(const struct custody *custody, const struct token *tokens, size_t n,
                      void (*line)(const struct label *, const struct custody_call_stats *,
                                   struct tbs_buf *),
                      struct tbs_buf *text)
{
    const struct custody_call_stats *k;

    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; (k = custody_token_calls_of(custody, t, i)); i++)
            if (k->calls > 0)
                line(&tokens[t].label, k, text);
}

void token_metrics(struct custody *custody, struct tbs_buf *text)
{
    struct token tokens[CUSTODY_TOKENS_MAX];
    size_t n = custody_token_count(custody);

    for (size_t t = 0; t < n; t++) {
        custody_token_status(custody, t, &tokens[t].status);
        tokens[t].label = label_of(tokens, t);
    }
    for (size_t g = 0; g < sizeof gauges / sizeof *gauges; g++) {
        head(gauges[g].metric, gauges[g].type, gauges[g].help, text);
        for (size_t t = 0; t < n; t++)
            gauges[g].line(&tokens[t], gauges[g].metric, text);
    }
    head("tbs_token_call_seconds", "histogram", "Calls of the module or commands of the TPM.",
         text);
    each_kind(custody, tokens, n, call_kind, text);
    head("tbs_token_call_failures_total", "counter", "Of these, those that failed.", text);
    each_kind(custody, tokens, n, call_failures, text);
}
