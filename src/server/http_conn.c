#include "server/http_conn.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/address.h"

#define LINGER_MS 2000

static void on_read(struct bufferevent *bev, void *arg);
static void on_written(struct bufferevent *bev, void *arg);
static void on_event(struct bufferevent *bev, short what, void *arg);
static void on_timer(evutil_socket_t fd, short what, void *arg);

static void enter(struct http_conn *conn, enum conn_state state, unsigned ms)
{
    conn->state = state;
    admission_set_working(conn->place, state == CONN_BUSY || state == CONN_WRITE);
    struct timeval after = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(conn->timer, &after);
}

enum tbs_err conn_new(struct http_site *site, int fd, const struct sockaddr *peer,
                      struct admission_place *place)
{
    struct http_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return TBS_ERR_NOMEM;
    conn->site = site;
    conn->place = place;
    conn->timer = evtimer_new(site->base, on_timer, conn);
    if (conn->timer)
        conn->bev = bufferevent_socket_new(site->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!conn->bev) {
        if (conn->timer)
            event_free(conn->timer);
        free(conn);
        return TBS_ERR_NOMEM;
    }
    atomic_fetch_add(site->traffic.open, 1);
    int on = 1; /* a reply is one write: nothing to wait for */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    address_format(peer, conn->source, sizeof conn->source);
    LIST_INSERT_HEAD(&site->conns, conn, link);
    /* Bounds the memory of a connection; one whole request always fits. */
    bufferevent_setwatermark(conn->bev, EV_READ, 0, HTTP_HEAD_MAX + site->limits.body_max);
    bufferevent_setcb(conn->bev, on_read, on_written, on_event, conn);
    bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
    enter(conn, CONN_IDLE, site->limits.idle_ms);
    return TBS_OK;
}

void conn_free(struct http_conn *conn)
{
    struct http_site *site = conn->site;
    if (conn->state == CONN_BUSY && site->calls->gone)
        site->calls->gone(site->ctx, conn);
    LIST_REMOVE(conn, link);
    admission_leave(conn->place);
    bufferevent_free(conn->bev);
    event_free(conn->timer);
    free(conn);
    atomic_fetch_sub(site->traffic.open, 1);
    if (site->draining && LIST_EMPTY(&site->conns) && site->calls->drained)
        site->calls->drained(site->ctx);
}

void conn_drain(struct http_conn *conn)
{
    if (conn->state == CONN_IDLE || conn->state == CONN_LINGER)
        conn_free(conn);
}

const char *http_conn_source(const struct http_conn *conn)
{
    return conn->source;
}

void http_conn_set_user(struct http_conn *conn, void *user)
{
    conn->user = user;
}

void *http_conn_user(const struct http_conn *conn)
{
    return conn->user;
}

/* RFC 9110 6.6.1: a server with a clock sends Date. */
static void put_date(struct evbuffer *out)
{
    char date[40];
    struct tm utc;
    time_t now = time(NULL);
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    evbuffer_add_printf(out, "Date: %s\r\n", date);
}

void http_conn_reply(struct http_conn *conn, const struct http_reply *reply)
{
    struct evbuffer *out = bufferevent_get_output(conn->bev);
    size_t before = evbuffer_get_length(out);
    if (conn->site->draining)
        conn->close_after = true;
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", reply->status,
                        http_status(reply->status)->reason);
    put_date(out);
    if (reply->type)
        evbuffer_add_printf(out, "Content-Type: %s\r\n", reply->type);
    if (reply->allow)
        evbuffer_add_printf(out, "Allow: %s\r\n", reply->allow);
    if (reply->retry_after)
        evbuffer_add_printf(out, "Retry-After: 1\r\n");
    if (conn->close_after)
        evbuffer_add_printf(out, "Connection: close\r\n");
    evbuffer_add_printf(out, "Content-Length: %zu\r\n\r\n", reply->body.len);
    if (reply->body.len && conn->head.method != HTTP_HEAD) /* RFC 9110 9.3.2 */
        evbuffer_add(out, reply->body.data, reply->body.len);
    atomic_fetch_add(conn->site->traffic.sent_octets, evbuffer_get_length(out) - before);
    enter(conn, CONN_WRITE, conn->site->limits.transfer_ms);
}

void http_conn_reply_status(struct http_conn *conn, int status, bool retry_after)
{
    http_conn_reply(conn,
                    &(struct http_reply){.status = status,
                                         .type = "text/plain; charset=utf-8",
                                         .allow = status == 405 ? conn->site->allow : NULL,
                                         .retry_after = retry_after,
                                         .body = tbs_bytes_str(http_status(status)->sentence)});
}

