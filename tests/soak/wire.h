/* A connection to the server under test, and a strict reader of what it answers: HTTP/1.1 with
 * a Content-Length and nothing that is not documented. A connection belongs to one thread. */
#ifndef TBS_TESTS_WIRE_H
#define TBS_TESTS_WIRE_H

#include <netinet/in.h>

#include "base/bytes.h"

struct wire {
    struct sockaddr_in server;
    int fd; /* -1: not connected */
    struct tbs_buf in;
    size_t answered; /* octets of in that were the answer before */
};

struct wire_answer {
    int status;
    char type[64];
    bool closes, retry_after;
    struct tbs_bytes body; /* valid until the next call */
};

enum wire_verdict {
    WIRE_ANSWER,
    WIRE_CLOSED,  /* the server closed, with nothing left over */
    WIRE_SILENT,  /* nothing within the time */
    WIRE_ILL,     /* not HTTP, or cut short */
    WIRE_NO_PEER, /* no connection */
};

/* "127.0.0.1:8087". False when it is not of that form. */
bool wire_address(const char *text, struct sockaddr_in *ret_server);
struct wire wire(struct sockaddr_in server); /* not connected yet */
void wire_close(struct wire *w);
/* Connects where needed. That the server stops reading is no failure: it has an answer then. */
enum wire_verdict wire_send(struct wire *w, struct tbs_bytes octets);
/* The next answer; 100 Continue is skipped. */
enum wire_verdict wire_receive(struct wire *w, int patience_ms, struct wire_answer *ret_answer);
/* The peer sends no more; it still reads. */
void wire_end(struct wire *w);

/* The request for a message, appended. */
void wire_put_request(struct tbs_buf *request, struct tbs_bytes message);

#endif
