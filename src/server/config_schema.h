/* What config.c reads by; nobody else includes this. */
#ifndef TBS_SERVER_CONFIG_SCHEMA_H
#define TBS_SERVER_CONFIG_SCHEMA_H

#include <cyaml/cyaml.h>

extern const cyaml_schema_value_t config_schema;

struct config_number {
    const char *key; /* NULL after the last */
    size_t offset;   /* of an unsigned in struct config */
    unsigned min, max, preset;
};
extern const struct config_number config_numbers[];

/* What the text or list at a key must be, for a sentence; never NULL. */
const char *config_need(const char *key);

#endif