/* The next request cannot be found behind one that was not read to its end. */
static void refuse(struct http_conn *conn, int status)
{
    conn->close_after = true;
    if (conn->site->calls->refused)
        conn->site->calls->refused(conn->site->ctx, conn, status);
    http_conn_reply_status(conn, status, false);
}

/* True when a head is complete and accepted; else more octets are needed, or it was refused. */
static bool read_head(struct http_conn *conn, struct evbuffer *in)
{
    struct http_site *site = conn->site;
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    size_t len = end.pos < 0 ? evbuffer_get_length(in) : (size_t)end.pos + 4;
    int status = 0;
    if (len > HTTP_HEAD_MAX || (end.pos < 0 && len == HTTP_HEAD_MAX))
        status = 431;
    else if (end.pos < 0)
        return false;
    if (status == 0) {
        const uint8_t *text = evbuffer_pullup(in, (ev_ssize_t)len);
        status = text ? http_head_parse(tbs_bytes(text, len), &conn->head) : 500;
        evbuffer_drain(in, len);
        atomic_fetch_add(site->traffic.received_octets, len);
    }
    if (status == 0)
        status = site->calls->admit(site->ctx, &conn->head);
    if (status == 0 && conn->head.length > site->limits.body_max)
        status = 413;
    if (status != 0) {
        refuse(conn, status);
        return false;
    }
    return true;
}

static void read_body(struct http_conn *conn, struct evbuffer *in)
{
    struct http_site *site = conn->site;
    size_t len = (size_t)conn->head.length; /* at most body_max */
    if (evbuffer_get_length(in) < len)
        return;
    const uint8_t *body = len ? evbuffer_pullup(in, (ev_ssize_t)len) : NULL;
    if (len && !body) {
        refuse(conn, 500);
        return;
    }
    atomic_fetch_add(site->traffic.received_octets, len);
    conn->close_after = !conn->head.keep_alive;
    enter(conn, CONN_BUSY, site->limits.answer_ms);
    site->calls->request(site->ctx, conn, &conn->head, tbs_bytes(body, len));
    evbuffer_drain(in, len);
}

/* RFC 9112 2.2: empty lines before a request are skipped. True when a request has begun. */
static bool request_begins(struct evbuffer *in)
{
    char two[2];
    ev_ssize_t len;
    while ((len = evbuffer_copyout(in, two, 2)) == 2 && two[0] == '\r' && two[1] == '\n')
        evbuffer_drain(in, 2);
    return len == 2 || (len == 1 && two[0] != '\r');
}

static void advance(struct http_conn *conn)
{
    struct evbuffer *in = bufferevent_get_input(conn->bev);
    if (conn->state == CONN_IDLE) {
        if (!request_begins(in))
            return;
        enter(conn, CONN_HEAD, conn->site->limits.transfer_ms);
    }
    if (conn->state == CONN_HEAD && read_head(conn, in)) {
        conn->state = CONN_BODY; /* one timer for both: a whole request, not each octet */
        if (conn->head.expects_continue && evbuffer_get_length(in) < conn->head.length)
            bufferevent_write(conn->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    if (conn->state == CONN_BODY)
        read_body(conn, in);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct http_conn *conn = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    if (conn->state == CONN_LINGER)
        evbuffer_drain(in, evbuffer_get_length(in));
    else if (conn->state <= CONN_BODY)
        advance(conn);
    /* Else: octets of a next request, kept up to the watermark. */
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct http_conn *conn = arg;
    if (conn->state != CONN_WRITE) /* it was 100 Continue */
        return;
    if (!conn->close_after && !conn->site->draining) {
        enter(conn, CONN_IDLE, conn->site->limits.idle_ms);
        advance(conn);
        if (conn->peer_done && conn->state <= CONN_BODY) /* what is left will not be a request */
            conn_free(conn);
    } else if (conn->peer_done) {
        conn_free(conn);
    } else {
        struct evbuffer *in = bufferevent_get_input(bev);
        shutdown(bufferevent_getfd(bev), SHUT_WR);
        enter(conn, CONN_LINGER, LINGER_MS);
        evbuffer_drain(in, evbuffer_get_length(in));
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct http_conn *conn = arg;
    bool half_closed = (what & BEV_EVENT_EOF) && !(what & BEV_EVENT_ERROR);
    if (half_closed && (conn->state == CONN_BUSY || conn->state == CONN_WRITE))
        conn->peer_done = true; /* it may still read what it asked for */
    else
        conn_free(conn);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct http_conn *conn = arg;
    if (conn->state == CONN_HEAD || conn->state == CONN_BODY)
        refuse(conn, 408);
    else if (conn->state == CONN_BUSY && conn->site->calls->expired)
        conn->site->calls->expired(conn->site->ctx, conn);
    else
        conn_free(conn);
}
