/* Making, opening, and bringing up to date the file. */
#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 5000
#define VALUE_MAX 65536 /* octets; nothing of ours, the schema's text included, is larger */

/* The file may have been tampered with: nothing in its schema may run as code, and no SQL can
 * write to the schema itself. */
static const struct {
    int option, value;
} settings[] = {
    {SQLITE_DBCONFIG_ENABLE_FKEY, 1},    {SQLITE_DBCONFIG_DEFENSIVE, 1},
    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0}, {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
    {SQLITE_DBCONFIG_ENABLE_VIEW, 0},    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    {SQLITE_DBCONFIG_DQS_DML, 0},        {SQLITE_DBCONFIG_DQS_DDL, 0},
};

static enum tbs_err configure(struct store *store, struct tbs_diag *diag)
{
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int now = -1;
        sqlite3_db_config(store->db, settings[i].option, settings[i].value, &now);
        if (now != settings[i].value)
            return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                            "the SQLite library does not know setting %d; it is too old or "
                            "built without it",
                            settings[i].option);
    }
    sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
    sqlite3_limit(store->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    return store_exec(store,
                      "PRAGMA synchronous = FULL;"
                      "PRAGMA secure_delete = ON;"
                      "PRAGMA cell_size_check = ON;",
                      diag);
}

/* The absolute path keeps SQLite from taking a name such as ":memory:" or "file:..." for more
 * than a file's. */
static enum tbs_err open_file(struct store *store, const char *path, struct tbs_diag *diag)
{
    if (!realpath(path, store->path)) {
        enum tbs_err code = errno == ENOENT   ? TBS_ERR_NOT_FOUND
                            : errno == EACCES ? TBS_ERR_CONFIG
                                              : TBS_ERR_IO;
        return tbs_fail_raw(diag, code, (unsigned long)errno, "store %s: %s",
                            tbs_name_show(path).text, strerror(errno));
    }
    int rc =
        sqlite3_open_v2(store->path, &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK && sqlite3_db_readonly(store->db, "main") != 0)
        rc = SQLITE_READONLY;
    return rc == SQLITE_OK ? TBS_OK : store_sqlite_fail(store, rc, diag);
}

/* A handle that has not looked into the file yet. */
static enum tbs_err connect_file(const char *path, enum store_mode mode, struct store **ret_store,
                                 struct tbs_diag *diag)
{
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for a store handle");
    store->mode = mode;
    enum tbs_err err = open_file(store, path, diag);
    if (err == TBS_OK)
        err = configure(store, diag);
    if (err != TBS_OK) {
        store_close(store);
        return err;
    }
    *ret_store = store;
    return TBS_OK;
}

/* The one number that a PRAGMA answers with. */
static enum tbs_err pragma_number(struct store *store, const char *sql, int *ret_number,
                                  struct tbs_diag *diag)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret_number = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? TBS_OK : store_sqlite_fail(store, rc, diag);
}

static enum tbs_err schema_version(struct store *store, int *ret_version, struct tbs_diag *diag)
{
    return pragma_number(store, "PRAGMA user_version", ret_version, diag);
}

/* Before anything is written to the file. */
static enum tbs_err check_is_ours(struct store *store, struct tbs_diag *diag)
{
    int id = 0, version = 0;
    enum tbs_err err = pragma_number(store, "PRAGMA application_id", &id, diag);
    if (err == TBS_OK && id != STORE_APPLICATION_ID)
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       "%s is not a tbs-kms store (application id %d); check the path",
                       tbs_name_show(store->path).text, id);
    if (err == TBS_OK)
        err = schema_version(store, &version, diag);
    if (err == TBS_OK && (version < 0 || version > STORE_SCHEMA_VERSION))
        err = tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                       "store %s has schema version %d, this program knows those up to %d; "
                       "use a newer tbs-kms",
                       tbs_name_show(store->path).text, version, STORE_SCHEMA_VERSION);
    if (err == TBS_OK && version < STORE_SCHEMA_VERSION && store->mode == STORE_READ_ONLY)
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       "store %s has schema version %d, this program needs %d; "
                       "run any tbs-admin command that changes it first",
                       tbs_name_show(store->path).text, version, STORE_SCHEMA_VERSION);
    return err;
}

/* The mode is kept in the file, but a copy made by VACUUM INTO has lost it. */
static enum tbs_err ensure_wal(struct store *store, struct tbs_diag *diag)
{
    sqlite3_stmt *stmt = NULL;
    bool wal = false;
    int rc = sqlite3_prepare_v2(store->db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        const char *answer = (const char *)sqlite3_column_text(stmt, 0);
        wal = answer && strcmp(answer, "wal") == 0;
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_ROW)
        return store_sqlite_fail(store, rc, diag);
    if (!wal)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "store %s: its file system has no shared memory for WAL mode; "
                        "keep it on a local disk",
                        tbs_name_show(store->path).text);
    return TBS_OK;
}

