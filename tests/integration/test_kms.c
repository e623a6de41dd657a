/* The KMS in process, on a real token and store: who is it, is it now, was it seen before?
 * What it grants is in test_kms_tickets.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "kms_world.h"

static struct requester alice(void)
{
    return world_requester(&mikey_suite_256, "alice");
}

/* A good request of r is granted. */
static void is_served(const struct requester *r)
{
    struct requester_answer answer REQUESTER_ANSWER_AUTO = world_ticket(r, NULL);

    assert_int_equal(answer.keys.n, 2); /* MPKi and a TGK */
}

/* --- What must be there --- */

/* RFC 6043 4.2.1.1 and 4.2.3.1; TP and TICKET are missed after authentication only. */
static void a_message_without_what_it_must_hold_is_refused(void **state)
{
    (void)state;
    struct requester r = alice();
    struct tbs_buf message = tbs_buf();
    struct tbs_bytes none = tbs_bytes(NULL, 0);

    r.omit_t = true;
    world_refuses(&r, world_request(&r, NULL), KMS_TIME, MIKEY_E_INVALID_TS, false);
    r = alice();
    r.omit_rand = true;
    world_refuses(&r, world_request(&r, NULL), KMS_MALFORMED, MIKEY_E_UNSPECIFIED, false);
    assert_int_equal(requester_request_raw(&r, none, &message, NULL), TBS_OK);
    r = alice();
    world_refuses(&r, message, KMS_MALFORMED, MIKEY_E_UNSPECIFIED, false);

    message = tbs_buf();
    assert_int_equal(requester_request_raw(&r, none, &message, NULL), TBS_OK);
    world_refuses(&r, message, KMS_MALFORMED, MIKEY_E_UNSPECIFIED, true);
    r = alice();
    message = tbs_buf();
    assert_int_equal(requester_resolve(&r, none, none, &message, NULL), TBS_OK);
    world_refuses(&r, message, KMS_MALFORMED, MIKEY_E_UNSPECIFIED, true);

    r = alice();
    message = world_request(&r, NULL);
    message.len -= 2 + r.suite->mac_len; /* V, which the payload before still announces */
    world_refuses(&r, message, KMS_MALFORMED, MIKEY_E_UNSPECIFIED, false);
}

/* RFC 6043 12.1: a RAND is at least as long as the pre-shared key, and that has 128 bits or
 * more. How long it is, only its owner learns. */
static void a_short_rand_is_refused(void **state)
{
    (void)state;
    struct requester r = alice();

    assert_int_equal(r.psk.len, 32);
    r.rand_len = 15;
    world_refuses(&r, world_request(&r, NULL), KMS_MALFORMED, MIKEY_E_UNSPECIFIED, false);
    r.rand_len = 31;
    world_refuses(&r, world_request(&r, NULL), KMS_MALFORMED, MIKEY_E_UNSPECIFIED, true);
    r.psk = world_psk("nobody-1");
    world_refuses(&r, world_request(&r, NULL), KMS_AUTHENTICATION, MIKEY_E_AUTH_FAILURE, false);
    r = alice();
    is_served(&r);
    world_credential("alice", "alice-2", tbs_bytes(r.psk.data, 16));
    r.psk_id = "alice-2";
    r.psk.len = r.rand_len = 16;
    is_served(&r);
}

/* RFC 6043 6.3 and 4.2.1.1: T is of an NTP type. */
static void a_counter_is_no_time(void **state)
{
    (void)state;
    struct requester r = alice();

    r.ts_type = MIKEY_TS_COUNTER;
    world_refuses(&r, world_request(&r, NULL), KMS_TIME, MIKEY_E_INVALID_TS, false);
    r.ts_type = MIKEY_TS_NTP_UTC_32;
    world_refuses(&r, world_request(&r, NULL), KMS_TIME, MIKEY_E_INVALID_TS, false);
    r.ts_type = MIKEY_TS_NTP;
    is_served(&r);
}

static struct tbs_buf changed(const struct requester *r, size_t at, uint8_t octet)
{
    struct tbs_buf message = world_request(r, NULL);

    tbs_buf_patch_u8(&message, at, octet);
    return message;
}

