/* Offers whose key is for TLS or CMS, and offers that were left while the Responder was away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/internal.h"
#include "tests/support/hex.h"

#define HOUR (3600ull << 32) /* of NTP time */

static json_t *flow;
static struct tbs_buf alice_psk, bob_psk;
static uint64_t now;

static uint64_t read_clock(void *ctx)
{
    return *(const uint64_t *)ctx;
}

static struct tbs_clock flow_clock(void)
{
    return (struct tbs_clock){read_clock, &now};
}

static void ok(enum tbs_err err, const struct tbs_diag *diag)
{
    if (err)
        fail_msg("%s: %s", tbs_err_name(err), diag->text);
}

static struct tbs_credential credential(const char *who, const char *psk_id,
                                        const struct tbs_buf *psk)
{
    return (struct tbs_credential){.kms = vector_text(flow, "kms"),
                                   .identity = vector_text(flow, who),
                                   .psk_id = vector_text(flow, psk_id),
                                   .psk = tbs_buf_view(psk),
                                   .suite = TBS_SUITE_256};
}

/* Alice's ticket: the flow's, which is without key forking, so that it fits any TRANSFER_INIT. */
static struct tbs_ticket *alice_ticket(void)
{
    struct tbs_credential alice = credential("alice", "alice_psk_id", &alice_psk);
    struct tbs_buf init = vector_octets(flow, "request_init");
    struct tbs_buf response TBS_BUF_AUTO = vector_octets(flow, "request_resp");
    struct tbs_minimum minimum = {0};
    struct tbs_diag diag = {0};
    struct tbs_request *request;
    struct tbs_ticket *ticket;

    memset(init.data + init.len - 32, 0, 32);
    ok(client_request_start(&alice, &minimum, &init, flow_clock(), &request, &diag), &diag);
    ok(tbs_request_finish(request, tbs_buf_view(&response), &ticket, &diag), &diag);
    tbs_request_free(request);
    return ticket;
}

static struct tbs_transfer *transfer(const struct tbs_crypto_session *sessions, size_t n)
{
    struct tbs_ticket *ticket = alice_ticket();
    struct tbs_diag diag = {0};
    struct tbs_transfer *t;

    ok(tbs_transfer_begin(ticket, vector_text(flow, "bob"), sessions, n, NULL, flow_clock(), &t,
                          &diag),
       &diag);
    tbs_ticket_free(ticket);
    return t;
}

static enum tbs_err accept(const struct tbs_transfer *t, const struct tbs_acceptance *acceptance,
                           struct tbs_offer **ret_offer, struct tbs_diag *diag)
{
    struct tbs_credential bob = credential("bob", "bob_psk_id", &bob_psk);

    return tbs_accept(&bob, acceptance, tbs_transfer_octets(t), flow_clock(), ret_offer, diag);
}

static void expect_refusal(const struct tbs_transfer *t, const struct tbs_acceptance *acceptance,
                           enum tbs_err err, int64_t error_no)
{
    struct tbs_diag diag = {0};
    struct tbs_offer *offer;

    assert_int_equal(accept(t, acceptance, &offer, &diag), err);
    assert_int_equal(diag.raw, error_no);
}

/* Bob's answer, with what the flow's KMS says of the ticket. */
static struct tbs_session *answer(struct tbs_offer *offer, struct tbs_buf *ret_response)
{
    struct tbs_credential bob = credential("bob", "bob_psk_id", &bob_psk);
    struct tbs_buf init TBS_BUF_AUTO = vector_octets(flow, "resolve_init");
    struct tbs_buf response TBS_BUF_AUTO = vector_octets(flow, "resolve_resp");
    struct tbs_diag diag = {0};
    struct client_nonces nonces;
    struct mikey_message m;
    struct tbs_resolve *resolve;
    struct tbs_resolved *resolved;
    struct tbs_session *session;

    ok(mikey_decode(tbs_buf_view(&init), &m, &diag), &diag);
    nonces.csb_id = m.hdr.csb_id;
    memcpy(nonces.rand, mikey_rand_data(&m.payloads, MIKEY_RANDRR).data, sizeof nonces.rand);
    now = mikey_ts64(mikey_find(&m.payloads, MIKEY_T, 0));
    ok(client_resolve_begin(offer, &bob, flow_clock(), &nonces, &resolve, &diag), &diag);
    ok(tbs_resolve_finish(resolve, tbs_buf_view(&response), &resolved, &diag), &diag);
    ok(tbs_answer(offer, resolved, NULL, 0, ret_response, &session, &diag), &diag);
    tbs_resolved_free(resolved);
    tbs_resolve_free(resolve);
    return session;
}

