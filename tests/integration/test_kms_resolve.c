/* The KMS in process: who may resolve a ticket, and what that gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "kms_world.h"

#define ANSWER REQUESTER_ANSWER_AUTO struct requester_answer
#define TICKET_FLAGS (TICKET_D | TICKET_E | TICKET_F | TICKET_G | TICKET_H)

static struct requester of(const char *name)
{
    return world_requester(&mikey_suite_256, name);
}

static const uint8_t zeros[32];

/* A ticket of alice's for `responder` with a TGK, a TEK and a GTGK. */
static struct requester_answer ticket_for(const char *responder, uint16_t flags)
{
    struct requester r = of("alice");
    struct ticket_policy wish = requester_wish(&r, responder);

    wish.flags = flags;
    wish.has_start = wish.has_end = true;
    wish.start = world.now;
    wish.end = world.now + world_seconds(60);
    wish.n_keys = 3;
    for (size_t i = 0; i < 3; i++)
        wish.keys[i] = (struct mikey_key){.type = (uint8_t)(2 * i), .key = tbs_bytes(zeros, 32)};
    return world_ticket(&r, &wish);
}

static struct requester_answer resolved_by(const char *name, const struct requester_answer *ticket)
{
    struct requester r = of(name);
    struct tbs_buf message = world_resolve(&r, ticket);
    struct requester_answer answer = world_grants(&r, tbs_buf_view(&message));

    tbs_buf_free(&message);
    return answer;
}

#define is_refused(name, ticket, outcome, error_no)                                                \
    is_refused_at(name, ticket, outcome, error_no, __LINE__)
static void is_refused_at(const char *name, const struct requester_answer *ticket,
                          enum kms_outcome outcome, int error_no, int line)
{
    struct requester r = of(name);

    world_refuses_at(&r, world_resolve(&r, ticket), outcome, error_no, true, __FILE__, line);
}

/* --- Keys --- */

static bool same(const struct mikey_key *a, const struct mikey_key *b)
{
    return tbs_bytes_equal(a->key, b->key);
}

/* RFC 6043 4.2.3.5. */
static void without_forking_both_ends_have_the_same_keys(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS);
    ANSWER keys = resolved_by("bob", &ticket);

    assert_int_equal(ticket.keys.n, 4);
    assert_int_equal(keys.keys.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(same(&ticket.keys.key[i], &keys.keys.key[i]));
        assert_true(tbs_bytes_equal(ticket.keys.key[i].spi, keys.keys.key[i].spi));
    }
    assert_null(mikey_find(&keys.m.payloads, MIKEY_IDR, MIKEY_IDRR));
    assert_null(mikey_find(&keys.m.payloads, MIKEY_RANDR, MIKEY_RANDRKMS));
}

static struct tbs_bytes answers_for(const struct requester_answer *keys)
{
    return mikey_id_data(&keys->m.payloads, MIKEY_IDRR);
}

/* RFC 6043 5.1.1: MPKr and TGKs are forked, TEKs and GTGKs are not. */
static void forking_gives_each_responder_a_tgk_of_its_own(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS | TICKET_I);
    ANSWER keys = resolved_by("bob", &ticket), again = resolved_by("bob", &ticket);
    enum { MPKI, MPKR, TGK, TEK, GTGK, N };

    assert_int_equal(ticket.keys.n, N);
    assert_int_equal(keys.keys.n, N);
    assert_true(same(&ticket.keys.key[MPKI], &keys.keys.key[MPKI]));
    assert_false(same(&ticket.keys.key[MPKR], &keys.keys.key[MPKR]));
    assert_false(same(&ticket.keys.key[TGK], &keys.keys.key[TGK]));
    assert_true(same(&ticket.keys.key[TEK], &keys.keys.key[TEK]));
    assert_true(same(&ticket.keys.key[GTGK], &keys.keys.key[GTGK]));
    assert_true(tbs_bytes_equal(answers_for(&keys), tbs_bytes_str("sip:bob@example.net")));

    /* What alice computes when she learns who answered (RFC 6043 4.2.2.3). */
    struct tbs_bytes rand = mikey_rand_data(&keys.m.payloads, MIKEY_RANDRKMS);
    struct ticket_modifier modifier = {.id = answers_for(&keys), .randrkms = rand};
    struct tbs_secret mpkr TBS_SECRET_AUTO = {0};

    assert_int_equal(rand.len, 32); /* as long as MPKr and TGK, RFC 6043 12.1 */
    assert_int_equal(
        ticket_fork_mpkr(MIKEY_PRF_HMAC_SHA_256, ticket.keys.key[MPKR].key, modifier, &mpkr, NULL),
        TBS_OK);
    assert_int_equal(ticket_fork_tgks(MIKEY_PRF_HMAC_SHA_256, &ticket.keys, TGK, modifier, NULL),
                     TBS_OK);
    assert_true(tbs_bytes_equal(tbs_secret_view(&mpkr), keys.keys.key[MPKR].key));
    assert_true(same(&ticket.keys.key[TGK], &keys.keys.key[TGK]));
    /* And never the same twice. */
    assert_false(same(&again.keys.key[MPKR], &keys.keys.key[MPKR]));
    assert_false(same(&again.keys.key[TGK], &keys.keys.key[TGK]));
}

