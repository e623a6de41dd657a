/* Between http_site.c and http_conn.c: one connection. */
#ifndef TBS_SERVER_HTTP_CONN_H
#define TBS_SERVER_HTTP_CONN_H

#include <sys/socket.h>

#include "server/http_site.h"

enum conn_state {
    CONN_IDLE,   /* no octet of a request yet */
    CONN_HEAD,   /* reading a head */
    CONN_BODY,   /* reading a body */
    CONN_BUSY,   /* the owner has the request */
    CONN_WRITE,  /* the reply is on its way */
    CONN_LINGER, /* all sent; the peer's last octets are thrown away (RFC 9112 9.6) */
};

struct http_conn {
    LIST_ENTRY(http_conn) link;
    struct http_site *site;
    struct admission_place *place;
    struct bufferevent *bev;
    struct event *timer;
    enum conn_state state;
    bool close_after; /* no further request on this connection */
    bool peer_done;   /* the peer sends no more; what it has sent is still answered */
    struct http_head head;
    char source[64];
    void *user;
};

/* Takes fd and place over. TBS_ERR_NOMEM: they stay the caller's. */
enum tbs_err conn_new(struct http_site *site, int fd, const struct sockaddr *peer,
                      struct admission_place *place);
void conn_free(struct http_conn *conn);
/* Closes it now if it carries no request. */
void conn_drain(struct http_conn *conn);

#endif
