#include <stdlib.h>
#include <string.h>

#include "paper/internal.h"

struct paper *paper_new(const char *title, bool rehearsal)
{
    struct paper *paper = calloc(1, sizeof *paper);
    if (!paper)
        return NULL;
    paper->title = strdup(title);
    paper->failed = !paper->title;
    paper->rehearsal = rehearsal;
    return paper;
}

void paper_free(struct paper *paper)
{
    if (!paper)
        return;
    for (size_t i = 0; i < paper->n; i++)
        for (size_t k = 0; k < paper->items[i].n; k++)
            free(paper->items[i].text[k]);
    free(paper->items);
    free(paper->title);
    free(paper);
}

static bool make_room(struct paper *paper)
{
    if (paper->n < paper->room)
        return true;
    size_t room = paper->room ? 2 * paper->room : 64;
    struct item *items = reallocarray(paper->items, room, sizeof *items);
    if (!items)
        return false;
    paper->items = items;
    paper->room = room;
    return true;
}

static void add(struct paper *paper, enum kind kind, const char *const *text, size_t n)
{
    if (paper->failed || !make_room(paper)) {
        paper->failed = true;
        return;
    }
    struct item *item = &paper->items[paper->n++];
    *item = (struct item){.kind = kind};
    for (; item->n < n && item->n < PAPER_COLUMNS_MAX; item->n++) {
        item->text[item->n] = strdup(text[item->n] ? text[item->n] : "");
        paper->failed |= !item->text[item->n];
    }
}

void paper_heading(struct paper *paper, const char *text)
{
    add(paper, PAPER_HEADING, &text, 1);
}

void paper_text(struct paper *paper, const char *text)
{
    add(paper, PAPER_TEXT, &text, 1);
}

void paper_step(struct paper *paper, const char *number, const char *title)
{
    add(paper, PAPER_STEP, (const char *[]){number, title}, 2);
}

void paper_fact(struct paper *paper, const char *label, const char *value)
{
    if (value && value[0])
        add(paper, PAPER_FACT, (const char *[]){label, value}, 2);
}

void paper_warning(struct paper *paper, const char *text)
{
    add(paper, PAPER_WARNING, &text, 1);
}

void paper_box(struct paper *paper, const char *text)
{
    add(paper, PAPER_BOX, &text, 1);
}

void paper_blank(struct paper *paper, const char *label)
{
    add(paper, PAPER_BLANK, &label, 1);
}

void paper_sign(struct paper *paper, const char *who)
{
    add(paper, PAPER_SIGN, &who, 1);
}

void paper_row(struct paper *paper, bool head, const char *const *cells, size_t n)
{
    add(paper, head ? PAPER_HEAD_ROW : PAPER_ROW, cells, n);
}

void paper_hash(struct paper *paper, const char *label, const char *hex, const char *words)
{
    add(paper, PAPER_HASH, (const char *[]){label, hex, words}, 3);
}
