/* Ticket Policy, Base Ticket, key forking, Initiator Data; and two whole flows computed by
 * another implementation, reproduced to the last octet (RFC 6043 5.1, 5.5, 6.10, A). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "mikey/verification.h"
#include "tests/support/hex.h"
#include "ticket/ticket.h"

static const char *const flow_names[] = {"plain-256.json", "forking-256.json"};

/* One message of a flow, decoded; `raw` owns its octets. */
struct step {
    struct tbs_buf raw;
    struct mikey_message m;
};

static void load(const json_t *flow, const char *name, struct step *step)
{
    step->raw = vector_octets(flow, name);
    assert_int_equal(mikey_decode(tbs_buf_view(&step->raw), &step->m, NULL), TBS_OK);
}

static struct mikey_inkey in_memory(const struct tbs_buf *key)
{
    return (struct mikey_inkey){.prf = MIKEY_PRF_HMAC_SHA_256, .key = tbs_buf_view(key)};
}

/* Wipes the MAC, computes it again, and expects the same message. */
static void authenticate_again(const struct step *step, const struct tbs_buf *key,
                               struct mikey_context context, struct mikey_followed_by followed)
{
    TBS_BUF_AUTO struct tbs_buf again = tbs_buf();
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    const struct mikey_suite *suite = &mikey_suite_256;
    struct mikey_inkey inkey = in_memory(key);

    context.csb_id = step->m.hdr.csb_id;
    assert_int_equal(mikey_derive_auth(suite, &inkey, &context, &keys, NULL), TBS_OK);
    assert_int_equal(mikey_verify(&step->m, suite, &keys, followed, NULL), TBS_OK);
    tbs_put_bytes(&again, step->m.raw);
    memset(again.data + again.len - suite->mac_len, 0, suite->mac_len);
    assert_int_equal(mikey_authenticate(&again, suite, &keys, followed, NULL), TBS_OK);
    assert_true(tbs_bytes_equal(tbs_buf_view(&again), step->m.raw));
}

static void expect_octets(struct tbs_bytes got, const json_t *flow, const char *name)
{
    TBS_BUF_AUTO struct tbs_buf want = vector_octets(flow, name);

    if (!tbs_bytes_equal(got, tbs_buf_view(&want)))
        fail_msg("%s differs", name);
}

static void expect_key(struct tbs_bytes got, const json_t *flow, const char *list)
{
    const char *hex = json_string_value(json_array_get(json_object_get(flow, list), 0));
    TBS_BUF_AUTO struct tbs_buf want = hex_octets(hex);

    assert_true(tbs_bytes_equal(got, tbs_buf_view(&want)));
}

/* Opens a response's KEMAC, checks its keys, and encrypts them again to the same octets. */
static void kemac_again(const struct step *step, const struct tbs_buf *psk,
                        struct mikey_context context, struct mikey_key_set *ret_set)
{
    const struct mikey_suite *suite = &mikey_suite_256;
    struct mikey_inkey inkey = in_memory(psk);
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    const struct mikey_payload *kemac = mikey_find(&step->m.payloads, MIKEY_KEMAC, 0);
    uint64_t t = mikey_ts64(mikey_find(&step->m.payloads, MIKEY_T, 0));
    TBS_BUF_AUTO struct tbs_buf again = tbs_buf();
    struct mikey_writer w = mikey_write_chain(&again);

    context.csb_id = step->m.hdr.csb_id;
    assert_int_equal(mikey_derive_encr(suite, &inkey, &context, &keys, NULL), TBS_OK);
    assert_int_equal(mikey_open_kemac(kemac, suite, &keys, context.csb_id, t, ret_set, NULL),
                     TBS_OK);
    assert_int_equal(mikey_put_sealed(&w, suite, &keys, context.csb_id, t, ret_set, NULL), TBS_OK);
    /* Without the first-payload octet and Next Payload, which differ here. */
    assert_true(tbs_bytes_equal(tbs_bytes_slice(tbs_buf_view(&again), 2, again.len - 2),
                                tbs_bytes_slice(kemac->whole, 1, kemac->whole.len - 1)));
}

