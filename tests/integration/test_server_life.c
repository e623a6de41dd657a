/* The daemon under load and through its life: queue, deadlines, ceilings, signals, stopping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server_peer.h"

static struct reply reply;

#define TYPE "Content-Type: application/mikey\r\n"
#define POST "POST /mikey HTTP/1.1\r\nHost: kms\r\n"

static void it_refuses_to_start_with_a_reason(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.management = (char *)"0.0.0.0:0";
    assert_int_equal(peer_start_fails(config, false, "must be a loopback address"),
                     -TBS_ERR_CONFIG);
    config = peer_config();
    config.listen = (char *)"192.0.2.1:80";
    assert_int_equal(peer_start_fails(config, false, "cannot listen on 192.0.2.1:80"), -TBS_ERR_IO);
    config = peer_config();
    config.workers = 3;
    assert_int_equal(peer_start_fails(config, true, "failed: no session for worker 1"),
                     -TBS_ERR_TOKEN);
    config = peer_config();
    config.connections = 2000000000;
    assert_int_equal(peer_start_fails(config, false, "raise LimitNOFILE"), -TBS_ERR_CONFIG);
}

static void a_start_that_hangs_can_be_ended(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        struct peer peer = peer_start_hanging(peer_config());
        usleep(50000); /* waits for worker 1 */
        kill(peer.pid, signals[i]);
        assert_int_equal(peer_wait(&peer), 1000 + signals[i]);
    }
}

static void a_hangup_at_the_start_is_served_after_it(void **state)
{
    (void)state;
    struct peer peer = peer_start_hanging(peer_config());
    usleep(50000);
    kill(peer.pid, SIGHUP);
    usleep(50000);
    assert_int_equal(atomic_load(&peer.story->reloads), 0);
    atomic_store(&peer.story->open_hangs, false);
    peer_await_start(&peer);
    peer_await(&peer.story->reloads, 1);
    peer_stop(&peer);
}

static void a_full_queue_answers_503_at_once(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.workers = config.queue = 1;
    struct peer peer = peer_start(config);
    int working = client_connect(peer.port), waiting = client_connect(peer.port);
    int third = client_connect(peer.port);
    client_post(working, "sleep 1000");
    peer_await(&peer.story->began, 1);
    client_post(waiting, "waiting");
    usleep(50000); /* both front threads may have had it */
    int since = peer_ms();
    client_post(third, "too many");
    client_read(third, &reply);
    assert_in_range(peer_ms() - since, 0, 700); /* the worker is busy for longer */
    assert_int_equal(reply.status, 503);
    assert_true(reply_has(&reply, "Retry-After: 1"));
    assert_null(strstr(reply.head, "Connection:"));
    client_read(working, &reply);
    assert_int_equal(reply.status, 200);
    client_read(waiting, &reply);
    assert_string_equal(reply.body, "waiting");
    client_post(third, "again");
    client_read(third, &reply);
    assert_int_equal(reply.status, 200);
    client_get(peer.management_port, "/metrics", &reply);
    assert_non_null(strstr(reply.body, "\ntbs_kms_queue_rejects_total 1\n"));
    assert_non_null(strstr(reply.body, "{outcome=\"overload\",status=\"503\"} 1\n"));
    close(working), close(waiting), close(third);
    peer_stop(&peer);
}

static void work_past_its_deadline_is_dropped(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.workers = 1;
    config.deadline_ms = 200;
    struct peer peer = peer_start(config);
    int working = client_connect(peer.port), waiting = client_connect(peer.port);
    int since = peer_ms();
    client_post(working, "sleep 1500");
    peer_await(&peer.story->began, 1);
    client_post(waiting, "never begun");
    client_read(working, &reply);
    assert_int_equal(reply.status, 503);
    assert_true(reply_has(&reply, "Retry-After: 1"));
    client_read(waiting, &reply);
    assert_int_equal(reply.status, 503);
    assert_in_range(peer_ms() - since, 190, 1300); /* before the handler was done */
    peer_await(&peer.story->handled, 1);
    client_post(waiting, "begun");
    client_read(waiting, &reply);
    assert_string_equal(reply.body, "begun");
    assert_int_equal(atomic_load(&peer.story->handled), 2);
    client_get(peer.management_port, "/metrics", &reply);
    assert_non_null(strstr(reply.body, "\ntbs_kms_expired_total 2\n"));
    peer_await_log(&peer, "event=late-answer");
    close(working), close(waiting);
    peer_stop(&peer);
}

