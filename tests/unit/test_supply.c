/* Session keys that an end supplies itself, as for content that is encrypted already. RFC 6043
 * 4.2.2.1, 4.2.2.3, 6.2.1, 6.10, 8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/call.h"

#define FLAGS (TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI)

static const uint8_t octets[2][32] = {"the TEK that the film has.....", "and that of the sound"};
static const uint8_t salt[14] = "a master salt";
static const struct tbs_own_key teks[] = {
    {.kind = TBS_TEK,
     .key = {octets[0], 32},
     .salt = {salt, 14},
     .spi = {(const uint8_t *)"film", 4}},
    {.kind = TBS_TEK,
     .key = {octets[1], 32},
     .salt = {salt, 14},
     .spi = {(const uint8_t *)"sound", 5}},
};
static const struct tbs_key_wish tgk = {.kind = TBS_TGK};

static void tickets(struct call *call, unsigned flags, size_t n_keys)
{
    const struct call_wish wish = {.flags = flags, .keys = &tgk, .n_keys = n_keys};

    call_tickets(call, &wish);
}

static void ok(enum tbs_err err, const struct call *call)
{
    if (err)
        fail_msg("%s: %s", tbs_err_name(err), call->diag.text);
}

static void expect(enum tbs_err want, enum tbs_err err, const struct call *call, const char *part)
{
    if (err != want || !strstr(call->diag.text, part))
        fail_msg("%s instead of %s with '%s': %s", tbs_err_name(err), tbs_err_name(want), part,
                 call->diag.text);
}

static void expect_teks(const struct tbs_session *session)
{
    for (size_t i = 0; i < 2; i++) {
        struct tbs_traffic t;

        tbs_session_traffic(session, i, &t);
        assert_memory_equal(t.master_key.data, octets[i], 32);
        assert_memory_equal(t.master_salt.data, salt, 14);
        assert_true(tbs_bytes_equal(t.mki, teks[i].spi));
    }
}

/* RFC 6043 8, figure 6: a ticket without session keys; the TEKs come in TRANSFER_RESP. */
static void the_responder_supplies_the_keys_of_its_content(void **state)
{
    (void)state;
    for (unsigned forking = 0; forking < 2; forking++)
        for (size_t in_ticket = 0; in_ticket < 2; in_ticket++) {
            struct call call;

            tickets(&call, FLAGS | TBS_RESPONDER_KEYS | (forking ? TBS_FORKING : 0u), in_ticket);
            call.bob_supplies = true;
            call.bobs = teks;
            call.n_bobs = 2;
            call_connect(&call);
            assert_true(call_agree(call.alice, call.bob));
            expect_teks(call.alice);
            call_free(&call);
        }
}

/* RFC 6043 4.2.2.1: under MPKi, in TRANSFER_INIT, with or without an answer. */
static void the_initiator_supplies_keys(void **state)
{
    (void)state;
    static const unsigned flags[] = {FLAGS, FLAGS | TBS_FORKING, TBS_RANDRI};

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        for (size_t in_ticket = 0; in_ticket < 2; in_ticket++) {
            struct call call;

            tickets(&call, flags[i] | TBS_INITIATOR_KEYS, in_ticket);
            ok(tbs_ticket_supply(call.ticket, teks, 2, &call.diag), &call);
            call_connect(&call);
            assert_true(call_agree(call.alice, call.bob));
            expect_teks(call.bob);
            call_free(&call);
        }
}

/* The keys of TRANSFER_RESP serve where both ends bring some (RFC 6043 4.2.2.3: SPI). */
static void the_answer_has_the_last_word(void **state)
{
    (void)state;
    struct call call;

    tickets(&call, FLAGS | TBS_INITIATOR_KEYS | TBS_RESPONDER_KEYS, 1);
    ok(tbs_ticket_supply(call.ticket, NULL, 0, &call.diag), &call);
    call.bob_supplies = true;
    call.bobs = teks;
    call.n_bobs = 2;
    call_connect(&call);
    assert_true(call_agree(call.alice, call.bob));
    expect_teks(call.alice);
    call_free(&call);
}

