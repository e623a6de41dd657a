/* The documents of a ceremony. */
#ifndef TBS_TOOLS_CEREMONY_PAPER_H
#define TBS_TOOLS_CEREMONY_PAPER_H

#include "paper/paper.h"

/* As HTML or PDF, by the ending of the file's name. TBS_ERR_INVALID for another one. */
enum tbs_err paper_out(const struct paper *paper, const char *file, struct tbs_diag *diag);
/* A SHA-256 in hex, with its words and a QR code. */
void paper_words(struct paper *paper, const char *label, const char *hex);
/* A fact whose value is these, with commas. */
void paper_fact_list(struct paper *paper, const char *label, char *const *names, unsigned n);

#endif
