/* Who was there, in which order things were done, and who signed. */
#include "evidence/verify_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/secret.h"

/* --- People --- */

static bool excludes(const struct verifier *v, const char *role, const char *other)
{
    size_t i;
    json_t *name;
    const json_t *is = verify_find(json_object_get(v->script, "roles"), role);
    json_array_foreach(json_object_get(is, "not_with"), i, name)
    {
        if (strcmp(json_string_value(name), other) == 0)
            return true;
    }
    return false;
}

/* A person counts once, by name and by key. */
static void check_other(struct verifier *v, const json_t *person, const json_t *other)
{
    const char *role = verify_text(person, "role"), *name = verify_text(person, "name");
    const char *was = verify_text(other, "role"), *key = verify_text(person, "key");
    bool same_name = strcmp(name, verify_text(other, "name")) == 0;
    bool same_key = key[0] && strcmp(key, verify_text(other, "key")) == 0;
    if (same_name && strcmp(role, was) != 0 && (excludes(v, role, was) || excludes(v, was, role)))
        verify_tell(v, "role", v->line, "%.60s holds the roles %s and %s, which one person may not",
                    name, was, role);
    if (same_key && !same_name)
        verify_tell(v, "role", v->line, "%.60s and %.60s have the same key", name,
                    verify_text(other, "name"));
}

void verify_signin(struct verifier *v, const json_t *line)
{
    size_t i;
    json_t *other;
    const char *key = verify_text(line, "key"), *name = verify_text(line, "name");
    if (!verify_find(json_object_get(v->script, "roles"), verify_text(line, "role")))
        verify_tell(v, "role", v->line, "the script has no role %.60s", verify_text(line, "role"));
    json_array_foreach(v->people, i, other)
    {
        check_other(v, line, other);
        if (strcmp(name, verify_text(other, "name")) == 0 &&
            strcmp(verify_text(line, "role"), verify_text(other, "role")) == 0)
            return; /* signs in anew after a pause */
    }
    if (key[0] && !verify_public(v, key))
        verify_tell(v, "key", v->line, "the public key of %.60s is not in keys/", name);
    v->no_memory |= json_array_append_new(v->people, json_pack("{s:s, s:s, s:s}", "role",
                                                               verify_text(line, "role"), "name",
                                                               name, "key", key)) != 0;
}

static size_t count_role(const struct verifier *v, const char *role)
{
    size_t i, n = 0;
    json_t *person;
    json_array_foreach(v->people, i, person) n += strcmp(verify_text(person, "role"), role) == 0;
    return n;
}

static size_t count_present(const json_t *line, const char *role)
{
    size_t i, n = 0;
    json_t *is;
    json_array_foreach(json_object_get(line, "present"), i, is)
    {
        n += json_is_string(is) && strcmp(json_string_value(is), role) == 0;
    }
    return n;
}

static void check_present(struct verifier *v, const json_t *step, const json_t *line)
{
    size_t i;
    json_t *need;
    const char *id = verify_text(step, "id");
    json_array_foreach(json_object_get(step, "present"), i, need)
    {
        const char *role = verify_text(need, "role");
        json_int_t least = json_integer_value(json_object_get(need, "least"));
        size_t there = count_present(line, role), in = count_role(v, role);
        if ((json_int_t)there < least)
            verify_tell(v, "role", v->line,
                        "role %s is missing in step %s: it needs %lld and there were %zu", role, id,
                        (long long)least, there);
        else if (there > in)
            verify_tell(v, "role", v->line,
                        "step %s says that %zu of role %s were there, but %zu had signed in", id,
                        there, role, in);
    }
    if (json_array_size(json_object_get(line, "present")) < 2)
        verify_tell(v, "role", v->line, "in step %s there were fewer than two people", id);
}

/* --- Steps --- */

static const json_t *next_step(const struct verifier *v)
{
    return json_array_get(json_object_get(v->script, "steps"), v->steps_done);
}