/* RFC 6043 4.2.1.1, 5.4; RFC 3830 6.1, 6.12. */
static void a_header_that_is_not_served_is_refused(void **state)
{
    (void)state;
    enum { VERSION = 0, DATA_TYPE = 1, PRF = 3, N_CS = 8, MAP_TYPE = 9 };
    struct requester r = alice();
    struct kms_config config = world_config();
    struct policy policy = world_policy();

    world_refuses(&r, changed(&r, VERSION, 2), KMS_MALFORMED, NO_ANSWER, false);
    world_refuses(&r, changed(&r, N_CS, 1), KMS_MALFORMED, MIKEY_E_UNSPECIFIED, false);
    world_refuses(&r, changed(&r, MAP_TYPE, MIKEY_MAP_GENERIC_ID), KMS_MALFORMED,
                  MIKEY_E_UNSPECIFIED, false);
    world_refuses(&r, changed(&r, MAP_TYPE, MIKEY_MAP_SRTP_ID), KMS_MALFORMED, MIKEY_E_UNSPECIFIED,
                  false);
    world_refuses(&r, changed(&r, PRF, 2), KMS_UNSUPPORTED, MIKEY_E_INVALID_PRF, false);
    world_refuses(&r, changed(&r, PRF, MIKEY_PRF_MIKEY_1), KMS_UNSUPPORTED, MIKEY_E_INVALID_MAC,
                  false);
    for (unsigned type = 0; type < 256; type++) {
        if (type == MIKEY_REQUEST_INIT_PSK || type == MIKEY_RESOLVE_INIT_PSK)
            continue;
        /* An Error message is never answered: two peers would never end. */
        world_refuses(&r, changed(&r, DATA_TYPE, (uint8_t)type), KMS_UNSUPPORTED,
                      type == MIKEY_ERROR ? NO_ANSWER : MIKEY_E_INVALID_DT, false);
    }
    config.suite_256 = false;
    world_new_kms(&config, &policy);
    world_refuses(&r, world_request(&r, NULL), KMS_UNSUPPORTED, MIKEY_E_INVALID_PRF, false);
    r = world_requester(&mikey_suite_128, "alice");
    is_served(&r);
}

/* RFC 6043 4.2.1.1: IDRkms is optional; another KMS's is refused. */
static void a_message_for_another_kms_is_refused(void **state)
{
    (void)state;
    struct requester r = alice();

    r.kms = "sip:other@example.net";
    world_refuses(&r, world_request(&r, NULL), KMS_UNSUPPORTED, MIKEY_E_INVALID_ID, false);
    r.omit_kms = true; /* and a MAC that was made for the other */
    world_refuses(&r, world_request(&r, NULL), KMS_AUTHENTICATION, MIKEY_E_AUTH_FAILURE, false);
    r.kms = WORLD_KMS;
    is_served(&r);
}

/* --- Who is it? --- */

static void set_subscriber(const char *uri, bool active)
{
    assert_int_equal(store_subscriber_set_active(world.store, tbs_bytes_str(uri), active, NULL),
                     TBS_OK);
}

static void set_credential(const char *psk_id, bool active)
{
    assert_int_equal(store_credential_set_active(world.store, tbs_bytes_str(psk_id), active, NULL),
                     TBS_OK);
}

static void is_unknown(const struct requester *r)
{
    world_refuses(r, world_request(r, NULL), KMS_AUTHENTICATION, MIKEY_E_AUTH_FAILURE, false);
}

/* RFC 6043 5.4: only a message to somebody who is authenticated and known carries V. */
static void the_disabled_are_refused_like_strangers(void **state)
{
    (void)state;
    struct requester r = alice(), by_identity = alice();

    by_identity.psk_id = NULL;
    set_subscriber(r.identity, false);
    is_unknown(&r);
    is_unknown(&by_identity);
    set_subscriber(r.identity, true);
    set_credential("alice-1", false);
    is_unknown(&r);
    is_unknown(&by_identity);
    set_credential("alice-1", true);
    is_served(&r);
    is_served(&by_identity);
}

