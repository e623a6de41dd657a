/* Hex, JSON vectors and files for the tests. */
#ifndef TBS_TESTS_HEX_H
#define TBS_TESTS_HEX_H

#include <jansson.h>

#include "base/bytes.h"

/* Octets from hex, as the vectors give them; the test ends where it is not hex. */
struct tbs_buf hex_octets(const char *hex);
/* The member `name` of a vector as octets. */
struct tbs_buf vector_octets(const json_t *vector, const char *name);
const char *vector_text(const json_t *vector, const char *name);
/* tests/vectors/<name>, loaded; the test ends where it is not there. */
json_t *vector_load(const char *name);

#endif
