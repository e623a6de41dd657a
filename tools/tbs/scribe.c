#include "scribe.h"

#include <stdio.h>
#include <stdlib.h>

#include "text.h"

#define SHORT_OCTETS 8

size_t scribe_at(const struct scribe *s)
{
    return s->base + s->r.pos;
}

static void set(struct scribe *s, json_t *object, const char *member, json_t *value)
{
    if (json_object_set_new(object, member, value) != 0)
        *s->failed = true;
}

static json_t *fields_of(struct scribe *s)
{
    if (!json_object_get(s->node, "fields"))
        set(s, s->node, "fields", json_array());
    return json_object_get(s->node, "fields");
}

/* A field of the node; borrowed, NULL when out of memory. */
static json_t *add(struct scribe *s, const char *name, size_t offset, const char *unit, size_t len)
{
    json_t *field = json_object();

    set(s, field, "name", json_string(name));
    set(s, field, "offset", json_integer((json_int_t)offset));
    set(s, field, unit, json_integer((json_int_t)len));
    if (json_array_append_new(fields_of(s), field) != 0) {
        *s->failed = true;
        return NULL;
    }
    return field;
}

static void finish(struct scribe *s, json_t *field, json_t *value, const char *meaning)
{
    set(s, field, "value", value);
    if (meaning)
        set(s, field, "meaning", json_string(meaning));
}

struct scribe scribe_group(struct scribe *s, const char *name, size_t len)
{
    struct tbs_bytes inside = tbs_bytes_slice(s->r.in, s->r.pos, len);

    return (struct scribe){.r = tbs_reader(inside),
                           .base = scribe_at(s),
                           .node = add(s, name, scribe_at(s), "length", len),
                           .failed = s->failed};
}

void scribe_say(struct scribe *s, const char *member, const char *text)
{
    set(s, s->node, member, json_string(text));
}

uint64_t scribe_number(struct scribe *s, const char *name, size_t len, name_fn name_of)
{
    size_t at = scribe_at(s);
    struct tbs_bytes octets = tbs_read_bytes(&s->r, len);
    uint64_t value = 0;

    if (s->r.failed)
        return 0;
    for (size_t i = 0; i < octets.len; i++)
        value = value << 8 | octets.data[i];
    finish(s, add(s, name, at, "length", len), json_integer((json_int_t)value),
           name_of ? name_of(value) : NULL);
    return value;
}

void scribe_bits(struct scribe *s, const char *name, unsigned bits, uint64_t value,
                 const char *meaning)
{
    if (!s->r.failed && tbs_reader_left(&s->r) * 8 >= bits)
        finish(s, add(s, name, scribe_at(s), "bits", bits), json_integer((json_int_t)value),
               meaning);
}

static char *counted(size_t len, const char *what)
{
    char *text = NULL;

    return asprintf(&text, "%zu octets%s", len, what) < 0 ? NULL : text;
}

static char *shortened(struct tbs_bytes octets)
{
    char *hex = text_hex(tbs_bytes_slice(octets, 0, SHORT_OCTETS)), *text = NULL;

    if (hex && asprintf(&text, "%s… (%zu octets)", hex, octets.len) < 0)
        text = NULL;
    free(hex);
    return text;
}

static char *shown(struct tbs_bytes octets, enum show show)
{
    switch (show) {
    case SHOW_LENGTH:
        return counted(octets.len, "");
    case SHOW_ENCRYPTED:
        return counted(octets.len, ", encrypted");
    case SHOW_KEY:
        return counted(octets.len, ", not shown");
    case SHOW_SHORT:
        return octets.len > SHORT_OCTETS ? shortened(octets) : text_hex(octets);
    case SHOW_TEXT:
        return text_safe(octets);
    case SHOW_EITHER:
        return text_is_plain(octets) ? text_safe(octets) : text_hex(octets);
    default:
        return text_hex(octets);
    }
}

struct tbs_bytes scribe_octets(struct scribe *s, const char *name, size_t len, enum show show)
{
    size_t at = scribe_at(s);
    struct tbs_bytes octets = tbs_read_bytes(&s->r, len);

    if (s->r.failed || len == 0)
        return octets;
    char *text = shown(octets, show);

    finish(s, add(s, name, at, "length", len), text ? json_string(text) : NULL, NULL);
    free(text);
    return octets;
}

void scribe_text(struct scribe *s, const char *name, size_t len, const char *value,
                 const char *meaning)
{
    if (!s->r.failed)
        finish(s, add(s, name, scribe_at(s) - len, "length", len), json_string(value), meaning);
}

void scribe_error(struct scribe *s, size_t offset, const char *sentence)
{
    set(s, s->node, "error",
        json_pack("{s:I, s:s}", "offset", (json_int_t)offset, "sentence", sentence));
}
