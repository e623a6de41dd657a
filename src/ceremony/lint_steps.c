/* The steps in their order: who is there, what they name, and whether what they need is so by
 * then. */
#include <string.h>

#include "ceremony/lint_rules.h"
#include "ceremony/load.h"

static const struct script_step *step_of(const struct linter *l)
{
    return &l->script->steps[l->step];
}

/* --- People --- */

unsigned lint_most_present(const struct script *script, const char *role)
{
    unsigned most = 0, least;
    char id[SCRIPT_ID_MAX + 1];
    for (unsigned i = 0; i < script->steps_count; i++)
        for (unsigned j = 0; j < script->steps[i].present_count; j++)
            if (script_presence(script->steps[i].present[j], id, &least) && strcmp(id, role) == 0 &&
                least > most)
                most = least;
    return most;
}

static bool is_present(const struct script_step *step, const char *role)
{
    char id[SCRIPT_ID_MAX + 1];
    unsigned least;
    for (unsigned i = 0; i < step->present_count; i++)
        if (script_presence(step->present[i], id, &least) && strcmp(id, role) == 0)
            return true;
    return false;
}

static unsigned check_presence(struct linter *l, const char *text)
{
    char id[SCRIPT_ID_MAX + 1];
    unsigned least = 0;
    if (!script_presence(text, id, &least)) {
        lint_tell_step(l, "present", "present", "write a role, or a role and a number as CO>=3");
        return 0;
    }
    const struct script_role *role = script_find_role(l->script, id);
    if (!role)
        lint_tell_step(l, "present", "unknown-role", "role %s is not in roles", id);
    else if (least > role->people)
        lint_tell_step(l, "present", "unmet-role", "%u of role %s must be there, and %u hold it",
                       least, id, role->people);
    return least;
}

static void check_people(struct linter *l)
{
    const struct script_step *step = step_of(l);
    unsigned people = 0;
    for (unsigned i = 0; i < step->present_count; i++)
        people += check_presence(l, step->present[i]);
    if (people < 2)
        lint_tell_step(l, "present", "alone", "nobody works alone: at least two people");
    if (!is_present(step, step->confirm))
        lint_tell_step(l, "confirm", "unmet-role", "role %s confirms, but is not present",
                       step->confirm);
    if (strcmp(step->confirm, l->script->operator_role) == 0)
        lint_tell_step(l, "confirm", "role-conflict",
                       "role %s operates, so it cannot be the one that confirms", step->confirm);
    for (unsigned i = 0; i < step->sign_count; i++)
        if (!is_present(step, step->sign[i]))
            lint_tell_step(l, "sign", "unmet-role", "role %s signs, but is not present",
                           step->sign[i]);
    const struct script_quorum *q = &l->script->quorum;
    unsigned least = 0;
    char id[SCRIPT_ID_MAX + 1];
    for (unsigned i = 0; q->role && i < step->present_count; i++)
        if (script_presence(step->present[i], id, &least) && strcmp(id, q->role) == 0 &&
            step->class != STEP_OBSERVE && least < q->need)
            lint_tell_step(l, "present", "quorum-unmet",
                           "%u of role %s must be there, fewer than the quorum of %u", least, id,
                           q->need);
}

/* --- What it names --- */

static void check_count(struct linter *l, const char *key, enum need need, unsigned n)
{
    const char *action = step_of(l)->action;
    if (need == NEED_NONE && n > 0)
        lint_tell_step(l, key, "not-taken", "%s takes no '%s'", action, key);
    if (need != NEED_NONE && n == 0)
        lint_tell_step(l, NULL, "missing", "%s needs '%s'", action, key);
    if (need == NEED_ONE && n > 1)
        lint_tell_step(l, key, "not-taken", "%s takes one token in '%s'", action, key);
}

static bool is_escrow(const struct linter *l, const char *key)
{
    const struct script_key *k = script_find_key(l->script, key);
    return k && strcmp(k->role, "escrow") == 0;
}

/* A key is sent to tokens, and to an escrow key. */
static void check_tokens(struct linter *l, const char *key, char **names, unsigned n)
{
    bool sends = strcmp(key, "to") == 0 && strcmp(step_of(l)->action, "replicate") == 0;
    for (unsigned i = 0; i < n; i++) {
        if (script_find_token(l->script, names[i]) < 0 && !(sends && is_escrow(l, names[i])))
            lint_tell_step(l, key, "unknown-token", "token %s is not in tokens", names[i]);
        for (unsigned j = 0; j < i; j++)
            if (strcmp(names[j], names[i]) == 0)
                lint_tell_step(l, key, "twice", "token %s stands in '%s' twice", names[i], key);
    }
}

static void check_given(struct linter *l, const char *key, bool taken, bool given)
{
    if (taken && !given)
        lint_tell_step(l, NULL, "missing", "%s needs '%s'", step_of(l)->action, key);
    if (!taken && given)
        lint_tell_step(l, key, "not-taken", "%s takes no '%s'", step_of(l)->action, key);
}

/* The people of a role who must be there. */
static unsigned least_present(const struct script_step *step, const char *role)
{
    unsigned there = 0, least;
    char id[SCRIPT_ID_MAX + 1];
    for (unsigned i = 0; role && i < step->present_count; i++)
        if (script_presence(step->present[i], id, &least) && strcmp(id, role) == 0)
            there = least;
    return there;
}

