/* A4, in points. Laid out twice: the first time only to count the pages. */
#include <cairo-pdf.h>
#include <pango/pangocairo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "paper/internal.h"

#define WIDTH 595
#define HEIGHT 842
#define MARGIN 54
#define INDENT 22
#define BOTTOM (HEIGHT - MARGIN - 14)
#define QR_SIDE 76
#define LABEL 100
#define BLANK_LABEL 190

struct sheet {
    const struct paper *paper;
    cairo_t *cr;
    double y;
    int page, pages;
};

/* --- Text --- */

static PangoLayout *layout_of(struct sheet *s, const char *font, const char *text, double width)
{
    PangoLayout *layout = pango_cairo_create_layout(s->cr);
    PangoFontDescription *description = pango_font_description_from_string(font);
    pango_layout_set_font_description(layout, description);
    pango_font_description_free(description);
    pango_layout_set_width(layout, (int)(width * PANGO_SCALE));
    pango_layout_set_wrap(layout, PANGO_WRAP_WORD_CHAR);
    PangoAttrList *attributes = pango_attr_list_new();
    pango_attr_list_insert(attributes, pango_attr_insert_hyphens_new(FALSE)); /* none in a hash */
    pango_layout_set_attributes(layout, attributes);
    pango_attr_list_unref(attributes);
    pango_layout_set_text(layout, text, -1);
    return layout;
}

static double height_of(PangoLayout *layout)
{
    int height;
    pango_layout_get_size(layout, NULL, &height);
    return (double)height / PANGO_SCALE;
}

static double show_at(struct sheet *s, double x, double y, const char *font, const char *text,
                      double width)
{
    PangoLayout *layout = layout_of(s, font, text, width);
    double height = height_of(layout);
    cairo_move_to(s->cr, x, y);
    pango_cairo_show_layout(s->cr, layout);
    g_object_unref(layout);
    return height;
}

static double measure(struct sheet *s, const char *font, const char *text, double width)
{
    PangoLayout *layout = layout_of(s, font, text, width);
    double height = height_of(layout);
    g_object_unref(layout);
    return height;
}

static void line(struct sheet *s, double x, double y, double width)
{
    cairo_set_line_width(s->cr, 0.6);
    cairo_move_to(s->cr, x, y);
    cairo_line_to(s->cr, x + width, y);
    cairo_stroke(s->cr);
}

/* --- Pages --- */

static void put_watermark(struct sheet *s)
{
    cairo_save(s->cr);
    cairo_set_source_rgba(s->cr, 0.8, 0, 0, 0.13);
    cairo_translate(s->cr, 90, 620);
    cairo_rotate(s->cr, -0.9);
    show_at(s, 0, -60, "Sans Bold 78", "REHEARSAL", 900);
    cairo_restore(s->cr);
}

static void begin_page(struct sheet *s)
{
    char text[40];
    s->page++;
    s->y = MARGIN;
    if (s->paper->rehearsal)
        put_watermark(s);
    cairo_set_source_rgb(s->cr, 0.4, 0.4, 0.4);
    show_at(s, MARGIN, HEIGHT - MARGIN, "Sans 8", s->paper->title, WIDTH - 2 * MARGIN - 80);
    snprintf(text, sizeof text, "page %d of %d", s->page, s->pages);
    show_at(s, WIDTH - MARGIN - 72, HEIGHT - MARGIN, "Sans 8", text, 100);
    cairo_set_source_rgb(s->cr, 0, 0, 0);
}

static void need(struct sheet *s, double height)
{
    if (s->y + height <= BOTTOM || s->y <= MARGIN)
        return;
    cairo_show_page(s->cr);
    begin_page(s);
}

/* --- Items --- */

static void paragraph(struct sheet *s, double x, const char *font, const char *text, double after)
{
    double width = WIDTH - MARGIN - x;
    need(s, measure(s, font, text, width));
    s->y += show_at(s, x, s->y, font, text, width) + after;
}

