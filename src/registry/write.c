/* From a registry to line 1. */
#include "registry/internal.h"

void registry_time_put(time_t time, char ret_text[REGISTRY_TIME_MAX])
{
    struct tm tm;
    if (!gmtime_r(&time, &tm) ||
        strftime(ret_text, REGISTRY_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        ret_text[0] = '\0';
}

static json_t *time_json(time_t time)
{
    char text[REGISTRY_TIME_MAX];
    registry_time_put(time, text);
    return json_string(text);
}

static json_t *hex_json(const uint8_t *octets, size_t len)
{
    char text[2 * REGISTRY_CHECK_MAX + 1];
    tbs_hex(tbs_bytes(octets, len), text);
    return json_string(text);
}

static void tokens_json(const struct registry_key *key, json_t *tokens, json_t *origin)
{
    for (size_t i = 0; i < key->n_tokens; i++) {
        const struct registry_token *token = &key->tokens[i];
        json_array_append_new(tokens, json_string(token->serial));
        json_object_set_new(origin, token->serial,
                            json_string(token->restored ? "restored" : "local"));
    }
}

static json_t *key_json(const struct registry_key *key)
{
    json_t *tokens = json_array(), *origin = json_object();
    tokens_json(key, tokens, origin);
    return json_pack("{s:s,s:s,s:s,s:{s:s,s:o},s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "id", key->id,
                     "role", registry_role_name(key->role), "algorithm",
                     registry_algorithm_name(key->algorithm), "check", "method",
                     registry_check_method(key->algorithm, key->check_len), "value",
                     hex_json(key->check, key->check_len), "custody",
                     registry_custody_name(key->custody), "state", registry_state_name(key->state),
                     "not_before", time_json(key->not_before), "protect_until",
                     time_json(key->protect_until), "process_until", time_json(key->process_until),
                     "since", time_json(key->since), "tokens", tokens, "origin", origin);
}

/* What was written must be what is read: nothing else is signed. */
static enum tbs_err check_line(const struct tbs_buf *text, size_t n, struct tbs_diag *diag)
{
    struct registry again;
    struct tbs_diag why;
    enum tbs_err err = registry_read(tbs_buf_view(text), &again, &why);
    if (err != TBS_OK)
        return tbs_fail(diag, err == TBS_ERR_NOMEM ? err : TBS_ERR_INVALID, "%s", why.text);
    bool is_whole = again.n == n;
    registry_free(&again);
    return is_whole ? TBS_OK : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a registry");
}

enum tbs_err registry_write(const struct registry *registry, struct tbs_buf *text,
                            struct tbs_diag *diag)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < registry->n; i++)
        json_array_append_new(keys, key_json(&registry->keys[i]));
    json_t *object =
        json_pack("{s:s,s:i,s:I,s:o,s:o,s:b,s:o}", "type", REGISTRY_TYPE, "version", 1, "sequence",
                  (json_int_t)registry->sequence, "made", time_json(registry->made), "previous",
                  hex_json(registry->previous, sizeof registry->previous), "rehearsal",
                  registry->rehearsal, "keys", keys);
    if (!object)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a registry");
    enum tbs_err err = signed_lines_start(object, text, diag);
    json_decref(object);
    return err != TBS_OK ? err : check_line(text, registry->n, diag);
}
