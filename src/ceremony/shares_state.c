/* Which set of shares holds which PIN of a token. A call that sets a PIN may be cut off before its
 * answer: then both what it should set and what was there before are kept, until a login tells. */
#include <string.h>

#include "ceremony/internal.h"

static const char *kind(bool so)
{
    return so ? "so" : "user";
}

static json_t *holders_of(const struct run *run, const struct run_token *token, bool so)
{
    const json_t *all = json_object_get(run->state, "shares");
    return json_object_get(json_object_get(all, token->name), kind(so));
}

const json_t *shares_set(const struct run *run, const struct run_token *token, bool so)
{
    json_t *latest = json_array_get(holders_of(run, token, so), 0);
    return json_is_object(latest) ? latest : NULL;
}

bool shares_in_doubt(const struct run *run, const struct run_token *token, bool so)
{
    return json_array_size(holders_of(run, token, so)) > 1;
}

/* At once, and not when the step ends: the token does not wait for that either. */
static enum tbs_err keep(struct run *run, const struct run_token *token, bool so, json_t *holders,
                         struct tbs_diag *diag)
{
    json_t *all = json_object_get(run->state, "shares"), *pins;
    if (!all) {
        all = json_object();
        json_object_set_new(run->state, "shares", all);
    }
    pins = json_object_get(all, token->name);
    if (!pins) {
        pins = json_object();
        json_object_set_new(all, token->name, pins);
    }
    if (!pins || !holders || json_object_set_new(pins, kind(so), holders) != 0)
        return run_no_memory(diag);
    return journal_put(run->journal, "pins",
                       json_pack("{s:s, s:O}", "token", token->name, "shares", pins), diag);
}

enum tbs_err shares_expect(struct run *run, const struct run_token *token, bool so, json_t *set,
                           struct tbs_diag *diag)
{
    json_t *before = holders_of(run, token, so);
    json_t *holders = json_pack("[O?]", set), *old;
    size_t i;
    if (!set && !shares_set(run, token, so) && !shares_in_doubt(run, token, so)) {
        json_decref(holders);
        return TBS_OK; /* as any token whose PINs people know */
    }
    if (!before)
        json_array_append_new(holders, json_null());
    json_array_foreach(before, i, old) json_array_append(holders, old);
    return keep(run, token, so, holders, diag);
}

enum tbs_err shares_forget(struct run *run, const struct run_token *token, struct tbs_diag *diag)
{
    if (json_object_del(json_object_get(run->state, "shares"), token->name) != 0)
        return TBS_OK;
    return journal_put(run->journal, "pins",
                       json_pack("{s:s, s:{}}", "token", token->name, "shares"), diag);
}

enum tbs_err shares_settle(struct run *run, const struct run_token *token, bool so,
                           struct tbs_diag *diag)
{
    if (!shares_in_doubt(run, token, so))
        return TBS_OK;
    return keep(run, token, so, json_pack("[O]", json_array_get(holders_of(run, token, so), 0)),
                diag);
}

enum tbs_err shares_discard(struct run *run, const struct run_token *token, bool so,
                            struct tbs_diag *diag)
{
    json_t *rest = json_copy(holders_of(run, token, so));
    json_array_remove(rest, 0);
    console_say(run->console,
                "The PIN of the %s of token %s was not set when the step was cut off; the one of "
                "before is asked for.",
                so ? "security officers" : "user", token->name);
    return keep(run, token, so, rest, diag);
}
