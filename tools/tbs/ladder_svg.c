#include <string.h>

#include "base/markup.h"
#include "ladder.h"
#include "text.h"

/* Pixels. */
#define MARGIN 100 /* left of the first line, right of the last */
#define GAP 320    /* between two lines */
#define BOX_WIDTH 150
#define BOX_HEIGHT 36
#define TOP 28
#define LINE_HEIGHT 17
#define STEP_SPACE 26   /* between an arrow and the next title */
#define CHARACTER 7     /* of the fixed-width font at its size */
#define NAME_COLUMNS 16 /* of a participant */

static const char style[] =
    "text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
    ".fact{font:11.5px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#57606a}"
    ".title{font-size:13.5px;font-weight:600}"
    ".name{font-size:14px;font-weight:600;fill:#1f2328;text-anchor:middle}"
    ".number{font-size:11px;font-weight:600;fill:#fff;text-anchor:middle}"
    ".mask{paint-order:stroke;stroke:#fff;stroke-width:6px;stroke-linejoin:round}"
    ".page{fill:#fff}"
    ".box{fill:#f6f8fa;stroke:#8c959f}"
    ".life{stroke:#afb8c1;stroke-dasharray:4 4}"
    ".arrow{stroke-width:1.8}"
    ".other{fill:#57606a}.arrow.other{stroke:#57606a}"
    ".request{fill:#0969da}.arrow.request{stroke:#0969da}"
    ".transfer{fill:#1a7f37}.arrow.transfer{stroke:#1a7f37}"
    ".resolve{fill:#8250df}.arrow.resolve{stroke:#8250df}"
    ".error{fill:#cf222e}.arrow.error{stroke:#cf222e}\n"
    "@media (prefers-color-scheme:dark){"
    ".page{fill:#0d1117}.mask{stroke:#0d1117}.fact{fill:#9198a1}.name{fill:#f0f6fc}"
    ".number{fill:#0d1117}.box{fill:#161b22;stroke:#656c76}.life{stroke:#3d444d}"
    ".other{fill:#9198a1}.arrow.other{stroke:#9198a1}"
    ".request{fill:#58a6ff}.arrow.request{stroke:#58a6ff}"
    ".transfer{fill:#3fb950}.arrow.transfer{stroke:#3fb950}"
    ".resolve{fill:#bc8cff}.arrow.resolve{stroke:#bc8cff}"
    ".error{fill:#ff7b72}.arrow.error{stroke:#ff7b72}}";

static const char *const classes[] = {[FLOW_OTHER] = "other",
                                      [FLOW_REQUEST] = "request",
                                      [FLOW_TRANSFER] = "transfer",
                                      [FLOW_RESOLVE] = "resolve",
                                      [FLOW_ERROR] = "error"};

static size_t line_of(size_t party)
{
    return MARGIN + party * GAP;
}

static size_t left_of(const struct flow_step *step)
{
    return line_of(step->from < step->to ? step->from : step->to);
}

static size_t span_of(const struct flow_step *step)
{
    return GAP * (step->from < step->to ? step->to - step->from : step->from - step->to);
}

static size_t fact_columns(const struct flow_step *step)
{
    size_t columns = (span_of(step) - 30) / CHARACTER;

    return columns < TEXT_COLUMNS_MAX ? columns : TEXT_COLUMNS_MAX;
}

/* Lines that the facts of a step take. */
static size_t fact_lines(const struct flow_step *step)
{
    char line[TEXT_LINE_MAX];
    size_t n = 0;

    for (size_t i = 0; i < step->n_facts; i++) {
        const char *rest = step->fact[i];

        while (text_line(&rest, fact_columns(step), line))
            n++;
    }
    return n;
}

static size_t step_height(const struct flow_step *step)
{
    return STEP_SPACE + LINE_HEIGHT * (1 + fact_lines(step)) + 8;
}

static void put_facts(FILE *out, const struct flow_step *step, size_t y)
{
    char line[TEXT_LINE_MAX];

    for (size_t i = 0; i < step->n_facts; i++) {
        const char *rest = step->fact[i];

        while (text_line(&rest, fact_columns(step), line)) {
            y += LINE_HEIGHT;
            fprintf(out, "<text class=\"fact mask\" x=\"%zu\" y=\"%zu\">", left_of(step) + 14, y);
            tbs_put_markup_text(out, line);
            fputs("</text>\n", out);
        }
    }
}

