/* An HTTP listener and its connections on one event base: limits, time-outs and draining.
 * What to answer is the owner's matter, through the callbacks below. libevent's own evhttp is
 * not used: in 2.1 it bounds neither the time a request may take to arrive nor the number of
 * connections, answers errors in HTML, and does not see a connection break while work is queued.
 * All functions and callbacks run in the thread of the event base. */
#ifndef TBS_SERVER_HTTP_SITE_H
#define TBS_SERVER_HTTP_SITE_H

#include <event2/event.h>
#include <event2/listener.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/error.h"
#include "server/admission.h"
#include "server/http.h"
#include "server/log.h"

struct http_conn;

/* Shared by every site of one listener, so by all front threads. */
struct http_traffic {
    _Atomic uint64_t *open, *accepted, *refused, *evicted, *received_octets, *sent_octets;
};

struct http_limits {
    uint64_t body_max;    /* octets */
    unsigned idle_ms;     /* no request begun */
    unsigned transfer_ms; /* first to last octet of a request; the same for a reply */
    unsigned answer_ms;   /* request read to http_conn_reply; then `expired` is called */
};

struct http_calls {
    /* A head was read: 0 to read the body, or the status to refuse it with. */
    int (*admit)(void *ctx, const struct http_head *head);
    /* A whole request was read; `body` lives only during the call. The owner calls
     * http_conn_reply, now or later, unless `gone` comes first. */
    void (*request)(void *ctx, struct http_conn *conn, const struct http_head *head,
                    struct tbs_bytes body);
    /* answer_ms is over: http_conn_reply must be called now. NULL if `request` always replies. */
    void (*expired)(void *ctx, struct http_conn *conn);
    /* The connection broke, or the site closed, before the reply: conn is not valid after this. A
     * peer that only stops sending still gets its reply. NULL if `request` always replies. */
    void (*gone)(void *ctx, struct http_conn *conn);
    /* The site itself refused a request. May be NULL. */
    void (*refused)(void *ctx, struct http_conn *conn, int status);
    /* Draining is over: no connection is left. May be NULL. */
    void (*drained)(void *ctx);
};

struct http_reply {
    int status;
    const char *type;  /* NULL with an empty body */
    const char *allow; /* for 405; else NULL */
    bool retry_after;  /* says "Retry-After: 1" */
    struct tbs_bytes body;
};

struct http_site {
    /* Set by the owner before http_site_open. */
    void *ctx;
    const struct http_calls *calls;
    const char *allow; /* the method that 405 names */
    struct http_limits limits;
    struct admission *admission; /* outlives the site; shared like the traffic */
    struct http_traffic traffic;
    /* The room's own. */
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *accept_again;
    struct log_limit refused_log, evicted_log, accept_log;
    bool draining;
    LIST_HEAD(, http_conn) conns;
};

/* Begins to accept on `fd`, a non-blocking listening socket that stays the caller's. */
enum tbs_err http_site_open(struct http_site *site, struct event_base *base, int fd,
                            struct tbs_diag *diag);
/* Stops accepting, closes connections that carry no request, lets the others end; `drained`
 * may be called from within. */
void http_site_drain(struct http_site *site);
/* Closes whatever is left; `gone` is called for requests without a reply. A site that was
 * never opened is fine. */
void http_site_close(struct http_site *site);

const char *http_conn_source(const struct http_conn *conn); /* "ip:port" */
void http_conn_set_user(struct http_conn *conn, void *user);
void *http_conn_user(const struct http_conn *conn);
/* Exactly once per request; copies the body. */
void http_conn_reply(struct http_conn *conn, const struct http_reply *reply);
/* The reply of a status this server makes itself: text/plain, http_status's sentence. */
void http_conn_reply_status(struct http_conn *conn, int status, bool retry_after);

#endif
