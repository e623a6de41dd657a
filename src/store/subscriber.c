/* Subscribers, their identities, and what some of them are in the network. */
#include "store/private.h"

#include <string.h>

static const char *const role_names[] = {
    [STORE_ROLE_NONE] = "none",
    [STORE_ROLE_TRANSCODER] = "transcoder",
    [STORE_ROLE_RECORDER] = "recorder",
    [STORE_ROLE_FOCUS] = "focus",
    [STORE_ROLE_VOICEMAIL] = "voicemail",
    [STORE_ROLE_APPLICATION_SERVER] = "application-server",
    [STORE_ROLE_MEDIA_GATEWAY] = "media-gateway",
    [STORE_ROLE_EMERGENCY] = "emergency",
};
#define ROLE_COUNT (sizeof role_names / sizeof *role_names)

const char *store_role_name(enum store_role role)
{
    return (size_t)role < ROLE_COUNT ? role_names[role] : "unknown role";
}

enum tbs_err store_role_parse(const char *name, enum store_role *ret_role, struct tbs_diag *diag)
{
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(name, role_names[i]) == 0) {
            *ret_role = (enum store_role)i;
            return TBS_OK;
        }
    }
    return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                    "there is no role '%s'; the roles are transcoder, recorder, focus, voicemail, "
                    "application-server, media-gateway, emergency and none",
                    tbs_name_show(name).text);
}

enum store_role store_column_role(struct store_query *q, int column)
{
    if (store_column_is_null(q, column))
        return STORE_ROLE_NONE;
    char name[STORE_NAME_MAX + 1];
    enum store_role role = STORE_ROLE_NONE;
    store_column_text(q, column, name);
    if (q->rc == SQLITE_OK && store_role_parse(name, &role, NULL) != TBS_OK)
        q->rc = SQLITE_CORRUPT;
    return role;
}

void store_read_subscriber(struct store_query *q, struct store_subscriber *ret_subscriber)
{
    ret_subscriber->id = store_column_int(q, 0);
    store_column_text(q, 1, ret_subscriber->primary);
    ret_subscriber->active = store_column_int(q, 2) == 1;
    ret_subscriber->created = store_column_int(q, 3);
    ret_subscriber->role = store_column_role(q, 4);
}

enum tbs_err store_owner(struct store *store, const char *uri,
                         struct store_subscriber *ret_subscriber, struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_OWNER);
    store_bind_text(&q, uri);
    enum tbs_err err = store_query_one(&q, "identity", uri, diag);
    if (err != TBS_OK)
        return err;
    struct store_subscriber subscriber;
    store_read_subscriber(&q, &subscriber);
    err = store_query_status(&q, diag);
    if (err == TBS_OK)
        *ret_subscriber = subscriber;
    return err;
}

enum tbs_err store_each_subscriber(struct store_query *q, store_subscriber_fn *fn, void *ctx,
                                   struct tbs_diag *diag)
{
    struct store_subscriber subscriber;
    bool row = false;
    enum tbs_err err;
    while ((err = store_query_next(q, &row, diag)) == TBS_OK && row) {
        store_read_subscriber(q, &subscriber);
        err = store_query_status(q, diag);
        if (err == TBS_OK)
            err = fn(ctx, &subscriber);
        if (err != TBS_OK)
            break;
    }
    return err;
}

enum tbs_err store_identity_owner(struct store *store, struct tbs_bytes identity,
                                  struct store_subscriber *ret_subscriber, struct tbs_diag *diag)
{
    struct store_identity id;
    enum tbs_err err = store_identity_canonical(identity, &id, diag);
    return err == TBS_OK ? store_owner(store, id.uri, ret_subscriber, diag) : err;
}

/* --- Administration; static functions run inside a transaction. --- */

/* A group and a subscriber of one name could not be told apart in a request. */
static enum tbs_err insert_identity(struct store *store, int64_t subscriber_id, const char *uri,
                                    struct tbs_diag *diag)
{
    bool taken = false;
    enum tbs_err err = store_group_exists(store, tbs_bytes_str(uri), &taken, diag);
    if (err != TBS_OK)
        return err;
    if (taken)
        return tbs_fail(diag, TBS_ERR_EXISTS, "'%s' is a group in the store already",
                        tbs_name_show(uri).text);
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_IDENTITY_INSERT);
    store_bind_int(&q, subscriber_id);
    store_bind_text(&q, uri);
    return store_query_change(&q, "identity", uri, diag);
}

static enum tbs_err insert_subscriber(struct store *store, const char *primary, time_t now,
                                      int64_t *ret_id, struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_SUBSCRIBER_INSERT);
    store_bind_text(&q, primary);
    store_bind_int(&q, now);
    enum tbs_err err = store_query_change(&q, "identity", primary, diag);
    if (err == TBS_OK)
        *ret_id = sqlite3_last_insert_rowid(store->db);
    return err;
}

static enum tbs_err add_subscriber(struct store *store, const struct tbs_bytes *identities,
                                   size_t count, time_t now, int64_t *ret_id, struct tbs_diag *diag)
{
    struct store_identity id;
    enum tbs_err err = store_identity_canonical(identities[0], &id, diag);
    if (err == TBS_OK)
        err = insert_subscriber(store, id.uri, now, ret_id, diag);
    for (size_t i = 0; err == TBS_OK && i < count; i++) {
        err = store_identity_canonical(identities[i], &id, diag);
        if (err == TBS_OK)
            err = insert_identity(store, *ret_id, id.uri, diag);
    }
    return err;
}

