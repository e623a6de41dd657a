/* Who is in the room. */
#include <stdio.h>
#include <string.h>

#include "ceremony/internal.h"

/* --- Signing in --- */

static enum tbs_err open_key(struct run *run, struct run_person *person, struct tbs_diag *diag)
{
    const char *public = person->site->public;
    const struct signer_place place = {.key = person->site->key,
                                       .module = person->site->module,
                                       .publics = &public,
                                       .n_publics = public != NULL};
    if (signer_is_uri(place.key))
        console_say(run->console, "%s signs with a key in a token.", person->site->name);
    return signer_open(&place, &person->signer, diag);
}

static enum tbs_err ask_for(struct run *run, struct run_person *person, struct tbs_diag *diag)
{
    const struct script_role *role = script_find_role(run->script->script, person->site->role);
    char what[200], answer[CONSOLE_ANSWER_MAX + 1];
    snprintf(what, sizeof what, "%.60s (%.60s): your name, or 'absent'", role->title,
             person->site->name);
    for (;;) {
        TRY(console_ask(run->console, what, person->site->name, answer, diag));
        if (strcmp(answer, "absent") == 0)
            return TBS_OK;
        if (strcmp(answer, person->site->name) == 0)
            break;
        console_say(run->console, "The site names %s for this role.", person->site->name);
    }
    person->here = true;
    return person->site->key ? open_key(run, person, diag) : TBS_OK;
}

static enum tbs_err record_person(struct run *run, struct run_person *person, struct tbs_diag *diag)
{
    char hex[SCRIPT_HEX_LEN + 1] = "";
    struct tbs_bytes spki = tbs_buf_view(&person->signer.spki);
    if (spki.len > 0) {
        TRY(load_sha256(spki, hex, diag));
        TRY(record_public(run, person->site->name, spki, diag));
    }
    return record(run, "role-signin",
                  json_pack("{s:s, s:s, s:o}", "role", person->site->role, "name",
                            person->site->name, "key", hex[0] ? json_string(hex) : json_null()),
                  diag);
}

enum tbs_err people_sign_in(struct run *run, struct tbs_diag *diag)
{
    console_heading(run->console, "Who is here");
    for (size_t i = 0; i < run->n_people; i++) {
        TRY(ask_for(run, &run->people[i], diag));
        if (run->people[i].here)
            TRY(record_person(run, &run->people[i], diag));
    }
    return TBS_OK;
}

void people_leave(struct run *run)
{
    for (size_t i = 0; i < run->n_people; i++)
        signer_free(&run->people[i].signer);
}

/* --- Being there --- */

static unsigned here(const struct run *run, const char *role)
{
    unsigned n = 0;
    for (size_t i = 0; i < run->n_people; i++)
        n += run->people[i].here && strcmp(run->people[i].site->role, role) == 0;
    return n;
}

enum tbs_err people_check(const struct run *run, const struct script_step *step,
                          struct tbs_diag *diag)
{
    for (unsigned i = 0; i < step->present_count; i++) {
        char role[SCRIPT_ID_MAX + 1];
        unsigned least;
        if (!script_presence(step->present[i], role, &least) || here(run, role) >= least)
            continue;
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "step %s needs %u of role %s, and %u signed in; resume when they are here",
                        step->id, least, role, here(run, role));
    }
    return TBS_OK;
}

void people_names(const struct run *run, const char *role, char *ret_text, size_t size)
{
    size_t len = 0;
    ret_text[0] = 0;
    for (size_t i = 0; i < run->n_people; i++)
        if (run->people[i].here && strcmp(run->people[i].site->role, role) == 0 && len < size)
            len += (size_t)snprintf(ret_text + len, size - len, "%s%s", len ? ", " : "",
                                    run->people[i].site->name);
}

json_t *people_present(const struct run *run, const struct script_step *step)
{
    json_t *present = json_array();
    for (unsigned i = 0; present && i < step->present_count; i++) {
        char role[SCRIPT_ID_MAX + 1];
        unsigned least;
        if (!script_presence(step->present[i], role, &least))
            continue;
        for (unsigned n = here(run, role); n > 0; n--)
            json_array_append_new(present, json_string(role));
    }
    return present;
}

/* --- Confirming --- */

/* An exception is written down, and signed by who confirms if that one has a key. */
static enum tbs_err take_exception(struct run *run, const char *role, struct tbs_diag *diag)
{
    char text[CONSOLE_ANSWER_MAX + 1], by[CONSOLE_ANSWER_MAX + 1], go[CONSOLE_ANSWER_MAX + 1];
    TRY(console_ask(run->console, "What is not as it should be", "", text, diag));
    TRY(console_ask(run->console, "Who decides how to go on", "", by, diag));
    do
        TRY(console_ask(run->console, "Decision: continue or stop", "continue", go, diag));
    while (strcmp(go, "continue") != 0 && strcmp(go, "stop") != 0);
    TRY(record(run, "exception",
               json_pack("{s:s, s:s, s:s, s:s?}", "text", text, "by", by, "decision", go, "step",
                         run->step ? run->step->id : NULL),
               diag));
    run->stopped |= strcmp(go, "stop") == 0;
    char *roles[] = {(char *)role};
    return record_sign(run, roles, 1, diag);
}

enum tbs_err people_confirm(struct run *run, const char *role, struct tbs_diag *diag)
{
    enum console_answer answer;
    char names[120], who[160];
    people_names(run, role, names, sizeof names);
    snprintf(who, sizeof who, "%s (%s)", role, names);
    TRY(console_confirm(run->console, who, &answer, diag));
    if (answer == CONSOLE_STOP)
        run->stopped = true;
    return answer == CONSOLE_EXCEPTION ? take_exception(run, role, diag) : TBS_OK;
}
