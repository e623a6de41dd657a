/* The journal of a ceremony: what a crash may leave behind, and what it may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ceremony/journal.h"

static char dir[] = "/tmp/tbs-journal-XXXXXX", name[64];

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(name, sizeof name, "%s/journal.jsonl", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int remove_it(void **state)
{
    (void)state;
    return unlink(name);
}

static void make_two_lines(void)
{
    struct journal *j = NULL;
    assert_int_equal(journal_create(name, &j, NULL), TBS_OK);
    assert_int_equal(journal_put(j, "open", json_pack("{s:i}", "n", 1), NULL), TBS_OK);
    assert_int_equal(journal_put(j, "step-begin", json_object(), NULL), TBS_OK);
    journal_close(j);
}

static void append(const char *text)
{
    FILE *f = fopen(name, "a");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void what_was_put_is_read(void **state)
{
    (void)state;
    struct journal *j = NULL;
    json_t *lines = NULL;
    make_two_lines();
    assert_int_equal(journal_create(name, &j, NULL), TBS_ERR_EXISTS);
    assert_int_equal(journal_reopen(name, &j, &lines, NULL), TBS_OK);
    assert_int_equal(json_array_size(lines), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(lines, 1), "at")),
                        "step-begin");
    json_decref(lines);
    journal_close(j);
}

static void a_line_that_was_not_finished_is_cut_off(void **state)
{
    (void)state;
    struct journal *j = NULL;
    json_t *lines = NULL;
    make_two_lines();
    append("{\"at\":\"before\",\"call\":\"C_Gen");
    assert_int_equal(journal_reopen(name, &j, &lines, NULL), TBS_OK);
    assert_int_equal(json_array_size(lines), 2);
    json_decref(lines);
    assert_int_equal(journal_put(j, "resume", json_object(), NULL), TBS_OK);
    journal_close(j);
    assert_int_equal(journal_reopen(name, &j, &lines, NULL), TBS_OK);
    assert_int_equal(json_array_size(lines), 3);
    json_decref(lines);
    journal_close(j);
}

static void a_damaged_line_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"nonsense\n", "{}\n", "{\"at\":1}\n", "[\"at\"]\n", "\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct journal *j = NULL;
        struct tbs_diag diag = {0};
        json_t *lines = NULL;
        make_two_lines();
        append(bad[i]);
        assert_int_equal(journal_reopen(name, &j, &lines, &diag), TBS_ERR_MALFORMED);
        assert_non_null(strstr(diag.text, "line 3"));
        assert_null(j);
        assert_int_equal(unlink(name), 0);
    }
    make_two_lines();
}

static void one_process_has_it_at_a_time(void **state)
{
    (void)state;
    struct journal *j = NULL, *other = NULL;
    json_t *lines = NULL;
    make_two_lines();
    assert_int_equal(journal_reopen(name, &j, &lines, NULL), TBS_OK);
    json_decref(lines);
    assert_int_equal(journal_reopen(name, &other, &lines, NULL), TBS_ERR_UNAVAILABLE);
    journal_close(j);
}

static void a_journal_that_is_not_there_is_not_made(void **state)
{
    (void)state;
    struct journal *j = NULL;
    json_t *lines = NULL;
    assert_int_equal(journal_reopen(name, &j, &lines, NULL), TBS_ERR_NOT_FOUND);
    assert_int_equal(access(name, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_was_put_is_read, remove_it),
        cmocka_unit_test_teardown(a_line_that_was_not_finished_is_cut_off, remove_it),
        cmocka_unit_test_teardown(a_damaged_line_is_refused, remove_it),
        cmocka_unit_test_teardown(one_process_has_it_at_a_time, remove_it),
        cmocka_unit_test(a_journal_that_is_not_there_is_not_made),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
