/* Files to rules: includes, and what concerns all of them. */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "policies/default_yaml.h"
#include "policies/read.h"

#define PER_MINUTE_MAX 1000000u
#define DEFAULT_NAME "default.yaml (built in)"

static enum tbs_err no_memory(struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the rules");
}

static enum tbs_err take_name(const struct section *s, const struct rule *rule,
                              struct tbs_diag *diag)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->rule[i].name, rule->name) == 0)
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "%.100s:%u: a rule '%s' is at %.100s:%u already; names are there once",
                            rule->file, rule->line, rule->name, s->rule[i].file, s->rule[i].line);
    return TBS_OK;
}

static enum tbs_err take_rules(struct policy_rules *rules, struct section *s,
                               const struct place *where, const struct document_rule *in, size_t n,
                               struct tbs_diag *diag)
{
    struct place place = *where;

    if (n == 0)
        return TBS_OK;
    if (n > RULES_MAX - s->n)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%s: more than %u rules in %s", place.file, RULES_MAX,
                        place.section);
    struct rule *more = reallocarray(s->rule, s->n + n, sizeof *more);

    if (!more)
        return no_memory(diag);
    s->rule = more;
    for (place.n = 0; place.n < n; place.n++) {
        struct rule *rule = &s->rule[s->n];
        enum tbs_err err = rule_read(&place, &in[place.n], rules->max_validity, rule, diag);

        if (!err)
            err = take_name(s, rule, diag);
        if (err) {
            rule_free(rule);
            return err;
        }
        s->n++;
        s->needs_identities |= rule->identities.n > 0;
    }
    return TBS_OK;
}

static enum tbs_err load_file(struct policy_rules *rules, const char *file, const char *included_by,
                              struct tbs_diag *diag);

static enum tbs_err take_include(struct policy_rules *rules, const char *file, size_t line,
                                 const char *name, struct tbs_diag *diag)
{
    char folder[PATH_MAX], path[PATH_MAX], from[PATH_MAX + 16];

    snprintf(folder, sizeof folder, "%s", file);
    snprintf(from, sizeof from, "%s:%zu", file, line);
    int len = name[0] == '/' ? snprintf(path, sizeof path, "%s", name)
                             : snprintf(path, sizeof path, "%s/%s", dirname(folder), name);

    if (len >= (int)sizeof path)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%.200s: the path of the included file is too long",
                        from);
    return load_file(rules, path, from, diag);
}

/* Of several files the lowest limit counts. */
static enum tbs_err take_limit(const char *file, const struct tbs_yaml_keys *keys, const char *key,
                               unsigned in, uint32_t *limit, struct tbs_diag *diag)
{
    size_t line = tbs_yaml_keys_line(keys, key);

    if (line == 0)
        return TBS_OK;
    if (in < 1 || in > PER_MINUTE_MAX)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%zu: %s must be a whole number from 1 to %u",
                        file, line, key, PER_MINUTE_MAX);
    *limit = *limit == 0 || in < *limit ? in : *limit;
    return TBS_OK;
}

/* A file's own rules come before those that it includes: the first that matches decides. */
static enum tbs_err take_document(struct policy_rules *rules, const char *file,
                                  const struct tbs_yaml_keys *keys, const struct document *d,
                                  struct tbs_diag *diag)
{
    struct place place = {.file = file, .keys = keys, .section = "requests"};
    enum tbs_err err = TBS_OK;

    if (d->version != 1)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%zu: version must be 1", file,
                        tbs_yaml_keys_line(keys, "version"));
    err = take_limit(file, keys, "limits.requests_per_minute", d->limits.requests_per_minute,
                     &rules->requests_per_minute, diag);
    if (!err)
        err = take_limit(file, keys, "limits.resolves_per_minute", d->limits.resolves_per_minute,
                         &rules->resolves_per_minute, diag);
    if (!err)
        err = take_rules(rules, &rules->requests, &place, d->requests, d->requests_count, diag);
    place.section = "resolves";
    if (!err)
        err = take_rules(rules, &rules->resolves, &place, d->resolves, d->resolves_count, diag);
    for (unsigned i = 0; !err && i < d->include_count; i++)
        err = take_include(rules, file, tbs_yaml_keys_line(keys, "include"), d->include[i], diag);
    return err;
}

static enum tbs_err fill(const char *file, struct tbs_bytes text, const struct tbs_yaml_keys *keys,
                         struct document **ret_document, struct tbs_diag *diag)
{
    char key[YAML_KEY_MAX];
    enum tbs_err err = tbs_yaml_keys_check(keys, document_fields, diag);

    if (err)
        return err;
    err = tbs_yaml_fill(file, text, &document_schema, (cyaml_data_t **)ret_document, key, diag);
    if (err != TBS_ERR_CONFIG)
        return err;
    size_t line = tbs_yaml_keys_line(keys, key);

    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "%s:%zu: a value of '%s' is empty, too long or out of range", file,
                    line ? line : 1, key);
}

