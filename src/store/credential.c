/* Credentials: wrapped PSKs, one for each device of a subscriber. */
#include "store/private.h"

static void read_credential(struct store_query *q, struct store_credential *ret_credential)
{
    ret_credential->subscriber_id = store_column_int(q, 0);
    store_column_text(q, 1, ret_credential->primary);
    ret_credential->subscriber_active = store_column_int(q, 2) == 1;
    store_column_text(q, 3, ret_credential->psk_id);
    ret_credential->active = store_column_int(q, 4) == 1;
    ret_credential->created = store_column_int(q, 5);
    store_column_blob(q, 6, ret_credential->wrapped, sizeof ret_credential->wrapped,
                      &ret_credential->wrapped_len);
}

enum tbs_err store_find_credential(struct store *store, struct tbs_bytes psk_id,
                                   struct store_credential *ret_credential, struct tbs_diag *diag)
{
    char name[STORE_NAME_MAX + 1];
    enum tbs_err err = tbs_name("PSK id", psk_id, name, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_CREDENTIAL_FIND);
    store_bind_text(&q, name);
    err = store_query_one(&q, "PSK id", name, diag);
    if (err != TBS_OK)
        return err;
    struct store_credential credential;
    read_credential(&q, &credential);
    err = store_query_status(&q, diag);
    if (err == TBS_OK)
        *ret_credential = credential;
    return err;
}

/* q stands on its first row. store_credential_add keeps the limit, so that a subscriber with
 * more is no case to cut short but a damaged file. */
static enum tbs_err read_credentials(struct store_query *q, struct store_credentials *ret_all,
                                     struct tbs_diag *diag)
{
    if (store_column_is_null(q, 3))
        return store_query_status(q, diag);
    enum tbs_err err;
    bool row = false;
    do {
        if (ret_all->count == STORE_CREDENTIALS_MAX)
            return store_sqlite_fail(q->store, SQLITE_CORRUPT, diag);
        read_credential(q, &ret_all->at[ret_all->count++]);
        err = store_query_next(q, &row, diag);
    } while (err == TBS_OK && row);
    return err;
}

enum tbs_err store_find_credentials_by_identity(struct store *store, struct tbs_bytes identity,
                                                struct store_credentials *ret_credentials,
                                                struct tbs_diag *diag)
{
    struct store_identity id;
    enum tbs_err err = store_identity_canonical(identity, &id, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_CREDENTIAL_FIND_BY_IDENTITY);
    store_bind_text(&q, id.uri);
    err = store_query_one(&q, "identity", id.uri, diag);
    if (err != TBS_OK)
        return err;
    struct store_credentials all = {0};
    err = read_credentials(&q, &all, diag);
    if (err == TBS_OK)
        *ret_credentials = all;
    return err;
}

enum tbs_err store_credential_list(struct store *store, const char *after, size_t max,
                                   store_credential_fn *fn, void *ctx, struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_CREDENTIAL_LIST);
    bool row = false;
    store_bind_text(&q, after ? after : "");
    store_bind_int(&q, (int64_t)max);
    enum tbs_err err = store_query_next(&q, &row, diag);
    while (err == TBS_OK && row) {
        struct store_credential credential;
        read_credential(&q, &credential);
        err = store_query_status(&q, diag);
        if (err == TBS_OK)
            err = fn(ctx, &credential);
        if (err == TBS_OK)
            err = store_query_next(&q, &row, diag);
    }
    return err;
}

static enum tbs_err check_room(struct store *store, const struct store_subscriber *owner,
                               struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_CREDENTIAL_COUNT);
    store_bind_int(&q, owner->id);
    enum tbs_err err = store_query_one(&q, "subscriber", owner->primary, diag);
    if (err == TBS_OK && store_column_int(&q, 0) >= STORE_CREDENTIALS_MAX)
        err = tbs_fail(diag, TBS_ERR_LIMIT, "'%s' has %u credentials already; remove one first",
                       tbs_name_show(owner->primary).text, STORE_CREDENTIALS_MAX);
    return err;
}

static enum tbs_err insert_credential(struct store *store, int64_t subscriber_id,
                                      const char *psk_id, struct tbs_bytes wrapped, time_t now,
                                      struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_CREDENTIAL_INSERT);
    store_bind_int(&q, subscriber_id);
    store_bind_text(&q, psk_id);
    store_bind_blob(&q, wrapped);
    store_bind_int(&q, now);
    return store_query_change(&q, "PSK id", psk_id, diag);
}

static enum tbs_err check_wrapped(struct tbs_bytes wrapped, struct tbs_diag *diag)
{
    if (wrapped.len == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a credential needs a wrapped PSK");
    if (wrapped.len > STORE_WRAPPED_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the wrapped PSK has %zu octets, the limit is %d",
                        wrapped.len, STORE_WRAPPED_MAX);
    return TBS_OK;
}

enum tbs_err store_credential_add(struct store *store, struct tbs_bytes identity,
                                  struct tbs_bytes psk_id, struct tbs_bytes wrapped, time_t now,
                                  struct tbs_diag *diag)
{
    struct store_identity id;
    char name[STORE_NAME_MAX + 1];
    enum tbs_err err = check_wrapped(wrapped, diag);
    if (err == TBS_OK)
        err = store_identity_canonical(identity, &id, diag);
    if (err == TBS_OK)
        err = tbs_name("PSK id", psk_id, name, diag);
    if (err == TBS_OK)
        err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    struct store_subscriber owner;
    err = store_owner(store, id.uri, &owner, diag);
    if (err == TBS_OK)
        err = check_room(store, &owner, diag);
    if (err == TBS_OK)
        err = insert_credential(store, owner.id, name, wrapped, now, diag);
    return store_txn_end(store, err, diag);
}

enum tbs_err store_credential_rewrap(struct store *store, const char *psk_id,
                                     struct tbs_bytes before, struct tbs_bytes wrapped,
                                     struct tbs_diag *diag)
{
    enum tbs_err err = check_wrapped(wrapped, diag);
    if (err == TBS_OK)
        err = store_writable(store, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_CREDENTIAL_REWRAP);
    store_bind_blob(&q, wrapped);
    store_bind_text(&q, psk_id);
    store_bind_blob(&q, before);
    return store_query_change(&q, "PSK id", psk_id, diag);
}

enum tbs_err store_credential_set_active(struct store *store, struct tbs_bytes psk_id, bool active,
                                         struct tbs_diag *diag)
{
    char name[STORE_NAME_MAX + 1];
    enum tbs_err err = tbs_name("PSK id", psk_id, name, diag);
    if (err == TBS_OK)
        err = store_writable(store, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_CREDENTIAL_SET_ACTIVE);
    store_bind_int(&q, active);
    store_bind_text(&q, name);
    return store_query_change(&q, "PSK id", name, diag);
}

enum tbs_err store_credential_remove(struct store *store, struct tbs_bytes psk_id,
                                     struct tbs_diag *diag)
{
    char name[STORE_NAME_MAX + 1];
    enum tbs_err err = tbs_name("PSK id", psk_id, name, diag);
    if (err == TBS_OK)
        err = store_writable(store, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_CREDENTIAL_DELETE);
    store_bind_text(&q, name);
    return store_query_change(&q, "PSK id", name, diag);
}
