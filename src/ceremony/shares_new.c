/* A new set of shares: handed out to each holder alone, typed back, and proven, before a token gets
 * what it gives. */
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "ceremony/shares_internal.h"

#define PINS_SECRET_LEN SHARES_SECRET_MIN /* octets */

/* Of the token's random and of this computer's: neither alone needs to be good. */
static enum tbs_err make_secret(struct run *run, struct run_token *token, size_t len,
                                struct tbs_secret *ret_secret, struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret secret = {0}, own = {0};
    TRY(tbs_secret_alloc(len, &secret, diag));
    TRY(tbs_secret_alloc(len, &own, diag));
    TRY(token_login(run, token, true, diag));
    TRY(vault_random(token->vault, secret.data, len, diag));
    token_logout(token);
    if (RAND_priv_bytes(own.data, (int)len) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library gives no random octets");
    for (size_t i = 0; i < len; i++)
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

static enum tbs_err describe(const struct run *run, const struct share *shares, json_t **ret_set,
                             struct tbs_diag *diag)
{
    const struct script_quorum *q = &run->script->script->quorum;
    json_t *commitments = json_array();
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
    *ret_set =
        json_pack("{s:i, s:i, s:s, s:o, s:o}", "set", (int)shares[0].id, "need", (int)q->need,
                  "role", q->role, "commitments", commitments, "holders", take_holders(run, q));
    return *ret_set ? TBS_OK : run_no_memory(diag);
}

static enum tbs_err record_set(struct run *run, const struct shares_of *of, const json_t *set,
                               struct tbs_diag *diag)
{
    return record(run, "share-commit",
                  json_pack("{s:s, s:O, s:O, s:O, s:O}", "token", of->name, "set",
                            json_object_get(set, "set"), "need", json_object_get(set, "need"),
                            "role", json_object_get(set, "role"), "commitments",
                            json_object_get(set, "commitments")),
                  diag);
}

static enum tbs_err show_alone(struct run *run, const struct shares_of *of, const json_t *set,
                               size_t index, struct tbs_bytes words, struct tbs_diag *diag)
{
    if (run->rehearsal)
        TRY(rehearsal_keep_share(run, of->name, set_number(set, "set"), (unsigned)index + 1, words,
                                 diag));
    return console_is_automatic(run->console)
               ? TBS_OK
               : console_show_alone(run->console, set_text(set, "holders", index), words, diag);
}

/* Shown anew after each slip: what was written down may be wrong. */
static enum tbs_err hand_out(struct run *run, const struct shares_of *of, const json_t *set,
                             const struct share *share, struct share *ret_typed,
                             struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret words = {0};
    const char *holder = set_text(set, "holders", share->index);
    char what[160];
    snprintf(what, sizeof what, "%.60s: the share once more, from paper", holder);
    TRY(share_put_words(share, &words, diag));
    for (unsigned tries = 1;; tries++) {
        struct tbs_diag slip = {0};
        TRY(show_alone(run, of, set, share->index, tbs_secret_view(&words), diag));
        enum tbs_err err =
            shares_type_once(run, of, set, what, share->index, share->index, ret_typed, &slip);
        if (err == TBS_OK)
            return shares_record_typed(run, of, set, share->index, diag);
        err = shares_after_slip(run, holder, tries, err, &slip);
        if (err != TBS_OK) {
            *diag = slip;
            return err;
        }
    }
}

static enum tbs_err rebuilds(const struct share *shares, unsigned need,
                             const struct tbs_secret *secret, struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret again = {0};
    TRY(shares_combine(shares, need, tbs_bytes(NULL, 0), &again, diag));
    return tbs_secret_equal(tbs_secret_view(secret), tbs_secret_view(&again))
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_AUTH, "the shares give another secret; nothing was set");
}

/* Groups that overlap by one share, until each has been in one. */
static enum tbs_err prove(struct run *run, const struct shares_of *of, const json_t *set,
                          const struct share *typed, const struct tbs_secret *secret,
                          struct tbs_diag *diag)
{
    unsigned need = set_number(set, "need"), first = 0;
    unsigned last = (unsigned)set_people(set) - need;
    json_t *groups = json_array();
    enum tbs_err err = TBS_OK;
    for (bool done = false; err == TBS_OK && !done;) {
        err = rebuilds(typed + first, need, secret, diag);
        json_array_append_new(groups, shares_numbers(typed + first, need));
        done = first == last;
        first = first + need - 1 < last ? first + need - 1 : last;
    }
    if (err == TBS_OK)
        return shares_record_rebuilt(run, of, set, groups, diag);
    json_decref(groups);
    return err;
}

static enum tbs_err hand_out_all(struct run *run, const struct shares_of *of, const json_t *set,
                                 const struct share *shares, const struct tbs_secret *secret,
                                 struct tbs_diag *diag)
{
    struct share typed[SHARES_MAX] = {0};
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; err == TBS_OK && i < set_people(set); i++)
        err = hand_out(run, of, set, &shares[i], &typed[i], diag);
    if (err == TBS_OK)
        err = prove(run, of, set, typed, secret, diag);
    shares_free(typed);
    return err;
}

static enum tbs_err split(struct run *run, const struct shares_of *of,
                          const struct tbs_secret *secret, json_t **ret_set, struct tbs_diag *diag)
{
    const struct script_quorum *q = &run->script->script->quorum;
    /* lint has found a waiver where one is needed. */
    const struct shares_plan plan = {.need = q->need, .people = q->people, .waived = true};
    struct share shares[SHARES_MAX] = {0};
    json_t *set = NULL;
    TRY(shares_split(tbs_secret_view(secret), tbs_bytes(NULL, 0), &plan, shares, diag));
    enum tbs_err err = describe(run, shares, &set, diag);
    if (err == TBS_OK)
        err = record_set(run, of, set, diag);
    if (err == TBS_OK)
        err = hand_out_all(run, of, set, shares, secret, diag);
    shares_free(shares);
    if (err == TBS_OK)
        *ret_set = set;
    else
        json_decref(set);
    return err;
}

enum tbs_err shares_new(struct run *run, const struct shares_of *of, struct run_token *token,
                        size_t len, struct tbs_secret *ret_secret, json_t **ret_set,
                        struct tbs_diag *diag)
{
    const struct script_quorum *q = &run->script->script->quorum;
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    console_say(
        run->console,
        "Of %s there will be %u shares, of which %u are enough. Each is shown to its holder "
        "alone and typed back before any counts.",
        of->what, q->people, q->need);
    TRY(make_secret(run, token, len, &secret, diag));
    TRY(split(run, of, &secret, ret_set, diag));
    *ret_secret = secret;
    secret = (struct tbs_secret){0};
    return TBS_OK;
}

enum tbs_err shares_new_pins(struct run *run, struct run_token *token, struct new_pins *pins,
                             struct tbs_diag *diag)
{
    const struct shares_of of = shares_of_token(token);
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    TRY(shares_new(run, &of, token, PINS_SECRET_LEN, &secret, &pins->set, diag));
    TRY(shares_derive_pin(&secret, true, &pins->so, diag));
    return shares_derive_pin(&secret, false, &pins->user, diag);
}

void new_pins_free(struct new_pins *pins)
{
    json_decref(pins->set);
    tbs_secret_free(&pins->so);
    tbs_secret_free(&pins->user);
    *pins = (struct new_pins){0};
}
