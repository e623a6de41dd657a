/* Network functions that hold a TPK of their own, with a real token, the KMS in process, and
 * libtbs at both ends. RFC 6043 4.1.1 (modes 2, 3 and 4), 6.10, appendix A. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "function/function.h"
#include "kms_world.h"

#define MRF "sip:mrf@example.net"
#define GATEWAY "sip:gateway@example.net"
#define ALICE "sip:alice@example.net"
#define BOB "sip:bob@example.net"

/* The functions' own way to the token; the KMS has another. Each TPK is shared by two. */
static struct custody *custody;
static struct custody_session *session;
static const char *const shared[] = {"tpk-z-mrf", "tpk-z-mrf-sha1"};
static const struct kms_function known[] = {{MRF, "tpk-z-mrf"}, {MRF, "tpk-z-mrf-sha1"}};
static const unsigned plain = TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI;
static struct tbs_diag diag;

static void ok(enum tbs_err err)
{
    if (err)
        fail_msg("%s: %s", tbs_err_name(err), diag.text);
}

static void expect(enum tbs_err want, enum tbs_err err, const char *part)
{
    if (err != want || !strstr(diag.text, part))
        fail_msg("%s instead of %s with '%s': %s", tbs_err_name(err), tbs_err_name(want), part,
                 diag.text);
}

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return world_fresh_t(); /* each message has a T of its own */
}

static struct tbs_clock the_clock(void)
{
    return (struct tbs_clock){read_clock, NULL};
}

static int group_setup(void **state)
{
    if (world_group_setup(state) != 0)
        return -1;
    custody = softhsm_open("kms");
    ok(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-z-mrf", NULL,
                            &diag));
    ok(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1, "tpk-z-mrf-sha1", NULL,
                            &diag));
    ok(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-z-gateway", NULL,
                            &diag));
    ok(custody_session_open(custody, &session, &diag));
    custody_look_again(world.custody);
    while (!custody_find_key(world.custody, tbs_bytes_str("tpk-z-gateway"), CUSTODY_ROLE_TPK))
        usleep(10000);
    /* "tpk-z-gateway" stands here for a key that the KMS does not have at all. */
    const char *all[] = {shared[0], shared[1], "tpk-z-gateway"};

    ok(custody_share(world.custody, all, 3, &diag));
    return 0;
}

static int group_teardown(void **state)
{
    custody_session_close(session);
    custody_close(custody);
    return world_group_teardown(state);
}

static int setup(void **state)
{
    struct kms_config config;
    struct policy policy;

    if (world_setup(state) != 0)
        return -1;
    config = world_config();
    policy = world_policy();
    config.functions = known;
    config.n_functions = 2;
    world_new_kms(&config, &policy);
    return 0;
}

static struct function function(const char *identity, const char *tpk, const char *shared_with)
{
    return (struct function){.custody = custody,
                             .session = session,
                             .identity = identity,
                             .tpk = tpk,
                             .shared_with = shared_with,
                             .clock = the_clock()};
}

static struct tbs_wish wish_for(const char *const *responder, unsigned flags)
{
    return (struct tbs_wish){.responders = responder, .n_responders = 1, .flags = flags};
}

/* --- The rest of a call --- */

static struct tbs_credential credential(const char *identity, const char *psk_id, enum tbs_suite s)
{
    struct tbs_credential c = {
        .kms = WORLD_KMS, .identity = identity, .psk_id = psk_id, .suite = s};

    if (psk_id)
        c.psk = world_psk(psk_id);
    return c;
}

struct half {
    struct tbs_transfer *transfer;
    struct tbs_offer *offer;
};

static struct half offer(struct tbs_ticket *ticket, const char *to, enum tbs_suite suite)
{
    const struct tbs_crypto_session cs[] = {{.id = 1}, {.id = 2}};
    struct tbs_credential c = credential(to, NULL, suite);
    struct tbs_acceptance acceptance = {0};
    struct half h;

    ok(tbs_transfer_begin(ticket, to, cs, 2, NULL, the_clock(), &h.transfer, &diag));
    ok(tbs_accept(&c, &acceptance, tbs_transfer_octets(h.transfer), the_clock(), &h.offer, &diag));
    return h;
}

static void connect(struct half *h, struct tbs_resolved *resolved)
{
    struct tbs_buf response TBS_BUF_AUTO = tbs_buf();
    struct tbs_session *there, *here;
    struct tbs_traffic a, b;

    ok(tbs_answer(h->offer, resolved, NULL, 0, &response, &there, &diag));
    ok(tbs_transfer_finish(h->transfer, tbs_buf_view(&response), &here, &diag));
    assert_int_equal(tbs_session_count(here), 2);
    for (size_t i = 0; i < 2; i++) {
        tbs_session_traffic(here, i, &a);
        tbs_session_traffic(there, i, &b);
        assert_true(tbs_bytes_equal(a.master_key, b.master_key));
        assert_true(tbs_bytes_equal(a.mki, b.mki));
    }
    tbs_session_free(there);
    tbs_session_free(here);
}

