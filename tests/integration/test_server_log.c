/* What the daemon's log says of requests, and what outsiders cannot make it say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server_peer.h"

static struct reply reply;

static void no_octet_from_outside_forges_a_log_line(void **state)
{
    (void)state;
    struct peer peer = peer_start(peer_config());
    int fd = client_connect(peer.port);
    client_post(fd, "forge");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 200);
    close(fd);
    peer_await_log(&peer, "outcome=forge");
    char *log = peer_log(&peer), *save;
    assert_non_null(strstr(log, "detail=\"a\\ntime=x level=error event=forged \\\"b\\\" "
                                "\\x1b[31m\\xff\"\n"));
    for (char *line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int year, ms, end = 0;
        assert_int_equal(
            sscanf(line, "time=%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%3dZ level=%n", &year, &ms, &end), 2);
        assert_true(end > 0);
        for (const char *c = line; *c; c++)
            assert_true(*c >= 0x20 && *c < 0x7f);
    }
    free(log);
    peer_stop(&peer);
}

/* How many lines the log has with `outcome`; to *ret_told adds those it says there were more. */
static unsigned lines_with(char *log, const char *outcome, unsigned *ret_told)
{
    unsigned lines = 0;
    for (char *at = log; (at = strstr(at, outcome)); at++) {
        char *end = strchr(at, '\n'), *more = strstr(at, " more=");
        lines++;
        if (more && more < end)
            *ret_told += (unsigned)strtoul(more + 6, NULL, 10);
    }
    return lines;
}

static void who_can_repeat_a_request_cannot_fill_the_log(void **state)
{
    (void)state;
    enum { N = 60 };
    struct peer peer = peer_start(peer_config());
    static const char *const limited[] = {"outcome=malformed", "outcome=bad-request"};
    int fd = client_connect(peer.port), since = peer_ms();
    for (int i = 0; i <= N; i++) {
        if (i == N) /* the last in another second */
            usleep(1100000);
        int bad = client_connect(peer.port);
        client_send_text(bad, "hello\r\n\r\n");
        client_read(bad, &reply);
        close(bad);
        client_post(fd, "noise");
        client_read(fd, &reply);
        client_post(fd, "deny");
        client_read(fd, &reply);
    }
    unsigned most = 2 + (unsigned)(peer_ms() - since) / 1000, told = 0;
    char *log = peer_log(&peer);
    for (size_t i = 0; i < 2; i++) {
        told = 0;
        unsigned lines = lines_with(log, limited[i], &told);
        assert_in_range(lines, 2, most);
        assert_int_equal(lines + told, N + 1);
    }
    assert_int_equal(lines_with(log, "outcome=denied", &told), N + 1);
    free(log);
    client_get(peer.management_port, "/metrics", &reply);
    assert_non_null(strstr(reply.body, "{outcome=\"malformed\",status=\"400\"} 61\n"));
    close(fd);
    peer_stop(&peer);
}

static void nor_can_who_asks_for_what_takes_too_long(void **state)
{
    (void)state;
    enum { N = 20 };
    struct server_config config = peer_config();
    config.deadline_ms = 10;
    struct peer peer = peer_start(config);
    int fd = client_connect(peer.port), since = peer_ms();
    for (int i = 0; i < N; i++) { /* the workers take two, and find the others too old */
        client_post(fd, "sleep 500");
        client_read(fd, &reply);
        assert_int_equal(reply.status, 503);
    }
    peer_await(&peer.story->handled, 2);
    usleep(100000);
    unsigned most = 2 + (unsigned)(peer_ms() - since) / 1000, told = 0;
    char *log = peer_log(&peer);
    assert_in_range(lines_with(log, "outcome=expired", &told), 1, most);
    assert_in_range(lines_with(log, "event=late-answer", &told), 1, 2 * most); /* of two fronts */
    free(log);
    close(fd);
    peer_stop(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_octet_from_outside_forges_a_log_line),
        cmocka_unit_test(who_can_repeat_a_request_cannot_fill_the_log),
        cmocka_unit_test(nor_can_who_asks_for_what_takes_too_long),
    };
    return cmocka_run_group_tests_name("server log", tests, NULL, NULL);
}
