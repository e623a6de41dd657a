/* The record of a ceremony, and hashes as words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/secret.h"
#include "evidence/transcript.h"
#include "evidence/words.h"

static char dir[] = "/tmp/tbs-evidence-XXXXXX", file[64];

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/transcript.jsonl", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file);
}

static void write_lines(int n)
{
    struct tbs_diag diag;
    struct transcript *t;
    assert_int_equal(transcript_create(file, &t, &diag), TBS_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(transcript_append(t, "bag", json_pack("{s:i}", "n", i), &diag), TBS_OK);
    transcript_close(t);
}

static enum tbs_err reopen(struct tbs_diag *diag, uint64_t *ret_seq)
{
    struct transcript *t;
    char head[TRANSCRIPT_HEX_LEN + 1];
    enum tbs_err err = transcript_reopen(file, &t, diag);
    if (err == TBS_OK) {
        *ret_seq = transcript_head(t, head);
        transcript_close(t);
    }
    return err;
}

static void a_record_is_never_begun_twice(void **state)
{
    struct tbs_diag diag;
    struct transcript *t;
    (void)state;
    write_lines(1);
    assert_int_equal(transcript_create(file, &t, &diag), TBS_ERR_EXISTS);
}

static void a_torn_line_is_cut_off(void **state)
{
    struct tbs_diag diag;
    struct stat whole, again;
    uint64_t seq = 0;
    (void)state;
    write_lines(3);
    assert_int_equal(stat(file, &whole), 0);
    int fd = open(file, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "{\"half\":", 8), 8);
    close(fd);
    assert_int_equal(reopen(&diag, &seq), TBS_OK);
    assert_int_equal(seq, 3);
    assert_int_equal(stat(file, &again), 0);
    assert_int_equal(again.st_size, whole.st_size);
}

/* Each octet of a line that another follows is covered. */
static void a_changed_octet_is_found(void **state)
{
    struct tbs_diag diag;
    struct tbs_buf good TBS_BUF_AUTO = tbs_buf();
    uint64_t seq;
    (void)state;
    write_lines(2);
    assert_int_equal(file_read(file, &good, &diag), TBS_OK);
    size_t first = (size_t)((uint8_t *)memchr(good.data, '\n', good.len) - good.data);
    for (size_t i = 0; i < first; i++) {
        good.data[i] ^= 1;
        assert_int_equal(file_write(file, tbs_buf_view(&good), &diag), TBS_OK);
        assert_int_equal(reopen(&diag, &seq), TBS_ERR_MALFORMED);
        good.data[i] ^= 1;
    }
    assert_int_equal(file_write(file, tbs_buf_view(&good), &diag), TBS_OK);
    assert_int_equal(reopen(&diag, &seq), TBS_OK);
}

/* The example that the list is known by: a PGP fingerprint. */
static void hashes_are_words(void **state)
{
    static const uint8_t octets[] = {0xE5, 0x82, 0x94, 0xF2, 0xE9, 0xA2, 0x27, 0x48, 0x6E, 0x8B,
                                     0x06, 0x1B, 0x31, 0xCC, 0x52, 0x8F, 0xD7, 0xFA, 0x3F, 0x19};
    static const char words[] =
        "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa "
        "afflict bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless";
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    uint8_t read[20];
    (void)state;
    words_put(&text, tbs_bytes(octets, sizeof octets));
    assert_int_equal(text.len, strlen(words));
    assert_memory_equal(text.data, words, text.len);
    assert_true(words_read(words, read, sizeof read));
    assert_memory_equal(read, octets, sizeof read);
}

static void slips_of_the_tongue_are_heard(void **state)
{
    uint8_t read[3] = {9, 9, 9};
    (void)state;
    assert_false(words_read("Istanbul topmost Pluto", read, 3)); /* swapped */
    assert_false(words_read("topmost Pluto", read, 2));          /* one left out */
    assert_false(words_read("topmost Istanbul", read, 3));
    assert_false(words_read("topmost Istanbul Pluto vagabond", read, 3));
    assert_false(words_read("topmost Istanbul Plut", read, 3));
    assert_false(words_read("", read, 1));
    assert_int_equal(read[0], 9);
    assert_true(words_read("  TOPMOST\nistanbul  pluto ", read, 3));
    assert_int_equal(read[2], 0x94);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_record_is_never_begun_twice, remove_file),
        cmocka_unit_test_teardown(a_torn_line_is_cut_off, remove_file),
        cmocka_unit_test_teardown(a_changed_octet_is_found, remove_file),
        cmocka_unit_test(hashes_are_words),
        cmocka_unit_test(slips_of_the_tongue_are_heard),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
