/* The octet cursors, secrets and clock that every other room stands on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/secret.h"

static void reader_stops_at_the_end_and_stays_failed(void **state)
{
    (void)state;
    const uint8_t octets[] = {1, 2, 3, 4, 5};
    struct tbs_reader r = tbs_reader(tbs_bytes(octets, sizeof octets));
    assert_int_equal(tbs_read_u8(&r), 1);
    assert_int_equal(tbs_read_u16(&r), 0x0203);
    assert_int_equal(tbs_reader_left(&r), 2);
    assert_int_equal(tbs_read_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(tbs_read_u8(&r), 0); /* sticky, though an octet is left */
    assert_int_equal(tbs_reader_left(&r), 0);
}

static void buf_writes_patches_and_keeps_its_limit(void **state)
{
    (void)state;
    TBS_BUF_AUTO struct tbs_buf b = tbs_buf();
    b.limit = 16;
    tbs_put_u8(&b, 0xaa);
    tbs_put_u32(&b, 0x01020304);
    tbs_put_u64(&b, 5);
    tbs_buf_patch_u16(&b, 1, 0xbeef);
    const uint8_t want[] = {0xaa, 0xbe, 0xef, 3, 4, 0, 0, 0, 0, 0, 0, 0, 5};
    assert_false(b.failed);
    assert_true(tbs_bytes_equal(tbs_buf_view(&b), tbs_bytes(want, sizeof want)));
    tbs_put_u32(&b, 1); /* 17 octets: over the limit */
    assert_true(b.failed);
    assert_int_equal(b.len, sizeof want);
    tbs_buf_reset(&b);
    tbs_buf_patch_u8(&b, 0, 1); /* nothing written yet */
    assert_true(b.failed);
}

static void slices_never_leave_their_view(void **state)
{
    (void)state;
    struct tbs_bytes b = tbs_bytes_str("ticket");
    assert_true(tbs_bytes_equal(tbs_bytes_slice(b, 2, 4), tbs_bytes_str("cket")));
    assert_int_equal(tbs_bytes_slice(b, 3, SIZE_MAX).len, 0);
    assert_int_equal(tbs_bytes_slice(b, 7, 0).len, 0);
}

static void secrets_copy_compare_and_empty(void **state)
{
    (void)state;
    struct tbs_secret s = {0};
    assert_int_equal(tbs_secret_copy(tbs_bytes_str("key"), &s, NULL), TBS_OK);
    assert_true(tbs_secret_equal(tbs_secret_view(&s), tbs_bytes_str("key")));
    assert_false(tbs_secret_equal(tbs_secret_view(&s), tbs_bytes_str("kez")));
    assert_false(tbs_secret_equal(tbs_secret_view(&s), tbs_bytes_str("ke")));
    tbs_secret_free(&s);
    assert_null(s.data);
    assert_int_equal(s.len, 0);
}

/* RFC 6043 6.3: support of the era after 7 February 2036 is MANDATORY. */
static void rfc6043_6_3_time_crosses_2036(void **state)
{
    (void)state;
    const time_t before = 2085978495, after = 2085978496; /* 2036-02-07 06:28:15 and :16 UTC */
    assert_int_equal(tbs_ntp_from_unix(before) >> 32, 0xffffffff);
    assert_int_equal(tbs_ntp_from_unix(after) >> 32, 0);
    assert_int_equal(tbs_unix_from_ntp(tbs_ntp_from_unix(after)), after);
    assert_int_equal(tbs_ntp_diff_seconds(tbs_ntp_from_unix(after), tbs_ntp_from_unix(before)), 1);
    assert_int_equal(tbs_ntp_diff_seconds(tbs_ntp_from_unix(0), tbs_ntp_from_unix(10)), -10);
    assert_true(
        tbs_ntp_diff_seconds(tbs_ntp_now(tbs_clock_system()), tbs_ntp_from_unix(time(NULL))) <= 1);
}

static void hex_takes_only_what_it_writes(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",     "0",     "0x1f", "00f",   "00F0",
                                        "00 0", "00ff0", "g0ff", "00ff00"};
    const uint8_t octets[] = {0x00, 0xff};
    uint8_t back[2] = {7, 7};
    char text[5];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tbs_unhex(wrong[i], back, 2));
    assert_int_equal(back[0], 7);
    tbs_hex(tbs_bytes(octets, 2), text);
    assert_string_equal(text, "00ff");
    assert_true(tbs_unhex(text, back, 2));
    assert_memory_equal(back, octets, 2);
    tbs_hex(tbs_bytes(NULL, 0), text);
    assert_string_equal(text, "");
}

static void errors_have_names_and_one_sentence(void **state)
{
    (void)state;
    for (int code = 0; code >= TBS_ERR_LIMIT; code--)
        assert_string_not_equal(tbs_err_name((enum tbs_err)code), "unknown error");
    struct tbs_diag d = {0};
    assert_int_equal(tbs_fail_raw(&d, TBS_ERR_TOKEN, 0xa0, "PIN %s", "wrong"), TBS_ERR_TOKEN);
    assert_string_equal(d.text, "PIN wrong");
    assert_int_equal(d.raw, 0xa0);
    assert_int_equal(tbs_fail(NULL, TBS_ERR_IO, "x"), TBS_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_stops_at_the_end_and_stays_failed),
        cmocka_unit_test(buf_writes_patches_and_keeps_its_limit),
        cmocka_unit_test(slices_never_leave_their_view),
        cmocka_unit_test(secrets_copy_compare_and_empty),
        cmocka_unit_test(rfc6043_6_3_time_crosses_2036),
        cmocka_unit_test(hex_takes_only_what_it_writes),
        cmocka_unit_test(errors_have_names_and_one_sentence),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
