/* The lines of an SDP, and what stands in a key-mgmt attribute. RFC 4566, RFC 4567 3.1. */
#ifndef TBS_CLIENT_SDP_LINES_H
#define TBS_CLIENT_SDP_LINES_H

#include "base/bytes.h"
#include "base/error.h"

#define SDP_KEY_MGMT "a=key-mgmt:"
#define SDP_MIKEY "mikey" /* KMPIDs are case sensitive, RFC 4567 3 */

/* Walks through the lines. */
struct sdp_lines {
    struct tbs_bytes sdp;
    size_t next, number;
    int level;             /* of the line: TBS_SDP_SESSION, or that of the m line it belongs to */
    size_t start;          /* where it begins */
    struct tbs_bytes line; /* without its end */
};
struct sdp_lines sdp_lines(struct tbs_bytes sdp);
bool sdp_next_line(struct sdp_lines *lines); /* false: there is none any more */
bool sdp_begins(struct tbs_bytes line, const char *text);

/* A key-mgmt attribute as protocol and data. */
struct sdp_key_mgmt {
    struct tbs_bytes protocol, data;
};
/* Of a line that begins with SDP_KEY_MGMT: TBS_ERR_MALFORMED. */
enum tbs_err sdp_read_key_mgmt(const struct sdp_lines *lines, struct sdp_key_mgmt *ret_attribute,
                               struct tbs_diag *diag);

#endif
