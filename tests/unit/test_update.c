/* CSB updates between two ends of libtbs. RFC 6043 5.2, 6.10; RFC 3830 4.5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/call.h"

#define FLAGS (TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI)
#define BOTH_SUPPLY (TBS_INITIATOR_KEYS | TBS_RESPONDER_KEYS)

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

/* One update: octets of both messages, and the sessions after it. */
struct update {
    struct tbs_update *update;
    struct tbs_buf resp;
    struct tbs_session *starter, *answerer;
};

static void begin(struct call *call, struct tbs_session *starter, struct update *u)
{
    *u = (struct update){.resp = tbs_buf()};
    ok(tbs_update_begin(starter, NULL, 0, "mikey", call_clock(call), &u->update, &call->diag),
       call);
}

static enum tbs_err answer(struct call *call, struct tbs_session *answerer, struct tbs_bytes init,
                           struct update *u)
{
    return tbs_update_answer(answerer, init, NULL, 0, 0, "mikey", call_clock(call), &u->resp,
                             &u->answerer, &call->diag);
}

static void run(struct call *call, struct tbs_session *starter, struct tbs_session *answerer,
                struct update *u)
{
    begin(call, starter, u);
    ok(answer(call, answerer, tbs_update_octets(u->update), u), call);
    ok(tbs_update_finish(u->update, tbs_buf_view(&u->resp), &u->starter, &call->diag), call);
    assert_true(call_agree(u->starter, u->answerer));
}

static void update_free(struct update *u)
{
    tbs_update_free(u->update);
    tbs_buf_free(&u->resp);
    tbs_session_free(u->starter);
    tbs_session_free(u->answerer);
}

static struct tbs_traffic traffic(const struct tbs_session *s, size_t i)
{
    struct tbs_traffic t;

    tbs_session_traffic(s, i, &t);
    return t;
}

/* --- What an update does --- */

static void expect_new_keys(const struct tbs_session *before, const struct tbs_session *after)
{
    for (size_t i = 0; i < 2; i++) {
        struct tbs_traffic old = traffic(before, i), new = traffic(after, i);

        assert_int_equal(old.cs_id, new.cs_id);
        assert_int_equal(old.ssrc, new.ssrc);
        assert_false(tbs_bytes_equal(old.mki, new.mki));
        assert_false(tbs_bytes_equal(old.master_key, new.master_key));
    }
}

/* Either side starts; the keys from before are still there; then once more with what came of it. */
static void either_side_changes_the_keys(void **state)
{
    (void)state;
    const unsigned variants[] = {FLAGS, FLAGS | TBS_FORKING, TBS_RESPONSE | TBS_RANDRI,
                                 TBS_RESPONSE | TBS_RANDRR};

    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct update first, second, third;
        struct call call;

        call_make(&call, variants[i] | BOTH_SUPPLY);
        assert_true(call_agree(call.alice, call.bob));
        ok(tbs_session_supply(call.alice, NULL, 0, &call.diag), &call);
        run(&call, call.alice, call.bob, &first);
        expect_new_keys(call.alice, first.starter);
        assert_true(call_agree(call.alice, call.bob));
        ok(tbs_session_supply(first.answerer, NULL, 0, &call.diag), &call);
        run(&call, first.answerer, first.starter, &second);
        expect_new_keys(first.starter, second.answerer);
        run(&call, second.answerer, second.starter, &third); /* without a new key */
        assert_true(call_agree(second.starter, third.starter));
        assert_int_equal(tbs_session_csb_id(third.starter), tbs_session_csb_id(call.alice));
        assert_true(tbs_bytes_equal(tbs_session_peer(third.starter), tbs_bytes_str(CALL_BOB)));
        assert_true(tbs_bytes_equal(tbs_session_peer(third.answerer), tbs_bytes_str(CALL_ALICE)));
        assert_int_equal(tbs_session_rekey_seconds(third.starter), 1800);
        update_free(&first);
        update_free(&second);
        update_free(&third);
        call_free(&call);
    }
}