static void messages_reproduce(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        json_t *flow = vector_load(flow_names[f]);
        bool forking = strchr(vector_text(flow, "flags"), 'I');
        TBS_BUF_AUTO struct tbs_buf alice = vector_octets(flow, "alice_psk");
        TBS_BUF_AUTO struct tbs_buf bob = vector_octets(flow, "bob_psk");
        TBS_BUF_AUTO struct tbs_buf mpki = vector_octets(flow, "mpki");
        TBS_BUF_AUTO struct tbs_buf mpkr = vector_octets(flow, "forked_mpkr");
        struct tbs_bytes id_i = tbs_bytes_str(vector_text(flow, "alice"));
        struct tbs_bytes id_r = tbs_bytes_str(vector_text(flow, "bob"));
        struct tbs_bytes id_kms = tbs_bytes_str(vector_text(flow, "kms"));
        struct tbs_bytes id_to = tbs_bytes_str(vector_text(flow, "target"));
        struct mikey_key_set keys;
        struct step s[6];

        load(flow, "request_init", &s[0]);
        load(flow, "request_resp", &s[1]);
        load(flow, "transfer_init", &s[2]);
        load(flow, "resolve_init", &s[3]);
        load(flow, "resolve_resp", &s[4]);
        load(flow, "transfer_resp", &s[5]);
        struct mikey_context c = {
            .usage = MIKEY_USE_INIT,
            .randri = mikey_rand_data(&s[0].m.payloads, MIKEY_RANDRI),
        };

        authenticate_again(&s[0], &alice, c, (struct mikey_followed_by){id_i, id_kms});
        c.usage = MIKEY_USE_RESP;
        authenticate_again(&s[1], &alice, c, (struct mikey_followed_by){.first = s[0].m.raw});
        kemac_again(&s[1], &alice, c, &keys);
        assert_int_equal(keys.n, forking ? 3 : 2); /* MPKi || [MPKr] || TGK */
        expect_octets(keys.key[0].key, flow, "mpki");
        if (forking)
            expect_octets(keys.key[1].key, flow, "mpkr");
        expect_key(keys.key[keys.n - 1].key, flow, "keys");
        mikey_key_set_free(&keys);

        c = (struct mikey_context){
            .usage = MIKEY_USE_INIT,
            .randri = mikey_rand_data(&s[2].m.payloads, MIKEY_RANDRI),
        };
        authenticate_again(&s[2], &mpki, c, (struct mikey_followed_by){id_i, id_to});
        c.usage = MIKEY_USE_RESP;
        c.randrr = mikey_rand_data(&s[5].m.payloads, MIKEY_RANDRR);
        authenticate_again(&s[5], &mpkr, c, (struct mikey_followed_by){.first = s[2].m.raw});

        c = (struct mikey_context){
            .usage = MIKEY_USE_INIT,
            .randrr = mikey_rand_data(&s[3].m.payloads, MIKEY_RANDRR),
        };
        authenticate_again(&s[3], &bob, c, (struct mikey_followed_by){id_r, id_kms});
        c.usage = MIKEY_USE_RESP;
        authenticate_again(&s[4], &bob, c, (struct mikey_followed_by){.first = s[3].m.raw});
        kemac_again(&s[4], &bob, c, &keys);
        expect_octets(keys.key[0].key, flow, "mpki");
        if (forking)
            expect_octets(keys.key[1].key, flow, "forked_mpkr");
        expect_key(keys.key[keys.n - 1].key, flow, "forked_keys");
        mikey_key_set_free(&keys);
        for (int i = 0; i < 6; i++)
            tbs_buf_free(&s[i].raw);
        json_decref(flow);
    }
}