/* Takes what `text` says; the strings stay with `rules`. */
static enum tbs_err load_text(struct policy_rules *rules, const char *file, struct tbs_bytes text,
                              struct tbs_diag *diag)
{
    struct policy_file *f = &rules->file[rules->n_files];
    struct tbs_yaml_keys *keys = NULL;
    struct document *document = NULL;

    f->name = strdup(file);
    if (!f->name)
        return no_memory(diag);
    rules->n_files++;
    enum tbs_err err = tbs_yaml_keys_new(f->name, text, &keys, diag);

    if (!err)
        err = fill(f->name, text, keys, &document, diag);
    if (!err) {
        f->document = document;
        err = take_document(rules, f->name, keys, document, diag);
    }
    tbs_yaml_keys_free(keys);
    return err;
}

static enum tbs_err load_file(struct policy_rules *rules, const char *file, const char *included_by,
                              struct tbs_diag *diag)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();

    for (size_t i = 0; i < rules->n_files; i++)
        if (strcmp(rules->file[i].name, file) == 0)
            return tbs_fail(diag, TBS_ERR_CONFIG, "%.100s: %.100s is included a second time",
                            included_by, file);
    if (rules->n_files == FILES_MAX)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%.200s: more than %u files", included_by, FILES_MAX);
    text.limit = 2 * POLICY_FILE_MAX;
    enum tbs_err err = tbs_yaml_read_file("policy", file, POLICY_FILE_MAX, &text, diag);

    if (err && included_by && err != TBS_ERR_NOMEM)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%.100s: it includes %.100s, which cannot be read",
                        included_by, file);
    return err ? err : load_text(rules, file, tbs_buf_view(&text), diag);
}

static enum tbs_err finish(struct policy_rules *rules, struct tbs_diag *diag)
{
    enum tbs_err err = index_build(&rules->requests, diag);

    return err ? err : index_build(&rules->resolves, diag);
}

static enum tbs_err begin(uint32_t max_validity, struct policy_rules **ret_rules,
                          struct tbs_diag *diag)
{
    *ret_rules = calloc(1, sizeof **ret_rules);
    if (!*ret_rules)
        return no_memory(diag);
    (*ret_rules)->max_validity = max_validity;
    return TBS_OK;
}

static enum tbs_err end(struct policy_rules *rules, enum tbs_err err,
                        struct policy_rules **ret_rules, struct tbs_diag *diag)
{
    if (!err)
        err = finish(rules, diag);
    if (err)
        policy_rules_free(rules);
    else
        *ret_rules = rules;
    return err;
}

enum tbs_err policy_rules_load(const char *file, uint32_t max_validity,
                               struct policy_rules **ret_rules, struct tbs_diag *diag)
{
    struct policy_rules *rules;
    enum tbs_err err = begin(max_validity, &rules, diag);

    return err ? err : end(rules, load_file(rules, file, NULL, diag), ret_rules, diag);
}

enum tbs_err policy_rules_read(const char *file, struct tbs_bytes text, uint32_t max_validity,
                               struct policy_rules **ret_rules, struct tbs_diag *diag)
{
    struct policy_rules *rules;
    enum tbs_err err = begin(max_validity, &rules, diag);

    return err ? err : end(rules, load_text(rules, file, text, diag), ret_rules, diag);
}

enum tbs_err policy_rules_default(uint32_t max_validity, struct policy_rules **ret_rules,
                                  struct tbs_diag *diag)
{
    return policy_rules_read(DEFAULT_NAME, tbs_bytes(default_yaml, sizeof default_yaml),
                             max_validity, ret_rules, diag);
}

static void section_free(struct section *s)
{
    for (size_t i = 0; i < s->n; i++)
        rule_free(&s->rule[i]);
    free(s->rule);
    index_free(&s->index);
}

void policy_rules_free(struct policy_rules *rules)
{
    if (!rules)
        return;
    section_free(&rules->requests);
    section_free(&rules->resolves);
    for (size_t i = 0; i < rules->n_files; i++) {
        tbs_yaml_free(&document_schema, rules->file[i].document);
        free(rules->file[i].name);
    }
    free(rules);
}

size_t policy_rules_count(const struct policy_rules *rules)
{
    return rules->requests.n + rules->resolves.n;
}

static bool section_has(const struct section *s, const struct policy_verdict *verdict)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->rule[i].name, verdict->rule) == 0 && s->rule[i].line == verdict->line &&
            strcmp(s->rule[i].file, verdict->file) == 0)
            return true;
    return false;
}

bool policy_rules_have(const struct policy_rules *rules, const struct policy_verdict *verdict)
{
    return verdict->rule &&
           (section_has(&rules->requests, verdict) || section_has(&rules->resolves, verdict));
}
