/* The daemon's log: one logfmt line per event on stderr, written with one write(2), e.g.
 *   time=2026-01-31T12:00:00.123Z level=info event=request source=192.0.2.1:4711 status=200
 * Values are quoted and escaped, so that no octet from outside ends a line, forges a key or
 * reaches a terminal as a control. Nothing waits for a reader of the log: lines that do not fit
 * are dropped, and the next that fits comes after "event=log-dropped lines=N". Every function is
 * thread-safe. Library rooms never log. */
#ifndef TBS_SERVER_LOG_H
#define TBS_SERVER_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* One key=value. `text` NULL means the number is meant. Make them with the macros below. */
struct log_field {
    const char *key; /* a plain word of the caller's */
    const char *text;
    int64_t number;
};

#define LOG_TEXT(k, v) ((struct log_field){.key = (k), .text = (v)})
#define LOG_NUMBER(k, v) ((struct log_field){.key = (k), .number = (int64_t)(v)})

/* Lines below `level` are dropped; the default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
/* True, and *ret_level set, for "debug", "info", "warn" and "error". */
bool log_level_parse(const char *word, enum log_level *ret_level);

/* log_write(LOG_LEVEL_INFO, "stopped", LOG_TEXT("reason", why), LOG_NUMBER("left", n));
 * A value is cut after LOG_VALUE_MAX octets and then ends in "...". */
#define log_write(level, event, ...)                                                               \
    log_write_fields(level, event,                                                                 \
                     (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
#define LOG_VALUE_MAX 400
void log_write_fields(enum log_level level, const char *event, const struct log_field *fields);

/* For events that outsiders can cause at will: lets one through per second. All zero at
 * first. When true, *ret_dropped says how many were held back since the last. */
struct log_limit {
    _Atomic uint64_t second, dropped;
};
bool log_limit_pass(struct log_limit *limit, uint64_t *ret_dropped);

#endif