/* RFC 6043 A: the ticket opens, and sealing its contents gives the same core. */
static void tickets_reproduce(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        json_t *flow = vector_load(flow_names[f]);
        TBS_BUF_AUTO struct tbs_buf tpk = vector_octets(flow, "tpk");
        TBS_BUF_AUTO struct tbs_buf core = tbs_buf();
        TBS_BUF_AUTO struct tbs_buf policy_octets = tbs_buf();
        struct mikey_inkey inkey = in_memory(&tpk);
        struct ticket_contents contents = {0};
        struct ticket_policy policy;
        struct tbs_secret mpki TBS_SECRET_AUTO = {0}, mpkr TBS_SECRET_AUTO = {0};
        struct tbs_bytes id;
        struct step s;

        load(flow, "request_resp", &s);
        const struct mikey_payload *ticket = mikey_find(&s.m.payloads, MIKEY_TICKET, 0);

        assert_int_equal(ticket_tpk_id(ticket, &id, NULL), TBS_OK);
        assert_true(tbs_bytes_equal(id, tbs_bytes_str(vector_text(flow, "tpk_id"))));
        assert_int_equal(ticket_open(ticket, &inkey, &contents, NULL), TBS_OK);
        expect_octets(contents.rand, flow, "ticket_rand");
        expect_octets(contents.keys.key[0].key, flow, "mpk");
        assert_int_equal(ticket_derive_mpks(ticket->ticket.prf, &contents, &mpki, &mpkr, NULL),
                         TBS_OK);
        expect_octets(tbs_secret_view(&mpki), flow, "mpki");
        expect_octets(tbs_secret_view(&mpkr), flow, "mpkr");
        assert_int_equal(ticket_policy_decode(ticket, &policy, NULL), TBS_OK);
        ticket_policy_put(&policy_octets, &policy);
        assert_int_equal(
            ticket_seal(tbs_buf_view(&policy_octets), &contents, &inkey, id, &core, NULL), TBS_OK);
        assert_true(tbs_bytes_equal(tbs_buf_view(&core), ticket->ticket.core));
        ticket_contents_free(&contents);
        tbs_buf_free(&s.raw);
        json_decref(flow);
    }
}

/* RFC 6043 A.1: no octet of a TICKET's core can change. */
static void a_changed_ticket_does_not_open(void **state)
{
    (void)state;
    json_t *flow = vector_load("forking-256.json");
    TBS_BUF_AUTO struct tbs_buf tpk = vector_octets(flow, "tpk");
    struct mikey_inkey inkey = in_memory(&tpk);
    struct step s;

    load(flow, "request_resp", &s);
    const struct mikey_payload *ticket = mikey_find(&s.m.payloads, MIKEY_TICKET, 0);

    for (size_t i = 0; i < ticket->ticket.core.len; i++) {
        TBS_BUF_AUTO struct tbs_buf changed = tbs_buf();
        struct ticket_contents contents = {0};
        struct mikey_message m;
        const struct mikey_payload *p;

        tbs_put_bytes(&changed, s.m.raw);
        changed.data[ticket->offset + 1 + i] ^= 1;
        if (mikey_decode(tbs_buf_view(&changed), &m, NULL))
            continue;
        p = mikey_find(&m.payloads, MIKEY_TICKET, 0);
        if (p && ticket_open(p, &inkey, &contents, NULL) == TBS_OK)
            fail_msg("opened with octet %zu changed", i);
    }
    tbs_buf_free(&s.raw);
    json_decref(flow);
}