static void half_free(struct half *h)
{
    tbs_offer_free(h->offer);
    tbs_transfer_free(h->transfer);
}

/* The KMS's answer to a RESOLVE_INIT of a subscriber. */
static enum tbs_err ask_kms(const struct tbs_offer *o, const char *identity, const char *psk_id,
                            enum tbs_suite suite, struct tbs_resolved **ret_resolved)
{
    struct tbs_credential c = credential(identity, psk_id, suite);
    struct tbs_resolve *resolve;
    struct kms_response response;
    enum tbs_err err;

    ok(tbs_resolve_begin(o, &c, the_clock(), &resolve, &diag));
    response = world_send(tbs_resolve_octets(resolve));
    err = tbs_resolve_finish(resolve, tbs_buf_view(&response.body), ret_resolved, &diag);
    if (err)
        snprintf(diag.text, sizeof diag.text, "%s", response.detail);
    tbs_buf_free(&response.body);
    tbs_resolve_free(resolve);
    return err;
}

/* --- Mode 4: neither asks the KMS --- */

static void two_functions_need_no_kms(void **state)
{
    (void)state;
    static const char *const gateway[] = {GATEWAY};
    struct function mrf = function(MRF, "tpk-z-gateway", GATEWAY);
    struct function gw = function(GATEWAY, "tpk-z-gateway", MRF);
    struct tbs_wish wish = wish_for(gateway, plain);
    struct tbs_ticket_info info;
    struct tbs_ticket *ticket;
    struct tbs_resolved *resolved;

    ok(function_issue(&mrf, &wish, NULL, &ticket, &diag));
    tbs_ticket_info(ticket, &info);
    assert_true(tbs_bytes_equal(info.initiator, tbs_bytes_str(MRF)));
    assert_true(info.flags & TBS_INITIATOR_KEYS); /* NOT D implies L */
    struct half h = offer(ticket, GATEWAY, TBS_SUITE_256);

    ok(function_resolve(&gw, h.offer, &resolved, &diag));
    connect(&h, resolved);
    tbs_resolved_free(resolved);
    /* Nor is the KMS any help: it has not that key, or not for this. */
    expect(TBS_ERR_DENIED, ask_kms(h.offer, BOB, "bob-1", TBS_SUITE_256, &resolved), "");
    /* Sent back to its maker: not one that the other made. */
    struct function back = function(GATEWAY, "tpk-z-gateway", GATEWAY);

    expect(TBS_ERR_DENIED, function_resolve(&back, h.offer, &resolved, &diag), "not one of");
    struct function other = function(GATEWAY, "tpk-z-mrf", MRF);

    expect(TBS_ERR_NOT_FOUND, function_resolve(&other, h.offer, &resolved, &diag), "another TPK");
    half_free(&h);
    tbs_ticket_free(ticket);
}

static void a_wish_fits_the_mode(void **state)
{
    (void)state;
    static const char *const gateway[] = {GATEWAY}, *const bob[] = {BOB};
    struct function mrf = function(MRF, "tpk-z-gateway", GATEWAY);
    struct function none = function(MRF, "tpk-none", GATEWAY);
    struct tbs_wish wish = wish_for(gateway, plain | TBS_FORKING);
    struct tbs_ticket *ticket;

    expect(TBS_ERR_INVALID, function_issue(&mrf, &wish, NULL, &ticket, &diag), "I implies E");
    wish = wish_for(bob, plain);
    expect(TBS_ERR_INVALID, function_issue(&mrf, &wish, NULL, &ticket, &diag), "alone");
    wish = wish_for(gateway, plain);
    expect(TBS_ERR_NOT_FOUND, function_issue(&none, &wish, NULL, &ticket, &diag), "tpk-none");
}

/* --- Mode 3: the function makes the ticket, the KMS resolves it --- */

static void mode_3(const char *tpk, enum tbs_suite suite, unsigned flags)
{
    static const char *const bob[] = {BOB};
    struct function mrf = function(MRF, tpk, NULL);
    struct tbs_wish wish = wish_for(bob, flags);
    struct tbs_ticket *ticket;
    struct tbs_resolved *resolved;

    ok(function_issue(&mrf, &wish, WORLD_KMS, &ticket, &diag));
    struct half h = offer(ticket, BOB, suite);

    ok(ask_kms(h.offer, BOB, "bob-1", suite, &resolved));
    connect(&h, resolved);
    tbs_resolved_free(resolved);
    /* The ticket says who may; the KMS's policy, too. */
    expect(TBS_ERR_DENIED,
           ask_kms(h.offer, "sip:mallory@example.net", "mallory-1", suite, &resolved), "");
    /* E: the Responder must not open it itself, even where it has the key. */
    struct function bobs = function(BOB, tpk, MRF);

    expect(TBS_ERR_DENIED, function_resolve(&bobs, h.offer, &resolved, &diag), "flag E");
    half_free(&h);
    tbs_ticket_free(ticket);
}

