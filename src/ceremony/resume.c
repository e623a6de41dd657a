/* Going on, or cleaning up, after a crash, a power cut, or a stop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ceremony/internal.h"

/* Where the journal ends. */
struct place {
    const json_t *open;    /* its first line */
    const json_t *state;   /* after the last step that ended; not owned */
    json_t *pins;          /* {token: what may hold its PINs}, where that has changed since */
    unsigned done;         /* steps that ended */
    const char *began;     /* the step that began and did not end; NULL: none */
    const char *call, *on; /* the last call announced in it, and its token */
    bool answered;         /* that call's answer is known */
    bool closed;
};

static const char *text_of(const json_t *line, const char *key)
{
    return json_string_value(json_object_get(line, key));
}

static void follow(struct place *p, const json_t *line)
{
    const char *at = text_of(line, "at");
    if (json_object_get(line, "state")) {
        p->state = json_object_get(line, "state");
        json_object_clear(p->pins);
    }
    if (strcmp(at, "step-begin") == 0) {
        p->began = text_of(line, "step");
        p->call = NULL;
    } else if (strcmp(at, "step-end") == 0) {
        p->began = NULL;
        p->done++;
    } else if (strcmp(at, "before") == 0) {
        p->call = text_of(line, "call");
        p->on = text_of(line, "token");
        p->answered = false;
    } else if (strcmp(at, "after") == 0) {
        p->answered = true;
    } else if (strcmp(at, "pins") == 0) {
        json_object_set(p->pins, text_of(line, "token"), json_object_get(line, "shares"));
    } else if (strcmp(at, "close") == 0) {
        p->closed = true;
    }
}

static enum tbs_err find_place(const json_t *lines, struct place *p, struct tbs_diag *diag)
{
    size_t i;
    const json_t *line;
    p->open = json_array_get(lines, 0);
    if (!p->open || strcmp(text_of(p->open, "at"), "open") != 0 ||
        !json_is_object(json_object_get(p->open, "state")))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the journal does not begin with its opening");
    json_array_foreach(lines, i, line) follow(p, line);
    return p->closed ? tbs_fail(diag, TBS_ERR_DENIED, "this ceremony is closed") : TBS_OK;
}

static enum tbs_err compare(const json_t *open, const char *key, const char *now, const char *what,
                            struct tbs_diag *diag)
{
    const char *then = text_of(open, key);
    if (then && strcmp(then, now) == 0)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_DENIED,
                    "%s is not the one that the ceremony began with (SHA-256 %.16s..., then "
                    "%.16s...); nothing was done",
                    what, now, then ? then : "unknown");
}

static enum tbs_err check_hashes(struct run *run, const struct place *p, struct tbs_diag *diag)
{
    TRY(compare(p->open, "script", run->script->sha256, "ceremony.yaml", diag));
    TRY(compare(p->open, "site", run->site->sha256, "site.yaml", diag));
    TRY(compare(p->open, "tool", run->tool, "this program", diag));
    if (p->done + (p->began != NULL) > run->script->script->steps_count)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the journal has more steps than the script");
    return TBS_OK;
}

/* --- What is on the tokens --- */

/* Elements of `all` that `some` does not have, each as often as it is more. */
static json_t *beyond(const json_t *all, const json_t *some)
{
    json_t *rest = json_deep_copy(some), *more = json_array();
    size_t i, j;
    json_t *object, *other;
    json_array_foreach(all, i, object)
    {
        json_array_foreach(rest, j, other)
        {
            if (json_equal(object, other))
                break;
        }
        if (j < json_array_size(rest))
            json_array_remove(rest, j);
        else
            json_array_append(more, object);
    }
    json_decref(rest);
    return more;
}

static bool step_is_on(const struct script_step *step, const char *token)
{
    for (unsigned i = 0; step && i < step->on_count; i++)
        if (strcmp(step->on[i], token) == 0)
            return true;
    return false;
}

/* What the step at hand may have done to a token is what its class says; all else must be as it
 * was. */
static enum tbs_err judge(const struct run *run, const struct run_token *token,
                          const json_t *objects, const json_t *then, json_t **ret_new,
                          struct tbs_diag *diag)
{
    const struct script_step *step = step_is_on(run->step, token->name) ? run->step : NULL;
    json_t *new = beyond(objects, then), *gone = beyond(then, objects);
    enum tbs_err err = TBS_OK;
    if (json_array_size(new) > 0 && (!step || step->class != STEP_CREATE))
        err = tbs_fail(diag, TBS_ERR_DENIED,
                       "token %s has %zu objects that no step made; find out what they are before "
                       "you go on",
                       token->name, json_array_size(new));
    else if (json_array_size(gone) > 0 && (!step || step->class != STEP_DESTROY))
        err = tbs_fail(diag, TBS_ERR_DENIED,
                       "token %s has lost %zu objects that were there at the last step's end",
                       token->name, json_array_size(gone));
    json_decref(gone);
    if (err == TBS_OK)
        *ret_new = new;
    else
        json_decref(new);
    return err;
}