static void put_arrow(FILE *out, const struct flow_step *step, size_t y)
{
    const char *class = classes[step->kind];
    bool right = step->from < step->to;
    size_t from = line_of(step->from), to = line_of(step->to);
    size_t back = right ? to - 10 : to + 10;

    fprintf(out, "<line class=\"arrow %s\" x1=\"%zu\" y1=\"%zu\" x2=\"%zu\" y2=\"%zu\"/>\n", class,
            from, y, back, y);
    fprintf(out, "<path class=\"%s\" d=\"M%zu %zu L%zu %zu L%zu %zu Z\"/>\n", class, to, y, back,
            y - 5, back, y + 5);
}

/* The number sits on the sender's line. */
static void put_number(FILE *out, const struct flow_step *step, size_t y)
{
    size_t x = line_of(step->from);

    fprintf(out, "<circle class=\"%s\" cx=\"%zu\" cy=\"%zu\" r=\"9\"/>\n", classes[step->kind], x,
            y);
    fprintf(out, "<text class=\"number\" x=\"%zu\" y=\"%zu\">%u</text>\n", x, y + 4, step->number);
}

/* Draws below `y`; returns where the step ends. */
static size_t put_step(FILE *out, const struct flow_step *step, size_t y)
{
    size_t title = y + STEP_SPACE + LINE_HEIGHT - 6, end = y + step_height(step);

    fprintf(out, "<text class=\"title mask %s\" x=\"%zu\" y=\"%zu\">", classes[step->kind],
            left_of(step) + 14, title);
    tbs_put_markup_text(out, step->title);
    fputs("</text>\n", out);
    put_facts(out, step, title);
    put_arrow(out, step, end);
    put_number(out, step, end);
    return end;
}

static void put_box(FILE *out, const struct flow *flow, size_t party, size_t y)
{
    const char *name = flow->party[party];
    char line[TEXT_LINE_MAX] = "";
    size_t x = line_of(party);

    text_line(&name, NAME_COLUMNS, line);
    fprintf(out,
            "<rect class=\"box\" x=\"%zu\" y=\"%zu\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n"
            "<text class=\"name\" x=\"%zu\" y=\"%zu\">",
            x - BOX_WIDTH / 2, y, BOX_WIDTH, BOX_HEIGHT, x, y + BOX_HEIGHT / 2 + 5);
    tbs_put_markup_text(out, line);
    fputs("</text>\n", out);
}

static void put_parties(FILE *out, const struct flow *flow, size_t bottom)
{
    for (size_t i = 0; i < flow->n_parties; i++) {
        fprintf(out, "<line class=\"life\" x1=\"%zu\" y1=\"%d\" x2=\"%zu\" y2=\"%zu\"/>\n",
                line_of(i), TOP + BOX_HEIGHT, line_of(i), bottom);
        put_box(out, flow, i, TOP);
        put_box(out, flow, i, bottom);
    }
}

/* What a screen reader says, and a browser shows on hovering. */
static void put_title(FILE *out, const struct flow *flow)
{
    fputs("<title>MIKEY-TICKET exchanges: ", out);
    for (size_t i = 0; i < flow->n_parties; i++) {
        fputs(i ? ", " : "", out);
        tbs_put_markup_text(out, flow->party[i]);
    }
    fputs("</title>\n", out);
}

void ladder_svg(FILE *out, const struct flow *flow)
{
    size_t width = 2 * MARGIN + (flow->n_parties - 1) * GAP, y = TOP + BOX_HEIGHT;
    size_t bottom = y + STEP_SPACE;

    for (size_t i = 0; i < flow->n_steps; i++)
        bottom += step_height(&flow->step[i]);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %zu %zu\" width=\"%zu\" "
            "height=\"%zu\" role=\"img\">\n",
            width, bottom + BOX_HEIGHT + TOP, width, bottom + BOX_HEIGHT + TOP);
    put_title(out, flow);
    fprintf(out, "<style>%s</style>\n<rect class=\"page\" width=\"100%%\" height=\"100%%\"/>\n",
            style);
    put_parties(out, flow, bottom);
    for (size_t i = 0; i < flow->n_steps; i++)
        y = put_step(out, &flow->step[i], y);
    fputs("</svg>\n", out);
}
