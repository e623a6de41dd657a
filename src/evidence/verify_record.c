/* The chain of lines, and what each says. */
#include "evidence/verify_internal.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/secret.h"
#include "templates/templates.h"

#define RECORD_MAX (64u << 20) /* octets */

/* --- The chain --- */

static bool is_canonical(const json_t *object, struct tbs_bytes line)
{
    char *again = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    bool same = again && tbs_bytes_equal(tbs_bytes_str(again), line);
    free(again);
    return same;
}

/* Whether a later line says that it is this one. */
static bool is_further_on(struct tbs_bytes rest, size_t line)
{
    char seq[40];
    size_t len = (size_t)snprintf(seq, sizeof seq, "\"seq\":%zu,", line);
    return rest.len > 0 && memmem(rest.data, rest.len, seq, len);
}

static bool bad_chain(struct verifier *v, json_t *object, json_int_t seq, const char *prev,
                      struct tbs_bytes rest)
{
    size_t line = v->line;
    if (!object)
        verify_tell(v, "chain", line, "line %zu is no line of a record, written as it must be",
                    line);
    else if (seq > (json_int_t)line && is_further_on(rest, line))
        verify_tell(v, "chain", line, "lines were swapped: line %lld stands before line %zu",
                    (long long)seq, line);
    else if (seq > (json_int_t)line)
        verify_tell(v, "chain", line, "line %zu is missing: line %lld stands in its place", line,
                    (long long)seq);
    else if (seq < (json_int_t)line)
        verify_tell(v, "chain", line,
                    "line %lld stands where line %zu must be: a line was put in or moved",
                    (long long)seq, line);
    else if (line == 1)
        verify_tell(v, "chain", line, "line 1 follows another line, which is not there");
    else
        verify_tell(v, "chain", line,
                    "line %zu was changed: its hash is not %.64s, which line %zu says it is",
                    line - 1, prev, line);
    return false;
}

static bool take_line(struct verifier *v, struct tbs_bytes line, struct tbs_bytes rest,
                      char head[TRANSCRIPT_HEX_LEN + 1])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    json_int_t seq = 0;
    const char *prev = "", *type, *time;
    json_t *object = line.len <= TRANSCRIPT_LINE_MAX ? json_loadb((const char *)line.data, line.len,
                                                                  JSON_REJECT_DUPLICATES, NULL)
                                                     : NULL;
    if (object && (!is_canonical(object, line) ||
                   json_unpack(object, "{s:I, s:s, s:s, s:s}", "seq", &seq, "prev", &prev, "type",
                               &type, "time", &time) != 0)) {
        json_decref(object);
        object = NULL;
    }
    v->line++;
    if (!object || seq != (json_int_t)v->line || strcmp(prev, head) != 0) {
        bad_chain(v, object, seq, prev, rest);
        json_decref(object);
        return false;
    }
    SHA256(line.data, line.len, hash);
    tbs_hex(tbs_bytes(hash, sizeof hash), head);
    v->no_memory |= json_array_append_new(v->lines, object) != 0 ||
                    json_array_append_new(v->hashes, json_string(head)) != 0;
    return true;
}

enum tbs_err verify_read_record(struct verifier *v)
{
    char path[PATH_MAX], head[TRANSCRIPT_HEX_LEN + 1];
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    text.limit = RECORD_MAX;
    memset(head, '0', TRANSCRIPT_HEX_LEN);
    head[TRANSCRIPT_HEX_LEN] = 0;
    if (!verify_path(v, "transcript.jsonl", path))
        return tbs_fail(v->diag, TBS_ERR_LIMIT, "the name of a folder is too long");
    enum tbs_err err = file_read(path, &text, v->diag);
    const uint8_t *at = text.data, *stop = at ? at + text.len : at, *line_end = NULL;
    bool good = err == TBS_OK;
    while (good && at < stop && (line_end = memchr(at, '\n', (size_t)(stop - at)))) {
        good = take_line(v, tbs_bytes(at, (size_t)(line_end - at)),
                         tbs_bytes(line_end + 1, (size_t)(stop - line_end - 1)), head);
        at = line_end + 1;
    }
    if (good && (at < stop || text.len == 0))
        verify_tell(v, "chain", v->line + 1, "the record breaks off in line %zu", v->line + 1);
    if (err == TBS_OK && (!good || at < stop)) {
        json_array_clear(v->lines);
        json_array_clear(v->hashes);
    }
    return err;
}

/* --- Secrets --- */

/* Names whose values a record has no business with. Attributes that only say how a key is kept
 * have other names. */
