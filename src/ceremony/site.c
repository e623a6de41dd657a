#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ceremony/load.h"

#define TEXT(key, flags, type, member, max)                                                        \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, max)
#define MAY CYAML_FLAG_OPTIONAL

static const cyaml_strval_t oaeps[] = {{"sha-256", OAEP_SHA_256}, {"sha-1", OAEP_SHA_1}};

static const cyaml_schema_value_t quirk = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, SCRIPT_ID_MAX)};

static const cyaml_schema_field_t token_fields[] = {
    TEXT("name", 0, struct site_token, name, SCRIPT_ID_MAX),
    TEXT("module", 0, struct site_token, module, PATH_MAX),
    TEXT("serial", MAY, struct site_token, serial, 16),
    TEXT("label", MAY, struct site_token, label, 32),
    CYAML_FIELD_BOOL("fresh", MAY, struct site_token, fresh),
    CYAML_FIELD_BOOL("pin_pad", MAY, struct site_token, pin_pad),
    TEXT("entropy", 0, struct site_token, entropy, SCRIPT_TEXT_MAX),
    CYAML_FIELD_ENUM("oaep", MAY, struct site_token, oaep, oaeps, 2),
    TEXT("init_args", MAY, struct site_token, init_args, 1024),
    CYAML_FIELD_SEQUENCE("quirks", CYAML_FLAG_POINTER | MAY, struct site_token, quirks, &quirk, 0,
                         SITE_QUIRKS_MAX),
    TEXT("pin", MAY, struct site_token, pin, PATH_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t token_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct site_token, token_fields)};

static const cyaml_schema_field_t person_fields[] = {
    TEXT("role", 0, struct site_person, role, SCRIPT_ID_MAX),
    TEXT("name", 0, struct site_person, name, SCRIPT_ID_MAX),
    TEXT("key", MAY, struct site_person, key, PATH_MAX), CYAML_FIELD_END};
static const cyaml_schema_value_t person_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct site_person, person_fields)};

static const cyaml_schema_field_t site_fields[] = {
    CYAML_FIELD_SEQUENCE("tokens", CYAML_FLAG_POINTER, struct site, tokens, &token_entry, 1,
                         SCRIPT_TOKENS_MAX),
    CYAML_FIELD_SEQUENCE("people", CYAML_FLAG_POINTER, struct site, people, &person_entry, 1, 64),
    TEXT("clock", MAY, struct site, clock, SCRIPT_TEXT_MAX), CYAML_FIELD_END};
static const cyaml_schema_value_t site_root = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct site, site_fields)};

/* A token is named in one way only: else two ways could name two tokens. */
static enum tbs_err check_tokens(const struct site_file *f, struct tbs_diag *diag)
{
    for (unsigned i = 0; i < f->site->tokens_count; i++) {
        const struct site_token *t = &f->site->tokens[i];
        char path[40];
        snprintf(path, sizeof path, "tokens.%u", i);
        size_t line = tbs_yaml_keys_line(f->lines, path);
        if ((t->serial != NULL) + (t->label != NULL) + t->fresh != 1)
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "%.200s:%zu: token %s needs one of serial, label and fresh: true",
                            f->name, line, t->name);
        if (!load_is_id(t->name) || site_find_token(f->site, t->name) != t)
            return tbs_fail(
                diag, TBS_ERR_CONFIG,
                "%.200s:%zu: the token's name must be letters and digits, and come once", f->name,
                line);
    }
    return TBS_OK;
}

enum tbs_err site_load(const char *file, struct site_file **ret_file, struct tbs_diag *diag)
{
    struct site_file *f = calloc(1, sizeof *f);
    struct loaded l;
    if (!f || snprintf(f->name, sizeof f->name, "%s", file) >= (int)sizeof f->name) {
        free(f);
        return tbs_fail(diag, TBS_ERR_NOMEM, "no room for the name of a file");
    }
    enum tbs_err err = load_yaml(f->name, &site_root, &l, diag);
    if (err != TBS_OK) {
        free(f);
        return err;
    }
    f->site = l.root;
    f->text = l.text;
    f->len = l.len;
    f->lines = l.lines;
    memcpy(f->sha256, l.sha256, sizeof f->sha256);
    err = check_tokens(f, diag);
    if (err == TBS_OK)
        *ret_file = f;
    else
        site_free(f);
    return err;
}

void site_free(struct site_file *file)
{
    if (!file)
        return;
    load_free(file->site, &site_root, file->text, file->lines);
    free(file);
}

const struct site_token *site_find_token(const struct site *site, const char *name)
{
    for (unsigned i = 0; i < site->tokens_count; i++)
        if (strcmp(site->tokens[i].name, name) == 0)
            return &site->tokens[i];
    return NULL;
}
