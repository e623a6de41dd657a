#include "store/private.h"

#include <string.h>

static enum tbs_err class_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return TBS_ERR_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return TBS_ERR_UNAVAILABLE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* our SQL is constant: the tables are not what it was written for */
        return TBS_ERR_CONFIG;
    case SQLITE_TOOBIG:
        return TBS_ERR_LIMIT;
    case SQLITE_CONSTRAINT:
        return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY
                   ? TBS_ERR_EXISTS
                   : TBS_ERR_INVALID;
    case SQLITE_MISUSE:
        return TBS_ERR_INVALID;
    default:
        return TBS_ERR_IO;
    }
}

static const char *advice_for(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "another process is writing to it; try again";
    case SQLITE_NOTADB:
        return "give the path of a file that tbs-kms made";
    case SQLITE_CORRUPT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR:
        return "the file is damaged; restore it from a backup";
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return "the file and its folder must be writable by this user";
    case SQLITE_FULL:
        return "make room on the disk";
    case SQLITE_MISUSE:
        return "a list is already running on this handle";
    default:
        return "nothing was changed";
    }
}

enum tbs_err store_sqlite_fail(struct store *store, int rc, struct tbs_diag *diag)
{
    return tbs_fail_raw(diag, class_of(rc), (unsigned long)rc, "store %s: %s: %s",
                        tbs_name_show(store->path).text, sqlite3_errstr(rc), advice_for(rc));
}

enum tbs_err store_exec(struct store *store, const char *sql, struct tbs_diag *diag)
{
    int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? TBS_OK : store_sqlite_fail(store, rc, diag);
}

enum tbs_err store_writable(struct store *store, struct tbs_diag *diag)
{
    if (store->mode != STORE_READ_WRITE)
        return tbs_fail(diag, TBS_ERR_INVALID, "the store is open for reading only");
    return TBS_OK;
}

enum tbs_err store_txn_begin(struct store *store, struct tbs_diag *diag)
{
    enum tbs_err err = store_writable(store, diag);
    if (err == TBS_OK)
        err = store_exec(store, store->txn_depth ? "SAVEPOINT change" : "BEGIN IMMEDIATE", diag);
    if (err == TBS_OK)
        store->txn_depth++;
    return err;
}

enum tbs_err store_txn_end(struct store *store, enum tbs_err err, struct tbs_diag *diag)
{
    bool inner = --store->txn_depth > 0;
    if (err == TBS_OK)
        err = store_exec(store, inner ? "RELEASE change" : "COMMIT", diag);
    /* Some failures (a full disk) have rolled back already. */
    if (err != TBS_OK && !sqlite3_get_autocommit(store->db))
        store_exec(store, inner ? "ROLLBACK TO change; RELEASE change" : "ROLLBACK", NULL);
    return err;
}

/* A statement in the middle of its rows is not taken from the one who reads them. */
struct store_query store_query(struct store *store, enum store_stmt which)
{
    sqlite3_stmt *stmt = store->statements[which];
    if (sqlite3_stmt_busy(stmt))
        return (struct store_query){.store = store, .rc = SQLITE_MISUSE};
    return (struct store_query){.store = store, .stmt = stmt};
}

void store_query_end(struct store_query *q)
{
    if (!q->stmt)
        return;
    sqlite3_reset(q->stmt); /* repeats the error of the last step, which has been reported */
    sqlite3_clear_bindings(q->stmt);
}

void store_bind_int(struct store_query *q, int64_t value)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_int64(q->stmt, ++q->bound, value);
}

void store_bind_text(struct store_query *q, const char *text)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_text(q->stmt, ++q->bound, text, -1, SQLITE_STATIC);
}

void store_bind_blob(struct store_query *q, struct tbs_bytes blob)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_blob64(q->stmt, ++q->bound, blob.data, blob.len, SQLITE_STATIC);
}

enum tbs_err store_query_status(const struct store_query *q, struct tbs_diag *diag)
{
    return q->rc == SQLITE_OK ? TBS_OK : store_sqlite_fail(q->store, q->rc, diag);
}

enum tbs_err store_query_next(struct store_query *q, bool *ret_row, struct tbs_diag *diag)
{
    int rc = q->rc;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q->stmt);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
        *ret_row = rc == SQLITE_ROW;
        return TBS_OK;
    }
    q->rc = rc;
    return store_query_status(q, diag);
}

enum tbs_err store_query_one(struct store_query *q, const char *what, const char *name,
                             struct tbs_diag *diag)
{
    bool row = false;
    enum tbs_err err = store_query_next(q, &row, diag);
    if (err == TBS_OK && !row)
        err = tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is no %s '%s' in the store", what,
                       tbs_name_show(name).text);
    return err;
}

enum tbs_err store_query_change(struct store_query *q, const char *what, const char *name,
                                struct tbs_diag *diag)
{
    bool row = false;
    enum tbs_err err = store_query_next(q, &row, diag);
    if (err == TBS_ERR_EXISTS)
        return tbs_fail_raw(diag, err, (unsigned long)q->rc, "%s '%s' is in the store already",
                            what, tbs_name_show(name).text);
    if (err == TBS_OK && sqlite3_changes(q->store->db) == 0)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is no %s '%s' in the store", what,
                        tbs_name_show(name).text);
    return err;
}

int64_t store_column_int(struct store_query *q, int column)
{
    return q->rc == SQLITE_OK ? sqlite3_column_int64(q->stmt, column) : 0;
}

bool store_column_is_null(struct store_query *q, int column)
{
    return q->rc != SQLITE_OK || sqlite3_column_type(q->stmt, column) == SQLITE_NULL;
}

/* The schema keeps names within their limits; a file that does not is damaged. */
void store_column_text(struct store_query *q, int column, char ret_text[STORE_NAME_MAX + 1])
{
    ret_text[0] = '\0';
    if (q->rc != SQLITE_OK)
        return;
    const unsigned char *text = sqlite3_column_text(q->stmt, column);
    size_t len = (size_t)sqlite3_column_bytes(q->stmt, column);
    if (!text)
        q->rc = sqlite3_errcode(q->store->db) == SQLITE_NOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT;
    else if (len > STORE_NAME_MAX || strlen((const char *)text) != len)
        q->rc = SQLITE_CORRUPT;
    else
        memcpy(ret_text, text, len + 1);
}

void store_column_blob(struct store_query *q, int column, uint8_t *ret_blob, size_t max,
                       size_t *ret_len)
{
    *ret_len = 0;
    if (q->rc != SQLITE_OK)
        return;
    const void *blob = sqlite3_column_blob(q->stmt, column);
    size_t len = (size_t)sqlite3_column_bytes(q->stmt, column);
    if (!blob)
        q->rc = sqlite3_errcode(q->store->db) == SQLITE_NOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT;
    else if (len > max)
        q->rc = SQLITE_CORRUPT;
    else
        memcpy(ret_blob, blob, *ret_len = len);
}

enum tbs_err store_identity_canonical(struct tbs_bytes identity,
                                      struct store_identity *ret_identity, struct tbs_diag *diag)
{
    return tbs_identity_canonical(identity, ret_identity->uri, diag);
}