static void heading(struct sheet *s, const char *text)
{
    need(s, 130); /* never alone at the foot of a page, nor with the head of a table alone */
    s->y += s->y > MARGIN ? 14 : 0;
    paragraph(s, MARGIN, "Sans Bold 13", text, 2);
    line(s, MARGIN, s->y, WIDTH - 2 * MARGIN);
    s->y += 8;
}

static void step(struct sheet *s, const struct item *item)
{
    need(s, 110);
    s->y += 10;
    show_at(s, MARGIN, s->y, "Sans Bold 10.5", item->text[0], 60);
    paragraph(s, MARGIN + 40, "Sans Bold 10.5", item->text[1], 3);
}

static void fact(struct sheet *s, const struct item *item)
{
    double x = MARGIN + 40, width = WIDTH - MARGIN - x - LABEL;
    double height = measure(s, "Sans 9.5", item->text[1], width);
    double label = measure(s, "Sans 9.5", item->text[0], LABEL - 4);
    height = label > height ? label : height;
    need(s, height);
    cairo_set_source_rgb(s->cr, 0.35, 0.35, 0.35);
    show_at(s, x, s->y, "Sans 9.5", item->text[0], LABEL - 4);
    cairo_set_source_rgb(s->cr, 0, 0, 0);
    show_at(s, x + LABEL, s->y, "Sans 9.5", item->text[1], width);
    s->y += height + 2;
}

static void warning(struct sheet *s, const char *text)
{
    cairo_set_source_rgb(s->cr, 0.65, 0, 0);
    paragraph(s, MARGIN + 40, "Sans Bold 9.5", text, 2);
    cairo_set_source_rgb(s->cr, 0, 0, 0);
}

static void box(struct sheet *s, const char *text)
{
    double x = MARGIN + 40 + INDENT;
    need(s, measure(s, "Sans 9.5", text, WIDTH - MARGIN - x));
    cairo_set_line_width(s->cr, 0.8);
    cairo_rectangle(s->cr, MARGIN + 41, s->y + 2, 9.5, 9.5);
    cairo_stroke(s->cr);
    s->y += show_at(s, x, s->y, "Sans 9.5", text, WIDTH - MARGIN - x) + 3;
}

static void blank(struct sheet *s, const char *label)
{
    double height = measure(s, "Sans 9.5", label, BLANK_LABEL);
    need(s, height + 10);
    s->y += 6;
    show_at(s, MARGIN + 40, s->y, "Sans 9.5", label, BLANK_LABEL);
    line(s, MARGIN + 45 + BLANK_LABEL, s->y + height, WIDTH - 2 * MARGIN - 45 - BLANK_LABEL);
    s->y += height + 4;
}

static void sign(struct sheet *s, const char *who)
{
    static const struct {
        double x, width;
        const char *label;
    } lines[] = {{100, 130, "name"}, {240, 150, "signature"}, {400, 87, "time, UTC"}};
    need(s, 46);
    s->y += 24;
    show_at(s, MARGIN, s->y - 13, "Sans 9.5", who, 96);
    for (size_t i = 0; i < 3; i++) {
        line(s, MARGIN + lines[i].x, s->y, lines[i].width);
        show_at(s, MARGIN + lines[i].x, s->y + 1, "Sans 7", lines[i].label, 90);
    }
    s->y += 16;
}

static void row(struct sheet *s, const struct item *item)
{
    const char *font = item->kind == PAPER_HEAD_ROW ? "Sans Bold 8.5" : "Sans 8.5";
    double width = (WIDTH - 2.0 * MARGIN) / (double)(item->n ? item->n : 1), height = 0;
    for (size_t i = 0; i < item->n; i++) {
        double h = measure(s, font, item->text[i], width - 8);
        height = h > height ? h : height;
    }
    need(s, height + 6 + (item->kind == PAPER_HEAD_ROW ? 30 : 0));
    for (size_t i = 0; i < item->n; i++)
        show_at(s, MARGIN + (double)i * width + 4, s->y + 3, font, item->text[i], width - 8);
    s->y += height + 6;
    cairo_set_source_rgb(s->cr, 0.6, 0.6, 0.6);
    line(s, MARGIN, s->y, WIDTH - 2 * MARGIN);
    cairo_set_source_rgb(s->cr, 0, 0, 0);
}

