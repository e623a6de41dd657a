/* Octets as lower-case hexadecimal digits. Thread-safe. */
#ifndef TBS_BASE_HEX_H
#define TBS_BASE_HEX_H

#include "base/bytes.h"

void tbs_hex(struct tbs_bytes octets, char *ret_text); /* 2 * octets.len digits and a NUL */
/* False, and nothing written, unless `text` is exactly 2 * len lower-case digits. */
bool tbs_unhex(const char *text, uint8_t *ret_octets, size_t len);

#endif
