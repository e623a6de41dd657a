/* mock-tpm: a TPM that passes every command on to a software TPM, and misbehaves as a script says
 * (rules.h):
 *
 *   mock-tpm SOCKET SWTPM_SOCKET SCRIPT
 *
 * As swtpm does, it listens on a Unix socket and serves one connection at a time; where the one to
 * swtpm ends, so does the other. swtpm's control channel is no business of it: tpm2-tss looks for
 * that beside SOCKET, with `.ctrl` appended, where a symbolic link will do. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/mock-tpm/rules.h"

#define MESSAGE_MAX 4096
#define HEADER 10 /* tag, size, and command or response code: TPM 2.0 Library, part 1, 18 */

static const char *script;

struct message {
    uint8_t octets[MESSAGE_MAX];
    uint32_t len;
};

static uint32_t u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_u32(uint8_t *at, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(n >> (24 - 8 * i));
}

static void pause_ms(uint32_t ms)
{
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

/* --- Sockets --- */

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    if (snprintf(at.sun_path, sizeof at.sun_path, "%s", path) >= (int)sizeof at.sun_path) {
        fprintf(stderr, "mock-tpm: %s is too long for a socket\n", path);
        exit(2);
    }
    return at;
}

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd < 0) {
        perror("mock-tpm: socket");
        exit(1);
    }
    return fd;
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = address(path);
    int fd = new_socket();

    unlink(path);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 8) != 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

static bool receive(int fd, uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, out, len);

        if (n <= 0)
            return false;
        out += n;
        len -= (size_t)n;
    }
    return true;
}

static bool receive_message(int fd, struct message *m)
{
    if (!receive(fd, m->octets, HEADER))
        return false;
    m->len = u32(m->octets + 2);
    return m->len >= HEADER && m->len <= MESSAGE_MAX &&
           receive(fd, m->octets + HEADER, m->len - HEADER);
}

static bool send_message(int fd, const struct message *m)
{
    return write(fd, m->octets, m->len) == (ssize_t)m->len;
}

/* True: the first one has something to say, and the other is still there. */
static bool await(int client, int tpm)
{
    struct pollfd fds[2] = {{client, POLLIN, 0}, {tpm, POLLIN, 0}};

    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return !fds[1].revents;
}

static bool is_gone(int client)
{
    struct pollfd fd = {client, POLLRDHUP, 0};

    return poll(&fd, 1, 0) > 0 && fd.revents & (POLLRDHUP | POLLHUP);
}

/* --- Commands --- */

static enum action ask(int client, const struct message *command, uint32_t *ret_value)
{
    uint32_t code = u32(command->octets + 6);
    enum action action;

    do {
        if (!rules_read(script))
            exit(1);
        action = rules_ask(code, ret_value);
        if (action == HANG)
            pause_ms(20);
    } while (action == HANG && !is_gone(client));
    return action;
}

static bool answer_itself(int client, uint32_t rc)
{
    struct message m = {{0x80, 0x01}, HEADER}; /* TPM_ST_NO_SESSIONS */

    put_u32(m.octets + 2, HEADER);
    put_u32(m.octets + 6, rc);
    return send_message(client, &m);
}

/* False: the connection is over. */
static bool one_command(int client, int tpm)
{
    struct message m;
    uint32_t value = 0;

    if (!await(client, tpm) || !receive_message(client, &m))
        return false;
    enum action action = ask(client, &m, &value);

    if (action == FAIL)
        return answer_itself(client, value);
    if (action == DELAY)
        pause_ms(value);
    if (!send_message(tpm, &m) || !receive_message(tpm, &m) || action == CUT)
        return false;
    if (action == GARBLE)
        m.octets[m.len - 1] ^= 1;
    return send_message(client, &m);
}

static void serve(int client, const char *upstream)
{
    struct sockaddr_un at = address(upstream);
    int tpm = new_socket();

    if (connect(tpm, (struct sockaddr *)&at, sizeof at) == 0)
        while (one_command(client, tpm))
            continue;
    close(tpm);
    close(client);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: mock-tpm SOCKET SWTPM_SOCKET SCRIPT\n");
        return 2;
    }
    script = argv[3];
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_at(argv[1]);

    for (;;) {
        int client = accept(listener, NULL, NULL);

        if (client >= 0)
            serve(client, argv[2]);
    }
}