static void work_of_broken_connections_is_dropped(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.workers = 1;
    struct peer peer = peer_start(config);
    int working = client_connect(peer.port), leaving = client_connect(peer.port);
    int staying = client_connect(peer.port);
    client_post(working, "sleep 300");
    peer_await(&peer.story->began, 1);
    client_post(leaving, "never begun");
    client_post(staying, "still here");
    usleep(50000);
    setsockopt(leaving, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
               sizeof(struct linger));
    close(leaving); /* a reset */
    close(working); /* while the handler has it */
    client_read(staying, &reply);
    assert_string_equal(reply.body, "still here");
    assert_int_equal(atomic_load(&peer.story->handled), 2);
    close(staying);
    client_get(peer.management_port, "/metrics", &reply);
    assert_non_null(strstr(reply.body, "{outcome=\"abandoned\",status=\"503\"} 1\n"));
    peer_stop(&peer);
}

static void stopping_finishes_what_has_begun(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.workers = 1;
    struct peer peer = peer_start(config);
    int working = client_connect(peer.port), waiting = client_connect(peer.port);
    int idle = client_connect(peer.port), half = client_connect(peer.port);
    client_post(idle, "x");
    client_read(idle, &reply);
    client_send_text(half, POST TYPE "Content-Length: 4\r\n\r\nha");
    client_post(working, "sleep 500");
    peer_await(&peer.story->began, 2);
    client_post(waiting, "sleep 50");
    usleep(50000);
    kill(peer.pid, SIGTERM);
    assert_true(client_is_closed(idle)); /* at once, so from here on it stops */
    client_get(peer.management_port, "/healthz", &reply);
    assert_int_equal(reply.status, 200);
    client_get(peer.management_port, "/readyz", &reply);
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.body, "stopping\n");
    peer_await_log(&peer, "event=stopping reason=SIGTERM");
    assert_int_equal(atomic_load(&peer.story->handled), 1);
    client_send_text(half, "lf");
    client_read(working, &reply);
    assert_int_equal(reply.status, 200);
    assert_true(reply_has(&reply, "Connection: close"));
    client_read(waiting, &reply);
    assert_string_equal(reply.body, "sleep 50");
    client_read(half, &reply);
    assert_string_equal(reply.body, "half");
    assert_true(client_is_closed(working) && client_is_closed(waiting) && client_is_closed(half));
    close(working), close(waiting), close(idle), close(half);
    int since = peer_ms();
    assert_int_equal(peer_wait(&peer), 0);
    assert_in_range(peer_ms() - since, 0, 1000);
    assert_int_equal(client_connect(peer.port), -1);
}

static void the_grace_period_ends_what_would_not_end(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.grace_s = 1;
    struct peer peer = peer_start(config); /* a client that does not send its request's end */
    int half = client_connect(peer.port);
    client_send_text(half, POST);
    usleep(50000);
    kill(peer.pid, SIGINT);
    assert_true(client_is_closed(half));
    close(half);
    assert_int_equal(peer_wait(&peer), 0);

    peer = peer_start(config); /* a handler that does not come back */
    int working = client_connect(peer.port);
    client_post(working, "sleep 4000");
    peer_await(&peer.story->began, 1);
    int since = peer_ms();
    kill(peer.pid, SIGTERM);
    peer_await_log(&peer, "failed: 1 worker did not come back");
    assert_in_range(peer_ms() - since, 1000, 3500);
    assert_int_equal(peer_wait(&peer), -TBS_ERR_UNAVAILABLE); /* and then the worker did */
    assert_true(client_is_closed(working));
    close(working);
}