/* RFC 6043 5.2: the one who answers may supply the key, too; then it serves. */
static void the_answer_may_bring_the_key(void **state)
{
    (void)state;
    struct update u;
    struct call call;

    call_make(&call, FLAGS | BOTH_SUPPLY);
    begin(&call, call.alice, &u);
    ok(tbs_session_supply(call.bob, NULL, 0, &call.diag), &call);
    ok(answer(&call, call.bob, tbs_update_octets(u.update), &u), &call);
    ok(tbs_update_finish(u.update, tbs_buf_view(&u.resp), &u.starter, &call.diag), &call);
    assert_true(call_agree(u.starter, u.answerer));
    expect_new_keys(call.alice, u.starter);
    update_free(&u);
    call_free(&call);
}

/* Octets and SPI of a TEK are the caller's; a TEK is the master key itself, one for each. */
static void teks_of_the_caller_are_used_as_they_are(void **state)
{
    (void)state;
    static const uint8_t octets[2][32] = {"the TEK of crypto session 1....", "and 2........"};
    static const uint8_t salt[14] = "a master salt";
    const struct tbs_own_key keys[] = {
        {.kind = TBS_TEK,
         .key = tbs_bytes(octets[0], 32),
         .salt = tbs_bytes(salt, 14),
         .spi = tbs_bytes("one", 3)},
        {.kind = TBS_TEK, .key = tbs_bytes(octets[1], 32)},
    };
    struct update u;
    struct call call;

    call_make(&call, FLAGS | TBS_FORKING | BOTH_SUPPLY);
    ok(tbs_session_supply(call.bob, keys, 2, &call.diag), &call);
    run(&call, call.bob, call.alice, &u);
    for (size_t i = 0; i < 2; i++)
        assert_memory_equal(traffic(u.answerer, i).master_key.data, octets[i], 32);
    assert_memory_equal(traffic(u.answerer, 0).master_salt.data, salt, 14);
    assert_true(tbs_bytes_equal(traffic(u.answerer, 0).mki, tbs_bytes("one", 3)));
    assert_int_equal(traffic(u.answerer, 1).master_salt.len, 14);
    update_free(&u);
    call_free(&call);
}

/* RFC 6043 5.2: adding crypto sessions; one that is left out is gone. */
static void crypto_sessions_come_and_go(void **state)
{
    (void)state;
    const struct tbs_crypto_session more[] = {
        {.id = 1}, {.id = 2}, {.id = 3, .has_ssrc = true, .ssrc = 0x333}, {.id = 4}};
    const struct tbs_ssrc ssrc = {.cs_id = 4, .ssrc = 0x444};
    struct update u = {.resp = tbs_buf()}, less = {.resp = tbs_buf()};
    struct call call;

    call_make(&call, FLAGS);
    ok(tbs_update_begin(call.alice, more, 4, NULL, call_clock(&call), &u.update, &call.diag),
       &call);
    ok(tbs_update_answer(call.bob, tbs_update_octets(u.update), &ssrc, 1, 0, NULL,
                         call_clock(&call), &u.resp, &u.answerer, &call.diag),
       &call);
    ok(tbs_update_finish(u.update, tbs_buf_view(&u.resp), &u.starter, &call.diag), &call);
    assert_int_equal(tbs_session_count(u.starter), 4);
    assert_true(call_agree(u.starter, u.answerer));
    assert_int_equal(traffic(u.starter, 0).ssrc, 0xA11CE);
    assert_int_equal(traffic(u.starter, 2).ssrc, 0x333);
    assert_int_equal(traffic(u.starter, 3).ssrc, 0x444);
    for (size_t i = 0; i < 2; i++)
        assert_true(
            tbs_bytes_equal(traffic(u.starter, i).master_key, traffic(call.alice, i).master_key));
    assert_false(
        tbs_bytes_equal(traffic(u.starter, 2).master_key, traffic(u.starter, 0).master_key));
    ok(tbs_update_begin(u.answerer, more, 1, NULL, call_clock(&call), &less.update, &call.diag),
       &call);
    ok(tbs_update_answer(u.starter, tbs_update_octets(less.update), NULL, 0, 0, NULL,
                         call_clock(&call), &less.resp, &less.answerer, &call.diag),
       &call);
    ok(tbs_update_finish(less.update, tbs_buf_view(&less.resp), &less.starter, &call.diag), &call);
    assert_int_equal(tbs_session_count(less.starter), 1);
    update_free(&u);
    update_free(&less);
    call_free(&call);
}

