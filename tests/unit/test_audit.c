/* The chain of the audit trail: what is written is whole, and whatever is done to it is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <glob.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/file.h"
#include "audit/verify.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/secret.h"

#define LINES 20
#define NO_LIMIT (1u << 30)

static char dir[64], trail[80];

/* --- Files --- */

static struct tbs_buf read_all(const char *path)
{
    struct tbs_buf b = tbs_buf();
    uint8_t part[4096];
    size_t n;
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        tbs_put_bytes(&b, tbs_bytes(part, n));
    fclose(f);
    assert_false(b.failed);
    return b;
}

static void write_all(const char *path, struct tbs_bytes octets)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(octets.data, 1, octets.len, f), octets.len);
    assert_int_equal(fclose(f), 0);
}

static off_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type;
    return ftw->level > 0 ? remove(path) : 0;
}

static int clean(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- Trails --- */

static struct audit *open_trail(uint64_t max_size)
{
    const struct audit_config config = {.file = trail, .max_size = max_size};
    struct tbs_diag diag = {0};
    struct audit *audit = NULL;
    if (audit_open(&config, &audit, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return audit;
}

static enum tbs_err write_number(struct audit *audit, int i, struct tbs_diag *diag)
{
    return audit_write(audit, "test", json_pack("{s:i,s:s}", "number", i, "by", "sip:alice"), diag);
}

static void write_numbers(uint64_t max_size, int n)
{
    struct audit *audit = open_trail(max_size);
    struct tbs_diag diag = {0};
    for (int i = 0; i < n; i++)
        if (write_number(audit, i, &diag) != TBS_OK)
            fail_msg("%s", diag.text);
    audit_close(audit);
}

static struct audit_report verify_files(char *const *files, size_t n, struct tbs_bytes pem)
{
    struct audit_report report;
    struct tbs_diag diag = {0};
    if (audit_verify(files, n, pem, &report, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return report;
}

static struct audit_report verify_with(struct tbs_bytes pem)
{
    return verify_files((char *[]){trail}, 1, pem);
}

static struct audit_report verify(void)
{
    return verify_with(tbs_bytes(NULL, 0));
}

static void assert_whole(uint64_t lines)
{
    struct audit_report r = verify();
    if (r.verdict != AUDIT_WHOLE)
        fail_msg("%s", r.sentence);
    assert_int_equal(r.lines, lines);
}

/* Offsets of the lines' beginnings, and of the end. */
struct lines {
    struct tbs_buf octets;
    size_t at[64], n;
};

static struct lines read_lines(void)
{
    struct lines l = {.octets = read_all(trail)};
    l.at[l.n++] = 0;
    for (size_t i = 0; i < l.octets.len; i++)
        if (l.octets.data[i] == '\n')
            l.at[l.n++] = i + 1;
    l.n--;
    return l;
}

static struct tbs_bytes line_at(const struct lines *l, size_t i)
{
    return tbs_bytes(l->octets.data + l->at[i], l->at[i + 1] - l->at[i]);
}

static void write_lines(const struct lines *l, const size_t *order, size_t n)
{
    struct tbs_buf b = tbs_buf();
    for (size_t i = 0; i < n; i++)
        tbs_put_bytes(&b, line_at(l, order[i]));
    write_all(trail, tbs_buf_view(&b));
    tbs_buf_free(&b);
}

/* --- Whole --- */

static void a_trail_is_whole_and_goes_on(void **state)
{
    (void)state;
    struct stat st;
    write_numbers(NO_LIMIT, 5);
    assert_whole(6); /* with its beginning */
    assert_int_equal(stat(trail, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    write_numbers(NO_LIMIT, 5);
    assert_whole(11);
    struct audit_report r = verify();
    assert_int_equal(r.first_seq, 1);
    assert_int_equal(r.last_seq, 11);
    assert_int_equal(r.unsigned_lines, 11);
}

/* Sorted, compact, one line whatever is in it. */
static void a_line_is_canonical(void **state)
{
    (void)state;
    struct audit *audit = open_trail(NO_LIMIT);
    json_t *odd = json_pack("{s:o,s:o}", "z", audit_text(tbs_bytes("\xff\n", 2)), "a",
                            audit_text(tbs_bytes("\"\n\0é", 5)));
    assert_int_equal(audit_write(audit, "test", odd, NULL), TBS_OK);
    audit_close(audit);
    struct lines l = read_lines();
    assert_int_equal(l.n, 2);
    tbs_put_u8(&l.octets, 0);
    const char *text = (const char *)l.octets.data + l.at[1];
    assert_ptr_equal(strstr(text, "{\"a\":\"\\\"\\n\\u0000é\",\"event\":\"test\",\"prev\":\""),
                     text);
    assert_non_null(strstr(text, "\"seq\":2,\"time\":\""));
    assert_non_null(strstr(text, "Z\",\"z\":{\"hex\":\"ff0a\"}}\n"));
    tbs_buf_free(&l.octets);
    assert_whole(2);
}

/* --- Manipulated --- */

static void assert_found(enum audit_verdict verdict, const char *must_say, size_t line)
{
    struct audit_report r = verify();
    if (r.verdict != verdict || !strstr(r.sentence, must_say))
        fail_msg("line %zu: verdict %d, '%s' instead of '%s'", line, r.verdict, r.sentence,
                 must_say);
}

static void a_changed_octet_is_found(void **state)
{
    (void)state;
    write_numbers(NO_LIMIT, LINES);
    struct lines l = read_lines();
    for (size_t at = 0; at < l.at[l.n - 1]; at++) { /* nothing follows the last line */
        l.octets.data[at] ^= 1;
        write_all(trail, tbs_buf_view(&l.octets));
        assert_int_equal(verify().verdict, AUDIT_BROKEN);
        l.octets.data[at] ^= 1;
    }
    tbs_buf_free(&l.octets);
}

static void removed_inserted_and_swapped_lines_are_found(void **state)
{
    (void)state;
    write_numbers(NO_LIMIT, LINES);
    struct lines l = read_lines();
    for (size_t i = 1; i + 1 < l.n; i++) {
        size_t order[LINES + 2], n = 0;
        for (size_t j = 0; j < l.n; j++)
            if (j != i)
                order[n++] = j;
        write_lines(&l, order, n);
        assert_found(AUDIT_BROKEN, "removed, inserted or swapped", i);
        n = 0;
        for (size_t j = 0; j < l.n; j++) {
            order[n++] = j;
            if (j == i)
                order[n++] = j;
        }
        write_lines(&l, order, n);
        assert_found(AUDIT_BROKEN, "removed, inserted or swapped", i);
        for (size_t j = 0; j < l.n; j++)
            order[j] = j == i ? i + 1 : j == i + 1 ? i : j;
        write_lines(&l, order, l.n);
        assert_found(AUDIT_BROKEN, "removed, inserted or swapped", i);
    }
    tbs_buf_free(&l.octets);
}

/* A line of another trail with the right number. */
static void a_replaced_line_is_found(void **state)
{
    (void)state;
    write_numbers(NO_LIMIT, LINES);
    struct lines mine = read_lines();
    clean(NULL);
    write_numbers(NO_LIMIT, LINES);
    struct lines other = read_lines();
    struct tbs_buf mixed = tbs_buf();
    for (size_t i = 0; i < mine.n; i++)
        tbs_put_bytes(&mixed, line_at(i == 7 ? &other : &mine, i));
    write_all(trail, tbs_buf_view(&mixed));
    assert_found(AUDIT_BROKEN, "one of the two was changed", 7);
    tbs_buf_free(&mixed);
    tbs_buf_free(&mine.octets);
    tbs_buf_free(&other.octets);
}

/* --- Checkpoints --- */

static EVP_PKEY *signer;

static struct tbs_buf public_pem(EVP_PKEY *key)
{
    struct tbs_buf pem = tbs_buf();
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long len = BIO_get_mem_data(bio, &text);
    tbs_put_bytes(&pem, tbs_bytes(text, (size_t)len));
    BIO_free(bio);
    return pem;
}

static json_t *checkpoint_of(const struct audit_head *head)
{
    uint8_t signature[128];
    size_t len = sizeof signature;
    char text[AUDIT_SIGNED_MAX], hex[AUDIT_HEX_LEN + 1];
    struct tbs_buf base64 = tbs_buf();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    audit_signed_text(head, text);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, signer), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const uint8_t *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    tbs_put_base64(&base64, tbs_bytes(signature, len));
    tbs_hex(tbs_bytes(head->hash, sizeof head->hash), hex);
    json_t *fields = json_pack("{s:I,s:s,s:s,s:s%}", "covers", (json_int_t)head->seq, "head", hex,
                               "key", "audit-test", "signature", (char *)base64.data, base64.len);
    tbs_buf_free(&base64);
    return fields;
}

/* Lines 1 to 6, a checkpoint as line 7, two more lines. */
static void write_signed(const struct audit_head *instead)
{
    struct audit_file f;
    assert_int_equal(audit_file_open(&f, trail, NO_LIMIT, NULL), TBS_OK);
    for (int i = 0; i < 8; i++) {
        json_t *fields = i == 5 ? checkpoint_of(instead ? instead : &f.head) : NULL;
        assert_int_equal(audit_file_append(&f, i == 5 ? "checkpoint" : "test", fields, NULL),
                         TBS_OK);
    }
    audit_file_close(&f);
}

static void a_checkpoint_says_what_is_signed(void **state)
{
    (void)state;
    struct tbs_buf pem = public_pem(signer), others = tbs_buf();
    EVP_PKEY *other = EVP_EC_gen("P-256");
    struct tbs_buf other_pem = public_pem(other);
    write_signed(NULL);
    struct audit_report r = verify_with(tbs_buf_view(&pem));
    assert_int_equal(r.verdict, AUDIT_WHOLE);
    assert_int_equal(r.checkpoints, 1);
    assert_int_equal(r.signed_seq, 6);
    assert_int_equal(r.unsigned_lines, 2);
    r = verify_with(tbs_buf_view(&other_pem));
    assert_int_equal(r.verdict, AUDIT_FORGED);
    assert_non_null(strstr(r.sentence, "signature by audit-test does not verify"));
    tbs_put_bytes(&others, tbs_buf_view(&other_pem));
    tbs_put_bytes(&others, tbs_buf_view(&pem));
    assert_int_equal(verify_with(tbs_buf_view(&others)).verdict, AUDIT_WHOLE);
    tbs_buf_free(&pem);
    tbs_buf_free(&others);
    tbs_buf_free(&other_pem);
    EVP_PKEY_free(other);
}

static void a_checkpoint_of_another_chain_is_found(void **state)
{
    (void)state;
    const struct audit_head wrong[] = {{.seq = 6}, {.seq = 7}, {.seq = UINT32_MAX}};
    for (size_t i = 0; i < 3; i++) {
        clean(NULL);
        write_signed(&wrong[i]);
        assert_found(AUDIT_FORGED, "of another chain", i);
    }
}

static void a_trail_without_checkpoints_is_unsigned(void **state)
{
    (void)state;
    struct tbs_buf pem = public_pem(signer);
    struct audit_report report;
    write_numbers(NO_LIMIT, 3);
    assert_int_equal(verify_with(tbs_buf_view(&pem)).verdict, AUDIT_UNSIGNED);
    assert_int_equal(audit_verify((char *[]){trail}, 1, tbs_bytes_str("no key"), &report, NULL),
                     TBS_ERR_INVALID);
    tbs_buf_free(&pem);
}

/* --- Files --- */

static void several_files_are_one_chain(void **state)
{
    (void)state;
    char pattern[96];
    glob_t found;
    write_numbers(600, LINES);
    snprintf(pattern, sizeof pattern, "%s/audit*", dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_true(found.gl_pathc > 3);
    size_t n = found.gl_pathc;
    char *files[16] = {0};
    for (size_t i = 0; i < n; i++) /* the one without a number is the newest */
        files[i] = found.gl_pathv[(i + 1) % n];
    struct audit_report r = verify_files(files, n, tbs_bytes(NULL, 0));
    assert_int_equal(r.verdict, AUDIT_WHOLE);
    assert_int_equal(r.lines, LINES + n);
    assert_int_equal(verify_files(files + 1, n - 1, tbs_bytes(NULL, 0)).verdict, AUDIT_WHOLE);
    char *missing[] = {files[0], files[2]}, *swapped[] = {files[1], files[0]};
    assert_int_equal(verify_files(missing, 2, tbs_bytes(NULL, 0)).verdict, AUDIT_BROKEN);
    assert_int_equal(verify_files(swapped, 2, tbs_bytes(NULL, 0)).verdict, AUDIT_BROKEN);
    /* A crash between the renaming and the first line of the new file. */
    assert_int_equal(unlink(trail), 0);
    write_numbers(NO_LIMIT, 1);
    assert_int_equal(verify_files(files, n, tbs_bytes(NULL, 0)).verdict, AUDIT_WHOLE);
    globfree(&found);
}

static void a_file_that_was_moved_away_is_followed_by_another(void **state)
{
    (void)state;
    char moved[96];
    snprintf(moved, sizeof moved, "%s.moved", trail);
    struct audit *audit = open_trail(NO_LIMIT);
    assert_int_equal(write_number(audit, 1, NULL), TBS_OK);
    assert_int_equal(rename(trail, moved), 0);
    assert_int_equal(write_number(audit, 2, NULL), TBS_OK);
    audit_close(audit);
    struct audit_report r = verify_files((char *[]){moved, trail}, 2, tbs_bytes(NULL, 0));
    assert_int_equal(r.verdict, AUDIT_WHOLE);
    assert_int_equal(r.lines, 4);
}

static void a_file_that_was_cut_is_refused(void **state)
{
    (void)state;
    struct tbs_diag diag;
    struct audit *audit = open_trail(NO_LIMIT);
    assert_int_equal(write_number(audit, 1, NULL), TBS_OK);
    struct lines l = read_lines();
    assert_int_equal(truncate(trail, (off_t)l.at[1]), 0);
    assert_int_equal(write_number(audit, 2, &diag), TBS_ERR_IO);
    assert_non_null(strstr(diag.text, "somebody cut it"));
    assert_int_equal(audit_health(audit, &diag), TBS_ERR_UNAVAILABLE);
    audit_close(audit);
    tbs_buf_free(&l.octets);
}

static void what_is_no_trail_is_left_alone(void **state)
{
    (void)state;
    const struct audit_config config = {.file = trail, .max_size = NO_LIMIT};
    struct audit *audit;
    write_all(trail, tbs_bytes_str("some file\n"));
    assert_int_equal(audit_open(&config, &audit, NULL), TBS_ERR_CONFIG);
    assert_int_equal(size_of(trail), 10);
}

/* Wherever a crash has cut the last line. */
static void an_unfinished_line_is_cut_and_told(void **state)
{
    (void)state;
    write_numbers(NO_LIMIT, 2);
    struct lines l = read_lines();
    for (size_t line = 1; line < 3; line++)
        for (size_t end = l.at[line - 1] + 1; end < l.at[line]; end += 7) {
            write_all(trail, tbs_bytes(l.octets.data, end));
            assert_found(AUDIT_UNFINISHED, "ends inside a line", end);
            write_numbers(NO_LIMIT, 1);
            assert_whole(line == 1 ? 3 : line + 1);
            struct tbs_buf b = read_all(trail);
            tbs_put_u8(&b, 0);
            assert_non_null(strstr((char *)b.data, "\"event\":\"repaired\",\"octets\":"));
            tbs_buf_free(&b);
        }
    tbs_buf_free(&l.octets);
}

/* --- Failures --- */

static void limit_files(rlim_t octets)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void assert_full(enum audit_on_error on_error)
{
    const struct audit_config config = {.file = trail, .max_size = NO_LIMIT, .on_error = on_error};
    struct tbs_diag diag = {0};
    struct audit *audit;
    struct audit_stats stats;
    clean(NULL);
    assert_int_equal(audit_open(&config, &audit, NULL), TBS_OK);
    assert_int_equal(write_number(audit, 0, NULL), TBS_OK);
    off_t size = size_of(trail);
    limit_files((rlim_t)size + 40); /* a part of a line fits */
    for (int i = 1; i <= 3; i++)
        assert_int_equal(write_number(audit, i, &diag),
                         on_error == AUDIT_REFUSE ? TBS_ERR_IO : TBS_OK);
    assert_int_equal(size_of(trail), size);
    assert_int_equal(audit_health(audit, &diag),
                     on_error == AUDIT_REFUSE ? TBS_ERR_UNAVAILABLE : TBS_OK);
    limit_files(RLIM_INFINITY);
    assert_int_equal(write_number(audit, 4, &diag), TBS_OK);
    assert_int_equal(audit_health(audit, &diag), TBS_OK);
    audit_stats(audit, &stats);
    assert_int_equal(stats.failures, 3);
    audit_close(audit);
    struct tbs_buf b = read_all(trail);
    tbs_put_u8(&b, 0);
    assert_non_null(strstr((char *)b.data, "\"event\":\"resumed\",\"lost\":3,"));
    tbs_buf_free(&b);
    assert_whole(4);
}

static void a_full_disk_is_refused_or_counted(void **state)
{
    (void)state;
    assert_full(AUDIT_REFUSE);
    assert_full(AUDIT_CONTINUE);
}

static void several_processes_write_one_chain(void **state)
{
    (void)state;
    pid_t children[3];
    for (size_t i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct audit *audit = open_trail(8000);
            for (int n = 0; n < 100; n++)
                if (write_number(audit, n, NULL) != TBS_OK)
                    _exit(1);
            _exit(0);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    char pattern[96], *files[64];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/audit*", dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    size_t n = found.gl_pathc;
    for (size_t i = 0; i < n; i++)
        files[i] = found.gl_pathv[(i + 1) % n];
    struct audit_report r = verify_files(files, n, tbs_bytes(NULL, 0));
    if (r.verdict != AUDIT_WHOLE)
        fail_msg("%s", r.sentence);
    assert_int_equal(r.lines, 300 + n);
    globfree(&found);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/tbs-test-audit.XXXXXX");
    signer = EVP_EC_gen("P-256");
    if (!signer || !mkdtemp(dir))
        return -1;
    signal(SIGXFSZ, SIG_IGN);
    snprintf(trail, sizeof trail, "%s/audit[1].log", dir);
    return 0;
}

static int tear_down(void **state)
{
    EVP_PKEY_free(signer);
    return clean(state) != 0 ? -1 : rmdir(dir);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, clean)
    const struct CMUnitTest tests[] = {
        TEST(a_trail_is_whole_and_goes_on),
        TEST(a_line_is_canonical),
        TEST(a_changed_octet_is_found),
        TEST(removed_inserted_and_swapped_lines_are_found),
        TEST(a_replaced_line_is_found),
        TEST(a_checkpoint_says_what_is_signed),
        TEST(a_checkpoint_of_another_chain_is_found),
        TEST(a_trail_without_checkpoints_is_unsigned),
        TEST(several_files_are_one_chain),
        TEST(a_file_that_was_moved_away_is_followed_by_another),
        TEST(a_file_that_was_cut_is_refused),
        TEST(what_is_no_trail_is_left_alone),
        TEST(an_unfinished_line_is_cut_and_told),
        TEST(a_full_disk_is_refused_or_counted),
        TEST(several_processes_write_one_chain),
    };
    alarm(60);
    return cmocka_run_group_tests_name("audit", tests, set_up, tear_down);
}
