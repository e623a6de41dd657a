/* The course of a verification; the rest of verify_*.c has the rules. */
#include "evidence/verify_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/secret.h"

#define DAY 86400

/* --- For all rules --- */

const char *verify_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

void verify_set(struct verifier *v, json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        v->no_memory = true;
}

static void add(struct verifier *v, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        v->no_memory = true;
}

void verify_tell(struct verifier *v, const char *rule, size_t line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    json_t *text = json_vsprintf(fmt, args);
    va_end(args);
    add(v, v->findings,
        json_pack("{s:s, s:I, s:s, s:o}", "ceremony", verify_text(v->report, "ceremony"), "line",
                  (json_int_t)line, "rule", rule, "text", text));
}

void verify_remark(struct verifier *v, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    json_t *text = json_vsprintf(fmt, args);
    va_end(args);
    add(v, json_object_get(v->report, "remarks"), text);
}

void verify_warn(struct verifier *v, const char *fmt, ...)
{
    size_t i;
    json_t *said;
    va_list args;
    va_start(args, fmt);
    json_t *text = json_vsprintf(fmt, args);
    va_end(args);
    json_array_foreach(v->warnings, i, said)
    {
        if (json_equal(said, text)) {
            json_decref(text);
            return;
        }
    }
    add(v, v->warnings, text);
}

bool verify_waived(struct verifier *v, const char *rule, const char *key, const char *token)
{
    size_t i;
    json_t *waiver;
    json_array_foreach(v->waivers, i, waiver)
    {
        const char *of = verify_text(waiver, "of");
        if (strcmp(verify_text(waiver, "rule"), rule) == 0 &&
            (strcmp(of, key) == 0 || strcmp(of, token) == 0))
            return true;
    }
    return false;
}

const json_t *verify_find(const json_t *array, const char *id)
{
    size_t i;
    json_t *element;
    json_array_foreach(array, i, element)
    {
        if (strcmp(verify_text(element, "id"), id) == 0)
            return element;
    }
    return NULL;
}

bool verify_path(struct verifier *v, const char *name, char ret_path[PATH_MAX])
{
    int n = snprintf(ret_path, PATH_MAX, "%s/%s", v->folder, name);
    if (n < PATH_MAX && !strstr(name, ".."))
        return true;
    verify_tell(v, "file", v->line, "a file cannot be called %.100s", name);
    return false;
}

/* --- One ceremony --- */

static void begin(struct verifier *v, const struct verify_folder *folder)
{
    v->folder = folder->path;
    v->script = folder->script;
    v->rehearsal = v->closed = v->aborted = v->resumed = false;
    v->steps_done = v->line = 0;
    v->step = NULL;
    v->new_set = NULL;
    v->lines = json_array();
    v->hashes = json_array();
    v->people = json_array();
    v->waivers = json_array();
    v->step_signed = json_object();
    v->step_seen = json_object();
    v->files = json_object();
    v->last_signed = json_object();
    v->report = json_pack("{s:s, s:s, s:[], s:[], s:O}", "ceremony",
                          verify_text(folder->script, "ceremony"), "folder", folder->path, "signed",
                          "remarks", "people", v->people);
    add(v, v->reports, json_incref(v->report));
    v->no_memory |= !v->lines || !v->hashes || !v->waivers || !v->step_signed || !v->step_seen ||
                    !v->files || !v->last_signed;
}

static void end(struct verifier *v)
{
    json_t **all[] = {&v->lines,     &v->hashes, &v->people,      &v->waivers, &v->step_signed,
                      &v->step_seen, &v->files,  &v->last_signed, &v->report};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        json_decref(*all[i]);
        *all[i] = NULL;
    }
}

static void take_head(struct verifier *v)
{
    const json_t *last = json_array_get(v->lines, json_array_size(v->lines) - 1);
    snprintf(v->head, sizeof v->head, "%s",
             json_string_value(json_array_get(v->hashes, json_array_size(v->hashes) - 1)));
    verify_set(v, v->report, "head", json_string(v->head));
    verify_set(v, v->report, "began",
               json_string(verify_text(json_array_get(v->lines, 0), "time")));
    verify_set(v, v->report, "ended", json_string(verify_text(last, "time")));
    if (v->closed && !v->aborted &&
        strcmp(verify_text(v->script, "ceremony"), "disaster-recovery-drill") == 0)
        snprintf(v->drill, sizeof v->drill, "%s", verify_text(last, "time"));
}

static enum tbs_err one(struct verifier *v, const struct verify_folder *folder)
{
    begin(v, folder);
    enum tbs_err err = v->no_memory ? TBS_ERR_NOMEM : verify_read_keys(v);
    if (err == TBS_OK)
        err = verify_read_record(v);
    if (err == TBS_OK && json_array_size(v->lines) > 0) {
        verify_lines(v);
        verify_steps_end(v);
        verify_files_end(v);
        if (!v->aborted)
            verify_tpm_end(v);
        verify_wrapping_keys_end(v);
        take_head(v);
    }
    return err;
}

/* --- What is asked of the last one --- */