static void both_ends_have_one_key_and_one_name(void **state)
{
    (void)state;
    static const enum tbs_protocol protocols[] = {TBS_PROTOCOL_TLS, TBS_PROTOCOL_CMS};

    for (size_t i = 0; i < 2; i++) {
        struct tbs_crypto_session cs = {.id = 7, .protocol = protocols[i]};
        struct tbs_acceptance acceptance = {.protocol = protocols[i]};
        struct tbs_transfer *t = transfer(&cs, 1);
        struct tbs_diag diag = {0};
        struct tbs_offer *offer;
        struct tbs_session *hers, *his;
        struct tbs_shared_key a, b;
        struct tbs_buf response;
        char name[32];

        ok(accept(t, &acceptance, &offer, &diag), &diag);
        his = answer(offer, &response);
        ok(tbs_transfer_finish(t, tbs_buf_view(&response), &hers, &diag), &diag);
        ok(tbs_session_shared_key(hers, &a, &diag), &diag);
        ok(tbs_session_shared_key(his, &b, &diag), &diag);
        assert_int_equal(a.protocol, protocols[i]);
        assert_int_equal(a.cs_id, 7);
        assert_int_equal(a.key.len, 32);
        assert_true(tbs_secret_equal(a.key, b.key));
        snprintf(name, sizeof name, "%08x.07.00000001", tbs_session_csb_id(hers));
        assert_string_equal(a.identity, name);
        assert_string_equal(b.identity, name);
        assert_int_equal(tbs_session_count(hers), 0);
        tbs_session_free(hers);
        tbs_session_free(his);
        tbs_buf_free(&response);
        tbs_offer_free(offer);
        tbs_transfer_free(t);
    }
}

static void a_key_is_not_taken_for_something_else(void **state)
{
    (void)state;
    static const enum tbs_protocol protocols[] = {TBS_PROTOCOL_SRTP, TBS_PROTOCOL_TLS,
                                                  TBS_PROTOCOL_CMS};

    for (size_t offered = 0; offered < 3; offered++) {
        struct tbs_crypto_session cs = {.id = 1, .protocol = protocols[offered]};
        struct tbs_transfer *t = transfer(&cs, 1);

        for (size_t i = 0; i < 3; i++) {
            struct tbs_acceptance acceptance = {.protocol = protocols[i]};

            if (i != offered)
                expect_refusal(t, &acceptance, TBS_ERR_UNSUPPORTED, MIKEY_E_INVALID_SP);
        }
        tbs_transfer_free(t);
    }
}

static void there_is_one_crypto_session_alone(void **state)
{
    (void)state;
    static const struct tbs_crypto_session two[] = {{.id = 1, .protocol = TBS_PROTOCOL_TLS},
                                                    {.id = 2, .protocol = TBS_PROTOCOL_TLS}};
    struct tbs_ticket *ticket = alice_ticket();
    struct tbs_diag diag = {0};
    struct tbs_transfer *t;

    assert_int_equal(
        tbs_transfer_begin(ticket, vector_text(flow, "bob"), two, 2, NULL, flow_clock(), &t, &diag),
        TBS_ERR_INVALID);
    assert_non_null(strstr(diag.text, "no other"));
    tbs_ticket_free(ticket);
}

static void srtp_has_no_shared_key(void **state)
{
    (void)state;
    struct tbs_crypto_session cs = {.id = 1};
    struct tbs_acceptance acceptance = {0};
    struct tbs_transfer *t = transfer(&cs, 1);
    struct tbs_diag diag = {0};
    struct tbs_offer *offer;
    struct tbs_session *session;
    struct tbs_shared_key key;
    struct tbs_buf response;

    ok(accept(t, &acceptance, &offer, &diag), &diag);
    session = answer(offer, &response);
    assert_int_equal(tbs_session_shared_key(session, &key, &diag), TBS_ERR_NOT_FOUND);
    assert_int_equal(tbs_session_count(session), 1);
    tbs_session_free(session);
    tbs_buf_free(&response);
    tbs_offer_free(offer);
    tbs_transfer_free(t);
}

/* The flow's ticket is valid for an hour or more. */
static void what_was_left_is_accepted_until_its_age(void **state)
{
    (void)state;
    struct tbs_crypto_session cs = {.id = 1};
    struct tbs_acceptance at_once = {0}, later = {.max_age_seconds = 1800};
    struct tbs_transfer *t = transfer(&cs, 1);
    struct tbs_diag diag = {0};
    struct tbs_offer *offer;

    now += HOUR / 2;
    expect_refusal(t, &at_once, TBS_ERR_TIME, MIKEY_E_INVALID_TS);
    ok(accept(t, &later, &offer, &diag), &diag);
    tbs_offer_free(offer);
    now += 1ull << 32;
    expect_refusal(t, &later, TBS_ERR_TIME, MIKEY_E_INVALID_TS);
    now -= HOUR / 2 + (302ull << 32); /* the future stays what it was */
    expect_refusal(t, &later, TBS_ERR_TIME, MIKEY_E_INVALID_TS);
    tbs_transfer_free(t);
}

static int load(void **state)
{
    struct tbs_buf init = {0};
    struct mikey_message m;

    (void)state;
    flow = vector_load("plain-256.json");
    alice_psk = vector_octets(flow, "alice_psk");
    bob_psk = vector_octets(flow, "bob_psk");
    init = vector_octets(flow, "transfer_init");
    assert_int_equal(mikey_decode(tbs_buf_view(&init), &m, NULL), TBS_OK);
    now = mikey_ts64(mikey_find(&m.payloads, MIKEY_T, 0));
    tbs_buf_free(&init);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    tbs_buf_free(&alice_psk);
    tbs_buf_free(&bob_psk);
    json_decref(flow);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ends_have_one_key_and_one_name, load, unload),
        cmocka_unit_test_setup_teardown(a_key_is_not_taken_for_something_else, load, unload),
        cmocka_unit_test_setup_teardown(there_is_one_crypto_session_alone, load, unload),
        cmocka_unit_test_setup_teardown(srtp_has_no_shared_key, load, unload),
        cmocka_unit_test_setup_teardown(what_was_left_is_accepted_until_its_age, load, unload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
