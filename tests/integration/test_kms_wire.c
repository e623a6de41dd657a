/* The KMS in process: what it reads over in a message, and what its own look like. Who may, and
 * what is granted, is in the other test_kms_*.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "kms_world.h"

#define ANSWER REQUESTER_ANSWER_AUTO struct requester_answer

enum { HDR_NEXT = 2, HDR_V_PRF = 3, HDR_LEN = 10 };

static struct requester of(const char *name)
{
    return world_requester(&mikey_suite_256, name);
}

static void is_served(const struct requester *r, struct tbs_buf message)
{
    ANSWER answer = world_grants(r, tbs_buf_view(&message));

    tbs_buf_free(&message);
}

static void authenticate(const struct requester *r, struct tbs_buf *message)
{
    assert_int_equal(requester_authenticate(r, message, NULL), TBS_OK);
}

/* A REQUEST_INIT by alice, or a RESOLVE_INIT by bob; *ret_r is who. */
static struct tbs_buf init_message(bool is_request, struct requester *ret_r)
{
    struct requester alice = of("alice");

    *ret_r = alice;
    if (is_request)
        return world_request(ret_r, NULL);
    ANSWER ticket = world_ticket(&alice, NULL);

    *ret_r = of("bob");
    return world_resolve(ret_r, &ticket);
}

/* --- What is read over --- */

/* RFC 6043 4.2.1.1 and 4.2.3.1 want V = 1, 6.1 wants 0: the KMS SHALL ignore it. */
static void the_v_flag_is_ignored(void **state)
{
    (void)state;
    for (int is_request = 0; is_request < 2; is_request++) {
        struct requester r;
        struct tbs_buf message = init_message(is_request, &r);

        assert_true(message.data[HDR_V_PRF] & 0x80);
        message.data[HDR_V_PRF] &= 0x7F;
        authenticate(&r, &message);
        is_served(&r, message);
    }
}

/* Puts the payloads that w wrote right behind the HDR, and a right MAC. */
static void insert(const struct requester *r, struct tbs_buf *message, const struct mikey_writer *w)
{
    struct tbs_buf longer = tbs_buf();
    struct tbs_bytes all = tbs_buf_view(message), more = tbs_buf_view(w->buf);

    tbs_buf_patch_u8(w->buf, w->next_at, all.data[HDR_NEXT]);
    tbs_put_bytes(&longer, tbs_bytes_slice(all, 0, HDR_LEN));
    tbs_buf_patch_u8(&longer, HDR_NEXT, more.data[0]);
    tbs_put_bytes(&longer, tbs_bytes_slice(more, 1, more.len - 1));
    tbs_put_bytes(&longer, tbs_bytes_slice(all, HDR_LEN, all.len - HDR_LEN));
    tbs_buf_free(message);
    *message = longer;
    authenticate(r, message);
}

/* What neither a message nor TP Data is expected to hold. */
static void put_unexpected(struct mikey_writer *w)
{
    static const uint8_t hash[32];

    mikey_put_general_ext(w, 0, tbs_bytes_str("vendor"));
    mikey_put_chash(w, 2, tbs_bytes(hash, sizeof hash));
    mikey_put_rand(w, tbs_bytes_str("rand"));
    mikey_put_randr(w, MIKEY_RANDRKMS, tbs_bytes_str("rand"));
    mikey_put_sp(w, 0, MIKEY_PROT_SRTP, tbs_bytes(NULL, 0));
    mikey_put_tr(w, MIKEY_TRI, MIKEY_TS_COUNTER, 1);
    mikey_put_idr(w, 200, 200, tbs_bytes_str("sip:mallory@example.net"));
}