static bool qr(struct sheet *s, double x, double y, const char *text)
{
    size_t side;
    bool *squares = qr_make(text, &side);
    if (!squares)
        return false;
    double unit = QR_SIDE / (double)side;
    for (size_t i = 0; i < side * side; i++)
        if (squares[i])
            cairo_rectangle(s->cr, x + (double)(i % side) * unit, y + (double)(i / side) * unit,
                            unit, unit);
    cairo_fill(s->cr);
    free(squares);
    return true;
}

static bool hash(struct sheet *s, const struct item *item)
{
    double x = MARGIN + QR_SIDE + 16, width = WIDTH - MARGIN - x;
    need(s, QR_SIDE + 16);
    s->y += 8;
    bool ok = qr(s, MARGIN, s->y, item->text[1]);
    double y = s->y;
    y += show_at(s, x, y, "Sans Bold 9.5", item->text[0], width) + 1;
    y += show_at(s, x, y, "Monospace 7.5", item->text[1], width) + 2;
    y += show_at(s, x, y, "Sans 9", item->text[2], width);
    s->y = (y > s->y + QR_SIDE ? y : s->y + QR_SIDE) + 8;
    return ok;
}

static bool put_item(struct sheet *s, const struct item *item)
{
    switch (item->kind) {
    case PAPER_HEADING:
        heading(s, item->text[0]);
        return true;
    case PAPER_TEXT:
        paragraph(s, MARGIN, "Sans 9.5", item->text[0], 4);
        return true;
    case PAPER_STEP:
        step(s, item);
        return true;
    case PAPER_FACT:
        fact(s, item);
        return true;
    case PAPER_WARNING:
        warning(s, item->text[0]);
        return true;
    case PAPER_BOX:
        box(s, item->text[0]);
        return true;
    case PAPER_BLANK:
        blank(s, item->text[0]);
        return true;
    case PAPER_SIGN:
        sign(s, item->text[0]);
        return true;
    case PAPER_HEAD_ROW:
    case PAPER_ROW:
        row(s, item);
        return true;
    default:
        return hash(s, item);
    }
}

/* --- The document --- */

static cairo_status_t keep(void *pdf, const unsigned char *octets, unsigned len)
{
    tbs_put_bytes(pdf, tbs_bytes(octets, len));
    return ((struct tbs_buf *)pdf)->failed ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

static cairo_status_t count_only(void *pdf, const unsigned char *octets, unsigned len)
{
    (void)pdf, (void)octets, (void)len;
    return CAIRO_STATUS_SUCCESS;
}

static bool draw(const struct paper *paper, cairo_write_func_t write, struct tbs_buf *pdf,
                 int pages, int *ret_pages)
{
    cairo_surface_t *surface = cairo_pdf_surface_create_for_stream(write, pdf, WIDTH, HEIGHT);
    struct sheet s = {.paper = paper, .cr = cairo_create(surface), .pages = pages};
    bool ok = true;
    cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_TITLE, paper->title);
    begin_page(&s);
    paragraph(&s, MARGIN, "Sans Bold 18", paper->title, 10);
    for (size_t i = 0; ok && i < paper->n; i++)
        ok = put_item(&s, &paper->items[i]);
    cairo_show_page(s.cr);
    ok &= cairo_status(s.cr) == CAIRO_STATUS_SUCCESS;
    cairo_destroy(s.cr);
    cairo_surface_finish(surface);
    ok &= cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS;
    cairo_surface_destroy(surface);
    *ret_pages = s.page;
    return ok;
}

enum tbs_err paper_pdf(const struct paper *paper, struct tbs_buf *pdf, struct tbs_diag *diag)
{
    int pages = 0;
    return !paper->failed && draw(paper, count_only, NULL, 0, &pages) &&
                   draw(paper, keep, pdf, pages, &pages)
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a document");
}
