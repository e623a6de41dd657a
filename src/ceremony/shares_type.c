/* Shares that their holders type: each checked alone, and enough of them rebuild the PINs. */
#include <stdio.h>
#include <string.h>

#include "ceremony/shares_internal.h"
#include "custody/pin.h"

#define TRIES 3

unsigned set_number(const json_t *set, const char *key)
{
    return (unsigned)json_integer_value(json_object_get(set, key));
}

const char *set_text(const json_t *set, const char *key, size_t index)
{
    const char *text = json_string_value(json_array_get(json_object_get(set, key), index));
    return text ? text : "";
}

size_t set_people(const json_t *set)
{
    return json_array_size(json_object_get(set, "holders"));
}

struct shares_of shares_of_token(const struct run_token *token)
{
    struct shares_of of = {.name = token->name};
    snprintf(of.what, sizeof of.what, "the PINs of token %.40s", token->name);
    return of;
}

struct shares_of shares_of_key(const char *id)
{
    struct shares_of of = {.name = id};
    snprintf(of.what, sizeof of.what, "key %.64s", id);
    return of;
}

static bool is_here(const struct run *run, const json_t *set, size_t index)
{
    const char *role = json_string_value(json_object_get(set, "role"));
    for (size_t i = 0; i < run->n_people; i++)
        if (run->people[i].here && strcmp(run->people[i].site->role, role) == 0 &&
            strcmp(run->people[i].site->name, set_text(set, "holders", index)) == 0)
            return true;
    return run->off_record;
}

void shares_free(struct share shares[SHARES_MAX])
{
    for (size_t i = 0; i < SHARES_MAX; i++)
        share_free(&shares[i]);
}

/* --- One share --- */

static enum tbs_err check_typed(const struct run *run, const struct shares_of *of,
                                const json_t *set, size_t wanted, const struct share *share,
                                struct tbs_diag *diag)
{
    uint8_t commitment[SHARES_COMMITMENT_LEN];
    const char *holder = set_text(set, "holders", share->index);
    if (share->id != set_number(set, "set"))
        return tbs_fail(diag, TBS_ERR_AUTH,
                        "this is a share of set %u, and not of set %u, which holds %s", share->id,
                        set_number(set, "set"), of->what);
    if (!tbs_unhex(set_text(set, "commitments", share->index), commitment, sizeof commitment))
        return tbs_fail(diag, TBS_ERR_AUTH, "nobody was handed a share %u", share->index + 1);
    TRY(share_check(share, commitment, diag));
    if (wanted != ANY_SHARE && share->index != wanted)
        return tbs_fail(diag, TBS_ERR_AUTH, "this is share %u, that of %.60s", share->index + 1,
                        holder);
    if (!is_here(run, set, share->index))
        return tbs_fail(diag, TBS_ERR_AUTH, "this is the share of %.60s, who did not sign in",
                        holder);
    return TBS_OK;
}

enum tbs_err shares_type_once(struct run *run, const struct shares_of *of, const json_t *set,
                              const char *what, size_t wanted, size_t automatic,
                              struct share *ret_share, struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret words = {0};
    struct share share = {0};
    if (console_is_automatic(run->console))
        TRY(rehearsal_share(run, of->name, set_number(set, "set"), (unsigned)automatic + 1, &words,
                            diag));
    else
        TRY(pin_read_words(what, "prompt", &words, diag));
    TRY(share_read_words(tbs_secret_view(&words), &share, diag));
    enum tbs_err err = check_typed(run, of, set, wanted, &share, diag);
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

enum tbs_err shares_after_slip(struct run *run, const char *who, unsigned tries, enum tbs_err err,
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

static enum tbs_err type_share(struct run *run, const struct shares_of *of, const json_t *set,
                               const char *who, size_t wanted, size_t automatic,
                               struct share *ret_share, struct tbs_diag *diag)
{
    char what[160];
    snprintf(what, sizeof what, "%.60s: share of %.80s", who, of->what);
    for (unsigned tries = 1;; tries++) {
        struct tbs_diag slip = {0};
        enum tbs_err err =
            shares_type_once(run, of, set, what, wanted, automatic, ret_share, &slip);
        if (err == TBS_OK)
            return TBS_OK;
        err = shares_after_slip(run, who, tries, err, &slip);
        if (err != TBS_OK) {
            *diag = slip;
            return err;
        }
    }
}

enum tbs_err shares_record_typed(struct run *run, const struct shares_of *of, const json_t *set,
                                 size_t index, struct tbs_diag *diag)
{
    console_say(run->console, "Share %zu, of %s, is right.", index + 1,
                set_text(set, "holders", index));
    return record(run, "share-verify",
                  json_pack("{s:s, s:i, s:i, s:s, s:s}", "token", of->name, "set",
                            (int)set_number(set, "set"), "number", (int)index + 1, "commitment",
                            set_text(set, "commitments", index), "by",
                            set_text(set, "holders", index)),
                  diag);
}

/* --- Rebuilding --- */

json_t *shares_numbers(const struct share *shares, unsigned n)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, json_integer((json_int_t)shares[i].index + 1));
    return list;
}

