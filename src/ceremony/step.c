/* One step: what is shown, asked, done, and written down. */
#include <stdio.h>
#include <string.h>

#include "ceremony/internal.h"

static const struct {
    const char *name;
    act *run;
} acts[] = {
    {"bags", act_bags},
    {"media", act_media},
    {"confirm", act_confirm},
    {"hashes", act_hashes},
    {"clock", act_clock},
    {"inspect", act_inspect},
    {"initialise", act_initialise},
    {"set-pin", act_set_pin},
    {"check-shares", act_check_shares},
    {"generate", act_generate},
    {"transport", act_transport},
    {"trust", act_trust},
    {"replicate", act_replicate},
    {"restore", act_restore},
    {"escrow", act_escrow},
    {"reseal", act_reseal},
    {"recover", act_recover},
    {"withdraw", act_withdraw},
    {"attack", act_attack},
    {"check", act_check},
    {"inventory", act_inventory},
    {"checkpoint", act_checkpoint},
    {"state", act_state},
    {"registry", act_registry},
    {"destroy", act_destroy},
    {"identify", act_identify},
    {"certify", act_certify},
    {"quote", act_quote},
};

/* --- Showing --- */

static void show_list(struct run *run, const char *label, char *const *names, unsigned n)
{
    char text[512] = "";
    size_t len = 0;
    for (unsigned i = 0; i < n && len < sizeof text; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? ", " : "", names[i]);
    if (n > 0)
        console_show(run->console, label, text);
}

static void show_key(struct run *run, const struct script_step *step)
{
    const struct script_key *key =
        step->key ? script_find_key(run->script->script, step->key) : NULL;
    char text[300];
    if (!key)
        return;
    snprintf(text, sizeof text, "%s (%s, template %s, custody %s)", key->id, key->role,
             key->template, key_custody_name(key->custody));
    console_show(run->console, "Key", text);
}

static void show_shares(struct run *run, const struct script_step *step)
{
    const struct script_quorum *q = &run->script->script->quorum;
    char text[160];
    bool escrow = strcmp(step->action, "escrow") == 0 || strcmp(step->action, "reseal") == 0;
    if (!step->shares && !escrow)
        return;
    snprintf(text, sizeof text, "one for each of the %u of role %.60s, of which %u rebuild %s",
             q->people, q->role, q->need, step->shares ? "both PINs" : "the share key");
    console_show(run->console, "Shares", text);
}

static void show(struct run *run, unsigned index, const struct action *action)
{
    static const char *const warnings[] = {[STEP_OBSERVE] = NULL,
                                           [STEP_CREATE] = NULL,
                                           [STEP_IRREVERSIBLE] = "This cannot be undone.",
                                           [STEP_DESTROY] = "This destroys, and cannot be undone."};
    const struct script_step *step = run->step;
    console_heading(run->console, "Step %s (%u of %u): %s", step->id, index + 1,
                    run->script->script->steps_count, step->title);
    console_show(run->console, "What happens", action->summary);
    show_list(run, "On", step->on, step->on_count);
    show_list(run, "To", step->to, step->to_count);
    console_show(run->console, "From", step->from);
    show_key(run, step);
    show_shares(run, step);
    console_show(run->console, "New state", step->state);
    show_list(run, "Present", step->present, step->present_count);
    console_show(run->console, "Say aloud", step->say);
    console_show(run->console, "Beware", warnings[step->class]);
}

/* --- Inventories --- */

enum tbs_err step_take_inventories(struct run *run, struct tbs_diag *diag)
{
    json_t *inventory = json_object_get(run->state, "inventory");
    for (size_t i = 0; i < run->n_tokens; i++) {
        json_t *objects = NULL;
        if (!run->tokens[i].touched)
            continue;
        TRY(token_objects(run, &run->tokens[i], &objects, diag));
        if (json_object_set_new(inventory, run->tokens[i].name, objects) != 0)
            return run_no_memory(diag);
    }
    return TBS_OK;
}

/* --- Doing --- */

static enum tbs_err begin(struct run *run, struct tbs_diag *diag)
{
    for (size_t i = 0; i < run->n_tokens; i++)
        run->tokens[i].touched = false;
    TRY(journal_put(run->journal, "step-begin", json_pack("{s:s}", "step", run->step->id), diag));
    return record(run, "step",
                  json_pack("{s:s, s:s, s:s, s:o}", "id", run->step->id, "title", run->step->title,
                            "phase", "begin", "present", people_present(run, run->step)),
                  diag);
}

static enum tbs_err end(struct run *run, struct tbs_diag *diag)
{
    TRY(step_take_inventories(run, diag));
    TRY(record(run, "step",
               json_pack("{s:s, s:s, s:s, s:o}", "id", run->step->id, "title", run->step->title,
                         "phase", "end", "present", people_present(run, run->step)),
               diag));
    return journal_put(run->journal, "step-end",
                       json_pack("{s:s, s:O}", "step", run->step->id, "state", run->state), diag);
}

static act *find_act(const char *name)
{
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].name, name) == 0)
            return acts[i].run;
    return NULL;
}

/* What is done needs a yes before, what was seen a yes after. */
enum tbs_err step_run(struct run *run, unsigned index, struct tbs_diag *diag)
{
    run->step = &run->script->script->steps[index];
    const struct action *action = action_find(run->step->action);
    act *act_of_step = find_act(run->step->action);
    if (!action || !act_of_step)
        return tbs_fail(diag, TBS_ERR_CONFIG, "step %s: there is nothing called '%s' to do",
                        run->step->id, run->step->action);
    show(run, index, action);
    TRY(people_check(run, run->step, diag));
    if (run->step->class != STEP_OBSERVE)
        TRY(people_confirm(run, run->script->script->operator_role, diag));
    if (run->stopped)
        return TBS_OK;
    TRY(begin(run, diag));
    TRY(act_of_step(run, diag));
    TRY(people_confirm(run, run->step->confirm, diag));
    run->redo = false;
    return run->stopped ? TBS_OK : end(run, diag);
}
