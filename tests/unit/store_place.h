/* A folder for each test of the store, with or without a store in it. */
#ifndef TBS_TESTS_STORE_PLACE_H
#define TBS_TESTS_STORE_PLACE_H

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

extern struct tbs_diag diag; /* of assert_ok and assert_fails */

struct tbs_bytes str(const char *text);
int make_folder(void **state);
int make_store(void **state);
int64_t add(struct place *p, const char *primary, const char *second);
int make_filled_store(void **state);
int remove_folder(void **state);
/* Behind the store's back. */
void raw_sql(const char *path, const char *sql);
int raw_number(const char *path, const char *sql);
void overwrite(const char *path, off_t from, const void *octets, size_t len);
void write_file(const char *path, const char *text);
/* Both modes refuse the file, and give no handle. */
void refused(struct place *p, enum tbs_err code, const char *part);
enum tbs_err count_subscriber(void *ctx, const struct store_subscriber *subscriber);
int subscribers(struct place *p);

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_folder)
#define WITH_FILLED(test) cmocka_unit_test_setup_teardown(test, make_filled_store, remove_folder)

#endif