static void check_signers(struct verifier *v)
{
    for (size_t i = 0; i < v->options->n_signers; i++) {
        struct signed_signers signer = {0};
        struct tbs_buf pem TBS_BUF_AUTO = tbs_buf();
        const char *file = v->options->signers[i];
        if (file_read(file, &pem, v->diag) != TBS_OK ||
            signed_signers_add(&signer, tbs_buf_view(&pem), file, v->diag) != TBS_OK) {
            verify_tell(v, "signer", 0, "%.200s is no public key that can have signed", file);
            continue;
        }
        if (!json_object_get(v->last_signed, signer.signers[0].key))
            verify_tell(v, "signer", 0, "the key in %.200s has not signed the whole record", file);
        signed_signers_free(&signer);
    }
}

static void check_drill(struct verifier *v)
{
    struct tm tm = {0};
    if (v->options->drill_days == 0)
        return;
    if (!v->drill[0] || !strptime(v->drill, "%Y-%m-%dT%H:%M:%SZ", &tm))
        verify_tell(v, "drill", 0, "there is no drill for the loss of a site in these folders");
    else if (timegm(&tm) + (time_t)v->options->drill_days * DAY < v->options->now)
        verify_tell(v, "drill", 0,
                    "the last drill for the loss of a site is stale: it was at %s, more than %u "
                    "days ago",
                    v->drill, v->options->drill_days);
}

static void check_last(struct verifier *v)
{
    const char *script = verify_text(json_array_get(v->lines, 0), "script_sha256");
    if (v->options->script_sha256 && strcmp(script, v->options->script_sha256) != 0)
        verify_tell(v, "script", 1,
                    "another script was performed: its SHA-256 is %.64s, and not the expected %s",
                    script, v->options->script_sha256);
    if (v->options->head && strcmp(v->head, v->options->head) != 0)
        verify_tell(v, "head", 0,
                    "the record ends with %s, and not with the head that was written down, %s",
                    v->head, v->options->head);
    check_signers(v);
    check_drill(v);
}

/* --- The opinion --- */

static json_t *holders(const struct verifier *v, const char *id)
{
    json_t *tokens = json_array(), *objects;
    const char *token, *object;
    json_object_foreach(v->objects, token, objects)
    {
        json_t *value;
        json_object_foreach(objects, object, value)
        {
            const char *name = strchr(object, ' ');
            if (name && strcmp(name + 1, id) == 0 && strncmp(object, "CKO_PUBLIC", 10) != 0) {
                json_array_append_new(tokens, json_string(token));
                break;
            }
        }
    }
    return tokens;
}

static json_t *list_keys(const struct verifier *v)
{
    json_t *list = json_array(), *key;
    const char *id;
    json_object_foreach(v->keys, id, key)
    {
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "id", id, "role",
                                              verify_text(key, "role"), "template",
                                              verify_text(key, "template"), "method",
                                              verify_text(key, "method"), "value",
                                              verify_text(key, "value"), "tokens", holders(v, id)));
    }
    return list;
}

static void free_all(struct verifier *v)
{
    end(v);
    for (size_t i = 0; i < v->n_public; i++) {
        struct signed_signers one_key = {.n = 1, .signers = {*v->public_keys[i]}};
        signed_signers_free(&one_key);
        free(v->public_keys[i]);
    }
    json_t *all[] = {v->findings, v->reports,     v->warnings,       v->keys,
                     v->objects,  v->keys_before, v->objects_before, v->shares,
                     v->tpms,     v->tpm_serials, v->tpm_names,      v->certified};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_decref(all[i]);
}

enum tbs_err verify_ceremonies(const struct verify_folder *folders, size_t n,
                               const struct verify_options *options, json_t **ret_opinion,
                               struct tbs_diag *diag)
{
    struct verifier v = {.options = options,
                         .diag = diag,
                         .findings = json_array(),
                         .reports = json_array(),
                         .warnings = json_array(),
                         .keys = json_object(),
                         .objects = json_object(),
                         .shares = json_object(),
                         .tpms = json_object(),
                         .tpm_serials = json_object(),
                         .tpm_names = json_object(),
                         .certified = json_object()};
    enum tbs_err err = n > 0 ? TBS_OK : tbs_fail(diag, TBS_ERR_INVALID, "there is no ceremony");
    for (size_t i = 0; err == TBS_OK && i < n; i++) {
        end(&v);
        err = one(&v, &folders[i]);
    }
    if (err == TBS_OK && json_array_size(v.lines) > 0)
        check_last(&v);
    json_t *opinion = err != TBS_OK || v.no_memory
                          ? NULL
                          : json_pack("{s:s, s:b, s:O, s:O, s:O, s:o}", "verdict",
                                      json_array_size(v.findings) == 0 ? "verified" : "refused",
                                      "rehearsal", v.rehearsal, "warnings", v.warnings, "findings",
                                      v.findings, "ceremonies", v.reports, "keys", list_keys(&v));
    free_all(&v);
    if (opinion)
        *ret_opinion = opinion;
    return opinion || (err != TBS_OK && err != TBS_ERR_NOMEM)
               ? err
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory verifying a ceremony");
}
