/* The store on real files: what it refuses to open or to keep, and what several handles on
 * one file see of each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/private.h"

#define ALICE "sip:alice@example.org"
#define ALICE_TEL "tel:+12015550123"
#define BOB "bob@example.org"
#define TEAM "sip:team@example.org"
#define NOW 1700000000
#define ALWAYS ((struct store_validity){0})
#define NOBODY 65534

struct place {
    char dir[64], path[96];
    struct store *store;
};

static struct tbs_bytes str(const char *text)
{
    return tbs_bytes_str(text);
}

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != TBS_OK)                                                                      \
            fail_msg("%s: %s", #call, diag.text);                                                  \
    } while (0)

/* The call fails with `code`, and its sentence names `part`. */
#define assert_fails(code_, part, call)                                                            \
    do {                                                                                           \
        diag = (struct tbs_diag){0};                                                               \
        assert_int_equal((call), (code_));                                                         \
        assert_int_equal(diag.code, (code_));                                                      \
        if (!strstr(diag.text, (part)))                                                            \
            fail_msg("'%s' is not in '%s'", (part), diag.text);                                    \
    } while (0)

static struct tbs_diag diag;

/* --- A folder for each test, with or without a store in it. --- */

static int make_folder(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    strcpy(p->dir, "/tmp/test-store-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/kms.db", p->dir);
    *state = p;
    return 0;
}

static int make_store(void **state)
{
    make_folder(state);
    struct place *p = *state;
    assert_ok(store_create(p->path, &diag));
    assert_ok(store_open(p->path, STORE_READ_WRITE, &p->store, &diag));
    return 0;
}

static int64_t add(struct place *p, const char *primary, const char *second)
{
    const struct tbs_bytes ids[] = {str(primary), str(second ? second : "")};
    int64_t id = 0;
    assert_ok(store_subscriber_add(p->store, ids, second ? 2 : 1, NOW, &id, &diag));
    assert_true(id > 0);
    return id;
}

static int make_filled_store(void **state)
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

static int remove_folder(void **state)
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

/* Behind the store's back. */
static void raw_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int raw_number(const char *path, const char *sql)
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

static void overwrite(const char *path, off_t from, const void *octets, size_t len)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, octets, len, from), len);
    close(fd);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Both modes refuse the file, and give no handle. */
static void refused(struct place *p, enum tbs_err code, const char *part)
{
    struct store *store = NULL;
    assert_fails(code, part, store_open(p->path, STORE_READ_WRITE, &store, &diag));
    assert_non_null(strstr(diag.text, p->dir));
    assert_fails(code, part, store_open(p->path, STORE_READ_ONLY, &store, &diag));
    assert_null(store);
}

/* --- Identities --- */

static void identities_have_one_spelling(void **state)
{
    (void)state;
    static const char *const spellings[][2] = {
        {"SIP:Alice@Example.ORG", "sip:Alice@example.org"},
        {"sips:Bob@EXAMPLE.org:5061;Transport=TCP?Subject=X",
         "sips:Bob@example.org:5061;transport=tcp?Subject=X"},
        {"sip:Conference.Example.ORG;x=Y", "sip:conference.example.org;x=y"},
        {"sip:a;B?C/d@[2001:DB8::1]:5060", "sip:a;B?C/d@[2001:db8::1]:5060"},
        {"TEL:+1-201-555-0123;Phone-Context=Example.ORG",
         "tel:+12015550123;phone-context=example.org"},
        /* RFC 3261 19.1.4 */
        {"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@atlanta.com;transport=tcp"},
        {"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:ALICE@atlanta.com;transport=udp"},
        {"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
         "sip:biloxi.com;method=register;transport=tcp?to=sip:bob%40biloxi.com"},
        {"sip:b%2fc%3b%e2%82@h;x=%3b;a", "sip:b%2Fc%3B%E2%82@h;a;x=%3B"},
        /* RFC 3966 3, 4, 5 */
        {"tel:+358-(555)-123.4567;EXT=1-2;isub=1-2", "tel:+3585551234567;ext=12;isub=1-2"},
        {"tel:863-1234;Phone-Context=+1-914-555", "tel:8631234;phone-context=+1914555"},
        {"tel:7042;phone-context=My-Host.Example.COM",
         "tel:7042;phone-context=my-host.example.com"},
        {"tel:*A-1#;b=c;phone-context=example.com", "tel:*a1#;b=c;phone-context=example.com"},
        {"Bob.Smith@IMS.Mnc001.3gppNetwork.ORG", "Bob.Smith@ims.mnc001.3gppnetwork.org"},
        {"J\xc3\xbcrgen@Example.ORG", "J\xc3\xbcrgen@example.org"},
        {"\xf0\x9f\x99\x82@example.org", "\xf0\x9f\x99\x82@example.org"},
    };
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct store_identity id;
        assert_ok(store_identity_canonical(str(spellings[i][0]), &id, &diag));
        assert_string_equal(id.uri, spellings[i][1]);
        assert_ok(store_identity_canonical(str(id.uri), &id, &diag));
        assert_string_equal(id.uri, spellings[i][1]);
    }
}

static void other_identities_are_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "alice",
        "@example.org",
        "alice@",
        "sip:",
        "sip:@example.org",
        "sip:alice@",
        "sip:alice@;x",
        "sip:a@b@c",
        "sip:alice@exa'mple",
        "alice@example.org:5060",
        "a@b@c",
        "tel:",
        "tel:1@example.org",
        "tel:7042",
        "tel:+",
        "tel:+()-",
        "tel:+1a",
        "tel:+1;",
        "tel:+1;a=1;A=2",
        "tel:+1;=a",
        "sip:a%@example.org",
        "sip:a%4@example.org",
        "sip:a%zz@example.org",
        "sip:a@example.org;x;X=1",
        "sip:a@example.org;",
        "sip:a@example.org;a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q",
        "mailto:alice@example.org",
        "http://example.org/",
        "sip:al ice@example.org",
        "sip:alice@example.org\n",
        "sip:\x7f@example.org",
        "sip:a\xc2\x85@example.org",        /* U+0085, a C1 control */
        "sip:\xff@example.org",             /* no UTF-8 at all */
        "sip:\xc3@example.org",             /* cut short */
        "sip:\xc0\xaf@example.org",         /* overlong */
        "sip:\xe0\x80\xaf@example.org",     /* overlong */
        "sip:\xed\xa0\x80@example.org",     /* a surrogate */
        "sip:\xf4\x90\x80\x80@example.org", /* above U+10FFFF */
        "sip:\xf8\x88\x80\x80\x80@ex.org",  /* five octets */
        "sip:alice@example.org\xe2\x82",    /* cut short at the end */
    };
    struct store_identity id = {"untouched"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (store_identity_canonical(str(bad[i]), &id, &diag) != TBS_ERR_MALFORMED)
            fail_msg("entry %zu, '%s', was let in", i, bad[i]);
    }
    assert_fails(TBS_ERR_MALFORMED, "control character at octet 5",
                 store_identity_canonical(tbs_bytes("sip:a\0b@c", 9), &id, &diag));
    assert_string_equal(id.uri, "untouched");
}

static void identities_end_at_255_octets(void **state)
{
    (void)state;
    char text[256];
    struct store_identity id;
    memset(text, 'x', sizeof text);
    text[100] = '@';
    assert_ok(store_identity_canonical(tbs_bytes(text, 255), &id, &diag));
    assert_int_equal(strlen(id.uri), 255);
    assert_fails(TBS_ERR_LIMIT, "256", store_identity_canonical(tbs_bytes(text, 256), &id, &diag));
}

