#include "yaml/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct tbs_yaml_keys {
    const char *file;
    yaml_document_t document;
};

static enum tbs_err load(yaml_parser_t *parser, const char *file, yaml_document_t *ret_document,
                         struct tbs_diag *diag)
{
    if (yaml_parser_load(parser, ret_document))
        return TBS_OK;
    if (parser->error == YAML_MEMORY_ERROR)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory while reading %s", file);
    return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%zu: this is not valid YAML: %s", file,
                    parser->problem_mark.line + 1,
                    parser->problem ? parser->problem : "it is not UTF-8 text");
}

/* Nothing may follow the one document. */
static enum tbs_err load_end(yaml_parser_t *parser, const char *file, struct tbs_diag *diag)
{
    yaml_document_t second;
    enum tbs_err err = load(parser, file, &second, diag);
    if (err != TBS_OK)
        return err;
    yaml_node_t *root = yaml_document_get_root_node(&second);
    if (root)
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       "%s:%zu: a second YAML document begins here; one is expected", file,
                       root->start_mark.line + 1);
    yaml_document_delete(&second);
    return err;
}

static enum tbs_err load_one(yaml_parser_t *parser, const char *file, yaml_document_t *ret_document,
                             struct tbs_diag *diag)
{
    yaml_document_t document;
    enum tbs_err err = load(parser, file, &document, diag);
    if (err != TBS_OK)
        return err;
    yaml_node_t *root = yaml_document_get_root_node(&document);
    if (!root || root->type != YAML_MAPPING_NODE)
        err = tbs_fail(diag, TBS_ERR_CONFIG, "%s:1: sections such as `kms:` are expected", file);
    else
        err = load_end(parser, file, diag);
    if (err != TBS_OK)
        yaml_document_delete(&document);
    else
        *ret_document = document;
    return err;
}

enum tbs_err tbs_yaml_keys_new(const char *file, struct tbs_bytes text,
                               struct tbs_yaml_keys **ret_keys, struct tbs_diag *diag)
{
    struct tbs_yaml_keys *keys = calloc(1, sizeof *keys);
    yaml_parser_t parser;
    if (!keys || !yaml_parser_initialize(&parser)) {
        free(keys);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory while reading %s", file);
    }
    keys->file = file;
    static const uint8_t nothing[1]; /* libyaml insists on an address */
    yaml_parser_set_input_string(&parser, text.len ? text.data : nothing, text.len);
    enum tbs_err err = load_one(&parser, file, &keys->document, diag);
    yaml_parser_delete(&parser);
    if (err == TBS_OK)
        *ret_keys = keys;
    else
        free(keys);
    return err;
}

void tbs_yaml_keys_free(struct tbs_yaml_keys *keys)
{
    if (!keys)
        return;
    yaml_document_delete(&keys->document);
    free(keys);
}

/* libyaml's accessor takes a document that it does not change. */
static yaml_node_t *node_at(const struct tbs_yaml_keys *keys, int index)
{
    return yaml_document_get_node((yaml_document_t *)&keys->document, index);
}

static bool is_named(const yaml_node_t *node, const char *name, size_t len)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == len &&
           memcmp(node->data.scalar.value, name, len) == 0;
}

static yaml_node_pair_t *pair_named(const struct tbs_yaml_keys *keys, const yaml_node_t *mapping,
                                    const char *name, size_t len)
{
    for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
         p < mapping->data.mapping.pairs.top; p++)
        if (is_named(node_at(keys, p->key), name, len))
            return p;
    return NULL;
}

/* The entry of a list that the first `len` octets of `path` count from 0; NULL: there is none. */
static const yaml_node_t *entry_at(const struct tbs_yaml_keys *keys, const yaml_node_t *list,
                                   const char *path, size_t len)
{
    size_t n = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start), i = 0;
    for (size_t at = 0; at < len; at++) {
        if (path[at] < '0' || path[at] > '9' || i > n)
            return NULL;
        i = 10 * i + (size_t)(path[at] - '0');
    }
    return i < n ? node_at(keys, list->data.sequence.items.start[i]) : NULL;
}

size_t tbs_yaml_keys_line(const struct tbs_yaml_keys *keys, const char *path)
{
    const yaml_node_t *node = node_at(keys, 1); /* the root, which is a mapping */
    for (;;) {
        size_t len = strcspn(path, ".");
        const yaml_node_t *place = NULL;
        if (node->type == YAML_MAPPING_NODE) {
            const yaml_node_pair_t *pair = pair_named(keys, node, path, len);
            place = pair ? node_at(keys, pair->key) : NULL;
            node = pair ? node_at(keys, pair->value) : NULL;
        } else if (node->type == YAML_SEQUENCE_NODE) {
            place = node = entry_at(keys, node, path, len);
        }
        if (!place)
            return 0;
        if (path[len] == 0)
            return place->start_mark.line + 1;
        path += len + 1;
    }
}

static const cyaml_schema_field_t *field_of(const cyaml_schema_field_t *fields,
                                            const yaml_node_t *key)
{
    for (; fields->key; fields++)
        if (is_named(key, fields->key, strlen(fields->key)))
            return fields;
    return NULL;
}

