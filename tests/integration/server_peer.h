/* For test_server.c: a server with a handler of the test's own in a child process, and a
 * client of bare sockets. Everything here fails the test when it does not work, and nothing
 * waits for longer than PEER_PATIENCE_MS. */
#ifndef TBS_TESTS_SERVER_PEER_H
#define TBS_TESTS_SERVER_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "server/server.h"

#define PEER_PATIENCE_MS 8000

/* The handler's side of the story, in memory that both processes see. What it answers:
 *   "sleep N ..."  waits N ms first, then as below
 *   "deny"         403 with a body, outcome "denied", fresh
 *   "busy"         503 without a body, with Retry-After
 *   "forge"        200 and a log detail that tries to forge a line
 *   "silent"       sets nothing
 *   "noise"        400 without a body, as for what is not MIKEY
 *   anything else  200 with the same octets, outcome "echo" */
struct peer_story {
    atomic_int handled, began, opened, closed, reloads;
    atomic_bool foreign_thread; /* a worker was used outside the thread that opened it */
    atomic_bool not_ready, reload_fails;
    atomic_bool open_fails, open_hangs; /* for worker 1 */
};

struct peer {
    pid_t pid;
    struct peer_story *story;
    char dir[32], log[64], addresses[64];
    int port, management_port;
};

/* Small limits and port 0 everywhere; change what the test is about. */
struct server_config peer_config(void);
/* Starts and waits until it listens. */
struct peer peer_start(struct server_config config);
/* Starts with worker 1 held up until story->open_hangs is cleared; then comes peer_await_start. */
struct peer peer_start_hanging(struct server_config config);
void peer_await_start(struct peer *peer);
/* Starts and expects an end by itself: returns its exit code, which is -(enum tbs_err). */
int peer_start_fails(struct server_config config, bool open_fails, const char *sentence);
/* SIGTERM, and expects exit code 0 without a leak. */
void peer_stop(struct peer *peer);
/* Expects the end of the process: returns its exit code, or 1000 and the signal that ended it, and
 * removes its files. */
int peer_wait(struct peer *peer);
/* The log so far; the caller frees it. */
char *peer_log(const struct peer *peer);
/* Waits until the log has `text`. */
void peer_await_log(const struct peer *peer, const char *text);
void peer_await(atomic_int *value, int wanted);
int peer_ms(void); /* a steady clock */

struct reply {
    int status;
    char head[2048], body[70000];
    size_t len;
};

int client_connect(int port);
int client_connect_from(const char *ip, int port); /* one of 127.0.0.0/8 */
void client_send(int fd, const void *octets, size_t len);
void client_send_text(int fd, const char *text);
/* A POST to /mikey. */
void client_post(int fd, const char *body);
void client_read(int fd, struct reply *reply);
void client_read_head(int fd, struct reply *reply); /* up to its empty line */
bool client_is_closed(int fd); /* waits for it; octets before the end are an error */
bool reply_has(const struct reply *reply, const char *header);
/* One request of its own connection. */
void client_get(int port, const char *path, struct reply *reply);

#endif
