/* Quorum custody: the user's PIN of a token as shares, one for each of the quorum's people. */
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "ceremony/internal.h"
#include "custody/pin.h"
#include "shares/shares.h"

#define SECRET_LEN SHARES_SECRET_MIN /* octets; the PIN is their hexadecimal digits */
#define TRIES 3

/* A set as it is in the state: {"set", "need", "role", "commitments": [hex], "holders": [names]},
 * both lists in the order of the shares. */
static const json_t *set_of(const struct run *run, const struct run_token *token)
{
    return json_object_get(json_object_get(run->state, "shares"), token->name);
}

bool shares_hold_pin(const struct run *run, const struct run_token *token)
{
    return set_of(run, token) != NULL;
}

void shares_forget(struct run *run, const struct run_token *token)
{
    json_object_del(json_object_get(run->state, "shares"), token->name);
}

static unsigned number_of(const json_t *set, const char *key)
{
    return (unsigned)json_integer_value(json_object_get(set, key));
}

static const char *text_at(const json_t *set, const char *key, size_t index)
{
    const char *text = json_string_value(json_array_get(json_object_get(set, key), index));
    return text ? text : "";
}

static bool is_here(const struct run *run, const char *role, const char *name)
{
    for (size_t i = 0; i < run->n_people; i++)
        if (run->people[i].here && strcmp(run->people[i].site->role, role) == 0 &&
            strcmp(run->people[i].site->name, name) == 0)
            return true;
    return false;
}

static void free_shares(struct share shares[SHARES_MAX])
{
    for (size_t i = 0; i < SHARES_MAX; i++)
        share_free(&shares[i]);
}

/* --- One share, typed --- */

/* ANY: of any holder who is here. */
#define ANY SHARES_MAX

static enum tbs_err check_typed(const struct run *run, const struct run_token *token,
                                const json_t *set, size_t wanted, const struct share *share,
                                struct tbs_diag *diag)
{
    uint8_t commitment[SHARES_COMMITMENT_LEN];
    const char *holder = text_at(set, "holders", share->index);
    if (share->id != number_of(set, "set"))
        return tbs_fail(diag, TBS_ERR_AUTH,
                        "this is a share of set %u; the PIN of token %s is in set %u", share->id,
                        token->name, number_of(set, "set"));
    if (!tbs_unhex(text_at(set, "commitments", share->index), commitment, sizeof commitment))
        return tbs_fail(diag, TBS_ERR_AUTH, "nobody was handed a share %u", share->index + 1);
    TRY(share_check(share, commitment, diag));
    if (wanted != ANY && share->index != wanted)
        return tbs_fail(diag, TBS_ERR_AUTH, "this is share %u, that of %.60s", share->index + 1,
                        holder);
    if (!is_here(run, json_string_value(json_object_get(set, "role")), holder))
        return tbs_fail(diag, TBS_ERR_AUTH, "this is the share of %.60s, who did not sign in",
                        holder);
    return TBS_OK;
}

static enum tbs_err type_once(struct run *run, const struct run_token *token, const json_t *set,
                              const char *what, size_t wanted, size_t automatic,
                              struct share *ret_share, struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret words = {0};
    struct share share = {0};
    if (console_is_automatic(run->console))
        TRY(rehearsal_share(run, token->name, (unsigned)automatic + 1, &words, diag));
    else
        TRY(pin_read_for(what, "prompt", &words, diag));
    TRY(share_read_words(tbs_secret_view(&words), &share, diag));
    enum tbs_err err = check_typed(run, token, set, wanted, &share, diag);
    if (err == TBS_OK)
        *ret_share = share;
    else
        share_free(&share);
    return err;
}

static bool is_slip(enum tbs_err err)
{
    return err == TBS_ERR_CONFIG || err == TBS_ERR_MALFORMED || err == TBS_ERR_AUTH;
}

/* Says what is wrong with it, so that it can be typed anew; not for ever. */
static enum tbs_err after_slip(struct run *run, const char *who, unsigned tries, enum tbs_err err,
                               struct tbs_diag *diag)
{
    if (!is_slip(err) || console_is_automatic(run->console))
        return err;
    console_say(run->console, "Not taken: %s.", diag->text);
    return tries < TRIES ? TBS_OK
                         : tbs_fail(diag, TBS_ERR_DENIED,
                                    "%.60s could not type a right share in %d times; resume when "
                                    "it is found",
                                    who, TRIES);
}

