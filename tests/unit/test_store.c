/* The store on real files: how identities are spelled, and what it refuses to open or to keep. */
#include "store_place.h"

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

static enum tbs_err take_group(void *ctx, enum store_fact fact, const char *text)
{
    if (fact == STORE_FACT_GROUP)
        strcpy(ctx, text);
    return TBS_OK;
}

/* A member of schema version 1 is one for ever. */
static void members_of_version_1_stay(void **state)
{
    struct place *p = *state;
    char group[256] = "";
    raw_sql(p->path, "PRAGMA application_id = 0x5442534b");
    raw_sql(p->path, store_migrations[0]);
    raw_sql(p->path, "BEGIN;"
                     "INSERT INTO subscriber (id, primary_identity, created) VALUES (7, 'a@b', 1);"
                     "INSERT INTO identity VALUES ('a@b', 7);"
                     "INSERT INTO grp VALUES (1, 'sip:g@h', '');"
                     "INSERT INTO group_member VALUES (1, 7); COMMIT;");
    assert_ok(store_open(p->path, STORE_READ_WRITE, &p->store, &diag));
    assert_int_equal(raw_number(p->path, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
    assert_ok(store_facts(p->store, 7, 1, take_group, group, &diag));
    assert_string_equal(group, "sip:g@h");
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
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
