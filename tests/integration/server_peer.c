#include "server_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/secret.h"
#include "server/metrics.h"

struct echo {
    struct peer_story *story;
    pid_t thread;
};

int peer_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)(now.tv_sec % 1000000 * 1000 + now.tv_nsec / 1000000);
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static enum tbs_err echo_open(void *ctx, unsigned index, void **ret_worker, struct tbs_diag *diag)
{
    struct peer_story *story = ctx;
    if (atomic_load(&story->open_fails) && index == 1)
        return tbs_fail(diag, TBS_ERR_TOKEN, "no session for worker %u", index);
    while (atomic_load(&story->open_hangs) && index == 1)
        sleep_ms(5);
    struct echo *echo = malloc(sizeof *echo);
    if (!echo)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory");
    *echo = (struct echo){story, gettid()};
    atomic_fetch_add(&story->opened, 1);
    *ret_worker = echo;
    return TBS_OK;
}

static void echo_close(void *worker)
{
    struct echo *echo = worker;
    if (echo->thread != gettid())
        atomic_store(&echo->story->foreign_thread, true);
    atomic_fetch_add(&echo->story->closed, 1);
    free(echo);
}

static void answer(struct server_reply *reply, int status, const char *outcome,
                   struct tbs_bytes body)
{
    reply->status = status;
    reply->outcome = outcome;
    tbs_put_bytes(&reply->body, body);
}

static void echo_handle(void *worker, const struct server_request *request,
                        struct server_reply *reply)
{
    struct echo *echo = worker;
    struct tbs_bytes body = request->body;
    char text[64];
    int ms;
    if (echo->thread != gettid() || request->deadline_ns == 0 || !strchr(request->source, ':'))
        atomic_store(&echo->story->foreign_thread, true);
    atomic_fetch_add(&echo->story->began, 1);
    snprintf(text, sizeof text, "%.*s", (int)(body.len < 63 ? body.len : 63), body.data);
    if (sscanf(text, "sleep %d", &ms) == 1)
        sleep_ms(ms);
    if (strcmp(text, "deny") == 0) {
        answer(reply, 403, "denied", tbs_bytes_str("E12"));
        snprintf(reply->detail, sizeof reply->detail, "not for this one");
        reply->fresh = true;
    } else if (strcmp(text, "busy") == 0) {
        answer(reply, 503, "token-down", tbs_bytes(NULL, 0));
        reply->retry_after = true;
    } else if (strcmp(text, "noise") == 0) {
        answer(reply, 400, "malformed", tbs_bytes(NULL, 0));
    } else if (strcmp(text, "forge") == 0) {
        answer(reply, 200, "forge", body);
        snprintf(reply->detail, sizeof reply->detail,
                 "a\ntime=x level=error event=forged \"b\" \x1b[31m\xff");
    } else if (strcmp(text, "silent") != 0) {
        answer(reply, 200, "echo", body);
    }
    atomic_fetch_add(&echo->story->handled, 1);
}

static enum tbs_err echo_ready(void *ctx, struct tbs_diag *diag)
{
    struct peer_story *story = ctx;
    if (atomic_load(&story->not_ready))
        return tbs_fail(diag, TBS_ERR_TOKEN, "token tbs is locked");
    return TBS_OK;
}

static enum tbs_err echo_reload(void *ctx, struct tbs_diag *diag)
{
    struct peer_story *story = ctx;
    atomic_fetch_add(&story->reloads, 1);
    if (atomic_load(&story->reload_fails))
        return tbs_fail(diag, TBS_ERR_CONFIG, "policy.yaml:3: unknown key");
    return TBS_OK;
}

static void echo_metrics(void *ctx, struct tbs_buf *text)
{
    struct peer_story *story = ctx;
    metrics_printf(text,
                   "# HELP echo_handled_total Echoes.\n# TYPE echo_handled_total counter\n"
                   "echo_handled_total %d\n",
                   atomic_load(&story->handled));
}

struct server_config peer_config(void)
{
    return (struct server_config){
        .listen = (char *)"127.0.0.1:0",
        .management = (char *)"127.0.0.1:0",
        .path = (char *)"/mikey",
        .front_threads = 2,
        .workers = 2,
        .queue = 64,
        .connections = 512,
        .connections_per_source = 512,
        .deadline_ms = 5000,
        .idle_timeout_s = 5,
        .transfer_timeout_s = 5,
        .grace_s = 5,
    };
}

