/* The fields of each payload. */
#ifndef TBS_TOOLS_PAYLOADS_H
#define TBS_TOOLS_PAYLOADS_H

#include "mikey/message.h"
#include "scribe.h"

/* Writes the payload into the scribe's node, as one more field. `expand`: TP Data and the
 * like are taken apart; they are not inside one another, so that hostile octets cannot nest
 * without end. */
void payload_write(struct scribe *s, const struct mikey_payload *p, bool expand);
/* Every payload of a list. */
void payloads_write(struct scribe *s, const struct mikey_payloads *list, bool expand);
/* Where the decoded part of a list ends, `start` when it is empty. */
size_t payloads_end(const struct mikey_payloads *list, size_t start);

#endif