static void keep_state(struct verifier *v)
{
    json_decref(v->keys_before);
    json_decref(v->objects_before);
    v->keys_before = json_deep_copy(v->keys);
    v->objects_before = json_deep_copy(v->objects);
    v->no_memory |= !v->keys_before || !v->objects_before;
}

static void set_back(struct verifier *v)
{
    json_decref(v->keys);
    json_decref(v->objects);
    v->keys = json_deep_copy(v->keys_before);
    v->objects = json_deep_copy(v->objects_before);
    v->no_memory |= !v->keys || !v->objects;
}

static void begin_step(struct verifier *v, const json_t *line)
{
    const char *id = verify_text(line, "id");
    const json_t *step = next_step(v);
    bool anew = v->step && v->resumed && strcmp(verify_text(v->step, "id"), id) == 0;
    if (v->step && !anew)
        verify_tell(v, "order", v->line, "step %s begins before step %s has ended", id,
                    verify_text(v->step, "id"));
    if (!step || strcmp(verify_text(step, "id"), id) != 0)
        verify_tell(v, "order", v->line, "step %.64s was performed where the script has %s", id,
                    step ? verify_text(step, "id") : "none");
    if (anew)
        set_back(v);
    else
        keep_state(v);
    v->step = verify_find(json_object_get(v->script, "steps"), id);
    v->resumed = false;
    json_object_clear(v->step_signed);
    json_object_clear(v->step_seen);
    if (v->step)
        check_present(v, v->step, line);
    verify_shares_begin(v);
}

static bool has_keys(const struct verifier *v, const char *role)
{
    size_t i;
    json_t *person;
    json_array_foreach(v->people, i, person)
    {
        if (strcmp(verify_text(person, "role"), role) == 0 && verify_text(person, "key")[0])
            return true;
    }
    return false;
}

static void check_signed(struct verifier *v)
{
    size_t i;
    json_t *role;
    const char *id = verify_text(v->step, "id"), *action = verify_text(v->step, "do");
    json_array_foreach(json_object_get(v->step, "sign"), i, role)
    {
        const char *name = json_string_value(role);
        if (!has_keys(v, name))
            verify_remark(v, "step %s: %s signed on paper only", id, name);
        else if (!json_object_get(v->step_signed, name))
            verify_tell(v, "signature", v->line, "in step %s role %s did not sign", id, name);
    }
    if (strcmp(action, "checkpoint") == 0 &&
        !json_object_get(v->step_signed, verify_text(v->step, "key")))
        verify_tell(v, "signature", v->line, "in step %s the key %s did not sign", id,
                    verify_text(v->step, "key"));
}

/* --- What a step leaves in the record --- */

#define SEEN_MAX 200

void verify_seen(struct verifier *v, const json_t *line)
{
    char seen[SEEN_MAX];
    const char *type = verify_text(line, "type");
    const char *token = verify_text(line, strcmp(type, "wrap") == 0 ? "to" : "token");
    snprintf(seen, sizeof seen, "%.60s %.64s", type, token);
    verify_set(v, v->step_seen, seen, json_true());
}

static void must_be_seen(struct verifier *v, const char *type, const char *token)
{
    char seen[SEEN_MAX];
    snprintf(seen, sizeof seen, "%.60s %.64s", type, token);
    if (!json_object_get(v->step_seen, seen))
        verify_tell(v, "order", v->line, "step %s has left no %s%s%.64s in the record",
                    verify_text(v->step, "id"), type, token[0] ? " of token " : "", token);
}