/* RFC 6043 4.2.1.2: an identity is believed only to its own credential. */
static void an_identity_of_somebody_else_is_refused(void **state)
{
    (void)state;
    struct requester r = alice();

    r.identity = "sip:bob@example.net";
    is_unknown(&r);
    r.identity = "sip:nobody@example.net";
    is_unknown(&r);
    r.identity = "not an identity";
    is_unknown(&r);
    r.psk_id = "nobody-1";
    is_unknown(&r);
    r.identity = "sip:alice@example.net";
    is_unknown(&r);
    r.psk_id = NULL;
    r.omit_identity = true;
    is_unknown(&r);
    r.psk_id = "alice-1";
    is_served(&r); /* IDRpsk alone says who it is */
    assert_int_equal(store_identity_add(world.store, tbs_bytes_str("sip:alice@example.net"),
                                        tbs_bytes_str("tel:+4930123456"), NULL),
                     TBS_OK);
    r = alice();
    r.identity = "tel:+4930123456";
    is_served(&r);
}

/* RFC 6043 4.2.1.1: IDRpsk is optional. */
static void without_idrpsk_each_credential_of_the_identity_is_tried(void **state)
{
    (void)state;
    struct requester r = alice();
    struct tbs_buf message;

    world_credential("alice", "alice-2", world_psk("alice-2"));
    world_credential("alice", "alice-3", world_psk("alice-3"));
    r.psk_id = NULL;
    is_served(&r);
    r.psk = world_psk("alice-3");
    r.t = world_fresh_t();
    is_served(&r);
    r.psk = world_psk("alice-4");
    is_unknown(&r);
    set_credential("alice-1", false);
    r.psk = world_psk("alice-2");
    r.t = world_fresh_t();
    message = world_request(&r, NULL);
    struct kms_response response = world_send(tbs_buf_view(&message));

    assert_int_equal(response.outcome, KMS_REQUEST_OK);
    /* Not a left-over of the credentials that did not fit. */
    assert_string_equal(response.detail, "ticket for sip:alice@example.net");
    tbs_buf_free(&response.body);
    tbs_buf_free(&message);
    set_credential("alice-2", false);
    is_unknown(&r);
}

/* The same key on two credentials, as after a restored backup of a device. */
static void a_key_that_opens_two_credentials_is_served_by_the_active_one(void **state)
{
    (void)state;
    struct requester r = alice();

    world_credential("alice", "alice-2", r.psk);
    set_credential("alice-1", false);
    r.psk_id = NULL;
    is_served(&r);
}

/* It is the log's business why, and not the sender's. */
static void a_damaged_credential_hides_no_other(void **state)
{
    (void)state;
    struct requester r = alice();

    assert_int_equal(store_credential_add(world.store, tbs_bytes_str(r.identity),
                                          tbs_bytes_str("alice-2"), tbs_bytes_str("\1\1"), 0, NULL),
                     TBS_OK);
    world_credential("alice", "alice-3", world_psk("alice-3"));
    r.psk_id = "alice-2";
    struct tbs_buf message TBS_BUF_AUTO = world_request(&r, NULL);
    struct kms_response response = world_send(tbs_buf_view(&message));

    assert_int_equal(response.outcome, KMS_AUTHENTICATION);
    assert_non_null(strstr(response.detail, "damaged"));
    tbs_buf_free(&response.body);
    is_unknown(&r);
    r.psk_id = NULL;
    r.psk = world_psk("alice-3");
    is_served(&r);
}

struct cost {
    enum kms_outcome outcome;
    size_t body;
    uint64_t calls;
};

static struct cost cost_of(const struct requester *r)
{
    struct tbs_buf message = world_request(r, NULL);
    uint64_t before = custody_token_calls(world.session);
    struct kms_response response = world_send(tbs_buf_view(&message));
    struct cost cost = {response.outcome, response.body.len,
                        custody_token_calls(world.session) - before};

    tbs_buf_free(&response.body);
    tbs_buf_free(&message);
    return cost;
}

/* The PSK, all random octets at once, six HMACs for the ticket: calls are what hardware takes time
 * for. */
static void a_request_costs_eight_token_calls(void **state)
{
    (void)state;
    struct requester r = alice();
    struct cost cost = cost_of(&r);

    assert_int_equal(cost.outcome, KMS_REQUEST_OK);
    assert_int_equal(cost.calls, 8);
}

