#include "server/http_site.h"

#include <errno.h>
#include <string.h>

#include "server/http_conn.h"

#define ACCEPT_PAUSE_MS 100

static void on_accept(struct evconnlistener *listener, int fd, struct sockaddr *peer, int peer_len,
                      void *arg)
{
    (void)listener, (void)peer_len;
    struct http_site *site = arg;
    uint64_t dropped;
    atomic_fetch_add(site->traffic.accepted, 1);
    if (atomic_fetch_add(site->traffic.open, 1) >= site->limits.connections) {
        atomic_fetch_sub(site->traffic.open, 1);
        atomic_fetch_add(site->traffic.refused, 1);
        evutil_closesocket(fd);
        if (log_limit_pass(&site->ceiling_log, &dropped))
            log_write(LOG_LEVEL_WARN, "connection-ceiling",
                      LOG_NUMBER("connections", site->limits.connections),
                      LOG_NUMBER("more", dropped));
        return;
    }
    if (conn_new(site, fd, peer) != TBS_OK)
        atomic_fetch_sub(site->traffic.open, 1);
}

/* Out of descriptors or memory: the connection stays in the backlog, and to ask again at once
 * would only spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct http_site *site = arg;
    int error = errno;
    uint64_t dropped;
    evconnlistener_disable(listener);
    event_add(site->accept_again, &(struct timeval){.tv_usec = ACCEPT_PAUSE_MS * 1000});
    if (log_limit_pass(&site->accept_log, &dropped))
        log_write(LOG_LEVEL_ERROR, "accept-failed", LOG_TEXT("reason", strerror(error)),
                  LOG_NUMBER("more", dropped));
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct http_site *site = arg;
    evconnlistener_enable(site->listener);
}

enum tbs_err http_site_open(struct http_site *site, struct event_base *base, int fd,
                            struct tbs_diag *diag)
{
    LIST_INIT(&site->conns);
    site->base = base;
    site->accept_again = evtimer_new(base, on_accept_again, site);
    site->listener = evconnlistener_new(base, on_accept, site, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!site->accept_again || !site->listener) {
        http_site_close(site);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a listener");
    }
    evconnlistener_set_error_cb(site->listener, on_accept_error);
    return TBS_OK;
}

static void stop_accepting(struct http_site *site)
{
    if (site->listener)
        evconnlistener_free(site->listener);
    if (site->accept_again)
        event_free(site->accept_again);
    site->listener = NULL;
    site->accept_again = NULL;
}

void http_site_drain(struct http_site *site)
{
    stop_accepting(site);
    site->draining = true;
    if (LIST_EMPTY(&site->conns) && site->calls->drained)
        site->calls->drained(site->ctx);
    for (struct http_conn *conn = LIST_FIRST(&site->conns), *next; conn; conn = next) {
        next = LIST_NEXT(conn, link);
        conn_drain(conn);
    }
}

void http_site_close(struct http_site *site)
{
    stop_accepting(site);
    while (!LIST_EMPTY(&site->conns))
        conn_free(LIST_FIRST(&site->conns));
}
