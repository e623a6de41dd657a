/* From one registry to the next. */
#include "registry/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- States --- */

bool registry_may_follow(enum registry_state from, enum registry_state to)
{
    static const bool may[][REGISTRY_DESTROYED + 1] = {
        [REGISTRY_PRE_ACTIVE] = {[REGISTRY_ACTIVE] = true, [REGISTRY_DESTROYED] = true},
        [REGISTRY_ACTIVE] = {[REGISTRY_DEACTIVATED] = true, [REGISTRY_COMPROMISED] = true},
        [REGISTRY_DEACTIVATED] = {[REGISTRY_COMPROMISED] = true, [REGISTRY_DESTROYED] = true},
        [REGISTRY_COMPROMISED] = {[REGISTRY_DESTROYED] = true},
        [REGISTRY_DESTROYED] = {false},
    };
    return may[from][to];
}

/* Over registries that were not seen. No state comes back, so this ends. */
static bool may_become(enum registry_state from, enum registry_state to)
{
    bool may = from == to;
    for (enum registry_state s = REGISTRY_PRE_ACTIVE; s <= REGISTRY_DESTROYED && !may; s++)
        may = registry_may_follow(from, s) && may_become(s, to);
    return may;
}

/* --- Following --- */

static enum tbs_err check_key(const struct registry_key *before, const struct registry *after,
                              struct tbs_diag *diag)
{
    const struct registry_key *key = registry_find(after, tbs_bytes_str(before->id));
    if (!key)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "key %s is not in registry %" PRIu64 "; keys stay in it for ever",
                        before->id, after->sequence);
    if (key->role != before->role || key->algorithm != before->algorithm ||
        key->custody != before->custody || key->check_len != before->check_len ||
        memcmp(key->check, before->check, key->check_len) != 0)
        return tbs_fail(diag, TBS_ERR_DENIED, "registry %" PRIu64 " names another key %s",
                        after->sequence, key->id);
    if (!may_become(before->state, key->state))
        return tbs_fail(diag, TBS_ERR_DENIED, "registry %" PRIu64 " makes key %s %s, which was %s",
                        after->sequence, key->id, registry_state_name(key->state),
                        registry_state_name(before->state));
    return TBS_OK;
}

enum tbs_err registry_follows(const struct registry *before, const struct registry *after,
                              struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    if (memcmp(before->lines.hash, after->lines.hash, sizeof before->lines.hash) == 0)
        return TBS_OK;
    if (after->sequence <= before->sequence)
        return tbs_fail(diag, TBS_ERR_REPLAY,
                        "this is registry %" PRIu64 ", and %s %" PRIu64 " was seen before",
                        after->sequence, after->sequence == before->sequence ? "another" : "number",
                        before->sequence);
    if (after->sequence == before->sequence + 1 &&
        memcmp(after->previous, before->lines.hash, sizeof after->previous) != 0)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "registry %" PRIu64 " was made after another registry %" PRIu64,
                        after->sequence, before->sequence);
    if (after->rehearsal != before->rehearsal)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "a registry of a rehearsal and one that is none cannot follow each other");
    for (size_t i = 0; i < before->n && err == TBS_OK; i++)
        err = check_key(&before->keys[i], after, diag);
    return err;
}

/* --- Making --- */

enum tbs_err registry_next(const struct registry *before, bool rehearsal, time_t now,
                           struct registry *ret_next, struct tbs_diag *diag)
{
    struct registry next = {
        .sequence = before ? before->sequence + 1 : 1, .made = now, .rehearsal = rehearsal};
    if (before && before->rehearsal != rehearsal)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "a registry of a rehearsal and one that is none cannot follow each other");
    next.keys = calloc(REGISTRY_KEYS_MAX, sizeof *next.keys);
    if (!next.keys)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a registry");
    if (before) {
        memcpy(next.previous, before->lines.hash, sizeof next.previous);
        next.n = before->n;
        memcpy(next.keys, before->keys, before->n * sizeof *next.keys);
    }
    *ret_next = next;
    return TBS_OK;
}

enum tbs_err registry_add(struct registry *registry, const struct registry_key *key,
                          struct tbs_diag *diag)
{
    size_t at = registry->n;
    struct tbs_diag why;
    if (registry_find(registry, tbs_bytes_str(key->id)))
        return tbs_fail(diag, TBS_ERR_EXISTS, "the registry has a key %s already", key->id);
    if (registry->n == REGISTRY_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a registry has at most %d keys", REGISTRY_KEYS_MAX);
    if (registry_judge(key, &why) != TBS_OK)
        return tbs_fail(diag, TBS_ERR_INVALID, "%s", why.text);
    for (; at > 0 && strcmp(registry->keys[at - 1].id, key->id) > 0; at--)
        registry->keys[at] = registry->keys[at - 1];
    registry->keys[at] = *key;
    registry->n++;
    return TBS_OK;
}

static struct registry_key *find_to_change(struct registry *registry, const char *id,
                                           struct tbs_diag *diag)
{
    const struct registry_key *key = registry_find(registry, tbs_bytes_str(id));
    if (key)
        return &registry->keys[key - registry->keys];
    tbs_fail(diag, TBS_ERR_NOT_FOUND, "the registry has no key %.64s", id);
    return NULL;
}

enum tbs_err registry_set_state(struct registry *registry, const char *id,
                                enum registry_state state, time_t now, struct tbs_diag *diag)
{
    struct registry_key *key = find_to_change(registry, id, diag);
    if (!key)
        return TBS_ERR_NOT_FOUND;
    if (!registry_may_follow(key->state, state))
        return tbs_fail(diag, TBS_ERR_DENIED, "key %s is %s and cannot become %s", id,
                        registry_state_name(key->state), registry_state_name(state));
    key->state = state;
    key->since = now;
    return TBS_OK;
}

enum tbs_err registry_add_token(struct registry *registry, const char *id,
                                const struct registry_token *token, struct tbs_diag *diag)
{
    struct registry_key *key = find_to_change(registry, id, diag);
    struct tbs_diag why;
    if (!key)
        return TBS_ERR_NOT_FOUND;
    if (registry_find_token(key, token->serial))
        return tbs_fail(diag, TBS_ERR_EXISTS, "key %s is on token %s already", id, token->serial);
    if (key->n_tokens == REGISTRY_TOKENS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a key is on at most %d tokens", REGISTRY_TOKENS_MAX);
    key->tokens[key->n_tokens++] = *token;
    if (registry_judge(key, &why) == TBS_OK)
        return TBS_OK;
    key->n_tokens--;
    return tbs_fail(diag, TBS_ERR_INVALID, "%s", why.text);
}

enum tbs_err registry_drop_token(struct registry *registry, const char *id, const char *serial,
                                 struct tbs_diag *diag)
{
    struct registry_key *key = find_to_change(registry, id, diag);
    if (!key)
        return TBS_ERR_NOT_FOUND;
    const struct registry_token *token = registry_find_token(key, serial);
    if (!token)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "key %s is not on token %.64s", id, serial);
    size_t at = (size_t)(token - key->tokens);
    memmove(&key->tokens[at], &key->tokens[at + 1], (--key->n_tokens - at) * sizeof *key->tokens);
    return TBS_OK;
}