/* RFC 6043 5.1.1, 6.10, A.2: keys of a ticket come from the PRF of its policy, also where the
 * messages around it use the other. */
static void the_prf_of_the_ticket_forks(void **state)
{
    (void)state;
    struct requester alice = of("alice");
    struct ticket_policy wish = requester_wish(&alice, "sip:bob@example.net");

    wish.flags |= TICKET_I;
    wish.prf = MIKEY_PRF_MIKEY_1;
    ANSWER ticket = world_ticket(&alice, &wish);
    ANSWER keys = resolved_by("bob", &ticket);
    struct ticket_modifier modifier = {
        .id = answers_for(&keys), .randrkms = mikey_rand_data(&keys.m.payloads, MIKEY_RANDRKMS)};
    struct tbs_secret mpkr TBS_SECRET_AUTO = {0};

    assert_int_equal(keys.m.hdr.prf, MIKEY_PRF_HMAC_SHA_256);
    assert_int_equal(
        ticket_fork_mpkr(MIKEY_PRF_MIKEY_1, ticket.keys.key[1].key, modifier, &mpkr, NULL), TBS_OK);
    assert_int_equal(ticket_fork_tgks(MIKEY_PRF_MIKEY_1, &ticket.keys, 2, modifier, NULL), TBS_OK);
    assert_int_equal(mpkr.len, ticket.keys.key[1].key.len); /* outkey_len = inkey_len */
    assert_true(same(&ticket.keys.key[0], &keys.keys.key[0]));
    assert_true(tbs_bytes_equal(tbs_secret_view(&mpkr), keys.keys.key[1].key));
    assert_true(same(&ticket.keys.key[2], &keys.keys.key[2]));
}

/* RFC 6043 4.2.3.4, 6.10: with I, only who has MPKr can have sent the ticket. */
static void forking_needs_the_initiator_data(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS | TICKET_I);
    ANSWER other = ticket_for("sip:bob@example.net", TICKET_FLAGS | TICKET_I);
    struct requester bob = of("bob");
    struct tbs_bytes core = ticket.ticket.ticket.core, none = tbs_bytes(NULL, 0);
    struct tbs_buf data TBS_BUF_AUTO = tbs_buf(), message = tbs_buf();

    assert_int_equal(requester_resolve(&bob, core, none, &message, NULL), TBS_OK);
    world_refuses(&bob, message, KMS_TICKET, MIKEY_E_INVALID_TICKET, true);
    assert_int_equal(requester_initiator_data(&other, &data, NULL), TBS_OK);
    bob = of("bob");
    message = tbs_buf();
    assert_int_equal(requester_resolve(&bob, core, tbs_buf_view(&data), &message, NULL), TBS_OK);
    world_refuses(&bob, message, KMS_TICKET, MIKEY_E_INVALID_TICKET, true);
    ANSWER keys = resolved_by("bob", &ticket);
}

/* --- Who may --- */

