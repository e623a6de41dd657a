/* tbs-admin group: groups and who is in them. */
#include "tools/tbs-admin/admin.h"

static enum tbs_err group_add(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    (void)n;
    return err ? err
               : store_group_add(a->store, admin_text(words[0]),
                                 admin_text(admin_options.name ? admin_options.name : ""), diag);
}

static enum tbs_err group_remove(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    (void)n;
    return err ? err : store_group_remove(a->store, admin_text(words[0]), diag);
}

typedef enum tbs_err change_member_fn(struct store *store, struct tbs_bytes group,
                                      struct tbs_bytes identity, struct tbs_diag *diag);

/* All of them, or none. */
static enum tbs_err change_members(struct admin *a, int n, char **words, change_member_fn *change,
                                   struct tbs_diag *diag)
{
    enum tbs_err err = admin_store(a, STORE_READ_WRITE, diag);

    if (!err)
        err = store_txn_begin(a->store, diag);
    if (err)
        return err;
    for (int i = 1; !err && i < n; i++)
        err = change(a->store, admin_text(words[0]), admin_text(words[i]), diag);
    return store_txn_end(a->store, err, diag);
}

static struct store_validity validity;

static enum tbs_err join(struct store *store, struct tbs_bytes group, struct tbs_bytes identity,
                         struct tbs_diag *diag)
{
    return store_member_add(store, group, identity, validity, diag);
}

static enum tbs_err group_join(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    enum tbs_err err = admin_time("--from", admin_options.from, &validity.from, diag);

    if (!err)
        err = admin_time("--until", admin_options.until, &validity.until, diag);
    return err ? err : change_members(a, n, words, join, diag);
}

static enum tbs_err group_leave(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    return change_members(a, n, words, store_member_remove, diag);
}

static enum tbs_err group_row(void *ctx, const struct store_group *g)
{
    json_array_append_new(ctx, json_pack("[s,s]", g->uri, g->name));
    return TBS_OK;
}

static enum tbs_err member_row(void *ctx, const struct store_member *m)
{
    char from[ADMIN_TIME_MAX], until[ADMIN_TIME_MAX];

    json_array_append_new(ctx, json_pack("[s,s,s,s]", m->subscriber.primary,
                                         m->subscriber.active ? "active" : "disabled",
                                         admin_time_text(m->validity.from, from),
                                         admin_time_text(m->validity.until, until)));
    return TBS_OK;
}

static enum tbs_err group_list(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {"group", "name", NULL};
    enum tbs_err err = admin_store(a, STORE_READ_ONLY, diag);
    json_t *rows = json_array();

    (void)n, (void)words;
    if (!err)
        err = store_group_list(a->store, group_row, rows, diag);
    if (err)
        json_decref(rows);
    else
        admin_print(a, columns, rows);
    return err;
}

static enum tbs_err group_members(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    static const char *const columns[] = {"member", "state", "from", "until", NULL};
    enum tbs_err err = admin_store(a, STORE_READ_ONLY, diag);
    json_t *rows = json_array();

    (void)n;
    if (!err)
        err = store_member_list(a->store, admin_text(words[0]), member_row, rows, diag);
    if (err)
        json_decref(rows);
    else
        admin_print(a, columns, rows);
    return err;
}

const struct admin_command admin_group_commands[] = {
    {"group", "add", "GROUP [--name TEXT]", 1, 1, group_add, "a new group, without members", true},
    {"group", "remove", "GROUP", 1, 1, group_remove, "forget a group", true},
    {"group", "list", "", 0, 0, group_list, "all groups"},
    {"group", "join", "GROUP URI... [--from TIME] [--until TIME]", 2, 16, group_join,
     "add members, for ever or from and until a time", true},
    {"group", "leave", "GROUP URI...", 2, 16, group_leave,
     "remove members; they can resolve no ticket for the group any more", true},
    {"group", "members", "GROUP", 1, 1, group_members, "who is in a group"},
    {0},
};
