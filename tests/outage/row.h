/* One row of the outage matrix: what came of the requests while something was wrong with the
 * token, and afterwards. All functions are thread-safe. */
#ifndef TBS_TESTS_ROW_H
#define TBS_TESTS_ROW_H

#include <stdbool.h>
#include <stdint.h>

/* How long after the end of what was wrong the first answer and the last refusal may come. Before
 * any row. */
void row_recovery(unsigned ms);
void row_begin(const char *name);
/* What was wrong is over from now on. */
void row_over(void);
void row_answered(void);
void row_refused(void);
/* Why is printed for the first ones. */
void row_wrong(const char *why);
/* Prints the row. False when an answer was wrong, or the recovery took too long. */
bool row_end(void);
void row_print_head(void);

#endif
