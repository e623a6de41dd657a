/* Steps that make, try and destroy keys. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "ceremony/keys.h"

const char *keys_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

const struct script_key *keys_script(const struct run *run)
{
    return script_find_key(run->script->script, run->step->key);
}

json_t *keys_known(const struct run *run, const char *id)
{
    return json_object_get(json_object_get(run->state, "keys"), id);
}

void keys_transport_id(const char *token, char ret_id[VAULT_ID_MAX + 1])
{
    snprintf(ret_id, VAULT_ID_MAX + 1, "transport-%.50s", token);
}

void keys_recipient_id(const struct run *run, const char *to, char ret_id[VAULT_ID_MAX + 1])
{
    if (keys_is_escrow(run, to))
        snprintf(ret_id, VAULT_ID_MAX + 1, "%s", to);
    else
        keys_transport_id(to, ret_id);
}

enum tbs_err keys_decode(const char *base64, struct tbs_buf *octets, struct tbs_diag *diag)
{
    return tbs_base64_decode(tbs_bytes_str(base64), octets)
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_MALFORMED, "what should be base64 is not");
}

/* --- Judging what came of it --- */

/* The script's waivers, of the key or of the token, as the judge takes them. */
json_t *keys_waivers(const struct run *run, const char *token, const char *id)
{
    const struct script *s = run->script->script;
    json_t *waivers = json_array();
    for (unsigned i = 0; i < s->waivers_count; i++) {
        const struct script_waiver *w = &s->waivers[i];
        if ((id && strcmp(w->of, id) == 0) || strcmp(w->of, token) == 0)
            json_array_append_new(waivers, json_pack("{s:s, s:s, s:s, s:s}", "rule", w->rule,
                                                     "token", token_serial(run, token), "reason",
                                                     w->reason, "by", w->by));
    }
    return waivers;
}

static enum template_profile profile_of(const struct key_template *template, enum key_origin origin)
{
    if (origin == KEY_LOCAL)
        return template->profiles & 1u << TEMPLATE_PRIVATE ? TEMPLATE_PRIVATE : TEMPLATE_SITE_ONLY;
    if (origin == KEY_TRUSTED)
        return TEMPLATE_TRUSTED;
    return origin == KEY_SEALED ? TEMPLATE_SEALED : TEMPLATE_RESTORED;
}

static const char *first_finding(const json_t *findings)
{
    size_t i;
    const json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        if (!json_is_string(json_object_get(finding, "waived")))
            return keys_text(finding, "sentence");
    }
    return NULL;
}

static enum tbs_err find_faults(struct run *run, const struct run_token *token, const char *id,
                                const struct rules_subject *subject, json_t **ret_findings,
                                struct tbs_diag *diag)
{
    json_t *waivers = keys_waivers(run, token->name, id);
    enum tbs_err err =
        rules_judge_key(subject, token_serial(run, token->name), waivers, ret_findings, diag);
    json_decref(waivers);
    return err;
}

enum tbs_err keys_judge_attributes(struct run *run, const struct run_token *token, const char *id,
                                   const struct rules_subject *subject, struct tbs_diag *diag)
{
    json_t *findings = NULL;
    TRY(find_faults(run, token, id, subject, &findings, diag));
    const char *first = first_finding(findings);
    enum tbs_err err =
        record(run, subject->profile == TEMPLATE_VISITING ? "visit" : "attr",
               json_pack("{s:s, s:s, s:s, s:O, s:b, s:O, s:s}", "token", token->name, "id", id,
                         "profile", template_profile_name(subject->profile), "attributes",
                         subject->attributes, "reopened", subject->reopened, "findings", findings,
                         "verdict", first ? "fail" : "pass"),
               diag);
    if (err == TBS_OK && first)
        err = tbs_fail(diag, TBS_ERR_DENIED, "key %s on token %s: %.200s", id, token->name, first);
    json_decref(findings);
    return err;
}

/* What a new process reads is judged; it must be what was told to the one that made the key. */
static enum tbs_err read_and_judge(struct run *run, struct run_token *token, const char *id,
                                   const json_t *key, struct rules_subject subject,
                                   struct tbs_diag *diag)
{
    const json_t *told = json_object_get(key, "attributes");
    json_t *again = NULL;
    TRY(token_read_back_key(run, token, template_stored_id(subject.template, id),
                            template_class(subject.template, subject.profile), &again, diag));
    subject.attributes = again;
    subject.reopened = true;
    enum tbs_err err = keys_judge_attributes(run, token, id, &subject, diag);
    if (err == TBS_OK && !json_equal(again, told))
        err = tbs_fail(diag, TBS_ERR_DENIED,
                       "token %s tells a new process other attributes of key %s than the one that "
                       "made it",
                       token->name, id);
    json_decref(again);
    return err;
}

