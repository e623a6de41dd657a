/* The daemon's HTTP, public and for management, over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server_peer.h"

static struct reply reply;

#define TYPE "Content-Type: application/mikey\r\n"
#define POST "POST /mikey HTTP/1.1\r\nHost: kms\r\n"

static void requests_it_cannot_take_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"hello\r\n\r\n", 400},
        {"POST /mikey\r\n\r\n", 400},
        {"POST  /mikey HTTP/1.1\r\nHost: kms\r\n\r\n", 400},
        {"POST mikey HTTP/1.1\r\nHost: kms\r\n\r\n", 400},
        {"POST /mikey HTTP/1.1\nHost: kms\n\n\r\n\r\n", 400},
        {"P\x01ST /mikey HTTP/1.1\r\nHost: kms\r\n\r\n", 400},
        {"POST /mikey HTTP/2.0\r\nHost: kms\r\n\r\n", 505},
        {"POST /mikey HTTP/1.1\r\n" TYPE "Content-Length: 1\r\n\r\nx", 400}, /* no Host */
        {POST "Host: two\r\n" TYPE "Content-Length: 1\r\n\r\nx", 400},
        {POST "Folded: a\r\n b\r\n\r\n", 400},
        {POST "Space : a\r\n\r\n", 400},
        {POST "Control: a\x02\r\n\r\n", 400},
        {POST "no colon\r\n\r\n", 400},
        {POST TYPE "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
        {POST TYPE "Content-Length: +1\r\n\r\nx", 400},
        {POST TYPE "Content-Length: 1 1\r\n\r\nx", 400},
        {POST TYPE "Content-Length: \r\n\r\n", 400},
        {POST TYPE "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 411},
        {POST TYPE "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", 411},
        {POST TYPE "\r\n", 411},
        {POST TYPE "Content-Length: 65537\r\n\r\n", 413},
        {POST TYPE "Content-Length: 99999999999999999999999\r\n\r\n", 413},
        {POST "Content-Length: 1\r\n\r\nx", 415},
        {POST "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx", 415},
        {POST "Content-Type: application/mikey2\r\nContent-Length: 1\r\n\r\nx", 415},
        {POST TYPE "Expect: miracles\r\nContent-Length: 1\r\n\r\nx", 417},
        {"GET /mikey HTTP/1.1\r\nHost: kms\r\n\r\n", 405},
        {"post /mikey HTTP/1.1\r\nHost: kms\r\n\r\n", 405},
        {"PUT /mikey HTTP/1.1\r\nHost: kms\r\n\r\n", 405},
        {"POST /mikey/ HTTP/1.1\r\nHost: kms\r\n\r\n", 404},
        {"GET /metrics HTTP/1.1\r\nHost: kms\r\n\r\n", 404},
        {"GET / HTTP/1.1\r\nHost: kms\r\n\r\n", 404},
    };
    struct peer peer = peer_start(peer_config());
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = client_connect(peer.port);
        client_send_text(fd, cases[i].text);
        client_read(fd, &reply);
        if (reply.status != cases[i].status)
            fail_msg("%d for \"%s\"", reply.status, cases[i].text);
        assert_true(reply_has(&reply, "Content-Type: text/plain; charset=utf-8"));
        assert_true(reply_has(&reply, "Connection: close"));
        assert_true((reply.status == 405) == reply_has(&reply, "Allow: POST"));
        assert_true(reply.len > 10 && reply.body[reply.len - 1] == '\n');
        assert_true(client_is_closed(fd));
        close(fd);
    }
    assert_int_equal(atomic_load(&peer.story->handled), 0);
    peer_stop(&peer);
}

static void a_head_request_gets_no_body(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"HEAD /mikey HTTP/1.1\r\nHost: kms\r\n\r\n", 405},
        {"HEAD / HTTP/1.1\r\nHost: kms\r\n\r\n", 404},
        {"HEAD /mikey HTTP/1.1\r\n\r\n", 400},
        {"HEAD /mikey HTTP/2.0\r\nHost: kms\r\n\r\n", 505},
        {"HEAD /healthz HTTP/1.1\r\nHost: kms\r\n\r\n", 405}, /* there */
    };
    struct peer peer = peer_start(peer_config());
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool management = strstr(cases[i].text, "/healthz") != NULL;
        int fd = client_connect(management ? peer.management_port : peer.port);
        client_send_text(fd, cases[i].text);
        client_read_head(fd, &reply);
        assert_int_equal(reply.status, cases[i].status);
        assert_non_null(strstr(reply.head, "\r\nContent-Length: "));
        assert_true(client_is_closed(fd));
        close(fd);
    }
    peer_stop(&peer);
}

