/* The file of a session's keys: what is written is read, and everything else is refused with a
 * sentence that repeats no key. */
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

#include "tools/common/session_keys.h"

#define KEY_HEX "5ec2e75ec2e75ec2e75ec2e75ec2e700"
#define SALT_HEX "5a1700000000000000000000005a"

static char dir[64];

static const char *path_of(const char *name)
{
    static char path[2][128];
    static int turn;

    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static void put_file(const char *name, const char *text, size_t len, mode_t mode)
{
    int fd;

    unlink(path_of(name));
    fd = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static enum tbs_err refused(const char *name, const char *sentence)
{
    struct session_keys keys = {.n = 77};
    struct tbs_diag diag = {0};
    enum tbs_err err = session_keys_read(path_of(name), &keys, &diag);

    if (!err || !strstr(diag.text, sentence))
        fail_msg("'%s' instead of '%s'", diag.text, sentence);
    assert_null(strstr(diag.text, "5ec2e7"));
    assert_null(strstr(diag.text, "5a17"));
    assert_int_equal(keys.n, 77);
    return err;
}

/* Takes from the file `good` with `from` replaced by `to`. */
static void refused_with(const char *good, const char *from, const char *to, const char *sentence)
{
    const char *at = strstr(good, from);
    char *text = NULL;

    assert_non_null(at);
    assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from)) >= 0);
    put_file("keys", text, strlen(text), 0600);
    free(text);
    assert_int_equal(refused("keys", sentence), TBS_ERR_MALFORMED);
}

static const char good[] =
    "{\"csb_id\": \"0x81556677\", \"peer\": \"sip:bob@example.net\", \"crypto_sessions\": [\n"
    "{\"cs_id\": 1, \"srtp\": \"AES_CM_128_HMAC_SHA1_80\", \"ssrc\": \"0xca3032b4\",\n"
    "\"master_key\": \"" KEY_HEX "\", \"master_salt\": \"" SALT_HEX "\", \"mki\": \"01ff\"}]}\n";

/* --- A session with both profiles --- */

static uint8_t octets[128];

static struct tbs_traffic traffic(uint8_t cs_id, enum tbs_srtp srtp)
{
    return (struct tbs_traffic){
        .cs_id = cs_id,
        .srtp = srtp,
        .ssrc = 0x00ffee00u + cs_id,
        .master_key = tbs_bytes(octets, srtp == TBS_SRTP_AES_256_CM_HMAC_SHA1_80 ? 32 : 16),
        .master_salt = tbs_bytes(octets + 40, 14),
        .mki = tbs_bytes(octets, cs_id == 255 ? 128 : cs_id),
    };
}

