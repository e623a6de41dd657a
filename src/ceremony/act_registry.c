/* The registry of keys: states change in one step, and count when another has signed them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "ceremony/internal.h"
#include "registry/registry.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_t *key_of(const struct run *run, const char *id)
{
    return json_object_get(json_object_get(run->state, "keys"), id);
}

/* --- States --- */

enum tbs_err registry_change(struct run *run, const char *id, const char *state,
                             struct tbs_diag *diag)
{
    json_t *changes = json_object_get(run->state, "changes");
    if (!key_of(run, id))
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "step %s: this ceremony, and those before it, do not know key %s",
                        run->step->id, id);
    if (!changes) {
        changes = json_array();
        json_object_set_new(run->state, "changes", changes);
    }
    if (json_array_append_new(changes, json_pack("{s:s, s:s}", "id", id, "state", state)) != 0)
        return run_no_memory(diag);
    return TBS_OK;
}

enum tbs_err act_state(struct run *run, struct tbs_diag *diag)
{
    TRY(registry_change(run, run->step->key, run->step->state, diag));
    console_say(run->console, "Key %s will be %s when the registry is signed.", run->step->key,
                run->step->state);
    return TBS_OK;
}

/* --- Keys --- */

/* The algorithm stands in the template's name, as in tpk-hmac-sha256-site-only-v1. */
static bool find_algorithm(const char *template, enum registry_algorithm *ret_algorithm)
{
    static const struct {
        const char *part;
        enum registry_algorithm algorithm;
    } parts[] = {{"hmac-sha1-", REGISTRY_HMAC_SHA_1},
                 {"hmac-sha256-", REGISTRY_HMAC_SHA_256},
                 {"aes-256-gcm-", REGISTRY_AES_256_GCM},
                 {"ecdsa-p256-", REGISTRY_ECDSA_P_256},
                 {"rsa-3072-", REGISTRY_RSA_3072}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(template, parts[i].part)) {
            *ret_algorithm = parts[i].algorithm;
            return true;
        }
    return false;
}

static bool find_role(const char *name, enum registry_role *ret_role)
{
    for (enum registry_role r = REGISTRY_TPK; r <= REGISTRY_ENVELOPE; r++)
        if (strcmp(registry_role_name(r), name) == 0) {
            *ret_role = r;
            return true;
        }
    return false;
}

static bool find_custody(const char *name, enum registry_custody *ret_custody)
{
    for (enum registry_custody c = REGISTRY_SITE_ONLY; c <= REGISTRY_ESCROWED; c++)
        if (strcmp(registry_custody_name(c), name) == 0) {
            *ret_custody = c;
            return true;
        }
    return false;
}

static bool put_tokens(const json_t *tokens, struct registry_key *key)
{
    size_t i;
    const json_t *token;
    json_array_foreach(tokens, i, token)
    {
        struct registry_token *to = &key->tokens[key->n_tokens];
        if (key->n_tokens == REGISTRY_TOKENS_MAX ||
            snprintf(to->serial, sizeof to->serial, "%s", text_of(token, "serial")) >=
                (int)sizeof to->serial)
            return false;
        to->restored = strcmp(text_of(token, "origin"), "restored") == 0;
        key->n_tokens++;
    }
    return true;
}

#define DAY 86400

static bool fill_key(const char *id, const json_t *from, struct registry_key *key)
{
    const char *check = text_of(json_object_get(from, "check"), "value");
    key->check_len = strlen(check) / 2;
    key->state = REGISTRY_PRE_ACTIVE;
    key->not_before = (time_t)json_integer_value(json_object_get(from, "made"));
    key->since = key->not_before;
    key->protect_until =
        key->not_before + DAY * json_integer_value(json_object_get(from, "protect_days"));
    key->process_until =
        key->not_before + DAY * json_integer_value(json_object_get(from, "process_days"));
    return snprintf(key->id, sizeof key->id, "%s", id) < (int)sizeof key->id &&
           find_role(text_of(from, "role"), &key->role) &&
           find_algorithm(text_of(from, "template"), &key->algorithm) &&
           find_custody(text_of(from, "custody"), &key->custody) &&
           key->check_len <= sizeof key->check && tbs_unhex(check, key->check, key->check_len) &&
           put_tokens(json_object_get(from, "tokens"), key);
}

static enum tbs_err add_keys(const struct run *run, struct registry *next, struct tbs_diag *diag)
{
    const char *id;
    json_t *from;
    json_object_foreach(json_object_get(run->state, "keys"), id, from)
    {
        struct registry_key key = {0};
        if (strcmp(text_of(from, "role"), "canary") == 0 || registry_find(next, tbs_bytes_str(id)))
            continue;
        if (!fill_key(id, from, &key))
            return tbs_fail(diag, TBS_ERR_INVALID,
                            "what is known of key %s does not make an entry of the registry", id);
        TRY(registry_add(next, &key, diag));
    }
    return TBS_OK;
}