/* What is refused does not tell who is known (docs/security-model.md). */
static void unknown_and_wrong_key_look_and_cost_the_same(void **state)
{
    (void)state;
    struct requester wrong = alice(), others[7];
    size_t n = 0;

    wrong.psk = world_psk("nobody-1");
    struct requester nobody = world_requester(wrong.suite, "nobody");
    cost_of(&nobody); /* the decoy is made with the first stranger */
    struct cost expected = cost_of(&wrong);

    assert_int_equal(expected.outcome, KMS_AUTHENTICATION);
    assert_int_equal(expected.calls, 1);
    others[n++] = world_requester(wrong.suite, "nobody");
    others[n] = wrong;
    others[n++].psk_id = NULL;
    others[n] = wrong;
    others[n++].psk_id = "nobody-1";
    others[n] = wrong;
    others[n++].psk_id = "bob-1";
    others[n] = wrong;
    others[n++].identity = "sip:nobody@example.net";
    others[n] = others[0];
    others[n++].psk_id = NULL;
    others[n] = wrong;
    others[n++].omit_identity = true;
    for (size_t i = 0; i < n; i++) {
        struct cost cost = cost_of(&others[i]);

        assert_int_equal(cost.outcome, expected.outcome);
        assert_int_equal(cost.body, expected.body);
        assert_int_equal(cost.calls, expected.calls);
    }
    set_credential("alice-1", false);
    wrong.psk = world_psk("alice-1");
    struct cost disabled = cost_of(&wrong);

    assert_int_equal(disabled.body, expected.body);
    assert_int_equal(disabled.calls, expected.calls);
}

/* --- Is it now? --- */

/* RFC 3830 5.3, 5.4. */
static void the_time_window_has_two_sharp_edges(void **state)
{
    (void)state;
    static const struct {
        int64_t off;
        bool served;
    } cases[] = {{-WORLD_WINDOW - 1, false}, {-WORLD_WINDOW, true},     {0, true},
                 {WORLD_WINDOW, true},       {WORLD_WINDOW + 1, false}, {INT32_MAX, false}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct requester r = alice();

        r.t += world_seconds(cases[i].off);
        if (cases[i].served)
            is_served(&r);
        else
            world_refuses(&r, world_request(&r, NULL), KMS_TIME, MIKEY_E_INVALID_TS, true);
    }
}

/* RFC 6043 6.3: NTP's era changes on 2036-02-07 at 06:28:16. */
static void the_time_window_reaches_across_2036(void **state)
{
    (void)state;
    struct kms_config config = world_config();
    struct policy policy = world_policy();

    world.now = tbs_ntp_from_unix(2085978496 - 10);
    assert_true(world.now >> 32 > 0xFFFFFF00);
    world_new_kms(&config, &policy);
    struct requester r = alice();

    r.t += world_seconds(WORLD_WINDOW);
    assert_true(r.t >> 32 < WORLD_WINDOW);
    is_served(&r);
    r.t += world_seconds(1);
    world_refuses(&r, world_request(&r, NULL), KMS_TIME, MIKEY_E_INVALID_TS, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_message_without_what_it_must_hold_is_refused),
        TEST(a_short_rand_is_refused),
        TEST(a_counter_is_no_time),
        TEST(a_header_that_is_not_served_is_refused),
        TEST(a_message_for_another_kms_is_refused),
        TEST(the_disabled_are_refused_like_strangers),
        TEST(an_identity_of_somebody_else_is_refused),
        TEST(without_idrpsk_each_credential_of_the_identity_is_tried),
        TEST(a_key_that_opens_two_credentials_is_served_by_the_active_one),
        TEST(a_damaged_credential_hides_no_other),
        TEST(a_request_costs_eight_token_calls),
        TEST(unknown_and_wrong_key_look_and_cost_the_same),
        TEST(the_time_window_has_two_sharp_edges),
        TEST(the_time_window_reaches_across_2036),
    };
    alarm(100);
    return cmocka_run_group_tests_name("kms", tests, world_group_setup, world_group_teardown);
}
