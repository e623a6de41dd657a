/* The KMS in process: no message that differs from a valid one in a bit or in its length is
 * served. RFC 6043 5.4, 5.5: all octets but the MAC's own are under the MAC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "kms_world.h"

#define HDR_LEN 10

/* Sends what no peer would send. It must be refused, without a V, and cannot be the KMS's
 * own failure. */
static void is_refused(struct tbs_bytes message, size_t at)
{
    struct kms_response response = world_send(message);
    struct mikey_message error;

    switch (response.outcome) {
    case KMS_MALFORMED:
    case KMS_UNSUPPORTED:
    case KMS_AUTHENTICATION:
    case KMS_TIME: /* a T that is not there or of no NTP type */
        break;
    default:
        fail_msg("position %zu: %s: %s", at, kms_outcome_name(response.outcome), response.detail);
    }
    if (message.len < HDR_LEN && response.body.len > 0)
        fail_msg("%zu octets, less than a HDR, were answered", message.len);
    if (response.body.len > 0) {
        assert_int_equal(mikey_decode(tbs_buf_view(&response.body), &error, NULL), TBS_OK);
        assert_int_equal(error.hdr.data_type, MIKEY_ERROR);
        assert_null(mikey_find(&error.payloads, MIKEY_V, 0));
    }
    tbs_buf_free(&response.body);
}

static void all_changes_are_refused(const struct requester *r, struct tbs_buf message)
{
    for (size_t len = 0; len < message.len; len++) {
        /* A copy of that length, so that a sanitizer sees a read past its end. */
        struct tbs_buf copy TBS_BUF_AUTO = tbs_buf();

        tbs_put_bytes(&copy, tbs_bytes(message.data, len));
        is_refused(tbs_buf_view(&copy), len);
    }
    for (size_t bit = 0; bit < 8 * message.len; bit++) {
        message.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        is_refused(tbs_buf_view(&message), bit);
        message.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    tbs_put_u8(&message, 0);
    is_refused(tbs_buf_view(&message), message.len);
    message.len--;
    /* The message as it was is fine, so that all of the above was for the change alone. */
    struct requester_answer answer REQUESTER_ANSWER_AUTO = world_grants(r, tbs_buf_view(&message));

    tbs_buf_free(&message);
}

static void both_messages(const struct mikey_suite *suite)
{
    struct requester alice = world_requester(suite, "alice"), bob = world_requester(suite, "bob");
    struct ticket_policy wish = requester_wish(&alice, "sip:bob@example.net");

    wish.flags |= TICKET_I;
    all_changes_are_refused(&alice, world_request(&alice, &wish));
    alice.t = world_fresh_t();
    struct requester_answer ticket REQUESTER_ANSWER_AUTO = world_ticket(&alice, &wish);

    all_changes_are_refused(&bob, world_resolve(&bob, &ticket));
}

static void no_octet_of_a_message_can_be_changed_in_suite_256(void **state)
{
    (void)state;
    both_messages(&mikey_suite_256);
}

static void no_octet_of_a_message_can_be_changed_in_suite_128(void **state)
{
    (void)state;
    both_messages(&mikey_suite_128);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(no_octet_of_a_message_can_be_changed_in_suite_256),
        TEST(no_octet_of_a_message_can_be_changed_in_suite_128),
    };
    alarm(100);
    return cmocka_run_group_tests_name("kms-octets", tests, world_group_setup,
                                       world_group_teardown);
}
