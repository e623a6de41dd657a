#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/markup.h"
#include "paper/internal.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<style>\n"
    "body{font:11pt/1.4 sans-serif;max-width:46em;margin:2em auto;padding:0 1em;color:#111}\n"
    "h1{font-size:1.7em}h2{font-size:1.25em;border-bottom:1px solid #999;margin-top:1.8em}\n"
    "h3{margin:1.4em 0 .3em;break-after:avoid}p{margin:.35em 0}\n"
    ".f,.k,.b,.s,.w{margin-left:2.2em}.l{color:#555}.w{font-weight:bold;color:#a00}\n"
    ".b i{display:inline-block;min-width:22em;border-bottom:1px solid #333}\n"
    ".s i{display:inline-block;min-width:11em;border-bottom:1px solid #333;margin-right:1em}\n"
    ".s{margin-top:1.4em;break-inside:avoid}\n"
    "table{border-collapse:collapse;width:100%;margin:.6em 0}tr{break-inside:avoid}\n"
    "td,th{border:1px solid #bbb;padding:.25em .5em;text-align:left;vertical-align:top;"
    "overflow-wrap:anywhere}\n"
    ".h{display:flex;gap:1em;align-items:center;break-inside:avoid;margin:.8em 0}\n"
    ".h svg{flex:none;width:7em;height:7em}.h code{overflow-wrap:anywhere}\n"
    ".r{position:fixed;top:45%;left:0;right:0;text-align:center;font-size:6em;color:#c002;"
    "transform:rotate(-35deg);pointer-events:none}\n"
    "@page{size:A4;margin:18mm}@media print{body{margin:0;max-width:none}}\n"
    "</style>\n";

static void put(FILE *out, const char *before, const char *text, const char *after)
{
    fputs(before, out);
    tbs_put_markup_text(out, text);
    fputs(after, out);
}

static bool put_qr(FILE *out, const char *text)
{
    size_t side;
    bool *squares = qr_make(text, &side);
    if (!squares)
        return false;
    fprintf(out, "<svg viewBox=\"-4 -4 %zu %zu\" role=\"img\" aria-label=\"QR code\"><path d=\"",
            side + 8, side + 8);
    for (size_t i = 0; i < side * side; i++)
        if (squares[i])
            fprintf(out, "M%zu %zuh1v1h-1z", i % side, i / side);
    fputs("\"/></svg>", out);
    free(squares);
    return true;
}

static void put_row(FILE *out, const struct item *item)
{
    bool is_head = item->kind == PAPER_HEAD_ROW;
    fputs("<tr>", out);
    for (size_t i = 0; i < item->n; i++)
        put(out, is_head ? "<th>" : "<td>", item->text[i], is_head ? "</th>" : "</td>");
    fputs("</tr>\n", out);
}

static bool put_hash(FILE *out, const struct item *item)
{
    fputs("<div class=\"h\">", out);
    bool ok = put_qr(out, item->text[1]);
    put(out, "<div><b>", item->text[0], "</b><br><code>");
    put(out, "", item->text[1], "</code>");
    put(out, "<p>", item->text[2], "</p></div></div>\n");
    return ok;
}

static bool put_item(FILE *out, const struct item *item)
{
    const char *first = item->text[0];
    switch (item->kind) {
    case PAPER_HEADING:
        put(out, "<h2>", first, "</h2>\n");
        return true;
    case PAPER_TEXT:
        put(out, "<p>", first, "</p>\n");
        return true;
    case PAPER_STEP:
        put(out, "<h3>", first, " &nbsp; ");
        put(out, "", item->text[1], "</h3>\n");
        return true;
    case PAPER_FACT:
        put(out, "<p class=\"f\"><span class=\"l\">", first, ":</span> ");
        put(out, "", item->text[1], "</p>\n");
        return true;
    case PAPER_WARNING:
        put(out, "<p class=\"w\">", first, "</p>\n");
        return true;
    case PAPER_BOX:
        put(out, "<p class=\"k\">&#9744; ", first, "</p>\n");
        return true;
    case PAPER_BLANK:
        put(out, "<p class=\"b\">", first, ": <i>&nbsp;</i></p>\n");
        return true;
    case PAPER_SIGN:
        put(out, "<p class=\"s\">", first,
            "<br>Name <i>&nbsp;</i> Signature <i>&nbsp;</i> Time <i>&nbsp;</i></p>\n");
        return true;
    case PAPER_HEAD_ROW:
    case PAPER_ROW:
        put_row(out, item);
        return true;
    default:
        return put_hash(out, item);
    }
}

enum tbs_err paper_html(const struct paper *paper, struct tbs_buf *html, struct tbs_diag *diag)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = paper->failed ? NULL : open_memstream(&text, &size);
    bool in_table = false, ok = out;
    if (out) {
        fputs(head, out);
        put(out, "<title>", paper->title, "</title></head><body>\n");
        if (paper->rehearsal)
            fputs("<div class=\"r\">REHEARSAL</div>\n", out);
        put(out, "<h1>", paper->title, "</h1>\n");
    }
    for (size_t i = 0; ok && i < paper->n; i++) {
        const struct item *item = &paper->items[i];
        bool is_row = item->kind == PAPER_ROW;
        if (in_table && !is_row)
            fputs("</table>\n", out);
        if (item->kind == PAPER_HEAD_ROW)
            fputs("<table>\n", out);
        in_table = is_row || item->kind == PAPER_HEAD_ROW;
        ok = put_item(out, item);
    }
    if (out) {
        fputs(in_table ? "</table>\n</body></html>\n" : "</body></html>\n", out);
        ok &= fclose(out) == 0;
    }
    if (ok)
        tbs_put_bytes(html, tbs_bytes(text, size));
    free(text);
    return ok && !html->failed ? TBS_OK
                               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a document");
}
