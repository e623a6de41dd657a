/* The tokens of a ceremony: found, logged in to, and watched call by call. */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "ceremony/internal.h"
#include "custody/pin.h"

struct run_token *token_of(struct run *run, const char *name)
{
    for (size_t i = 0; i < run->n_tokens; i++)
        if (strcmp(run->tokens[i].name, name) == 0)
            return &run->tokens[i];
    return NULL;
}

static const json_t *state_of(const struct run *run, const char *name)
{
    return json_object_get(json_object_get(run->state, "tokens"), name);
}

const char *token_serial(const struct run *run, const char *name)
{
    const char *serial = json_string_value(json_object_get(state_of(run, name), "serial"));
    return serial ? serial : "";
}

const char *token_label(const struct run *run, const char *name)
{
    return json_string_value(json_object_get(state_of(run, name), "label"));
}

/* --- The witness: journal before and after each call, record after it --- */

static enum tbs_err before(void *ctx, const char *call, json_t *what, struct tbs_diag *diag)
{
    struct run_token *token = ctx;
    token->touched = true;
    return journal_put(
        token->run->journal, "before",
        json_pack("{s:s, s:s, s:O}", "token", token->name, "call", call, "what", what), diag);
}

static enum tbs_err after(void *ctx, const char *call, unsigned long rv, json_t *result,
                          struct tbs_diag *diag)
{
    struct run_token *token = ctx;
    TRY(journal_put(token->run->journal, "after",
                    json_pack("{s:s, s:s, s:I, s:O?}", "token", token->name, "call", call, "rv",
                              (json_int_t)rv, "result", result),
                    diag));
    return record(
        token->run, "api",
        json_pack("{s:s, s:s, s:I}", "token", token->name, "call", call, "rv", (json_int_t)rv),
        diag);
}

/* --- Opening --- */

/* It protects nothing: whoever reads its files has the keys. */
static enum tbs_err check_model(const struct run *run, const struct run_token *token,
                                struct tbs_diag *diag)
{
    const char *model = vault_model(token->vault);
    if (run->rehearsal || !strstr(model, "SoftHSM") ||
        script_waives(run->script->script, "softhsm", token->name))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_DENIED,
                    "token %s is a '%s', which protects nothing: rehearse with it, or let the "
                    "script waive the rule softhsm for token %s",
                    token->name, model, token->name);
}

/* OAEP does not rest on collisions; but who allows SHA-1 at all says so. */
static enum tbs_err check_oaep(const struct run *run, const struct run_token *token,
                               struct tbs_diag *diag)
{
    if (run->rehearsal || token->site->oaep == OAEP_SHA_256 ||
        script_waives(run->script->script, "oaep-sha1", token->name))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_DENIED,
                    "the site says that token %s knows OAEP with SHA-1 only: let the script waive "
                    "the rule oaep-sha1 for token %s, or take another",
                    token->name, token->name);
}

enum tbs_err token_open(struct run *run, struct run_token *token, struct tbs_diag *diag)
{
    const struct vault_witness witness = {.before = before, .after = after, .ctx = token};
    struct vault_token at = {.module = token->site->module,
                             .serial = token->site->serial,
                             .label = token->site->label,
                             .fresh = token->site->fresh,
                             .oaep = token->site->oaep,
                             .init_args = token->site->init_args,
                             .quirks = (const char *const *)token->site->quirks,
                             .n_quirks = token->site->quirks_count};
    if (token->vault)
        return TBS_OK;
    TRY(check_oaep(run, token, diag));
    token->run = run;
    if (state_of(run, token->name)) {
        at.serial = token_serial(run, token->name);
        at.label = token_label(run, token->name);
        at.fresh = false;
    }
    TRY(vault_open(&at, &witness, &token->vault, diag));
    enum tbs_err err = check_model(run, token, diag);
    if (err != TBS_OK) {
        token_close(token);
        return err;
    }
    /* The serial of a token that had none is known once it is initialised. */
    if (vault_is_initialised(token->vault))
        return token_remember(run, token, diag);
    return TBS_OK;
}

enum tbs_err token_remember(struct run *run, struct run_token *token, struct tbs_diag *diag)
{
    json_t *known = json_pack("{s:s, s:s}", "serial", vault_serial(token->vault), "label",
                              vault_label(token->vault));
    if (json_object_set_new(json_object_get(run->state, "tokens"), token->name, known) != 0)
        return run_no_memory(diag);
    return TBS_OK;
}