static enum tbs_err type_share(struct run *run, const struct run_token *token, const json_t *set,
                               const char *who, size_t wanted, size_t automatic,
                               struct share *ret_share, struct tbs_diag *diag)
{
    char what[160];
    snprintf(what, sizeof what, "%.60s: share of the PIN of token %.40s", who, token->name);
    for (unsigned tries = 1;; tries++) {
        struct tbs_diag slip = {0};
        enum tbs_err err = type_once(run, token, set, what, wanted, automatic, ret_share, &slip);
        if (err == TBS_OK)
            return TBS_OK;
        err = after_slip(run, who, tries, err, &slip);
        if (err != TBS_OK) {
            *diag = slip;
            return err;
        }
    }
}

static enum tbs_err record_typed(struct run *run, const struct run_token *token, const json_t *set,
                                 size_t index, struct tbs_diag *diag)
{
    console_say(run->console, "Share %zu, of %s, is right.", index + 1,
                text_at(set, "holders", index));
    return record(run, "share-verify",
                  json_pack("{s:s, s:i, s:i, s:s, s:s}", "token", token->name, "set",
                            (int)number_of(set, "set"), "number", (int)index + 1, "commitment",
                            text_at(set, "commitments", index), "by",
                            text_at(set, "holders", index)),
                  diag);
}

/* --- Rebuilding --- */

static enum tbs_err put_pin(const struct tbs_secret *secret, struct tbs_secret *ret_pin,
                            struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret hex = {0};
    TRY(tbs_secret_alloc(2 * secret->len + 1, &hex, diag));
    tbs_hex(tbs_secret_view(secret), (char *)hex.data);
    return tbs_secret_copy(tbs_bytes(hex.data, 2 * secret->len), ret_pin, diag);
}

static enum tbs_err rebuild(const struct share *shares, unsigned need, struct tbs_secret *ret_pin,
                            struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    TRY(shares_combine(shares, need, tbs_bytes(NULL, 0), &secret, diag));
    return put_pin(&secret, ret_pin, diag);
}

static json_t *numbers(const struct share *shares, unsigned n)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, json_integer((json_int_t)shares[i].index + 1));
    return list;
}

static enum tbs_err record_rebuilt(struct run *run, const struct run_token *token,
                                   const json_t *set, json_t *groups, struct tbs_diag *diag)
{
    return record(run, "share-rebuild",
                  json_pack("{s:s, s:i, s:o}", "token", token->name, "set",
                            (int)number_of(set, "set"), "groups", groups),
                  diag);
}

/* In a rehearsal that answers itself: the first holder after the last one who is here. */
static size_t next_here(const struct run *run, const json_t *set, size_t from)
{
    const char *role = json_string_value(json_object_get(set, "role"));
    while (from + 1 < json_array_size(json_object_get(set, "holders")) &&
           !is_here(run, role, text_at(set, "holders", from)))
        from++;
    return from;
}

static enum tbs_err check_enough(const struct run *run, const struct run_token *token,
                                 const json_t *set, struct tbs_diag *diag)
{
    unsigned there = 0;
    const char *role = json_string_value(json_object_get(set, "role"));
    for (size_t i = 0; i < json_array_size(json_object_get(set, "holders")); i++)
        there += is_here(run, role, text_at(set, "holders", i));
    if (there >= number_of(set, "need"))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_DENIED,
                    "the PIN of token %s takes %u shares, and %u of those who hold one signed in; "
                    "resume when they are here",
                    token->name, number_of(set, "need"), there);
}

static enum tbs_err collect(struct run *run, const struct run_token *token, const json_t *set,
                            struct share shares[SHARES_MAX], struct tbs_diag *diag)
{
    size_t next = 0;
    for (unsigned n = 0; n < number_of(set, "need");) {
        char who[80];
        bool twice = false;
        snprintf(who, sizeof who, "Any custodian (%u of %u)", n + 1, number_of(set, "need"));
        next = next_here(run, set, next);
        TRY(type_share(run, token, set, who, ANY, next++, &shares[n], diag));
        for (unsigned i = 0; i < n; i++)
            twice |= shares[i].index == shares[n].index;
        if (twice) {
            console_say(run->console, "Share %u is there already.", shares[n].index + 1);
            share_free(&shares[n]);
            continue;
        }
        TRY(record_typed(run, token, set, shares[n].index, diag));
        n++;
    }
    return TBS_OK;
}

enum tbs_err shares_pin(struct run *run, struct run_token *token, struct tbs_diag *diag)
{
    const json_t *set = set_of(run, token);
    struct share shares[SHARES_MAX] = {0};
    unsigned need = number_of(set, "need");
    TRY(check_enough(run, token, set, diag));
    console_say(run->console, "The PIN of token %s is rebuilt from %u shares.", token->name, need);
    enum tbs_err err = collect(run, token, set, shares, diag);
    if (err == TBS_OK)
        err = record_rebuilt(run, token, set, json_pack("[o]", numbers(shares, need)), diag);
    if (err == TBS_OK)
        err = rebuild(shares, need, &token->user, diag);
    free_shares(shares);
    return err;
}

