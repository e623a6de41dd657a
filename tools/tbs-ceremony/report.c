/* report: what a ceremony's record says, as a document to sign. It does not judge:
 * tbs-ceremony-verify does. */
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/secret.h"
#include "ceremony/script.h"
#include "tools/tbs-ceremony/ceremony.h"
#include "tools/tbs-ceremony/paper.h"
#include "tools/tbs-ceremony/report.h"

#define TEXT_MAX 700
#define RECORD_MAX (64u << 20)

/* --- One line of the record --- */

static void put_token(struct paper *paper, const json_t *line)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof text, "%.64s: %.64s, serial %.64s, firmware %.16s, module %.200s",
             report_text(line, "token"), report_text(line, "model"),
             report_text(line, "serial")[0] ? report_text(line, "serial") : "none yet",
             report_text(line, "firmware"), report_text(line, "module"));
    paper_fact(paper, "Token", text);
}

static void put_attack(struct paper *paper, const json_t *line)
{
    char text[TEXT_MAX];
    size_t i, refused = 0;
    json_t *attempt;
    const json_t *attempts = json_object_get(line, "attempts");
    json_array_foreach(attempts, i, attempt)
    {
        refused += json_is_true(json_object_get(attempt, "refused"));
    }
    snprintf(text, sizeof text, "%zu of %zu attempts on %.64s were refused", refused,
             json_array_size(attempts), report_text(line, "id"));
    paper_fact(paper, "Attacks", text);
}

/* "name of token": value, for what needs no more. */
static void put_short(struct paper *paper, const json_t *line)
{
    static const struct {
        const char *type, *label, *first, *second;
    } shorts[] = {{"clock", "Clock", "said", "source"},
                  {"bag", "Bag", "what", "value"},
                  {"medium", "Medium", "what", "value"},
                  {"keygen", "Key made", "id", "token"},
                  {"attr", "Attributes", "id", "verdict"},
                  {"kcv", "Check value", "id", "value"},
                  {"wrap", "Wrapped", "id", "to"},
                  {"unwrap", "Unwrapped", "id", "token"},
                  {"destroy", "Destroyed", "id", "token"},
                  {"checkpoint", "Signed by", "by", "key"},
                  {"registry", "Registry", "sha256", ""},
                  {"share-commit", "Shares of token", "token", ""},
                  {"share-verify", "Share typed by", "by", "commitment"},
                  {"share-rebuild", "PIN rebuilt", "token", ""}};
    char text[TEXT_MAX];
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++)
        if (report_is(line, shorts[i].type)) {
            const char *second = report_text(line, shorts[i].second);
            snprintf(text, sizeof text, "%.200s%s%.200s", report_text(line, shorts[i].first),
                     second[0] ? ": " : "", second);
            paper_fact(paper, shorts[i].label, text);
        }
}

static void put_inventory(struct paper *paper, const json_t *line)
{
    char text[TEXT_MAX];
    size_t i, len;
    json_t *object;
    const json_t *objects = json_object_get(line, "objects");
    len =
        (size_t)snprintf(text, sizeof text, "%.64s holds %zu objects:", report_text(line, "token"),
                         json_array_size(objects));
    json_array_foreach(objects, i, object)
    {
        if (len < sizeof text)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s %.64s", i ? "," : "",
                                    report_text(object, "id"));
    }
    paper_fact(paper, "Inventory", text);
}

static void put_odd(struct paper *paper, const json_t *line)
{
    char text[TEXT_MAX];
    if (report_is(line, "exception"))
        snprintf(text, sizeof text, "Exception: %.300s. %.60s decided: %.60s",
                 report_text(line, "text"), report_text(line, "by"), report_text(line, "decision"));
    else if (report_is(line, "waiver"))
        snprintf(text, sizeof text, "Waiver of %.60s for %.64s, by %.60s: %.300s",
                 report_text(line, "rule"), report_text(line, "of"), report_text(line, "by"),
                 report_text(line, "reason"));
    else
        snprintf(text, sizeof text, "%s at step %.64s",
                 report_is(line, "resume") ? "Interrupted, and resumed" : "Cleaned up or aborted",
                 report_text(line, "step"));
    paper_warning(paper, text);
}

static void put_line(struct paper *paper, const json_t *line)
{
    if (report_is(line, "step") && strcmp(report_text(line, "phase"), "begin") == 0) {
        paper_step(paper, report_text(line, "id"), report_text(line, "title"));
        paper_fact(paper, "Time", report_text(line, "time"));
    } else if (report_is(line, "token-info")) {
        put_token(paper, line);
    } else if (report_is(line, "attack")) {
        put_attack(paper, line);
    } else if (report_is(line, "inventory")) {
        put_inventory(paper, line);
    } else if (report_is(line, "exception") || report_is(line, "waiver") ||
               report_is(line, "resume") || report_is(line, "abort")) {
        put_odd(paper, line);
    } else {
        put_short(paper, line);
    }
}

