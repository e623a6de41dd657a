/* The shape of a YAML file and where each key stands. libcyaml fills structures but keeps no
 * positions and reports a wrong key at the line of the one before; this walk over libyaml's
 * document says exactly which line is wrong. */
#ifndef TBS_SERVER_CONFIG_KEYS_H
#define TBS_SERVER_CONFIG_KEYS_H

#include <cyaml/cyaml.h>

#include "base/bytes.h"
#include "base/error.h"

struct config_keys;

/* TBS_ERR_CONFIG unless `text` is one YAML document with a mapping at its root. `file` is kept
 * for messages and must outlive the result. */
enum tbs_err config_keys_new(const char *file, struct tbs_bytes text, struct config_keys **ret_keys,
                             struct tbs_diag *diag);
void config_keys_free(struct config_keys *keys); /* NULL ok */

/* Compares with the mapping's schema: unknown, repeated and missing keys, the kind of each
 * value; integers are decimal digits, and no value has control characters. */
enum tbs_err config_keys_check(const struct config_keys *keys, const cyaml_schema_field_t *fields,
                               struct tbs_diag *diag);

/* The line of a key such as "server.workers"; 0 if the file does not have it. */
size_t config_keys_line(const struct config_keys *keys, const char *path);

#endif
