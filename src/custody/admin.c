/* Administration: new tokens and new keys. */
#include "custody/internal.h"

#include <string.h>

#define NEW_KEY_NS 10000000000u

static enum tbs_err check_request(enum custody_role role, enum custody_alg alg, const char *id,
                                  const char *label, struct tbs_diag *diag)
{
    enum custody_role id_role;
    bool valid = false;
    if (!id || !custody_id_role(tbs_bytes_str(id), &id_role, &valid) || !valid || id_role != role)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the id of a %s is '%s' and then a-z 0-9 - . _, at most %d octets together",
                        custody_role_name(role), custody_role_prefix(role), CUSTODY_KEY_ID_MAX);
    if (!custody_role_takes(role, alg))
        return tbs_fail(diag, TBS_ERR_INVALID, "%s is not an algorithm for key %s: a %s does %s",
                        custody_alg_name(alg), id, custody_role_name(role),
                        custody_role_algs(role));
    if (label && strlen(label) > CUSTODY_KEY_LABEL_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the label of key %s is over %d octets", id,
                        CUSTODY_KEY_LABEL_MAX);
    return TBS_OK;
}

/* The new key is taken over like any other, and destroyed where that fails. No key registry can
 * name it yet. */
static enum tbs_err take_over(struct custody *custody, const struct custody_key *key,
                              struct tbs_diag *diag)
{
    struct custody_token *token = &custody->tokens[0];
    uint64_t ticket = custody_token_ask(token, CUSTODY_REINIT);
    custody_token_await(token, ticket, custody_now_ns() + NEW_KEY_NS);
    const struct custody_key *found = custody_find_key(custody, tbs_bytes_str(key->id), key->role);
    if (found && (custody_entry_of(found)->at[0].there ||
                  custody_entry_of(found)->at[0].refused == CUSTODY_NOT_NAMED))
        return TBS_OK;
    struct custody_token_status status;
    custody_token_status(custody, 0, &status);
    if (status.why.code != TBS_OK)
        return tbs_fail_raw(diag, status.why.code, status.why.raw, "%s", status.why.text);
    return tbs_fail_raw(diag, TBS_ERR_UNSUPPORTED,
                        found ? custody_entry_of(found)->at[0].cannot : 0,
                        "new key %s cannot be used: token '%s', or the connection to it, does not "
                        "carry %s",
                        key->id, token->name, custody_alg_name(key->alg));
}

static enum tbs_err destroy_again(struct custody_token *token, const struct custody_key *key,
                                  enum tbs_err err, struct tbs_diag *diag)
{
    struct tbs_diag leftover = {0};
    pthread_mutex_lock(&token->work);
    bool gone = token->backend && token->ops->destroy_key(token->backend, key, &leftover) == TBS_OK;
    pthread_mutex_unlock(&token->work);
    uint64_t ticket = custody_token_ask(token, CUSTODY_REINIT);
    custody_token_await(token, ticket, custody_now_ns() + NEW_KEY_NS);
    if (gone)
        return err;
    return tbs_fail_raw(diag, err, leftover.raw,
                        "new key %s does not work and could not be destroyed; destroy it by hand: "
                        "%.180s",
                        key->id, leftover.text);
}

enum tbs_err custody_generate_key(struct custody *custody, enum custody_role role,
                                  enum custody_alg alg, const char *id, const char *label,
                                  struct tbs_diag *diag)
{
    struct custody_token *token = &custody->tokens[0];
    enum tbs_err err = custody_in_its_process(custody, diag);
    if (err == TBS_OK)
        err = check_request(role, alg, id, label, diag);
    if (err != TBS_OK)
        return err;
    const struct custody_key *known = custody_find_key(custody, tbs_bytes_str(id), role);
    if (known && custody_entry_of(known)->at[0].found)
        return tbs_fail(diag, TBS_ERR_EXISTS, "key %s exists already; choose another id", id);
    if (!token->ops->generate_key)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "custody backend %s cannot generate keys",
                        token->ops->name);

    struct custody_key key;
    pthread_mutex_lock(&token->work);
    err = token->backend
              ? token->ops->generate_key(token->backend, role, alg, id, label, &key, diag)
              : tbs_fail(diag, TBS_ERR_UNAVAILABLE, "token '%s' is not up", token->name);
    pthread_mutex_unlock(&token->work);
    if (err != TBS_OK)
        return err;
    err = take_over(custody, &key, diag);
    return err == TBS_OK ? err : destroy_again(token, &key, err, diag);
}

enum tbs_err custody_init_token(const struct custody_token_config *config, const char *token_label,
                                const char *so_pin_source, const char *user_pin_source,
                                struct tbs_diag *diag)
{
    const struct custody_ops *ops;
    enum tbs_err err = custody_find_backend(config->backend, &ops, diag);
    if (err != TBS_OK)
        return err;
    if (!ops->init_token)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "custody backend %s cannot initialise tokens",
                        ops->name);
    return ops->init_token(config, token_label, so_pin_source, user_pin_source, diag);
}