/* A TGK from there is not forked (RFC 6043 5.2), and still gives a TEK to each crypto session. */
static void a_random_tgk_serves_all(void **state)
{
    (void)state;
    struct tbs_traffic a, b;
    struct call call;

    tickets(&call, FLAGS | TBS_FORKING | TBS_RESPONDER_KEYS, 0);
    call.bob_supplies = true;
    call_connect(&call);
    assert_true(call_agree(call.alice, call.bob));
    tbs_session_traffic(call.alice, 0, &a);
    tbs_session_traffic(call.alice, 1, &b);
    assert_true(tbs_bytes_equal(a.mki, b.mki));
    assert_false(tbs_bytes_equal(a.master_key, b.master_key));
    call_free(&call);
}

/* RFC 6043 4.2.2.1, 4.2.2.3, 6.10: without the flag, a KEMAC SHALL NOT be included; both ends
 * hold to it, and refuse what does not. */
static void the_flags_decide_who_supplies(void **state)
{
    (void)state;
    struct tbs_offer *offer;
    struct tbs_transfer *transfer;
    const struct tbs_crypto_session cs = {.id = 1};
    struct tbs_credential bob = call_credential(CALL_BOB, false);
    struct tbs_acceptance acceptance = {0};
    struct call call;

    tickets(&call, FLAGS | TBS_RESPONDER_KEYS, 1);
    expect(TBS_ERR_DENIED, tbs_ticket_supply(call.ticket, teks, 2, &call.diag), &call, "flag L");
    call_free(&call);
    tickets(&call, FLAGS | TBS_INITIATOR_KEYS, 1);
    call.bob_supplies = true;
    expect(TBS_ERR_DENIED, call_try(&call), &call, "flag M");
    call_free(&call);

    /* An Initiator that does not care: refused without asking the KMS (4.2.2.2). */
    tickets(&call, FLAGS, 1);
    call.ticket->g.policy.flags |= TICKET_L;
    ok(tbs_ticket_supply(call.ticket, teks, 2, &call.diag), &call);
    ok(tbs_transfer_begin(call.ticket, CALL_BOB, &cs, 1, NULL, call_clock(&call), &transfer,
                          &call.diag),
       &call);
    expect(TBS_ERR_DENIED,
           tbs_accept(&bob, &acceptance, tbs_transfer_octets(transfer), call_clock(&call), &offer,
                      &call.diag),
           &call, "flag L");
    assert_int_equal(call.diag.raw, MIKEY_E_INVALID_TPPAR);
    /* And a Responder. */
    mikey_key_set_free(&call.ticket->supply);
    tbs_transfer_free(transfer);
    call.ticket->g.used = false;
    ok(tbs_transfer_begin(call.ticket, CALL_BOB, &cs, 1, NULL, call_clock(&call), &transfer,
                          &call.diag),
       &call);
    ok(tbs_accept(&bob, &acceptance, tbs_transfer_octets(transfer), call_clock(&call), &offer,
                  &call.diag),
       &call);
    offer->policy.flags |= TICKET_M;
    ok(tbs_offer_supply(offer, teks, 1, &call.diag), &call);
    call.resolved->g.policy.flags |= TICKET_M;
    enum tbs_err err = tbs_answer(offer, call.resolved, NULL, 0, &call.resp, &call.bob, &call.diag);

    ok(err, &call);
    expect(TBS_ERR_DENIED,
           tbs_transfer_finish(transfer, tbs_buf_view(&call.resp), &call.alice, &call.diag), &call,
           "flag M");
    tbs_offer_free(offer);
    tbs_transfer_free(transfer);
    call_free(&call);
}

static void somebody_supplies_a_key(void **state)
{
    (void)state;
    struct call call;

    tickets(&call, FLAGS | TBS_INITIATOR_KEYS, 0);
    expect(TBS_ERR_INVALID, call_try(&call), &call, "supply one");
    call_free(&call);
    tickets(&call, FLAGS | TBS_RESPONDER_KEYS, 0);
    expect(TBS_ERR_DENIED, call_try(&call), &call, "nobody supplied one");
    call_free(&call);
}

static void refused_key(struct tbs_own_key key, enum tbs_err want, const char *part)
{
    struct call call;

    tickets(&call, FLAGS | TBS_INITIATOR_KEYS, 1);
    expect(want, tbs_ticket_supply(call.ticket, &key, 1, &call.diag), &call, part);
    call_free(&call);
}

