#include "ceremony/script.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ceremony/action.h"
#include "ceremony/load.h"
#include "templates/templates.h"

#define TEXT(key, flags, type, member, max)                                                        \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, max)
#define NUMBER(key, flags, type, member) CYAML_FIELD_INT(key, flags, type, member)
#define LIST(key, flags, type, member, entry, max)                                                 \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | (flags), type, member, entry, 1, max)
#define MAY CYAML_FLAG_OPTIONAL

static const cyaml_schema_value_t id_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, SCRIPT_TEXT_MAX)};

static const cyaml_strval_t classes[] = {{"observe", STEP_OBSERVE},
                                         {"create", STEP_CREATE},
                                         {"irreversible", STEP_IRREVERSIBLE},
                                         {"destroy", STEP_DESTROY}};
static const cyaml_strval_t aborts[] = {{"nothing", ABORT_NOTHING},
                                        {"destroy-new-objects", ABORT_DESTROY_NEW_OBJECTS},
                                        {"leave", ABORT_LEAVE}};
static const cyaml_strval_t custodies[] = {{"site-only", CUSTODY_SITE_ONLY},
                                           {"replicated", CUSTODY_REPLICATED},
                                           {"escrowed", CUSTODY_ESCROWED}};

static const cyaml_schema_field_t role_fields[] = {
    TEXT("id", 0, struct script_role, id, SCRIPT_ID_MAX),
    TEXT("title", 0, struct script_role, title, SCRIPT_TEXT_MAX),
    NUMBER("people", 0, struct script_role, people),
    LIST("not_with", MAY, struct script_role, not_with, &id_entry, SCRIPT_ROLES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t role_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct script_role, role_fields)};

static const cyaml_schema_field_t key_fields[] = {
    TEXT("id", 0, struct script_key, id, SCRIPT_ID_MAX),
    TEXT("role", 0, struct script_key, role, SCRIPT_ID_MAX),
    TEXT("template", 0, struct script_key, template, SCRIPT_ID_MAX),
    CYAML_FIELD_ENUM("custody", CYAML_FLAG_STRICT, struct script_key, custody, custodies, 3),
    NUMBER("protect_days", MAY, struct script_key, protect_days),
    NUMBER("process_days", MAY, struct script_key, process_days),
    CYAML_FIELD_END};
static const cyaml_schema_value_t key_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct script_key, key_fields)};

static const cyaml_schema_field_t step_fields[] = {
    TEXT("id", 0, struct script_step, id, SCRIPT_ID_MAX),
    TEXT("title", 0, struct script_step, title, SCRIPT_TEXT_MAX),
    TEXT("do", 0, struct script_step, action, SCRIPT_ID_MAX),
    CYAML_FIELD_ENUM("class", CYAML_FLAG_STRICT, struct script_step, class, classes, 4),
    CYAML_FIELD_ENUM("abort", CYAML_FLAG_STRICT | MAY, struct script_step, abort, aborts, 3),
    TEXT("key", MAY, struct script_step, key, SCRIPT_ID_MAX),
    TEXT("from", MAY, struct script_step, from, SCRIPT_ID_MAX),
    TEXT("state", MAY, struct script_step, state, SCRIPT_ID_MAX),
    TEXT("confirm", 0, struct script_step, confirm, SCRIPT_ID_MAX),
    TEXT("say", MAY, struct script_step, say, SCRIPT_TEXT_MAX),
    LIST("on", MAY, struct script_step, on, &id_entry, SCRIPT_TOKENS_MAX),
    LIST("to", MAY, struct script_step, to, &id_entry, SCRIPT_TOKENS_MAX),
    LIST("present", 0, struct script_step, present, &id_entry, SCRIPT_ROLES_MAX),
    LIST("sign", MAY, struct script_step, sign, &id_entry, SCRIPT_ROLES_MAX),
    LIST("type", MAY, struct script_step, type, &id_entry, 16),
    CYAML_FIELD_BOOL("shares", MAY, struct script_step, shares),
    LIST("requires", MAY, struct script_step, required, &id_entry, 16),
    LIST("ensures", MAY, struct script_step, ensures, &id_entry, 16),
    CYAML_FIELD_END};
static const cyaml_schema_value_t step_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct script_step, step_fields)};

static const cyaml_schema_field_t waiver_fields[] = {
    TEXT("rule", 0, struct script_waiver, rule, SCRIPT_ID_MAX),
    TEXT("of", 0, struct script_waiver, of, SCRIPT_ID_MAX),
    TEXT("reason", 0, struct script_waiver, reason, SCRIPT_TEXT_MAX),
    TEXT("by", 0, struct script_waiver, by, SCRIPT_TEXT_MAX), CYAML_FIELD_END};
static const cyaml_schema_value_t waiver_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct script_waiver, waiver_fields)};

static const cyaml_schema_field_t quorum_fields[] = {
    TEXT("role", 0, struct script_quorum, role, SCRIPT_ID_MAX),
    NUMBER("people", 0, struct script_quorum, people),
    NUMBER("need", 0, struct script_quorum, need), CYAML_FIELD_END};

