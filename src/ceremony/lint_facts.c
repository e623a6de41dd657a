/* Whether what a step needs is so by then, and what is so after it. */
#include <stdio.h>
#include <string.h>

#include "ceremony/lint_rules.h"
#include "ceremony/load.h"

static bool is_true(void *ctx, const char *fact)
{
    struct linter *l = ctx;
    if (!json_object_get(l->facts, fact))
        lint_tell_step(l, NULL, "order", "it needs '%s', which no step before it brings about",
                       fact);
    return true;
}

static bool make_true(void *ctx, const char *fact)
{
    struct linter *l = ctx;
    if (json_object_set_new(l->facts, fact, json_integer(l->step)) != 0)
        l->no_memory = true;
    return true;
}

static bool make_false(void *ctx, const char *fact)
{
    struct linter *l = ctx;
    json_object_del(l->facts, fact);
    return true;
}

static bool has(const struct linter *l, const char *key, const char *end)
{
    char fact[FACT_MAX];
    return snprintf(fact, sizeof fact, "%s.%s", key, end) < (int)sizeof fact &&
           json_object_get(l->facts, fact);
}

/* Of the registry's states the one that the key is in here. */
static const char *state_of(const struct linter *l, const char *key)
{
    static const char *const states[] = {"destroyed", "compromised", "deactivated", "active"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (has(l, key, states[i]))
            return states[i];
    return "pre-active";
}

static bool may_follow(const char *from, const char *to)
{
    static const char *const legal[][2] = {{"pre-active", "active"},
                                           {"active", "deactivated"},
                                           {"active", "compromised"},
                                           {"deactivated", "compromised"}};
    for (size_t i = 0; i < sizeof legal / sizeof *legal; i++)
        if (strcmp(legal[i][0], from) == 0 && strcmp(legal[i][1], to) == 0)
            return true;
    return false;
}

static bool has_role(const struct linter *l, const char *key, const char *role)
{
    const struct script_key *k = script_find_key(l->script, key);
    return k && strcmp(k->role, role) == 0;
}

/* A canary goes the same way first: what is wrong with the way then costs no key. */
static void check_canary(struct linter *l, const struct script_step *step)
{
    for (unsigned i = 0; i < step->to_count; i++) {
        bool proven = false;
        for (unsigned k = 0; k < l->script->keys_count; k++) {
            char end[SCRIPT_ID_MAX + 8];
            snprintf(end, sizeof end, "%s-%s", lint_is_escrow(l, step->to[i]) ? "from" : "on",
                     step->to[i]);
            if (strcmp(l->script->keys[k].role, "canary") == 0)
                proven |= has(l, l->script->keys[k].id, end);
        }
        char assumed[FACT_MAX];
        snprintf(assumed, sizeof assumed, "%s.canary-proven", step->to[i]);
        if (!proven && !json_object_get(l->facts, assumed))
            lint_tell_step(l, "to", "canary-first",
                           "no canary has arrived at %s yet; send one first", step->to[i]);
    }
}

/* Who wraps keys must be able to sign them. */
static void check_signer(struct linter *l, const struct script_step *step)
{
    char end[SCRIPT_ID_MAX + 8];
    bool there = false;
    for (unsigned i = 0; step->on_count > 0 && i < l->script->keys_count; i++) {
        snprintf(end, sizeof end, "on-%s", step->on[0]);
        there |=
            strcmp(l->script->keys[i].role, "ceremony") == 0 && has(l, l->script->keys[i].id, end);
    }
    if (!there)
        lint_tell_step(l, "do", "unsigned",
                       "no ceremony key is in the token by then, to sign the wrapped keys with");
}

/* The first step that logs in to a token whose PINs are in shares: later ones find them known. */
static void check_rebuild(struct linter *l, const struct script_step *step)
{
    const struct script_quorum *q = &l->script->quorum;
    unsigned there = lint_least_present(step, q->role);
    char fact[FACT_MAX];
    if (strcmp(step->action, "inspect") == 0 || strcmp(step->action, "check-shares") == 0)
        return;
    for (unsigned i = 0; i < step->on_count; i++) {
        snprintf(fact, sizeof fact, "%.64s.rebuilt", step->on[i]);
        if (!has(l, step->on[i], "shared") || json_object_get(l->facts, fact))
            continue;
        if (there < q->need || there == 0)
            lint_tell_step(
                l, "present", "quorum-unmet",
                "the PINs of token %s are in shares by then: %u of role %s must be there "
                "to rebuild them, and not %u",
                step->on[i], q->need, q->role ? q->role : "(none)", there);
        make_true(l, fact);
    }
}

static void check_custody(struct linter *l, const struct script_step *step,
                          const struct script_key *key)
{
    const char *action = step->action;
    bool escrow = false;
    for (unsigned i = 0; i < step->to_count; i++)
        escrow |= lint_is_escrow(l, step->to[i]);
    if (strcmp(action, "generate") == 0 && key->custody != CUSTODY_SITE_ONLY)
        lint_tell_step(l, "do", "custody", "key %s is %s: replicate makes such keys", key->id,
                       key_custody_name(key->custody));
    if (strcmp(action, "replicate") == 0 && key->custody == CUSTODY_SITE_ONLY)
        lint_tell_step(l, "do", "custody", "key %s is %s: generate makes such keys", key->id,
                       key_custody_name(key->custody));
    if (strcmp(action, "replicate") == 0 && key->custody == CUSTODY_ESCROWED && !escrow)
        lint_tell_step(l, "to", "custody", "key %s is escrowed, and goes to no escrow key",
                       key->id);
    if (strcmp(action, "replicate") == 0 && key->custody == CUSTODY_REPLICATED && escrow)
        lint_tell_step(l, "to", "custody", "key %s is replicated: only an escrowed key goes there",
                       key->id);
}

/* What is done with an escrow key, and by one. */
static void check_escrow(struct linter *l, const struct script_step *step)
{
    bool is = step->key && lint_is_escrow(l, step->key);
    bool checks = strcmp(step->action, "check-shares") == 0;
    bool makes = strcmp(step->action, "escrow") == 0 || strcmp(step->action, "reseal") == 0;
    if (is && !makes && !checks)
        lint_tell_step(l, "key", "wrong-key", "key %s is an escrow key, and in no token",
                       step->key);
    if (!is && step->key && (makes || checks))
        lint_tell_step(l, "key", "wrong-key", "key %s does not have the role escrow", step->key);
    if (step->from && !lint_is_escrow(l, step->from))
        lint_tell_step(l, "from", "wrong-key", "key %s does not have the role escrow", step->from);
    if (makes)
        check_signer(l, step);
    for (unsigned i = 0; checks && i < step->on_count; i++)
        action_facts("{on}.shared", step, is_true, l);
    if (checks && step->key)
        action_facts("{key}.escrow", step, is_true, l);
}

static void check_meaning(struct linter *l, const struct script_step *step)
{
    const struct script_key *key = step->key ? script_find_key(l->script, step->key) : NULL;
    const char *action = step->action;
    check_escrow(l, step);
    if (!key)
        return;
    check_custody(l, step, key);
    if (strcmp(action, "replicate") == 0)
        check_signer(l, step);
    if (strcmp(action, "replicate") == 0 && strcmp(key->role, "canary") != 0)
        check_canary(l, step);
    if ((strcmp(action, "checkpoint") == 0 || strcmp(action, "registry") == 0) &&
        !has_role(l, key->id, "ceremony"))
        lint_tell_step(l, "key", "wrong-key", "key %s does not have the role ceremony", key->id);
    const char *state = state_of(l, key->id);
    if (step->state && !may_follow(state, step->state))
        lint_tell_step(l, "state", "state", "key %s is %s by then; it cannot become %s", key->id,
                       state, step->state);
    if (strcmp(action, "destroy") == 0 && strcmp(state, "active") == 0)
        lint_tell_step(l, "key", "state",
                       "key %s is active; it must be deactivated or compromised first", key->id);
    bool makes = strcmp(action, "generate") == 0 || strcmp(action, "replicate") == 0 ||
                 strcmp(action, "escrow") == 0;
    if (makes && json_object_get(l->facts, key->id))
        lint_tell_step(l, "key", "twice", "key %s is made a second time", key->id);
    if (makes)
        make_true(l, key->id);
}

void lint_facts(struct linter *l, const struct action *action)
{
    const struct script_step *step = lint_step(l);
    for (size_t i = 0; i < 3 && action->before[i]; i++)
        action_facts(action->before[i], step, is_true, l);
    for (unsigned i = 0; i < step->required_count; i++)
        is_true(l, step->required[i]);
    check_meaning(l, step);
    check_rebuild(l, step);
    for (size_t i = 0; i < 3 && action->after[i]; i++)
        action_facts(action->after[i], step, make_true, l);
    /* A user's PIN that people set leaves that of the security officers in shares. */
    if (step->shares || strcmp(step->action, "initialise") == 0)
        for (size_t i = 0; i < 2; i++)
            action_facts(i ? "{on}.rebuilt" : "{on}.shared", step,
                         step->shares ? make_true : make_false, l);
    if (strcmp(step->action, "withdraw") == 0)
        action_facts("{key}.on-{on}", step, make_false, l);
    for (unsigned i = 0; i < step->ensures_count; i++)
        make_true(l, step->ensures[i]);
}