/* --- The document --- */

static void put_people(struct paper *paper, const json_t *lines)
{
    size_t i;
    json_t *line;
    paper_heading(paper, "Who took part");
    paper_row(paper, true, (const char *[]){"role", "name", "signed in", "public key, SHA-256"}, 4);
    json_array_foreach(lines, i, line)
    {
        if (report_is(line, "role-signin"))
            paper_row(paper, false,
                      (const char *[]){report_text(line, "role"), report_text(line, "name"),
                                       report_text(line, "time"),
                                       report_text(line, "key")[0] ? report_text(line, "key")
                                                                   : "on paper"},
                      4);
    }
}

static void put_signatures(struct paper *paper, const json_t *lines)
{
    size_t i;
    json_t *line;
    paper_heading(paper, "Signatures");
    paper_text(paper, "I was there, and this record says what I saw.");
    json_array_foreach(lines, i, line)
    {
        char who[TEXT_MAX];
        snprintf(who, sizeof who, "%.60s (%.60s)", report_text(line, "name"),
                 report_text(line, "role"));
        if (report_is(line, "role-signin"))
            paper_sign(paper, who);
    }
}

static void put_record(struct paper *paper, const json_t *lines, const char *head)
{
    size_t i;
    json_t *line;
    const json_t *open = json_array_get(lines, 0);
    paper_fact(paper, "Began", report_text(open, "time"));
    paper_fact(paper, "Ended",
               report_text(json_array_get(lines, json_array_size(lines) - 1), "time"));
    paper_words(paper, "Script", report_text(open, "script_sha256"));
    paper_words(paper, "Program", report_text(open, "tool_sha256"));
    paper_words(paper, "Last line of the record", head);
    put_people(paper, lines);
    report_devices(paper, lines);
    report_keys(paper, lines);
    paper_heading(paper, "What was done");
    json_array_foreach(lines, i, line) put_line(paper, line);
    put_signatures(paper, lines);
}

static enum tbs_err read_lines(const char *folder, json_t **ret_lines,
                               char head[SCRIPT_HEX_LEN + 1], struct tbs_diag *diag)
{
    char path[PATH_MAX];
    uint8_t hash[SCRIPT_HASH_LEN];
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    text.limit = RECORD_MAX;
    snprintf(path, sizeof path, "%.3900s/transcript.jsonl", folder);
    enum tbs_err err = file_read(path, &text, diag);
    json_t *lines = json_array();
    const char *at = (const char *)text.data, *stop = at + text.len, *line_end;
    while (err == TBS_OK && at < stop) {
        line_end = memchr(at, '\n', (size_t)(stop - at));
        size_t len = (size_t)((line_end ? line_end : stop) - at);
        if (json_array_append_new(lines, json_loadb(at, len, JSON_REJECT_DUPLICATES, NULL)) != 0)
            err = tbs_fail(diag, TBS_ERR_CONFIG, "line %zu of %.200s is no line of a record",
                           json_array_size(lines) + 1, path);
        SHA256((const uint8_t *)at, len, hash);
        at += len + 1;
    }
    if (err == TBS_OK && json_array_size(lines) == 0)
        err = tbs_fail(diag, TBS_ERR_CONFIG, "%.200s is empty", path);
    if (err == TBS_OK) {
        tbs_hex(tbs_bytes(hash, sizeof hash), head);
        *ret_lines = lines;
    } else {
        json_decref(lines);
    }
    return err;
}

static enum tbs_err print_report(const struct options *options, int n, char **words, int *status,
                                 struct tbs_diag *diag)
{
    char head[SCRIPT_HEX_LEN + 1], title[TEXT_MAX];
    json_t *lines = NULL;
    (void)options, (void)n, (void)status;
    enum tbs_err err = read_lines(words[0], &lines, head, diag);
    if (err != TBS_OK)
        return err;
    const json_t *open = json_array_get(lines, 0);
    snprintf(title, sizeof title, "Record of the ceremony %.100s", report_text(open, "ceremony"));
    struct paper *paper = paper_new(title, json_is_true(json_object_get(open, "rehearsal")));
    if (paper) {
        put_record(paper, lines, head);
        err = paper_out(paper, words[1], diag);
    } else {
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a document");
    }
    paper_free(paper);
    json_decref(lines);
    return err;
}

const struct command report_command = {"report",
                                       "FOLDER FILE.PDF|FILE.HTML",
                                       2,
                                       2,
                                       print_report,
                                       "writes the record of a ceremony as a document to sign"};
