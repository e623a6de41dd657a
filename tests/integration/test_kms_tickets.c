/* The KMS in process: what a Ticket Request is granted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "kms_world.h"

#define ANSWER REQUESTER_ANSWER_AUTO struct requester_answer

static const uint8_t zeros[64];

static struct requester alice(void)
{
    return world_requester(&mikey_suite_256, "alice");
}

static struct ticket_policy wish_of(const struct requester *r)
{
    return requester_wish(r, "sip:bob@example.net");
}

/* A wish that is granted without K unless something else is changed. */
static struct ticket_policy wish_with_end(void)
{
    struct requester r = alice();
    struct ticket_policy wish = wish_of(&r);

    wish.has_end = true;
    wish.end = world.now + world_seconds(60);
    return wish;
}

/* What this wish gives to alice. */
static struct requester_answer granted(const struct ticket_policy *wish)
{
    struct requester r = alice();

    return world_ticket(&r, wish);
}

#define is_refused(wish, outcome, error_no) is_refused_at(wish, outcome, error_no, __LINE__)
static void is_refused_at(const struct ticket_policy *wish, enum kms_outcome outcome, int error_no,
                          int line)
{
    struct requester r = alice();

    world_refuses_at(&r, world_request(&r, wish), outcome, error_no, true, __FILE__, line);
}

static bool has_k(const struct requester_answer *answer)
{
    return answer->granted.flags & TICKET_K;
}

/* RFC 6043 8, 6.10: no session keys where an end supplies them, and may. */
static void a_ticket_may_hold_no_session_keys(void **state)
{
    (void)state;
    static const uint16_t flags[] = {TICKET_L, TICKET_M, TICKET_L | TICKET_M | TICKET_I};

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct ticket_policy wish = wish_with_end();

        wish.no_keys = true;
        wish.flags |= flags[i];
        ANSWER a = granted(&wish);
        assert_int_equal(a.keys.n, wish.flags & TICKET_I ? 2 : 1);
        assert_int_equal(a.granted.flags & (TICKET_L | TICKET_M), flags[i] & ~TICKET_I);
        assert_false(a.granted.no_keys);
        assert_false(has_k(&a));
    }
    struct ticket_policy wish = wish_with_end();

    wish.no_keys = true;
    is_refused(&wish, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
}

/* --- The ticket's type, flags and times --- */

/* RFC 6043 4.2.1.4, 6.10. */
static void other_ticket_types_are_refused(void **state)
{
    (void)state;
    struct requester r = alice();
    struct ticket_policy wish = wish_of(&r);

    wish.type = TICKET_TYPE_3GPP_BASE;
    is_refused(&wish, KMS_UNSUPPORTED, MIKEY_E_INVALID_TICKET);
    wish = wish_of(&r);
    wish.subtype = 2;
    is_refused(&wish, KMS_UNSUPPORTED, MIKEY_E_INVALID_TICKET);
    wish = wish_of(&r);
    wish.version = 2;
    is_refused(&wish, KMS_UNSUPPORTED, MIKEY_E_INVALID_TICKET);
    wish = wish_of(&r);
    wish.prf = 2;
    is_refused(&wish, KMS_UNSUPPORTED, MIKEY_E_INVALID_PRF);
}

/* RFC 6043 12.1: keys are not protected by shorter ones. */
static void a_ticket_is_not_of_a_longer_suite_than_its_message(void **state)
{
    (void)state;
    struct requester r = world_requester(&mikey_suite_128, "alice");
    struct ticket_policy wish = wish_of(&r);

    wish.prf = MIKEY_PRF_HMAC_SHA_256;
    world_refuses(&r, world_request(&r, &wish), KMS_UNSUPPORTED, MIKEY_E_INVALID_PRF, true);
    wish.prf = MIKEY_PRF_MIKEY_1;
    ANSWER shorter = granted(&wish);

    assert_int_equal(shorter.ticket.ticket.prf, MIKEY_PRF_MIKEY_1);
    assert_int_equal(shorter.keys.key[0].key.len, 16);
    assert_int_equal(shorter.keys.key[1].key.len, 16);
}

