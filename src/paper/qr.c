#include <qrencode.h>
#include <stdlib.h>

#include "paper/internal.h"

bool *qr_make(const char *text, size_t *ret_side)
{
    QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    if (!code)
        return NULL;
    size_t side = (size_t)code->width;
    bool *squares = calloc(side * side, sizeof *squares);
    for (size_t i = 0; squares && i < side * side; i++)
        squares[i] = code->data[i] & 1;
    QRcode_free(code);
    *ret_side = side;
    return squares;
}
