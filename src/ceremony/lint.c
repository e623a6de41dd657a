#include "ceremony/lint.h"

#include "ceremony/lint_rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ceremony/load.h"
#include "templates/templates.h"
#include "yaml/keys.h"

void lint_tell(struct linter *l, const char *path, const char *rule, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    json_t *finding =
        json_pack("{s:s, s:I, s:s, s:s}", "file", l->name, "line",
                  (json_int_t)tbs_yaml_keys_line(l->lines, path), "rule", rule, "text", text);
    if (!finding || json_array_append_new(l->findings, finding) != 0)
        l->no_memory = true;
}

void lint_tell_step(struct linter *l, const char *key, const char *rule, const char *fmt, ...)
{
    char path[80], text[360];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    snprintf(path, sizeof path, "steps.%u%s%s", l->step, key ? "." : "", key ? key : "");
    lint_tell(l, path, rule, "step %s: %s", l->script->steps[l->step].id, text);
}

/* --- What the script declares --- */

static void check_names(struct linter *l)
{
    const struct script *s = l->script;
    char path[80];
    if (!load_is_id(s->ceremony))
        lint_tell(l, "ceremony", "name", "the ceremony's name must be letters, digits and '-'");
    if (!script_find_role(s, s->operator_role))
        lint_tell(l, "operator", "unknown-role", "the operator's role %s is not in roles",
                  s->operator_role);
    for (unsigned i = 0; i < s->tokens_count; i++) {
        snprintf(path, sizeof path, "tokens.%u", i);
        if (!load_is_id(s->tokens[i]) || script_find_token(s, s->tokens[i]) != (int)i)
            lint_tell(l, path, "name", "the name of token %s must be letters and digits, and once",
                      s->tokens[i]);
    }
    for (unsigned i = 0; i < s->roles_count; i++) {
        snprintf(path, sizeof path, "roles.%u", i);
        if (!load_is_id(s->roles[i].id) || script_find_role(s, s->roles[i].id) != &s->roles[i])
            lint_tell(l, path, "name", "the name of role %s must be letters and digits, and once",
                      s->roles[i].id);
        if (s->roles[i].people == 0 || s->roles[i].people > 16)
            lint_tell(l, path, "people", "role %s must be held by 1 to 16 people", s->roles[i].id);
        for (unsigned j = 0; j < s->roles[i].not_with_count; j++)
            if (!script_find_role(s, s->roles[i].not_with[j]))
                lint_tell(l, path, "unknown-role", "role %s must not go with %s, which is no role",
                          s->roles[i].id, s->roles[i].not_with[j]);
    }
}

static void check_quorum(struct linter *l)
{
    const struct script_quorum *q = &l->script->quorum;
    if (!q->role)
        return;
    const struct script_role *role = script_find_role(l->script, q->role);
    if (!role) {
        lint_tell(l, "quorum.role", "unknown-role", "the quorum's role %s is not in roles",
                  q->role);
        return;
    }
    if (q->need == 0 || q->need > q->people || q->people > role->people)
        lint_tell(l, "quorum", "quorum-impossible",
                  "%u of %u is no quorum of role %s, which %u hold", q->need, q->people, q->role,
                  role->people);
    else if (q->need == 1 && !script_waives(l->script, "quorum-one", "quorum"))
        lint_tell(l, "quorum.need", "quorum-one",
                  "one person alone is enough; that needs a waiver of the rule quorum-one");
    else if (q->need == q->people && q->need > 1 &&
             !script_waives(l->script, "quorum-all", "quorum"))
        lint_tell(l, "quorum.need", "quorum-all",
                  "one absent person is too many; that needs a waiver of the rule quorum-all");
}

/* Whoever waives a quorum signs for it, and not on a list of their own. */
static bool signs_record(const struct script *script, const char *role)
{
    for (unsigned i = 0; i < script->steps_count; i++)
        for (unsigned j = 0; j < script->steps[i].sign_count; j++)
            if (strcmp(script->steps[i].action, "checkpoint") == 0 &&
                strcmp(script->steps[i].sign[j], role) == 0)
                return true;
    return false;
}

static void check_waivers(struct linter *l)
{
    for (unsigned i = 0; i < l->script->waivers_count; i++) {
        const struct script_waiver *w = &l->script->waivers[i];
        char path[80];
        snprintf(path, sizeof path, "waivers.%u", i);
        if (strcmp(w->of, "quorum") != 0 && !script_find_key(l->script, w->of) &&
            script_find_token(l->script, w->of) < 0)
            lint_tell(l, path, "waiver", "the waiver of %s is of %s, which is no key and no token",
                      w->rule, w->of);
        if ((strcmp(w->of, "quorum") == 0 || strcmp(w->rule, "R8") == 0) &&
            !signs_record(l->script, w->by))
            lint_tell(l, path, "waiver",
                      "the waiver of %s must be by a role that signs the record in a checkpoint, "
                      "and %s is none",
                      w->rule, w->by);
    }
}

/* --- Tokens in TPMs --- */

static bool is_for_pkcs11(const struct linter *l, const struct script_step *step)
{
    const struct script_key *key = step->key ? script_find_key(l->script, step->key) : NULL;
    const struct key_template *template;
    return key && template_find(key->template, &template, NULL) == TBS_OK &&
           !template_is_of_tpm(template);
}

