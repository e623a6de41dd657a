/* A YAML file: its text, and the structures that a schema makes of it. */
#ifndef TBS_YAML_FILE_H
#define TBS_YAML_FILE_H

#include "yaml/keys.h"

#define YAML_KEY_MAX 256 /* octets of a key with its sections, the NUL included */

/* Appends the file's octets. `what` is for the sentence, such as "configuration".
 * TBS_ERR_NOT_FOUND: no such file; TBS_ERR_IO; TBS_ERR_CONFIG: it is larger than `max` octets. */
enum tbs_err tbs_yaml_read_file(const char *what, const char *file, size_t max,
                                struct tbs_buf *text, struct tbs_diag *diag);

/* Fills a structure from `text`, which tbs_yaml_keys_check has found to be of this schema; free it
 * with tbs_yaml_free. TBS_ERR_CONFIG: a value is not accepted; ret_key, which is then touched,
 * names it as tbs_yaml_keys_line takes it, with lists left out, or is empty. */
enum tbs_err tbs_yaml_fill(const char *file, struct tbs_bytes text,
                           const cyaml_schema_value_t *schema, cyaml_data_t **ret_data,
                           char ret_key[YAML_KEY_MAX], struct tbs_diag *diag);
void tbs_yaml_free(const cyaml_schema_value_t *schema, cyaml_data_t *data); /* NULL ok */

#endif
