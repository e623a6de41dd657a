/* More connections than there is room for: who is let in, who has to go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server_peer.h"

static struct reply reply;

#define HALF "POST /mikey HTTP/1.1\r\nHost: kms\r\n"

static int client_served(int port)
{
    int fd = client_connect(port);
    client_post(fd, "in");
    client_read(fd, &reply);
    assert_int_equal(reply.status, 200);
    return fd;
}

static void expect_metric(const struct peer *peer, const char *line)
{
    for (int since = peer_ms();; usleep(5000)) {
        client_get(peer->management_port, "/metrics", &reply);
        if (strstr(reply.body, line))
            return;
        if (peer_ms() - since > PEER_PATIENCE_MS)
            fail_msg("\"%s\" is not in \"%s\"", line, reply.body);
    }
}

static struct server_config room_for(unsigned connections)
{
    struct server_config config = peer_config();
    config.connections = config.connections_per_source = connections;
    return config;
}

static void who_keeps_it_waiting_longest_makes_room(void **state)
{
    (void)state;
    struct peer peer = peer_start(room_for(3));
    int idle = client_served(peer.port), slow = client_connect(peer.port);
    client_send_text(slow, HALF "Content-Type: application/mikey\r\nContent-Length: 9\r\n\r\nx");
    usleep(50000);
    int active = client_served(peer.port);
    int fourth = client_served(peer.port);
    assert_true(client_is_closed(idle));
    client_post(active, "once more");
    client_read(active, &reply);
    int fifth = client_served(peer.port);
    assert_true(client_is_closed(slow));
    int sixth = client_served(peer.port);
    assert_true(client_is_closed(fourth));
    client_post(active, "still in");
    client_read(active, &reply);
    assert_string_equal(reply.body, "still in");
    peer_await_log(&peer, "event=connection-evicted");
    expect_metric(&peer, "\ntbs_kms_connections 3\n");
    expect_metric(&peer, "\ntbs_kms_connections_evicted_total 3\n");
    expect_metric(&peer, "\ntbs_kms_connections_refused_total 0\n");
    close(idle), close(slow), close(active), close(fourth), close(fifth), close(sixth);
    peer_stop(&peer);
}

static void who_is_at_work_stays(void **state)
{
    (void)state;
    struct peer peer = peer_start(room_for(3));
    int fd[3];
    for (int i = 0; i < 3; i++) {
        fd[i] = client_connect(peer.port);
        client_post(fd[i], "sleep 400"); /* two work, one waits for a worker */
    }
    peer_await(&peer.story->began, 2);
    usleep(50000);
    int extra = client_connect(peer.port);
    assert_true(client_is_closed(extra));
    close(extra);
    for (int i = 0; i < 3; i++) {
        client_read(fd[i], &reply);
        assert_int_equal(reply.status, 200);
        close(fd[i]);
    }
    peer_await_log(&peer, "event=connection-refused source=127.0.0.1:");
    peer_await_log(&peer, "reason=\"none of 3 connections can make room\"");
    expect_metric(&peer, "\ntbs_kms_connections_refused_total 1\n");
    expect_metric(&peer, "\ntbs_kms_connections_evicted_total 0\n");
    peer_stop(&peer);
}

static void one_source_has_its_share(void **state)
{
    (void)state;
    struct server_config config = room_for(10);
    config.connections_per_source = 2;
    struct peer peer = peer_start(config);
    int first = client_served(peer.port), second = client_served(peer.port);
    int third = client_connect(peer.port), other = client_connect_from("127.0.0.2", peer.port);
    assert_true(client_is_closed(third));
    close(third);
    client_post(other, "from elsewhere");
    client_read(other, &reply);
    assert_string_equal(reply.body, "from elsewhere");
    peer_await_log(&peer, "it has 2 connections already");
    peer_await_log(&peer, "raise server.connections_per_source");
    close(first);
    expect_metric(&peer, "\ntbs_kms_connections 2\n");
    third = client_served(peer.port); /* in the place of the first */
    close(second), close(third), close(other);
    peer_stop(&peer);
}

/* None of them completes a request, and they keep coming. */
static void idle_ones_keep_nobody_out(void **state)
{
    (void)state;
    /* More room than what can wait to be accepted by one thread: that might come all at once, when
     * the machine is busy, between a newcomer's connection and its request. */
    enum { FLOOD = 900, ROOM = 256, SERVED = 60 };
    struct server_config config = room_for(ROOM);
    config.front_threads = 4;
    config.idle_timeout_s = config.transfer_timeout_s = 60;
    struct peer peer = peer_start(config);
    static int flood[FLOOD];
    for (int i = 0, served = 0; i < FLOOD; i++) {
        flood[i] = client_connect(peer.port);
        if (i % 3 == 0)
            client_send_text(flood[i], HALF);
        if (i > ROOM && i % (FLOOD / SERVED) == 0 && served++ < SERVED)
            close(client_served(peer.port));
    }
    char *log = peer_log(&peer);
    assert_null(strstr(log, "accept-failed"));
    free(log);
    for (int i = 0; i < FLOOD; i++)
        close(flood[i]);
    expect_metric(&peer, "\ntbs_kms_connections 0\n");
    expect_metric(&peer, "\ntbs_kms_connections_refused_total 0\n");
    peer_stop(&peer);
}

static void idle_ones_do_not_hide_the_health(void **state)
{
    (void)state;
    enum { FLOOD = 100 };
    struct peer peer = peer_start(peer_config());
    int flood[FLOOD];
    for (int i = 0; i < FLOOD; i++)
        flood[i] = client_connect(peer.management_port);
    client_get(peer.management_port, "/healthz", &reply);
    assert_int_equal(reply.status, 200);
    for (int i = 0; i < FLOOD; i++)
        close(flood[i]);
    peer_stop(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_keeps_it_waiting_longest_makes_room),
        cmocka_unit_test(who_is_at_work_stays),
        cmocka_unit_test(one_source_has_its_share),
        cmocka_unit_test(idle_ones_keep_nobody_out),
        cmocka_unit_test(idle_ones_do_not_hide_the_health),
    };
    return cmocka_run_group_tests_name("server connections", tests, NULL, NULL);
}