static enum tbs_err drop_tokens(struct registry *next, const char *id, struct tbs_diag *diag)
{
    const struct registry_key *key;
    while ((key = registry_find(next, tbs_bytes_str(id))) && key->n_tokens > 0) {
        char serial[REGISTRY_SERIAL_MAX + 1];
        memcpy(serial, key->tokens[0].serial, sizeof serial);
        TRY(registry_drop_token(next, id, serial, diag));
    }
    return TBS_OK;
}

static enum tbs_err make_changes(const struct run *run, struct registry *next,
                                 struct tbs_diag *diag)
{
    size_t i;
    json_t *change;
    json_array_foreach(json_object_get(run->state, "changes"), i, change)
    {
        enum registry_state state = REGISTRY_PRE_ACTIVE;
        while (state < REGISTRY_DESTROYED &&
               strcmp(registry_state_name(state), text_of(change, "state")) != 0)
            state++;
        TRY(registry_set_state(next, text_of(change, "id"), state, next->made, diag));
        if (state == REGISTRY_DESTROYED)
            TRY(drop_tokens(next, text_of(change, "id"), diag));
    }
    return TBS_OK;
}

/* --- Writing --- */

static json_int_t sequence_of(const struct run *run)
{
    return json_integer_value(json_object_get(run->state, "registry"));
}

static void numbered(const struct run *run, json_int_t sequence, char ret_path[RUN_PATH])
{
    char name[64];
    snprintf(name, sizeof name, "registry-%lld.jsonl", (long long)sequence);
    run_path(run, name, ret_path);
}

/* By its number: a crash may have left a newer one, which does not count. */
static enum tbs_err read_before(const struct run *run, struct registry *before,
                                struct tbs_diag *diag)
{
    char path[RUN_PATH];
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    numbered(run, sequence_of(run), path);
    TRY(file_read(path, &text, diag));
    return registry_read(tbs_buf_view(&text), before, diag);
}

static enum tbs_err make_next(const struct run *run, struct tbs_buf *text, json_int_t *ret_sequence,
                              struct tbs_diag *diag)
{
    struct registry before = {0}, next = {0};
    bool first = sequence_of(run) == 0;
    if (!first)
        TRY(read_before(run, &before, diag));
    enum tbs_err err =
        registry_next(first ? NULL : &before, run->rehearsal, time(NULL), &next, diag);
    registry_free(&before);
    if (err != TBS_OK)
        return err;
    err = add_keys(run, &next, diag);
    if (err == TBS_OK)
        err = make_changes(run, &next, diag);
    if (err == TBS_OK)
        err = registry_write(&next, text, diag);
    *ret_sequence = (json_int_t)next.sequence;
    registry_free(&next);
    return err;
}

static enum tbs_err sign_by_people(struct run *run, struct tbs_buf *text, struct tbs_diag *diag)
{
    for (size_t i = 0; i < run->n_people; i++)
        for (unsigned r = 0; r < run->step->sign_count; r++) {
            struct run_person *p = &run->people[i];
            if (!p->here || p->signer.spki.len == 0 ||
                strcmp(p->site->role, run->step->sign[r]) != 0)
                continue;
            struct signed_maker maker = signer_maker(&p->signer);
            TRY(signed_lines_sign(text, &maker, diag));
            console_say(run->console, "%s has signed the registry.", p->site->name);
        }
    return TBS_OK;
}

static enum tbs_err publish(struct run *run, json_int_t sequence, const struct tbs_buf *text,
                            struct tbs_diag *diag)
{
    char path[RUN_PATH], hex[SCRIPT_HEX_LEN + 1];
    const uint8_t *end = memchr(text->data, '\n', text->len);
    TRY(load_sha256(tbs_bytes(text->data, (size_t)(end - text->data)), hex, diag));
    numbered(run, sequence, path);
    TRY(file_replace(path, 0644, tbs_buf_view(text), diag));
    run_path(run, "registry.jsonl", path);
    TRY(file_replace(path, 0644, tbs_buf_view(text), diag));
    console_say(run->console, "The registry is number %lld.", (long long)sequence);
    TRY(record_words(run, "Registry", hex, diag));
    json_object_del(run->state, "changes");
    if (json_object_set_new(run->state, "registry", json_integer(sequence)) != 0)
        return run_no_memory(diag);
    return record(run, "registry", json_pack("{s:I, s:s}", "sequence", sequence, "sha256", hex),
                  diag);
}

enum tbs_err act_registry(struct run *run, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    json_int_t sequence = 0;
    TRY(make_next(run, &text, &sequence, diag));
    TRY(token_sign_lines(run, token_of(run, run->step->on[0]), run->step->key, &text, diag));
    TRY(sign_by_people(run, &text, diag));
    return publish(run, sequence, &text, diag);
}
