/* MIKEY in SDP: RFC 4567 3.1, 4.1.1, 4.1.4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/secret.h"
#include "client/sdp.h"

static const char plain[] = "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
                            "m=audio 4000 RTP/SAVP 96\r\na=rtpmap:96 L16/16000\r\n"
                            "m=video 4002 RTP/SAVP 31\r\n";

static struct tbs_bytes text(const char *t)
{
    return tbs_bytes_str(t);
}

static void expect_insert(const char *sdp, int level, const char *want)
{
    struct tbs_buf out;
    struct tbs_diag diag = {0};

    assert_int_equal(tbs_sdp_insert(text(sdp), level, text("MIKEY!"), &out, &diag), TBS_OK);
    tbs_put_u8(&out, '\0');
    assert_string_equal((const char *)out.data, want);
    tbs_buf_free(&out);
}

static void a_message_goes_to_its_level(void **state)
{
    (void)state;
    expect_insert(plain, TBS_SDP_SESSION,
                  "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
                  "a=key-mgmt:mikey TUlLRVkh\r\n"
                  "m=audio 4000 RTP/SAVP 96\r\na=rtpmap:96 L16/16000\r\n"
                  "m=video 4002 RTP/SAVP 31\r\n");
    expect_insert(plain, 0,
                  "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
                  "m=audio 4000 RTP/SAVP 96\r\na=rtpmap:96 L16/16000\r\n"
                  "a=key-mgmt:mikey TUlLRVkh\r\n"
                  "m=video 4002 RTP/SAVP 31\r\n");
    expect_insert("v=0\ns=-\nm=audio 1 RTP/SAVP 0", 0,
                  "v=0\ns=-\nm=audio 1 RTP/SAVP 0\na=key-mgmt:mikey TUlLRVkh\n");
    expect_insert("v=0\na=key-mgmt:keyp1 abcd\nm=audio 1 RTP/SAVP 0\n", TBS_SDP_SESSION,
                  "v=0\na=key-mgmt:mikey TUlLRVkh\na=key-mgmt:keyp1 abcd\nm=audio 1 RTP/SAVP 0\n");
}

static void expect_extract(const char *sdp, int level, const char *want, const char *want_ids)
{
    struct tbs_buf message;
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_diag diag = {0};

    if (tbs_sdp_extract(text(sdp), level, &message, ids, &diag))
        fail_msg("%s", diag.text);
    assert_true(tbs_bytes_equal(tbs_buf_view(&message), text(want)));
    assert_string_equal(ids, want_ids);
    tbs_buf_free(&message);
}

/* RFC 4567 3.1: the media level overrides the session level. */
static void the_message_that_applies_is_found(void **state)
{
    (void)state;
    const char *both = "v=0\r\na=key-mgmt: mikey TUlLRVkh\r\na=key-mgmt:keyp1 x\r\n"
                       "m=audio 1 RTP/SAVP 0\r\nm=video 2 RTP/SAVP 31\r\n"
                       "a=key-mgmt:mikey bWVkaWE=\r\n";

    expect_extract(both, TBS_SDP_SESSION, "MIKEY!", "mikey;keyp1");
    expect_extract(both, 0, "MIKEY!", "mikey;keyp1");
    expect_extract(both, 1, "media", "mikey");
    expect_extract("a=key-mgmt:mikey TUlLRVkh", TBS_SDP_SESSION, "MIKEY!", "mikey");
}

static void refuses_extract(const char *sdp, int level, enum tbs_err want)
{
    struct tbs_buf message;
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_diag diag = {0};

    assert_int_equal(tbs_sdp_extract(text(sdp), level, &message, ids, &diag), want);
    assert_true(diag.text[0] != '\0');
}

static void broken_sdp_is_refused(void **state)
{
    (void)state;
    refuses_extract("", TBS_SDP_SESSION, TBS_ERR_NOT_FOUND);
    refuses_extract(plain, TBS_SDP_SESSION, TBS_ERR_NOT_FOUND);
    refuses_extract(plain, 1, TBS_ERR_NOT_FOUND);
    refuses_extract(plain, 2, TBS_ERR_NOT_FOUND);
    refuses_extract("a=key-mgmt:keyp1 abcd\r\n", TBS_SDP_SESSION, TBS_ERR_UNSUPPORTED);
    refuses_extract("a=key-mgmt:mikey\r\n", TBS_SDP_SESSION, TBS_ERR_MALFORMED);
    refuses_extract("a=key-mgmt:mikey \r\n", TBS_SDP_SESSION, TBS_ERR_MALFORMED);
    refuses_extract("a=key-mgmt:\r\n", TBS_SDP_SESSION, TBS_ERR_MALFORMED);
    refuses_extract("a=key-mgmt:  mikey TUlLRVkh\r\n", TBS_SDP_SESSION, TBS_ERR_MALFORMED);
    refuses_extract("a=key-mgmt:mikey TUlLRVk\r\n", TBS_SDP_SESSION, TBS_ERR_MALFORMED);
    refuses_extract("a=key-mgmt:mikey TUlL RVkh\r\n", TBS_SDP_SESSION, TBS_ERR_MALFORMED);
    refuses_extract("a=key-mgmt:mikey ====\r\n", TBS_SDP_SESSION, TBS_ERR_MALFORMED);
    refuses_extract("a=key-mgmt:mikey TUlLRVkh\r\na=key-mgmt:mikey TUlLRVkh\r\n", TBS_SDP_SESSION,
                    TBS_ERR_MALFORMED);
}

/* RFC 4567 4.1.4: all protocols, in the order of the SDP. */
static void the_list_of_protocols_is_that_of_the_offer(void **state)
{
    (void)state;
    char ids[TBS_SDP_IDS_MAX];

    assert_int_equal(tbs_sdp_offer_ids(text(plain), TBS_SDP_SESSION, ids, NULL), TBS_OK);
    assert_string_equal(ids, "mikey");
    assert_int_equal(tbs_sdp_offer_ids(text("a=key-mgmt:keyp1 a\na=key-mgmt:keyp2 b\n"),
                                       TBS_SDP_SESSION, ids, NULL),
                     TBS_OK);
    assert_string_equal(ids, "mikey;keyp1;keyp2");
    assert_int_equal(
        tbs_sdp_offer_ids(text("a=key-mgmt:mikey TUlLRVkh\n"), TBS_SDP_SESSION, ids, NULL),
        TBS_ERR_EXISTS);
    assert_int_equal(tbs_sdp_offer_ids(text(plain), 2, ids, NULL), TBS_ERR_NOT_FOUND);
}

/* A list that is too long is refused, not cut: it would be another list. */
static void too_many_protocols_are_refused(void **state)
{
    (void)state;
    struct tbs_buf sdp TBS_BUF_AUTO = tbs_buf();
    char ids[TBS_SDP_IDS_MAX];

    for (int i = 0; i < 100; i++)
        tbs_put_bytes(&sdp, text("a=key-mgmt:abc x\r\n"));
    assert_int_equal(tbs_sdp_offer_ids(tbs_buf_view(&sdp), TBS_SDP_SESSION, ids, NULL),
                     TBS_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_to_its_level),
        cmocka_unit_test(the_message_that_applies_is_found),
        cmocka_unit_test(broken_sdp_is_refused),
        cmocka_unit_test(the_list_of_protocols_is_that_of_the_offer),
        cmocka_unit_test(too_many_protocols_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
