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
                        tbs_name_show(uri).text);
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
        err = tbs_name("group's name", name, shown, diag);
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

struct change {
    enum store_stmt which; /* adds or deletes; both take group and subscriber first */
    struct store_validity validity;
};

static enum tbs_err change_member(struct store *store, const struct change *change,
                                  const char *group_uri, const char *identity,
                                  struct tbs_diag *diag)
{
    int64_t group = 0;
    struct store_subscriber owner;
    enum tbs_err err = group_id(store, group_uri, &group, diag);
    if (err == TBS_OK)
        err = store_owner(store, identity, &owner, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, change->which);
    store_bind_int(&q, group);
    store_bind_int(&q, owner.id);
    if (change->which == STMT_MEMBER_INSERT) {
        store_bind_int(&q, change->validity.from);
        store_bind_int(&q, change->validity.until);
    }
    return store_query_change(&q, "group member", identity, diag);
}

static enum tbs_err member_transaction(struct store *store, const struct change *change,
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
    return store_txn_end(store, change_member(store, change, group.uri, id.uri, diag), diag);
}

enum tbs_err store_member_add(struct store *store, struct tbs_bytes group_uri,
                              struct tbs_bytes identity, struct store_validity validity,
                              struct tbs_diag *diag)
{
    struct change change = {STMT_MEMBER_INSERT, validity};
    if (validity.from < 0 || validity.until < 0 ||
        (validity.until != 0 && validity.until <= validity.from))
        return tbs_fail(diag, TBS_ERR_INVALID, "a membership ends after it begins");
    return member_transaction(store, &change, group_uri, identity, diag);
}

enum tbs_err store_member_remove(struct store *store, struct tbs_bytes group_uri,
                                 struct tbs_bytes identity, struct tbs_diag *diag)
{
    struct change change = {.which = STMT_MEMBER_DELETE};
    return member_transaction(store, &change, group_uri, identity, diag);
}

static enum tbs_err each_member(struct store_query *q, store_member_fn *fn, void *ctx,
                                struct tbs_diag *diag)
{
    struct store_member member;
    bool row = false;
    enum tbs_err err;
    while ((err = store_query_next(q, &row, diag)) == TBS_OK && row) {
        store_read_subscriber(q, &member.subscriber);
        member.validity.from = store_column_int(q, 5);
        member.validity.until = store_column_int(q, 6);
        err = store_query_status(q, diag);
        if (err == TBS_OK)
            err = fn(ctx, &member);
        if (err != TBS_OK)
            break;
    }
    return err;
}

enum tbs_err store_member_list(struct store *store, struct tbs_bytes group_uri, store_member_fn *fn,
                               void *ctx, struct tbs_diag *diag)
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
    return each_member(&q, fn, ctx, diag);
}