/* RFC 6043 5.2, 6.1: V says whether there is an answer; without flag F there is none. */
static void without_an_answer_it_takes_effect_at_once(void **state)
{
    (void)state;
    struct update u;
    struct call call;

    call_make(&call, TBS_RANDRI | TBS_INITIATOR_KEYS);
    ok(tbs_session_supply(call.alice, NULL, 0, &call.diag), &call);
    begin(&call, call.alice, &u);
    ok(answer(&call, call.bob, tbs_update_octets(u.update), &u), &call);
    assert_int_equal(u.resp.len, 0);
    expect(TBS_ERR_INVALID,
           tbs_update_finish(u.update, tbs_update_octets(u.update), &u.starter, &call.diag), &call,
           "wants no answer");
    ok(tbs_update_finish(u.update, tbs_bytes(NULL, 0), &u.starter, &call.diag), &call);
    assert_true(call_agree(u.starter, u.answerer));
    expect_new_keys(call.alice, u.starter);
    update_free(&u);
    call_free(&call);
}

/* --- What an update must not do --- */

/* RFC 6043 6.10: L and M say who may supply session keys; both ends hold to it. */
static void flags_l_and_m_are_obeyed(void **state)
{
    (void)state;
    struct update u;
    struct call call;

    call_make(&call, FLAGS);
    expect(TBS_ERR_DENIED, tbs_session_supply(call.alice, NULL, 0, &call.diag), &call, "flag L");
    expect(TBS_ERR_DENIED, tbs_session_supply(call.bob, NULL, 0, &call.diag), &call, "flag M");
    call_free(&call);

    /* One end believes in another ticket than the other, so that the other has to refuse. */
    call_make(&call, FLAGS | BOTH_SUPPLY);
    struct mikey_message m;

    assert_int_equal(mikey_decode(tbs_buf_view(&call.bob->csb.init), &m, NULL), TBS_OK);
    const struct mikey_payload *ticket = mikey_find(&m.payloads, MIKEY_TICKET, 0);
    uint8_t *flags = call.bob->csb.init.data + (ticket->ticket.core.data - m.raw.data) + 5;

    *flags &= 0xFE; /* L ends the octet that begins with E */
    ok(tbs_session_supply(call.alice, NULL, 0, &call.diag), &call);
    begin(&call, call.alice, &u);
    expect(TBS_ERR_DENIED, answer(&call, call.bob, tbs_update_octets(u.update), &u), &call,
           "flag L");
    assert_int_equal(call.diag.raw, MIKEY_E_INVALID_TPPAR);
    update_free(&u);
    call_free(&call);
}

/* RFC 6043 5.2: new timestamps; each is later than the one before of the same side. */
static void no_update_counts_twice(void **state)
{
    (void)state;
    struct update u, older, late;
    struct call call;

    call_make(&call, FLAGS);
    begin(&call, call.alice, &older);
    run(&call, call.alice, call.bob, &u);
    expect(TBS_ERR_REPLAY, answer(&call, call.bob, tbs_update_octets(u.update), &u), &call,
           "not later");
    expect(TBS_ERR_REPLAY, answer(&call, u.answerer, tbs_update_octets(u.update), &u), &call,
           "not later");
    expect(TBS_ERR_REPLAY, answer(&call, u.answerer, tbs_update_octets(older.update), &older),
           &call, "not later");
    expect(TBS_ERR_REPLAY,
           tbs_update_finish(u.update, tbs_buf_view(&u.resp), &older.starter, &call.diag), &call,
           "before");
    begin(&call, call.alice, &late);
    call.now += UINT64_C(301) << 32;
    expect(TBS_ERR_TIME, answer(&call, u.answerer, tbs_update_octets(late.update), &late), &call,
           "seconds from now");
    update_free(&u);
    update_free(&older);
    update_free(&late);
    call_free(&call);
}

/* Both use one key for both directions, so that a message fits the one who made it. */
static void what_is_sent_back_is_refused(void **state)
{
    (void)state;
    struct update u;
    struct call call;

    call_make(&call, FLAGS);
    begin(&call, call.alice, &u);
    expect(TBS_ERR_REPLAY, answer(&call, call.alice, tbs_update_octets(u.update), &u), &call,
           "one's own");
    update_free(&u);
    begin(&call, call.bob, &u);
    expect(TBS_ERR_REPLAY, answer(&call, call.bob, tbs_update_octets(u.update), &u), &call,
           "one's own");
    update_free(&u);
    call_free(&call);
}

