/* One line of the trail: JSON of RFC 8259 as jansson writes it compact, in UTF-8, its keys sorted
 * by their octets, without any number that is not an integer; then a line feed. docs/audit.md has
 * the format for others. */
#ifndef TBS_AUDIT_LINE_H
#define TBS_AUDIT_LINE_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/error.h"

#define AUDIT_LINE_MAX (256u << 10) /* octets, with the line feed */
#define AUDIT_HASH_LEN 32
#define AUDIT_HEX_LEN (2 * AUDIT_HASH_LEN)
#define AUDIT_SIGNED_MAX 128
/* A checkpoint covers a line at most so far before it, so that readers need not remember more. */
#define AUDIT_LAG_MAX 4096

/* The last line of a chain: its number, and SHA-256 over its octets without the line feed. All
 * zero before the first. */
struct audit_head {
    uint64_t seq;
    uint8_t hash[AUDIT_HASH_LEN];
};

/* Appends the line that follows *head, which becomes that of the new line. The reference to
 * `fields` is taken over. TBS_ERR_INVALID for what is not UTF-8, TBS_ERR_LIMIT for more than
 * AUDIT_LINE_MAX. */
enum tbs_err audit_line_put(struct tbs_buf *line, const char *event, json_t *fields,
                            struct audit_head *head, struct tbs_diag *diag);

struct audit_line {
    json_t *object; /* freed with audit_line_free */
    uint64_t seq;
    const char *event;
    uint8_t prev[AUDIT_HASH_LEN];
};

/* `text` is without the line feed. TBS_ERR_MALFORMED when it is no line of a trail. */
enum tbs_err audit_line_read(struct tbs_bytes text, struct audit_line *ret_line,
                             struct tbs_diag *diag);
void audit_line_free(struct audit_line *line);

void audit_hash(struct tbs_bytes octets, uint8_t ret_hash[AUDIT_HASH_LEN]);

/* The octets that a checkpoint signs: "tbs-kms audit 1 SEQ HASH", without a line feed. */
void audit_signed_text(const struct audit_head *head, char ret_text[AUDIT_SIGNED_MAX]);

#endif
