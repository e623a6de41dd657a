/* A document to be read, filled in and signed: one model, written as HTML (one file, with a style
 * for printing) and as PDF (A4). Texts are UTF-8, and copied. Nothing secret belongs on it.
 *
 * Out of memory is remembered while it is put together, and told by the writers as TBS_ERR_NOMEM.
 * Not thread-safe. */
#ifndef TBS_PAPER_PAPER_H
#define TBS_PAPER_PAPER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

#define PAPER_COLUMNS_MAX 6

struct paper;

/* NULL when out of memory. A rehearsal says so across every page. */
struct paper *paper_new(const char *title, bool rehearsal);
void paper_free(struct paper *paper); /* NULL ok */

void paper_heading(struct paper *paper, const char *text);
void paper_text(struct paper *paper, const char *text);
void paper_step(struct paper *paper, const char *number, const char *title);
void paper_fact(struct paper *paper, const char *label, const char *value); /* NULL value: none */
void paper_warning(struct paper *paper, const char *text);
void paper_box(struct paper *paper, const char *text);    /* to be ticked */
void paper_blank(struct paper *paper, const char *label); /* to be filled in */
void paper_sign(struct paper *paper, const char *who);    /* name, signature, time */
/* A row of a table; `head` begins one. At most PAPER_COLUMNS_MAX cells, of equal width. */
void paper_row(struct paper *paper, bool head, const char *const *cells, size_t n);
/* A public hash: digits, words when they are given, and a QR code of the digits. */
void paper_hash(struct paper *paper, const char *label, const char *hex, const char *words);

/* Appended. */
enum tbs_err paper_html(const struct paper *paper, struct tbs_buf *html, struct tbs_diag *diag);
enum tbs_err paper_pdf(const struct paper *paper, struct tbs_buf *pdf, struct tbs_diag *diag);

#endif
