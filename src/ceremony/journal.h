/* The journal of a running ceremony: what is needed to go on after a crash or a power cut. It is
 * no evidence, the transcript is. JSON Lines; each line is on the disk before journal_put returns.
 * Not thread-safe; one process at a time, by a lock on the file. */
#ifndef TBS_CEREMONY_JOURNAL_H
#define TBS_CEREMONY_JOURNAL_H

#include <jansson.h>

#include "base/error.h"

#define JOURNAL_LINE_MAX (4u << 20) /* octets; a line holds the inventories of all tokens */

struct journal;

/* A new file. TBS_ERR_EXISTS when there is one. */
enum tbs_err journal_create(const char *file, struct journal **ret_journal, struct tbs_diag *diag);
/* One that is there, with its lines in an array that the caller owns. A last line that was not
 * finished is cut off. TBS_ERR_NOT_FOUND; TBS_ERR_UNAVAILABLE when another process has it;
 * TBS_ERR_MALFORMED for a line that is no JSON object with "at". */
enum tbs_err journal_reopen(const char *file, struct journal **ret_journal, json_t **ret_lines,
                            struct tbs_diag *diag);
void journal_close(struct journal *journal); /* NULL ok */

/* Takes the reference to `fields` (an object) over, and adds "at". */
enum tbs_err journal_put(struct journal *journal, const char *at, json_t *fields,
                         struct tbs_diag *diag);

#endif