static enum tbs_err clean(struct run *run, struct run_token *token, const json_t *new,
                          struct tbs_diag *diag)
{
    if (json_array_size(new) == 0)
        return TBS_OK;
    TRY(token_destroy(run, token, new, diag));
    console_say(run->console, "Token %s: %zu objects that the step had made are destroyed.",
                token->name, json_array_size(new));
    return record(
        run, "abort",
        json_pack("{s:s, s:s, s:O}", "step", run->step->id, "token", token->name, "destroyed", new),
        diag);
}

/* Which PIN such a step has left is not known; it is set anew. */
static bool sets_pin(const struct script_step *step, const char *token)
{
    return step_is_on(step, token) &&
           (strcmp(step->action, "initialise") == 0 || strcmp(step->action, "set-pin") == 0);
}

static enum tbs_err check_tokens(struct run *run, struct tbs_diag *diag)
{
    const json_t *inventory = json_object_get(run->state, "inventory");
    for (size_t i = 0; i < run->n_tokens; i++) {
        struct run_token *token = &run->tokens[i];
        const json_t *then = json_object_get(inventory, token->name);
        json_t *objects = NULL, *new = NULL;
        if (!then || sets_pin(run->step, token->name))
            continue;
        TRY(token_objects(run, token, &objects, diag));
        enum tbs_err err = judge(run, token, objects, then, &new, diag);
        json_decref(objects);
        if (err == TBS_OK)
            err = clean(run, token, new, diag);
        json_decref(new);
        TRY(err);
    }
    return TBS_OK;
}

/* --- Going on --- */

/* A token has the PINs that a step gave it, whether the step has ended or not. */
static enum tbs_err take_state(struct run *run, const struct place *p, struct tbs_diag *diag)
{
    run->state = json_deep_copy(p->state);
    json_t *shares = json_object_get(run->state, "shares");
    if (run->state && !shares) {
        shares = json_object();
        json_object_set_new(run->state, "shares", shares);
    }
    return shares && json_object_update(shares, p->pins) == 0 ? TBS_OK : run_no_memory(diag);
}

static enum tbs_err tell(struct run *run, const struct place *p, struct tbs_diag *diag)
{
    if (p->began)
        console_say(run->console,
                    "Step %s had begun and did not end%s%s%s. What it made is destroyed, and it "
                    "begins anew.",
                    p->began, p->call ? "; the last call was " : "", p->call ? p->call : "",
                    p->call ? (p->answered ? ", which was answered" : ", whose answer is unknown")
                            : "");
    return record(run, "resume",
                  json_pack("{s:s?, s:s?, s:s?, s:b}", "step", p->began, "call", p->call, "token",
                            p->call ? p->on : NULL, "answered", p->call && p->answered),
                  diag);
}

static enum tbs_err return_to(struct run *run, const char *folder, bool automatic, struct place *p,
                              json_t **lines, struct tbs_diag *diag)
{
    char path[RUN_PATH];
    TRY(run_load(run, folder, diag));
    run_path(run, "journal.jsonl", path);
    TRY(journal_reopen(path, &run->journal, lines, diag));
    TRY(find_place(*lines, p, diag));
    run->rehearsal = json_is_true(json_object_get(p->open, "rehearsal"));
    TRY(check_hashes(run, p, diag));
    TRY(take_state(run, p, diag));
    TRY(record_reopen(run, diag));
    TRY(run_enter(run, automatic, diag));
    run->redo = p->began != NULL;
    if (p->began)
        run->step = &run->script->script->steps[p->done];
    TRY(tell(run, p, diag));
    TRY(check_tokens(run, diag));
    return journal_put(run->journal, "resume", json_object(), diag);
}

enum tbs_err run_resume(const char *folder, bool automatic, enum run_end *ret_end,
                        struct tbs_diag *diag)
{
    struct run *run = calloc(1, sizeof *run);
    struct place place = {.pins = json_object()};
    json_t *lines = NULL;
    if (!run || !place.pins) {
        free(run);
        json_decref(place.pins);
        return run_no_memory(diag);
    }
    enum tbs_err err = return_to(run, folder, automatic, &place, &lines, diag);
    if (err == TBS_OK)
        err = run_steps(run, place.done, ret_end, diag);
    json_decref(place.pins);
    json_decref(lines);
    run_free(run);
    return err;
}

static enum tbs_err close_aborted(struct run *run, const struct place *p, struct tbs_diag *diag)
{
    TRY(record(run, "abort", json_pack("{s:s?, s:i}", "step", p->began, "steps_done", (int)p->done),
               diag));
    TRY(run_close(run, "aborted", diag));
    console_heading(run->console, "The ceremony is aborted and closed");
    return TBS_OK;
}

enum tbs_err run_abort(const char *folder, bool automatic, enum run_end *ret_end,
                       struct tbs_diag *diag)
{
    struct run *run = calloc(1, sizeof *run);
    struct place place = {.pins = json_object()};
    json_t *lines = NULL;
    if (!run || !place.pins) {
        free(run);
        json_decref(place.pins);
        return run_no_memory(diag);
    }
    enum tbs_err err = return_to(run, folder, automatic, &place, &lines, diag);
    if (err == TBS_OK)
        err = close_aborted(run, &place, diag);
    if (err == TBS_OK)
        *ret_end = RUN_ABORTED;
    json_decref(place.pins);
    json_decref(lines);
    run_free(run);
    return err;
}