enum tbs_err shares_record_rebuilt(struct run *run, const struct shares_of *of, const json_t *set,
                                   json_t *groups, struct tbs_diag *diag)
{
    return record(run, "share-rebuild",
                  json_pack("{s:s, s:i, s:o}", "token", of->name, "set",
                            (int)set_number(set, "set"), "groups", groups),
                  diag);
}

/* In a rehearsal that answers itself: the first holder after the last one who is here. */
static size_t next_here(const struct run *run, const json_t *set, size_t from)
{
    while (from + 1 < set_people(set) && !is_here(run, set, from))
        from++;
    return from;
}

static enum tbs_err check_enough(const struct run *run, const struct shares_of *of,
                                 const json_t *set, struct tbs_diag *diag)
{
    unsigned there = 0;
    for (size_t i = 0; i < set_people(set); i++)
        there += is_here(run, set, i);
    if (there >= set_number(set, "need"))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_DENIED,
                    "%s: %u shares are needed, and %u of those who hold one signed in; resume when "
                    "they are here",
                    of->what, set_number(set, "need"), there);
}

static enum tbs_err collect(struct run *run, const struct shares_of *of, const json_t *set,
                            struct share shares[SHARES_MAX], struct tbs_diag *diag)
{
    size_t next = 0;
    for (unsigned n = 0; n < set_number(set, "need");) {
        char who[80];
        bool twice = false;
        snprintf(who, sizeof who, "Any custodian (%u of %u)", n + 1, set_number(set, "need"));
        next = next_here(run, set, next);
        TRY(type_share(run, of, set, who, ANY_SHARE, next++, &shares[n], diag));
        for (unsigned i = 0; i < n; i++)
            twice |= shares[i].index == shares[n].index;
        if (twice) {
            console_say(run->console, "Share %u is there already.", shares[n].index + 1);
            share_free(&shares[n]);
            continue;
        }
        TRY(shares_record_typed(run, of, set, shares[n].index, diag));
        n++;
    }
    return TBS_OK;
}

enum tbs_err shares_rebuild(struct run *run, const struct shares_of *of, const json_t *set,
                            struct tbs_secret *ret_secret, struct tbs_diag *diag)
{
    struct share shares[SHARES_MAX] = {0};
    unsigned need = set_number(set, "need");
    TRY(check_enough(run, of, set, diag));
    console_say(run->console, "From %u shares: %s.", need, of->what);
    enum tbs_err err = collect(run, of, set, shares, diag);
    if (err == TBS_OK)
        err = shares_record_rebuilt(run, of, set, json_pack("[o]", shares_numbers(shares, need)),
                                    diag);
    if (err == TBS_OK)
        err = shares_combine(shares, need, tbs_bytes(NULL, 0), ret_secret, diag);
    shares_free(shares);
    return err;
}

/* Whoever rebuilds one PIN need not type again for the other, where it is in the same set. */
static enum tbs_err derive_both(struct run *run, struct run_token *token, const json_t *set,
                                const struct tbs_secret *secret, struct tbs_diag *diag)
{
    for (int so = 0; so < 2; so++) {
        struct tbs_secret *pin = so ? &token->so : &token->user;
        if (pin->len == 0 && json_equal(set, shares_set(run, token, so)))
            TRY(shares_derive_pin(secret, so, pin, diag));
    }
    return TBS_OK;
}

enum tbs_err shares_pin(struct run *run, struct run_token *token, bool so, struct tbs_diag *diag)
{
    const json_t *set = shares_set(run, token, so);
    const struct shares_of of = shares_of_token(token);
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    TRY(shares_rebuild(run, &of, set, &secret, diag));
    return derive_both(run, token, set, &secret, diag);
}

/* --- Checking, without rebuilding --- */

/* Both PINs are in one set, except after a step that set one of them; the user's then counts. */
static const json_t *set_to_check(const struct run *run, const struct run_token *token)
{
    const json_t *set = shares_set(run, token, false);
    return set ? set : shares_set(run, token, true);
}

static enum tbs_err find_set(struct run *run, struct shares_of *ret_of, const json_t **ret_set,
                             struct tbs_diag *diag)
{
    if (run->step->key) {
        *ret_of = shares_of_key(run->step->key);
        *ret_set = escrow_set(run, run->step->key);
    } else {
        const struct run_token *token = token_of(run, run->step->on[0]);
        *ret_of = shares_of_token(token);
        *ret_set = set_to_check(run, token);
    }
    return *ret_set ? TBS_OK
                    : tbs_fail(diag, TBS_ERR_DENIED, "nobody holds a share of %s", ret_of->what);
}

enum tbs_err act_check_shares(struct run *run, struct tbs_diag *diag)
{
    struct shares_of of;
    const json_t *set;
    unsigned right = 0;
    TRY(find_set(run, &of, &set, diag));
    for (size_t i = 0; i < set_people(set); i++) {
        struct share share = {0};
        if (!is_here(run, set, i))
            continue;
        TRY(type_share(run, &of, set, set_text(set, "holders", i), i, i, &share, diag));
        share_free(&share);
        TRY(shares_record_typed(run, &of, set, i, diag));
        right++;
    }
    if (right == 0)
        return tbs_fail(diag, TBS_ERR_DENIED, "none of those who hold a share of %s is here",
                        of.what);
    console_say(run->console, "%u of %zu shares are right.", right, set_people(set));
    return TBS_OK;
}
