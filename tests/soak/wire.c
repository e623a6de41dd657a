#include "tests/soak/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

bool wire_address(const char *text, struct sockaddr_in *ret_server)
{
    char host[INET_ADDRSTRLEN];
    unsigned short port;
    int end = -1;

    *ret_server = (struct sockaddr_in){.sin_family = AF_INET};
    if (sscanf(text, "%15[0-9.]:%hu%n", host, &port, &end) != 2 || text[end] != '\0')
        return false;
    ret_server->sin_port = htons(port);
    return inet_pton(AF_INET, host, &ret_server->sin_addr) == 1;
}

struct wire wire(struct sockaddr_in server)
{
    return (struct wire){.server = server, .fd = -1, .in = tbs_buf()};
}

void wire_close(struct wire *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    w->answered = 0;
    tbs_buf_free(&w->in);
}

static bool open_wire(struct wire *w)
{
    int on = 1;

    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        return false;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(w->fd, (const struct sockaddr *)&w->server, sizeof w->server) == 0)
        return true;
    wire_close(w);
    return false;
}

enum wire_verdict wire_send(struct wire *w, struct tbs_bytes octets)
{
    if (w->fd < 0 && !open_wire(w))
        return WIRE_NO_PEER;
    while (octets.len > 0) {
        ssize_t sent = send(w->fd, octets.data, octets.len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            break;
        octets = tbs_bytes_slice(octets, (size_t)sent, octets.len - (size_t)sent);
    }
    return WIRE_ANSWER;
}

void wire_end(struct wire *w)
{
    shutdown(w->fd, SHUT_WR);
}

/* More octets into w->in. */
static enum wire_verdict more(struct wire *w, int patience_ms)
{
    struct pollfd ready = {.fd = w->fd, .events = POLLIN};
    uint8_t part[16384];

    if (poll(&ready, 1, patience_ms) != 1)
        return WIRE_SILENT;
    ssize_t got = recv(w->fd, part, sizeof part, 0);

    if (got <= 0)
        return w->in.len == 0 ? WIRE_CLOSED : WIRE_ILL;
    tbs_put_bytes(&w->in, tbs_bytes(part, (size_t)got));
    return w->in.failed ? WIRE_ILL : WIRE_ANSWER;
}

/* "Name: value" cut at the colon. False when the line is not one. */
static bool cut_field(char *line, char **ret_value)
{
    char *colon = strstr(line, ": ");

    if (!colon)
        return false;
    *colon = '\0';
    *ret_value = colon + 2;
    return line[strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-")] == '\0';
}

/* What the daemon sends and nothing else. */
static bool read_field(char *line, struct wire_answer *a, size_t *ret_length)
{
    char *value, *end;

    if (!cut_field(line, &value))
        return false;
    if (strcmp(line, "Content-Length") == 0) {
        *ret_length = strtoul(value, &end, 10);
        return *value != '\0' && *end == '\0';
    }
    if (strcmp(line, "Content-Type") == 0)
        snprintf(a->type, sizeof a->type, "%s", value);
    else if (strcmp(line, "Connection") == 0)
        a->closes = strcmp(value, "close") == 0;
    else if (strcmp(line, "Retry-After") == 0)
        a->retry_after = true;
    else
        return strcmp(line, "Date") == 0 || strcmp(line, "Allow") == 0;
    return true;
}

/* Lines end with CR LF, and no other control character is in a head. */
static bool read_head(struct tbs_bytes octets, struct wire_answer *a, size_t *ret_length)
{
    char head[1024], *rest = head, *line;
    int end = -1;

    if (octets.len >= sizeof head)
        return false;
    for (size_t i = 0; i < octets.len; i++)
        if (octets.data[i] < 0x20 && octets.data[i] != '\r' &&
            (octets.data[i] != '\n' || i == 0 || octets.data[i - 1] != '\r'))
            return false;
    memcpy(head, octets.data, octets.len);
    head[octets.len] = '\0';
    *a = (struct wire_answer){0};
    *ret_length = SIZE_MAX;
    line = strsep(&rest, "\r");
    if (sscanf(line, "HTTP/1.1 %3d %*[A-Za-z ]%n", &a->status, &end) != 1 || line[end] != '\0')
        return false;
    while ((line = strsep(&rest, "\r")) && *line++ == '\n' && *line != '\0')
        if (!read_field(line, a, ret_length))
            return false;
    return line && *line == '\0' && (a->status == 100 || *ret_length != SIZE_MAX);
}

/* The head that w->in begins with. */
static enum wire_verdict receive_head(struct wire *w, int patience_ms, struct wire_answer *a,
                                      size_t *ret_head, size_t *ret_length)
{
    const uint8_t *end;

    while (!(end = w->in.len ? memmem(w->in.data, w->in.len, "\r\n\r\n", 4) : NULL)) {
        enum wire_verdict v = more(w, patience_ms);

        if (v != WIRE_ANSWER)
            return v;
    }
    *ret_head = (size_t)(end - w->in.data) + 4;
    return read_head(tbs_bytes(w->in.data, *ret_head - 2), a, ret_length) ? WIRE_ANSWER : WIRE_ILL;
}

static void forget(struct wire *w, size_t n)
{
    if (n == 0)
        return;
    memmove(w->in.data, w->in.data + n, w->in.len - n);
    w->in.len -= n;
}

enum wire_verdict wire_receive(struct wire *w, int patience_ms, struct wire_answer *ret_answer)
{
    size_t head, length;
    enum wire_verdict v;

    forget(w, w->answered);
    w->answered = 0;
    while ((v = receive_head(w, patience_ms, ret_answer, &head, &length)) == WIRE_ANSWER &&
           ret_answer->status == 100)
        forget(w, head);
    while (v == WIRE_ANSWER && w->in.len < head + length)
        v = more(w, patience_ms);
    if (v != WIRE_ANSWER)
        return v;
    ret_answer->body = tbs_bytes_slice(tbs_buf_view(&w->in), head, length);
    w->answered = head + length;
    return WIRE_ANSWER;
}

void wire_put_request(struct tbs_buf *request, struct tbs_bytes message)
{
    char head[256];

    snprintf(head, sizeof head,
             "POST /mikey HTTP/1.1\r\nHost: kms\r\nContent-Type: application/mikey\r\n"
             "Content-Length: %zu\r\n\r\n",
             message.len);
    tbs_put_bytes(request, tbs_bytes_str(head));
    tbs_put_bytes(request, message);
}
