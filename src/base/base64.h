/* Base64 of RFC 4648 section 4, with padding and without line ends. Thread-safe. */
#ifndef TBS_BASE_BASE64_H
#define TBS_BASE_BASE64_H

#include "base/bytes.h"

/* Appends the text of `octets`. */
void tbs_put_base64(struct tbs_buf *b, struct tbs_bytes octets);
/* Appends the octets of `text`; false, and nothing appended, when that is not base64 or is
 * empty. Out of memory or beyond its limit, `b` has failed. */
bool tbs_base64_decode(struct tbs_bytes text, struct tbs_buf *b);

#endif
