#include "server/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/ticks.h"

#define LINE_MAX_OCTETS 4096 /* PIPE_BUF: a pipe takes such a line whole or not at all */

struct line {
    char text[LINE_MAX_OCTETS];
    size_t len;
};

static _Atomic int min_level = LOG_LEVEL_INFO;

static struct {
    pthread_mutex_t lock;
    pthread_once_t opened;
    int fd;
    bool mid_line;    /* only a part of the last line was taken */
    uint64_t dropped; /* lines, since one was written */
} out = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_ONCE_INIT, .fd = STDERR_FILENO};

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

static void put_event(struct line *line, enum log_level level, const char *event,
                      const struct log_field *fields)
{
    bool colour = isatty(STDERR_FILENO) == 1;
    put_time(line);
    put_str(line, " level=");
    put_str(line, colour ? levels[level].colour : "");
    put_str(line, levels[level].word);
    put_str(line, colour ? "\033[0m" : "");
    put_str(line, " event=");
    put_value(line, event);
    for (; fields->key; fields++)
        put_field(line, fields);
    line->text[line->len++] = '\n';
}

/* O_NONBLOCK would hold for everybody who shares stderr, so a terminal or a pipe is opened anew.
 * For what cannot be opened, a socket or another user's, poll must do. A file takes every line, and
 * all its writers need the one offset. */
static void open_own(void)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) != 0 || S_ISREG(st.st_mode))
        return;
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        out.fd = fd;
}

/* Where poll sees room, a pipe or a socket takes PIPE_BUF octets at once. */
static bool write_now(const char *text, size_t len)
{
    struct pollfd room = {.fd = out.fd, .events = POLLOUT};
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
        return false;
    ssize_t written = write(out.fd, text, len);
    if (written > 0)
        out.mid_line = (size_t)written < len;
    return written == (ssize_t)len;
}

static bool write_line(const struct line *line)
{
    return (!out.mid_line || write_now("\n", 1)) && write_now(line->text, line->len);
}

static void write_dropped(void)
{
    struct line line = {.len = 0};
    put_event(&line, LOG_LEVEL_WARN, "log-dropped",
              (const struct log_field[]){LOG_NUMBER("lines", out.dropped), {.key = NULL}});
    if (write_line(&line))
        out.dropped = 0;
}

void log_write_fields(enum log_level level, const char *event, const struct log_field *fields)
{
    if ((int)level < atomic_load(&min_level))
        return;
    struct line line = {.len = 0};
    put_event(&line, level, event, fields);
    pthread_once(&out.opened, open_own);
    pthread_mutex_lock(&out.lock);
    if (out.dropped > 0)
        write_dropped();
    if (out.dropped > 0 || !write_line(&line))
        out.dropped++;
    pthread_mutex_unlock(&out.lock);
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