static void a_function_calls_a_user_without_a_request(void **state)
{
    (void)state;
    mode_3("tpk-z-mrf", TBS_SUITE_256, plain);
    mode_3("tpk-z-mrf", TBS_SUITE_256, plain | TBS_FORKING);
    mode_3("tpk-z-mrf-sha1", TBS_SUITE_128, plain);
}

/* Who has the TPK can write what it likes into a ticket; the KMS holds it to its own name. */
static void a_function_cannot_speak_for_others(void **state)
{
    (void)state;
    static const char *const bob[] = {BOB};
    struct function as_alice = function(ALICE, "tpk-z-mrf", NULL);
    struct tbs_wish wish = wish_for(bob, plain);
    struct tbs_ticket *ticket;
    struct tbs_resolved *resolved;

    ok(function_issue(&as_alice, &wish, WORLD_KMS, &ticket, &diag));
    struct half h = offer(ticket, BOB, TBS_SUITE_256);

    expect(TBS_ERR_DENIED, ask_kms(h.offer, BOB, "bob-1", TBS_SUITE_256, &resolved),
           "not one that this function made");
    half_free(&h);
    tbs_ticket_free(ticket);
}

/* --- Mode 2: the KMS makes the ticket, the function resolves it --- */

/* Alice's Ticket Request with E left out. */
static struct requester_answer request(const char *responder, uint16_t drop, uint16_t add)
{
    struct requester r = world_requester(&mikey_suite_256, "alice");
    struct ticket_policy wish = requester_wish(&r, responder);

    wish.flags = (uint16_t)((wish.flags & ~drop) | add);
    wish.has_end = true;
    wish.end = world.now + world_seconds(60);
    return world_ticket(&r, &wish);
}

static void a_function_opens_what_it_is_sent(void **state)
{
    (void)state;
    static const char *const mrf_only[] = {MRF};
    struct function mrf = function(MRF, "tpk-z-mrf", NULL);
    REQUESTER_ANSWER_AUTO struct requester_answer a = request(MRF, TICKET_E, 0);
    struct tbs_bytes id;

    assert_false(a.granted.flags & (TICKET_E | TICKET_K));
    assert_true(a.granted.flags & TICKET_D);
    ok(ticket_tpk_id(&a.ticket, &id, &diag));
    assert_true(tbs_bytes_equal(id, tbs_bytes_str("tpk-z-mrf")));

    /* The same with libtbs at Alice's end. */
    struct tbs_credential alice = credential(ALICE, "alice-1", TBS_SUITE_256);
    struct tbs_wish wish = wish_for(mrf_only, plain);
    struct tbs_request *ask;
    struct tbs_ticket *ticket;
    struct tbs_resolved *resolved;

    wish.responder_resolves = true;
    ok(tbs_request_begin(&alice, &wish, the_clock(), &ask, &diag));
    struct kms_response response = world_send(tbs_request_octets(ask));

    ok(tbs_request_finish(ask, tbs_buf_view(&response.body), &ticket, &diag));
    struct half h = offer(ticket, MRF, TBS_SUITE_256);

    ok(function_resolve(&mrf, h.offer, &resolved, &diag));
    connect(&h, resolved);
    tbs_resolved_free(resolved);
    /* A function that has the key with somebody else takes none of the KMS's. */
    struct function wrong = function(MRF, "tpk-z-mrf", GATEWAY);

    expect(TBS_ERR_DENIED, function_resolve(&wrong, h.offer, &resolved, &diag), "not one of");
    half_free(&h);
    tbs_ticket_free(ticket);
    tbs_request_free(ask);
    tbs_buf_free(&response.body);
}

/* E stays where the responder has no TPK, where there are several, and with forking (I implies E);
 * with E the KMS's own key protects the ticket, though the function's sorts later. */
static void other_tickets_are_the_kmss_to_resolve(void **state)
{
    (void)state;
    const struct {
        const char *responder;
        uint16_t drop, add;
    } cases[] = {{BOB, TICKET_E, 0}, {MRF, 0, 0}, {MRF, 0, TICKET_I}, {GATEWAY, TICKET_E, 0}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        REQUESTER_ANSWER_AUTO struct requester_answer a =
            request(cases[i].responder, cases[i].drop, cases[i].add);
        struct tbs_bytes id;

        assert_true(a.granted.flags & TICKET_E);
        assert_int_equal(!!(a.granted.flags & TICKET_K), cases[i].drop != 0);
        ok(ticket_tpk_id(&a.ticket, &id, &diag));
        assert_true(tbs_bytes_equal(id, tbs_bytes_str("tpk-2026-01")));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(two_functions_need_no_kms),
        TEST(a_wish_fits_the_mode),
        TEST(a_function_calls_a_user_without_a_request),
        TEST(a_function_cannot_speak_for_others),
        TEST(a_function_opens_what_it_is_sent),
        TEST(other_tickets_are_the_kmss_to_resolve),
    };
    alarm(100);
    return cmocka_run_group_tests_name("function", tests, group_setup, group_teardown);
}
