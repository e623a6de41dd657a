/* The keys that a script declares. */
#include <stdio.h>
#include <string.h>

#include "ceremony/lint_rules.h"
#include "ceremony/load.h"
#include "templates/prover.h"

/* A role, and whether its keys may leave the token where they were made. What can be made anew
 * needs no copy. An escrow key was never in a token. */
static const struct {
    const char *name;
    bool has_period;
    enum { STAYS, MAY_LEAVE, OUTSIDE } place;
} key_roles[] = {{"tpk", true, MAY_LEAVE},     {"kek", true, MAY_LEAVE},  {"audit", true, STAYS},
                 {"ceremony", true, STAYS},    {"tls", true, STAYS},      {"envelope", true, STAYS},
                 {"canary", false, MAY_LEAVE}, {"escrow", false, OUTSIDE}};

#define PROTECT_DAYS_MAX 1095
#define PROCESS_DAYS_MAX 3650

static void check_period(struct linter *l, const char *path, const struct script_key *key,
                         bool has_period)
{
    if (!has_period)
        return;
    if (key->protect_days == 0 || key->protect_days > PROTECT_DAYS_MAX)
        lint_tell(l, path, "period", "key %s: protect_days must be 1 to %d", key->id,
                  PROTECT_DAYS_MAX);
    else if (key->process_days < key->protect_days || key->process_days > PROCESS_DAYS_MAX)
        lint_tell(l, path, "period", "key %s: process_days must be protect_days to %d", key->id,
                  PROCESS_DAYS_MAX);
}

static void check_role(struct linter *l, const char *path, const struct script_key *key)
{
    for (size_t i = 0; i < sizeof key_roles / sizeof *key_roles; i++)
        if (strcmp(key_roles[i].name, key->role) == 0) {
            if (key_roles[i].place == STAYS && key->custody != CUSTODY_SITE_ONLY)
                lint_tell(l, path, "custody", "key %s: keys of role %s are site-only", key->id,
                          key->role);
            if (key_roles[i].place == OUTSIDE && key->custody != CUSTODY_ESCROWED)
                lint_tell(l, path, "custody", "key %s: keys of role %s are escrowed", key->id,
                          key->role);
            check_period(l, path, key, key_roles[i].has_period);
            return;
        }
    lint_tell(l, path, "unknown-role", "key %s: there is no key role '%s'", key->id, key->role);
}

/* Somebody answers for its being in this computer's memory. */
static void check_escrow(struct linter *l, const char *path, const struct script_key *key)
{
    if (strcmp(key->role, "escrow") == 0 && !script_waives(l->script, "R8", key->id))
        lint_tell(l, path, "R8",
                  "key %s is made and opened in this computer's memory; that needs a waiver of the "
                  "rule R8",
                  key->id);
}

/* --- Templates --- */

static void check_template(struct linter *l, const char *path, const struct script_key *key)
{
    const struct key_template *template;
    size_t role = strlen(key->role);
    if (template_find(key->template, &template, NULL) != TBS_OK) {
        lint_tell(l, path, "unknown-template", "key %s: there is no template '%s'", key->id,
                  key->template);
        return;
    }
    if (strncmp(key->template, key->role, role) != 0 || key->template[role] != '-')
        lint_tell(l, path, "template-role", "key %s of role %s cannot be of template %s", key->id,
                  key->role, key->template);
    /* What is wrapped to tokens can be wrapped to an escrow key as well. */
    bool escrowed = key->custody == CUSTODY_ESCROWED && strcmp(template->custody, "site-only") != 0;
    if (!escrowed && strcmp(template->custody, key_custody_name(key->custody)) != 0)
        lint_tell(l, path, "custody", "key %s: template %s makes %s keys, not %s", key->id,
                  key->template, template->custody, key_custody_name(key->custody));
}

static void tell_leaks(struct linter *l, const json_t *verdict)
{
    size_t i;
    const json_t *leak;
    json_array_foreach(json_object_get(verdict, "leaks"), i, leak)
    {
        lint_tell(l, "keys", "prover", "with the user PIN and all wrapped keys, %s is known: %s",
                  json_string_value(json_object_get(leak, "key")),
                  json_string_value(json_object_get(leak, "how")));
    }
    json_array_foreach(json_object_get(verdict, "drift"), i, leak)
    {
        lint_tell(l, "keys", "prover", "with the user PIN, %s gets a second role",
                  json_string_value(leak));
    }
}

/* What can be forged does not matter: wrapped keys are signed, and none is unwrapped unverified. */
static void prove(struct linter *l)
{
    const struct key_template *templates[SCRIPT_KEYS_MAX];
    json_t *verdict = NULL;
    size_t n = 0;
    for (unsigned i = 0; i < l->script->keys_count; i++) {
        size_t k = 0;
        /* No call of a TPM's gives a key that its Name says stays: there is nothing to prove. */
        if (template_find(l->script->keys[i].template, &templates[n], NULL) != TBS_OK ||
            template_is_of_tpm(templates[n]))
            continue;
        while (k < n && templates[k] != templates[n])
            k++;
        n += k == n;
    }
    struct tbs_diag diag = {0};
    if (n > 0 && prover_prove_templates(templates, n, &verdict, &diag) != TBS_OK)
        lint_tell(l, "keys", "prover", "these templates cannot be proven: %s", diag.text);
    tell_leaks(l, verdict);
    json_decref(verdict);
}

static bool is_used(const struct script *script, const char *id)
{
    for (unsigned i = 0; i < script->steps_count; i++) {
        const struct script_step *step = &script->steps[i];
        if ((step->key && strcmp(step->key, id) == 0) ||
            (step->from && strcmp(step->from, id) == 0))
            return true;
    }
    return false;
}

void lint_keys(struct linter *l)
{
    for (unsigned i = 0; i < l->script->keys_count; i++) {
        const struct script_key *key = &l->script->keys[i];
        char path[40];
        snprintf(path, sizeof path, "keys.%u", i);
        if (!load_is_id(key->id) || script_find_key(l->script, key->id) != key)
            lint_tell(l, path, "name", "the id of key %s must be letters and digits, and once",
                      key->id);
        check_role(l, path, key);
        check_template(l, path, key);
        check_escrow(l, path, key);
        if (!is_used(l->script, key->id))
            lint_tell(l, path, "unused", "no step does anything with key %s", key->id);
    }
    prove(l);
}
