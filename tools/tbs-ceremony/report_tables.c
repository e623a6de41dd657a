/* What auditors look for first: the devices, and every key with where it is at the end. */
#include <stdio.h>
#include <string.h>

#include "tools/tbs-ceremony/report.h"

const char *report_text(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text ? text : "";
}

bool report_is(const json_t *line, const char *type)
{
    return strcmp(report_text(line, "type"), type) == 0;
}

/* --- Devices --- */

/* What a token said last: a new one has no serial at first. */
static const json_t *last_of(const json_t *lines, const char *type, const char *field,
                             const char *value)
{
    for (size_t i = json_array_size(lines); i-- > 0;) {
        const json_t *line = json_array_get(lines, i);
        if (report_is(line, type) && strcmp(report_text(line, field), value) == 0)
            return line;
    }
    return NULL;
}

void report_devices(struct paper *paper, const json_t *lines)
{
    size_t i;
    json_t *line;
    paper_heading(paper, "Devices");
    paper_row(paper, true,
              (const char *[]){"token", "maker and model", "serial", "firmware", "random numbers"},
              5);
    json_array_foreach(lines, i, line)
    {
        const char *token = report_text(line, "token");
        char model[120];
        if (!report_is(line, "token-info") || last_of(lines, "token-info", "token", token) != line)
            continue;
        snprintf(model, sizeof model, "%.50s %.50s", report_text(line, "manufacturer"),
                 report_text(line, "model"));
        paper_row(paper, false,
                  (const char *[]){token, model, report_text(line, "serial"),
                                   report_text(line, "firmware"), report_text(line, "entropy")},
                  5);
    }
}

/* --- Keys --- */

/* Each token that got it and did not lose it again. */
static void tokens_of(const json_t *lines, const char *id, char *ret_tokens, size_t size)
{
    json_t *there = json_object(), *line;
    const char *token;
    json_t *value;
    size_t i, len = 0;
    json_array_foreach(lines, i, line)
    {
        if (strcmp(report_text(line, "id"), id) != 0)
            continue;
        if (report_is(line, "keygen") || report_is(line, "unwrap"))
            json_object_set_new(there, report_text(line, "token"), json_true());
        else if (report_is(line, "destroy"))
            json_object_del(there, report_text(line, "token"));
    }
    snprintf(ret_tokens, size, "none: destroyed");
    json_object_foreach(there, token, value)
    {
        if (len < size)
            len += (size_t)snprintf(ret_tokens + len, size - len, "%s%.64s", len ? " " : "", token);
    }
    json_decref(there);
}

void report_keys(struct paper *paper, const json_t *lines)
{
    size_t i;
    json_t *line;
    paper_heading(paper, "Keys that were made");
    paper_row(
        paper, true,
        (const char *[]){"key", "template", "custody", "check value", "on tokens, at the end"}, 5);
    json_array_foreach(lines, i, line)
    {
        const char *id = report_text(line, "id");
        char tokens[200];
        /* The public half of a transport key is on other tokens, too. */
        if (!report_is(line, "keygen") ||
            strcmp(report_text(line, "template"), "transport-public-wrap-v1") == 0)
            continue;
        tokens_of(lines, id, tokens, sizeof tokens);
        paper_row(paper, false,
                  (const char *[]){id, report_text(line, "template"), report_text(line, "custody"),
                                   report_text(last_of(lines, "kcv", "id", id), "value"), tokens},
                  5);
    }
}