static void check_seen(struct verifier *v)
{
    static const struct {
        const char *action, *tokens, *types[3]; /* of each of these tokens, such lines */
    } must[] = {{"generate", "on", {"keygen", "attr", "kcv"}},
                {"transport", "on", {"keygen", "attr"}},
                {"trust", "on", {"keygen"}},
                {"replicate", "on", {"keygen", "attr", "kcv"}},
                {"replicate", "to", {"wrap"}},
                {"restore", "on", {"unwrap", "attr", "kcv"}},
                {"escrow", "on", {"keygen", "attr", "escrow"}},
                {"reseal", "on", {"escrow"}},
                {"recover", "on", {"visit", "unwrap", "attr"}},
                {"recover", "on", {"kcv"}},
                {"check", "on", {"kcv"}},
                {"attack", "on", {"attack"}},
                {"inventory", "on", {"inventory"}},
                {"destroy", "on", {"destroy"}},
                {"identify", "on", {"keygen", "attr", "identity"}},
                {"certify", "on", {"certify"}},
                {"quote", "on", {"quote"}},
                {"withdraw", "on", {"destroy"}},
                {"initialise", "on", {"token-info"}},
                {"inspect", "on", {"token-info"}},
                {"check-shares", "on", {"share-verify"}},
                {"clock", NULL, {"clock"}},
                {"bags", NULL, {"bag"}},
                {"media", NULL, {"medium"}},
                {"registry", NULL, {"registry"}}};
    for (size_t m = 0; m < sizeof must / sizeof *must; m++) {
        size_t i;
        json_t *token;
        if (strcmp(must[m].action, verify_text(v->step, "do")) != 0)
            continue;
        for (size_t t = 0; t < 3 && must[m].types[t]; t++) {
            if (!must[m].tokens)
                must_be_seen(v, must[m].types[t], "");
            json_array_foreach(must[m].tokens ? json_object_get(v->step, must[m].tokens) : NULL, i,
                               token)
            {
                bool parent = strcmp(must[m].action, "trust") == 0 &&
                              json_object_get(v->tpm_serials, json_string_value(token));
                must_be_seen(v, parent ? "trust" : must[m].types[t], json_string_value(token));
            }
        }
    }
}

static void end_step(struct verifier *v, const json_t *line)
{
    const char *id = verify_text(line, "id");
    if (!v->step || strcmp(verify_text(v->step, "id"), id) != 0) {
        verify_tell(v, "order", v->line, "step %.64s ends without having begun", id);
        return;
    }
    check_present(v, v->step, line);
    check_signed(v);
    check_seen(v);
    verify_shares_end(v);
    verify_escrow_end(v);
    v->step = NULL;
    v->steps_done++;
}

void verify_step(struct verifier *v, const json_t *line)
{
    const char *phase = verify_text(line, "phase");
    if (strcmp(phase, "begin") == 0)
        begin_step(v, line);
    else
        end_step(v, line);
}

/* --- Signatures --- */

/* Who has this key: a role for people, an id for a ceremony key; NULL for anybody else. */
static const char *signs_for(const struct verifier *v, const char *key)
{
    size_t i;
    json_t *person;
    json_array_foreach(v->people, i, person)
    {
        if (key[0] && strcmp(verify_text(person, "key"), key) == 0)
            return verify_text(person, "role");
    }
    return verify_ceremony_key(v, key);
}

static bool verifies(struct verifier *v, const json_t *line, json_int_t covers, const char *head)
{
    char text[TRANSCRIPT_SIGNED_MAX];
    struct tbs_buf signature TBS_BUF_AUTO = tbs_buf();
    const struct signed_signer *signer = verify_public(v, verify_text(line, "key"));
    snprintf(text, sizeof text, "tbs-kms ceremony 1 %" PRId64 " %.64s", (int64_t)covers, head);
    return signer && tbs_base64_decode(tbs_bytes_str(verify_text(line, "signature")), &signature) &&
           signed_signer_verifies(signer, tbs_bytes_str(text), tbs_buf_view(&signature));
}

/* All signatures after the last fact, which is then signed by each. */
static bool is_last(const struct verifier *v, json_int_t covers)
{
    size_t i, last = 0;
    json_t *line;
    json_array_foreach(v->lines, i, line)
    {
        const char *type = verify_text(line, "type");
        bool ends = strcmp(type, "step") == 0 && strcmp(verify_text(line, "phase"), "end") == 0;
        if (strcmp(type, "checkpoint") != 0 && strcmp(type, "close") != 0 && !ends)
            last = i + 1;
    }
    return covers >= (json_int_t)last;
}

