/* Text in HTML and XML: & < > and " as entities, so that none of it is markup. Thread-safe. */
#ifndef TBS_BASE_MARKUP_H
#define TBS_BASE_MARKUP_H

#include <stdio.h>

void tbs_put_markup_text(FILE *out, const char *text);

#endif
