/* Steps about tokens as a whole. */
#include <stdio.h>
#include <string.h>

#include "ceremony/keys.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* What it says of itself, and what its maker says of its random numbers. Takes `info` over. */
static enum tbs_err record_token(struct run *run, const struct run_token *token, json_t *info,
                                 struct tbs_diag *diag)
{
    json_object_set_new(info, "token", json_string(token->name));
    json_object_set_new(info, "entropy", json_string(token->site->entropy));
    return record(run, "token-info", info, diag);
}

enum tbs_err act_inspect(struct run *run, struct tbs_diag *diag)
{
    for (unsigned i = 0; i < run->step->on_count; i++) {
        struct run_token *token = token_of(run, run->step->on[i]);
        json_t *info = NULL;
        TRY(token_open(run, token, diag));
        TRY(vault_info(token->vault, &info, diag));
        console_say(run->console, "Token %s: %s, %s, serial '%s', firmware %s", token->name,
                    text_of(info, "manufacturer"), text_of(info, "model"), text_of(info, "serial"),
                    text_of(info, "firmware"));
        console_say(run->console, "Its random numbers: %s", token->site->entropy);
        TRY(record_token(run, token, info, diag));
        /* Another one may be the fresh token by the time this one is needed. */
        if (!vault_is_initialised(token->vault))
            token_close(token);
    }
    return TBS_OK;
}

/* --- PINs --- */

/* A step that was cut off may have given the token its label already. */
static enum tbs_err open_to_initialise(struct run *run, struct run_token *token, const char *label,
                                       struct tbs_diag *diag)
{
    const struct vault_token again = {
        .module = token->site->module, .label = label, .init_args = token->site->init_args};
    token_close(token);
    if (token->site->fresh && run->redo &&
        vault_open(&again, NULL, &token->vault, NULL) == TBS_OK) {
        const char *serial = vault_serial(token->vault);
        json_object_set_new(json_object_get(run->state, "tokens"), token->name,
                            json_pack("{s:s}", "serial", serial));
        token_close(token);
    }
    TRY(token_open(run, token, diag));
    if (vault_is_initialised(token->vault) && !run->redo)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "token %s is initialised already; this step takes a factory-fresh one",
                        token->name);
    return TBS_OK;
}

/* The user's PIN that the step at hand sets. */
static enum tbs_err new_user_pin(struct run *run, struct run_token *token, struct tbs_diag *diag)
{
    if (run->step->shares)
        return shares_new_pin(run, token, diag);
    shares_forget(run, token);
    return token_pin(run, token, false, true, diag);
}

enum tbs_err act_initialise(struct run *run, struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, run->step->on[0]);
    char label[40];
    json_t *info = NULL;
    snprintf(label, sizeof label, "tbs-%.27s", token->name);
    TRY(open_to_initialise(run, token, label, diag));
    TRY(token_pin(run, token, true, true, diag));
    TRY(vault_init_token(token->vault, label, tbs_secret_view(&token->so), diag));
    token->as_user = token->as_so = false;
    TRY(new_user_pin(run, token, diag));
    TRY(vault_init_pin(token->vault, tbs_secret_view(&token->so), tbs_secret_view(&token->user),
                       diag));
    TRY(token_remember(run, token, diag));
    TRY(vault_info(token->vault, &info, diag));
    console_say(run->console, "Token %s is '%s', serial %s.", token->name, label,
                vault_serial(token->vault));
    return record_token(run, token, info, diag);
}

enum tbs_err act_set_pin(struct run *run, struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, run->step->on[0]);
    TRY(token_open(run, token, diag));
    TRY(token_pin(run, token, true, false, diag));
    TRY(new_user_pin(run, token, diag));
    token_logout(token);
    TRY(vault_init_pin(token->vault, tbs_secret_view(&token->so), tbs_secret_view(&token->user),
                       diag));
    return token_login(run, token, false, diag);
}

/* --- Inventories --- */

static void expect(json_t *expected, const char *class, const char *id, const char *template,
                   enum template_profile profile, json_t *check)
{
    json_array_append_new(expected, json_pack("{s:s, s:s, s:s, s:s, s:O*}", "class", class, "id",
                                              id, "template", template, "profile",
                                              template_profile_name(profile), "check", check));
}