static uint64_t t_of(struct tbs_bytes message)
{
    struct mikey_message m;

    assert_int_equal(mikey_decode(message, &m, NULL), TBS_OK);
    return mikey_ts64(mikey_find(&m.payloads, MIKEY_T, 0));
}

/* One encr_key for both directions: no T, and so no IV, comes twice, though the clock stands. */
static void no_t_comes_twice_in_a_csb(void **state)
{
    (void)state;
    struct update a, b;
    struct call call;

    call_make(&call, FLAGS | BOTH_SUPPLY);
    call.now = t_of(tbs_buf_view(&call.init)); /* behind TRANSFER_RESP */
    begin(&call, call.alice, &a);
    begin(&call, call.bob, &b);
    uint64_t first = t_of(tbs_update_octets(a.update)), second = t_of(tbs_update_octets(b.update));

    assert_true(client_is_later(first, t_of(tbs_buf_view(&call.resp))));
    assert_int_not_equal(first, second);
    tbs_update_free(a.update);
    begin(&call, call.alice, &a);
    assert_true(client_is_later(t_of(tbs_update_octets(a.update)), first));
    ok(answer(&call, call.bob, tbs_update_octets(a.update), &a), &call);
    assert_true(client_is_later(t_of(tbs_buf_view(&a.resp)), t_of(tbs_update_octets(a.update))));
    assert_int_not_equal(t_of(tbs_buf_view(&a.resp)), second);
    update_free(&a);
    update_free(&b);
    call_free(&call);
}

/* Another implementation's update, as one wants it, under the true MAC. */
static void craft(const struct call *call, const struct tbs_session *as, struct tbs_bytes randri,
                  const char *initiator, struct tbs_buf *init)
{
    struct client_initial initial;
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct tbs_buf map TBS_BUF_AUTO = tbs_buf();
    struct mikey_cs cs = {.id = 1};
    struct mikey_followed_by identities = {tbs_buf_view(&as->csb.idri),
                                           tbs_buf_view(&as->csb.idrr)};

    assert_int_equal(client_csb_read(&as->csb, &initial, NULL), TBS_OK);
    assert_int_equal(client_csb_keys(&as->csb, &initial, &keys, NULL), TBS_OK);
    mikey_put_cs(&map, &cs);
    struct mikey_hdr hdr = {.data_type = MIKEY_TRANSFER_INIT,
                            .v = true,
                            .prf = MIKEY_PRF_HMAC_SHA_256,
                            .csb_id = as->csb_id,
                            .n_cs = 1,
                            .map_type = MIKEY_MAP_GENERIC_ID,
                            .map_info = tbs_buf_view(&map)};
    struct mikey_writer w = client_write_init(init, &hdr, call->now);

    if (randri.len > 0)
        mikey_put_randr(&w, MIKEY_RANDRI, randri);
    if (initiator)
        mikey_put_idr(&w, MIKEY_IDRI, MIKEY_ID_URI, tbs_bytes_str(initiator));
    mikey_put_v(&w, MIKEY_MAC_HMAC_SHA_256_256);
    assert_int_equal(mikey_authenticate(init, &mikey_suite_256, &keys, identities, NULL), TBS_OK);
}

static void crafted(struct call *call, struct tbs_bytes randri, const char *initiator,
                    enum tbs_err want, const char *part)
{
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    struct update u = {.resp = tbs_buf()};

    craft(call, call->alice, randri, initiator, &init);
    enum tbs_err err = tbs_update_answer(call->bob, tbs_buf_view(&init), NULL, 0, 0, NULL,
                                         call_clock(call), &u.resp, &u.answerer, &call->diag);

    if (want)
        expect(want, err, call, part);
    else
        ok(err, call);
    update_free(&u);
    call->now += UINT64_C(1) << 32;
}

/* RFC 6043 5.2: new RANDs MUST NOT be included, the old ones may; identities do not change; what
 * is left out (identities, policies, SSRC, SPI) is as before. */
