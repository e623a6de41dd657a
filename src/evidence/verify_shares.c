/* PINs in the hands of a quorum: sets of shares, by their commitments. */
#include "evidence/verify_internal.h"

#include <stdio.h>
#include <string.h>

static json_int_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *token_of(const json_t *step)
{
    const char *token = json_string_value(json_array_get(json_object_get(step, "on"), 0));
    return token ? token : "";
}

static bool splits(const json_t *step)
{
    return json_is_true(json_object_get(step, "shares"));
}

/* What was handed out before counts until the step has ended: its shares may rebuild the security
 * officers' PIN, by which new ones are set. */
void verify_shares_begin(struct verifier *v)
{
    v->new_set = NULL;
}

/* --- A new set --- */

static void check_quorum(struct verifier *v, const json_t *line, size_t people)
{
    const json_t *quorum = json_object_get(v->script, "quorum");
    const char *token = verify_text(line, "token");
    bool pins = v->step && splits(v->step) && strcmp(token_of(v->step), token) == 0;
    bool escrow = v->step && verify_makes_shares_of_key(v->step) &&
                  strcmp(verify_text(v->step, "key"), token) == 0;
    if (!pins && !escrow)
        verify_tell(v, "shares", v->line, "the script splits nothing of %.64s here", token);
    else if (number_of(quorum, "need") != number_of(line, "need") ||
             number_of(quorum, "people") != (json_int_t)people ||
             strcmp(verify_text(quorum, "role"), verify_text(line, "role")) != 0)
        verify_tell(v, "shares", v->line,
                    "the shares of %.64s are %lld of %zu, and the script's quorum is "
                    "%lld of %lld",
                    token, (long long)number_of(line, "need"), people,
                    (long long)number_of(quorum, "need"), (long long)number_of(quorum, "people"));
}

static void check_commitments(struct verifier *v, const json_t *commitments)
{
    size_t i, j;
    json_t *is;
    json_array_foreach(commitments, i, is)
    {
        bool good = json_is_string(is) && json_string_length(is) == TRANSCRIPT_HEX_LEN;
        for (j = 0; good && j < i; j++)
            good = !json_equal(is, json_array_get(commitments, j));
        if (!good)
            verify_tell(v, "shares", v->line, "what is said of share %zu is no commitment", i + 1);
    }
}

/* A set is its "line", and then "holders", "proven", and the calls that gave the token its PINs. */
void verify_share_commit(struct verifier *v, const json_t *line)
{
    const char *token = verify_text(line, "token");
    const json_t *commitments = json_object_get(line, "commitments");
    json_t *set = json_pack("{s:O, s:{}, s:{}}", "line", line, "holders", "proven");
    if (!json_is_integer(json_object_get(line, "set")))
        verify_tell(v, "shares", v->line, "line %zu does not say which set of shares it is",
                    v->line);
    check_quorum(v, line, json_array_size(commitments));
    check_commitments(v, commitments);
    if (!json_object_get(v->shares, token))
        verify_set(v, v->shares, token, json_array());
    v->no_memory |= json_array_append_new(json_object_get(v->shares, token), set) != 0;
    v->new_set = set;
}

/* --- Its shares --- */

/* The set that a line speaks of; NULL. */
static json_t *find_set(struct verifier *v, const json_t *line)
{
    const json_t *said = json_object_get(line, "set");
    json_t *set;
    size_t i;
    json_array_foreach(json_object_get(v->shares, verify_text(line, "token")), i, set)
    {
        if (json_is_integer(said) &&
            json_equal(said, json_object_get(json_object_get(set, "line"), "set")))
            return set;
    }
    verify_tell(v, "shares", v->line, "line %zu is about shares of a set that %.64s does not have",
                v->line, verify_text(line, "token"));
    return NULL;
}

static bool holds(const struct verifier *v, const char *role, const char *name)
{
    size_t i;
    json_t *person;
    json_array_foreach(v->people, i, person)
    {
        if (strcmp(verify_text(person, "role"), role) == 0 &&
            strcmp(verify_text(person, "name"), name) == 0)
            return true;
    }
    return false;
}

/* One share, one person; who that is stays. */
static void check_holder(struct verifier *v, json_t *set, const char *number, const char *by)
{
    const char *other;
    json_t *name, *holders = json_object_get(set, "holders");
    if (!holds(v, verify_text(json_object_get(set, "line"), "role"), by))
        verify_tell(v, "shares", v->line, "share %s was typed by %.60s, who did not sign in for it",
                    number, by);
    json_object_foreach(holders, other, name)
    {
        if ((strcmp(other, number) == 0) != (strcmp(json_string_value(name), by) == 0))
            verify_tell(v, "shares", v->line, "share %s was typed by %.60s, and share %s by %.60s",
                        number, by, other, json_string_value(name));
    }
    verify_set(v, holders, number, json_string(by));
}