static const cyaml_schema_field_t script_fields[] = {
    TEXT("ceremony", 0, struct script, ceremony, SCRIPT_ID_MAX),
    TEXT("title", 0, struct script, title, SCRIPT_TEXT_MAX),
    TEXT("operator", 0, struct script, operator_role, SCRIPT_ID_MAX),
    CYAML_FIELD_MAPPING("quorum", MAY, struct script, quorum, quorum_fields),
    LIST("roles", 0, struct script, roles, &role_entry, SCRIPT_ROLES_MAX),
    LIST("tokens", 0, struct script, tokens, &id_entry, SCRIPT_TOKENS_MAX),
    LIST("keys", MAY, struct script, keys, &key_entry, SCRIPT_KEYS_MAX),
    LIST("assumes", MAY, struct script, assumes, &id_entry, 64),
    LIST("waivers", MAY, struct script, waivers, &waiver_entry, 32),
    LIST("steps", 0, struct script, steps, &step_entry, SCRIPT_STEPS_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t script_root = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct script, script_fields)};

enum tbs_err script_load(const char *file, struct script_file **ret_file, struct tbs_diag *diag)
{
    struct script_file *f = calloc(1, sizeof *f);
    struct loaded l;
    if (!f || snprintf(f->name, sizeof f->name, "%s", file) >= (int)sizeof f->name) {
        free(f);
        return tbs_fail(diag, TBS_ERR_NOMEM, "no room for the name of a file");
    }
    enum tbs_err err = load_yaml(f->name, &script_root, &l, diag);
    if (err != TBS_OK) {
        free(f);
        return err;
    }
    f->script = l.root;
    f->text = l.text;
    f->len = l.len;
    f->lines = l.lines;
    memcpy(f->sha256, l.sha256, sizeof f->sha256);
    *ret_file = f;
    return TBS_OK;
}

void script_free(struct script_file *file)
{
    if (!file)
        return;
    load_free(file->script, &script_root, file->text, file->lines);
    free(file);
}

const struct script_role *script_find_role(const struct script *script, const char *id)
{
    for (unsigned i = 0; i < script->roles_count; i++)
        if (strcmp(script->roles[i].id, id) == 0)
            return &script->roles[i];
    return NULL;
}

const struct script_key *script_find_key(const struct script *script, const char *id)
{
    for (unsigned i = 0; i < script->keys_count; i++)
        if (strcmp(script->keys[i].id, id) == 0)
            return &script->keys[i];
    return NULL;
}

int script_find_token(const struct script *script, const char *name)
{
    for (unsigned i = 0; i < script->tokens_count; i++)
        if (strcmp(script->tokens[i], name) == 0)
            return (int)i;
    return -1;
}

static bool names(char *const *list, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* The template of the key that a step has to do with on this token; NULL: none. */
static const struct key_template *template_on(const struct script *script,
                                              const struct script_step *step, const char *token)
{
    const struct script_key *key = step->key ? script_find_key(script, step->key) : NULL;
    const struct key_template *template;
    if (!key || template_find(key->template, &template, NULL) != TBS_OK ||
        (!names(step->on, step->on_count, token) && !names(step->to, step->to_count, token)))
        return NULL;
    return template;
}

bool script_is_tpm(const struct script *script, const char *token)
{
    for (unsigned i = 0; i < script->steps_count; i++) {
        const struct script_step *step = &script->steps[i];
        const struct key_template *template = template_on(script, step, token);
        const struct action *action = action_find(step->action);
        if ((template && template_is_of_tpm(template)) ||
            (action && action->of_tpm && names(step->on, step->on_count, token)))
            return true;
    }
    return false;
}

bool script_has_keys(const struct script *script, const char *token)
{
    for (unsigned i = 0; i < script->steps_count; i++)
        if (template_on(script, &script->steps[i], token))
            return true;
    return false;
}

bool script_presence(const char *text, char ret_role[SCRIPT_ID_MAX + 1], unsigned *ret_least)
{
    size_t len = strcspn(text, ">");
    unsigned least = 1;
    if (len == 0 || len > SCRIPT_ID_MAX)
        return false;
    if (text[len]) {
        const char *number = text + len + 2;
        if (text[len + 1] != '=' || !isdigit((unsigned char)number[0]) || number[0] == '0' ||
            strspn(number, "0123456789") != strlen(number) || strlen(number) > 2)
            return false;
        least = (unsigned)atoi(number);
    }
    memcpy(ret_role, text, len);
    ret_role[len] = 0;
    *ret_least = least;
    return true;
}

const char *step_class_name(enum step_class class)
{
    return classes[class].str;
}

const char *step_abort_name(enum step_abort abort)
{
    return aborts[abort].str;
}

const char *key_custody_name(enum key_custody custody)
{
    return custodies[custody].str;
}

bool script_waives(const struct script *script, const char *rule, const char *of)
{
    for (unsigned i = 0; i < script->waivers_count; i++)
        if (strcmp(script->waivers[i].rule, rule) == 0 && strcmp(script->waivers[i].of, of) == 0)
            return true;
    return false;
}
