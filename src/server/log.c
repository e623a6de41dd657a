#include "server/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/ticks.h"

#define LINE_MAX_OCTETS 4096 /* PIPE_BUF: a pipe takes such a line whole or not at all */

struct line {
    char text[LINE_MAX_OCTETS];
    size_t len;
};

static _Atomic int min_level = LOG_LEVEL_INFO;

static const struct {
    const char *word, *colour;
} levels[] = {
    [LOG_LEVEL_DEBUG] = {"debug", "\033[2m"},
    [LOG_LEVEL_INFO] = {"info", "\033[32m"},
    [LOG_LEVEL_WARN] = {"warn", "\033[33m"},
    [LOG_LEVEL_ERROR] = {"error", "\033[31m"},
};

void log_set_level(enum log_level level)
{
    atomic_store(&min_level, (int)level);
}

bool log_level_parse(const char *word, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(word, levels[i].word) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    return false;
}

/* All or nothing, with one octet kept for the newline: a cut line still is whole pairs. */
static bool put(struct line *line, const char *text, size_t len)
{
    if (len > sizeof line->text - 1 - line->len)
        return false;
    memcpy(line->text + line->len, text, len);
    line->len += len;
    return true;
}

static bool put_str(struct line *line, const char *text)
{
    return put(line, text, strlen(text));
}

static bool is_bare(const char *value)
{
    static const char bare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "._:/@+-[]";
    return *value && value[strspn(value, bare)] == 0;
}

static bool put_escaped(struct line *line, unsigned char c)
{
    char text[5];
    if (c == '"' || c == '\\')
        snprintf(text, sizeof text, "\\%c", c);
    else if (c == '\n')
        snprintf(text, sizeof text, "\\n");
    else if (c < 0x20 || c > 0x7e)
        snprintf(text, sizeof text, "\\x%02x", c);
    else
        snprintf(text, sizeof text, "%c", c);
    return put_str(line, text);
}

static bool put_value(struct line *line, const char *value)
{
    size_t len = strnlen(value, LOG_VALUE_MAX + 1);
    if (len <= LOG_VALUE_MAX && is_bare(value))
        return put(line, value, len);
    bool fits = put_str(line, "\"");
    for (size_t i = 0; fits && i < len && i < LOG_VALUE_MAX; i++)
        fits = put_escaped(line, (unsigned char)value[i]);
    if (fits && len > LOG_VALUE_MAX)
        fits = put_str(line, "...");
    return fits && put_str(line, "\"");
}

static void put_field(struct line *line, const struct log_field *field)
{
    size_t before = line->len;
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, field->number);
    if (!put_str(line, " ") || !put_str(line, field->key) || !put_str(line, "=") ||
        !put_value(line, field->text ? field->text : number))
        line->len = before;
}

static void put_time(struct line *line)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char day[32], text[48];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "time=%s.%03dZ", day, (int)(now.tv_nsec / 1000000));
    put_str(line, text);
}

void log_write_fields(enum log_level level, const char *event, const struct log_field *fields)
{
    if ((int)level < atomic_load(&min_level))
        return;
    bool colour = isatty(STDERR_FILENO) == 1;
    struct line line = {.len = 0};
    put_time(&line);
    put_str(&line, " level=");
    put_str(&line, colour ? levels[level].colour : "");
    put_str(&line, levels[level].word);
    put_str(&line, colour ? "\033[0m" : "");
    put_str(&line, " event=");
    put_value(&line, event);
    for (; fields->key; fields++)
        put_field(&line, fields);
    line.text[line.len++] = '\n';
    /* A log that cannot be written has no place to complain; the daemon goes on. */
    while (write(STDERR_FILENO, line.text, line.len) < 0 && errno == EINTR)
        continue;
}

bool log_limit_pass(struct log_limit *limit, uint64_t *ret_dropped)
{
    uint64_t now = ticks_ns() / TICKS_PER_SECOND;
    uint64_t last = atomic_load(&limit->second);
    if (last == now || !atomic_compare_exchange_strong(&limit->second, &last, now)) {
        atomic_fetch_add(&limit->dropped, 1);
        return false;
    }
    *ret_dropped = atomic_exchange(&limit->dropped, 0);
    return true;
}