/* RFC 6043 6.10. */
static void flags_that_contradict_are_refused(void **state)
{
    (void)state;
    static const uint16_t broken[] = {
        0,                                         /* NOT D, NOT L */
        TICKET_D | TICKET_E | TICKET_G | TICKET_H, /* G, NOT F */
        TICKET_D | TICKET_E,                       /* NOT G, NOT H */
        TICKET_D | TICKET_F | TICKET_H | TICKET_I, /* I, NOT E */
        TICKET_D | TICKET_E | TICKET_H | TICKET_M, /* M, NOT F */
        TICKET_D | TICKET_E | TICKET_H | TICKET_I, /* I, and a TGK without a wish; NOT F */
        TICKET_D | TICKET_E | TICKET_H | TICKET_I | TICKET_K /* the same */
    };
    struct requester r = alice();
    struct ticket_policy wish = wish_of(&r);

    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        wish.flags = broken[i];
        is_refused(&wish, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    }
    wish.has_end = true;
    wish.end = world.now + world_seconds(60);
    /* The KMS made it, and none but a KMS opens it; K says that this was not asked for. */
    wish.flags = TICKET_L | TICKET_H;
    ANSWER forced = granted(&wish);

    assert_int_equal(forced.granted.flags, TICKET_D | TICKET_E | TICKET_L | TICKET_H | TICKET_K);
    wish.flags |= TICKET_K; /* a wished K means nothing, not even that D is missing */
    ANSWER same = granted(&wish);

    assert_int_equal(same.granted.flags, forced.granted.flags);
    wish.flags = TICKET_D | TICKET_E | TICKET_H | TICKET_K;
    ANSWER as_wished = granted(&wish);

    assert_false(has_k(&as_wished));
}

/* RFC 6043 6.10: IDRkms is a KMS that can resolve the ticket: this one. */
static void the_kms_in_the_policy_is_this_one(void **state)
{
    (void)state;
    struct ticket_policy wish = wish_with_end();
    struct tbs_bytes own = tbs_bytes_str(WORLD_KMS);

    wish.kms.type = MIKEY_ID_URI;
    wish.kms.data = own;
    ANSWER kept = granted(&wish);

    assert_false(has_k(&kept));
    assert_true(tbs_bytes_equal(kept.granted.kms.data, own));
    wish.kms.data = tbs_bytes_str("sip:other@example.net");
    ANSWER replaced = granted(&wish);

    assert_true(has_k(&replaced));
    assert_true(tbs_bytes_equal(replaced.granted.kms.data, own));
    wish.kms.data = tbs_bytes(NULL, 0);
    ANSWER filled_in = granted(&wish);

    assert_false(has_k(&filled_in));
    assert_true(tbs_bytes_equal(filled_in.granted.kms.data, own));
}

/* RFC 6043 4.2.1.4: a day at most, K when that is not what was asked for. */
static void validity_is_narrowed_to_a_day(void **state)
{
    (void)state;
    struct requester r = alice();
    struct ticket_policy wish = wish_of(&r);
    ANSWER endless = granted(&wish);

    assert_true(has_k(&endless));
    assert_true(endless.granted.has_end);
    assert_int_equal(endless.granted.end, world.now + world_seconds(WORLD_DAY));

    wish.has_end = true;
    wish.end = world.now + world_seconds(WORLD_DAY);
    ANSWER exact = granted(&wish);

    assert_false(has_k(&exact));
    assert_int_equal(exact.granted.end, wish.end);

    wish.end += world_seconds(1);
    ANSWER longer = granted(&wish);

    assert_true(has_k(&longer));
    assert_int_equal(longer.granted.end, world.now + world_seconds(WORLD_DAY));

    wish.has_start = true;
    wish.start = world.now + world_seconds(3600);
    wish.end = world.now + world_seconds(WORLD_DAY);
    ANSWER later = granted(&wish);

    assert_false(has_k(&later));
    assert_int_equal(later.granted.start, wish.start);
    assert_int_equal(later.granted.end, wish.end);
}

