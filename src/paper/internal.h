/* Between the files of this room. */
#ifndef TBS_PAPER_INTERNAL_H
#define TBS_PAPER_INTERNAL_H

#include "paper/paper.h"

enum kind {
    PAPER_HEADING,
    PAPER_TEXT,
    PAPER_STEP,
    PAPER_FACT,
    PAPER_WARNING,
    PAPER_BOX,
    PAPER_BLANK,
    PAPER_SIGN,
    PAPER_HEAD_ROW,
    PAPER_ROW,
    PAPER_HASH,
};

struct item {
    enum kind kind;
    size_t n;
    char *text[PAPER_COLUMNS_MAX];
};

struct paper {
    char *title;
    bool rehearsal, failed;
    struct item *items;
    size_t n, room;
};

/* Black squares of a QR code of side * side; freed with free(). NULL: out of memory. */
bool *qr_make(const char *text, size_t *ret_side);

#endif