static void every_thread_and_connection_gets_its_descriptors(void **state)
{
    (void)state;
    enum { N = 250 };
    struct server_config config = peer_config();
    config.connections = N;
    config.front_threads = config.workers = 64;
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = N + 64, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0); /* to be raised as needed */
    struct peer peer = peer_start(config);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    int fd[N];
    for (int i = 0; i < N; i++) {
        fd[i] = client_connect(peer.port);
        client_post(fd[i], "in");
        client_read(fd[i], &reply);
        assert_int_equal(reply.status, 200);
    }
    char *log = peer_log(&peer);
    assert_null(strstr(log, "accept-failed"));
    free(log);
    for (int i = 0; i < N; i++)
        close(fd[i]);
    peer_stop(&peer);
}

static void two_hundred_at_once_all_get_their_own_answer(void **state)
{
    (void)state;
    enum { N = 200, ROUNDS = 3 };
    struct server_config config = peer_config();
    config.front_threads = config.workers = 4;
    config.queue = N;
    struct peer peer = peer_start(config);
    int fd[N];
    char body[32];
    for (int i = 0; i < N; i++)
        fd[i] = client_connect(peer.port);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            snprintf(body, sizeof body, "%d of round %d", i, round);
            client_post(fd[i], body);
        }
        for (int i = N - 1; i >= 0; i--) {
            client_read(fd[i], &reply);
            snprintf(body, sizeof body, "%d of round %d", i, round);
            assert_int_equal(reply.status, 200);
            assert_string_equal(reply.body, body);
        }
    }
    for (int i = 0; i < N; i++)
        close(fd[i]);
    assert_int_equal(atomic_load(&peer.story->handled), N * ROUNDS);
    assert_int_equal(atomic_load(&peer.story->opened), 4);
    peer_stop(&peer);
}

/* Every worker hangs in the handler; spares serve, and go when the workers are back. */
static void spares_serve_while_workers_hang(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.workers = 2;
    config.deadline_ms = 100;
    struct peer peer = peer_start(config);
    int hung[2], fd;
    for (int i = 0; i < 2; i++) {
        hung[i] = client_connect(peer.port);
        client_post(hung[i], "sleep 2500 x");
    }
    for (int i = 0; i < 2; i++) {
        client_read(hung[i], &reply);
        assert_int_equal(reply.status, 503);
    }
    peer_await_log(&peer, "event=worker-spare worker=3");
    client_get(peer.management_port, "/metrics", &reply);
    assert_non_null(strstr(reply.body, "tbs_workers{state=\"stuck\"} 2\n"));
    assert_non_null(strstr(reply.body, "tbs_workers{state=\"running\"} 2\n"));
    client_get(peer.management_port, "/readyz", &reply);
    assert_int_equal(reply.status, 200);
    for (int i = 0; i < 20; i++) {
        fd = client_connect(peer.port);
        client_post(fd, "served");
        client_read(fd, &reply);
        assert_int_equal(reply.status, 200);
        close(fd);
    }
    peer_await(&peer.story->closed, 2); /* two of the four have ended */
    client_get(peer.management_port, "/metrics", &reply);
    assert_non_null(strstr(reply.body, "tbs_workers{state=\"stuck\"} 0\n"));
    assert_non_null(strstr(reply.body, "tbs_workers{state=\"running\"} 2\n"));
    for (int i = 0; i < 2; i++)
        close(hung[i]);
    peer_stop(&peer);
}

/* When the spares hang, too, there is nothing left to do than to say so. */
static void when_all_hang_it_is_not_ready(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.workers = 1;
    config.deadline_ms = 100;
    struct peer peer = peer_start(config);
    int hung[2];
    for (int i = 0; i < 2; i++) {
        hung[i] = client_connect(peer.port);
        client_post(hung[i], "sleep 2500 x");
        client_read(hung[i], &reply);
        assert_int_equal(reply.status, 503);
        peer_await_log(&peer, i == 0 ? "event=worker-spare" : "event=worker-stuck worker=1");
    }
    client_get(peer.management_port, "/readyz", &reply);
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(reply.body, "hang in the token or the store"));
    peer_await_log(&peer, "event=worker-back");
    for (int i = 0; i < 2; i++)
        close(hung[i]);
    peer_stop(&peer);
}

