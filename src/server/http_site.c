#include "server/http_site.h"

#include <errno.h>
#include <string.h>

#include "server/address.h"
#include "server/http_conn.h"

#define ACCEPT_PAUSE_MS 100

static void refuse(struct http_site *site, int fd, const struct sockaddr *peer, const char *reason)
{
    char source[ADDRESS_TEXT];
    uint64_t more;
    atomic_fetch_add(site->traffic.refused, 1);
    evutil_closesocket(fd);
    if (!log_limit_pass(&site->refused_log, &more))
        return;
    address_format(peer, source, sizeof source);
    log_write(LOG_LEVEL_WARN, "connection-refused", LOG_TEXT("source", source),
              LOG_TEXT("reason", reason), LOG_NUMBER("more", more));
}

static void pause_accepting(struct http_site *site, unsigned ms)
{
    evconnlistener_disable(site->listener);
    event_add(site->accept_again, &(struct timeval){.tv_usec = (suseconds_t)ms * 1000});
}

/* The one that makes room is closed by an event, and that comes before the next newcomer. */
static void note_eviction(struct http_site *site)
{
    uint64_t more;
    atomic_fetch_add(site->traffic.evicted, 1);
    if (log_limit_pass(&site->evicted_log, &more))
        log_write(LOG_LEVEL_WARN, "connection-evicted", LOG_NUMBER("more", more));
    pause_accepting(site, 0);
}

static void on_accept(struct evconnlistener *listener, int fd, struct sockaddr *peer, int peer_len,
                      void *arg)
{
    (void)listener, (void)peer_len;
    struct http_site *site = arg;
    struct admission_place *place;
    struct tbs_diag diag = {0};
    bool evicted;
    atomic_fetch_add(site->traffic.accepted, 1);
    if (admission_enter(site->admission, fd, peer, &place, &evicted, &diag) != TBS_OK) {
        refuse(site, fd, peer, diag.text);
        return;
    }
    if (evicted)
        note_eviction(site);
    if (conn_new(site, fd, peer, place) != TBS_OK) {
        admission_leave(place);
        refuse(site, fd, peer, "out of memory for a connection");
    }
}

/* Out of descriptors or memory: the connection stays in the backlog, and to ask again at once
 * would only spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)listener;
    struct http_site *site = arg;
    int error = errno;
    uint64_t dropped;
    pause_accepting(site, ACCEPT_PAUSE_MS);
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