/* RFC 6043 5.1.1 and 6.10. */
static void forking_and_initiator_data_reproduce(void **state)
{
    (void)state;
    json_t *flow = vector_load("forking-256.json");
    TBS_BUF_AUTO struct tbs_buf mpkr = vector_octets(flow, "mpkr");
    TBS_BUF_AUTO struct tbs_buf rand = vector_octets(flow, "rand_kms");
    TBS_BUF_AUTO struct tbs_buf data = tbs_buf();
    struct tbs_secret forked TBS_SECRET_AUTO = {0};
    struct ticket_modifier modifier = {.id = tbs_bytes_str(vector_text(flow, "bob")),
                                       .randrkms = tbs_buf_view(&rand)};
    const struct mikey_suite *suite = &mikey_suite_256;
    struct step s;

    assert_int_equal(ticket_fork_mpkr(1, tbs_buf_view(&mpkr), modifier, &forked, NULL), TBS_OK);
    expect_octets(tbs_secret_view(&forked), flow, "forked_mpkr");
    load(flow, "transfer_init", &s);
    const struct mikey_payload *ticket = mikey_find(&s.m.payloads, MIKEY_TICKET, 0);
    const struct mikey_payload *v;

    assert_int_equal(mikey_find_v(&s.m, suite, &v, NULL), TBS_OK);
    assert_true(tbs_bytes_equal(ticket_initiator_data_vi(ticket), v->v.mac));
    assert_int_equal(ticket_initiator_data_check(ticket, suite, tbs_buf_view(&mpkr), NULL), TBS_OK);
    assert_int_equal(ticket_initiator_data_check(ticket, suite, tbs_secret_view(&forked), NULL),
                     TBS_ERR_AUTH);
    assert_int_equal(ticket_initiator_data_put(&data, suite, v->v.mac, tbs_buf_view(&mpkr), NULL),
                     TBS_OK);
    assert_true(tbs_bytes_equal(tbs_buf_view(&data), ticket->ticket.initiator_data));
    assert_int_equal(data.len, ticket_initiator_data_len(suite));
    tbs_buf_free(&s.raw);
    json_decref(flow);
}

/* Chain of V payloads of these algorithms, with General Extensions between them; the last one's
 * MAC is right for mpkr. */
static void put_vs(struct tbs_buf *data, const uint8_t *algs, size_t n, struct tbs_bytes mpkr)
{
    const struct mikey_suite *suite = &mikey_suite_256;
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct mikey_context context = {.usage = MIKEY_USE_VR};
    struct mikey_inkey inkey = {.prf = suite->prf, .key = mpkr};
    struct mikey_writer w = mikey_write_chain(data);
    struct tbs_bytes covered;
    uint8_t mac[MIKEY_MAC_MAX];

    for (size_t i = 0; i < n; i++) {
        mikey_put_general_ext(&w, 0, tbs_bytes_str("unexpected"));
        covered.len = mikey_put_v(&w, algs[i]);
    }
    assert_int_equal(mikey_derive_auth(suite, &inkey, &context, &keys, NULL), TBS_OK);
    covered.data = data->data;
    assert_int_equal(mikey_mac(suite, &keys, &covered, 1, mac, NULL), TBS_OK);
    memcpy(data->data + covered.len, mac, data->len - covered.len);
}

/* RFC 6043 6.10: Vi and Vr of one algorithm, that of the suite; other payloads are ignored. */
static void initiator_data_holds_two_vs_of_one_algorithm(void **state)
{
    (void)state;
    enum { SHA_1 = MIKEY_MAC_HMAC_SHA_1_160, SHA_256 = MIKEY_MAC_HMAC_SHA_256_256 };
    static const struct {
        uint8_t n, algs[2];
        enum tbs_err wanted;
    } cases[] = {{2, {SHA_256, SHA_256}, TBS_OK},
                 {1, {SHA_256}, TBS_ERR_MALFORMED},
                 {2, {SHA_1, SHA_256}, TBS_ERR_MALFORMED},
                 {2, {SHA_256, SHA_1}, TBS_ERR_MALFORMED},
                 {2, {SHA_1, SHA_1}, TBS_ERR_AUTH},
                 {2, {MIKEY_MAC_NULL, MIKEY_MAC_NULL}, TBS_ERR_AUTH}};
    static const uint8_t mpkr[32] = {1};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TBS_BUF_AUTO struct tbs_buf data = tbs_buf();
        struct mikey_payload ticket = {.type = MIKEY_TICKET};

        put_vs(&data, cases[i].algs, cases[i].n, tbs_bytes(mpkr, sizeof mpkr));
        ticket.ticket.initiator_data = tbs_buf_view(&data);
        assert_int_equal(ticket_initiator_data_check(&ticket, &mikey_suite_256,
                                                     tbs_bytes(mpkr, sizeof mpkr), NULL),
                         cases[i].wanted);
    }
}

