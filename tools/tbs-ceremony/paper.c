/* script: the ceremony as a document, before the day. */
#include "tools/tbs-ceremony/paper.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/secret.h"
#include "ceremony/action.h"
#include "evidence/words.h"
#include "tools/tbs-ceremony/ceremony.h"

#define TEXT_MAX 700
#define OUT_MAX (64u << 20)

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), n = strlen(end);
    return len > n && strcmp(name + len - n, end) == 0;
}

enum tbs_err paper_out(const struct paper *paper, const char *file, struct tbs_diag *diag)
{
    struct tbs_buf out TBS_BUF_AUTO = tbs_buf();
    out.limit = OUT_MAX;
    if (!ends_with(file, ".pdf") && !ends_with(file, ".html"))
        return tbs_fail(diag, TBS_ERR_INVALID, "%.200s ends neither with .pdf nor with .html",
                        file);
    enum tbs_err err =
        ends_with(file, ".pdf") ? paper_pdf(paper, &out, diag) : paper_html(paper, &out, diag);
    return err == TBS_OK ? file_write(file, tbs_buf_view(&out), diag) : err;
}

void paper_words(struct paper *paper, const char *label, const char *hex)
{
    uint8_t hash[SCRIPT_HASH_LEN];
    struct tbs_buf words TBS_BUF_AUTO = tbs_buf();
    if (!tbs_unhex(hex, hash, sizeof hash))
        return;
    words_put(&words, tbs_bytes(hash, sizeof hash));
    tbs_put_u8(&words, 0);
    paper_hash(paper, label, hex, words.failed ? "" : (const char *)words.data);
}

void paper_fact_list(struct paper *paper, const char *label, char *const *names, unsigned n)
{
    char text[TEXT_MAX] = "";
    size_t len = 0;
    for (unsigned i = 0; i < n && len < sizeof text; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? ", " : "", names[i]);
    paper_fact(paper, label, text);
}

/* --- Before the steps --- */

static void put_roles(struct paper *paper, const struct script *s)
{
    paper_heading(paper, "Who takes part");
    paper_row(paper, true, (const char *[]){"role", "who that is", "people", "may not also be"}, 4);
    for (unsigned i = 0; i < s->roles_count; i++) {
        char people[16], others[TEXT_MAX] = "";
        size_t len = 0;
        snprintf(people, sizeof people, "%u", s->roles[i].people);
        for (unsigned k = 0; k < s->roles[i].not_with_count && len < sizeof others; k++)
            len += (size_t)snprintf(others + len, sizeof others - len, "%s%s", k ? ", " : "",
                                    s->roles[i].not_with[k]);
        paper_row(paper, false, (const char *[]){s->roles[i].id, s->roles[i].title, people, others},
                  4);
    }
}

static void put_keys(struct paper *paper, const struct script *s)
{
    paper_heading(paper, "Keys");
    paper_row(paper, true, (const char *[]){"key", "role", "template", "custody"}, 4);
    for (unsigned i = 0; i < s->keys_count; i++)
        paper_row(paper, false,
                  (const char *[]){s->keys[i].id, s->keys[i].role, s->keys[i].template,
                                   key_custody_name(s->keys[i].custody)},
                  4);
    for (unsigned i = 0; i < s->waivers_count; i++) {
        char text[TEXT_MAX];
        snprintf(text, sizeof text, "Waived: %.60s for %.64s, by %.64s: %.400s", s->waivers[i].rule,
                 s->waivers[i].of, s->waivers[i].by, s->waivers[i].reason);
        paper_warning(paper, text);
    }
}

/* --- Steps --- */

static void put_step(struct paper *paper, const struct script_step *step)
{
    char text[TEXT_MAX];
    const struct action *action = action_find(step->action);
    paper_step(paper, step->id, step->title);
    paper_fact(paper, "What happens", action ? action->summary : step->action);
    paper_fact_list(paper, "On", step->on, step->on_count);
    paper_fact_list(paper, "To", step->to, step->to_count);
    paper_fact(paper, "Key", step->key);
    paper_fact(paper, "From", step->from);
    paper_fact(paper, "New state", step->state);
    if (step->shares)
        paper_fact(paper, "Shares", "both PINs are split; each custodian writes down one share");
    paper_fact_list(paper, "Present", step->present, step->present_count);
    paper_fact_list(paper, "Sign", step->sign, step->sign_count);
    paper_fact(paper, "Say aloud", step->say);
    if (step->class == STEP_IRREVERSIBLE || step->class == STEP_DESTROY)
        paper_warning(paper, step->class == STEP_DESTROY ? "This destroys, and cannot be undone."
                                                         : "This cannot be undone.");
    for (unsigned i = 0; i < step->type_count; i++)
        paper_blank(paper, step->type[i]);
    snprintf(text, sizeof text, "done and confirmed by %.60s", step->confirm);
    paper_box(paper, text);
    paper_blank(paper, "time (UTC), initials");
}

/* --- The document --- */

static void put_signatures(struct paper *paper, const struct script *s)
{
    paper_heading(paper, "Exceptions");
    for (int i = 1; i <= 4; i++)
        paper_blank(paper, "no., what, who decided, how");
    paper_heading(paper, "Signatures");
    paper_text(paper, "I was there, and this paper says what I saw.");
    for (unsigned i = 0; i < s->roles_count; i++)
        for (unsigned k = 0; k < s->roles[i].people; k++)
            paper_sign(paper, s->roles[i].title);
}

static enum tbs_err print_script(const struct options *options, int n, char **words, int *status,
                                 struct tbs_diag *diag)
{
    struct script_file *file;
    (void)options, (void)n, (void)status;
    enum tbs_err err = script_load(words[0], &file, diag);
    if (err != TBS_OK)
        return err;
    struct paper *paper = paper_new(file->script->title, false);
    if (paper) {
        paper_fact(paper, "Ceremony", file->script->ceremony);
        paper_words(paper, "SHA-256 of ceremony.yaml", file->sha256);
        paper_blank(paper, "place and date");
        put_roles(paper, file->script);
        put_keys(paper, file->script);
        paper_heading(paper, "Steps");
        for (unsigned i = 0; i < file->script->steps_count; i++)
            put_step(paper, &file->script->steps[i]);
        put_signatures(paper, file->script);
        err = paper_out(paper, words[1], diag);
    } else {
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a document");
    }
    paper_free(paper);
    script_free(file);
    return err;
}

const struct command script_command = {
    "script",
    "CEREMONY.YAML FILE.PDF|FILE.HTML",
    2,
    2,
    print_script,
    "writes the ceremony as a document to tick, fill in and sign"};
