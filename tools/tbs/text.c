#include "text.h"

#include <openssl/asn1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Length of the character at `p`, 0 when that is not UTF-8. */
static size_t character(const uint8_t *p, size_t left, unsigned long *ret_point)
{
    unsigned long point = 0;
    int len = UTF8_getc(p, left > 4 ? 4 : (int)left, &point);

    if (len <= 0 || point > 0x10FFFF)
        return 0;
    *ret_point = point;
    return (size_t)len;
}

static bool harmless(unsigned long point)
{
    static const struct {
        unsigned long from, to;
    } harmful[] = {
        {0x00, 0x1F},        /* C0 */
        {0x7F, 0x9F},        /* DEL, C1 */
        {0xAD, 0xAD},        /* soft hyphen */
        {0x61C, 0x61C},      /* Arabic letter mark */
        {0x180E, 0x180E},    /* Mongolian vowel separator */
        {0x200B, 0x200F},    /* zero width, direction marks */
        {0x2028, 0x202E},    /* line ends, embeddings and overrides of direction */
        {0x2060, 0x206F},    /* invisible operators, isolates of direction */
        {0xD800, 0xF8FF},    /* surrogates, private use */
        {0xFE00, 0xFE0F},    /* variation selectors */
        {0xFEFF, 0xFEFF},    /* byte order mark */
        {0xFFF0, 0xFFFB},    /* specials */
        {0xFFFE, 0xFFFF},    /* no characters */
        {0xE0000, 0x10FFFF}, /* tags, private use */
    };

    for (size_t i = 0; i < sizeof harmful / sizeof *harmful; i++)
        if (point >= harmful[i].from && point <= harmful[i].to)
            return false;
    return true;
}

char *text_safe(struct tbs_bytes octets)
{
    char *text = malloc(4 * octets.len + 1), *to = text;
    size_t at = 0;

    if (!text)
        return NULL;
    while (at < octets.len) {
        const uint8_t *p = octets.data + at;
        unsigned long point;
        size_t len = character(p, octets.len - at, &point);

        if (len == 0 || !harmless(point)) {
            for (size_t i = 0; i < (len ? len : 1); i++)
                to += sprintf(to, "\\x%02x", p[i]);
            at += len ? len : 1;
            continue;
        }
        if (*p == '\\')
            *to++ = '\\';
        memcpy(to, p, len);
        to += len;
        at += len;
    }
    *to = '\0';
    return text;
}

char *text_hex(struct tbs_bytes octets)
{
    char *text = malloc(2 * octets.len + 1), *to = text;

    if (!text)
        return NULL;
    for (size_t i = 0; i < octets.len; i++)
        to += sprintf(to, "%02x", octets.data[i]);
    *to = '\0';
    return text;
}

bool text_is_plain(struct tbs_bytes octets)
{
    for (size_t at = 0; at < octets.len;) {
        unsigned long point;
        size_t len = character(octets.data + at, octets.len - at, &point);

        if (len == 0 || !harmless(point))
            return false;
        at += len;
    }
    return octets.len > 0;
}

/* East Asian wide characters and emoji take two columns. */
static size_t columns_of(unsigned long point)
{
    static const struct {
        unsigned long from, to;
    } wide[] = {{0x1100, 0x115F}, {0x2E80, 0xA4CF},   {0xAC00, 0xD7A3},
                {0xF900, 0xFAFF}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};

    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (point >= wide[i].from && point <= wide[i].to)
            return 2;
    return 1;
}

size_t text_step(const char *text, size_t *ret_columns)
{
    unsigned long point = 0;
    size_t step = character((const uint8_t *)text, strnlen(text, 4), &point);

    *ret_columns = columns_of(point);
    return step ? step : 1;
}

size_t text_columns(const char *text)
{
    size_t used = 0, columns;

    while (*text) {
        text += text_step(text, &columns);
        used += columns;
    }
    return used;
}

/* Octets of the longest beginning of `text` that fits in `columns`. */
static size_t fitting(const char *text, size_t columns)
{
    size_t at = 0, used = 0, step, wide;

    while (text[at]) {
        step = text_step(text + at, &wide);
        used += wide;
        if (used > columns)
            break;
        at += step;
    }
    return at;
}

bool text_line(const char **rest, size_t columns, char ret_line[TEXT_LINE_MAX])
{
    const char *text = *rest + strspn(*rest, " ");
    size_t len, word;

    if (columns > TEXT_COLUMNS_MAX)
        columns = TEXT_COLUMNS_MAX;
    if (!*text)
        return false;
    len = fitting(text, columns);
    if (!text[len] || text[len] == ' ') {
        *rest = text + len;
    } else {
        for (word = len; word > 0 && text[word - 1] != ' ';)
            word--;
        if (word > 0) { /* break before the word that does not fit */
            *rest = text + word;
            for (len = word; len > 0 && text[len - 1] == ' ';)
                len--;
        } else { /* the word alone is too long: cut it */
            *rest = text + len + strcspn(text + len, " ");
            len = fitting(text, columns - 1);
            snprintf(ret_line, TEXT_LINE_MAX, "%.*s…", (int)len, text);
            return true;
        }
    }
    snprintf(ret_line, TEXT_LINE_MAX, "%.*s", (int)len, text);
    return true;
}

void text_time(uint64_t ntp, char ret_text[TEXT_TIME_MAX])
{
    time_t seconds = tbs_unix_from_ntp(ntp);
    unsigned milliseconds = (unsigned)(((ntp & 0xFFFFFFFF) * 1000) >> 32);
    struct tm tm;
    size_t len;

    gmtime_r(&seconds, &tm);
    len = strftime(ret_text, TEXT_TIME_MAX, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(ret_text + len, TEXT_TIME_MAX - len, ".%03u UTC", milliseconds);
}
