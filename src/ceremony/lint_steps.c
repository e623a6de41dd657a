/* The steps in their order: who is there, and what they name. */
#include <string.h>

#include "ceremony/lint_rules.h"
#include "ceremony/load.h"

const struct script_step *lint_step(const struct linter *l)
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
    const struct script_step *step = lint_step(l);
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
    const char *action = lint_step(l)->action;
    if (need == NEED_NONE && n > 0)
        lint_tell_step(l, key, "not-taken", "%s takes no '%s'", action, key);
    if (need != NEED_NONE && n == 0)
        lint_tell_step(l, NULL, "missing", "%s needs '%s'", action, key);
    if (need == NEED_ONE && n > 1)
        lint_tell_step(l, key, "not-taken", "%s takes one token in '%s'", action, key);
}

bool lint_is_escrow(const struct linter *l, const char *key)
{
    const struct script_key *k = script_find_key(l->script, key);
    return k && strcmp(k->role, "escrow") == 0;
}

/* A key is sent to tokens, and to an escrow key. */
static void check_tokens(struct linter *l, const char *key, char **names, unsigned n)
{
    bool sends = strcmp(key, "to") == 0 && strcmp(lint_step(l)->action, "replicate") == 0;
    for (unsigned i = 0; i < n; i++) {
        if (script_find_token(l->script, names[i]) < 0 && !(sends && lint_is_escrow(l, names[i])))
            lint_tell_step(l, key, "unknown-token", "token %s is not in tokens", names[i]);
        for (unsigned j = 0; j < i; j++)
            if (strcmp(names[j], names[i]) == 0)
                lint_tell_step(l, key, "twice", "token %s stands in '%s' twice", names[i], key);
    }
}

static void check_given(struct linter *l, const char *key, bool taken, bool given)
{
    if (taken && !given)
        lint_tell_step(l, NULL, "missing", "%s needs '%s'", lint_step(l)->action, key);
    if (!taken && given)
        lint_tell_step(l, key, "not-taken", "%s takes no '%s'", lint_step(l)->action, key);
}

/* The people of a role who must be there. */
unsigned lint_least_present(const struct script_step *step, const char *role)
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
    unsigned there = lint_least_present(step, q->role);
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
    const struct script_step *step = lint_step(l);
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

static void check_step(struct linter *l)
{
    const struct script_step *step = lint_step(l);
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
    lint_facts(l, action);
}

void lint_steps(struct linter *l)
{
    for (unsigned i = 0; i < l->script->assumes_count; i++)
        if (json_object_set_new(l->facts, l->script->assumes[i], json_integer(-1)) != 0)
            l->no_memory = true;
    for (l->step = 0; l->step < l->script->steps_count; l->step++)
        check_step(l);
}
