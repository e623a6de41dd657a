#include "store_place.h"

struct tbs_diag diag;

struct tbs_bytes str(const char *text)
{
    return tbs_bytes_str(text);
}

int make_folder(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    strcpy(p->dir, "/tmp/test-store-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/kms.db", p->dir);
    *state = p;
    return 0;
}

int make_store(void **state)
{
    make_folder(state);
    struct place *p = *state;
    assert_ok(store_create(p->path, &diag));
    assert_ok(store_open(p->path, STORE_READ_WRITE, &p->store, &diag));
    return 0;
}

int64_t add(struct place *p, const char *primary, const char *second)
{
    const struct tbs_bytes ids[] = {str(primary), str(second ? second : "")};
    int64_t id = 0;
    assert_ok(store_subscriber_add(p->store, ids, second ? 2 : 1, NOW, &id, &diag));
    assert_true(id > 0);
    return id;
}

int make_filled_store(void **state)
{
    make_store(state);
    struct place *p = *state;
    add(p, ALICE, ALICE_TEL);
    add(p, BOB, NULL);
    assert_ok(store_credential_add(p->store, str(ALICE), str("alice-phone"), str("wrapped-1"), NOW,
                                   &diag));
    assert_ok(store_group_add(p->store, str(TEAM), str("The team"), &diag));
    assert_ok(store_member_add(p->store, str(TEAM), str(ALICE_TEL), ALWAYS, &diag));
    assert_ok(store_role_set(p->store, str(BOB), STORE_ROLE_RECORDER, &diag));
    return 0;
}

int remove_folder(void **state)
{
    struct place *p = *state;
    store_close(p->store);
    DIR *dir = opendir(p->dir);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

void raw_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

int raw_number(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int number = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return number;
}

void overwrite(const char *path, off_t from, const void *octets, size_t len)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, octets, len, from), len);
    close(fd);
}

void write_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

void refused(struct place *p, enum tbs_err code, const char *part)
{
    struct store *store = NULL;
    assert_fails(code, part, store_open(p->path, STORE_READ_WRITE, &store, &diag));
    assert_non_null(strstr(diag.text, p->dir));
    assert_fails(code, part, store_open(p->path, STORE_READ_ONLY, &store, &diag));
    assert_null(store);
}

enum tbs_err count_subscriber(void *ctx, const struct store_subscriber *subscriber)
{
    (void)subscriber;
    ++*(int *)ctx;
    return TBS_OK;
}

int subscribers(struct place *p)
{
    int count = 0;
    assert_ok(store_subscriber_list(p->store, count_subscriber, &count, &diag));
    return count;
}
