/* Reads octets field by field and writes down what each field is: a JSON object with
 * "name", "offset" (in the message), "length" in octets or "bits", and, where they apply,
 * "value", "meaning", "rfc" and "fields" (the fields inside). A field that is not wholly
 * there is not written. A scribe belongs to one thread. */
#ifndef TBS_TOOLS_SCRIBE_H
#define TBS_TOOLS_SCRIBE_H

#include <jansson.h>

#include "base/bytes.h"
#include "names.h"

struct scribe {
    struct tbs_reader r;
    size_t base;  /* offset of r.in in the message */
    json_t *node; /* borrowed: where fields are added */
    bool *failed; /* set when out of memory; shared by all scribes of one tree */
};

/* How octets are shown. */
enum show {
    SHOW_HEX,
    SHOW_SHORT,     /* the first octets, for MACs and certificates */
    SHOW_TEXT,      /* text that is safe to print */
    SHOW_EITHER,    /* text where it is plain text, hex otherwise */
    SHOW_LENGTH,    /* only how many */
    SHOW_ENCRYPTED, /* the same, and why */
    SHOW_KEY,
};

size_t scribe_at(const struct scribe *s); /* offset in the message */

/* A field with fields inside, of `len` octets from here; nothing is read. Gives the scribe
 * for what is inside. */
struct scribe scribe_group(struct scribe *s, const char *name, size_t len);
void scribe_say(struct scribe *s, const char *member, const char *text); /* of the node */

/* A number of 1, 2 or 4 octets; name_of may be NULL. */
uint64_t scribe_number(struct scribe *s, const char *name, size_t len, name_fn name_of);
/* A number inside the octets from here on; nothing is read. */
void scribe_bits(struct scribe *s, const char *name, unsigned bits, uint64_t value,
                 const char *meaning);
struct tbs_bytes scribe_octets(struct scribe *s, const char *name, size_t len, enum show show);
/* The last `len` octets read, in words of the caller's. */
void scribe_text(struct scribe *s, const char *name, size_t len, const char *value,
                 const char *meaning);
/* The node stops making sense at `offset`. */
void scribe_error(struct scribe *s, size_t offset, const char *sentence);

#endif
