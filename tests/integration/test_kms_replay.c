/* The KMS in process: replays, the answer to a retransmission, and a token that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kms/replay.h"
#include "kms_world.h"

static struct requester alice(void)
{
    return world_requester(&mikey_suite_256, "alice");
}

/* Sends the message again: the answer is `first`, octet for octet, at no cost to speak of. */
static void is_answered_again(struct tbs_bytes message, const struct tbs_buf *first)
{
    struct kms_response again = world_send(message);

    assert_int_equal(again.outcome, KMS_RETRANSMISSION);
    assert_int_equal(again.body.len, first->len);
    assert_memory_equal(again.body.data, first->data, first->len);
    tbs_buf_free(&again.body);
}

/* RFC 6043 12.4, RFC 3830 5.4: a retransmission gets the same answer. */
static void the_same_message_gets_the_same_answer(void **state)
{
    (void)state;
    struct requester r = alice(), bob = world_requester(&mikey_suite_256, "bob");
    struct tbs_buf message TBS_BUF_AUTO = world_request(&r, NULL);
    struct tbs_buf answer TBS_BUF_AUTO = tbs_buf(), keys TBS_BUF_AUTO = tbs_buf();
    struct requester_answer ticket REQUESTER_ANSWER_AUTO =
        world_grants_at(&r, tbs_buf_view(&message), &answer, __FILE__, __LINE__);
    struct tbs_buf resolve TBS_BUF_AUTO = world_resolve(&bob, &ticket);
    struct requester_answer resolved REQUESTER_ANSWER_AUTO =
        world_grants_at(&bob, tbs_buf_view(&resolve), &keys, __FILE__, __LINE__);
    uint64_t calls = custody_token_calls(world.session);

    is_answered_again(tbs_buf_view(&message), &answer);
    is_answered_again(tbs_buf_view(&resolve), &keys);
    is_answered_again(tbs_buf_view(&message), &answer);
    assert_int_equal(custody_token_calls(world.session) - calls, 3); /* who it is, three times */
}

/* A refusal is an answer, too. */
static void a_refused_message_gets_the_same_refusal(void **state)
{
    (void)state;
    struct requester r = alice();
    struct ticket_policy wish = requester_wish(&r, "sip:bob@example.net");

    wish.type = TICKET_TYPE_3GPP_BASE;
    struct tbs_buf message TBS_BUF_AUTO = world_request(&r, &wish);
    struct kms_response first = world_send(tbs_buf_view(&message));

    assert_int_equal(first.outcome, KMS_UNSUPPORTED);
    is_answered_again(tbs_buf_view(&message), &first.body);
    tbs_buf_free(&first.body);
}

/* RFC 3830 5.4: sender and T identify a message. */
static void another_message_with_the_same_time_is_a_replay(void **state)
{
    (void)state;
    struct requester r = alice(), bob = world_requester(&mikey_suite_256, "bob");
    struct requester_answer ticket REQUESTER_ANSWER_AUTO = world_ticket(&r, NULL);

    r.csb_id++;
    world_refuses(&r, world_request(&r, NULL), KMS_REPLAY, MIKEY_E_INVALID_TS, true);
    world_refuses(&r, world_resolve(&r, &ticket), KMS_REPLAY, MIKEY_E_INVALID_TS, true);
    bob.t = r.t; /* somebody else's T is nobody's business */
    struct requester_answer other REQUESTER_ANSWER_AUTO = world_ticket(&bob, NULL);

    r.t++;
    struct requester_answer next REQUESTER_ANSWER_AUTO = world_ticket(&r, NULL);
}

/* RFC 3830 5.4: who is not authenticated leaves no trace. */
static void only_authentic_messages_are_remembered(void **state)
{
    (void)state;
    struct requester r = alice();
    struct tbs_buf good TBS_BUF_AUTO = world_request(&r, NULL);
    struct tbs_buf bad = tbs_buf();

    tbs_put_bytes(&bad, tbs_buf_view(&good));
    bad.data[bad.len - 1] ^= 1;
    world_refuses(&r, bad, KMS_AUTHENTICATION, MIKEY_E_AUTH_FAILURE, false);
    struct requester_answer answer REQUESTER_ANSWER_AUTO = world_grants(&r, tbs_buf_view(&good));
}