/* RFC 6043 4.2.1.4 and 4.2.3.4; 6.6: who somebody is, IDR says and never ID. */
static void unexpected_payloads_are_ignored(void **state)
{
    (void)state;
    static const char mallory[] = "sip:mallory@example.net";

    for (int is_request = 0; is_request < 2; is_request++) {
        struct requester r;
        struct tbs_buf message = init_message(is_request, &r), more TBS_BUF_AUTO = tbs_buf();
        struct mikey_writer w = mikey_write_chain(&more);

        put_unexpected(&w);
        insert(&r, &message, &w);
        tbs_buf_reset(&more);
        w = mikey_write_chain(&more);
        /* CERT and ID differ in their type alone. */
        mikey_put_cert(&w, MIKEY_ID_URI, tbs_bytes_str(mallory));
        more.data[0] = MIKEY_ID;
        insert(&r, &message, &w);
        is_served(&r, message);
    }
}

/* RFC 6043 6.10: they are not granted either. */
static void unexpected_payloads_in_tp_data_are_dropped(void **state)
{
    (void)state;
    static const uint8_t roles[] = {MIKEY_IDRKMS, MIKEY_IDRI, 0, MIKEY_IDRR};
    struct requester r = of("alice");
    struct ticket_policy wish = requester_wish(&r, "sip:bob@example.net");
    struct tbs_buf data TBS_BUF_AUTO = tbs_buf(), tp TBS_BUF_AUTO = tbs_buf();
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();
    struct mikey_writer w = mikey_write_chain(&data);
    struct mikey_payloads list;

    put_unexpected(&w);
    mikey_put_idr(&w, MIKEY_IDRR, MIKEY_ID_URI, wish.responders[0].data);
    mikey_put_ticket_policy(&tp, wish.type, wish.subtype, wish.version, wish.prf, wish.flags,
                            tbs_buf_view(&data));
    assert_int_equal(requester_request_raw(&r, tbs_buf_view(&tp), &message, NULL), TBS_OK);
    ANSWER answer = world_grants(&r, tbs_buf_view(&message));

    assert_int_equal(mikey_decode_chain(answer.ticket.ticket.tp_data, 0, &list, NULL), TBS_OK);
    assert_int_equal(list.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(list.p[i].type, roles[i] ? MIKEY_IDR : MIKEY_TR);
        assert_int_equal(roles[i] ? list.p[i].id.role : 0, roles[i]);
    }
    assert_int_equal(list.p[2].t.role, MIKEY_TRE);
}

/* --- What is not --- */

/* RFC 6043 4.2.1.2 and 4.2.3.2: the last payload SHALL be V. */
static void nothing_follows_v(void **state)
{
    (void)state;
    for (int is_request = 0; is_request < 2; is_request++) {
        struct requester r;
        struct tbs_buf message = init_message(is_request, &r);

        tbs_buf_patch_u8(&message, message.len - mikey_suite_256.mac_len - 2, MIKEY_GENERAL_EXT);
        tbs_put_u32(&message, 0); /* Next payload, type, length */
        world_refuses(&r, message, KMS_MALFORMED, MIKEY_E_UNSPECIFIED, false);
    }
}

static struct tbs_buf with_id_type(bool is_request, uint8_t role, uint8_t id_type,
                                   struct requester *ret_r)
{
    struct tbs_buf message = init_message(is_request, ret_r);
    struct mikey_message m;

    assert_int_equal(mikey_decode(tbs_buf_view(&message), &m, NULL), TBS_OK);
    message.data[mikey_find(&m.payloads, MIKEY_IDR, role)->offset + 2] = id_type;
    authenticate(ret_r, &message);
    return message;
}

/* RFC 3830 6.7, RFC 6043 6.5. */
static void an_id_type_is_one_that_its_role_can_have(void **state)
{
    (void)state;
    static const struct {
        uint8_t role, first_refused;
    } cases[] = {{0, MIKEY_ID_BYTE_STRING},
                 {MIKEY_IDRKMS, MIKEY_ID_BYTE_STRING},
                 {MIKEY_IDRPSK, MIKEY_ID_BYTE_STRING + 1}};

    for (int is_request = 0; is_request < 2; is_request++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            uint8_t type = cases[i].first_refused;
            uint8_t own = is_request ? MIKEY_IDRI : MIKEY_IDRR;
            uint8_t role = cases[i].role ? cases[i].role : own;
            struct requester r;
            struct tbs_buf message = with_id_type(is_request, role, type, &r);

            world_refuses(&r, message, KMS_UNSUPPORTED, MIKEY_E_INVALID_ID, false);
            message = with_id_type(is_request, role, (uint8_t)(type - 1), &r);
            is_served(&r, message);
            message = with_id_type(is_request, role, MIKEY_ID_NAI, &r);
            is_served(&r, message);
        }
}

