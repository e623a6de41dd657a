#include "ceremony/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "ceremony/internal.h"
#include "ceremony/lint.h"

void run_path(const struct run *run, const char *name, char ret_path[RUN_PATH])
{
    snprintf(ret_path, RUN_PATH, "%s/%s", run->folder, name);
}

enum tbs_err run_no_memory(struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory in the ceremony");
}

/* --- The files --- */

static enum tbs_err find_folder(struct run *run, const char *folder, struct tbs_diag *diag)
{
    char path[PATH_MAX];
    if (!realpath(folder, path))
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "there is no folder %.200s: %s", folder,
                            strerror(errno));
    if (snprintf(run->folder, sizeof run->folder, "%s", path) >= (int)sizeof run->folder)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the path of the folder %.200s is too long", folder);
    return TBS_OK;
}

static enum tbs_err make_folders(struct run *run, const char *folder, struct tbs_diag *diag)
{
    static const char *const names[] = {"keys", "blobs"};
    char path[RUN_PATH];
    if (mkdir(folder, 0700) != 0)
        return tbs_fail_raw(diag, errno == EEXIST ? TBS_ERR_EXISTS : TBS_ERR_IO,
                            (unsigned long)errno, "cannot make the new folder %.180s: %s", folder,
                            strerror(errno));
    TRY(find_folder(run, folder, diag));
    for (size_t i = 0; i < 2; i++) {
        run_path(run, names[i], path);
        if (mkdir(path, 0700) != 0)
            return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make %.200s: %s",
                                path, strerror(errno));
    }
    return TBS_OK;
}

static enum tbs_err copy_into(const struct run *run, const char *from, const char *name,
                              struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    char path[RUN_PATH];
    TRY(file_read(from, &text, diag));
    run_path(run, name, path);
    return file_replace(path, 0600, tbs_buf_view(&text), diag);
}

static enum tbs_err put_script(const struct run *run, const struct run_options *options,
                               struct tbs_diag *diag)
{
    char path[RUN_PATH];
    if (options->script)
        return copy_into(run, options->script, "ceremony.yaml", diag);
    run_path(run, "ceremony.yaml", path);
    return file_replace(path, 0600, options->text, diag);
}

static enum tbs_err load_script(struct run *run, struct tbs_diag *diag)
{
    char path[RUN_PATH];
    run_path(run, "ceremony.yaml", path);
    return script_load(path, &run->script, diag);
}

static enum tbs_err load_site(struct run *run, struct tbs_diag *diag)
{
    char path[RUN_PATH];
    run_path(run, "site.yaml", path);
    return site_load(path, &run->site, diag);
}

static enum tbs_err hash_this_program(char ret_hex[SCRIPT_HEX_LEN + 1], struct tbs_diag *diag)
{
    uint8_t hash[FILE_HASH_LEN];
    enum tbs_err err = file_sha256("/proc/self/exe", hash, diag);
    if (err != TBS_OK)
        return err;
    tbs_hex(tbs_bytes(hash, sizeof hash), ret_hex);
    return TBS_OK;
}

/* --- Lint --- */

static enum tbs_err run_lint(const struct run *run, struct tbs_diag *diag)
{
    json_t *found = NULL;
    TRY(lint(run->script, run->site, &found, diag));
    const json_t *first = json_array_get(found, 0);
    enum tbs_err err = TBS_OK;
    if (first)
        err = tbs_fail(diag, TBS_ERR_CONFIG, "%.100s:%lld: %.180s",
                       json_string_value(json_object_get(first, "file")),
                       (long long)json_integer_value(json_object_get(first, "line")),
                       json_string_value(json_object_get(first, "text")));
    json_decref(found);
    return err;
}

/* --- Beginning --- */

static void take_tokens_and_people(struct run *run)
{
    const struct script *s = run->script->script;
    for (unsigned i = 0; i < s->tokens_count; i++)
        run->tokens[run->n_tokens++] = (struct run_token){
            .name = s->tokens[i], .site = site_find_token(run->site->site, s->tokens[i])};
    for (unsigned i = 0; i < run->site->site->people_count; i++)
        run->people[run->n_people++] = (struct run_person){.site = &run->site->site->people[i]};
}

enum tbs_err run_load(struct run *run, const char *folder, struct tbs_diag *diag)
{
    if (!run->folder[0])
        TRY(find_folder(run, folder, diag));
    if (!run->script)
        TRY(load_script(run, diag));
    TRY(load_site(run, diag));
    TRY(run_lint(run, diag));
    take_tokens_and_people(run);
    return hash_this_program(run->tool, diag);
}

/* What the ceremony before left behind goes on: tokens, keys, transport keys, registry. */
static enum tbs_err take_over(struct run *run, const char *after, struct tbs_diag *diag)
{
    char path[RUN_PATH];
    json_t *lines = NULL;
    struct journal *journal;
    snprintf(path, sizeof path, "%s/journal.jsonl", after);
    TRY(journal_reopen(path, &journal, &lines, diag));
    journal_close(journal);
    const json_t *last = json_array_get(lines, json_array_size(lines) - 1);
    const json_t *state = json_object_get(last, "state");
    const char *at = json_string_value(json_object_get(last, "at"));
    enum tbs_err err = TBS_OK;
    if (!at || strcmp(at, "close") != 0 || !state)
        err = tbs_fail(diag, TBS_ERR_DENIED, "the ceremony in %.200s is not closed", after);
    else if (!(run->state = json_deep_copy(state)))
        err = run_no_memory(diag);
    json_decref(lines);
    if (err != TBS_OK)
        return err;
    if ((json_object_get(run->state, "rehearsal") != NULL) != run->rehearsal)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "a rehearsal goes on after a rehearsal only, and a real one after a real "
                        "one");
    json_int_t sequence = json_integer_value(json_object_get(run->state, "registry"));
    if (sequence == 0)
        return TBS_OK;
    char name[64];
    snprintf(name, sizeof name, "registry-%lld.jsonl", (long long)sequence);
    snprintf(path, sizeof path, "%s/%s", after, name);
    return copy_into(run, path, name, diag);
}