enum tbs_err store_subscriber_add(struct store *store, const struct tbs_bytes *identities,
                                  size_t count, time_t now, int64_t *ret_id, struct tbs_diag *diag)
{
    if (count == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a subscriber needs at least one identity");
    int64_t id = 0;
    enum tbs_err err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    err = add_subscriber(store, identities, count, now, &id, diag);
    err = store_txn_end(store, err, diag);
    if (err == TBS_OK)
        *ret_id = id;
    return err;
}

enum tbs_err store_subscriber_set_active(struct store *store, struct tbs_bytes identity,
                                         bool active, struct tbs_diag *diag)
{
    struct store_identity id;
    enum tbs_err err = store_identity_canonical(identity, &id, diag);
    if (err == TBS_OK)
        err = store_writable(store, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_SUBSCRIBER_SET_ACTIVE);
    store_bind_int(&q, active);
    store_bind_text(&q, id.uri);
    return store_query_change(&q, "identity", id.uri, diag);
}

enum tbs_err store_subscriber_remove(struct store *store, struct tbs_bytes identity,
                                     struct tbs_diag *diag)
{
    struct store_identity id;
    enum tbs_err err = store_identity_canonical(identity, &id, diag);
    if (err == TBS_OK)
        err = store_writable(store, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_SUBSCRIBER_DELETE);
    store_bind_text(&q, id.uri);
    return store_query_change(&q, "identity", id.uri, diag);
}

enum tbs_err store_subscriber_list(struct store *store, store_subscriber_fn *fn, void *ctx,
                                   struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_SUBSCRIBER_LIST);
    return store_each_subscriber(&q, fn, ctx, diag);
}

enum tbs_err store_identity_add(struct store *store, struct tbs_bytes identity,
                                struct tbs_bytes new_identity, struct tbs_diag *diag)
{
    struct store_identity known, added;
    enum tbs_err err = store_identity_canonical(identity, &known, diag);
    if (err == TBS_OK)
        err = store_identity_canonical(new_identity, &added, diag);
    if (err == TBS_OK)
        err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    struct store_subscriber owner;
    err = store_owner(store, known.uri, &owner, diag);
    if (err == TBS_OK)
        err = insert_identity(store, owner.id, added.uri, diag);
    return store_txn_end(store, err, diag);
}

static enum tbs_err remove_identity(struct store *store, const char *uri, struct tbs_diag *diag)
{
    struct store_subscriber owner;
    enum tbs_err err = store_owner(store, uri, &owner, diag);
    if (err != TBS_OK)
        return err;
    if (strcmp(uri, owner.primary) == 0)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "'%s' is a primary identity, to which PSKs are bound; it goes only with "
                        "its subscriber",
                        tbs_name_show(uri).text);
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_IDENTITY_DELETE);
    store_bind_text(&q, uri);
    return store_query_change(&q, "identity", uri, diag);
}

enum tbs_err store_identity_remove(struct store *store, struct tbs_bytes identity,
                                   struct tbs_diag *diag)
{
    struct store_identity id;
    enum tbs_err err = store_identity_canonical(identity, &id, diag);
    if (err == TBS_OK)
        err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    return store_txn_end(store, remove_identity(store, id.uri, diag), diag);
}

enum tbs_err store_each_identity(struct store_query *q, store_identity_fn *fn, void *ctx,
                                 struct tbs_diag *diag)
{
    bool row = false;
    enum tbs_err err;
    while ((err = store_query_next(q, &row, diag)) == TBS_OK && row) {
        struct store_identity id;
        store_column_text(q, 0, id.uri);
        err = store_query_status(q, diag);
        if (err == TBS_OK)
            err = fn(ctx, &id);
        if (err != TBS_OK)
            break;
    }
    return err;
}

enum tbs_err store_identity_list(struct store *store, struct tbs_bytes identity,
                                 store_identity_fn *fn, void *ctx, struct tbs_diag *diag)
{
    struct store_subscriber owner;
    enum tbs_err err = store_identity_owner(store, identity, &owner, diag);
    if (err != TBS_OK)
        return err;
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_IDENTITY_LIST);
    store_bind_int(&q, owner.id);
    return store_each_identity(&q, fn, ctx, diag);
}

static enum tbs_err clear_role(struct store *store, const struct store_subscriber *owner,
                               struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_ROLE_CLEAR);
    store_bind_int(&q, owner->id);
    return store_query_change(&q, "role of", owner->primary, diag);
}

static enum tbs_err set_role(struct store *store, const struct store_subscriber *owner,
                             enum store_role role, struct tbs_diag *diag)
{
    STORE_QUERY_AUTO struct store_query q = store_query(store, STMT_ROLE_SET);
    store_bind_int(&q, owner->id);
    store_bind_text(&q, role_names[role]);
    return store_query_change(&q, "role of", owner->primary, diag);
}

enum tbs_err store_role_set(struct store *store, struct tbs_bytes identity, enum store_role role,
                            struct tbs_diag *diag)
{
    struct store_identity id;
    if ((size_t)role >= ROLE_COUNT)
        return tbs_fail(diag, TBS_ERR_INVALID, "there is no role number %d", (int)role);
    enum tbs_err err = store_identity_canonical(identity, &id, diag);
    if (err == TBS_OK)
        err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    struct store_subscriber owner;
    err = store_owner(store, id.uri, &owner, diag);
    if (err == TBS_OK && role != STORE_ROLE_NONE)
        err = set_role(store, &owner, role, diag);
    else if (err == TBS_OK && owner.role != STORE_ROLE_NONE)
        err = clear_role(store, &owner, diag);
    return store_txn_end(store, err, diag);
}