static void clients_that_vanish_at_any_moment_do_no_harm(void **state)
{
    (void)state;
    struct server_config config = peer_config();
    config.deadline_ms = 20;
    config.queue = 8;
    struct peer peer = peer_start(config);
    const struct linger reset = {.l_onoff = 1};
    for (int i = 0; i < 300; i++) {
        int fd = client_connect(peer.port);
        char body[32];
        snprintf(body, sizeof body, "sleep %d", i % 25); /* some just past the deadline */
        client_post(fd, body);
        if (i % 3 == 0)
            client_post(fd, "and more");
        usleep((useconds_t)(i % 7) * 500);
        if (i % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    usleep(100000);
    int fd = client_connect(peer.port);
    client_post(fd, "alive");
    client_read(fd, &reply);
    assert_string_equal(reply.body, "alive");
    close(fd);
    peer_stop(&peer);
}

static void expect_notice(int fd, const char *wanted)
{
    char text[512];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (;;) {
        assert_int_equal(poll(&p, 1, PEER_PATIENCE_MS), 1);
        ssize_t len = recv(fd, text, sizeof text - 1, 0);
        assert_true(len > 0);
        text[len] = 0;
        if (strncmp(text, "WATCHDOG=1", 10) != 0 || strcmp(wanted, "WATCHDOG=1") == 0)
            break;
    }
    if (strncmp(text, wanted, strlen(wanted)) != 0)
        fail_msg("\"%s\" instead of \"%s\"", text, wanted);
}

static void the_service_manager_and_hangup_are_heard(void **state)
{
    (void)state;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/tbs-notify-XXXXXX";
    assert_non_null(mkdtemp(dir));
    snprintf(name.sun_path, sizeof name.sun_path, "%s/socket", dir);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    setenv("NOTIFY_SOCKET", name.sun_path, 1);
    setenv("WATCHDOG_USEC", "200000", 1);
    struct peer peer = peer_start(peer_config());
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    expect_notice(fd, "READY=1\nSTATUS=Serving on 127.0.0.1:");
    expect_notice(fd, "WATCHDOG=1");
    kill(peer.pid, SIGHUP);
    expect_notice(fd, "RELOADING=1\nMONOTONIC_USEC=");
    expect_notice(fd, "READY=1");
    assert_int_equal(atomic_load(&peer.story->reloads), 1);
    atomic_store(&peer.story->reload_fails, true);
    kill(peer.pid, SIGHUP);
    peer_await_log(&peer, "level=error event=reload-failed reason=\"policy.yaml:3: unknown key\"");
    assert_int_equal(atomic_load(&peer.story->reloads), 2);
    expect_notice(fd, "RELOADING=1");
    expect_notice(fd, "READY=1");
    int client = client_connect(peer.port); /* and it still serves */
    client_post(client, "x");
    client_read(client, &reply);
    assert_int_equal(reply.status, 200);
    close(client);
    kill(peer.pid, SIGTERM);
    expect_notice(fd, "STOPPING=1");
    assert_int_equal(peer_wait(&peer), 0);
    close(fd);
    unlink(name.sun_path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_refuses_to_start_with_a_reason),
        cmocka_unit_test(a_start_that_hangs_can_be_ended),
        cmocka_unit_test(a_hangup_at_the_start_is_served_after_it),
        cmocka_unit_test(a_full_queue_answers_503_at_once),
        cmocka_unit_test(work_past_its_deadline_is_dropped),
        cmocka_unit_test(work_of_broken_connections_is_dropped),
        cmocka_unit_test(stopping_finishes_what_has_begun),
        cmocka_unit_test(the_grace_period_ends_what_would_not_end),
        cmocka_unit_test(every_thread_and_connection_gets_its_descriptors),
        cmocka_unit_test(two_hundred_at_once_all_get_their_own_answer),
        cmocka_unit_test(clients_that_vanish_at_any_moment_do_no_harm),
        cmocka_unit_test(spares_serve_while_workers_hang),
        cmocka_unit_test(when_all_hang_it_is_not_ready),
        cmocka_unit_test(the_service_manager_and_hangup_are_heard),
    };
    return cmocka_run_group_tests_name("server life", tests, NULL, NULL);
}