void verify_share_verify(struct verifier *v, const json_t *line)
{
    json_t *set = find_set(v, line);
    json_int_t at = number_of(line, "number");
    char number[32];
    if (!set)
        return;
    const json_t *commitments = json_object_get(json_object_get(set, "line"), "commitments");
    const char *said =
        at > 0 ? json_string_value(json_array_get(commitments, (size_t)at - 1)) : NULL;
    snprintf(number, sizeof number, "%lld", (long long)at);
    if (!said || strcmp(said, verify_text(line, "commitment")) != 0)
        verify_tell(v, "shares", v->line,
                    "share %s of %.64s is not the one that was committed to when it was "
                    "handed out",
                    number, verify_text(line, "token"));
    else
        check_holder(v, set, number, verify_text(line, "by"));
}

static bool prove(json_t *set, const json_t *group)
{
    size_t i;
    json_t *is;
    json_t *members = json_object();
    json_array_foreach(group, i, is)
    {
        char number[32];
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(is));
        if (json_object_get(json_object_get(set, "holders"), number))
            json_object_set_new(members, number, json_true());
    }
    bool enough =
        (json_int_t)json_object_size(members) == number_of(json_object_get(set, "line"), "need") &&
        json_array_size(group) == json_object_size(members);
    if (enough)
        json_object_update(json_object_get(set, "proven"), members);
    json_decref(members);
    return enough;
}

void verify_share_rebuild(struct verifier *v, const json_t *line)
{
    json_t *set = find_set(v, line), *group;
    size_t i;
    if (set && json_array_size(json_object_get(line, "groups")) == 0)
        verify_tell(v, "shares", v->line, "line %zu rebuilt something of no shares", v->line);
    json_array_foreach(set ? json_object_get(line, "groups") : NULL, i, group)
    {
        if (!prove(set, group))
            verify_tell(v, "shares", v->line,
                        "what %.64s has in shares was rebuilt of ones that are too few, too many, "
                        "or were not typed",
                        verify_text(line, "token"));
    }
}

/* --- What comes of it --- */

bool verify_is_whole_set(const json_t *set)
{
    const json_t *commitments = json_object_get(json_object_get(set, "line"), "commitments");
    return set && json_array_size(commitments) > 0 &&
           json_object_size(json_object_get(set, "proven")) == json_array_size(commitments);
}

/* No token gets a PIN that might be lost. */
void verify_api(struct verifier *v, const json_t *line)
{
    const char *token = verify_text(line, "token"), *call = verify_text(line, "call");
    bool sets = strcmp(call, "C_InitPIN") == 0 || strcmp(call, "C_SetPIN") == 0 ||
                strcmp(call, "TPM2_Create") == 0;
    if (!sets || !v->step || !splits(v->step) || strcmp(token, token_of(v->step)) != 0)
        return;
    if (!verify_is_whole_set(v->new_set))
        verify_tell(v, "shares", v->line,
                    "token %.64s got a PIN before every share of it was typed back and proven",
                    token);
    else if (number_of(line, "rv") == 0)
        verify_set(v, v->new_set, call, json_true());
}

/* Both of a PKCS#11 token; a TPM has no security officers. */
static bool has_pins(const json_t *set)
{
    return (json_object_get(set, "C_InitPIN") && json_object_get(set, "C_SetPIN")) ||
           json_object_get(set, "TPM2_Create");
}

/* From now on the last set has both PINs, and no other set has any. */
static void end_split(struct verifier *v, const char *token)
{
    if (!verify_is_whole_set(v->new_set))
        verify_tell(v, "shares", v->line, "not every share of the PINs of token %.64s was proven",
                    token);
    else if (!has_pins(v->new_set))
        verify_tell(v, "shares", v->line,
                    "token %.64s did not get both PINs that its shares rebuild", token);
    else
        verify_remark(
            v, "the PINs of token %s are in %zu shares, %lld of which rebuild them, set %lld",
            token, json_object_size(json_object_get(v->new_set, "proven")),
            (long long)number_of(json_object_get(v->new_set, "line"), "need"),
            (long long)number_of(json_object_get(v->new_set, "line"), "set"));
    if (v->new_set)
        verify_set(v, v->shares, token, json_pack("[O]", v->new_set));
}

void verify_shares_end(struct verifier *v)
{
    if (splits(v->step))
        end_split(v, token_of(v->step));
    else if (strcmp(verify_text(v->step, "do"), "initialise") == 0)
        json_object_del(v->shares, token_of(v->step));
}