/* A wish that fits a message, but whose ticket would not fit its answer, is the sender's
 * matter: it would fail again however often it is tried. The token is not asked. */
static void the_longest_policy_with_the_longest_keys_fits_an_answer(void **state)
{
    (void)state;
    enum { LONGEST = 32768, SPI = 255, BEFORE_TP_DATA = 9 };
    static uint8_t name[LONGEST], spis[TICKET_SESSION_KEYS_MAX][SPI];
    struct requester r = of("alice");
    struct ticket_policy wish = requester_wish(&r, "sip:bob@example.net");
    struct tbs_buf tp TBS_BUF_AUTO = tbs_buf();

    wish.flags |= TICKET_I;
    wish.n_keys = TICKET_SESSION_KEYS_MAX;
    for (size_t i = 0; i < wish.n_keys; i++) {
        spis[i][0] = (uint8_t)(i + 1);
        wish.keys[i] = (struct mikey_key){.type = MIKEY_TEK_SALT,
                                          .kv = MIKEY_KV_SPI,
                                          .key = tbs_bytes(name, 32),
                                          .salt = tbs_bytes(name, 32),
                                          .spi = tbs_bytes(spis[i], SPI)};
    }
    wish.n_apps = 1;
    wish.apps[0].data = tbs_bytes(name, 1);
    ticket_policy_put(&tp, &wish);
    wish.apps[0].data.len += LONGEST - (tp.len - BEFORE_TP_DATA);
    ANSWER longest = world_ticket(&r, &wish);

    assert_int_equal(longest.keys.n, MIKEY_KEYS_MAX);
    wish.apps[0].data.len++;
    r = of("alice");
    uint64_t calls = custody_token_calls(world.session);

    world_refuses(&r, world_request(&r, &wish), KMS_POLICY, MIKEY_E_INVALID_TPPAR, true);
    assert_int_equal(custody_token_calls(world.session) - calls, 1);
}

/* --- What the KMS writes --- */

static void is_later(uint64_t *last, const struct mikey_payloads *list)
{
    const struct mikey_payload *t = mikey_find(list, MIKEY_T, 0);

    assert_non_null(t);
    assert_int_equal(t->t.ts_type, MIKEY_TS_NTP_UTC);
    assert_true((int64_t)(mikey_ts64(t) - *last) > 0);
    *last = mikey_ts64(t);
}

static void ticket_data_of(const struct requester_answer *answer, struct mikey_payloads *ret_list)
{
    assert_int_equal(mikey_decode_ticket_data(answer->ticket.ticket.ticket_data, 0, ret_list, NULL),
                     TBS_OK);
}

static void error_is_later(uint64_t *last)
{
    struct requester r = of("nobody");
    struct tbs_buf message TBS_BUF_AUTO = world_request(&r, NULL);
    struct kms_response response = world_send(tbs_buf_view(&message));
    struct mikey_message error;

    assert_int_equal(mikey_decode(tbs_buf_view(&response.body), &error, NULL), TBS_OK);
    is_later(last, &error.payloads);
    tbs_buf_free(&response.body);
}

/* RFC 6043 4.2.1.5, 4.2.3.5, 5.4: a fresh T in every message; RFC 3830 4.2.3, RFC 6043 A.1: it is
 * in the IV, so none comes twice, not even where the clock stands still or goes back. */
