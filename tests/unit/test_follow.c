/* A network function that may resolve a ticket follows the call of two others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/call.h"

#define PLAIN (TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI)

static enum tbs_err follow(struct call *call, struct tbs_session **ret_session)
{
    return tbs_follow(call->resolved, tbs_buf_view(&call->init), tbs_buf_view(&call->resp),
                      ret_session, &call->diag);
}

static void expect_same(unsigned flags)
{
    struct tbs_session *seen = NULL;
    struct call call;

    call_make(&call, flags);
    assert_int_equal(follow(&call, &seen), TBS_OK);
    assert_true(call_agree(seen, call.alice));
    assert_true(call_agree(seen, call.bob));
    tbs_session_free(seen);
    call_free(&call);
}

static void it_has_the_keys_of_both(void **state)
{
    (void)state;
    expect_same(PLAIN);
}

static void without_an_answer_the_offer_is_enough(void **state)
{
    (void)state;
    expect_same(TBS_RANDRI);
}

/* It does not matter whether it was the one to answer. */
static void a_used_ticket_is_followed(void **state)
{
    struct tbs_session *one = NULL, *two = NULL;
    struct call call;

    (void)state;
    call_make(&call, PLAIN);
    assert_int_equal(follow(&call, &one), TBS_OK);
    assert_int_equal(follow(&call, &two), TBS_OK);
    assert_true(call_agree(one, two));
    tbs_session_free(one);
    tbs_session_free(two);
    call_free(&call);
}

static void expect_refused(struct call *call, enum tbs_err want, const char *part)
{
    struct tbs_session *seen = NULL;
    enum tbs_err err = follow(call, &seen);

    if (err != want || !strstr(call->diag.text, part))
        fail_msg("%s with '%s'", tbs_err_name(err), call->diag.text);
    assert_null(seen);
}

static void forked_keys_are_nobody_elses(void **state)
{
    struct call call;

    (void)state;
    call_make(&call, PLAIN | TBS_FORKING);
    expect_refused(&call, TBS_ERR_DENIED, "flag I");
    call_free(&call);
}

static void what_was_changed_is_refused(void **state)
{
    struct call call;

    (void)state;
    call_make(&call, PLAIN);
    call.resp.data[call.resp.len - 1] ^= 1;
    expect_refused(&call, TBS_ERR_AUTH, "TRANSFER_RESP");
    call.resp.data[call.resp.len - 1] ^= 1;
    call.init.data[call.init.len - 1] ^= 1;
    expect_refused(&call, TBS_ERR_AUTH, "TRANSFER_INIT");
    call.init.len--;
    expect_refused(&call, TBS_ERR_MALFORMED, "");
    call_free(&call);
}

static void another_ticket_does_not_do(void **state)
{
    struct call call, other;
    struct tbs_resolved *own;

    (void)state;
    call_make(&call, PLAIN);
    call_make(&other, PLAIN);
    own = call.resolved;
    call.resolved = other.resolved;
    expect_refused(&call, TBS_ERR_AUTH, "MAC");
    call.resolved = own;
    call_free(&call);
    call_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_the_keys_of_both),
        cmocka_unit_test(without_an_answer_the_offer_is_enough),
        cmocka_unit_test(a_used_ticket_is_followed),
        cmocka_unit_test(forked_keys_are_nobody_elses),
        cmocka_unit_test(what_was_changed_is_refused),
        cmocka_unit_test(another_ticket_does_not_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