/* exit, not _exit: the leak checker runs there. */
static void run_child(const struct peer *peer, struct server_config config)
{
    struct server_handler handler = {peer->story, echo_open,   echo_close,  echo_handle,
                                     echo_ready,  echo_reload, echo_metrics};
    struct tbs_diag diag = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves its server behind */
    server_prepare_signals();
    int log = open(peer->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(99);
    close(log);
    config.address_file = (char *)peer->addresses;
    enum tbs_err err = server_run(&config, &handler, &diag);
    if (err != TBS_OK)
        dprintf(STDERR_FILENO, "failed: %s\n", diag.text);
    handler = (struct server_handler){0}; /* not even a worker that hangs needs it any more */
    if (err == TBS_ERR_UNAVAILABLE) {
        peer_await(&peer->story->closed, atomic_load(&peer->story->opened));
        _exit(-err);
    }
    exit(-err);
}

static struct peer launch(struct server_config config, bool open_fails, bool open_hangs)
{
    struct peer peer = {.dir = "/tmp/tbs-server-XXXXXX"};
    assert_non_null(mkdtemp(peer.dir));
    snprintf(peer.log, sizeof peer.log, "%s/log", peer.dir);
    snprintf(peer.addresses, sizeof peer.addresses, "%s/addresses", peer.dir);
    peer.story =
        mmap(NULL, sizeof *peer.story, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(peer.story != MAP_FAILED);
    atomic_store(&peer.story->open_fails, open_fails);
    atomic_store(&peer.story->open_hangs, open_hangs);
    fflush(NULL);
    peer.pid = fork();
    assert_true(peer.pid >= 0);
    if (peer.pid == 0)
        run_child(&peer, config);
    return peer;
}

static bool read_ports(struct peer *peer)
{
    FILE *file = fopen(peer->addresses, "r");
    if (!file)
        return false;
    int got = fscanf(file, "127.0.0.1:%d\n127.0.0.1:%d\n", &peer->port, &peer->management_port);
    fclose(file);
    return got == 2;
}

void peer_await_start(struct peer *peer)
{
    for (int since = peer_ms(); !read_ports(peer); sleep_ms(5))
        if (peer_ms() - since > PEER_PATIENCE_MS || waitpid(peer->pid, NULL, WNOHANG) != 0)
            fail_msg("the server did not start: %s", peer_log(peer));
}

struct peer peer_start(struct server_config config)
{
    struct peer peer = launch(config, false, false);
    peer_await_start(&peer);
    return peer;
}

struct peer peer_start_hanging(struct server_config config)
{
    struct peer peer = launch(config, false, true);
    peer_await(&peer.story->opened, 1); /* worker 0 */
    return peer;
}

int peer_start_fails(struct server_config config, bool open_fails, const char *sentence)
{
    struct peer peer = launch(config, open_fails, false);
    int status;
    assert_int_equal(waitpid(peer.pid, &status, 0), peer.pid);
    char *log = peer_log(&peer);
    if (!strstr(log, sentence))
        fail_msg("\"%s\" is not in \"%s\"", sentence, log);
    free(log);
    assert_int_equal(atomic_load(&peer.story->opened), atomic_load(&peer.story->closed));
    unlink(peer.log);
    assert_int_equal(rmdir(peer.dir), 0); /* no address file either */
    munmap(peer.story, sizeof *peer.story);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int peer_wait(struct peer *peer)
{
    int status;
    for (int since = peer_ms(); waitpid(peer->pid, &status, WNOHANG) == 0; sleep_ms(5))
        if (peer_ms() - since > PEER_PATIENCE_MS) {
            kill(peer->pid, SIGKILL);
            fail_msg("the server did not end: %s", peer_log(peer));
        }
    assert_false(atomic_load(&peer->story->foreign_thread));
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    if (code != 0 && code != -TBS_ERR_UNAVAILABLE) {
        char *log = peer_log(peer);
        print_error("%s", log);
        free(log);
    }
    if (code == 0) {
        assert_int_equal(access(peer->addresses, F_OK), -1);
        assert_int_equal(atomic_load(&peer->story->opened), atomic_load(&peer->story->closed));
    }
    unlink(peer->addresses);
    unlink(peer->log);
    rmdir(peer->dir);
    munmap(peer->story, sizeof *peer->story);
    return code;
}

void peer_stop(struct peer *peer)
{
    assert_int_equal(kill(peer->pid, SIGTERM), 0);
    assert_int_equal(peer_wait(peer), 0);
}

char *peer_log(const struct peer *peer)
{
    char *log = calloc(1, 1 << 20);
    FILE *file = fopen(peer->log, "r");
    assert_non_null(log);
    if (file) {
        size_t len = fread(log, 1, (1 << 20) - 1, file);
        log[len] = 0;
        fclose(file);
    }
    return log;
}

void peer_await_log(const struct peer *peer, const char *text)
{
    for (int since = peer_ms();; sleep_ms(5)) {
        char *log = peer_log(peer);
        bool found = strstr(log, text) != NULL;
        if (!found && peer_ms() - since > PEER_PATIENCE_MS)
            fail_msg("\"%s\" is not in \"%s\"", text, log);
        free(log);
        if (found)
            return;
    }
}

void peer_await(atomic_int *value, int wanted)
{
    for (int since = peer_ms(); atomic_load(value) < wanted; sleep_ms(2))
        if (peer_ms() - since > PEER_PATIENCE_MS)
            fail_msg("got %d, wanted %d", atomic_load(value), wanted);
}

int client_connect(int port)
{
    return client_connect_from("127.0.0.1", port);
}

int client_connect_from(const char *ip, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(ip)};
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((in_port_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof from), 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
    return -1;
}

void client_send(int fd, const void *octets, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)octets + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0)
            return; /* the server closed: what it said is still to be read */
        sent += (size_t)n;
    }
}

