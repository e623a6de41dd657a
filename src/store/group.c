/* Groups and who is in them. */
#include "store/private.h"

enum tbs_err store_group_exists(struct store *store, struct tbs_bytes group_uri, bool *ret_exists,
                                struct tbs_diag *diag)
{
    struct store_identity group;
    enum tbs_err err = store_identity_canonical(group_uri, &group, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_GROUP_FIND);
    store_bind_text(&q, group.uri);
    return store_query_next(&q, ret_exists, diag);
}

enum tbs_err store_is_member(struct store *store, struct tbs_bytes group_uri, int64_t subscriber_id,
                             bool *ret_member, struct tbs_diag *diag)
{
    struct store_identity group;
    enum tbs_err err = store_identity_canonical(group_uri, &group, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_MEMBER_FIND);
    store_bind_text(&q, group.uri);
    store_bind_int(&q, subscriber_id);
    return store_query_next(&q, ret_member, diag);
}

static enum tbs_err group_id(struct store *store, const char *uri, int64_t *ret_id,
                             struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_GROUP_FIND);
    store_bind_text(&q, uri);
    enum tbs_err err = store_query_one(&q, "group", uri, diag);
    if (err == TBS_OK)
        *ret_id = store_column_int(&q, 0);
    return err;
}

static enum tbs_err identity_exists(struct store *store, const char *uri, bool *ret_exists,
                                    struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_OWNER);
    store_bind_text(&q, uri);
    return store_query_next(&q, ret_exists, diag);
}

/* --- Administration; static functions run inside a transaction. --- */

static enum tbs_err insert_group(struct store *store, const char *uri, const char *name,
                                 struct tbs_diag *diag)
{
    bool taken = false;
    enum tbs_err err = identity_exists(store, uri, &taken, diag);
    if (err != TBS_OK)
        return err;
    if (taken)
        return tbs_fail(diag, TBS_ERR_EXISTS, "'%s' is an identity in the store already",
                        store_show(uri).text);
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_GROUP_INSERT);
    store_bind_text(&q, uri);
    store_bind_text(&q, name);
    return store_query_change(&q, "group", uri, diag);
}

enum tbs_err store_group_add(struct store *store, struct tbs_bytes group_uri, struct tbs_bytes name,
                             struct tbs_diag *diag)
{
    struct store_identity group;
    char shown[STORE_NAME_MAX + 1] = "";
    enum tbs_err err = store_identity_canonical(group_uri, &group, diag);
    if (err == TBS_OK && name.len != 0)
        err = store_name("group's name", name, shown, diag);
    if (err == TBS_OK)
        err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    return store_txn_end(store, insert_group(store, group.uri, shown, diag), diag);
}

enum tbs_err store_group_remove(struct store *store, struct tbs_bytes group_uri,
                                struct tbs_diag *diag)
{
    struct store_identity group;
    enum tbs_err err = store_identity_canonical(group_uri, &group, diag);
    if (err == TBS_OK)
        err = store_writable(store, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_GROUP_DELETE);
    store_bind_text(&q, group.uri);
    return store_query_change(&q, "group", group.uri, diag);
}

enum tbs_err store_group_list(struct store *store, store_group_fn *fn, void *ctx,
                              struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_GROUP_LIST);
    enum tbs_err err;
    bool row = false;
    while ((err = store_query_next(&q, &row, diag)) == TBS_OK && row) {
        struct store_group group;
        store_column_text(&q, 0, group.uri);
        store_column_text(&q, 1, group.name);
        err = store_query_status(&q, diag);
        if (err == TBS_OK)
            err = fn(ctx, &group);
        if (err != TBS_OK)
            break;
    }
    return err;
}

/* Adds or deletes the pair; both statements take the same parameters. */
static enum tbs_err change_member(struct store *store, enum store_stmt which, const char *group_uri,
                                  const char *identity, struct tbs_diag *diag)
{
    int64_t group = 0;
    struct store_subscriber owner;
    enum tbs_err err = group_id(store, group_uri, &group, diag);
    if (err == TBS_OK)
        err = store_owner(store, identity, &owner, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, which);
    store_bind_int(&q, group);
    store_bind_int(&q, owner.id);
    return store_query_change(&q, "group member", identity, diag);
}

static enum tbs_err member_transaction(struct store *store, enum store_stmt which,
                                       struct tbs_bytes group_uri, struct tbs_bytes identity,
                                       struct tbs_diag *diag)
{
    struct store_identity group, id;
    enum tbs_err err = store_identity_canonical(group_uri, &group, diag);
    if (err == TBS_OK)
        err = store_identity_canonical(identity, &id, diag);
    if (err == TBS_OK)
        err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    return store_txn_end(store, change_member(store, which, group.uri, id.uri, diag), diag);
}

enum tbs_err store_member_add(struct store *store, struct tbs_bytes group_uri,
                              struct tbs_bytes identity, struct tbs_diag *diag)
{
    return member_transaction(store, STMT_MEMBER_INSERT, group_uri, identity, diag);
}

enum tbs_err store_member_remove(struct store *store, struct tbs_bytes group_uri,
                                 struct tbs_bytes identity, struct tbs_diag *diag)
{
    return member_transaction(store, STMT_MEMBER_DELETE, group_uri, identity, diag);
}

enum tbs_err store_member_list(struct store *store, struct tbs_bytes group_uri,
                               store_subscriber_fn *fn, void *ctx, struct tbs_diag *diag)
{
    struct store_identity group;
    int64_t id = 0;
    enum tbs_err err = store_identity_canonical(group_uri, &group, diag);
    if (err == TBS_OK)
        err = group_id(store, group.uri, &id, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_MEMBER_LIST);
    store_bind_int(&q, id);
    return store_each_subscriber(&q, fn, ctx, diag);
}