enum tbs_err keys_judge(struct run *run, struct run_token *token, const char *id,
                        const char *template, const json_t *key, enum key_origin origin,
                        struct tbs_diag *diag)
{
    struct rules_subject subject = {.id = id, .check = json_object_get(key, "check")};
    TRY(template_find(template, &subject.template, diag));
    subject.profile = profile_of(subject.template, origin);
    TRY(read_and_judge(run, token, id, key, subject, diag));
    console_say(run->console, "Key %s on token %s: check value %s (%s), attributes pass.", id,
                token->name, keys_text(subject.check, "value"), keys_text(subject.check, "method"));
    return record(run, "kcv",
                  json_pack("{s:s, s:s, s:s, s:s}", "token", token->name, "id", id, "method",
                            keys_text(subject.check, "method"), "value",
                            keys_text(subject.check, "value")),
                  diag);
}

/* --- Remembering --- */

enum tbs_err keys_add_holder(struct run *run, const struct run_token *token, const char *id,
                             const char *origin, struct tbs_diag *diag)
{
    json_t *holder =
        json_pack("{s:s, s:s}", "serial", token_serial(run, token->name), "origin", origin);
    return json_array_append_new(json_object_get(keys_known(run, id), "tokens"), holder) == 0
               ? TBS_OK
               : run_no_memory(diag);
}

enum tbs_err keys_remember(struct run *run, const struct run_token *token, const json_t *key,
                           struct tbs_diag *diag)
{
    const struct script_key *k = keys_script(run);
    json_t *entry =
        json_pack("{s:s, s:s, s:s, s:O, s:I, s:i, s:i, s:[]}", "role", k->role, "template",
                  k->template, "custody", key_custody_name(k->custody), "check",
                  json_object_get(key, "check"), "made", (json_int_t)time(NULL), "protect_days",
                  (int)k->protect_days, "process_days", (int)k->process_days, "tokens");
    if (entry && json_object_get(key, "spki"))
        json_object_set(entry, "spki", json_object_get(key, "spki"));
    if (json_object_set_new(json_object_get(run->state, "keys"), k->id, entry) != 0)
        return run_no_memory(diag);
    TRY(record(run, "keygen",
               json_pack("{s:s, s:s, s:s, s:s, s:O}", "token", token->name, "id", k->id, "template",
                         k->template, "custody", key_custody_name(k->custody), "attributes",
                         json_object_get(key, "attributes")),
               diag));
    return keys_add_holder(run, token, k->id, "local", diag);
}

/* The public half of a pair, for those who verify. */
enum tbs_err keys_publish(struct run *run, const char *name, const json_t *key,
                          struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    const char *base64 = json_string_value(json_object_get(key, "spki"));
    if (!base64)
        return TBS_OK;
    TRY(keys_decode(base64, &spki, diag));
    TRY(record_words(run, name, keys_text(json_object_get(key, "check"), "value"), diag));
    return record_public(run, name, tbs_buf_view(&spki), diag);
}

/* --- Made in one token --- */

enum tbs_err act_generate(struct run *run, struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, run->step->on[0]);
    const struct script_key *k = keys_script(run);
    json_t *key = NULL;
    TRY(token_login(run, token, false, diag));
    TRY(vault_generate(token->vault, k->template, k->id, &key, diag));
    enum tbs_err err = keys_remember(run, token, key, diag);
    if (err == TBS_OK)
        err = keys_judge(run, token, k->id, k->template, key, KEY_LOCAL, diag);
    if (err == TBS_OK)
        err = keys_publish(run, k->id, key, diag);
    json_decref(key);
    return err;
}

/* --- Trying --- */

/* A sealed block is another each time: the key is to open the one that it gave first. */
static enum tbs_err check_again(struct run_token *token, const char *id, json_t *want,
                                json_t **ret_check, struct tbs_diag *diag)
{
    if (strcmp(keys_text(want, "method"), "aes-256-gcm-block") != 0)
        return vault_check(token->vault, id, ret_check, diag);
    TRY(vault_confirm(token->vault, id, want, diag));
    *ret_check = json_incref(want);
    return TBS_OK;
}

enum tbs_err act_check(struct run *run, struct tbs_diag *diag)
{
    json_t *want = json_object_get(keys_known(run, run->step->key), "check");
    for (unsigned i = 0; i < run->step->on_count; i++) {
        struct run_token *token = token_of(run, run->step->on[i]);
        json_t *check = NULL;
        TRY(token_login(run, token, false, diag));
        TRY(check_again(token, run->step->key, want, &check, diag));
        console_say(run->console, "Key %s on token %s: check value %s", run->step->key, token->name,
                    keys_text(check, "value"));
        enum tbs_err err = record(run, "kcv",
                                  json_pack("{s:s, s:s, s:s, s:s}", "token", token->name, "id",
                                            run->step->key, "method", keys_text(check, "method"),
                                            "value", keys_text(check, "value")),
                                  diag);
        if (err == TBS_OK && !json_equal(check, want))
            err = tbs_fail(diag, TBS_ERR_AUTH,
                           "key %s on token %s is another key: its check value is %s, not %s",
                           run->step->key, token->name, keys_text(check, "value"),
                           keys_text(want, "value"));
        json_decref(check);
        TRY(err);
    }
    return TBS_OK;
}