/* RFC 6043 4.2.3.4. */
static void who_is_not_named_is_denied(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS | TICKET_I);

    is_refused("mallory", &ticket, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    is_refused("alice", &ticket, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    ANSWER nobodys = ticket_for("?", TICKET_FLAGS);

    is_refused("bob", &nobodys, KMS_DENIED, MIKEY_E_UNSPECIFIED);
}

static void team(enum tbs_err (*change)(struct store *, struct tbs_bytes, struct tbs_bytes,
                                        struct tbs_diag *),
                 const char *uri)
{
    assert_int_equal(change(world.store, tbs_bytes_str(WORLD_TEAM), tbs_bytes_str(uri), NULL),
                     TBS_OK);
}

static enum tbs_err join(struct store *store, struct tbs_bytes group, struct tbs_bytes identity,
                         struct tbs_diag *diag)
{
    return store_member_add(store, group, identity, (struct store_validity){0}, diag);
}

/* RFC 6043 4.2.3.4: membership counts when the ticket is resolved, not when it was made. */
static void who_left_the_group_is_denied(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for(WORLD_TEAM, TICKET_FLAGS | TICKET_I);
    ANSWER keys = resolved_by("bob", &ticket);

    assert_true(tbs_bytes_equal(answers_for(&keys), tbs_bytes_str("sip:bob@example.net")));
    is_refused("mallory", &ticket, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    team(store_member_remove, "sip:bob@example.net");
    is_refused("bob", &ticket, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    team(join, "sip:mallory@example.net");
    ANSWER others = resolved_by("mallory", &ticket);

    assert_true(tbs_bytes_equal(answers_for(&others), tbs_bytes_str("sip:mallory@example.net")));
    assert_false(same(&others.keys.key[2], &keys.keys.key[2]));
    /* A member that is disabled is a stranger. */
    assert_int_equal(store_subscriber_set_active(
                         world.store, tbs_bytes_str("sip:mallory@example.net"), false, NULL),
                     TBS_OK);
    struct requester r = of("mallory");

    world_refuses(&r, world_resolve(&r, &ticket), KMS_AUTHENTICATION, MIKEY_E_AUTH_FAILURE, false);
}

/* The log's sentence about a success is not a left-over of what was looked up on the way. */
static void a_success_is_logged_as_one(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for(WORLD_TEAM, TICKET_FLAGS);
    struct requester bob = of("bob");
    struct tbs_buf message TBS_BUF_AUTO = world_resolve(&bob, &ticket);
    struct kms_response response = world_send(tbs_buf_view(&message));

    tbs_buf_free(&response.body);
    assert_int_equal(response.outcome, KMS_RESOLVE_OK);
    assert_string_equal(response.detail, "keys for sip:bob@example.net");
}

/* --- Which tickets --- */

/* RFC 6043 4.2.3.4, 6.10. The client's clock goes with the KMS's. */
static void a_ticket_is_good_from_its_start_to_its_end(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS);

    world.now += world_seconds(60);
    ANSWER at_the_end = resolved_by("bob", &ticket);

    world.now += world_seconds(1);
    is_refused("bob", &ticket, KMS_TICKET, MIKEY_E_INVALID_TICKET);
    world.now -= world_seconds(62);
    is_refused("bob", &ticket, KMS_TICKET, MIKEY_E_INVALID_TICKET);
}

/* Sends the ticket with `core` in place of its own. */
#define core_is_refused(core, outcome, error_no)                                                   \
    core_is_refused_at(core, outcome, error_no, __LINE__)
static void core_is_refused_at(const struct tbs_buf *core, enum kms_outcome outcome, int error_no,
                               int line)
{
    struct requester bob = of("bob");
    struct tbs_buf message = tbs_buf();

    assert_int_equal(
        requester_resolve(&bob, tbs_buf_view(core), tbs_bytes(NULL, 0), &message, NULL), TBS_OK);
    world_refuses_at(&bob, message, outcome, error_no, true, __FILE__, line);
}

/* RFC 6043 4.2.3.4, 6.10: before the token is asked. */
static void other_ticket_types_are_refused(void **state)
{
    (void)state;
    enum { TYPE = 1, SUBTYPE = 2, VERSION = 3, PRF_AND_D = 4 };
    static const struct {
        size_t at;
        uint8_t octet;
    } cases[] = {
        {TYPE, TICKET_TYPE_3GPP_BASE}, {SUBTYPE, 2}, {VERSION, 2}, {PRF_AND_D, 2 << 1 | 1}};
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tbs_buf core TBS_BUF_AUTO = tbs_buf();
        uint64_t calls = custody_token_calls(world.session);

        tbs_put_bytes(&core, ticket.ticket.ticket.core);
        core.data[cases[i].at] = cases[i].octet;
        core_is_refused(&core, KMS_UNSUPPORTED, MIKEY_E_INVALID_TICKET);
        assert_int_equal(custody_token_calls(world.session) - calls, 1);
    }
}

/* RFC 6043 12.1. */
static void keys_are_not_answered_under_shorter_ones(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS);
    struct requester bob = world_requester(&mikey_suite_128, "bob");

    world_refuses(&bob, world_resolve(&bob, &ticket), KMS_UNSUPPORTED, MIKEY_E_INVALID_EA, true);
}

