#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "tree.h"

#define VALUE_COLUMN 37 /* where values begin, right of the offsets */
#define BRANCH_MAX 128

enum style { PLAIN, DIM, NAME, VALUE, ERROR };

struct printer {
    FILE *out;
    bool colour;
};

static const char *const codes[] = {"",           "\033[2m",  "\033[1m",
                                    "\033[1;36m", "\033[33m", "\033[1;31m"};

static void put(const struct printer *p, enum style style, const char *text)
{
    bool styled = p->colour && style != PLAIN && *text;

    fprintf(p->out, "%s%s%s", styled ? codes[style] : "", text, styled ? "\033[0m" : "");
}

static const char *member(const json_t *node, const char *name)
{
    return json_string_value(json_object_get(node, name));
}

/* Offset, length in octets or bits. */
static void put_place(const struct printer *p, const json_t *node)
{
    const json_t *bits = json_object_get(node, "bits");
    char text[64], length[32];

    if (bits)
        snprintf(length, sizeof length, "%d bit%s", (int)json_integer_value(bits),
                 json_integer_value(bits) == 1 ? " " : "s");
    else
        snprintf(length, sizeof length, "%d     ",
                 (int)json_integer_value(json_object_get(node, "length")));
    snprintf(text, sizeof text, "%6d %8s  ",
             (int)json_integer_value(json_object_get(node, "offset")), length);
    put(p, DIM, text);
}

static void put_value(const struct printer *p, const json_t *value)
{
    char number[32];

    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        put(p, VALUE, number);
    } else if (value) {
        put(p, VALUE, json_string_value(value));
    }
}

static void put_line(const struct printer *p, const json_t *node, const char *branch)
{
    const char *name = member(node, "name"), *meaning = member(node, "meaning");
    const char *rfc = member(node, "rfc");
    const json_t *value = json_object_get(node, "value");
    bool inner = json_object_get(node, "fields") != NULL;
    int pad = VALUE_COLUMN - (int)(text_columns(branch) + text_columns(name));

    put_place(p, node);
    put(p, DIM, branch);
    put(p, inner ? NAME : PLAIN, name);
    if (value) {
        fprintf(p->out, "%*s", pad > 2 ? pad : 2, "");
        put_value(p, value);
    }
    if (meaning) {
        fputs(inner ? ": " : "  ", p->out);
        put(p, PLAIN, meaning);
    }
    if (rfc) {
        fputs("  ", p->out);
        put(p, DIM, rfc);
    }
    fputc('\n', p->out);
}

static void put_error(const struct printer *p, const json_t *error, const char *branch)
{
    char at[32];

    snprintf(at, sizeof at, "%6d           ",
             (int)json_integer_value(json_object_get(error, "offset")));
    put(p, DIM, at);
    put(p, DIM, branch);
    put(p, ERROR, "malformed from here on: ");
    put(p, ERROR, member(error, "sentence"));
    fputc('\n', p->out);
}

/* `branch` draws what leads to the children of a node. The tree is at most a few levels
 * deep: payloads that hold payloads are taken apart once. */
static void put_children(const struct printer *p, const json_t *node, const char *branch)
{
    const json_t *fields = json_object_get(node, "fields"), *error = json_object_get(node, "error");
    size_t n = json_array_size(fields);
    char lead[BRANCH_MAX], deeper[BRANCH_MAX];

    for (size_t i = 0; i < n; i++) {
        const json_t *field = json_array_get(fields, i);
        bool last = i + 1 == n && !error;

        snprintf(lead, sizeof lead, "%s%s", branch, last ? "└─ " : "├─ ");
        snprintf(deeper, sizeof deeper, "%s%s", branch, last ? "   " : "│  ");
        put_line(p, field, lead);
        put_children(p, field, deeper);
    }
    if (error) {
        snprintf(lead, sizeof lead, "%s└─ ", branch);
        put_error(p, error, lead);
    }
}

void tree_print(FILE *out, const json_t *tree, bool colour)
{
    struct printer p = {.out = out, .colour = colour};

    put(&p, DIM, "offset   length\n");
    put_line(&p, tree, "");
    put_children(&p, tree, "");
}