/* Who is disabled tomorrow must not have the tickets of next week already. */
static void a_later_start_does_not_make_validity_end_later(void **state)
{
    (void)state;
    struct requester r = alice();
    struct ticket_policy wish = wish_of(&r);

    wish.has_start = true;
    wish.start = world.now + world_seconds(WORLD_DAY - 1);
    ANSWER endless = granted(&wish);

    assert_true(has_k(&endless));
    assert_int_equal(endless.granted.start, wish.start);
    assert_int_equal(endless.granted.end, world.now + world_seconds(WORLD_DAY));
    wish.has_end = true;
    wish.end = wish.start + world_seconds(WORLD_DAY);
    ANSWER cut = granted(&wish);

    assert_true(has_k(&cut));
    assert_int_equal(cut.granted.end, world.now + world_seconds(WORLD_DAY));
    wish.start = world.now + world_seconds(WORLD_DAY);
    is_refused(&wish, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    wish.start = world.now + world_seconds(365 * WORLD_DAY);
    wish.end = wish.start + world_seconds(60);
    is_refused(&wish, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
}

static void validity_that_is_over_is_refused(void **state)
{
    (void)state;
    struct requester r = alice();
    struct ticket_policy wish = wish_of(&r);

    wish.has_end = true;
    wish.end = world.now;
    is_refused(&wish, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    wish.has_start = true;
    wish.start = wish.end = world.now + world_seconds(60);
    is_refused(&wish, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
}

/* Ticket Policy with TP Data of the test's own: sent by alice. */
static void tp_data_is_refused(const struct tbs_buf *data, enum kms_outcome outcome, int error_no)
{
    struct requester r = alice();
    struct ticket_policy w = wish_of(&r);
    struct tbs_buf tp TBS_BUF_AUTO = tbs_buf(), message = tbs_buf();

    mikey_put_ticket_policy(&tp, w.type, w.subtype, w.version, w.prf, w.flags, tbs_buf_view(data));
    assert_int_equal(requester_request_raw(&r, tbs_buf_view(&tp), &message, NULL), TBS_OK);
    world_refuses(&r, message, outcome, error_no, true);
}

/* RFC 6043 6.10: what TP Data holds. */
static void tp_data_that_breaks_its_rules_is_refused(void **state)
{
    (void)state;
    struct tbs_bytes bob = tbs_bytes_str("sip:bob@example.net");
    struct tbs_buf data TBS_BUF_AUTO = tbs_buf();
    struct mikey_writer w;

    tp_data_is_refused(&data, KMS_POLICY, MIKEY_E_INVALID_TPPAR); /* no IDRr */
    tbs_put_u8(&data, MIKEY_IDR);
    tp_data_is_refused(&data, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
    for (uint8_t role = MIKEY_TRS; role <= MIKEY_TRR; role++) { /* counters */
        tbs_buf_reset(&data);
        w = mikey_write_chain(&data);
        mikey_put_tr(&w, role, MIKEY_TS_COUNTER, 1);
        mikey_put_idr(&w, MIKEY_IDRR, MIKEY_ID_URI, bob);
        tp_data_is_refused(&data, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    }
    tbs_buf_reset(&data);
    w = mikey_write_chain(&data);
    mikey_put_kemac(&w, MIKEY_ENCR_AES_CM_256, bob); /* an encrypted wish */
    mikey_put_idr(&w, MIKEY_IDRR, MIKEY_ID_URI, bob);
    tp_data_is_refused(&data, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    tbs_buf_reset(&data);
    w = mikey_write_chain(&data);
    mikey_put_kemac(&w, MIKEY_ENCR_NULL, bob); /* not Key data */
    mikey_put_idr(&w, MIKEY_IDRR, MIKEY_ID_URI, bob);
    tp_data_is_refused(&data, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
    tbs_buf_reset(&data);
    w = mikey_write_chain(&data);
    for (size_t i = 0; i <= TICKET_RESPONDERS_MAX; i++)
        mikey_put_idr(&w, MIKEY_IDRR, MIKEY_ID_URI, bob);
    tp_data_is_refused(&data, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
}

/* RFC 6043 4.2.1.4: nobody gets a ticket in somebody else's name. */
static void the_initiator_in_the_policy_is_the_requester(void **state)
{
    (void)state;
    static const char *const others[] = {"sip:bob@example.net", "sip:nobody@example.net", "?"};
    struct requester r = alice();
    struct ticket_policy wish = wish_of(&r);

    wish.initiator.type = MIKEY_ID_URI;
    for (size_t i = 0; i < 3; i++) {
        wish.initiator.data = tbs_bytes_str(others[i]);
        is_refused(&wish, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    }
    wish.initiator.data = tbs_bytes_str("tel:+4930123456");
    is_refused(&wish, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    assert_int_equal(store_identity_add(world.store, tbs_bytes_str("sip:alice@example.net"),
                                        wish.initiator.data, NULL),
                     TBS_OK);
    ANSWER own = granted(&wish);

    assert_true(tbs_bytes_equal(own.granted.initiator.data, wish.initiator.data));
    wish.initiator.data = tbs_bytes(NULL, 0);
    ANSWER filled_in = granted(&wish);

    assert_true(
        tbs_bytes_equal(filled_in.granted.initiator.data, tbs_bytes_str("sip:alice@example.net")));
}

/* --- Keys --- */

static void wish_key(struct ticket_policy *wish, uint8_t type, size_t len)
{
    wish->keys[wish->n_keys++] = (struct mikey_key){.type = type, .key = tbs_bytes(zeros, len)};
}

/* RFC 6043 4.2.1.5: a TGK without a wish. */
static void keys_are_fresh_and_never_the_wished_octets(void **state)
{
    (void)state;
    struct ticket_policy wish = wish_with_end();
    ANSWER one = granted(&wish);

    assert_int_equal(one.keys.n, 2);
    assert_int_equal(one.keys.key[0].type, MIKEY_MPK);
    assert_int_equal(one.keys.key[1].type, MIKEY_TGK);
    assert_int_equal(one.keys.key[1].key.len, 32);
    assert_false(has_k(&one));
    assert_int_equal(one.granted.n_keys, 0); /* RFC 6043 6.10: no KEMAC in what is granted */

    wish_key(&wish, MIKEY_TEK, 16);
    wish_key(&wish, MIKEY_TEK, 16);
    wish_key(&wish, MIKEY_GTGK_SALT, 24);
    wish.keys[2].salt = tbs_bytes(zeros, 14);
    ANSWER three = granted(&wish), again = granted(&wish);

    assert_int_equal(three.keys.n, 4);
    assert_false(has_k(&three));
    assert_int_equal(three.keys.key[3].key.len, 24);
    assert_int_equal(three.keys.key[3].salt.len, 14);
    for (size_t i = 0; i < 4; i++) {
        assert_memory_not_equal(three.keys.key[i].key.data, zeros, three.keys.key[i].key.len);
        assert_memory_not_equal(three.keys.key[i].key.data, again.keys.key[i].key.data,
                                three.keys.key[i].key.len);
    }
    assert_memory_not_equal(three.keys.key[1].key.data, three.keys.key[2].key.data, 16);
    assert_memory_not_equal(three.keys.key[3].salt.data, zeros, 14);
}

/* RFC 6043 12.1 and 6.10. */
static void keys_that_do_not_fit_the_suite_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        size_t len, salt;
    } cases[] = {{MIKEY_TEK, 33, 0},
                 {MIKEY_TEK, 15, 0},
                 {MIKEY_TGK, 64, 0},
                 {MIKEY_MPK, 32, 0},
                 {MIKEY_TEK_SALT, 16, 33}};
    struct requester r = world_requester(&mikey_suite_128, "alice");
    struct ticket_policy wish;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wish = wish_with_end();
        wish_key(&wish, cases[i].type, cases[i].len);
        wish.keys[0].salt = tbs_bytes(zeros, cases[i].salt);
        is_refused(&wish, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    }
    wish = wish_of(&r);
    wish_key(&wish, MIKEY_TEK, 17);
    world_refuses(&r, world_request(&r, &wish), KMS_POLICY, MIKEY_E_INVALID_TPPAR, true);
    /* No length at all is the KMS's choice. */
    wish = wish_with_end();
    wish_key(&wish, MIKEY_TEK, 0);
    ANSWER chosen = granted(&wish);

    assert_int_equal(chosen.keys.key[1].key.len, 32);
    assert_true(has_k(&chosen));
}

/* The answer has room for 32 keys, two of which are MPKi and MPKr. */
static void thirty_keys_are_granted_and_not_one_more(void **state)
{
    (void)state;
    struct ticket_policy wish = wish_with_end();

    wish.flags |= TICKET_I;
    while (wish.n_keys < TICKET_SESSION_KEYS_MAX)
        wish_key(&wish, MIKEY_TEK, 32);
    ANSWER thirty = granted(&wish);

    assert_int_equal(thirty.keys.n, 32);
    for (size_t i = 2; i < 32; i++) /* RFC 6043 6.2: SPIs tell them apart */
        for (size_t j = 2; j < i; j++)
            assert_false(tbs_bytes_equal(thirty.keys.key[i].spi, thirty.keys.key[j].spi));
    for (size_t n = 31; n <= 33; n++) {
        struct tbs_buf data TBS_BUF_AUTO = tbs_buf(), keys TBS_BUF_AUTO = tbs_buf();
        struct mikey_writer w = mikey_write_chain(&data), kw = mikey_write_keys(&keys);

        for (size_t i = 0; i < n; i++)
            mikey_put_key(&kw, &wish.keys[0]);
        mikey_put_kemac(&w, MIKEY_ENCR_NULL, tbs_buf_view(&keys));
        mikey_put_idr(&w, MIKEY_IDRR, MIKEY_ID_URI, tbs_bytes_str("sip:bob@example.net"));
        tp_data_is_refused(&data, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    }
}

/* RFC 6043 6.10, RFC 3830 6.13. */
static void wished_spis_are_kept_unless_they_are_taken(void **state)
{
    (void)state;
    static const uint8_t a[] = {1, 2, 3}, b[] = {9, 9, 9, 9, 9};
    struct ticket_policy wish = wish_with_end();

    for (size_t i = 0; i < 4; i++) {
        wish_key(&wish, MIKEY_TEK, 32);
        wish.keys[i].kv = MIKEY_KV_SPI;
    }
    wish.keys[0].spi = tbs_bytes(a, sizeof a);
    wish.keys[1].spi = tbs_bytes(b, sizeof b);
    wish.keys[2].spi = tbs_bytes(zeros, 4); /* the KMS's choice */
    wish.keys[3].kv = MIKEY_KV_NULL;
    ANSWER kept = granted(&wish);

    assert_false(has_k(&kept));
    assert_true(tbs_bytes_equal(kept.keys.key[1].spi, wish.keys[0].spi));
    assert_true(tbs_bytes_equal(kept.keys.key[2].spi, wish.keys[1].spi));
    for (size_t i = 3; i <= 4; i++) {
        assert_int_equal(kept.keys.key[i].kv, MIKEY_KV_SPI);
        assert_int_equal(kept.keys.key[i].spi.len, 4);
        assert_memory_not_equal(kept.keys.key[i].spi.data, zeros, 4);
    }
    wish.keys[1].spi = wish.keys[0].spi;
    ANSWER changed = granted(&wish);

    assert_true(has_k(&changed));
    assert_true(tbs_bytes_equal(changed.keys.key[1].spi, wish.keys[0].spi));
    assert_false(tbs_bytes_equal(changed.keys.key[2].spi, wish.keys[0].spi));

    wish.n_keys = 1;
    wish.keys[0] = (struct mikey_key){.type = MIKEY_TEK,
                                      .kv = MIKEY_KV_INTERVAL,
                                      .key = tbs_bytes(zeros, 32),
                                      .valid_from = tbs_bytes(a, 1),
                                      .valid_to = tbs_bytes(b, 1)};
    ANSWER no_interval = granted(&wish);

    assert_true(has_k(&no_interval));
    assert_int_equal(no_interval.keys.key[1].kv, MIKEY_KV_SPI);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_ticket_may_hold_no_session_keys),
        TEST(other_ticket_types_are_refused),
        TEST(a_ticket_is_not_of_a_longer_suite_than_its_message),
        TEST(flags_that_contradict_are_refused),
        TEST(the_kms_in_the_policy_is_this_one),
        TEST(validity_is_narrowed_to_a_day),
        TEST(a_later_start_does_not_make_validity_end_later),
        TEST(validity_that_is_over_is_refused),
        TEST(tp_data_that_breaks_its_rules_is_refused),
        TEST(the_initiator_in_the_policy_is_the_requester),
        TEST(keys_are_fresh_and_never_the_wished_octets),
        TEST(keys_that_do_not_fit_the_suite_are_refused),
        TEST(thirty_keys_are_granted_and_not_one_more),
        TEST(wished_spis_are_kept_unless_they_are_taken),
    };
    alarm(100);
    return cmocka_run_group_tests_name("kms-tickets", tests, world_group_setup,
                                       world_group_teardown);
}
