/* Text for people: octets from outside made safe to print. Stateless; thread-safe. */
#ifndef TBS_TOOLS_TEXT_H
#define TBS_TOOLS_TEXT_H

#include "base/bytes.h"

#define TEXT_TIME_MAX 40
#define TEXT_COLUMNS_MAX 120
#define TEXT_LINE_MAX (4 * TEXT_COLUMNS_MAX + 4) /* octets of a line, with NUL */

/* `octets` as UTF-8 without control characters: those, characters that change the direction
 * or the layout of text, and what is not UTF-8 become \xNN; a backslash becomes two. The
 * caller frees; NULL when out of memory. */
char *text_safe(struct tbs_bytes octets);
/* Lower-case hex; the caller frees. */
char *text_hex(struct tbs_bytes octets);
/* True when text_safe would change nothing but backslashes, and there is something. */
bool text_is_plain(struct tbs_bytes octets);

/* Columns of a terminal that safe text takes. */
size_t text_columns(const char *text);
/* Octets of the first character of safe text, and the columns it takes. */
size_t text_step(const char *text, size_t *ret_columns);
/* Takes the next line of at most `columns` (2..TEXT_COLUMNS_MAX) from safe text, broken at
 * blanks; a word that is longer is cut, with an ellipsis. False when nothing is left. */
bool text_line(const char **rest, size_t columns, char ret_line[TEXT_LINE_MAX]);

/* NTP-UTC as 2026-11-24 18:00:00.000 UTC (RFC 4330 3). */
void text_time(uint64_t ntp, char ret_text[TEXT_TIME_MAX]);

#endif