static void rands_and_identities_stay(void **state)
{
    (void)state;
    struct mikey_message first;
    struct call call;

    call_make(&call, FLAGS);
    assert_int_equal(mikey_decode(tbs_buf_view(&call.init), &first, NULL), TBS_OK);
    crafted(&call, tbs_bytes(NULL, 0), NULL, TBS_OK, NULL);
    crafted(&call, mikey_rand_data(&first.payloads, MIKEY_RANDRI), CALL_ALICE, TBS_OK, NULL);
    crafted(&call, tbs_bytes("another random value", 20), NULL, TBS_ERR_MALFORMED, "new RAND");
    crafted(&call, tbs_bytes(NULL, 0), "sip:mallory@example.net", TBS_ERR_AUTH, "other parties");
    call_free(&call);
}

static void an_update_belongs_to_its_session(void **state)
{
    (void)state;
    struct update u;
    struct call call, other;
    uint32_t csb_id = 0;

    call_make(&call, FLAGS);
    call_make(&other, FLAGS);
    begin(&call, call.alice, &u);
    assert_true(tbs_is_update(tbs_update_octets(u.update), &csb_id));
    assert_int_equal(csb_id, tbs_session_csb_id(call.alice));
    assert_false(tbs_is_update(tbs_buf_view(&call.init), &csb_id));
    assert_false(tbs_is_update(tbs_buf_view(&call.resp), &csb_id));
    expect(TBS_ERR_AUTH, answer(&call, other.bob, tbs_update_octets(u.update), &u), &call,
           "CSB ID");
    other.bob->csb_id = csb_id;
    expect(TBS_ERR_AUTH, answer(&call, other.bob, tbs_update_octets(u.update), &u), &call, "MAC");
    expect(TBS_ERR_MALFORMED, answer(&call, call.bob, tbs_buf_view(&call.init), &u), &call,
           "no update");
    expect(TBS_ERR_AUTH,
           tbs_update_answer(call.bob, tbs_update_octets(u.update), NULL, 0, 0, "mikey;keyp1",
                             call_clock(&call), &u.resp, &u.answerer, &call.diag),
           &call, "RFC 4567");
    update_free(&u);
    call_free(&call);
    call_free(&other);
}

static bool takes_init(struct call *call, struct tbs_bytes init)
{
    struct update u = {.resp = tbs_buf()};
    bool taken = answer(call, call->bob, init, &u) == TBS_OK;

    update_free(&u);
    return taken;
}

