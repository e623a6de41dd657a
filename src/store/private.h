/* Inside the store: one handle, and the thin layer that keeps each use of SQLite down to
 * bind, step and read. All SQL is constant text in sql.c; values are only ever bound. */
#ifndef TBS_STORE_PRIVATE_H
#define TBS_STORE_PRIVATE_H

#include <limits.h>
#include <sqlite3.h>

#include "store/store.h"

/* Statements, prepared once when a handle is opened. */
enum store_stmt {
    STMT_OWNER,
    STMT_SUBSCRIBER_INSERT,
    STMT_SUBSCRIBER_SET_ACTIVE,
    STMT_SUBSCRIBER_DELETE,
    STMT_SUBSCRIBER_LIST,
    STMT_IDENTITY_INSERT,
    STMT_IDENTITY_DELETE,
    STMT_IDENTITY_LIST,
    STMT_FACTS,
    STMT_ROLE_SET,
    STMT_ROLE_CLEAR,
    STMT_CREDENTIAL_FIND,
    STMT_CREDENTIAL_FIND_BY_IDENTITY,
    STMT_CREDENTIAL_COUNT,
    STMT_CREDENTIAL_INSERT,
    STMT_CREDENTIAL_SET_ACTIVE,
    STMT_CREDENTIAL_DELETE,
    STMT_CREDENTIAL_LIST,
    STMT_CREDENTIAL_REWRAP,
    STMT_GROUP_FIND,
    STMT_GROUP_INSERT,
    STMT_GROUP_DELETE,
    STMT_GROUP_LIST,
    STMT_MEMBER_INSERT,
    STMT_MEMBER_DELETE,
    STMT_MEMBER_LIST,
    STMT_COUNT,
};

extern const char *const store_statements[STMT_COUNT];

/* migrations[n] takes a file from schema version n to n + 1, and sets user_version. */
#define STORE_SCHEMA_VERSION 2
extern const char *const store_migrations[STORE_SCHEMA_VERSION];
extern const char store_mark_as_ours[]; /* sets application_id */
#define STORE_APPLICATION_ID 0x5442534b /* "TBSK" */

struct store {
    sqlite3 *db;
    enum store_mode mode;
    char path[PATH_MAX]; /* absolute */
    unsigned txn_depth;  /* a change inside the caller's transaction is a savepoint of it */
    sqlite3_stmt *statements[STMT_COUNT];
};

/* The failure `rc` of SQLite as one of ours, with its sentence. */
enum tbs_err store_sqlite_fail(struct store *store, int rc, struct tbs_diag *diag);

/* Runs constant SQL that takes and gives no values. */
enum tbs_err store_exec(struct store *store, const char *sql, struct tbs_diag *diag);

/* TBS_ERR_INVALID on a read-only handle. A change that is one statement asks this; one that
 * is several is a transaction, where begin asks it. */
enum tbs_err store_writable(struct store *store, struct tbs_diag *diag);

/* One use of a statement. Errors are sticky: bind and read, then check once. What is bound
 * must outlive the query. */
struct store_query {
    struct store *store;
    sqlite3_stmt *stmt;
    int bound;
    int rc;
};

#define STORE_QUERY_AUTO __attribute__((cleanup(store_query_end)))

struct store_query store_query(struct store *store, enum store_stmt which);
void store_query_end(struct store_query *q);

/* Bind the next parameter. */
void store_bind_int(struct store_query *q, int64_t value);
void store_bind_text(struct store_query *q, const char *text);
void store_bind_blob(struct store_query *q, struct tbs_bytes blob);

/* The next row, if there is one. */
enum tbs_err store_query_next(struct store_query *q, bool *ret_row, struct tbs_diag *diag);
/* The only row; TBS_ERR_NOT_FOUND says that there is no `what` called `name`. */
enum tbs_err store_query_one(struct store_query *q, const char *what, const char *name,
                             struct tbs_diag *diag);
/* Changes a row; TBS_ERR_NOT_FOUND or TBS_ERR_EXISTS speak of `what` and `name`. */
enum tbs_err store_query_change(struct store_query *q, const char *what, const char *name,
                                struct tbs_diag *diag);
/* Of everything bound and read so far. */
enum tbs_err store_query_status(const struct store_query *q, struct tbs_diag *diag);

/* Read a column, from 0; zero or empty once the query has failed. Text and blobs are never
 * NULL or empty by mistake: what does not fit, or is NULL, fails the query. */
int64_t store_column_int(struct store_query *q, int column);
bool store_column_is_null(struct store_query *q, int column);
void store_column_text(struct store_query *q, int column, char ret_text[STORE_NAME_MAX + 1]);
void store_column_blob(struct store_query *q, int column, uint8_t *ret_blob, size_t max,
                       size_t *ret_len);

/* NULL is that of a subscriber that is no network function. */
enum store_role store_column_role(struct store_query *q, int column);

/* `uri` is canonical. */
enum tbs_err store_owner(struct store *store, const char *uri,
                         struct store_subscriber *ret_subscriber, struct tbs_diag *diag);
/* The columns of a subscriber, the first five of a row. */
void store_read_subscriber(struct store_query *q, struct store_subscriber *ret_subscriber);
enum tbs_err store_each_subscriber(struct store_query *q, store_subscriber_fn *fn, void *ctx,
                                   struct tbs_diag *diag);

/* A list whose only column is a URI. */
enum tbs_err store_each_identity(struct store_query *q, store_identity_fn *fn, void *ctx,
                                 struct tbs_diag *diag);

#endif