enum tbs_err act_attack(struct run *run, struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, run->step->on[0]);
    json_t *attempts = NULL, *one;
    const char *worked = NULL;
    size_t i;
    TRY(token_login(run, token, false, diag));
    TRY(vault_attack(token->vault, run->step->key, &attempts, diag));
    json_array_foreach(attempts, i, one)
    {
        if (!json_is_true(json_object_get(one, "refused")) &&
            !script_waives(run->script->script, keys_text(one, "name"), run->step->key))
            worked = keys_text(one, "name");
    }
    enum tbs_err err = record(run, "attack",
                              json_pack("{s:s, s:s, s:O}", "token", token->name, "id",
                                        run->step->key, "attempts", attempts),
                              diag);
    if (err == TBS_OK && worked)
        err = tbs_fail(diag, TBS_ERR_DENIED, "token %s let somebody %s on key %s", token->name,
                       worked, run->step->key);
    if (err == TBS_OK)
        console_say(run->console, "%zu attempts, all refused.", json_array_size(attempts));
    json_decref(attempts);
    return err;
}

/* --- Destroying --- */

static bool is_among(const struct run *run, const char *serial)
{
    for (unsigned i = 0; i < run->step->on_count; i++)
        if (strcmp(token_serial(run, run->step->on[i]), serial) == 0)
            return true;
    return false;
}

static enum tbs_err destroy_on(struct run *run, struct run_token *token, const json_t *check,
                               struct tbs_diag *diag)
{
    json_t *done = NULL;
    TRY(token_login(run, token, false, diag));
    TRY(vault_destroy_by_check(token->vault, check, tbs_secret_view(&token->user), &done, diag));
    token->touched = true;
    const json_t *objects = json_object_get(done, "destroyed");
    console_say(run->console,
                "Token %s: %zu objects destroyed; %lld keys are left, none of them it.",
                token->name, json_array_size(objects),
                (long long)json_integer_value(json_object_get(done, "examined")));
    enum tbs_err err = record(run, "destroy",
                              json_pack("{s:s, s:s, s:O, s:{s:O, s:i}}", "token", token->name, "id",
                                        run->step->key, "objects", objects, "absence", "examined",
                                        json_object_get(done, "examined"), "left", 0),
                              diag);
    json_decref(done);
    return err;
}

/* An AES key's check value is bound to the id that the key had; a pair has its public key. */
static enum tbs_err destroy_on_all(struct run *run, const json_t *key, struct tbs_diag *diag)
{
    const json_t *check = json_object_get(key, "check");
    json_t *whole = json_pack("{s:s, s:s, s:s, s:O*}", "method", keys_text(check, "method"),
                              "value", keys_text(check, "value"), "id", run->step->key, "spki",
                              json_object_get(key, "spki"));
    enum tbs_err err = whole ? TBS_OK : run_no_memory(diag);
    for (unsigned t = 0; err == TBS_OK && t < run->step->on_count; t++)
        err = destroy_on(run, token_of(run, run->step->on[t]), whole, diag);
    json_decref(whole);
    return err;
}

enum tbs_err act_destroy(struct run *run, struct tbs_diag *diag)
{
    const char *id = run->step->key;
    json_t *key = keys_known(run, id), *token;
    size_t i;
    if (!key)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "this ceremony, and those before it, do not know key %s", id);
    json_array_foreach(json_object_get(key, "tokens"), i, token)
    {
        if (!is_among(run, keys_text(token, "serial")))
            return tbs_fail(diag, TBS_ERR_DENIED,
                            "token %s holds key %s, too, and is not in this step",
                            keys_text(token, "serial"), id);
    }
    TRY(destroy_on_all(run, key, diag));
    json_object_set_new(key, "tokens", json_array());
    return strcmp(keys_text(key, "role"), "canary") == 0
               ? TBS_OK
               : registry_change(run, id, "destroyed", diag);
}

/* --- On some tokens only --- */

static void remove_holder(json_t *key, const char *serial)
{
    json_t *tokens = json_object_get(key, "tokens");
    for (size_t i = json_array_size(tokens); i > 0; i--)
        if (strcmp(keys_text(json_array_get(tokens, i - 1), "serial"), serial) == 0)
            json_array_remove(tokens, i - 1);
}

static bool is_elsewhere(const struct run *run, const json_t *key)
{
    size_t i;
    const json_t *token;
    json_array_foreach(json_object_get(key, "tokens"), i, token)
    {
        if (!is_among(run, keys_text(token, "serial")))
            return true;
    }
    return false;
}

enum tbs_err act_withdraw(struct run *run, struct tbs_diag *diag)
{
    json_t *key = keys_known(run, run->step->key);
    if (!key || !is_elsewhere(run, key))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "no other token holds key %s: it would be lost; destroy it, if that is "
                        "what is meant",
                        run->step->key);
    TRY(destroy_on_all(run, key, diag));
    for (unsigned i = 0; i < run->step->on_count; i++)
        remove_holder(key, token_serial(run, run->step->on[i]));
    return TBS_OK;
}
