#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server/address.h"

#define REPLY_MAX 16384
#define PATIENCE_S 10

struct connection {
    int fd;
    const struct bench *bench;
};

static enum tbs_err broken(const char *what, struct tbs_diag *diag)
{
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "the daemon %s: %s", what,
                        strerror(errno));
}

static void close_connection(void *caller)
{
    struct connection *c = caller;

    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

static enum tbs_err connect_to(const struct address *address, struct connection *c,
                               struct tbs_diag *diag)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const int on = 1;

    c->fd = socket(address->any.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&address->any, address->len) != 0)
        return broken("cannot be reached", diag);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return TBS_OK;
}

static enum tbs_err open_connection(const struct bench *bench, void **ret_caller,
                                    struct tbs_diag *diag)
{
    struct address address;
    enum tbs_err err = address_parse(bench->daemon_address, &address, diag);

    if (err)
        return err;
    struct connection *c = malloc(sizeof *c);

    if (!c)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for a connection");
    c->bench = bench;
    err = connect_to(&address, c, diag);
    if (err)
        close_connection(c);
    else
        *ret_caller = c;
    return err;
}

/* Reads until `text` holds the whole reply, whose body has the length that its head says. */
static enum tbs_err read_reply(int fd, char text[REPLY_MAX], struct tbs_diag *diag)
{
    static const char length[] = "\r\nContent-Length: ";
    size_t len = 0, whole = 0;

    while (whole == 0 || len < whole) {
        ssize_t n = recv(fd, text + len, REPLY_MAX - 1 - len, 0);

        if (n < 0)
            return broken("does not answer", diag);
        if (n == 0)
            return tbs_fail(diag, TBS_ERR_IO, "the daemon ends the connection in a reply");
        len += (size_t)n;
        text[len] = '\0';
        const char *end = whole ? NULL : strstr(text, "\r\n\r\n");
        const char *says = end ? strstr(text, length) : NULL;

        if (says)
            whole = (size_t)(end + 4 - text) + strtoul(says + sizeof length - 1, NULL, 10);
    }
    return TBS_OK;
}

static enum tbs_err post(void *caller, struct tbs_bytes message, struct tbs_diag *diag)
{
    const struct connection *c = caller;
    char head[1024], reply[REPLY_MAX];
    int len = snprintf(head, sizeof head,
                       "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/mikey\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       c->bench->config->server.path, c->bench->daemon_address, message.len);
    struct iovec parts[] = {{head, (size_t)len}, {(void *)message.data, message.len}};

    if (writev(c->fd, parts, 2) != (ssize_t)(parts[0].iov_len + parts[1].iov_len))
        return broken("does not take a request", diag);
    enum tbs_err err = read_reply(c->fd, reply, diag);

    if (!err && strncmp(reply, "HTTP/1.1 200 ", 13) != 0)
        err = tbs_fail(diag, TBS_ERR_INVALID, "the daemon answers %.30s", reply);
    return err;
}

const struct way way_http = {open_connection, close_connection, post};