/* RFC 6043 5.1.3: the SRTP master key and salt of CS 1. */
static void traffic_keys_reproduce(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        json_t *flow = vector_load(flow_names[f]);
        const char *hex =
            json_string_value(json_array_get(json_object_get(flow, "forked_keys"), 0));
        TBS_BUF_AUTO struct tbs_buf tgk = hex_octets(hex);
        TBS_BUF_AUTO struct tbs_buf randri = vector_octets(flow, "randri");
        TBS_BUF_AUTO struct tbs_buf randrr = vector_octets(flow, "randrr");
        struct tbs_secret tek TBS_SECRET_AUTO = {0}, salt TBS_SECRET_AUTO = {0};
        struct mikey_inkey inkey = in_memory(&tgk);
        struct mikey_label label =
            mikey_label_traffic(MIKEY_CONST_TEK, 1, tbs_buf_view(&randri), tbs_buf_view(&randrr));

        assert_int_equal(mikey_derive(&inkey, &label, 32, &tek, NULL), TBS_OK);
        expect_octets(tbs_secret_view(&tek), flow, "srtp_master_key_cs1");
        label = mikey_label_traffic(MIKEY_CONST_TRAFFIC_SALT, 1, tbs_buf_view(&randri),
                                    tbs_buf_view(&randrr));
        assert_int_equal(mikey_derive(&inkey, &label, 14, &salt, NULL), TBS_OK);
        expect_octets(tbs_secret_view(&salt), flow, "srtp_master_salt_cs1");
        json_decref(flow);
    }
}

/* RFC 6043 6.10: each implication between flags has a policy that breaks it alone. */
static void flag_implications_are_enforced(void **state)
{
    (void)state;
    const uint16_t good = TICKET_D | TICKET_E | TICKET_F | TICKET_G | TICKET_H | TICKET_I;
    const struct {
        uint16_t flags;
        bool has_tgk;
        const char *rule;
    } broken[] = {
        {good & ~TICKET_D, false, "NOT D implies L"},
        {(good & ~TICKET_F), false, "G implies F"},
        {good & ~(TICKET_G | TICKET_H), false, "NOT G implies H"},
        {good & ~TICKET_E, false, "I implies E"},
        {(good & ~TICKET_D) | TICKET_L | TICKET_K, false, "K implies D"},
        {(good & ~(TICKET_F | TICKET_G)) | TICKET_M, false, "M implies F"},
        {good & ~(TICKET_F | TICKET_G), true, "I with a TGK implies F"},
    };
    struct ticket_policy policy = {.flags = good};
    struct tbs_diag diag;

    assert_int_equal(ticket_policy_check(&policy, true, &diag), TBS_OK);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        policy.flags = broken[i].flags;
        assert_int_equal(ticket_policy_check(&policy, broken[i].has_tgk, &diag), TBS_ERR_INVALID);
        assert_non_null(strstr(diag.text, broken[i].rule));
    }
}

static void validity_periods_are_checked(void **state)
{
    (void)state;
    uint64_t now = tbs_ntp_from_unix(1800000000);
    struct ticket_policy policy = {.flags = TICKET_D | TICKET_H};

    assert_true(ticket_policy_valid_at(&policy, now)); /* no bounds */
    policy.has_start = policy.has_end = true;
    policy.start = now;
    policy.end = now + (60ull << 32);
    assert_true(ticket_policy_valid_at(&policy, now));
    assert_false(ticket_policy_valid_at(&policy, now - (1ull << 32)));
    assert_true(ticket_policy_valid_at(&policy, policy.end));
    assert_false(ticket_policy_valid_at(&policy, policy.end + (1ull << 32)));
    policy.end = policy.start;
    assert_int_equal(ticket_policy_check(&policy, false, NULL), TBS_ERR_INVALID);
}

