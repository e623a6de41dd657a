#include <string.h>

#include "ladder.h"
#include "text.h"

#define NAME_COLUMNS 14             /* of a participant */
#define HALF (NAME_COLUMNS / 2 + 2) /* of the widest box, left of its line */
#define GAP_MAX 46
#define LABEL_MIN 34 /* columns of a label; it may cross a line for this */

/* One line of the picture: a character for each column; "" after one that takes two. */
struct row {
    char cell[LADDER_COLUMNS][5];
};

struct picture {
    FILE *out;
    const struct flow *flow;
    size_t gap;
};

static size_t line_of(const struct picture *p, size_t party)
{
    return HALF + party * p->gap;
}

static void put(struct row *row, size_t column, const char *text)
{
    size_t wide, len;

    for (; *text; text += len, column += wide) {
        len = text_step(text, &wide);
        if (column + wide > LADDER_COLUMNS)
            return;
        memcpy(row->cell[column], text, len);
        row->cell[column][len] = '\0';
        if (wide == 2)
            row->cell[column + 1][0] = '\0';
    }
}

static struct row blank(void)
{
    struct row row;

    for (size_t i = 0; i < LADDER_COLUMNS; i++)
        strcpy(row.cell[i], " ");
    return row;
}

/* A row with the line of every participant. */
static struct row lines(const struct picture *p)
{
    struct row row = blank();

    for (size_t i = 0; i < p->flow->n_parties; i++)
        put(&row, line_of(p, i), "│");
    return row;
}

static void print(const struct picture *p, const struct row *row)
{
    size_t end = LADDER_COLUMNS;

    while (end > 0 && strcmp(row->cell[end - 1], " ") == 0)
        end--;
    for (size_t i = 0; i < end; i++)
        fputs(row->cell[i], p->out);
    fputc('\n', p->out);
}

static void put_box(struct row rows[3], size_t centre, const char *name)
{
    char line[TEXT_LINE_MAX] = "";
    size_t width, left;

    text_line(&name, NAME_COLUMNS, line);
    width = text_columns(line);
    left = centre - (width + 3) / 2;
    put(&rows[0], left, "┌");
    put(&rows[1], left, "│ ");
    put(&rows[1], left + 2, line);
    put(&rows[1], left + 2 + width, " │");
    put(&rows[2], left, "└");
    for (size_t i = 0; i < width + 2; i++) {
        put(&rows[0], left + 1 + i, "─");
        put(&rows[2], left + 1 + i, "─");
    }
    put(&rows[0], left + 3 + width, "┐");
    put(&rows[2], left + 3 + width, "┘");
    put(&rows[2], centre, "┬");
}

static void print_boxes(const struct picture *p)
{
    struct row rows[3] = {blank(), blank(), blank()};

    for (size_t i = 0; i < p->flow->n_parties; i++)
        put_box(rows, line_of(p, i), p->flow->party[i]);
    for (size_t i = 0; i < 3; i++)
        print(p, &rows[i]);
}

/* Where the label of a step stands. */
struct place {
    size_t column, width;
};

static struct place place_of(const struct picture *p, const struct flow_step *step)
{
    size_t from = line_of(p, step->from), to = line_of(p, step->to);
    size_t left = from < to ? from : to, right = from < to ? to : from;
    struct place place = {left + 2, right - left - 3};

    if (place.width < LABEL_MIN)
        place.width = LABEL_MIN;
    if (place.column + place.width > LADDER_COLUMNS)
        place.column = LADDER_COLUMNS - place.width;
    return place;
}

static void print_label(const struct picture *p, struct place place, const char *text)
{
    char line[TEXT_LINE_MAX];

    while (text_line(&text, place.width, line)) {
        struct row row = lines(p);

        put(&row, place.column, line);
        print(p, &row);
    }
}

static void print_arrow(const struct picture *p, const struct flow_step *step)
{
    struct row row = lines(p);
    size_t from = line_of(p, step->from), to = line_of(p, step->to);

    for (size_t i = (from < to ? from : to) + 1; i < (from < to ? to : from); i++)
        put(&row, i, "─");
    put(&row, from, from < to ? "├" : "┤");
    put(&row, from < to ? to - 1 : to + 1, from < to ? "▶" : "◀");
    print(p, &row);
}

static void print_step(const struct picture *p, const struct flow_step *step)
{
    struct place place = place_of(p, step);
    struct row between = lines(p);
    char title[128];

    snprintf(title, sizeof title, "%u %s", step->number, step->title);
    print_label(p, place, title);
    for (size_t i = 0; i < step->n_facts; i++)
        print_label(p, place, step->fact[i]);
    print_arrow(p, step);
    print(p, &between);
}

void ladder_text(FILE *out, const struct flow *flow)
{
    size_t room = LADDER_COLUMNS - 1 - 2 * HALF;
    struct picture p = {.out = out, .flow = flow, .gap = room / (flow->n_parties - 1)};

    if (p.gap > GAP_MAX)
        p.gap = GAP_MAX;
    print_boxes(&p);
    for (size_t i = 0; i < flow->n_steps; i++)
        print_step(&p, &flow->step[i]);
}