static void no_bit_of_an_update_can_be_changed(void **state)
{
    (void)state;
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    struct tbs_session *session;
    struct update u;
    struct call call;

    call_make(&call, FLAGS | TBS_FORKING | BOTH_SUPPLY);
    ok(tbs_session_supply(call.alice, NULL, 0, &call.diag), &call);
    begin(&call, call.alice, &u);
    tbs_put_bytes(&init, tbs_update_octets(u.update));
    for (size_t i = 0; i < init.len; i++) {
        assert_false(takes_init(&call, tbs_bytes(init.data, i)));
        for (int bit = 0; bit < 8; bit++) {
            init.data[i] ^= (uint8_t)(1 << bit);
            if (takes_init(&call, tbs_buf_view(&init)))
                fail_msg("bit %d of octet %zu was changed unnoticed", bit, i);
            init.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    ok(answer(&call, call.bob, tbs_buf_view(&init), &u), &call);
    for (size_t i = 0; i < u.resp.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            u.resp.data[i] ^= (uint8_t)(1 << bit);
            if (tbs_update_finish(u.update, tbs_buf_view(&u.resp), &session, NULL) == TBS_OK)
                fail_msg("bit %d of octet %zu was changed unnoticed", bit, i);
            u.resp.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    ok(tbs_update_finish(u.update, tbs_buf_view(&u.resp), &u.starter, &call.diag), &call);
    assert_true(call_agree(u.starter, u.answerer));
    update_free(&u);
    call_free(&call);
}

static void a_refusal_tells_why(void **state)
{
    (void)state;
    struct tbs_session *session;
    struct update u;
    struct call call;

    call_make(&call, FLAGS);
    begin(&call, call.alice, &u);
    expect(TBS_ERR_UNSUPPORTED,
           tbs_update_answer(call.bob, tbs_update_octets(u.update), NULL, 0,
                             1u << TBS_SRTP_AES_CM_128_HMAC_SHA1_80, NULL, call_clock(&call),
                             &u.resp, &u.answerer, &call.diag),
           &call, "no security policy");
    ok(tbs_refuse(tbs_update_octets(u.update), &call.diag, call_clock(&call), &u.resp, &call.diag),
       &call);
    expect(TBS_ERR_UNSUPPORTED,
           tbs_update_finish(u.update, tbs_buf_view(&u.resp), &session, &call.diag), &call,
           "Error 10");
    update_free(&u);
    call_free(&call);
}

/* Keys that no crypto session uses any more make room; the ticket's stay. */
static void a_csb_takes_many_updates(void **state)
{
    (void)state;
    struct update u, next;
    struct call call;

    call_make(&call, FLAGS | BOTH_SUPPLY);
    run(&call, call.alice, call.bob, &u);
    for (int i = 0; i < 100; i++) {
        call.now += UINT64_C(60) << 32;
        ok(tbs_session_supply(u.starter, NULL, 0, &call.diag), &call);
        run(&call, u.starter, u.answerer, &next);
        update_free(&u);
        u = next;
    }
    assert_int_equal(u.starter->csb.keys.n, 2);
    update_free(&u);
    call_free(&call);
}

/* --- In a file --- */

static void reload(struct call *call, struct tbs_session **session)
{
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    struct tbs_session *again;

    ok(tbs_session_export(*session, &octets, &call->diag), call);
    ok(tbs_session_import(tbs_secret_view(&octets), &again, &call->diag), call);
    assert_true(call_agree(*session, again));
    for (size_t i = 0; i < octets.len; i++)
        assert_int_not_equal(
            tbs_session_import(tbs_bytes(octets.data, i), &(struct tbs_session *){NULL}, NULL),
            TBS_OK);
    tbs_session_free(*session);
    *session = again;
}

static void sessions_live_in_files(void **state)
{
    (void)state;
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    struct update u;
    struct call call;

    call_make(&call, FLAGS | TBS_FORKING | BOTH_SUPPLY);
    reload(&call, &call.alice);
    reload(&call, &call.bob);
    ok(tbs_session_supply(call.alice, NULL, 0, &call.diag), &call);
    begin(&call, call.alice, &u);
    tbs_put_bytes(&init, tbs_update_octets(u.update));
    tbs_update_free(u.update);
    reload(&call, &call.alice);
    ok(answer(&call, call.bob, tbs_buf_view(&init), &u), &call);
    ok(tbs_update_restore(call.alice, tbs_buf_view(&init), &u.update, &call.diag), &call);
    ok(tbs_update_finish(u.update, tbs_buf_view(&u.resp), &u.starter, &call.diag), &call);
    reload(&call, &u.starter);
    reload(&call, &u.answerer);
    assert_true(call_agree(u.starter, u.answerer));
    expect(TBS_ERR_REPLAY, answer(&call, u.answerer, tbs_buf_view(&init), &u), &call, "not later");
    init.data[init.len - 1] ^= 1;
    expect(TBS_ERR_AUTH, tbs_update_restore(call.alice, tbs_buf_view(&init), &u.update, &call.diag),
           &call, "MAC");
    update_free(&u);
    call_free(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(either_side_changes_the_keys),
        cmocka_unit_test(the_answer_may_bring_the_key),
        cmocka_unit_test(teks_of_the_caller_are_used_as_they_are),
        cmocka_unit_test(crypto_sessions_come_and_go),
        cmocka_unit_test(without_an_answer_it_takes_effect_at_once),
        cmocka_unit_test(flags_l_and_m_are_obeyed),
        cmocka_unit_test(no_update_counts_twice),
        cmocka_unit_test(what_is_sent_back_is_refused),
        cmocka_unit_test(no_t_comes_twice_in_a_csb),
        cmocka_unit_test(rands_and_identities_stay),
        cmocka_unit_test(an_update_belongs_to_its_session),
        cmocka_unit_test(no_bit_of_an_update_can_be_changed),
        cmocka_unit_test(a_refusal_tells_why),
        cmocka_unit_test(a_csb_takes_many_updates),
        cmocka_unit_test(sessions_live_in_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