static void heads_and_bodies_have_their_limits(void **state)
{
    (void)state;
    struct peer peer = peer_start(peer_config());
    static char big[SERVER_BODY_MAX + 9000];
    int fd = client_connect(peer.port);
    snprintf(big, sizeof big, POST "Filler: ");
    memset(big + strlen(big), 'x', 9000); /* no end in sight */
    client_send_text(fd, big);
    client_read(fd, &reply);
    assert_int_equal(reply.status, 431);
    assert_true(client_is_closed(fd));
    close(fd);

    fd = client_connect(peer.port);
    snprintf(big, sizeof big, "GET /%0300d HTTP/1.1\r\nHost: kms\r\n\r\n", 1);
    client_send_text(fd, big);
    client_read(fd, &reply);
    assert_int_equal(reply.status, 414);
    close(fd);

    fd = client_connect(peer.port); /* refused although the body is already on its way */
    snprintf(big, sizeof big, POST TYPE "Content-Length: 65537\r\n\r\n");
    client_send(fd, big, strlen(big) + 65537);
    client_read(fd, &reply);
    assert_int_equal(reply.status, 413);
    assert_true(client_is_closed(fd));
    close(fd);

    fd = client_connect(peer.port);
    memset(big, 'b', sizeof big);
    big[SERVER_BODY_MAX] = 0;
    client_send_text(fd, POST TYPE "Content-Length: 65536\r\n\r\n");
    client_send_text(fd, big);
    client_read(fd, &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.len, SERVER_BODY_MAX);
    assert_memory_equal(reply.body, big, SERVER_BODY_MAX);
    close(fd);
    peer_stop(&peer);
}

static void replies_come_back_and_connections_are_kept(void **state)
{
    (void)state;
    struct peer peer = peer_start(peer_config());
    int fd = client_connect(peer.port);
    for (int i = 0; i < 3; i++) {
        client_post(fd, "one");
        client_read(fd, &reply);
        assert_int_equal(reply.status, 200);
        assert_true(reply_has(&reply, "Content-Type: application/mikey"));
        assert_true(reply_has(&reply, "Content-Length: 3"));
        assert_non_null(strstr(reply.head, "\r\nDate: "));
        assert_null(strstr(reply.head, "Connection:"));
        assert_string_equal(reply.body, "one");
    }
    client_post(fd, "first"); /* pipelined: answered in order */
    client_post(fd, "second");
    client_read(fd, &reply);
    assert_string_equal(reply.body, "first");
    client_read(fd, &reply);
    assert_string_equal(reply.body, "second");
    client_send_text(fd, "\r\n" POST "Content-Type: Application/MIKEY ; v=1\r\n"
                         "Connection: TE, close\r\nContent-Length: 4\r\n\r\nlast");
    client_read(fd, &reply);
    assert_string_equal(reply.body, "last");
    assert_true(reply_has(&reply, "Connection: close"));
    assert_true(client_is_closed(fd));
    close(fd);

    fd = client_connect(peer.port);
    client_send_text(fd,
                     "POST http://kms/mikey?x HTTP/1.0\r\n" TYPE "Content-Length: 3\r\n\r\n1.0");
    client_read(fd, &reply);
    assert_string_equal(reply.body, "1.0");
    assert_true(client_is_closed(fd));
    close(fd);
    peer_stop(&peer);
}

