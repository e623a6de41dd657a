/* The store: lists, hostile names, and what several handles on one file see of each other. */
#include "store_place.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    return cmocka_run_group_tests_name("store-handles", tests, NULL, NULL);
}