/* Inside a transaction, which makes all steps one. */
static enum tbs_err migrate_steps(struct store *store, struct tbs_diag *diag)
{
    int version = 0;
    enum tbs_err err = schema_version(store, &version, diag);
    if (err == TBS_OK && (version < 0 || version > STORE_SCHEMA_VERSION))
        err = tbs_fail(diag, TBS_ERR_UNSUPPORTED, "store %s was just migrated by a newer tbs-kms",
                       tbs_name_show(store->path).text);
    for (int step = version; err == TBS_OK && step < STORE_SCHEMA_VERSION; step++)
        err = store_exec(store, store_migrations[step], diag);
    return err;
}

static enum tbs_err migrate(struct store *store, struct tbs_diag *diag)
{
    int version = 0;
    enum tbs_err err = schema_version(store, &version, diag);
    if (err != TBS_OK || version == STORE_SCHEMA_VERSION)
        return err;
    err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    return store_txn_end(store, migrate_steps(store, diag), diag);
}

static enum tbs_err prepare_statements(struct store *store, struct tbs_diag *diag)
{
    for (size_t i = 0; i < STMT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(store->db, store_statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &store->statements[i], NULL);
        if (rc != SQLITE_OK)
            return store_sqlite_fail(store, rc, diag);
    }
    return TBS_OK;
}

static enum tbs_err make_ready(struct store *store, struct tbs_diag *diag)
{
    enum tbs_err err = check_is_ours(store, diag);
    if (err == TBS_OK)
        err = ensure_wal(store, diag);
    if (err == TBS_OK && store->mode == STORE_READ_WRITE)
        err = migrate(store, diag);
    if (err == TBS_OK && store->mode == STORE_READ_ONLY)
        err = store_exec(store, "PRAGMA query_only = ON", diag);
    if (err == TBS_OK)
        err = prepare_statements(store, diag);
    return err;
}

enum tbs_err store_open(const char *path, enum store_mode mode, struct store **ret_store,
                        struct tbs_diag *diag)
{
    struct store *store = NULL;
    enum tbs_err err = connect_file(path, mode, &store, diag);
    if (err == TBS_OK)
        err = make_ready(store, diag);
    if (err != TBS_OK) {
        store_close(store);
        return err;
    }
    *ret_store = store;
    return TBS_OK;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < STMT_COUNT; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    free(store);
}

static enum tbs_err write_schema(struct store *store, struct tbs_diag *diag)
{
    enum tbs_err err = ensure_wal(store, diag);
    if (err == TBS_OK)
        err = store_txn_begin(store, diag);
    if (err != TBS_OK)
        return err;
    err = store_exec(store, store_mark_as_ours, diag);
    if (err == TBS_OK)
        err = migrate_steps(store, diag);
    return store_txn_end(store, err, diag);
}

static enum tbs_err make_file(const char *path, struct tbs_diag *diag)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        return TBS_OK;
    }
    struct tbs_shown name = tbs_name_show(path);
    if (errno == EEXIST)
        return tbs_fail_raw(diag, TBS_ERR_EXISTS, EEXIST, "%s exists already; it is left as it is",
                            name.text);
    if (errno == ENOENT || errno == ENOTDIR)
        return tbs_fail_raw(diag, TBS_ERR_NOT_FOUND, (unsigned long)errno,
                            "the folder of store %s does not exist; make it first", name.text);
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make store %s: %s",
                        name.text, strerror(errno));
}

enum tbs_err store_create(const char *path, struct tbs_diag *diag)
{
    enum tbs_err err = make_file(path, diag);
    if (err != TBS_OK)
        return err;
    struct store *store = NULL;
    err = connect_file(path, STORE_READ_WRITE, &store, diag);
    if (err == TBS_OK)
        err = write_schema(store, diag);
    store_close(store);
    if (err != TBS_OK)
        unlink(path);
    return err;
}

static enum tbs_err copy_pages(struct store *from, struct store *to, struct tbs_diag *diag)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->db, "main", from->db, "main");
    if (!backup)
        return store_sqlite_fail(to, sqlite3_extended_errcode(to->db), diag);
    int rc = sqlite3_backup_step(backup, -1);
    sqlite3_backup_finish(backup);
    return rc == SQLITE_DONE ? TBS_OK : store_sqlite_fail(to, rc, diag);
}

enum tbs_err store_backup(struct store *store, const char *path, struct tbs_diag *diag)
{
    enum tbs_err err = make_file(path, diag);
    if (err != TBS_OK)
        return err;
    struct store *copy = NULL;
    err = connect_file(path, STORE_READ_WRITE, &copy, diag);
    if (err == TBS_OK)
        err = copy_pages(store, copy, diag);
    store_close(copy);
    if (err != TBS_OK)
        unlink(path);
    return err;
}
