/* Administration: new tokens and new keys. */
#include "custody/internal.h"

#include <string.h>

static const char *role_prefix(enum custody_role role)
{
    return role == CUSTODY_ROLE_TPK ? "tpk-" : "kek-";
}

static enum tbs_err check_request(enum custody_role role, enum custody_alg alg, const char *id,
                                  const char *label, struct tbs_diag *diag)
{
    enum custody_role id_role;
    bool valid = false;
    if (!id || !custody_id_role(tbs_bytes_str(id), &id_role, &valid) || !valid || id_role != role)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a %s's id is '%s' and then a-z 0-9 - . _, at most %d octets together",
                        role == CUSTODY_ROLE_TPK ? "TPK" : "KEK", role_prefix(role),
                        CUSTODY_KEY_ID_MAX);
    if (!custody_role_takes(role, alg))
        return tbs_fail(diag, TBS_ERR_INVALID, "%s is not an algorithm for key %s: a %s",
                        custody_alg_name(alg), id,
                        role == CUSTODY_ROLE_TPK ? "TPK does HMAC-SHA-1 or HMAC-SHA-256"
                                                 : "KEK does AES-256-GCM or HMAC-SHA-256");
    if (label && strlen(label) > CUSTODY_KEY_LABEL_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the label of key %s is over %d octets", id,
                        CUSTODY_KEY_LABEL_MAX);
    return TBS_OK;
}

static enum tbs_err try_new_key(struct custody *custody, struct custody_key *key,
                                struct tbs_diag *diag)
{
    struct custody_session *session;
    enum tbs_err err = custody_session_open(custody, &session, diag);
    if (err != TBS_OK)
        return err;
    err = custody_try_key(session, key, diag);
    custody_session_close(session);
    return err;
}

enum tbs_err custody_generate_key(struct custody *custody, enum custody_role role,
                                  enum custody_alg alg, const char *id, const char *label,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = custody_in_its_process(custody, diag);
    if (err == TBS_OK)
        err = check_request(role, alg, id, label, diag);
    if (err != TBS_OK)
        return err;
    if (custody_find_key(custody, tbs_bytes_str(id), role))
        return tbs_fail(diag, TBS_ERR_EXISTS, "key %s exists already; choose another id", id);
    if (!custody->ops->generate_key)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "custody backend %s cannot generate keys",
                        custody->ops->name);

    struct custody_key key;
    err = custody->ops->generate_key(custody->token, role, alg, id, label, &key, diag);
    if (err != TBS_OK)
        return err;
    err = try_new_key(custody, &key, diag);
    if (err != TBS_OK) {
        struct tbs_diag leftover = {0};
        if (custody->ops->destroy_key(custody->token, &key, &leftover) != TBS_OK)
            return tbs_fail_raw(diag, err, leftover.raw,
                                "new key %s does not work and could not be destroyed; destroy it "
                                "by hand: %.180s",
                                id, leftover.text);
        return err;
    }
    return custody_load_keys(custody, diag);
}

enum tbs_err custody_init_token(const struct custody_config *config, const char *token_label,
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