/* --- A message in work --- */

static struct tbs_bytes in_work;
static enum kms_outcome meanwhile;

static enum tbs_err decide_while_it_comes_again(const void *rules,
                                                const struct policy_request *request,
                                                struct ticket_policy *ret_granted,
                                                struct policy_verdict *ret_verdict,
                                                struct tbs_diag *diag)
{
    struct kms_response again = world_send(in_work);

    meanwhile = again.outcome;
    assert_int_equal(again.body.len, 0);
    tbs_buf_free(&again.body);
    return world_policy().decide_request(rules, request, ret_granted, ret_verdict, diag);
}

static void a_message_in_work_is_not_worked_on_twice(void **state)
{
    (void)state;
    struct kms_config config = world_config();
    struct policy policy = world_policy();

    policy.decide_request = decide_while_it_comes_again;
    world_new_kms(&config, &policy);
    struct requester r = alice();
    struct tbs_buf message TBS_BUF_AUTO = world_request(&r, NULL), body TBS_BUF_AUTO = tbs_buf();

    in_work = tbs_buf_view(&message);
    struct requester_answer answer REQUESTER_ANSWER_AUTO =
        world_grants_at(&r, in_work, &body, __FILE__, __LINE__);

    assert_int_equal(meanwhile, KMS_UNAVAILABLE);
    is_answered_again(in_work, &body);
}

/* --- The cache's size and memory --- */

static void sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    assert_int_equal(clock_nanosleep(CLOCK_BOOTTIME, 0, &t, NULL), 0);
}

static void short_window(size_t entries)
{
    struct kms_config config = world_config();
    struct policy policy = world_policy();

    config.time_window = 1;
    config.replay_entries = entries;
    world_new_kms(&config, &policy);
}

/* Nothing that could be replayed is forgotten for lack of room. */
static void a_full_cache_refuses_until_the_oldest_is_stale(void **state)
{
    (void)state;
    short_window(2);
    struct requester r = alice(), late;
    struct requester_answer first REQUESTER_ANSWER_AUTO = world_ticket(&r, NULL);

    r.t = world_fresh_t();
    struct requester_answer second REQUESTER_ANSWER_AUTO = world_ticket(&r, NULL);

    late = alice();
    world_refuses(&late, world_request(&late, NULL), KMS_UNAVAILABLE, NO_ANSWER, false);
    r.csb_id++; /* the replay of a remembered T is still known for what it is */
    world_refuses(&r, world_request(&r, NULL), KMS_REPLAY, MIKEY_E_INVALID_TS, true);
    sleep_ms(4500);
    struct requester_answer third REQUESTER_ANSWER_AUTO = world_ticket(&late, NULL);
}

/* RFC 3830 5.4: a message is remembered for as long as its T would be accepted. Its T is a
 * second ahead when it comes, at the end of a second; and 2.2 s later a second behind. */
static void a_message_is_remembered_while_its_time_is_good(void **state)
{
    (void)state;
    struct timespec up;

    short_window(16);
    struct requester r = alice();
    struct tbs_buf message TBS_BUF_AUTO = world_request(&r, NULL), body TBS_BUF_AUTO = tbs_buf();

    clock_gettime(CLOCK_BOOTTIME, &up);
    sleep_ms(up.tv_nsec / 1000000 < 900 ? 900 - up.tv_nsec / 1000000 : 1900 - up.tv_nsec / 1000000);
    world.now -= world_seconds(1);
    struct requester_answer answer REQUESTER_ANSWER_AUTO =
        world_grants_at(&r, tbs_buf_view(&message), &body, __FILE__, __LINE__);

    sleep_ms(2200);
    world.now += 22 * (world_seconds(1) / 10);
    is_answered_again(tbs_buf_view(&message), &body);
}