static enum tbs_err first_state(struct run *run, const struct run_options *options,
                                struct tbs_diag *diag)
{
    char tokens[RUN_PATH];
    if (options->after)
        TRY(take_over(run, options->after, diag));
    else
        run->state =
            json_pack("{s:{}, s:{}, s:{}, s:{}}", "tokens", "keys", "transport", "inventory");
    if (!run->state)
        return run_no_memory(diag);
    if (run->rehearsal && options->after)
        return rehearsal_follow(run, options->site, diag);
    if (!run->rehearsal)
        return TBS_OK;
    TRY(rehearsal_tokens(run, options, tokens, diag));
    return json_object_set_new(run->state, "rehearsal", json_string(tokens)) == 0
               ? TBS_OK
               : run_no_memory(diag);
}

static enum tbs_err write_open(struct run *run, struct tbs_diag *diag)
{
    char path[RUN_PATH];
    run_path(run, "journal.jsonl", path);
    TRY(journal_create(path, &run->journal, diag));
    TRY(journal_put(run->journal, "open",
                    json_pack("{s:s, s:s, s:s, s:b, s:O}", "script", run->script->sha256, "site",
                              run->site->sha256, "tool", run->tool, "rehearsal", run->rehearsal,
                              "state", run->state),
                    diag));
    return record_open(run, diag);
}

/* So that no folder is made for a script that cannot be performed. */
static enum tbs_err try_script(struct run *run, const char *file, struct tbs_diag *diag)
{
    TRY(script_load(file, &run->script, diag));
    TRY(run_lint(run, diag));
    script_free(run->script);
    run->script = NULL;
    return TBS_OK;
}

static enum tbs_err prepare(struct run *run, const char *folder, const struct run_options *options,
                            struct tbs_diag *diag)
{
    run->rehearsal = options->rehearse;
    run->silent = options->silent;
    if (options->script)
        TRY(try_script(run, options->script, diag));
    TRY(make_folders(run, folder, diag));
    TRY(put_script(run, options, diag));
    TRY(load_script(run, diag));
    if (run->rehearsal)
        TRY(rehearsal_prepare(run, options, diag));
    if (options->site)
        TRY(copy_into(run, options->site, "site.yaml", diag));
    TRY(run_load(run, folder, diag));
    TRY(first_state(run, options, diag));
    return write_open(run, diag);
}

/* --- From step to step --- */

enum tbs_err run_enter(struct run *run, bool automatic, struct tbs_diag *diag)
{
    const char *tokens = json_string_value(json_object_get(run->state, "rehearsal"));
    if (automatic && !run->rehearsal)
        return tbs_fail(diag, TBS_ERR_INVALID, "--answers auto is for rehearsals only");
    TRY(console_open(automatic, run->silent, &run->console, diag));
    if (tokens)
        TRY(rehearsal_enter(tokens, diag));
    if (run->rehearsal)
        console_say(run->console, "REHEARSAL: the tokens and people are made for it, and no record "
                                  "of it passes for a real one.");
    return people_sign_in(run, diag);
}

enum tbs_err run_close(struct run *run, const char *how, struct tbs_diag *diag)
{
    TRY(record_close(run, diag));
    return journal_put(run->journal, "close",
                       json_pack("{s:s, s:O}", "how", how, "state", run->state), diag);
}

enum tbs_err run_steps(struct run *run, unsigned from, enum run_end *ret_end, struct tbs_diag *diag)
{
    for (unsigned i = from; i < run->script->script->steps_count; i++) {
        TRY(step_run(run, i, diag));
        if (run->stopped) {
            console_say(run->console, "Stopped. Go on with: tbs-ceremony resume %s", run->folder);
            *ret_end = RUN_STOPPED;
            return TBS_OK;
        }
    }
    run->step = NULL;
    TRY(run_close(run, "done", diag));
    console_heading(run->console, "The ceremony is closed");
    *ret_end = RUN_DONE;
    return TBS_OK;
}

void run_free(struct run *run)
{
    for (size_t i = 0; i < run->n_tokens; i++)
        token_close(&run->tokens[i]);
    people_leave(run);
    record_end(run);
    journal_close(run->journal);
    console_close(run->console);
    json_decref(run->state);
    script_free(run->script);
    site_free(run->site);
    free(run);
}

enum tbs_err run_new(const char *folder, const struct run_options *options, enum run_end *ret_end,
                     struct tbs_diag *diag)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return run_no_memory(diag);
    enum tbs_err err = prepare(run, folder, options, diag);
    if (err == TBS_OK)
        err = run_enter(run, options->automatic, diag);
    if (err == TBS_OK)
        err = run_steps(run, 0, ret_end, diag);
    run_free(run);
    return err;
}
