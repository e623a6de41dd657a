/* The shape of a YAML file and where each key stands. libcyaml fills structures but keeps no
 * positions and reports a wrong key at the line of the one before; this walk over libyaml's
 * document says exactly which line is wrong. */
#ifndef TBS_YAML_KEYS_H
#define TBS_YAML_KEYS_H

#include <cyaml/cyaml.h>

#include "base/bytes.h"
#include "base/error.h"

struct tbs_yaml_keys;

/* TBS_ERR_CONFIG unless `text` is one YAML document with a mapping at its root. `file` is kept
 * for messages and must outlive the result. */
enum tbs_err tbs_yaml_keys_new(const char *file, struct tbs_bytes text,
                               struct tbs_yaml_keys **ret_keys, struct tbs_diag *diag);
void tbs_yaml_keys_free(struct tbs_yaml_keys *keys); /* NULL ok */

/* Compares with the mapping's schema: unknown, repeated and missing keys, the kind of each
 * value; integers are decimal digits, and no value has control characters. */
enum tbs_err tbs_yaml_keys_check(const struct tbs_yaml_keys *keys,
                                 const cyaml_schema_field_t *fields, struct tbs_diag *diag);

/* The line of a key such as "server.workers", or of the entry of a list such as "rules.2", counted
 * from 0; 0 if the file does not have it. */
size_t tbs_yaml_keys_line(const struct tbs_yaml_keys *keys, const char *path);

#endif
