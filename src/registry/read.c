/* From line 1 to a registry. */
#include "registry/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool registry_time_read(const char *text, time_t *ret_time)
{
    struct tm tm = {0};
    char again[REGISTRY_TIME_MAX];
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end != '\0')
        return false;
    time_t time = timegm(&tm);
    registry_time_put(time, again);
    if (time < 0 || strcmp(again, text) != 0)
        return false;
    *ret_time = time;
    return true;
}

/* --- Names --- */

#define NAMED(what, last)                                                                          \
    static bool what##_named(const char *name, enum registry_##what *ret)                          \
    {                                                                                              \
        for (enum registry_##what i = 0; i <= (last); i++) {                                       \
            if (strcmp(registry_##what##_name(i), name) == 0) {                                    \
                *ret = i;                                                                          \
                return true;                                                                       \
            }                                                                                      \
        }                                                                                          \
        return false;                                                                              \
    }
NAMED(role, REGISTRY_ENVELOPE)
NAMED(algorithm, REGISTRY_RSA_4096)
NAMED(custody, REGISTRY_ESCROWED)
NAMED(state, REGISTRY_DESTROYED)
#undef NAMED

static enum tbs_err unknown(const char *id, const char *what, const char *name,
                            struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "key %.64s: there is no %s '%.64s'", id, what, name);
}

/* --- A key --- */

/* The texts of one key. */
struct texts {
    const char *id, *role, *algorithm, *method, *value, *custody, *state;
    const char *not_before, *protect_until, *process_until, *since;
    json_t *tokens, *origin;
};

static bool unpack_key(json_t *object, struct texts *t)
{
    return json_unpack_ex(object, NULL, JSON_STRICT,
                          "{s:s,s:s,s:s,s:{s:s,s:s!},s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o}", "id",
                          &t->id, "role", &t->role, "algorithm", &t->algorithm, "check", "method",
                          &t->method, "value", &t->value, "custody", &t->custody, "state",
                          &t->state, "not_before", &t->not_before, "protect_until",
                          &t->protect_until, "process_until", &t->process_until, "since", &t->since,
                          "tokens", &t->tokens, "origin", &t->origin) == 0 &&
           json_is_array(t->tokens) && json_is_object(t->origin);
}

static enum tbs_err read_names(const struct texts *t, struct registry_key *key,
                               struct tbs_diag *diag)
{
    if (!role_named(t->role, &key->role))
        return unknown(t->id, "role", t->role, diag);
    if (!algorithm_named(t->algorithm, &key->algorithm))
        return unknown(t->id, "algorithm", t->algorithm, diag);
    if (!custody_named(t->custody, &key->custody))
        return unknown(t->id, "custody", t->custody, diag);
    if (!state_named(t->state, &key->state))
        return unknown(t->id, "state", t->state, diag);
    return TBS_OK;
}

/* A method that does not fit the algorithm leaves no length that would. */
static void read_check(const struct texts *t, struct registry_key *key)
{
    size_t len = strlen(t->value) / 2;
    const char *method = registry_check_method(key->algorithm, len);
    if (method && strcmp(t->method, method) == 0 && tbs_unhex(t->value, key->check, len))
        key->check_len = len;
}

static enum tbs_err read_times(const struct texts *t, struct registry_key *key,
                               struct tbs_diag *diag)
{
    if (registry_time_read(t->not_before, &key->not_before) &&
        registry_time_read(t->protect_until, &key->protect_until) &&
        registry_time_read(t->process_until, &key->process_until) &&
        registry_time_read(t->since, &key->since))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_MALFORMED,
                    "key %.64s: a time is not written as 2026-01-31T12:00:00Z", t->id);
}