void client_send_text(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

void client_post(int fd, const char *body)
{
    char text[1024];
    snprintf(text, sizeof text,
             "POST /mikey HTTP/1.1\r\nHost: kms\r\nContent-Type: application/mikey\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    client_send_text(fd, text);
}

/* 0 at the end of the connection. */
static size_t receive(int fd, void *octets, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, PEER_PATIENCE_MS) != 1)
        fail_msg("nothing came for %d ms", PEER_PATIENCE_MS);
    ssize_t n = recv(fd, octets, len, 0);
    return n < 0 ? 0 : (size_t)n;
}

void client_read_head(int fd, struct reply *reply)
{
    size_t len = 0;
    char *end = NULL;
    memset(reply, 0, sizeof *reply);
    while (!end) { /* octet by octet: the next reply stays in the socket */
        assert_true(len < sizeof reply->head - 1);
        if (receive(fd, reply->head + len, 1) == 0)
            fail_msg("the connection ended within a head: \"%s\"", reply->head);
        len++;
        end = strstr(reply->head, "\r\n\r\n");
    }
    assert_int_equal(sscanf(reply->head, "HTTP/1.1 %d ", &reply->status), 1);
}

void client_read(int fd, struct reply *reply)
{
    client_read_head(fd, reply);
    const char *length = strstr(reply->head, "\r\nContent-Length: ");
    size_t want = length ? strtoul(length + 18, NULL, 10) : 0;
    assert_true(want < sizeof reply->body);
    while (reply->len < want) {
        size_t n = receive(fd, reply->body + reply->len, want - reply->len);
        assert_true(n > 0);
        reply->len += n;
    }
}

bool client_is_closed(int fd)
{
    char octet;
    return receive(fd, &octet, 1) == 0;
}

bool reply_has(const struct reply *reply, const char *header)
{
    char line[256];
    snprintf(line, sizeof line, "\r\n%s\r\n", header);
    return strstr(reply->head, line) != NULL;
}

void client_get(int port, const char *path, struct reply *reply)
{
    char text[512];
    int fd = client_connect(port);
    assert_true(fd >= 0);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: kms\r\nConnection: close\r\n\r\n", path);
    client_send_text(fd, text);
    client_read(fd, reply);
    assert_true(client_is_closed(fd));
    close(fd);
}