static void check_shares(struct linter *l, const struct script_step *step)
{
    const struct script_quorum *q = &l->script->quorum;
    unsigned there = least_present(step, q->role);
    bool splits =
        step->shares || strcmp(step->action, "escrow") == 0 || strcmp(step->action, "reseal") == 0;
    if (!splits && strcmp(step->action, "check-shares") != 0)
        return;
    if (!q->role)
        lint_tell_step(l, "shares", "missing", "shares are for a quorum, and the script has none");
    else if (splits && there < q->people)
        lint_tell_step(l, "present", "quorum-unmet",
                       "each of %u of role %s gets a share, but only %u must be there", q->people,
                       q->role, there);
    else if (there == 0)
        lint_tell_step(l, "present", "quorum-unmet", "nobody of role %s is there to show a share",
                       q->role);
    if (splits && q->need == 1 && q->people > 1)
        lint_tell_step(l, step->shares ? "shares" : "do", "quorum-one",
                       "shares of which one is enough would be copies of the %s",
                       step->shares ? "PINs" : "key");
}

static void check_abort(struct linter *l, const struct script_step *step)
{
    if (step->class == STEP_CREATE && step->abort != ABORT_DESTROY_NEW_OBJECTS)
        lint_tell_step(l, "abort", "abort", "a step that creates needs abort: destroy-new-objects");
    if ((step->class == STEP_IRREVERSIBLE || step->class == STEP_DESTROY) &&
        step->abort != ABORT_LEAVE)
        lint_tell_step(l, "abort", "abort", "nothing undoes this step: say abort: leave");
    if (step->class == STEP_OBSERVE && step->abort != ABORT_NOTHING)
        lint_tell_step(l, "abort", "abort", "a step that only observes has nothing to abort");
}

static void check_shape(struct linter *l, const struct action *action)
{
    const struct script_step *step = step_of(l);
    if (step->class != action->class)
        lint_tell_step(l, "class", "class", "%s is of class %s, not %s", action->name,
                       step_class_name(action->class), step_class_name(step->class));
    if (action->key_or_on && (step->key != NULL) + (step->on_count > 0) != 1)
        lint_tell_step(l, NULL, "missing", "%s needs 'on' or 'key', and not both", action->name);
    if (!action->key_or_on || step->on_count > 1)
        check_count(l, "on", action->on, step->on_count);
    check_count(l, "to", action->to, step->to_count);
    check_tokens(l, "on", step->on, step->on_count);
    check_tokens(l, "to", step->to, step->to_count);
    if (!action->key_or_on)
        check_given(l, "key", action->key, step->key != NULL);
    check_given(l, "from", action->from, step->from != NULL);
    check_given(l, "state", action->state, step->state != NULL);
    check_given(l, "type", action->type, step->type_count > 0);
    if (!action->shares && step->shares)
        lint_tell_step(l, "shares", "not-taken", "%s takes no 'shares'", action->name);
    check_shares(l, step);
    if (!action->sign && step->sign_count)
        lint_tell_step(l, "sign", "not-taken", "%s takes no 'sign'", action->name);
    if (step->key && !script_find_key(l->script, step->key))
        lint_tell_step(l, "key", "unknown-key", "key %s is not in keys", step->key);
    check_abort(l, step);
    for (unsigned i = 0; i < step->on_count; i++)
        for (unsigned j = 0; j < step->to_count; j++)
            if (strcmp(step->on[i], step->to[j]) == 0)
                lint_tell_step(l, "to", "itself", "token %s would send to itself", step->to[j]);
}

/* --- What is true --- */

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
            snprintf(end, sizeof end, "%s-%s", is_escrow(l, step->to[i]) ? "from" : "on",
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
    unsigned there = least_present(step, q->role);
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
        escrow |= is_escrow(l, step->to[i]);
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
    bool is = step->key && is_escrow(l, step->key);
    bool checks = strcmp(step->action, "check-shares") == 0;
    bool makes = strcmp(step->action, "escrow") == 0 || strcmp(step->action, "reseal") == 0;
    if (is && !makes && !checks)
        lint_tell_step(l, "key", "wrong-key", "key %s is an escrow key, and in no token",
                       step->key);
    if (!is && step->key && (makes || checks))
        lint_tell_step(l, "key", "wrong-key", "key %s does not have the role escrow", step->key);
    if (step->from && !is_escrow(l, step->from))
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

static void check_facts(struct linter *l, const struct action *action)
{
    const struct script_step *step = step_of(l);
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

static void check_step(struct linter *l)
{
    const struct script_step *step = step_of(l);
    const struct action *action = action_find(step->action);
    for (unsigned i = 0; i < l->step; i++)
        if (strcmp(l->script->steps[i].id, step->id) == 0)
            lint_tell_step(l, "id", "twice", "a step before has the same id");
    if (!load_is_id(step->id))
        lint_tell_step(l, "id", "name", "an id is letters, digits, '.', '-' and '_'");
    check_people(l);
    if (!action) {
        lint_tell_step(l, "do", "unknown-action", "there is nothing called '%s' to do",
                       step->action);
        return;
    }
    check_shape(l, action);
    check_facts(l, action);
}

void lint_steps(struct linter *l)
{
    for (unsigned i = 0; i < l->script->assumes_count; i++)
        if (json_object_set_new(l->facts, l->script->assumes[i], json_integer(-1)) != 0)
            l->no_memory = true;
    for (l->step = 0; l->step < l->script->steps_count; l->step++)
        check_step(l);
}