static void a_client_that_sends_no_more_still_gets_its_answers(void **state)
{
    (void)state;
    struct peer peer = peer_start(peer_config());
    int fd = client_connect(peer.port);
    client_post(fd, "sleep 100");
    shutdown(fd, SHUT_WR);
    client_read(fd, &reply);
    assert_string_equal(reply.body, "sleep 100");
    assert_true(client_is_closed(fd));
    close(fd);

    fd = client_connect(peer.port);
    client_post(fd, "sleep 50 first");
    client_post(fd, "sleep 50 second");
    client_send_text(fd, POST TYPE "Content-Length: 9\r\n\r\nno end");
    shutdown(fd, SHUT_WR);
    client_read(fd, &reply);
    assert_string_equal(reply.body, "sleep 50 first");
    client_read(fd, &reply);
    assert_string_equal(reply.body, "sleep 50 second");
    assert_true(client_is_closed(fd));
    close(fd);

    fd = client_connect(peer.port);
    client_send_text(fd, POST TYPE);
    shutdown(fd, SHUT_WR);
    assert_true(client_is_closed(fd));
    close(fd);
    assert_int_equal(atomic_load(&peer.story->handled), 3);
    peer_stop(&peer);
}

static void the_handlers_own_refusals_are_passed_on(void **state)
{
    (void)state;
    struct peer peer = peer_start(peer_config());
    int fd = client_connect(peer.port);
    client_post(fd, "deny");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 403);
    assert_true(reply_has(&reply, "Content-Type: application/mikey"));
    assert_string_equal(reply.body, "E12");
    client_post(fd, "busy");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 503);
    assert_true(reply_has(&reply, "Retry-After: 1"));
    assert_true(reply_has(&reply, "Content-Type: text/plain; charset=utf-8"));
    client_post(fd, "silent");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 500);
    client_post(fd, "noise");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 400);
    assert_string_equal(reply.body, "The body is not a MIKEY message that is answered here.\n");
    assert_null(strstr(reply.head, "Connection:")); /* as HTTP it was well-formed */
    client_post(fd, "still there");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 200);
    close(fd);
    peer_stop(&peer);
}

static void a_body_may_be_asked_for_first(void **state)
{
    (void)state;
    struct peer peer = peer_start(peer_config());
    int fd = client_connect(peer.port);
    client_send_text(fd, POST TYPE "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 100);
    client_send_text(fd, "body");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "body");
    close(fd);
    peer_stop(&peer);
}

static void slow_and_idle_clients_are_cut_off(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.idle_timeout_s = config.transfer_timeout_s = 1;
    struct peer peer = peer_start(config);
    int idle = client_connect(peer.port), slow = client_connect(peer.port);
    int body = client_connect(peer.port), kept = client_connect(peer.port);
    client_post(kept, "once");
    client_read(kept, &reply);
    client_send_text(body, POST TYPE "Content-Length: 1000\r\n\r\n");
    int since = peer_ms();
    struct pollfd cut = {.fd = slow, .events = POLLIN};
    client_send_text(slow, POST "X: ");
    do { /* an octet now and then is not enough */
        client_send_text(slow, "x");
        client_send_text(body, "x");
    } while (poll(&cut, 1, 50) == 0 && peer_ms() - since < 4000);
    assert_in_range(peer_ms() - since, 900, 2500);
    client_read(slow, &reply);
    assert_int_equal(reply.status, 408);
    client_read(body, &reply);
    assert_int_equal(reply.status, 408);
    assert_true(client_is_closed(idle));
    assert_true(client_is_closed(kept));
    assert_in_range(peer_ms() - since, 900, 3000);
    close(idle), close(slow), close(body), close(kept);
    peer_stop(&peer);
}

static void management_answers_on_its_own_listener(void **state)
{
    (void)state;
    struct peer peer = peer_start(peer_config());
    client_get(peer.management_port, "/healthz", &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "ok\n");
    client_get(peer.management_port, "/readyz?verbose", &reply);
    assert_int_equal(reply.status, 200);
    atomic_store(&peer.story->not_ready, true);
    client_get(peer.management_port, "/readyz", &reply);
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.body, "token tbs is locked\n");
    client_get(peer.management_port, "/mikey", &reply);
    assert_int_equal(reply.status, 404);
    int fd = client_connect(peer.management_port);
    client_send_text(fd, "POST /healthz HTTP/1.1\r\nHost: kms\r\nContent-Length: 0\r\n\r\n");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 405);
    assert_true(reply_has(&reply, "Allow: GET"));
    close(fd);
    fd = client_connect(peer.management_port);
    client_send_text(fd, "GET /healthz HTTP/1.1\r\nHost: kms\r\nContent-Length: 1\r\n\r\nx");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 413);
    close(fd);
    peer_stop(&peer);
}