static void check_tpms(struct linter *l)
{
    for (l->step = 0; l->step < l->script->steps_count; l->step++) {
        const struct script_step *step = &l->script->steps[l->step];
        for (unsigned i = 0; i < step->on_count; i++) {
            if (!script_is_tpm(l->script, step->on[i]))
                continue;
            if (is_for_pkcs11(l, step))
                lint_tell_step(l, "key", "token-kind",
                               "key %s is of a template for PKCS#11 tokens, and token %s is in a "
                               "TPM, by its other keys",
                               step->key, step->on[i]);
            if (strcmp(step->action, "set-pin") == 0)
                lint_tell_step(l, "do", "token-kind",
                               "token %s is in a TPM, whose PIN is set when it is initialised, and "
                               "never after",
                               step->on[i]);
        }
    }
}

/* --- The site --- */

static unsigned holders(const struct site *site, const char *role)
{
    unsigned n = 0;
    for (unsigned i = 0; i < site->people_count; i++)
        n += strcmp(site->people[i].role, role) == 0;
    return n;
}

static bool holds(const struct site *site, const char *name, const char *role)
{
    for (unsigned i = 0; i < site->people_count; i++)
        if (strcmp(site->people[i].name, name) == 0 && strcmp(site->people[i].role, role) == 0)
            return true;
    return false;
}

static void check_person(struct linter *l, const struct site *site, unsigned i)
{
    const struct site_person *p = &site->people[i];
    const struct script_role *role = script_find_role(l->script, p->role);
    char path[80];
    snprintf(path, sizeof path, "people.%u", i);
    if (!role) {
        lint_tell(l, path, "unknown-role", "%s holds role %s, which the ceremony does not have",
                  p->name, p->role);
        return;
    }
    for (unsigned j = 0; j < role->not_with_count; j++)
        if (holds(site, p->name, role->not_with[j]))
            lint_tell(l, path, "role-conflict", "%s holds role %s and role %s; that must not be",
                      p->name, p->role, role->not_with[j]);
    for (unsigned j = 0; j < i; j++)
        if (strcmp(site->people[j].role, p->role) == 0 &&
            strcmp(site->people[j].name, p->name) == 0)
            lint_tell(l, path, "role-conflict", "%s stands here for role %s a second time", p->name,
                      p->role);
}

/* The templates of its keys say which kind it must be; one that gets none here may be of either. */
static void check_kinds(struct linter *l, const struct site *site)
{
    for (unsigned i = 0; i < site->tokens_count; i++) {
        const struct site_token *t = &site->tokens[i];
        bool tpm = script_is_tpm(l->script, t->name);
        if ((tpm && t->module) || (!tpm && t->tpm && script_has_keys(l->script, t->name)))
            lint_tell(l, "tokens", "token-kind",
                      "the ceremony's keys of token %s are for a %s, and here it is a %s", t->name,
                      tpm ? "TPM" : "PKCS#11 token", tpm ? "PKCS#11 token" : "TPM");
    }
}

/* Whoever types at the token cannot type a PIN that nobody knows. */
static void check_pin_pads(struct linter *l, const struct site *site)
{
    for (unsigned i = 0; i < l->script->steps_count; i++) {
        const struct script_step *step = &l->script->steps[i];
        const struct site_token *token =
            step->shares && step->on_count ? site_find_token(site, step->on[0]) : NULL;
        if (token && token->pin_pad)
            lint_tell(l, "tokens", "pin-pad",
                      "step %s splits the PINs of token %s, which takes PINs at its own pad only",
                      step->id, token->name);
    }
}

static void check_site(struct linter *l, const struct site_file *file)
{
    const struct site *site = file->site;
    l->name = file->name;
    l->lines = file->lines;
    for (unsigned i = 0; i < l->script->tokens_count; i++)
        if (!site_find_token(site, l->script->tokens[i]))
            lint_tell(l, "tokens", "unmet-token", "the ceremony's token %s is not here",
                      l->script->tokens[i]);
    for (unsigned i = 0; i < l->script->roles_count; i++)
        if (holders(site, l->script->roles[i].id) > l->script->roles[i].people)
            lint_tell(l, "people", "people", "more people hold role %s than the ceremony's %u",
                      l->script->roles[i].id, l->script->roles[i].people);
    for (unsigned i = 0; i < site->people_count; i++)
        check_person(l, site, i);
    check_kinds(l, site);
    check_pin_pads(l, site);
    for (unsigned i = 0; i < l->script->roles_count; i++) {
        unsigned need = lint_most_present(l->script, l->script->roles[i].id);
        if (holders(site, l->script->roles[i].id) < need)
            lint_tell(l, "people", "unmet-role", "role %s is held by %u here, and a step needs %u",
                      l->script->roles[i].id, holders(site, l->script->roles[i].id), need);
    }
}

enum tbs_err lint(const struct script_file *file, const struct site_file *site,
                  json_t **ret_findings, struct tbs_diag *diag)
{
    struct linter l = {.script = file->script,
                       .lines = file->lines,
                       .name = file->name,
                       .findings = json_array(),
                       .facts = json_object()};
    if (l.findings && l.facts) {
        check_names(&l);
        check_quorum(&l);
        check_waivers(&l);
        lint_keys(&l);
        lint_steps(&l);
        check_tpms(&l);
        if (site)
            check_site(&l, site);
    }
    bool no_memory = l.no_memory || !l.findings || !l.facts;
    json_decref(l.facts);
    if (no_memory) {
        json_decref(l.findings);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory while examining %.200s", file->name);
    }
    *ret_findings = l.findings;
    return TBS_OK;
}