/* RFC 6043 6.10, RFC 4330 3: TRs and TRe lie in 1968 to 2104, and so do periods across 2036. */
static void validity_periods_reach_across_2036(void **state)
{
    (void)state;
    uint64_t last = tbs_ntp_from_unix(2085978495); /* the last second of NTP's first era */
    struct ticket_policy policy = {
        .flags = TICKET_D | TICKET_H, .has_start = true, .has_end = true, .start = last};

    policy.end = tbs_ntp_from_unix(2085978495 + 60);
    assert_true(policy.end < policy.start);
    assert_int_equal(ticket_policy_check(&policy, false, NULL), TBS_OK);
    assert_true(ticket_policy_valid_at(&policy, last));
    assert_true(ticket_policy_valid_at(&policy, policy.end));
    assert_false(ticket_policy_valid_at(&policy, tbs_ntp_from_unix(2085978495 - 1)));
    assert_false(ticket_policy_valid_at(&policy, tbs_ntp_from_unix(2085978495 + 61)));
}

/* RFC 6043 6.10: a policy without responder, TRr of another type, an encrypted KEMAC. */
static void impossible_policies_are_refused(void **state)
{
    (void)state;
    const struct ticket_id bob = {.type = MIKEY_ID_URI, .data = tbs_bytes_str("sip:bob@x")};

    for (int i = 0; i < 4; i++) {
        TBS_BUF_AUTO struct tbs_buf data = tbs_buf();
        struct mikey_writer w = mikey_write_chain(&data);
        struct mikey_payload tp = {.type = MIKEY_TP};
        struct ticket_policy policy;

        if (i == 1)
            mikey_put_tr(&w, MIKEY_TRR, MIKEY_TS_NTP_UTC, 60ull << 32);
        if (i == 2)
            mikey_put_kemac(&w, MIKEY_ENCR_AES_CM_256, tbs_bytes_str("x"));
        for (int n = 0; i == 3 && n <= TICKET_RESPONDERS_MAX; n++)
            mikey_put_idr(&w, MIKEY_IDRR, bob.type, bob.data);
        if (i != 0)
            mikey_put_idr(&w, MIKEY_IDRR, bob.type, bob.data);
        tp.ticket.tp_data = tbs_buf_view(&data);
        assert_int_equal(ticket_policy_decode(&tp, &policy, NULL),
                         i == 3 ? TBS_ERR_LIMIT : TBS_ERR_INVALID);
    }
}

/* An empty identity would be left out of what is granted: a ticket for nobody. */
static void an_empty_identity_is_refused(void **state)
{
    (void)state;
    const uint8_t roles[] = {MIKEY_IDRR, MIKEY_IDRAPP};

    for (size_t i = 0; i < sizeof roles; i++) {
        TBS_BUF_AUTO struct tbs_buf data = tbs_buf();
        struct mikey_writer w = mikey_write_chain(&data);
        struct mikey_payload tp = {.type = MIKEY_TP};
        struct ticket_policy policy;

        mikey_put_idr(&w, roles[i], MIKEY_ID_URI, tbs_bytes(NULL, 0));
        mikey_put_idr(&w, MIKEY_IDRR, MIKEY_ID_URI, tbs_bytes_str("sip:bob@x"));
        tp.ticket.tp_data = tbs_buf_view(&data);
        assert_int_equal(ticket_policy_decode(&tp, &policy, NULL), TBS_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_reproduce),
        cmocka_unit_test(tickets_reproduce),
        cmocka_unit_test(a_changed_ticket_does_not_open),
        cmocka_unit_test(forking_and_initiator_data_reproduce),
        cmocka_unit_test(initiator_data_holds_two_vs_of_one_algorithm),
        cmocka_unit_test(traffic_keys_reproduce),
        cmocka_unit_test(flag_implications_are_enforced),
        cmocka_unit_test(validity_periods_are_checked),
        cmocka_unit_test(validity_periods_reach_across_2036),
        cmocka_unit_test(impossible_policies_are_refused),
        cmocka_unit_test(an_empty_identity_is_refused),
    };

    return cmocka_run_group_tests_name("ticket", tests, NULL, NULL);
}