static enum tbs_err read_tokens(const struct texts *t, struct registry_key *key,
                                struct tbs_diag *diag)
{
    size_t i;
    json_t *serial;
    if (json_array_size(t->tokens) > REGISTRY_TOKENS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "key %.64s is on more than %d tokens", t->id,
                        REGISTRY_TOKENS_MAX);
    json_array_foreach(t->tokens, i, serial)
    {
        const char *text = json_string_value(serial);
        const char *origin = text ? json_string_value(json_object_get(t->origin, text)) : NULL;
        struct registry_token *token = &key->tokens[key->n_tokens++];
        if (!text || strlen(text) > REGISTRY_SERIAL_MAX || !origin ||
            (strcmp(origin, "local") != 0 && strcmp(origin, "restored") != 0))
            return tbs_fail(diag, TBS_ERR_MALFORMED,
                            "key %.64s: each of its tokens needs a serial, and an origin: local "
                            "or restored",
                            t->id);
        strcpy(token->serial, text);
        token->restored = strcmp(origin, "restored") == 0;
    }
    return json_object_size(t->origin) == key->n_tokens
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_MALFORMED,
                          "key %.64s: its origin names a token that it is not on", t->id);
}

static enum tbs_err read_key(json_t *object, struct registry_key *key, struct tbs_diag *diag)
{
    struct texts t;
    if (!unpack_key(object, &t))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "a key lacks a field, or has one that is not known here");
    if (strlen(t.id) > REGISTRY_ID_MAX)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the id of a key is longer than %d characters",
                        REGISTRY_ID_MAX);
    strcpy(key->id, t.id);
    enum tbs_err err = read_names(&t, key, diag);
    if (err != TBS_OK)
        return err;
    read_check(&t, key);
    err = read_times(&t, key, diag);
    if (err == TBS_OK)
        err = read_tokens(&t, key, diag);
    return err != TBS_OK ? err : registry_judge(key, diag);
}

/* --- The registry --- */

static enum tbs_err read_head(struct registry *r, json_t **ret_keys, struct tbs_diag *diag)
{
    static const uint8_t none[SIGNED_HASH_LEN];
    json_int_t sequence, version;
    const char *type, *made, *previous;
    int rehearsal;
    if (json_unpack_ex(r->lines.object, NULL, JSON_STRICT, "{s:s,s:I,s:I,s:s,s:s,s:b,s:o}", "type",
                       &type, "version", &version, "sequence", &sequence, "made", &made, "previous",
                       &previous, "rehearsal", &rehearsal, "keys", ret_keys) != 0 ||
        !json_is_array(*ret_keys) || sequence < 1 || !registry_time_read(made, &r->made) ||
        !tbs_unhex(previous, r->previous, sizeof r->previous))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the registry lacks a field, or has one that is not known here or not as "
                        "it must be");
    if ((sequence == 1) != (memcmp(r->previous, none, sizeof none) == 0))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the first registry, and no other, has none before it");
    r->sequence = (uint64_t)sequence;
    r->rehearsal = rehearsal;
    return TBS_OK;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct registry_key *)a)->id, ((const struct registry_key *)b)->id);
}

static enum tbs_err refuse_twins(const struct registry *r, struct tbs_diag *diag)
{
    for (size_t i = 1; i < r->n; i++) {
        if (strcmp(r->keys[i - 1].id, r->keys[i].id) == 0)
            return tbs_fail(diag, TBS_ERR_MALFORMED, "two keys have the id %s", r->keys[i].id);
    }
    return TBS_OK;
}

static enum tbs_err read_keys(json_t *objects, struct registry *r, struct tbs_diag *diag)
{
    size_t n = json_array_size(objects);
    enum tbs_err err = TBS_OK;
    if (n > REGISTRY_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a registry of more than %d keys", REGISTRY_KEYS_MAX);
    r->keys = calloc(n + 1, sizeof *r->keys);
    if (!r->keys)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a registry");
    for (; r->n < n && err == TBS_OK; r->n++)
        err = read_key(json_array_get(objects, r->n), &r->keys[r->n], diag);
    qsort(r->keys, r->n, sizeof *r->keys, compare_keys);
    return err != TBS_OK ? err : refuse_twins(r, diag);
}

enum tbs_err registry_read(struct tbs_bytes text, struct registry *ret_registry,
                           struct tbs_diag *diag)
{
    struct registry r = {0};
    json_t *keys;
    enum tbs_err err = signed_lines_read(text, REGISTRY_TYPE, &r.lines, diag);
    if (err == TBS_OK)
        err = read_head(&r, &keys, diag);
    if (err == TBS_OK)
        err = read_keys(keys, &r, diag);
    if (err == TBS_OK)
        *ret_registry = r;
    else
        registry_free(&r);
    return err;
}