/* One line of text format 0.0.4: a comment, or name{labels} value. */
static void check_metric_line(const char *line, char *declared, size_t size)
{
    char name[128], kind[16], labels[128];
    double value;
    int end = 0;
    if (sscanf(line, "# TYPE %127s %15s%n", name, kind, &end) == 2 && line[end] == 0) {
        assert_true(strcmp(kind, "counter") == 0 || strcmp(kind, "gauge") == 0 ||
                    strcmp(kind, "histogram") == 0);
        snprintf(declared, size, "%s", name);
        return;
    }
    if (strncmp(line, "# HELP ", 7) == 0)
        return;
    bool labelled = sscanf(line, "%127[a-z0-9_]{%127[^}]} %lf%n", name, labels, &value, &end) == 3;
    if (!labelled && sscanf(line, "%127[a-z0-9_] %lf%n", name, &value, &end) != 2)
        fail_msg("not a metric: \"%s\"", line);
    assert_int_equal(line[end], 0);
    assert_true(value >= 0);
    assert_memory_equal(name, declared, strlen(declared)); /* follows its TYPE */
}

static double metric(const char *text, const char *name)
{
    char line[160];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    if (!at)
        fail_msg("no metric %s", name);
    return strtod(at + strlen(line), NULL);
}

static void metrics_are_well_formed_and_right(void **state)
{
    (void)state;
    struct peer peer = peer_start(peer_config());
    int fd = client_connect(peer.port);
    static const char *const bodies[] = {"a", "deny", "sleep 20", "b"};
    for (size_t i = 0; i < 4; i++) {
        client_post(fd, bodies[i]);
        client_read(fd, &reply);
    }
    client_send_text(fd, "GET / HTTP/1.1\r\nHost: kms\r\n\r\n");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 404);
    client_get(peer.management_port, "/metrics", &reply);
    assert_true(reply_has(&reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8"));
    const char *t = reply.body;
    assert_true(metric(t, "tbs_kms_requests_total{outcome=\"echo\",status=\"200\"}") == 3);
    assert_true(metric(t, "tbs_kms_requests_total{outcome=\"denied\",status=\"403\"}") == 1);
    assert_true(metric(t, "tbs_kms_requests_total{outcome=\"not-found\",status=\"404\"}") == 1);
    assert_true(metric(t, "tbs_kms_request_duration_seconds_count") == 5);
    assert_true(metric(t, "tbs_kms_request_duration_seconds_bucket{le=\"+Inf\"}") == 5);
    assert_true(metric(t, "tbs_kms_request_duration_seconds_bucket{le=\"0.01\"}") == 4);
    assert_true(metric(t, "tbs_kms_request_duration_seconds_sum") >= 0.02);
    assert_true(metric(t, "tbs_kms_request_duration_seconds_sum") < 2);
    assert_true(metric(t, "tbs_kms_queue_depth") == 0);
    assert_true(metric(t, "tbs_kms_queue_capacity") == 64);
    assert_true(metric(t, "tbs_kms_connections_total") == 1);
    assert_true(metric(t, "tbs_kms_received_bytes_total") == 391);
    assert_true(metric(t, "tbs_kms_sent_bytes_total") > 400);
    assert_true(metric(t, "echo_handled_total") == 4);
    assert_non_null(strstr(t, "tbs_kms_build_info{version=\""));
    char declared[128] = "";
    for (char *line = strtok(reply.body, "\n"); line; line = strtok(NULL, "\n"))
        check_metric_line(line, declared, sizeof declared);
    close(fd);
    peer_stop(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_it_cannot_take_are_refused),
        cmocka_unit_test(a_head_request_gets_no_body),
        cmocka_unit_test(heads_and_bodies_have_their_limits),
        cmocka_unit_test(replies_come_back_and_connections_are_kept),
        cmocka_unit_test(a_client_that_sends_no_more_still_gets_its_answers),
        cmocka_unit_test(the_handlers_own_refusals_are_passed_on),
        cmocka_unit_test(a_body_may_be_asked_for_first),
        cmocka_unit_test(slow_and_idle_clients_are_cut_off),
        cmocka_unit_test(management_answers_on_its_own_listener),
        cmocka_unit_test(metrics_are_well_formed_and_right),
    };
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