static void every_t_is_fresh(void **state)
{
    (void)state;
    uint64_t last = world.now - 1;

    for (int i = 0; i < 3; i++) {
        struct requester alice = of("alice"), bob = of("bob");
        ANSWER ticket = world_ticket(&alice, NULL);
        struct tbs_buf resolve TBS_BUF_AUTO = world_resolve(&bob, &ticket);
        struct mikey_payloads data;

        ticket_data_of(&ticket, &data);
        is_later(&last, &data);
        is_later(&last, &ticket.m.payloads);
        ANSWER keys = world_grants(&bob, tbs_buf_view(&resolve));

        is_later(&last, &keys.m.payloads);
        error_is_later(&last);
        if (i == 1)
            world.now -= world_seconds(10);
    }
}

static void is_base_ticket(const struct mikey_suite *suite, const char *tpk_id)
{
    static const uint16_t order[] = {MIKEY_THDR,  MIKEY_T,   MIKEY_RAND,
                                     MIKEY_KEMAC, MIKEY_IDR, MIKEY_V};
    struct requester alice = world_requester(suite, "alice");
    ANSWER ticket = world_ticket(&alice, NULL);
    struct mikey_payloads list;
    enum { RAND = 2, KEMAC, IDRPSK, V, N };

    ticket_data_of(&ticket, &list);
    assert_int_equal(list.n, N);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(list.p[i].type, order[i]);
    assert_int_equal(list.p[RAND].rand.data.len, 32); /* as long as TPK and MPK, 12.1 */
    assert_int_equal(list.p[KEMAC].kemac.encr, suite->encr);
    assert_int_equal(list.p[KEMAC].kemac.mac_alg, MIKEY_MAC_NULL);
    assert_int_equal(list.p[IDRPSK].id.role, MIKEY_IDRPSK);
    assert_int_equal(list.p[IDRPSK].id.id_type, MIKEY_ID_BYTE_STRING);
    assert_true(tbs_bytes_equal(list.p[IDRPSK].id.data, tbs_bytes_str(tpk_id)));
    assert_int_equal(list.p[V].v.alg, suite->mac);
    assert_int_equal(ticket.ticket.ticket.initiator_data.len, 0);
}

/* RFC 6043 A.1. */
static void ticket_data_is_that_of_the_base_ticket(void **state)
{
    (void)state;
    is_base_ticket(&mikey_suite_256, "tpk-2026-01");
    is_base_ticket(&mikey_suite_128, "tpk-sha1-2026-01");
}

/* RFC 6043 6.2.1, and 4.2.1.5 and 4.2.3.5 for the MPKs at the front. */
static void every_key_has_an_spi(void **state)
{
    (void)state;
    struct requester alice = of("alice"), bob = of("bob");
    struct ticket_policy wish = requester_wish(&alice, "sip:bob@example.net");

    wish.flags |= TICKET_I;
    ANSWER ticket = world_ticket(&alice, &wish);
    struct tbs_buf resolve TBS_BUF_AUTO = world_resolve(&bob, &ticket);
    ANSWER keys = world_grants(&bob, tbs_buf_view(&resolve));
    const struct mikey_key_set *sets[] = {&ticket.keys, &keys.keys};

    for (size_t s = 0; s < 2; s++) {
        assert_int_equal(sets[s]->n, 3);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(sets[s]->key[i].type, i < 2 ? MIKEY_MPK : MIKEY_TGK);
            assert_int_equal(sets[s]->key[i].kv, MIKEY_KV_SPI);
            assert_int_equal(sets[s]->key[i].spi.len, 4);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_v_flag_is_ignored),
        TEST(unexpected_payloads_are_ignored),
        TEST(unexpected_payloads_in_tp_data_are_dropped),
        TEST(nothing_follows_v),
        TEST(an_id_type_is_one_that_its_role_can_have),
        TEST(the_longest_policy_with_the_longest_keys_fits_an_answer),
        TEST(every_t_is_fresh),
        TEST(ticket_data_is_that_of_the_base_ticket),
        TEST(every_key_has_an_spi),
    };
    alarm(100);
    return cmocka_run_group_tests_name("kms-wire", tests, world_group_setup, world_group_teardown);
}