/* Puts another TPK id of the same length into a ticket. */
static void name_tpk(struct tbs_buf *core, const char *id)
{
    static const char own[] = "tpk-2026-01";
    uint8_t *at = memmem(core->data, core->len, own, strlen(own));

    assert_non_null(at);
    assert_int_equal(strlen(id), strlen(own));
    memcpy(at, id, strlen(id));
}

/* RFC 6043 A.1: IDRpsk in the ticket names its TPK. The token is asked nothing. */
static void a_ticket_of_an_unknown_tpk_is_refused(void **state)
{
    (void)state;
    static const char *const ids[] = {"tpk-2025-12", "kek-2026-01", "tpk-2026-0\x01"};
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS);

    for (size_t i = 0; i < 3; i++) {
        struct tbs_buf core TBS_BUF_AUTO = tbs_buf();
        uint64_t calls = custody_token_calls(world.session);

        tbs_put_bytes(&core, ticket.ticket.ticket.core);
        name_tpk(&core, ids[i]);
        core_is_refused(&core, KMS_TICKET, MIKEY_E_INVALID_TICKET);
        assert_int_equal(custody_token_calls(world.session) - calls, 1);
    }
}

/* The one that was never there may hold its TPK. */
static void a_ticket_of_an_unknown_tpk_waits_for_every_token(void **state)
{
    (void)state;
    world_needs_softhsm();
    struct custody_token_config tokens[] = {softhsm_config("kms"), softhsm_config("kms")};
    struct custody_config config = {.tokens = tokens, .n_tokens = 2};
    struct tbs_buf core TBS_BUF_AUTO = tbs_buf();
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS);
    struct custody *custody;

    tokens[1].uri = "pkcs11:token=away";
    assert_int_equal(custody_open(&config, &custody, NULL), TBS_OK);
    assert_int_equal(custody_session_open(custody, &world.worker.session, NULL), TBS_OK);
    world.worker.custody = custody;
    tbs_put_bytes(&core, ticket.ticket.ticket.core);
    name_tpk(&core, "tpk-2025-12");
    core_is_refused(&core, KMS_UNAVAILABLE, NO_ANSWER);
    custody_session_close(world.worker.session);
    custody_close(custody);
}

/* RFC 6043 A.1: V covers all of it. In a message with a right MAC, no octet of the ticket may
 * be another one, and no length shorter. */
static void a_ticket_with_any_octet_changed_is_refused(void **state)
{
    (void)state;
    ANSWER ticket = ticket_for("sip:bob@example.net", TICKET_FLAGS);
    size_t len = ticket.ticket.ticket.core.len;

    for (size_t i = 0; i < 8 * len; i++) {
        struct requester bob = of("bob");
        struct tbs_buf core TBS_BUF_AUTO = tbs_buf(), message TBS_BUF_AUTO = tbs_buf();

        tbs_put_bytes(&core, ticket.ticket.ticket.core);
        core.data[i / 8] ^= (uint8_t)(1 << i % 8);
        if (requester_resolve(&bob, tbs_buf_view(&core), tbs_bytes(NULL, 0), &message, NULL))
            continue; /* not even a message any more */
        struct kms_response response = world_send(tbs_buf_view(&message));
        bool refused = response.outcome == KMS_TICKET || response.outcome == KMS_UNSUPPORTED;

        if (!refused)
            fail_msg("bit %zu of the ticket: %s", i, kms_outcome_name(response.outcome));
        tbs_buf_free(&response.body);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_forking_both_ends_have_the_same_keys),
        TEST(forking_gives_each_responder_a_tgk_of_its_own),
        TEST(the_prf_of_the_ticket_forks),
        TEST(forking_needs_the_initiator_data),
        TEST(who_is_not_named_is_denied),
        TEST(who_left_the_group_is_denied),
        TEST(a_success_is_logged_as_one),
        TEST(a_ticket_is_good_from_its_start_to_its_end),
        TEST(other_ticket_types_are_refused),
        TEST(keys_are_not_answered_under_shorter_ones),
        TEST(a_ticket_of_an_unknown_tpk_is_refused),
        TEST(a_ticket_of_an_unknown_tpk_waits_for_every_token),
        TEST(a_ticket_with_any_octet_changed_is_refused),
    };
    alarm(100);
    return cmocka_run_group_tests_name("kms-resolve", tests, world_group_setup,
                                       world_group_teardown);
}