void token_close(struct run_token *token)
{
    vault_close(token->vault);
    token->vault = NULL;
    json_decref(token->what);
    token->what = NULL;
    token->as_user = token->as_so = false;
    tbs_secret_free(&token->so);
    tbs_secret_free(&token->user);
}

/* --- PINs --- */

enum tbs_err token_pin(struct run *run, struct run_token *token, bool so, bool new,
                       struct tbs_diag *diag)
{
    struct tbs_secret *pin = so ? &token->so : &token->user;
    char what[120];
    if (new)
        tbs_secret_free(pin);
    if (pin->len > 0 || token->site->pin_pad)
        return TBS_OK;
    if (!so && !new &&shares_hold_pin(run, token))
        return shares_pin(run, token, diag);
    if (token->site->pin && !run->rehearsal)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the site says where the PIN of token %s is, which is for rehearsals: here "
                        "people type it",
                        token->name);
    if (token->site->pin && !so && !new)
        return pin_read_for("user's PIN", token->site->pin, pin, diag);
    if (run->rehearsal)
        return rehearsal_pin(run, token->name, so, new, pin, diag);
    snprintf(what, sizeof what, "%s%s of token %s", new ? "new " : "",
             so ? "PIN of the security officers" : "PIN of the user", token->name);
    return new ? console_new_pin(run->console, what, pin, diag)
               : pin_read_for(what, "prompt", pin, diag);
}

enum tbs_err token_login(struct run *run, struct run_token *token, bool as_so,
                         struct tbs_diag *diag)
{
    TRY(token_open(run, token, diag));
    if (as_so ? token->as_so : token->as_user)
        return TBS_OK;
    TRY(token_pin(run, token, as_so, false, diag));
    token->as_user = token->as_so = false;
    enum tbs_err err =
        vault_login(token->vault, as_so, tbs_secret_view(as_so ? &token->so : &token->user), diag);
    if (err != TBS_OK) {
        /* It may have been a slip: whoever resumes types it anew. */
        tbs_secret_free(as_so ? &token->so : &token->user);
        return err;
    }
    *(as_so ? &token->as_so : &token->as_user) = true;
    return TBS_OK;
}

void token_logout(struct run_token *token)
{
    if (token->vault)
        vault_logout(token->vault);
    token->as_user = token->as_so = false;
}

/* --- Objects --- */

enum tbs_err token_objects(struct run *run, struct run_token *token, json_t **ret_objects,
                           struct tbs_diag *diag)
{
    TRY(token_login(run, token, false, diag));
    return vault_inventory(token->vault, ret_objects, diag);
}

enum tbs_err token_destroy(struct run *run, struct run_token *token, const json_t *objects,
                           struct tbs_diag *diag)
{
    TRY(token_login(run, token, false, diag));
    return vault_destroy_objects(token->vault, objects, diag);
}

/* --- Signing --- */

static enum tbs_err sign(void *ctx, struct tbs_bytes octets, struct tbs_buf *ret_signature,
                         struct tbs_diag *diag)
{
    struct token_maker *m = ctx;
    return vault_sign(m->token->vault, m->id, tbs_secret_view(&m->token->user), octets,
                      ret_signature, diag);
}

enum tbs_err token_maker(struct run *run, struct run_token *token, const char *id,
                         struct token_maker *ret_maker, struct tbs_diag *diag)
{
    const char *spki = json_string_value(
        json_object_get(json_object_get(json_object_get(run->state, "keys"), id), "spki"));
    TRY(token_login(run, token, false, diag));
    *ret_maker = (struct token_maker){.token = token, .id = id, .spki = tbs_buf()};
    if (!spki || !tbs_base64_decode(tbs_bytes_str(spki), &ret_maker->spki))
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "the public half of key %s is not known", id);
    ret_maker->maker = (struct signed_maker){
        .spki = tbs_buf_view(&ret_maker->spki), .sign = sign, .ctx = ret_maker};
    return TBS_OK;
}

void token_maker_free(struct token_maker *maker)
{
    tbs_buf_free(&maker->spki);
}

enum tbs_err token_sign_lines(struct run *run, struct run_token *token, const char *id,
                              struct tbs_buf *text, struct tbs_diag *diag)
{
    struct token_maker maker;
    TRY(token_maker(run, token, id, &maker, diag));
    enum tbs_err err = signed_lines_sign(text, &maker.maker, diag);
    token_maker_free(&maker);
    return err;
}
