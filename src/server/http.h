/* HTTP/1.1 as far as this server speaks it (RFC 9110, RFC 9112): the request head, and the
 * words that belong to a status. Bodies are of known length: a transfer coding is refused,
 * which also leaves no two readings of where a request ends. Pure functions, thread-safe. */
#ifndef TBS_SERVER_HTTP_H
#define TBS_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define HTTP_HEAD_MAX 8192 /* octets of request line and headers, with the empty line */
#define HTTP_PATH_MAX 255

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER_METHOD };

struct http_head {
    enum http_method method;
    char path[HTTP_PATH_MAX + 1]; /* as sent, without the query */
    char type[64];                /* media type in lower case without parameters; "" if none */
    uint64_t length;              /* of the body, octets */
    bool has_length;
    bool keep_alive;
    bool expects_continue; /* RFC 9110 10.1.1 */
};

/* Reads a head that ends with its empty line. Returns 0, or the HTTP status to refuse it
 * with; then only the method counts, and the octets after such a head must not be read as a
 * request. */
int http_head_parse(struct tbs_bytes text, struct http_head *ret_head);

/* What goes with a status this server makes itself; a status it does not know gives 500's. */
struct http_status {
    int code;
    const char *reason;   /* RFC 9110 15 */
    const char *outcome;  /* for log and metrics */
    const char *sentence; /* for a person, ends with a newline */
};
const struct http_status *http_status(int code);

#endif