/* --- A new set --- */

/* Of the token's random and of this computer's: neither alone needs to be good. */
static enum tbs_err make_secret(struct run *run, struct run_token *token,
                                struct tbs_secret *ret_secret, struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret secret = {0}, own = {0};
    TRY(tbs_secret_alloc(SECRET_LEN, &secret, diag));
    TRY(tbs_secret_alloc(SECRET_LEN, &own, diag));
    TRY(token_login(run, token, true, diag));
    TRY(vault_random(token->vault, secret.data, SECRET_LEN, diag));
    token_logout(token);
    if (RAND_priv_bytes(own.data, SECRET_LEN) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library gives no random octets");
    for (size_t i = 0; i < SECRET_LEN; i++)
        secret.data[i] ^= own.data[i];
    *ret_secret = secret;
    secret = (struct tbs_secret){0};
    return TBS_OK;
}

static json_t *take_holders(const struct run *run, const struct script_quorum *q)
{
    json_t *holders = json_array();
    for (size_t i = 0; i < run->n_people && json_array_size(holders) < q->people; i++)
        if (run->people[i].here && strcmp(run->people[i].site->role, q->role) == 0)
            json_array_append_new(holders, json_string(run->people[i].site->name));
    return holders;
}

/* Into the state, which is kept when the step has ended. */
static enum tbs_err keep_set(struct run *run, const struct run_token *token,
                             const struct share *shares, struct tbs_diag *diag)
{
    const struct script_quorum *q = &run->script->script->quorum;
    json_t *commitments = json_array(), *all = json_object_get(run->state, "shares");
    for (unsigned i = 0; i < q->people; i++) {
        uint8_t commitment[SHARES_COMMITMENT_LEN];
        char hex[2 * SHARES_COMMITMENT_LEN + 1];
        enum tbs_err err = share_commit(&shares[i], commitment, diag);
        if (err != TBS_OK) {
            json_decref(commitments);
            return err;
        }
        tbs_hex(tbs_bytes(commitment, sizeof commitment), hex);
        json_array_append_new(commitments, json_string(hex));
    }
    json_t *set =
        json_pack("{s:i, s:i, s:s, s:o, s:o}", "set", (int)shares[0].id, "need", (int)q->need,
                  "role", q->role, "commitments", commitments, "holders", take_holders(run, q));
    if (!all) {
        all = json_object();
        json_object_set_new(run->state, "shares", all);
    }
    return json_object_set_new(all, token->name, set) == 0 ? TBS_OK : run_no_memory(diag);
}

static enum tbs_err record_set(struct run *run, const struct run_token *token, const json_t *set,
                               struct tbs_diag *diag)
{
    return record(run, "share-commit",
                  json_pack("{s:s, s:O, s:O, s:O, s:O}", "token", token->name, "set",
                            json_object_get(set, "set"), "need", json_object_get(set, "need"),
                            "role", json_object_get(set, "role"), "commitments",
                            json_object_get(set, "commitments")),
                  diag);
}

static enum tbs_err show_alone(struct run *run, const struct run_token *token, const char *holder,
                               unsigned number, struct tbs_bytes words, struct tbs_diag *diag)
{
    if (run->rehearsal)
        TRY(rehearsal_keep_share(run, token->name, number, words, diag));
    return console_is_automatic(run->console)
               ? TBS_OK
               : console_show_alone(run->console, holder, words, diag);
}

/* Shown anew after each slip: what was written down may be wrong. */
static enum tbs_err hand_out(struct run *run, const struct run_token *token, const json_t *set,
                             const struct share *share, struct share *ret_typed,
                             struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret words = {0};
    const char *holder = text_at(set, "holders", share->index);
    char what[160];
    snprintf(what, sizeof what, "%.60s: the share once more, from paper", holder);
    TRY(share_put_words(share, &words, diag));
    for (unsigned tries = 1;; tries++) {
        struct tbs_diag slip = {0};
        TRY(show_alone(run, token, holder, share->index + 1, tbs_secret_view(&words), diag));
        enum tbs_err err =
            type_once(run, token, set, what, share->index, share->index, ret_typed, &slip);
        if (err == TBS_OK)
            return record_typed(run, token, set, share->index, diag);
        err = after_slip(run, holder, tries, err, &slip);
        if (err != TBS_OK) {
            *diag = slip;
            return err;
        }
    }
}

/* Groups that overlap by one share, until each has been in one. */
static enum tbs_err prove(struct run *run, const struct run_token *token, const json_t *set,
                          const struct share *typed, const struct tbs_secret *pin,
                          struct tbs_diag *diag)
{
    unsigned need = number_of(set, "need"), first = 0;
    unsigned last = (unsigned)json_array_size(json_object_get(set, "holders")) - need;
    json_t *groups = json_array();
    enum tbs_err err = TBS_OK;
    for (bool done = false; err == TBS_OK && !done;) {
        TBS_SECRET_AUTO struct tbs_secret again = {0};
        err = rebuild(typed + first, need, &again, diag);
        if (err == TBS_OK && !tbs_secret_equal(tbs_secret_view(pin), tbs_secret_view(&again)))
            err = tbs_fail(diag, TBS_ERR_AUTH, "the shares give another PIN; nothing was set");
        json_array_append_new(groups, numbers(typed + first, need));
        done = first == last;
        first = first + need - 1 < last ? first + need - 1 : last;
    }
    if (err == TBS_OK)
        return record_rebuilt(run, token, set, groups, diag);
    json_decref(groups);
    return err;
}

static enum tbs_err hand_out_all(struct run *run, struct run_token *token,
                                 const struct share *shares, const struct tbs_secret *pin,
                                 struct tbs_diag *diag)
{
    const json_t *set = set_of(run, token);
    struct share typed[SHARES_MAX] = {0};
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; err == TBS_OK && i < json_array_size(json_object_get(set, "holders")); i++)
        err = hand_out(run, token, set, &shares[i], &typed[i], diag);
    if (err == TBS_OK)
        err = prove(run, token, set, typed, pin, diag);
    free_shares(typed);
    return err;
}

