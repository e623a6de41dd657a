/* Who may have a connection: sources of both IP versions, and an order that is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "server/address.h"
#include "server/admission.h"

static struct tbs_diag diag;

static enum tbs_err enter(struct admission *admission, const char *peer, int fd,
                          struct admission_place **ret_place, bool *ret_evicted)
{
    struct address address;
    assert_int_equal(address_parse(peer, &address, NULL), TBS_OK);
    return admission_enter(admission, fd, (const struct sockaddr *)&address.any, ret_place,
                           ret_evicted, &diag);
}

static void a_source_is_an_ipv4_address_or_an_ipv6_network(void **state)
{
    (void)state;
    static const struct {
        const char *peer;
        bool is_let_in;
    } cases[] = {
        {"192.0.2.1:1", true},
        {"192.0.2.1:2", true},
        {"192.0.2.1:3", false},
        {"[::ffff:192.0.2.1]:3", false}, /* the same on an IPv6 socket */
        {"192.0.2.2:1", true},
        {"[::ffff:192.0.2.2]:1", true},
        {"192.0.2.2:3", false},
        {"[2001:db8::1]:1", true},
        {"[2001:db8::2]:1", true},
        {"[2001:db8::ffff:0:0:3]:1", false}, /* the third of one /64 */
        {"[2001:db8:0:1::1]:1", true},
        {"[::1]:1", true},
    };
    enum { N = sizeof cases / sizeof cases[0] };
    struct admission_place *place[N], *again;
    struct admission *admission;
    bool evicted;
    assert_int_equal(admission_new(100, 2, &admission, &diag), TBS_OK);
    for (size_t i = 0; i < N; i++) {
        enum tbs_err err = enter(admission, cases[i].peer, -1, &place[i], &evicted);
        if (err != (cases[i].is_let_in ? TBS_OK : TBS_ERR_LIMIT))
            fail_msg("%s: %s", cases[i].peer, tbs_err_name(err));
        assert_false(cases[i].is_let_in && evicted);
    }
    admission_leave(place[0]);
    assert_int_equal(enter(admission, "192.0.2.1:9", -1, &again, &evicted), TBS_OK);
    admission_leave(again);
    for (size_t i = 1; i < N; i++)
        if (cases[i].is_let_in)
            admission_leave(place[i]);
    admission_free(admission);
}

static bool is_shut_down(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void at_the_ceiling_the_longest_waiting_is_shut_down(void **state)
{
    (void)state;
    struct admission_place *place[4];
    struct admission *admission;
    bool evicted;
    int fd[3][2];
    assert_int_equal(admission_new(3, 3, &admission, &diag), TBS_OK); /* no limit per source */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd[i]), 0);
        assert_int_equal(enter(admission, "192.0.2.1:1", fd[i][0], &place[i], &evicted), TBS_OK);
        assert_false(evicted);
    }
    admission_set_working(place[0], true);
    admission_set_working(place[1], false); /* waits again: from now on */
    assert_int_equal(enter(admission, "192.0.2.1:1", -1, &place[3], &evicted), TBS_OK);
    assert_true(evicted && is_shut_down(fd[2][0]));
    assert_false(is_shut_down(fd[0][0]) || is_shut_down(fd[1][0]));
    admission_set_working(place[2], false); /* whatever it does, it has to go */
    admission_set_working(place[1], true);
    admission_set_working(place[3], true);
    struct admission_place *none;
    assert_int_equal(enter(admission, "192.0.2.1:1", -1, &none, &evicted), TBS_ERR_LIMIT);
    for (int i = 0; i < 4; i++)
        admission_leave(place[i]);
    for (int i = 0; i < 3; i++)
        close(fd[i][0]), close(fd[i][1]);
    admission_free(admission);
}

static void few_are_open_beyond_the_ceiling(void **state)
{
    (void)state;
    enum { CEILING = 100 };
    struct admission_place *place[CEILING + ADMISSION_LEAVING_MAX], *none;
    struct admission *admission;
    bool evicted;
    assert_int_equal(admission_new(CEILING, CEILING, &admission, &diag), TBS_OK);
    for (int i = 0; i < CEILING + ADMISSION_LEAVING_MAX; i++) {
        assert_int_equal(enter(admission, "192.0.2.1:1", -1, &place[i], &evicted), TBS_OK);
        assert_true(evicted == (i >= CEILING));
    }
    assert_int_equal(enter(admission, "192.0.2.1:1", -1, &none, &evicted), TBS_ERR_LIMIT);
    for (int i = 0; i < CEILING + ADMISSION_LEAVING_MAX; i++)
        admission_leave(place[i]);
    admission_free(admission);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_is_an_ipv4_address_or_an_ipv6_network),
        cmocka_unit_test(at_the_ceiling_the_longest_waiting_is_shut_down),
        cmocka_unit_test(few_are_open_beyond_the_ceiling),
    };
    return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
