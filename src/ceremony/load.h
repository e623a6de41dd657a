/* Reading a YAML file into a structure, with the line of each mistake. */
#ifndef TBS_CEREMONY_LOAD_H
#define TBS_CEREMONY_LOAD_H

#include "ceremony/script.h"
#include "yaml/keys.h"

struct loaded {
    void *root; /* what `schema` describes; freed with load_free */
    char *text; /* with a NUL after it */
    size_t len;
    char sha256[SCRIPT_HEX_LEN + 1];
    struct tbs_yaml_keys *lines;
};

/* `file` must outlive the result. */
enum tbs_err load_yaml(const char *file, const cyaml_schema_value_t *schema,
                       struct loaded *ret_loaded, struct tbs_diag *diag);
void load_free(void *root, const cyaml_schema_value_t *schema, char *text,
               struct tbs_yaml_keys *lines);

/* SHA-256 in lower-case hex. */
enum tbs_err load_sha256(struct tbs_bytes octets, char ret_hex[SCRIPT_HEX_LEN + 1],
                         struct tbs_diag *diag);

/* A name of letters, digits, '-', '_' and '.', of 1 to SCRIPT_ID_MAX octets. */
bool load_is_id(const char *text);

#endif