static bool looks_secret(const char *name)
{
    static const char *const names[] = {
        "pin",    "so_pin",   "user_pin",    "password",    "passphrase",           "secret",
        "share",  "mnemonic", "seed",        "words",       "private_key",          "key_value",
        "prime1", "wrapped",  "CKA_VALUE",   "CKA_PRIME_1", "CKA_PRIVATE_EXPONENT", "plaintext",
        "prime2", "puk",      "CKA_PRIME_2", "CKA_SEED"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static void find_secrets(struct verifier *v, const json_t *value)
{
    size_t i;
    const char *name;
    json_t *part;
    if (json_is_string(value) && strstr(json_string_value(value), "PRIVATE KEY-----"))
        verify_tell(v, "secret", v->line, "line %zu holds a private key", v->line);
    json_array_foreach(value, i, part) find_secrets(v, part);
    json_object_foreach((json_t *)value, name, part)
    {
        if (looks_secret(name))
            verify_tell(v, "secret", v->line,
                        "line %zu has a field called %s, which looks like a secret; no record may "
                        "hold one",
                        v->line, name);
        find_secrets(v, part);
    }
}

/* --- The lines --- */

static void take_open(struct verifier *v, const json_t *line)
{
    const char *parent = json_string_value(json_object_get(line, "parent"));
    const char *hashes[] = {"script_sha256", "site_sha256", "tool_sha256"};
    if (v->line != 1) {
        verify_tell(v, "open", v->line, "line %zu opens the record a second time", v->line);
        return;
    }
    v->rehearsal = json_is_true(json_object_get(line, "rehearsal"));
    for (size_t i = 0; i < 3; i++)
        verify_set(v, v->report, hashes[i], json_string(verify_text(line, hashes[i])));
    if (v->rehearsal && !v->options->rehearsal)
        verify_tell(v, "rehearsal", 1, "this is a rehearsal, and no production ceremony");
    if (!v->rehearsal && v->options->rehearsal)
        verify_tell(v, "rehearsal", 1, "this is no rehearsal");
    if (strcmp(verify_text(line, "ceremony"), verify_text(v->script, "ceremony")) != 0)
        verify_tell(v, "script", 1, "the record is of ceremony %.64s, and the script of %.64s",
                    verify_text(line, "ceremony"), verify_text(v->script, "ceremony"));
    verify_file_hash(v, "ceremony.yaml", "script", verify_text(line, "script_sha256"));
    verify_file_hash(v, "site.yaml", "site", verify_text(line, "site_sha256"));
    if (strcmp(parent ? parent : "", v->head) != 0)
        verify_tell(v, "parent", 1,
                    v->head[0] ? "this ceremony does not follow the one in the folder before it"
                               : "this ceremony follows another; name that one's folder first");
}

static void take_clock(struct verifier *v, const json_t *line)
{
    json_int_t offset = json_integer_value(json_object_get(line, "host_offset_s"));
    verify_remark(v, "clock: the computer was %lld s off %s, says %s", (long long)offset,
                  verify_text(line, "source"), verify_text(line, "by"));
}

/* It protects nothing, so no record of it may look like one of production. */
static void check_model(struct verifier *v, const char *token, const char *model)
{
    const char *rule = template_rule_of_model(model);
    if (v->rehearsal || !rule)
        return;
    if (verify_waived(v, rule, token, token))
        verify_warn(v, "token %.64s is a %.16s, which protects nothing; the script waives that",
                    token, model);
    else
        verify_tell(v, rule, v->line,
                    "token %.64s is a %.16s, which protects nothing, and this is no rehearsal",
                    token, model);
}

static void check_entropy(struct verifier *v, const char *token, const char *statement)
{
    if (statement[0])
        verify_remark(v, "token %s: random numbers: %.200s", token, statement);
    else
        verify_tell(v, "entropy", v->line,
                    "nothing says what the random numbers of token %s come from", token);
}

static void take_token(struct verifier *v, const json_t *line)
{
    const char *tcti = verify_text(line, "tcti"); /* of a TPM: no module stands before it */
    check_model(v, verify_text(line, "token"), verify_text(line, "model"));
    if (tcti[0] && verify_text(line, "serial")[0])
        verify_expect(v, verify_text(line, "token"), "TPM2_ALG_ECC", "token");
    if (tcti[0])
        verify_set(v, v->tpm_serials, verify_text(line, "token"),
                   json_string(verify_text(line, "serial")));
    if (verify_text(line, "serial")[0])
        verify_remark(v, "token %s: %s, serial %s, firmware %s, %s %.16s%s",
                      verify_text(line, "token"), verify_text(line, "model"),
                      verify_text(line, "serial"), verify_text(line, "firmware"),
                      tcti[0] ? "way" : "module",
                      tcti[0] ? tcti : verify_text(line, "module_sha256"), tcti[0] ? "" : "...");
    if (!tcti[0] && strlen(verify_text(line, "module_sha256")) != TRANSCRIPT_HEX_LEN)
        verify_tell(v, "token", v->line, "nothing says which module spoke to token %s",
                    verify_text(line, "token"));
    check_entropy(v, verify_text(line, "token"), verify_text(line, "entropy"));
}

static void take_exception(struct verifier *v, const json_t *line)
{
    verify_remark(v, "exception in line %zu: %s (%s decided: %s)", v->line,
                  verify_text(line, "text"), verify_text(line, "by"),
                  verify_text(line, "decision"));
}

static bool is_in_script(const struct verifier *v, const json_t *line)
{
    size_t i;
    json_t *waiver;
    json_array_foreach(json_object_get(v->script, "waivers"), i, waiver)
    {
        if (strcmp(verify_text(waiver, "rule"), verify_text(line, "rule")) == 0 &&
            strcmp(verify_text(waiver, "of"), verify_text(line, "of")) == 0)
            return true;
    }
    return false;
}

static void take_waiver(struct verifier *v, const json_t *line)
{
    if (!is_in_script(v, line))
        verify_tell(v, "waiver", v->line, "the script does not waive %.40s for %.64s",
                    verify_text(line, "rule"), verify_text(line, "of"));
    verify_remark(v, "waiver of %s for %s by %s: %s", verify_text(line, "rule"),
                  verify_text(line, "of"), verify_text(line, "by"), verify_text(line, "reason"));
    v->no_memory |= json_array_append(v->waivers, (json_t *)line) != 0;
}

static void take_resume(struct verifier *v, const json_t *line)
{
    v->resumed = true;
    verify_remark(v, "resumed in line %zu, at step %s", v->line, verify_text(line, "step"));
}

/* What a step had made was cleaned up before it began anew, or the whole ceremony was given up. */
static void take_abort(struct verifier *v, const json_t *line)
{
    if (json_object_get(line, "destroyed"))
        return;
    v->aborted = true;
    verify_tell(v, "aborted", v->line, "the ceremony was aborted at step %s",
                verify_text(line, "step"));
}

static void take_close(struct verifier *v, const json_t *line)
{
    v->closed = true;
    if (v->line != json_array_size(v->lines) ||
        strcmp(verify_text(line, "head"), verify_text(line, "prev")) != 0)
        verify_tell(v, "close", v->line, "line %zu closes the record, but not with its last line",
                    v->line);
}

static void nothing(struct verifier *v, const json_t *line)
{
    (void)v;
    (void)line;
}

void verify_lines(struct verifier *v)
{
    static const struct {
        const char *type;
        void (*take)(struct verifier *v, const json_t *line);
    } types[] = {{"open", take_open},
                 {"role-signin", verify_signin},
                 {"clock", take_clock},
                 {"token-info", take_token},
                 {"step", verify_step},
                 {"api", verify_api},
                 {"share-commit", verify_share_commit},
                 {"share-verify", verify_share_verify},
                 {"share-rebuild", verify_share_rebuild},
                 {"keygen", verify_keygen},
                 {"attr", verify_attr},
                 {"kcv", verify_kcv},
                 {"wrap", verify_wrap},
                 {"unwrap", verify_unwrap},
                 {"escrow", verify_escrow},
                 {"visit", verify_visit},
                 {"attack", verify_attack},
                 {"registry", verify_registry},
                 {"inventory", verify_inventory},
                 {"bag", nothing},
                 {"medium", nothing},
                 {"exception", take_exception},
                 {"waiver", take_waiver},
                 {"destroy", verify_destroy},
                 {"identity", verify_identity},
                 {"trust", verify_trust},
                 {"certify", verify_certify},
                 {"quote", verify_quote},
                 {"checkpoint", verify_checkpoint},
                 {"abort", take_abort},
                 {"resume", take_resume},
                 {"close", take_close}};
    size_t i, t, n = sizeof types / sizeof *types;
    json_t *line;
    json_array_foreach(v->lines, i, line)
    {
        const char *type = verify_text(line, "type");
        v->line = i + 1;
        for (t = 0; t < n && strcmp(types[t].type, type) != 0;)
            t++;
        if ((i == 0) != (strcmp(type, "open") == 0) && i == 0)
            verify_tell(v, "open", 1, "the record does not begin by saying which ceremony it is");
        verify_seen(v, line);
        if (t == n)
            verify_tell(v, "type", v->line, "nobody knows what a line of type %.40s is", type);
        else
            types[t].take(v, line);
        find_secrets(v, line);
    }
}