/* A pair's private half gives no check value of its own. */
static void expect_pair(json_t *expected, const char *id, const char *template, json_t *check)
{
    expect(expected, "CKO_PRIVATE_KEY", id, template, TEMPLATE_PRIVATE, NULL);
    expect(expected, "CKO_PUBLIC_KEY", id, template, TEMPLATE_PUBLIC, check);
}

static void expect_key(json_t *expected, const char *id, const json_t *key, const char *origin)
{
    const struct key_template *template;
    json_t *check = json_object_get(key, "check");
    enum template_profile profile = TEMPLATE_SITE_ONLY;
    if (template_find(text_of(key, "template"), &template, NULL) != TBS_OK)
        return; /* the object is then one that nobody knows */
    if (template->profiles & 1u << TEMPLATE_PRIVATE) {
        expect_pair(expected, id, template->name, check);
        return;
    }
    if (strcmp(origin, "restored") == 0)
        profile = TEMPLATE_RESTORED;
    else if (template->profiles & 1u << TEMPLATE_SEALED)
        profile = TEMPLATE_SEALED;
    /* Another each time. */
    if (strcmp(text_of(check, "method"), "aes-256-gcm-block") == 0)
        check = NULL;
    expect(expected, "CKO_SECRET_KEY", id, template->name, profile, check);
}

static void expect_keys(const struct run *run, const char *token, json_t *expected)
{
    const char *id;
    json_t *key, *at;
    json_object_foreach(json_object_get(run->state, "keys"), id, key)
    {
        size_t i;
        json_array_foreach(json_object_get(key, "tokens"), i, at)
        {
            if (strcmp(text_of(at, "serial"), token_serial(run, token)) == 0)
                expect_key(expected, id, key, text_of(at, "origin"));
        }
    }
}

static void expect_transports(const struct run *run, const char *token, json_t *expected)
{
    const char *of;
    json_t *check;
    char id[VAULT_ID_MAX + 1];
    keys_transport_id(token, id);
    if (json_object_get(json_object_get(run->state, "transport"), token))
        expect_pair(expected, id, "transport-rsa-3072-unwrap-v1", NULL);
    json_object_foreach(json_object_get(json_object_get(run->state, "trusted"), token), of, check)
    {
        keys_transport_id(of, id);
        expect(expected, "CKO_PUBLIC_KEY", id, "transport-public-wrap-v1", TEMPLATE_TRUSTED, check);
    }
}

static enum tbs_err judge_objects(const struct run *run, const char *token, const json_t *objects,
                                  struct tbs_diag *diag)
{
    json_t *expected = json_array(), *waivers = keys_waivers(run, token, NULL), *findings = NULL;
    size_t i;
    const json_t *finding;
    expect_keys(run, token, expected);
    expect_transports(run, token, expected);
    enum tbs_err err = rules_judge_inventory(objects, expected, token_serial(run, token), waivers,
                                             &findings, diag);
    json_array_foreach(findings, i, finding)
    {
        if (err == TBS_OK && !json_is_string(json_object_get(finding, "waived")))
            err = tbs_fail(diag, TBS_ERR_DENIED, "token %s, object %.64s: %.200s", token,
                           text_of(finding, "id"), text_of(finding, "sentence"));
    }
    json_decref(expected);
    json_decref(waivers);
    json_decref(findings);
    return err;
}

/* In a new process: what is seen is what the token kept. */
enum tbs_err act_inventory(struct run *run, struct tbs_diag *diag)
{
    for (unsigned t = 0; t < run->step->on_count; t++) {
        struct run_token *token = token_of(run, run->step->on[t]);
        json_t *objects = NULL;
        TRY(token_read_back(run, token, &objects, diag));
        enum tbs_err err =
            record(run, "inventory",
                   json_pack("{s:s, s:O}", "token", token->name, "objects", objects), diag);
        if (err == TBS_OK)
            err = judge_objects(run, token->name, objects, diag);
        if (err == TBS_OK)
            console_say(run->console, "Token %s: %zu objects, all known, all as they must be.",
                        token->name, json_array_size(objects));
        json_decref(objects);
        TRY(err);
    }
    return TBS_OK;
}

enum tbs_err act_checkpoint(struct run *run, struct tbs_diag *diag)
{
    char head[TRANSCRIPT_HEX_LEN + 1];
    transcript_head(run->transcript, head);
    TRY(record_words(run, "Head", head, diag));
    TRY(record_sign_token(run, token_of(run, run->step->on[0]), run->step->key, diag));
    return record_sign(run, run->step->sign, run->step->sign_count, diag);
}