void verify_checkpoint(struct verifier *v, const json_t *line)
{
    json_int_t covers = json_integer_value(json_object_get(line, "covers"));
    const char *by = verify_text(line, "by"), *key = verify_text(line, "key");
    const char *whose = signs_for(v, key);
    const char *head =
        covers > 0 ? json_string_value(json_array_get(v->hashes, (size_t)covers - 1)) : NULL;
    if (!head || covers >= (json_int_t)v->line || strcmp(head, verify_text(line, "head")) != 0)
        verify_tell(v, "checkpoint", v->line,
                    "the record was changed after %.60s had signed it: line %lld has another hash "
                    "than the signature in line %zu covers",
                    by, (long long)covers, v->line);
    else if (!whose)
        verify_tell(v, "checkpoint", v->line,
                    "line %zu is signed by a key of nobody who takes part, said to be %.60s's",
                    v->line, by);
    else if (!verifies(v, line, covers, head))
        verify_tell(v, "checkpoint", v->line, "the signature of %.60s in line %zu does not verify",
                    by, v->line);
    else {
        verify_set(v, v->step_signed, whose, json_true());
        if (is_last(v, covers))
            verify_set(v, v->last_signed, key, json_true());
        v->no_memory |= json_array_append_new(
                            json_object_get(v->report, "signed"),
                            json_pack("{s:s, s:I}", "by", by, "line", (json_int_t)v->line)) != 0;
    }
}

/* --- The end --- */

static bool signs_record(const struct verifier *v, const char *role)
{
    size_t i, j;
    json_t *step, *name;
    json_array_foreach(json_object_get(v->script, "steps"), i, step)
    {
        json_array_foreach(json_object_get(step, "sign"), j, name)
        {
            if (strcmp(verify_text(step, "do"), "checkpoint") == 0 &&
                strcmp(json_string_value(name), role) == 0)
                return true;
        }
    }
    return false;
}

/* One alone, or nobody who may be absent: somebody who signs the record must answer for that. */
static void check_quorum(struct verifier *v)
{
    const json_t *quorum = json_object_get(v->script, "quorum");
    json_int_t need = json_integer_value(json_object_get(quorum, "need"));
    const char *rule = need == 1 ? "quorum-one" : "quorum-all";
    size_t i;
    json_t *waiver;
    if (need == 0 || (need > 1 && need < json_integer_value(json_object_get(quorum, "people"))))
        return;
    json_array_foreach(v->waivers, i, waiver)
    {
        if (strcmp(verify_text(waiver, "rule"), rule) == 0 &&
            strcmp(verify_text(waiver, "of"), "quorum") == 0 &&
            signs_record(v, verify_text(waiver, "by"))) {
            verify_warn(v, "%s: the quorum is %lld of %lld; the script waives that, by %.60s", rule,
                        (long long)need,
                        (long long)json_integer_value(json_object_get(quorum, "people")),
                        verify_text(waiver, "by"));
            return;
        }
    }
    verify_tell(
        v, "waiver", 0, "the quorum is %lld of %lld, and nobody who signs the record has waived %s",
        (long long)need, (long long)json_integer_value(json_object_get(quorum, "people")), rule);
}

void verify_steps_end(struct verifier *v)
{
    const json_t *next = next_step(v);
    size_t people = 0;
    const char *key;
    json_t *value;
    v->line = 0;
    if (v->step && !v->aborted)
        verify_tell(v, "order", 0, "step %s did not end", verify_text(v->step, "id"));
    else if (next && !v->aborted)
        verify_tell(v, "order", 0, "step %s is missing", verify_text(next, "id"));
    if (!v->closed)
        verify_tell(v, "close", 0, "the record is not closed: the ceremony is not over");
    check_quorum(v);
    json_object_foreach(v->last_signed, key, value) people += !verify_ceremony_key(v, key);
    if (json_object_size(v->last_signed) == 0)
        verify_tell(v, "signature", 0, "nobody signed the end of the record");
    else if (people == 0)
        verify_remark(v, "nobody but the ceremony key signed the end of the record");
}
