/* tbs-admin audit: reads the audit trail; and the lines that tbs-admin adds to it. */
#include "tools/tbs-admin/audit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/verify.h"
#include "base/file.h"
#include "tools/audit_trail.h"

/* --- Lines of our own --- */

static json_t *list_of(int n, char **words)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(list, audit_text(tbs_bytes_str(words[i])));
    return list;
}

enum tbs_err admin_audit_begin(struct admin *a, const struct admin_command *c, int n, char **words,
                               struct tbs_diag *diag)
{
    enum tbs_err err = admin_config(a, diag);
    struct audit_stats stats;
    json_t *fields;

    if (!err)
        err = audit_trail_open(&a->config->audit, NULL, &a->audit, diag);
    if (err || !a->audit)
        return err;
    fields = json_pack("{s:o,s:o,s:I}", "command", json_sprintf("%s %s", c->noun, c->verb), "words",
                       list_of(n, words), "uid", (json_int_t)getuid());
    if (admin_options.psk_id)
        json_object_set_new(fields, "psk", audit_text(tbs_bytes_str(admin_options.psk_id)));
    if (admin_options.from)
        json_object_set_new(fields, "from", audit_text(tbs_bytes_str(admin_options.from)));
    if (admin_options.until)
        json_object_set_new(fields, "until", audit_text(tbs_bytes_str(admin_options.until)));
    err = audit_write(a->audit, "administration", fields, diag);
    audit_stats(a->audit, &stats);
    a->audit_line = stats.seq;
    return err;
}

enum tbs_err admin_audit_end(struct admin *a, enum tbs_err err, struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    json_t *fields;

    if (!a->audit)
        return err;
    fields = json_pack("{s:I,s:s}", "of", (json_int_t)a->audit_line, "outcome",
                       err ? tbs_err_name(err) : "done");
    if (err)
        json_object_set_new(fields, "reason", audit_text(tbs_bytes_str(diag->text)));
    if (audit_write(a->audit, "administration-ended", fields, &why) == TBS_OK || err)
        return err;
    return tbs_fail(diag, why.code, "done, but how it ended is not in the audit trail: %.200s",
                    why.text);
}

enum tbs_err admin_audit_key(struct audit *audit, const char *id, struct tbs_diag *diag)
{
    return audit ? audit_write(audit, "key-generated", json_pack("{s:s}", "key", id), diag)
                 : TBS_OK;
}

enum tbs_err admin_audit_rewrap(struct audit *audit, const char *kek, size_t moved, size_t left,
                                struct tbs_diag *diag)
{
    return audit ? audit_write(audit, "keys-rewrapped",
                               json_pack("{s:s,s:I,s:I}", "key", kek, "moved", (json_int_t)moved,
                                         "left", (json_int_t)left),
                               diag)
                 : TBS_OK;
}

/* --- audit public-key --- */

static enum tbs_err print_key(const struct custody_key *key, struct tbs_diag *diag)
{
    struct tbs_buf spki TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = custody_public_key(key, &spki, diag);

    if (err)
        return err;
    printf("# %s\n", key->id);
    fflush(stdout);
    return PEM_write(stdout, PEM_STRING_PUBLIC, "", spki.data, (long)spki.len) > 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_IO, "standard output did not take the key");
}

/* The newest first: programs that read one key take that. */
static enum tbs_err public_key(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = admin_custody(a, diag);
    size_t n_keys, found = 0;

    (void)n, (void)words;
    if (err)
        return err;
    const struct custody_key *keys = custody_keys(a->custody, &n_keys);

    for (size_t i = n_keys; !err && i-- > 0;)
        if (keys[i].role == CUSTODY_ROLE_AUDIT) {
            err = print_key(&keys[i], diag);
            found++;
        }
    if (!err && found == 0)
        err = tbs_fail(diag, TBS_ERR_NOT_FOUND,
                       "the token holds no audit key: let a ceremony make one");
    return err;
}

/* --- audit verify --- */

static const struct {
    const char *name;
    int status;
} verdicts[] = {
    [AUDIT_WHOLE] = {"whole", EXIT_OK}, [AUDIT_BROKEN] = {"broken", 4},
    [AUDIT_FORGED] = {"forged", 5},     [AUDIT_UNFINISHED] = {"unfinished", 6},
    [AUDIT_UNSIGNED] = {"unsigned", 7},
};

static void print_json(const struct audit_report *r, bool with_keys)
{
    json_t *o =
        json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:b}", "verdict", verdicts[r->verdict].name,
                  "reason", r->sentence, "lines", (json_int_t)r->lines, "first",
                  (json_int_t)r->first_seq, "last", (json_int_t)r->last_seq, "checkpoints",
                  (json_int_t)r->checkpoints, "signed", (json_int_t)r->signed_seq, "unsigned",
                  (json_int_t)r->unsigned_lines, "signatures_verified", with_keys);

    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(o);
}

static void print_text(const struct audit_report *r, bool with_keys)
{
    printf("%s", verdicts[r->verdict].name);
    if (r->sentence[0])
        printf(": %s", r->sentence);
    printf("\n%llu lines, %llu to %llu; %llu checkpoints, their signatures %s.\n",
           (unsigned long long)r->lines, (unsigned long long)r->first_seq,
           (unsigned long long)r->last_seq, (unsigned long long)r->checkpoints,
           with_keys ? "verified" : "not verified: there is no --public-key");
    if (r->checkpoints > 0)
        printf("The last one covers line %llu and all before it.\n",
               (unsigned long long)r->signed_seq);
    printf("%llu lines are not signed.\n", (unsigned long long)r->unsigned_lines);
}

static enum tbs_err verify(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct tbs_buf pem TBS_BUF_AUTO = tbs_buf();
    struct audit_report report;
    const char *file = admin_options.public_key;
    enum tbs_err err = file ? file_read(file, &pem, diag) : TBS_OK;

    if (!err && file && pem.len == 0)
        err = tbs_fail(diag, TBS_ERR_INVALID, "%.200s is empty", file);
    if (!err)
        err = audit_verify(words, (size_t)n, tbs_buf_view(&pem), &report, diag);
    if (err)
        return err;
    if (a->json)
        print_json(&report, file != NULL);
    else
        print_text(&report, file != NULL);
    a->status = verdicts[report.verdict].status;
    return TBS_OK;
}

const struct admin_command admin_audit_commands[] = {
    {"audit", "verify", "FILE... [--public-key FILE]", 1, 64, verify,
     "whether an audit trail is whole and signed, its files from the oldest to the newest; needs "
     "no token"},
    {"audit", "public-key", "", 0, 0, public_key,
     "the public keys that the trail is signed with, in PEM, the newest first"},
    {0},
};