/* --- Making and opening the file --- */

static void create_leaves_what_is_there(void **state)
{
    struct place *p = *state;
    write_file(p->path, "precious");
    assert_fails(TBS_ERR_EXISTS, p->path, store_create(p->path, &diag));
    struct stat st;
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_size, strlen("precious"));
    char deeper[128];
    snprintf(deeper, sizeof deeper, "%s/no/such/kms.db", p->dir);
    assert_fails(TBS_ERR_NOT_FOUND, "folder", store_create(deeper, &diag));
    assert_int_equal(symlink(deeper, strcat(p->dir, "/link")), 0);
    assert_fails(TBS_ERR_EXISTS, "link", store_create(p->dir, &diag));
    *strrchr(p->dir, '/') = '\0';
}

static void create_makes_a_private_file(void **state)
{
    struct place *p = *state;
    mode_t before = umask(0);
    assert_ok(store_create(p->path, &diag));
    assert_ok(store_open(p->path, STORE_READ_WRITE, &p->store, &diag));
    add(p, ALICE, NULL);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char name[128];
        struct stat st;
        snprintf(name, sizeof name, "%s%s", p->path, suffixes[i]);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    umask(before);
}

/* A full disk, seen as a file size limit: half a store is not left behind. */
static void create_that_fails_leaves_nothing(void **state)
{
    struct place *p = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = {8192, 8192};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(store_create(p->path, NULL) == TBS_ERR_IO ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(access(p->path, F_OK), -1);
    assert_ok(store_create(p->path, &diag));
}

static void files_that_are_no_store_are_refused(void **state)
{
    struct place *p = *state;
    refused(p, TBS_ERR_NOT_FOUND, "No such file");
    assert_int_equal(mkdir(p->path, 0700), 0);
    refused(p, TBS_ERR_CONFIG, "unable to open");
    rmdir(p->path);
    write_file(p->path, "");
    refused(p, TBS_ERR_CONFIG, "not a tbs-kms store");
    unlink(p->path);
    char text[8192];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    write_file(p->path, text);
    refused(p, TBS_ERR_CONFIG, "not a database");
    unlink(p->path);
    raw_sql(p->path, "PRAGMA application_id = 77; CREATE TABLE t (x);");
    refused(p, TBS_ERR_CONFIG, "application id 77");
    assert_int_equal(raw_number(p->path, "SELECT count(*) FROM sqlite_schema"), 1);
    struct store *store = NULL; /* names that mean more to SQLite than a file */
    assert_fails(TBS_ERR_NOT_FOUND,
                 ":memory:", store_open(":memory:", STORE_READ_WRITE, &store, &diag));
    assert_fails(TBS_ERR_NOT_FOUND,
                 "file:", store_open("file:x?mode=memory", STORE_READ_WRITE, &store, &diag));
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
    struct place *p = *state;
    assert_ok(store_create(p->path, &diag));
    raw_sql(p->path, "PRAGMA user_version = 9");
    refused(p, TBS_ERR_UNSUPPORTED, "schema version 9");
    raw_sql(p->path, "PRAGMA user_version = -1");
    refused(p, TBS_ERR_UNSUPPORTED, "schema version -1");
    assert_int_equal(raw_number(p->path, "PRAGMA user_version"), -1);
}

static void an_older_schema_is_brought_up_to_date(void **state)
{
    struct place *p = *state;
    raw_sql(p->path, "PRAGMA application_id = 0x5442534b");
    assert_fails(TBS_ERR_CONFIG, "schema version 0",
                 store_open(p->path, STORE_READ_ONLY, &p->store, &diag));
    assert_int_equal(raw_number(p->path, "SELECT count(*) FROM sqlite_schema"), 0);
    assert_ok(store_open(p->path, STORE_READ_WRITE, &p->store, &diag));
    add(p, ALICE, NULL);
    struct store *reader;
    assert_ok(store_open(p->path, STORE_READ_ONLY, &reader, &diag));
    store_close(reader);
}

/* A member of schema version 1 is one for ever. */
static void members_of_version_1_stay(void **state)
{
    struct place *p = *state;
    bool yes = false;
    raw_sql(p->path, "PRAGMA application_id = 0x5442534b");
    raw_sql(p->path, store_migrations[0]);
    raw_sql(p->path, "BEGIN;"
                     "INSERT INTO subscriber (id, primary_identity, created) VALUES (7, 'a@b', 1);"
                     "INSERT INTO identity VALUES ('a@b', 7);"
                     "INSERT INTO grp VALUES (1, 'sip:g@h', '');"
                     "INSERT INTO group_member VALUES (1, 7); COMMIT;");
    assert_ok(store_open(p->path, STORE_READ_WRITE, &p->store, &diag));
    assert_int_equal(raw_number(p->path, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
    assert_ok(store_is_member(p->store, str("sip:g@h"), 7, 1, &yes, &diag));
    assert_true(yes);
}

static void a_migration_that_fails_changes_nothing(void **state)
{
    struct place *p = *state;
    raw_sql(p->path, "PRAGMA application_id = 0x5442534b; CREATE TABLE grp (x);");
    assert_fails(TBS_ERR_CONFIG, p->path, store_open(p->path, STORE_READ_WRITE, &p->store, &diag));
    assert_int_equal(raw_number(p->path, "SELECT count(*) FROM sqlite_schema"), 1);
    assert_int_equal(raw_number(p->path, "PRAGMA user_version"), 0);
}

static void damaged_files_are_refused(void **state)
{
    struct place *p = *state;
    assert_ok(store_create(p->path, &diag));
    struct stat st;
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(truncate(p->path, st.st_size - 4096), 0);
    refused(p, TBS_ERR_CONFIG, "restore it from a backup");
    assert_int_equal(truncate(p->path, 50), 0);
    refused(p, TBS_ERR_CONFIG, "");
    unlink(p->path);

    assert_ok(store_create(p->path, &diag));
    overwrite(p->path, 0, "SQLite format 4", 16);
    refused(p, TBS_ERR_CONFIG, "not a database");
    unlink(p->path);

    assert_ok(store_create(p->path, &diag));
    char junk[3000];
    memset(junk, 0xff, sizeof junk);
    overwrite(p->path, 100, junk, sizeof junk); /* the schema, beyond the file's header */
    refused(p, TBS_ERR_CONFIG, "restore it from a backup");
    unlink(p->path);

    assert_ok(store_create(p->path, &diag));
    raw_sql(p->path, "DROP TABLE group_member");
    refused(p, TBS_ERR_CONFIG, "restore it from a backup");
}

/* Pages behind the schema are only read when they are asked for. */
static void damage_found_later_is_reported(void **state)
{
    struct place *p = *state;
    store_close(p->store);
    struct stat st;
    assert_int_equal(stat(p->path, &st), 0);
    char junk[4096];
    memset(junk, 0xff, sizeof junk);
    for (off_t at = 4096; at < st.st_size; at += 4096)
        overwrite(p->path, at, junk, sizeof junk);
    p->store = NULL;
    assert_ok(store_open(p->path, STORE_READ_ONLY, &p->store, &diag));
    struct store_subscriber s;
    struct store_credential c;
    bool found;
    assert_fails(TBS_ERR_CONFIG, "backup", store_identity_owner(p->store, str(ALICE), &s, &diag));
    assert_fails(TBS_ERR_CONFIG, "backup",
                 store_find_credential(p->store, str("alice-phone"), &c, &diag));
    assert_fails(TBS_ERR_CONFIG, "backup", store_group_exists(p->store, str(TEAM), &found, &diag));
}

/* Rows that our own CHECKs would not let in. */
static void values_beyond_their_limits_are_damage(void **state)
{
    struct place *p = *state;
    struct store_credential c;
    struct store_subscriber s;
    raw_sql(p->path, "PRAGMA ignore_check_constraints = ON;"
                     "UPDATE credential SET wrapped = zeroblob(1025);"
                     "UPDATE network_function SET role = 'king';");
    assert_fails(TBS_ERR_CONFIG, "backup",
                 store_find_credential(p->store, str("alice-phone"), &c, &diag));
    assert_fails(TBS_ERR_CONFIG, "backup", store_identity_owner(p->store, str(BOB), &s, &diag));
    raw_sql(p->path, "PRAGMA ignore_check_constraints = ON;"
                     "UPDATE subscriber SET primary_identity = printf('%0300d', id)");
    assert_fails(TBS_ERR_CONFIG, "backup", store_identity_owner(p->store, str(ALICE), &s, &diag));
    raw_sql(p->path, "UPDATE subscriber SET primary_identity = 'a' || char(0) || id");
    assert_fails(TBS_ERR_CONFIG, "backup", store_identity_owner(p->store, str(ALICE), &s, &diag));
}

static void a_file_that_cannot_be_written_is_refused(void **state)
{
    struct place *p = *state;
    assert_ok(store_create(p->path, &diag));
    bool root = geteuid() == 0; /* to whom permissions mean nothing */
    if (root) {
        assert_int_equal(chown(p->dir, NOBODY, NOBODY), 0);
        assert_int_equal(chown(p->path, NOBODY, NOBODY), 0);
    }
    assert_int_equal(chmod(p->path, 0400), 0);
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    struct store *store = NULL;
    enum tbs_err writer = store_open(p->path, STORE_READ_WRITE, &store, NULL);
    enum tbs_err reader = store_open(p->path, STORE_READ_ONLY, &store, &diag);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(writer, TBS_ERR_CONFIG);
    assert_int_equal(reader, TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "must be writable"));
}

/* "file:" would be a URI to SQLite, and lead to another file or to none. */
static void a_path_is_only_ever_a_path(void **state)
{
    struct place *p = *state;
    char home[PATH_MAX];
    assert_non_null(getcwd(home, sizeof home));
    assert_int_equal(chdir(p->dir), 0);
    enum tbs_err create = store_create("file:x?mode=memory", &diag);
    enum tbs_err open = store_open("file:x?mode=memory", STORE_READ_WRITE, &p->store, &diag);
    assert_int_equal(chdir(home), 0);
    assert_int_equal(create, TBS_OK);
    assert_int_equal(open, TBS_OK);
    assert_non_null(strstr(p->store->path, "/file:x?mode=memory"));
    assert_string_equal(sqlite3_db_filename(p->store->db, "main"), p->store->path);
}

static int setting(struct store *store, const char *pragma)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(store->db, pragma, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int value = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

/* What no call of ours can show, because all of it is a second line of defence. */
static void handles_are_hardened(void **state)
{
    struct place *p = *state;
    struct store *reader = NULL;
    assert_ok(store_open(p->path, STORE_READ_ONLY, &reader, &diag));
    struct store *both[] = {p->store, reader};
    for (int i = 0; i < 2; i++) {
        int defensive = 0, triggers = 1, views = 1;
        assert_int_equal(setting(both[i], "PRAGMA foreign_keys"), 1);
        assert_int_equal(setting(both[i], "PRAGMA secure_delete"), 1);
        assert_int_equal(setting(both[i], "PRAGMA trusted_schema"), 0);
        assert_int_equal(setting(both[i], "PRAGMA synchronous"), 2);
        assert_int_equal(setting(both[i], "PRAGMA cell_size_check"), 1);
        assert_int_equal(setting(both[i], "PRAGMA busy_timeout"), 5000);
        assert_int_equal(setting(both[i], "PRAGMA query_only"), i);
        sqlite3_db_config(both[i]->db, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive);
        sqlite3_db_config(both[i]->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, -1, &triggers);
        sqlite3_db_config(both[i]->db, SQLITE_DBCONFIG_ENABLE_VIEW, -1, &views);
        assert_true(defensive && !triggers && !views);
        assert_int_equal(sqlite3_limit(both[i]->db, SQLITE_LIMIT_LENGTH, -1), 65536);
    }
    store_close(reader);
}

/* VACUUM INTO is a usual way to make a backup; its copy is not in WAL mode. */
static void a_restored_backup_is_in_wal_mode_again(void **state)
{
    struct place *p = *state;
    char copy[128], sql[256];
    snprintf(copy, sizeof copy, "%s/copy.db", p->dir);
    snprintf(sql, sizeof sql, "VACUUM INTO '%s'", copy);
    raw_sql(p->path, sql);
    struct store *store = NULL;
    struct store_subscriber s;
    assert_ok(store_open(copy, STORE_READ_ONLY, &store, &diag));
    assert_ok(store_identity_owner(store, str(ALICE), &s, &diag));
    store_close(store);
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
    sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &stmt, NULL);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal(sqlite3_column_text(stmt, 0), "wal");
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

/* What was committed last is in the -wal file only. */
static void a_backup_has_all_that_was_committed(void **state)
{
    struct place *p = *state;
    struct store *reader = NULL, *copy = NULL;
    struct store_credential c;
    char path[128];
    assert_ok(store_open(p->path, STORE_READ_ONLY, &reader, &diag));
    assert_ok(store_txn_begin(p->store, &diag));
    add(p, "carol@c.org", NULL); /* not committed yet */
    snprintf(path, sizeof path, "%s/backup.db", p->dir);
    assert_ok(store_backup(reader, path, &diag));
    assert_ok(store_txn_end(p->store, TBS_OK, &diag));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_ok(store_open(path, STORE_READ_ONLY, &copy, &diag));
    assert_ok(store_find_credential(copy, str("alice-phone"), &c, &diag));
    struct store_subscriber s;
    assert_int_equal(store_identity_owner(copy, str("carol@c.org"), &s, NULL), TBS_ERR_NOT_FOUND);
    store_close(copy);
    assert_fails(TBS_ERR_EXISTS, "backup.db", store_backup(reader, path, &diag));
    snprintf(path, sizeof path, "%s/no/backup.db", p->dir);
    assert_fails(TBS_ERR_NOT_FOUND, "folder", store_backup(reader, path, &diag));
    store_close(reader);
}

static void the_file_passes_sqlites_own_checks(void **state)
{
    struct place *p = *state;
    assert_ok(store_subscriber_remove(p->store, str(ALICE), &diag));
    assert_int_equal(raw_number(p->path, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_int_equal(raw_number(p->path,
                                "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check"
                                " <> 'ok'"),
                     0);
    assert_int_equal(raw_number(p->path, "SELECT count(*) FROM pragma_table_list"
                                         " WHERE schema = 'main' AND strict"),
                     6);
}

/* --- Subscribers and identities --- */

static enum tbs_err count_subscriber(void *ctx, const struct store_subscriber *subscriber)
{
    (void)subscriber;
    ++*(int *)ctx;
    return TBS_OK;
}

static int subscribers(struct place *p)
{
    int count = 0;
    assert_ok(store_subscriber_list(p->store, count_subscriber, &count, &diag));
    return count;
}

static void subscriber_is_found_by_any_identity(void **state)
{
    struct place *p = *state;
    struct store_subscriber s = {0};
    int64_t id = add(p, "SIP:alice@EXAMPLE.org", ALICE_TEL);
    static const char *const names[] = {ALICE, "sip:alice@Example.Org", ALICE_TEL,
                                        "TEL:+12015550123"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        memset(&s, 0xee, sizeof s);
        assert_ok(store_identity_owner(p->store, str(names[i]), &s, &diag));
        assert_int_equal(s.id, id);
        assert_string_equal(s.primary, ALICE);
        assert_true(s.active);
        assert_int_equal(s.created, NOW);
        assert_int_equal(s.role, STORE_ROLE_NONE);
    }
    assert_fails(TBS_ERR_NOT_FOUND, "sip:Alice@example.org",
                 store_identity_owner(p->store, str("sip:Alice@example.org"), &s, &diag));
    assert_fails(TBS_ERR_MALFORMED, "alice",
                 store_identity_owner(p->store, str("alice"), &s, &diag));
    assert_int_equal(s.id, id); /* untouched */
}

static void subscriber_add_is_all_or_nothing(void **state)
{
    struct place *p = *state;
    int64_t id = -5;
    struct store_subscriber s;
    assert_ok(store_group_add(p->store, str(TEAM), str(""), &diag));
    add(p, ALICE, ALICE_TEL);
    const struct {
        struct tbs_bytes ids[2];
        enum tbs_err code;
        const char *part;
    } bad[] = {
        {{str(ALICE), str(BOB)}, TBS_ERR_EXISTS, ALICE},
        {{str(ALICE_TEL), str(BOB)}, TBS_ERR_EXISTS, ALICE_TEL},
        {{str(BOB), str(ALICE)}, TBS_ERR_EXISTS, ALICE},
        {{str(BOB), str("bob@EXAMPLE.org")}, TBS_ERR_EXISTS, BOB},
        {{str(BOB), str("bob")}, TBS_ERR_MALFORMED, "'bob'"},
        {{str(BOB), str(TEAM)}, TBS_ERR_EXISTS, "group"},
        {{str(TEAM), str(BOB)}, TBS_ERR_EXISTS, "group"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(bad[i].code, bad[i].part,
                     store_subscriber_add(p->store, bad[i].ids, 2, NOW, &id, &diag));
        assert_int_equal(subscribers(p), 1);
        assert_int_equal(store_identity_owner(p->store, str(BOB), &s, NULL), TBS_ERR_NOT_FOUND);
    }
    const struct tbs_bytes bob = str(BOB);
    assert_fails(TBS_ERR_INVALID, "at least one",
                 store_subscriber_add(p->store, &bob, 0, NOW, &id, &diag));
    assert_fails(TBS_ERR_INVALID, "constraint",
                 store_subscriber_add(p->store, &bob, 1, -1, &id, &diag));
    assert_int_equal(id, -5);
    add(p, BOB, NULL);
}

static void subscriber_is_disabled_and_enabled(void **state)
{
    struct place *p = *state;
    struct store_subscriber s;
    struct store_credential c;
    assert_ok(store_subscriber_set_active(p->store, str(ALICE_TEL), false, &diag));
    assert_ok(store_subscriber_set_active(p->store, str(ALICE_TEL), false, &diag));
    assert_ok(store_identity_owner(p->store, str(ALICE), &s, &diag));
    assert_false(s.active);
    assert_ok(store_find_credential(p->store, str("alice-phone"), &c, &diag));
    assert_true(c.active);
    assert_false(c.subscriber_active);
    assert_ok(store_identity_owner(p->store, str(BOB), &s, &diag));
    assert_true(s.active);
    assert_ok(store_subscriber_set_active(p->store, str(ALICE), true, &diag));
    assert_ok(store_find_credential(p->store, str("alice-phone"), &c, &diag));
    assert_true(c.subscriber_active);
    assert_fails(TBS_ERR_NOT_FOUND, "eve@example.org",
                 store_subscriber_set_active(p->store, str("eve@example.org"), false, &diag));
}

static void subscriber_goes_with_all_that_is_his(void **state)
{
    struct place *p = *state;
    struct store_subscriber before, s;
    struct store_credential c;
    bool member = true;
    assert_ok(store_identity_owner(p->store, str(ALICE), &before, &diag));
    assert_ok(store_role_set(p->store, str(ALICE), STORE_ROLE_FOCUS, &diag));
    assert_ok(store_subscriber_remove(p->store, str(ALICE_TEL), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, ALICE, store_identity_owner(p->store, str(ALICE), &s, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, ALICE_TEL,
                 store_identity_owner(p->store, str(ALICE_TEL), &s, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "alice-phone",
                 store_find_credential(p->store, str("alice-phone"), &c, &diag));
    assert_ok(store_is_member(p->store, str(TEAM), before.id, NOW, &member, &diag));
    assert_false(member);
    enum store_role role;
    assert_fails(TBS_ERR_NOT_FOUND, "id", store_role(p->store, before.id, &role, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, ALICE, store_subscriber_remove(p->store, str(ALICE), &diag));
    assert_int_equal(subscribers(p), 1);
    /* The last id is not given out again. */
    assert_ok(store_subscriber_remove(p->store, str(BOB), &diag));
    assert_true(add(p, ALICE, NULL) > before.id + 1);
}

static enum tbs_err join_identity(void *ctx, const struct store_identity *identity)
{
    strcat(strcat(ctx, identity->uri), " ");
    return TBS_OK;
}

static void identities_come_and_go_but_the_primary_stays(void **state)
{
    struct place *p = *state;
    char all[256] = "";
    struct store_subscriber s;
    assert_ok(store_identity_add(p->store, str(BOB), str("SIP:bob@B.org"), &diag));
    assert_ok(store_identity_owner(p->store, str("sip:bob@b.org"), &s, &diag));
    assert_string_equal(s.primary, BOB);
    assert_ok(store_identity_list(p->store, str("sip:bob@b.org"), join_identity, all, &diag));
    assert_string_equal(all, "bob@example.org sip:bob@b.org ");
    assert_fails(TBS_ERR_EXISTS, ALICE_TEL,
                 store_identity_add(p->store, str(BOB), str(ALICE_TEL), &diag));
    assert_fails(TBS_ERR_EXISTS, "group", store_identity_add(p->store, str(BOB), str(TEAM), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@example.org",
                 store_identity_add(p->store, str("eve@example.org"), str("e@e.org"), &diag));
    assert_fails(TBS_ERR_MALFORMED, "bob",
                 store_identity_add(p->store, str(BOB), str("bob"), &diag));
    assert_fails(TBS_ERR_INVALID, BOB, store_identity_remove(p->store, str(BOB), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@example.org",
                 store_identity_remove(p->store, str("eve@example.org"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@example.org",
                 store_identity_list(p->store, str("eve@example.org"), join_identity, all, &diag));
    assert_ok(store_identity_remove(p->store, str("sip:bob@b.org"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "sip:bob@b.org",
                 store_identity_owner(p->store, str("sip:bob@b.org"), &s, &diag));
}

/* --- Credentials --- */

static void credential_is_found_by_psk_id_and_by_identity(void **state)
{
    struct place *p = *state;
    struct store_credential c;
    struct store_credentials all;
    uint8_t blob[STORE_WRAPPED_MAX + 1];
    for (size_t i = 0; i < sizeof blob; i++)
        blob[i] = (uint8_t)i;
    assert_ok(store_credential_add(p->store, str(ALICE_TEL), str("Alice's tablet"),
                                   tbs_bytes(blob, STORE_WRAPPED_MAX), NOW + 1, &diag));
    memset(&c, 0xee, sizeof c);
    assert_ok(store_find_credential(p->store, str("Alice's tablet"), &c, &diag));
    assert_string_equal(c.psk_id, "Alice's tablet");
    assert_string_equal(c.primary, ALICE);
    assert_true(c.active && c.subscriber_active);
    assert_int_equal(c.created, NOW + 1);
    assert_int_equal(c.wrapped_len, STORE_WRAPPED_MAX);
    assert_memory_equal(c.wrapped, blob, STORE_WRAPPED_MAX);

    assert_ok(store_credential_set_active(p->store, str("alice-phone"), false, &diag));
    assert_ok(store_find_credentials_by_identity(p->store, str(ALICE_TEL), &all, &diag));
    assert_int_equal(all.count, 2);
    assert_string_equal(all.at[0].psk_id, "alice-phone");
    assert_false(all.at[0].active);
    assert_int_equal(all.at[0].wrapped_len, strlen("wrapped-1"));
    assert_memory_equal(all.at[0].wrapped, "wrapped-1", strlen("wrapped-1"));
    assert_string_equal(all.at[1].psk_id, "Alice's tablet");
    assert_true(all.at[1].active);
    assert_int_equal(all.at[1].subscriber_id, c.subscriber_id);
    assert_ok(store_find_credentials_by_identity(p->store, str(BOB), &all, &diag));
    assert_int_equal(all.count, 0);
    all.count = 7;
    assert_fails(TBS_ERR_NOT_FOUND, "eve@e.org",
                 store_find_credentials_by_identity(p->store, str("eve@e.org"), &all, &diag));
    assert_int_equal(all.count, 7);
}

static void credential_errors_name_what_is_wrong(void **state)
{
    struct place *p = *state;
    struct store_credential c = {.psk_id = "untouched"};
    uint8_t blob[STORE_WRAPPED_MAX + 1] = {0};
    char name[256];
    memset(name, 'k', sizeof name);
    struct tbs_bytes wrapped = str("w");
    assert_fails(TBS_ERR_NOT_FOUND, "'ALICE-phone'",
                 store_find_credential(p->store, str("ALICE-phone"), &c, &diag));
    assert_fails(TBS_ERR_LIMIT, "256",
                 store_find_credential(p->store, tbs_bytes(name, 256), &c, &diag));
    assert_fails(TBS_ERR_MALFORMED, "empty", store_find_credential(p->store, str(""), &c, &diag));
    assert_fails(TBS_ERR_MALFORMED, "UTF-8",
                 store_find_credential(p->store, str("\xfe"), &c, &diag));
    assert_string_equal(c.psk_id, "untouched");

    assert_fails(TBS_ERR_EXISTS, "alice-phone",
                 store_credential_add(p->store, str(BOB), str("alice-phone"), wrapped, NOW, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@e.org",
                 store_credential_add(p->store, str("eve@e.org"), str("k"), wrapped, NOW, &diag));
    assert_fails(TBS_ERR_MALFORMED, "control",
                 store_credential_add(p->store, str(BOB), str("a\tb"), wrapped, NOW, &diag));
    assert_fails(TBS_ERR_INVALID, "wrapped PSK",
                 store_credential_add(p->store, str(BOB), str("k"), str(""), NOW, &diag));
    assert_fails(TBS_ERR_LIMIT, "1025",
                 store_credential_add(p->store, str(BOB), str("k"), tbs_bytes(blob, sizeof blob),
                                      NOW, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "'k'",
                 store_credential_set_active(p->store, str("k"), true, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "'k'", store_credential_remove(p->store, str("k"), &diag));

    assert_ok(store_credential_add(p->store, str(BOB), tbs_bytes(name, 255), wrapped, NOW, &diag));
    assert_ok(store_find_credential(p->store, tbs_bytes(name, 255), &c, &diag));
    assert_int_equal(strlen(c.psk_id), 255);
    /* A long name is cut, so that the sentence is whole. */
    assert_fails(
        TBS_ERR_EXISTS, "kkk...' is in the store already",
        store_credential_add(p->store, str(BOB), tbs_bytes(name, 255), wrapped, NOW, &diag));
}

static void a_subscriber_has_at_most_16_credentials(void **state)
{
    struct place *p = *state;
    struct store_credentials all;
    char name[16];
    for (unsigned i = 1; i < STORE_CREDENTIALS_MAX; i++) {
        snprintf(name, sizeof name, "device-%u", i);
        assert_ok(store_credential_add(p->store, str(ALICE), str(name), str("w"), NOW, &diag));
    }
    assert_fails(TBS_ERR_LIMIT, ALICE,
                 store_credential_add(p->store, str(ALICE), str("k"), str("w"), NOW, &diag));
    assert_ok(store_find_credentials_by_identity(p->store, str(ALICE), &all, &diag));
    assert_int_equal(all.count, STORE_CREDENTIALS_MAX);
    assert_ok(store_credential_remove(p->store, str("device-3"), &diag));
    assert_ok(store_credential_add(p->store, str(ALICE), str("k"), str("w"), NOW, &diag));
    /* More, put there by another hand: not cut short in silence. */
    raw_sql(p->path, "INSERT INTO credential (subscriber, psk_id, wrapped, created)"
                     " VALUES (1, 'one too many', x'00', 0)");
    all.count = 3;
    assert_fails(TBS_ERR_CONFIG, "backup",
                 store_find_credentials_by_identity(p->store, str(ALICE), &all, &diag));
    assert_int_equal(all.count, 3);
}

/* --- Groups and roles --- */

static enum tbs_err join_credential(void *ctx, const struct store_credential *credential)
{
    strcat(strcat(ctx, credential->psk_id), " ");
    return TBS_OK;
}

static void credentials_of_all_come_page_by_page(void **state)
{
    struct place *p = *state;
    char first[64] = "", second[64] = "", rest[64] = "";
    assert_ok(store_credential_add(p->store, str(BOB), str("b-1"), str("W1"), NOW, &diag));
    assert_ok(store_credential_add(p->store, str(ALICE), str("c-1"), str("W2"), NOW, &diag));
    assert_ok(store_credential_add(p->store, str(ALICE), str("a-1"), str("W3"), NOW, &diag));
    assert_ok(store_credential_list(p->store, NULL, 2, join_credential, first, &diag));
    assert_string_equal(first, "a-1 alice-phone ");
    assert_ok(store_credential_remove(p->store, str("alice-phone"), &diag));
    assert_ok(store_credential_list(p->store, "alice-phone", 2, join_credential, second, &diag));
    assert_string_equal(second, "b-1 c-1 ");
    assert_ok(store_credential_list(p->store, "c-1", 2, join_credential, rest, &diag));
    assert_string_equal(rest, "");
}

static void a_blob_is_replaced_only_by_who_has_seen_it(void **state)
{
    struct place *p = *state;
    struct store_credential c;
    assert_ok(store_credential_add(p->store, str(BOB), str("b-1"), str("W1"), NOW, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "b-1",
                 store_credential_rewrap(p->store, "b-1", str("W0"), str("W2"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "b-2",
                 store_credential_rewrap(p->store, "b-2", str("W1"), str("W2"), &diag));
    assert_fails(TBS_ERR_INVALID, "needs a wrapped PSK",
                 store_credential_rewrap(p->store, "b-1", str("W1"), str(""), &diag));
    assert_ok(store_find_credential(p->store, str("b-1"), &c, &diag));
    assert_memory_equal(c.wrapped, "W1", 2);
    assert_ok(store_credential_rewrap(p->store, "b-1", str("W1"), str("W2"), &diag));
    assert_ok(store_find_credential(p->store, str("b-1"), &c, &diag));
    assert_memory_equal(c.wrapped, "W2", 2);
}

static enum tbs_err join_group(void *ctx, const struct store_group *group)
{
    strcat(strcat(strcat(strcat(ctx, group->uri), "="), group->name), " ");
    return TBS_OK;
}

static enum tbs_err join_member(void *ctx, const struct store_member *member)
{
    strcat(strcat(ctx, member->subscriber.primary), " ");
    return TBS_OK;
}

static bool is_member_at(struct place *p, time_t now)
{
    struct store_subscriber bob;
    bool yes = false, listed;
    char groups[256] = "";
    assert_ok(store_identity_owner(p->store, str(BOB), &bob, &diag));
    assert_ok(store_is_member(p->store, str(TEAM), bob.id, now, &yes, &diag));
    assert_ok(store_groups_of(p->store, bob.id, now, join_identity, groups, &diag));
    listed = strcmp(groups, TEAM " ") == 0;
    assert_true(listed || groups[0] == '\0');
    assert_int_equal(yes, listed);
    return yes;
}

static void memberships_begin_and_end(void **state)
{
    struct place *p = *state;
    static const struct store_validity wrong[] = {{-1, 0}, {0, -1}, {NOW, NOW}, {NOW + 1, NOW}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_fails(TBS_ERR_INVALID, "ends after it begins",
                     store_member_add(p->store, str(TEAM), str(BOB), wrong[i], &diag));
    struct store_validity day = {NOW, NOW + 86400};
    assert_ok(store_member_add(p->store, str(TEAM), str(BOB), day, &diag));
    assert_false(is_member_at(p, NOW - 1));
    assert_true(is_member_at(p, NOW));
    assert_true(is_member_at(p, NOW + 86399));
    assert_false(is_member_at(p, NOW + 86400));
    assert_fails(TBS_ERR_EXISTS, BOB,
                 store_member_add(p->store, str(TEAM), str(BOB), ALWAYS, &diag));
    assert_ok(store_member_remove(p->store, str(TEAM), str(BOB), &diag));
    assert_ok(
        store_member_add(p->store, str(TEAM), str(BOB), (struct store_validity){NOW, 0}, &diag));
    assert_false(is_member_at(p, NOW - 1));
    assert_true(is_member_at(p, (time_t)1 << 40));
    assert_ok(store_member_remove(p->store, str(TEAM), str(BOB), &diag));
    assert_false(is_member_at(p, NOW));
}

static void groups_have_members(void **state)
{
    struct place *p = *state;
    struct store_subscriber alice, bob;
    bool yes = false;
    char text[256] = "";
    assert_ok(store_identity_owner(p->store, str(ALICE), &alice, &diag));
    assert_ok(store_identity_owner(p->store, str(BOB), &bob, &diag));
    assert_ok(store_group_exists(p->store, str("SIP:team@EXAMPLE.org"), &yes, &diag));
    assert_true(yes);
    assert_ok(store_is_member(p->store, str("SIP:team@EXAMPLE.org"), alice.id, NOW, &yes, &diag));
    assert_true(yes);
    assert_ok(store_is_member(p->store, str(TEAM), bob.id, NOW, &yes, &diag));
    assert_false(yes);
    assert_ok(store_group_add(p->store, str("sip:All@x.org"), str(""), &diag));
    yes = true;
    assert_ok(store_is_member(p->store, str("sip:All@x.org"), alice.id, NOW, &yes, &diag));
    assert_false(yes);
    assert_ok(store_group_list(p->store, join_group, text, &diag));
    assert_string_equal(text, "sip:All@x.org= " TEAM "=The team ");

    assert_ok(store_member_add(p->store, str(TEAM), str(BOB), ALWAYS, &diag));
    text[0] = '\0';
    assert_ok(store_member_list(p->store, str(TEAM), join_member, text, &diag));
    assert_string_equal(text, ALICE " " BOB " ");
    assert_ok(store_member_remove(p->store, str(TEAM), str(ALICE), &diag));
    assert_ok(store_is_member(p->store, str(TEAM), alice.id, NOW, &yes, &diag));
    assert_false(yes);
    assert_ok(store_is_member(p->store, str(TEAM), bob.id, NOW, &yes, &diag));
    assert_true(yes);

    assert_ok(store_group_remove(p->store, str(TEAM), &diag));
    assert_ok(store_group_exists(p->store, str(TEAM), &yes, &diag));
    assert_false(yes);
    assert_ok(store_group_add(p->store, str(TEAM), str(""), &diag));
    yes = true;
    assert_ok(store_is_member(p->store, str(TEAM), bob.id, NOW, &yes, &diag)); /* not as before */
    assert_false(yes);
}

static void group_errors_name_what_is_wrong(void **state)
{
    struct place *p = *state;
    struct store *s = p->store;
    char text[256] = "";
    bool yes;
    assert_fails(TBS_ERR_EXISTS, TEAM, store_group_add(s, str(TEAM), str("again"), &diag));
    assert_fails(TBS_ERR_EXISTS, "identity", store_group_add(s, str(ALICE_TEL), str(""), &diag));
    assert_fails(TBS_ERR_MALFORMED, "team", store_group_add(s, str("team"), str(""), &diag));
    assert_fails(TBS_ERR_MALFORMED, "name",
                 store_group_add(s, str("sip:x@x.org"), str("a\nb"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "x@x.org", store_group_remove(s, str("sip:x@x.org"), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, ALICE, store_group_remove(s, str(ALICE), &diag));
    assert_fails(TBS_ERR_MALFORMED, "team", store_group_exists(s, str("team"), &yes, &diag));
    assert_fails(TBS_ERR_MALFORMED, "team", store_is_member(s, str("team"), 1, NOW, &yes, &diag));
    assert_fails(TBS_ERR_EXISTS, ALICE, store_member_add(s, str(TEAM), str(ALICE), ALWAYS, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "x@x.org",
                 store_member_add(s, str("sip:x@x.org"), str(ALICE), ALWAYS, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@e.org",
                 store_member_add(s, str(TEAM), str("eve@e.org"), ALWAYS, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, BOB, store_member_remove(s, str(TEAM), str(BOB), &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "x@x.org",
                 store_member_list(s, str("sip:x@x.org"), join_member, text, &diag));
    /* A group is no subscriber, so groups do not nest. */
    assert_fails(TBS_ERR_NOT_FOUND, TEAM, store_member_add(s, str(TEAM), str(TEAM), ALWAYS, &diag));
}

static void roles_are_set_changed_and_cleared(void **state)
{
    struct place *p = *state;
    struct store_subscriber bob;
    enum store_role role = STORE_ROLE_NONE;
    for (int r = STORE_ROLE_TRANSCODER; r <= STORE_ROLE_EMERGENCY; r++) {
        enum store_role parsed;
        assert_ok(store_role_parse(store_role_name((enum store_role)r), &parsed, &diag));
        assert_int_equal(parsed, r);
        assert_ok(store_role_set(p->store, str(BOB), (enum store_role)r, &diag));
        assert_ok(store_identity_owner(p->store, str(BOB), &bob, &diag));
        assert_int_equal(bob.role, r);
        assert_ok(store_role(p->store, bob.id, &role, &diag));
        assert_int_equal(role, r);
    }
    for (int twice = 0; twice < 2; twice++) {
        assert_ok(store_role_set(p->store, str(BOB), STORE_ROLE_NONE, &diag));
        assert_ok(store_role(p->store, bob.id, &role, &diag));
        assert_int_equal(role, STORE_ROLE_NONE);
    }
    assert_fails(TBS_ERR_NOT_FOUND, "4711", store_role(p->store, 4711, &role, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "eve@e.org",
                 store_role_set(p->store, str("eve@e.org"), STORE_ROLE_FOCUS, &diag));
    assert_fails(TBS_ERR_INVALID, "99",
                 store_role_set(p->store, str(BOB), (enum store_role)99, &diag));
    assert_fails(TBS_ERR_NOT_FOUND, "'Focus'", store_role_parse("Focus", &role, &diag));
}

/* --- Lists, hostile names, several handles --- */

struct walk {
    struct store *store;
    int seen, stop_at;
};

static enum tbs_err look_inside(void *ctx, const struct store_subscriber *subscriber)
{
    struct walk *w = ctx;
    struct store_credentials all;
    int count = 0;
    assert_ok(store_find_credentials_by_identity(w->store, str(subscriber->primary), &all, &diag));
    assert_fails(TBS_ERR_INVALID, "list",
                 store_subscriber_list(w->store, count_subscriber, &count, &diag));
    assert_int_equal(count, 0);
    return ++w->seen == w->stop_at ? TBS_ERR_DENIED : TBS_OK;
}

static void lists_allow_lookups_and_stop_when_told(void **state)
{
    struct place *p = *state;
    struct walk w = {p->store, 0, 0};
    assert_ok(store_subscriber_list(p->store, look_inside, &w, &diag));
    assert_int_equal(w.seen, 2);
    w = (struct walk){p->store, 0, 1};
    assert_int_equal(store_subscriber_list(p->store, look_inside, &w, &diag), TBS_ERR_DENIED);
    assert_int_equal(w.seen, 1);
    assert_int_equal(subscribers(p), 2); /* from the start again */
    add(p, "carol@example.org", NULL);
}

static void names_are_never_sql(void **state)
{
    struct place *p = *state;
    static const char *const names[] = {
        "sip:x'y@example.org",
        "sip:'OR'1'='1@example.org",
        "sip:');DROP/**/TABLE/**/subscriber;--@example.org",
        "sip:\"x\"`y`[z]\\%2F_*?1:a$b@example.org",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct store_subscriber s;
        struct store_credential c;
        assert_fails(TBS_ERR_NOT_FOUND, names[i],
                     store_identity_owner(p->store, str(names[i]), &s, &diag));
        int64_t id = add(p, names[i], NULL);
        assert_ok(store_identity_owner(p->store, str(names[i]), &s, &diag));
        assert_int_equal(s.id, id);
        assert_string_equal(s.primary, names[i]);
        assert_ok(
            store_credential_add(p->store, str(names[i]), str(names[i]), str("w"), NOW, &diag));
        assert_ok(store_find_credential(p->store, str(names[i]), &c, &diag));
        assert_int_equal(c.subscriber_id, id);
    }
    assert_int_equal(subscribers(p), 2 + (int)(sizeof names / sizeof *names));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_ok(store_subscriber_remove(p->store, str(names[i]), &diag));
    assert_int_equal(subscribers(p), 2);
}

static bool known(struct place *p, const char *identity)
{
    struct store_subscriber s;
    return store_identity_owner(p->store, str(identity), &s, NULL) == TBS_OK;
}

static void several_changes_are_one_transaction(void **state)
{
    struct place *p = *state;
    struct store *other = NULL;
    struct store_subscriber s;
    assert_ok(store_open(p->path, STORE_READ_ONLY, &other, &diag));
    assert_ok(store_txn_begin(p->store, &diag));
    add(p, "carol@c.org", NULL);
    assert_ok(store_credential_add(p->store, str("carol@c.org"), str("carol-1"), str("wrapped"),
                                   NOW, &diag));
    assert_int_equal(store_identity_owner(other, str("carol@c.org"), &s, NULL), TBS_ERR_NOT_FOUND);
    assert_int_equal(store_txn_end(p->store, TBS_ERR_IO, &diag), TBS_ERR_IO);
    assert_false(known(p, "carol@c.org"));

    assert_ok(store_txn_begin(p->store, &diag));
    add(p, "dave@d.org", NULL);
    const struct tbs_bytes bad[] = {str("erin@e.org"), str(ALICE)};
    int64_t id;
    assert_int_equal(store_subscriber_add(p->store, bad, 2, NOW, &id, NULL), TBS_ERR_EXISTS);
    assert_false(known(p, "erin@e.org")); /* of a call that fails, nothing stays */
    assert_ok(store_txn_end(p->store, TBS_OK, &diag));
    assert_true(known(p, "dave@d.org"));
    assert_ok(store_identity_owner(other, str("dave@d.org"), &s, &diag));
    store_close(other);
    add(p, "carol@c.org", NULL); /* and the handle serves on */
}

static void a_read_only_handle_changes_nothing(void **state)
{
    struct place *p = *state;
    struct store *r = NULL;
    const struct tbs_bytes a = str(ALICE), b = str(BOB), g = str(TEAM), n = str("n@n.org");
    const struct tbs_bytes psk = str("alice-phone");
    int64_t id;
    assert_ok(store_open(p->path, STORE_READ_ONLY, &r, &diag));
    const enum tbs_err refusals[] = {
        store_txn_begin(r, &diag),
        store_subscriber_add(r, &n, 1, NOW, &id, &diag),
        store_subscriber_set_active(r, a, false, &diag),
        store_subscriber_remove(r, a, &diag),
        store_identity_add(r, a, n, &diag),
        store_identity_remove(r, str(ALICE_TEL), &diag),
        store_role_set(r, b, STORE_ROLE_NONE, &diag),
        store_credential_add(r, a, n, n, NOW, &diag),
        store_credential_set_active(r, psk, false, &diag),
        store_credential_remove(r, psk, &diag),
        store_group_add(r, n, n, &diag),
        store_group_remove(r, g, &diag),
        store_member_add(r, g, b, ALWAYS, &diag),
        store_member_remove(r, g, a, &diag),
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        assert_int_equal(refusals[i], TBS_ERR_INVALID);
    assert_non_null(strstr(diag.text, "reading only"));
    store_close(r);
    assert_int_equal(subscribers(p), 2);
}

static void changes_are_seen_by_other_handles_at_once(void **state)
{
    struct place *p = *state;
    struct store *r = NULL;
    struct store_subscriber s;
    assert_ok(store_open(p->path, STORE_READ_ONLY, &r, &diag));
    for (int i = 0; i < 50; i++) {
        assert_int_equal(store_identity_owner(r, str("c@c.org"), &s, NULL), TBS_ERR_NOT_FOUND);
        int64_t id = add(p, "c@c.org", NULL);
        assert_ok(store_identity_owner(r, str("c@c.org"), &s, &diag));
        assert_int_equal(s.id, id);
        assert_ok(store_subscriber_set_active(p->store, str("c@c.org"), false, &diag));
        assert_ok(store_identity_owner(r, str("c@c.org"), &s, &diag));
        assert_false(s.active);
        assert_ok(store_subscriber_remove(p->store, str("c@c.org"), &diag));
    }
    store_close(r);
}

static void changes_of_another_process_are_seen_at_once(void **state)
{
    struct place *p = *state;
    struct store *r = NULL;
    struct store_subscriber s;
    pid_t child = fork(); /* before this process opens anything */
    assert_true(child >= 0);
    if (child == 0) {
        struct store *w = NULL;
        int64_t id;
        const struct tbs_bytes carol = str("c@c.org");
        enum tbs_err err = store_create(p->path, NULL);
        if (err == TBS_OK)
            err = store_open(p->path, STORE_READ_WRITE, &w, NULL);
        if (err == TBS_OK)
            err = store_subscriber_add(w, &carol, 1, NOW, &id, NULL);
        kill(getpid(), err == TBS_OK ? SIGKILL : SIGTERM); /* no clean close: the WAL stays */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_ok(store_open(p->path, STORE_READ_ONLY, &r, &diag));
    assert_ok(store_identity_owner(r, str("c@c.org"), &s, &diag));
    store_close(r);
}

/* Someone who holds the write lock, or lets it go after a while. */
static sqlite3 *lock_for_writing(const char *path)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void *unlock_later(void *db)
{
    usleep(300000);
    return sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? db : NULL;
}

static void writers_wait_for_each_other_and_readers_do_not(void **state)
{
    struct place *p = *state;
    struct store_subscriber s;
    pthread_t thread;
    void *done = NULL;
    sqlite3 *other = lock_for_writing(p->path);
    assert_ok(store_identity_owner(p->store, str(ALICE), &s, &diag));
    assert_int_equal(pthread_create(&thread, NULL, unlock_later, other), 0);
    enum tbs_err err = store_subscriber_set_active(p->store, str(ALICE), false, &diag);
    pthread_join(thread, &done);
    assert_ptr_equal(done, other);
    assert_int_equal(err, TBS_OK);
    sqlite3_close(other);

    other = lock_for_writing(p->path); /* and never lets go: refused after 5 s */
    time_t before = time(NULL);
    assert_fails(TBS_ERR_UNAVAILABLE, "try again",
                 store_identity_add(p->store, str(ALICE), str("new@x.org"), &diag));
    assert_in_range(time(NULL) - before, 4, 20);
    assert_ok(store_identity_owner(p->store, str(ALICE), &s, &diag));
    sqlite3_close(other);
    assert_ok(store_identity_add(p->store, str(ALICE), str("new@x.org"), &diag));
}

#define ROUNDS 100

struct worker {
    const char *path, *uri;
    enum tbs_err err;
    struct tbs_diag why;
};

/* Adds and removes one subscriber, over and over. */
static void *write_rounds(void *arg)
{
    struct worker *w = arg;
    struct store *store = NULL;
    const struct tbs_bytes id = str(w->uri);
    int64_t number;
    w->err = store_open(w->path, STORE_READ_WRITE, &store, &w->why);
    for (int i = 0; w->err == TBS_OK && i < ROUNDS; i++) {
        w->err = store_subscriber_add(store, &id, 1, NOW, &number, &w->why);
        if (w->err == TBS_OK)
            w->err = store_credential_add(store, id, id, str("w"), NOW, &w->why);
        if (w->err == TBS_OK)
            w->err = store_subscriber_remove(store, id, &w->why);
    }
    store_close(store);
    return NULL;
}

/* Alice is always there; a credential never without its subscriber. */
static void *read_rounds(void *arg)
{
    struct worker *w = arg;
    struct store *store = NULL;
    struct store_subscriber s;
    struct store_credential c;
    w->err = store_open(w->path, STORE_READ_ONLY, &store, &w->why);
    for (int i = 0; w->err == TBS_OK && i < 10 * ROUNDS; i++) {
        w->err = store_identity_owner(store, str(ALICE), &s, &w->why);
        if (w->err != TBS_OK)
            break;
        w->err = store_find_credential(store, str(w->uri), &c, &w->why);
        if (w->err == TBS_ERR_NOT_FOUND)
            w->err = TBS_OK;
        else if (w->err == TBS_OK && strcmp(c.primary, w->uri) != 0)
            w->err = TBS_ERR_INVALID;
    }
    store_close(store);
    return NULL;
}

static void handles_work_side_by_side(void **state)
{
    struct place *p = *state;
    struct worker workers[] = {
        {p->path, "w1@example.org", TBS_OK, {0}},
        {p->path, "w2@example.org", TBS_OK, {0}},
        {p->path, "w1@example.org", TBS_OK, {0}},
        {p->path, "w2@example.org", TBS_OK, {0}},
    };
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 2 ? write_rounds : read_rounds, &workers[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) {
        if (workers[i].err != TBS_OK)
            fail_msg("worker %d: %s", i, workers[i].why.text);
    }
    assert_int_equal(subscribers(p), 2);
}

/* The last one to leave puts everything into the one file. */
static void closing_leaves_one_file(void **state)
{
    struct place *p = *state;
    store_close(NULL);
    store_close(p->store);
    p->store = NULL;
    DIR *dir = opendir(p->dir);
    int files = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        files += entry->d_name[0] != '.';
    closedir(dir);
    assert_int_equal(files, 1);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_folder)
#define WITH_FILLED(test) cmocka_unit_test_setup_teardown(test, make_filled_store, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities_have_one_spelling),
        cmocka_unit_test(other_identities_are_malformed),
        cmocka_unit_test(identities_end_at_255_octets),
        IN_FOLDER(create_leaves_what_is_there),
        IN_FOLDER(create_makes_a_private_file),
        IN_FOLDER(create_that_fails_leaves_nothing),
        IN_FOLDER(files_that_are_no_store_are_refused),
        IN_FOLDER(a_newer_schema_is_refused_and_left_alone),
        IN_FOLDER(an_older_schema_is_brought_up_to_date),
        IN_FOLDER(members_of_version_1_stay),
        IN_FOLDER(a_migration_that_fails_changes_nothing),
        IN_FOLDER(damaged_files_are_refused),
        WITH_FILLED(damage_found_later_is_reported),
        WITH_FILLED(values_beyond_their_limits_are_damage),
        IN_FOLDER(a_file_that_cannot_be_written_is_refused),
        IN_FOLDER(a_path_is_only_ever_a_path),
        WITH_FILLED(handles_are_hardened),
        WITH_FILLED(a_restored_backup_is_in_wal_mode_again),
        WITH_FILLED(a_backup_has_all_that_was_committed),
        WITH_FILLED(the_file_passes_sqlites_own_checks),
        WITH_STORE(subscriber_is_found_by_any_identity),
        WITH_STORE(subscriber_add_is_all_or_nothing),
        WITH_FILLED(subscriber_is_disabled_and_enabled),
        WITH_FILLED(subscriber_goes_with_all_that_is_his),
        WITH_FILLED(identities_come_and_go_but_the_primary_stays),
        WITH_FILLED(credential_is_found_by_psk_id_and_by_identity),
        WITH_FILLED(credential_errors_name_what_is_wrong),
        WITH_FILLED(a_subscriber_has_at_most_16_credentials),
        WITH_FILLED(credentials_of_all_come_page_by_page),
        WITH_FILLED(a_blob_is_replaced_only_by_who_has_seen_it),
        WITH_FILLED(groups_have_members),
        WITH_FILLED(memberships_begin_and_end),
        WITH_FILLED(group_errors_name_what_is_wrong),
        WITH_FILLED(roles_are_set_changed_and_cleared),
        WITH_FILLED(lists_allow_lookups_and_stop_when_told),
        WITH_FILLED(names_are_never_sql),
        WITH_FILLED(several_changes_are_one_transaction),
        WITH_FILLED(a_read_only_handle_changes_nothing),
        WITH_FILLED(changes_are_seen_by_other_handles_at_once),
        IN_FOLDER(changes_of_another_process_are_seen_at_once),
        WITH_FILLED(writers_wait_for_each_other_and_readers_do_not),
        WITH_FILLED(handles_work_side_by_side),
        WITH_FILLED(closing_leaves_one_file),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