static void assert_same(const struct tbs_traffic *a, const struct tbs_traffic *b)
{
    assert_int_equal(a->cs_id, b->cs_id);
    assert_int_equal(a->srtp, b->srtp);
    assert_int_equal(a->ssrc, b->ssrc);
    assert_false(a->has_roc);
    assert_true(tbs_bytes_equal(a->master_key, b->master_key));
    assert_true(tbs_bytes_equal(a->master_salt, b->master_salt));
    assert_true(tbs_bytes_equal(a->mki, b->mki));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct tbs_traffic list[] = {traffic(1, TBS_SRTP_AES_256_CM_HMAC_SHA1_80),
                                 traffic(2, TBS_SRTP_AES_CM_128_HMAC_SHA1_80),
                                 traffic(255, TBS_SRTP_AES_256_CM_HMAC_SHA1_80)};
    const char *peer = "sip:J\xc3\xbcrgen@example.net\"\\";
    struct session_keys keys SESSION_KEYS_AUTO = {0};
    struct stat st;

    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (uint8_t)(3 * i);
    unlink(path_of("new"));
    assert_int_equal(
        session_keys_write(path_of("new"), tbs_bytes_str(peer), 0x0a0b0c0d, list, 3, NULL), TBS_OK);
    assert_int_equal(lstat(path_of("new"), &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(session_keys_read(path_of("new"), &keys, NULL), TBS_OK);
    assert_int_equal(keys.csb_id, 0x0a0b0c0d);
    assert_string_equal(keys.peer, peer);
    assert_int_equal(keys.n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_same(&keys.traffic[i], &list[i]);
    assert_ptr_equal(session_keys_find(&keys, 255), &keys.traffic[2]);
    assert_null(session_keys_find(&keys, 3));
}

static void nothing_that_is_there_is_overwritten(void **state)
{
    (void)state;
    struct tbs_traffic list[] = {traffic(1, TBS_SRTP_AES_256_CM_HMAC_SHA1_80)};
    struct stat st;

    put_file("keys", good, strlen(good), 0600);
    unlink(path_of("link"));
    assert_int_equal(symlink(path_of("nowhere"), path_of("link")), 0);
    assert_int_equal(session_keys_write(path_of("keys"), tbs_bytes_str("b"), 1, list, 1, NULL),
                     TBS_ERR_EXISTS);
    assert_int_equal(session_keys_write(path_of("link"), tbs_bytes_str("b"), 1, list, 1, NULL),
                     TBS_ERR_EXISTS);
    assert_int_equal(lstat(path_of("nowhere"), &st), -1);
    assert_int_equal(session_keys_write(path_of("no/keys"), tbs_bytes_str("b"), 1, list, 1, NULL),
                     TBS_ERR_IO);
}

static void not_written(struct tbs_bytes peer, const struct tbs_traffic *list, size_t n,
                        enum tbs_err want, const char *sentence)
{
    struct tbs_diag diag = {0};
    struct stat st;

    unlink(path_of("new"));
    assert_int_equal(session_keys_write(path_of("new"), peer, 1, list, n, &diag), want);
    if (!strstr(diag.text, sentence))
        fail_msg("'%s' instead of '%s'", diag.text, sentence);
    assert_int_equal(lstat(path_of("new"), &st), -1);
}

static void what_could_not_be_read_is_not_written(void **state)
{
    (void)state;
    static char long_peer[SESSION_KEYS_PEER_MAX + 1];
    struct tbs_bytes bob = tbs_bytes_str("sip:bob@example.net");
    struct tbs_traffic fine = traffic(1, TBS_SRTP_AES_256_CM_HMAC_SHA1_80), t = fine,
                       twice[] = {fine, fine};

    not_written(bob, NULL, 0, TBS_ERR_INVALID, "0 crypto sessions");
    not_written(bob, twice, TBS_SESSIONS_MAX + 1, TBS_ERR_INVALID, "33 crypto sessions");
    not_written(bob, twice, 2, TBS_ERR_INVALID, "comes twice");
    not_written(tbs_bytes_str(""), &t, 1, TBS_ERR_INVALID, "0 octets");
    not_written(tbs_bytes("a\0b", 3), &t, 1, TBS_ERR_INVALID, "no NUL");
    not_written(tbs_bytes_str("\xff"), &t, 1, TBS_ERR_INVALID, "not UTF-8");
    memset(long_peer, 'b', sizeof long_peer);
    not_written(tbs_bytes(long_peer, sizeof long_peer), &t, 1, TBS_ERR_INVALID, "1025 octets");
    t.has_roc = true;
    not_written(bob, &t, 1, TBS_ERR_UNSUPPORTED, "begun already");
    t = fine;
    t.cs_id = 0;
    not_written(bob, &t, 1, TBS_ERR_INVALID, "cs_id 0");
    t = fine;
    t.srtp = 0;
    not_written(bob, &t, 1, TBS_ERR_INVALID, "unknown SRTP profile");
    t = fine;
    t.master_key.len = 16;
    not_written(bob, &t, 1, TBS_ERR_INVALID, "master key of 16 octets");
    t = fine;
    t.master_salt.len = 0;
    not_written(bob, &t, 1, TBS_ERR_INVALID, "master salt of 0 octets");
    t = fine;
    t.mki.len = 0;
    not_written(bob, &t, 1, TBS_ERR_INVALID, "MKI of 0 octets");
    t.mki.len = 129;
    not_written(bob, &t, 1, TBS_ERR_INVALID, "MKI of 129 octets");
}

static void only_private_regular_files_are_read(void **state)
{
    (void)state;
    struct session_keys keys SESSION_KEYS_AUTO = {0};
    static const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0610, 0601};

    for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
        put_file("keys", good, strlen(good), open_modes[i]);
        assert_int_equal(refused("keys", "others may use it"), TBS_ERR_CONFIG);
    }
    put_file("keys", good, strlen(good), 0400);
    assert_int_equal(session_keys_read(path_of("keys"), &keys, NULL), TBS_OK);
    unlink(path_of("link"));
    assert_int_equal(symlink(path_of("keys"), path_of("link")), 0);
    assert_int_equal(refused("link", "symbolic link"), TBS_ERR_CONFIG);
    unlink(path_of("fifo"));
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_int_equal(refused("fifo", "not a regular file"), TBS_ERR_CONFIG);
    assert_int_equal(refused("", "not a regular file"), TBS_ERR_CONFIG);
    assert_int_equal(refused("nowhere", "cannot open"), TBS_ERR_NOT_FOUND);
}

static void a_file_of_somebody_else_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    put_file("keys", good, strlen(good), 0600);
    assert_int_equal(chown(path_of("keys"), 12345, 12345), 0);
    assert_int_equal(refused("keys", "belongs to user 12345"), TBS_ERR_CONFIG);
}