static enum tbs_err unknown_key(const struct tbs_yaml_keys *keys,
                                const cyaml_schema_field_t *fields, const yaml_node_t *key,
                                struct tbs_diag *diag)
{
    char known[160];
    size_t len = 0;
    for (; fields->key && len < sizeof known; fields++)
        len +=
            (size_t)snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", fields->key);
    return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%zu: unknown key '%.40s'; expected one of: %s",
                    keys->file, key->start_mark.line + 1,
                    key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "",
                    known);
}

static enum tbs_err wrong_kind(const struct tbs_yaml_keys *keys, const char *key,
                               const yaml_node_t *node, const char *kind, struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%zu: '%s' must be %s", keys->file,
                    node->start_mark.line + 1, key, kind);
}

/* cyaml's own reader takes "2.5" and "2x" as 2, "010" as 8, and most words as true. */
static bool is_decimal(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    size_t len = node->data.scalar.length;
    return len > 0 && strspn(text, "0123456789") == len && (text[0] != '0' || len == 1);
}

static enum tbs_err check_scalar(const struct tbs_yaml_keys *keys, const char *key,
                                 const cyaml_schema_value_t *schema, const yaml_node_t *node,
                                 struct tbs_diag *diag)
{
    for (size_t i = 0; i < node->data.scalar.length; i++)
        if (node->data.scalar.value[i] < 0x20 || node->data.scalar.value[i] == 0x7f)
            return wrong_kind(keys, key, node, "plain text; it has a control character", diag);
    if (schema->type == CYAML_INT && !is_decimal(node))
        return wrong_kind(keys, key, node, "a whole number in decimal digits", diag);
    if (schema->type == CYAML_BOOL && !is_named(node, "true", 4) && !is_named(node, "false", 5))
        return wrong_kind(keys, key, node, "true or false", diag);
    return TBS_OK;
}

static enum tbs_err check_mapping(const struct tbs_yaml_keys *keys, const yaml_node_t *mapping,
                                  const char *name, const cyaml_schema_field_t *fields,
                                  struct tbs_diag *diag);

static enum tbs_err check_entry(const struct tbs_yaml_keys *keys, const char *key,
                                const cyaml_schema_value_t *schema, const yaml_node_t *entry,
                                struct tbs_diag *diag)
{
    if (schema->type == CYAML_MAPPING) {
        if (entry->type != YAML_MAPPING_NODE)
            return wrong_kind(keys, key, entry, "a list of sections", diag);
        return check_mapping(keys, entry, key, schema->mapping.fields, diag);
    }
    if (entry->type != YAML_SCALAR_NODE)
        return wrong_kind(keys, key, entry, "a list of single values", diag);
    return check_scalar(keys, key, schema, entry, diag);
}

static enum tbs_err check_value(const struct tbs_yaml_keys *keys, const cyaml_schema_field_t *field,
                                const yaml_node_t *node, struct tbs_diag *diag)
{
    if (field->value.type == CYAML_MAPPING) {
        if (node->type != YAML_MAPPING_NODE)
            return wrong_kind(keys, field->key, node, "a section with keys of its own", diag);
        return check_mapping(keys, node, field->key, field->value.mapping.fields, diag);
    }
    if (field->value.type != CYAML_SEQUENCE) {
        if (node->type != YAML_SCALAR_NODE)
            return wrong_kind(keys, field->key, node, "a single value", diag);
        return check_scalar(keys, field->key, &field->value, node, diag);
    }
    if (node->type != YAML_SEQUENCE_NODE)
        return wrong_kind(keys, field->key, node, "a list, such as [a, b]", diag);
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top; i++) {
        enum tbs_err err =
            check_entry(keys, field->key, field->value.sequence.entry, node_at(keys, *i), diag);
        if (err != TBS_OK)
            return err;
    }
    return TBS_OK;
}

static enum tbs_err check_mapping(const struct tbs_yaml_keys *keys, const yaml_node_t *mapping,
                                  const char *name, const cyaml_schema_field_t *fields,
                                  struct tbs_diag *diag)
{
    for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
         p < mapping->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = node_at(keys, p->key);
        const cyaml_schema_field_t *field = field_of(fields, key);
        if (!field)
            return unknown_key(keys, fields, key, diag);
        if (pair_named(keys, mapping, field->key, strlen(field->key)) != p)
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "%s:%zu: key '%s' stands here a second time; once is expected",
                            keys->file, key->start_mark.line + 1, field->key);
        enum tbs_err err = check_value(keys, field, node_at(keys, p->value), diag);
        if (err != TBS_OK)
            return err;
    }
    for (; fields->key; fields++)
        if (!(fields->value.flags & CYAML_FLAG_OPTIONAL) &&
            !pair_named(keys, mapping, fields->key, strlen(fields->key)))
            return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%zu: %s lacks the required key '%s'",
                            keys->file, mapping->start_mark.line + 1, name, fields->key);
    return TBS_OK;
}

enum tbs_err tbs_yaml_keys_check(const struct tbs_yaml_keys *keys,
                                 const cyaml_schema_field_t *fields, struct tbs_diag *diag)
{
    return check_mapping(keys, node_at(keys, 1), "the file", fields, diag);
}