/* RFC 6043 12.1: at least 128 bits; 6.2.1: each has an SPI of its own; RFC 3711 8.2: a salt. */
static void a_key_that_cannot_serve_is_refused(void **state)
{
    (void)state;
    const struct tbs_own_key twice[] = {teks[0], teks[0]};
    const struct tbs_own_key of_the_ticket = {.spi = tbs_bytes("\0\0\0\1", 4)};
    const struct tbs_own_key short_tek = {.kind = TBS_TEK, .key = tbs_bytes(octets, 16)};
    static const uint8_t long_spi[256];
    struct tbs_own_key many[TBS_KEYS_MAX + 1] = {0};
    struct call call;

    refused_key((struct tbs_own_key){.key = tbs_bytes(octets, 15)}, TBS_ERR_DENIED, "15 octets");
    refused_key((struct tbs_own_key){.key = tbs_bytes(octets, 33)}, TBS_ERR_DENIED, "33 octets");
    refused_key((struct tbs_own_key){.spi = tbs_bytes(long_spi, 256)}, TBS_ERR_INVALID, "SPI");
    refused_key((struct tbs_own_key){.kind = (enum tbs_key_kind)6}, TBS_ERR_INVALID, "kind 6");
    tickets(&call, FLAGS | TBS_INITIATOR_KEYS, 1);
    expect(TBS_ERR_MALFORMED, tbs_ticket_supply(call.ticket, twice, 2, &call.diag), &call, "SPI");
    expect(TBS_ERR_LIMIT, tbs_ticket_supply(call.ticket, many, TBS_KEYS_MAX + 1, &call.diag), &call,
           "at most");
    ok(tbs_ticket_supply(call.ticket, &of_the_ticket, 1, &call.diag), &call);
    expect(TBS_ERR_MALFORMED, call_try(&call), &call, "under an SPI");
    call_free(&call);
    tickets(&call, FLAGS | TBS_INITIATOR_KEYS, 1);
    ok(tbs_ticket_supply(call.ticket, &short_tek, 1, &call.diag), &call);
    expect(TBS_ERR_DENIED, call_try(&call), &call, "16 octets");
    call_free(&call);
}

/* RFC 6043 6.10: what can be wished. */
static void a_wish_without_keys_says_who_supplies_them(void **state)
{
    (void)state;
    const char *responder = CALL_BOB;
    struct tbs_credential alice = call_credential(CALL_ALICE, false);
    struct tbs_wish wish = {
        .responders = &responder, .n_responders = 1, .flags = FLAGS, .no_keys = true};
    struct call call = {.now = 0};
    struct mikey_message m;
    struct ticket_policy p;
    struct tbs_request *request;

    expect(TBS_ERR_INVALID,
           tbs_request_begin(&alice, &wish, call_clock(&call), &request, &call.diag), &call,
           "flags L and M");
    wish.flags |= TBS_RESPONDER_KEYS;
    ok(tbs_request_begin(&alice, &wish, call_clock(&call), &request, &call.diag), &call);
    assert_int_equal(mikey_decode(tbs_request_octets(request), &m, NULL), TBS_OK);
    assert_int_equal(ticket_policy_decode(mikey_find(&m.payloads, MIKEY_TP, 0), &p, NULL), TBS_OK);
    assert_true(p.no_keys);
    assert_int_equal(p.n_keys, 0);
    tbs_request_free(request);
    wish.flags = (FLAGS & ~(unsigned)(TBS_RESPONSE | TBS_RANDRR)) | TBS_RESPONDER_KEYS;
    expect(TBS_ERR_INVALID,
           tbs_request_begin(&alice, &wish, call_clock(&call), &request, &call.diag), &call,
           "M implies F");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_responder_supplies_the_keys_of_its_content),
        cmocka_unit_test(the_initiator_supplies_keys),
        cmocka_unit_test(the_answer_has_the_last_word),
        cmocka_unit_test(a_random_tgk_serves_all),
        cmocka_unit_test(the_flags_decide_who_supplies),
        cmocka_unit_test(somebody_supplies_a_key),
        cmocka_unit_test(a_key_that_cannot_serve_is_refused),
        cmocka_unit_test(a_wish_without_keys_says_who_supplies_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