static void a_file_has_64_kib_at_most(void **state)
{
    (void)state;
    struct session_keys keys SESSION_KEYS_AUTO = {0};
    static char text[SESSION_KEYS_FILE_MAX + 1];

    memset(text, ' ', sizeof text);
    memcpy(text, good, strlen(good));
    put_file("keys", text, SESSION_KEYS_FILE_MAX, 0600);
    assert_int_equal(session_keys_read(path_of("keys"), &keys, NULL), TBS_OK);
    put_file("keys", text, sizeof text, 0600);
    assert_int_equal(refused("keys", "more than 65536 octets"), TBS_ERR_LIMIT);
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *sentence;
    } cases[] = {
        {"{", "", "not JSON at line 1"},
        {"\"" KEY_HEX "\"", KEY_HEX, "not JSON at line 3"},
        {"\"mki\": \"01ff\"", "\"mki\": \"01ff\", \"mki\": \"01ff\"", "not JSON"},
        {"]}\n", "]}x", "not JSON"},
        {"bob", "b\\u0000b", "not JSON"},
        {good, "[]", "the file is not an object"},
        {good, "", "not JSON"},
        {"\"csb_id\"", "\"CSB\"", "the file needs \"csb_id\", a string"},
        {"\"0x81556677\"", "1", "the file needs \"csb_id\", a string"},
        {"0x81556677", "81556677", "\"csb_id\" is not 0x and 8 hex digits"},
        {"0x81556677", "0x8155667", "\"csb_id\" is not 0x"},
        {"0x81556677", "0x815566778", "\"csb_id\" is not 0x"},
        {"0x81556677", "0x-1556677", "\"csb_id\" is not 0x"},
        {"\"sip:bob@example.net\"", "null", "the file needs \"peer\", a string"},
        {"sip:bob@example.net", "", "the peer is a text of 0 octets"},
        {"\"peer\"", "\"roc\": 1, \"peer\"", "the file has 4 fields; only 3 are known"},
        {good, "{\"csb_id\": \"0x1234abCD\", \"peer\": \"b\", \"crypto_sessions\": []}",
         "0 crypto sessions"},
        {"[\n{", "[7,\n{", "crypto session no. 1: it is not an object"},
        {"1,", "0,", "no. 1: \"cs_id\" is not 1 to 255"},
        {"1,", "256,", "\"cs_id\" is not 1 to 255"},
        {"1,", "-1,", "\"cs_id\" is not 1 to 255"},
        {"1,", "1.0,", "no. 1: it needs \"cs_id\", an integer"},
        {"1,", "\"1\",", "no. 1: it needs \"cs_id\", an integer"},
        {"AES_CM_128", "AES_CM_192", "\"srtp\" is neither"},
        {"AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80", "master key of 16 octets"},
        {"0xca3032b4", "0xca3032bg", "\"ssrc\" is not 0x"},
        {KEY_HEX, KEY_HEX "00", "master key of 17 octets"},
        {KEY_HEX, KEY_HEX "0", "\"master_key\" is not octets in hex"},
        {KEY_HEX, "5ec2e7 5ec2e7", "\"master_key\" is not octets in hex"},
        {KEY_HEX, "", "master key of 0 octets"},
        {SALT_HEX, "5a17", "master salt of 2 octets"},
        {"\"" SALT_HEX "\"", "[\"" SALT_HEX "\"]", "it needs \"master_salt\", a string"},
        {"\"mki\"", "\"" KEY_HEX "\"", "it needs \"mki\", a string"},
        {"01ff", "", "MKI of 0 octets"},
        {"\"mki\"", "\"" KEY_HEX "\": 1, \"mki\"", "it has 7 fields; only 6 are known"},
        {"\"}]", "\"},7]", "crypto session no. 2: it is not an object"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused_with(good, cases[i].from, cases[i].to, cases[i].sentence);
}

static void crypto_sessions_are_32_different_ones_at_most(void **state)
{
    (void)state;
    static char text[SESSION_KEYS_FILE_MAX];
    static const char *const session = "{\"cs_id\": 1,";
    const char *rest = strstr(good, session) + strlen(session);
    size_t one = strlen(rest) - strlen("]}\n"), len;

    refused_with(good, "]}\n", ",{}]}\n", "no. 2: it needs \"cs_id\", an integer");
    len = (size_t)(strstr(good, session) - good);
    memcpy(text, good, len);
    for (int i = 1; i <= TBS_SESSIONS_MAX + 1; i++)
        len += (size_t)sprintf(text + len, "%s{\"cs_id\": %d,%.*s", i > 1 ? "," : "", i, (int)one,
                               rest);
    strcpy(text + len, "]}\n");
    put_file("keys", text, strlen(text), 0600);
    assert_int_equal(refused("keys", "33 crypto sessions; 1 to 32"), TBS_ERR_MALFORMED);
    refused_with(text, "\"cs_id\": 33,", "\"cs_id\": 2,", "33 crypto sessions");
    len -= one + strlen(",{\"cs_id\": 33,");
    strcpy(text + len, "]}\n");
    refused_with(text, "\"cs_id\": 32,", "\"cs_id\": 2,", "crypto session 2 comes twice");
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/tbs-keys-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = {"keys", "new", "link", "fifo"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(nothing_that_is_there_is_overwritten),
        cmocka_unit_test(what_could_not_be_read_is_not_written),
        cmocka_unit_test(only_private_regular_files_are_read),
        cmocka_unit_test(a_file_of_somebody_else_is_refused),
        cmocka_unit_test(a_file_has_64_kib_at_most),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(crypto_sessions_are_32_different_ones_at_most),
    };
    alarm(20);
    return cmocka_run_group_tests_name("session-keys", tests, make_dir, remove_dir);
}