/* The latest answers are kept; of the older ones is known that they were given. */
static void old_answers_make_room_for_new_ones(void **state)
{
    (void)state;
    enum { ENTRIES = 10000, KEPT = 4096 };
    static const uint8_t message[REPLAY_DIGEST] = {1}, one_more[REPLAY_DIGEST] = {[31] = 1};
    struct replay *replay = NULL;
    struct tbs_buf answer TBS_BUF_AUTO = tbs_buf();
    uint32_t answered = 0;

    assert_int_equal(replay_new(ENTRIES, 60, &replay, NULL), TBS_OK);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint8_t sender[REPLAY_DIGEST] = {0};

        memcpy(sender, &i, sizeof i);
        assert_int_equal(replay_enter(replay, sender, message, 0, &answer), REPLAY_NEW);
        replay_answer(replay, sender, tbs_bytes(&i, sizeof i));
    }
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint8_t sender[REPLAY_DIGEST] = {0};

        memcpy(sender, &i, sizeof i);
        tbs_buf_reset(&answer);
        bool kept = replay_enter(replay, sender, message, 59, &answer) == REPLAY_ANSWERED;

        assert_true(kept == (i >= ENTRIES - KEPT));
        if (kept)
            assert_memory_equal(answer.data, &i, sizeof i);
        answered += kept;
    }
    assert_int_equal(answered, KEPT);
    assert_int_equal(replay_enter(replay, one_more, message, 59, &answer), REPLAY_FULL);
    assert_int_equal(replay_enter(replay, one_more, message, 60, &answer), REPLAY_NEW);
    replay_free(replay);
}

/* --- A token that fails --- */

/* The failure passes, whatever the token calls it: no answer, nothing remembered, and the same
 * message is served then. */
static void fails_once(_Atomic CK_RV *fault, const struct requester *r, struct tbs_buf *message)
{
    static const CK_RV failures[] = {CKR_HOST_MEMORY, CKR_MECHANISM_INVALID, CKR_DATA_LEN_RANGE};

    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        struct tbs_buf copy = tbs_buf();

        tbs_put_bytes(&copy, tbs_buf_view(message));
        *fault = failures[i];
        world_refuses(r, copy, KMS_UNAVAILABLE, NO_ANSWER, false);
        assert_int_equal(*fault, CKR_OK);
    }
}

static void a_token_that_fails_is_not_the_senders_fault(void **state)
{
    (void)state;
    world_needs_softhsm();
    struct requester r = alice(), bob = world_requester(&mikey_suite_256, "bob");
    struct tbs_buf request TBS_BUF_AUTO = world_request(&r, NULL);

    fails_once(&world.faults->decrypt, &r, &request); /* unwrapping the PSK */
    fails_once(&world.faults->sign, &r, &request);    /* protecting the ticket */
    struct requester_answer ticket REQUESTER_ANSWER_AUTO = world_grants(&r, tbs_buf_view(&request));
    struct tbs_buf resolve TBS_BUF_AUTO = world_resolve(&bob, &ticket);

    fails_once(&world.faults->decrypt, &bob, &resolve);
    fails_once(&world.faults->sign, &bob, &resolve); /* opening it */
    struct requester_answer keys REQUESTER_ANSWER_AUTO = world_grants(&bob, tbs_buf_view(&resolve));

    assert_int_equal(keys.keys.n, 2);
}

/* A stranger cannot tell a failing token by asking for somebody who is not there. */
static void a_token_that_fails_fails_for_the_unknown_too(void **state)
{
    (void)state;
    world_needs_softhsm();
    struct requester r = world_requester(&mikey_suite_256, "nobody");
    struct tbs_buf request TBS_BUF_AUTO = world_request(&r, NULL), first = tbs_buf();

    tbs_put_bytes(&first, tbs_buf_view(&request));
    world_refuses(&r, first, KMS_AUTHENTICATION, MIKEY_E_AUTH_FAILURE, false);
    fails_once(&world.faults->decrypt, &r, &request);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_same_message_gets_the_same_answer),
        TEST(a_refused_message_gets_the_same_refusal),
        TEST(another_message_with_the_same_time_is_a_replay),
        TEST(only_authentic_messages_are_remembered),
        TEST(a_message_in_work_is_not_worked_on_twice),
        TEST(a_full_cache_refuses_until_the_oldest_is_stale),
        TEST(a_message_is_remembered_while_its_time_is_good),
        cmocka_unit_test(old_answers_make_room_for_new_ones),
        TEST(a_token_that_fails_is_not_the_senders_fault),
        TEST(a_token_that_fails_fails_for_the_unknown_too),
    };
    alarm(100);
    return cmocka_run_group_tests_name("kms-replay", tests, world_group_setup,
                                       world_group_teardown);
}