static enum tbs_err split(struct run *run, struct run_token *token, const struct tbs_secret *secret,
                          struct share shares[SHARES_MAX], struct tbs_diag *diag)
{
    const struct script_quorum *q = &run->script->script->quorum;
    /* lint has found a waiver where one is needed. */
    const struct shares_plan plan = {.need = q->need, .people = q->people, .waived = true};
    TBS_SECRET_AUTO struct tbs_secret pin = {0};
    TRY(put_pin(secret, &pin, diag));
    TRY(shares_split(tbs_secret_view(secret), tbs_bytes(NULL, 0), &plan, shares, diag));
    TRY(keep_set(run, token, shares, diag));
    TRY(record_set(run, token, set_of(run, token), diag));
    TRY(hand_out_all(run, token, shares, &pin, diag));
    if (run->rehearsal)
        TRY(rehearsal_keep_pin(run, token->name, tbs_secret_view(&pin), diag));
    tbs_secret_free(&token->user);
    token->user = pin;
    pin = (struct tbs_secret){0};
    return TBS_OK;
}

enum tbs_err shares_new_pin(struct run *run, struct run_token *token, struct tbs_diag *diag)
{
    const struct script_quorum *q = &run->script->script->quorum;
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    struct share shares[SHARES_MAX] = {0};
    console_say(run->console,
                "The PIN of token %s becomes %u shares, of which %u rebuild it. Each is shown to "
                "its holder alone and typed back before any counts.",
                token->name, q->people, q->need);
    TRY(make_secret(run, token, &secret, diag));
    enum tbs_err err = split(run, token, &secret, shares, diag);
    free_shares(shares);
    return err;
}

/* --- Checking, without rebuilding --- */

enum tbs_err act_check_shares(struct run *run, struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, run->step->on[0]);
    const json_t *set = set_of(run, token);
    const char *role = json_string_value(json_object_get(set, "role"));
    unsigned right = 0;
    if (!set)
        return tbs_fail(diag, TBS_ERR_DENIED, "nobody holds a share of the PIN of token %s",
                        token->name);
    for (size_t i = 0; i < json_array_size(json_object_get(set, "holders")); i++) {
        struct share share = {0};
        const char *holder = text_at(set, "holders", i);
        if (!is_here(run, role, holder))
            continue;
        TRY(type_share(run, token, set, holder, i, i, &share, diag));
        share_free(&share);
        TRY(record_typed(run, token, set, i, diag));
        right++;
    }
    if (right == 0)
        return tbs_fail(diag, TBS_ERR_DENIED, "none of those who hold a share of token %s is here",
                        token->name);
    console_say(run->console, "%u of %zu shares are right.", right,
                json_array_size(json_object_get(set, "holders")));
    return TBS_OK;
}
