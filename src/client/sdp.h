/* MIKEY in SDP: the key-mgmt attribute of RFC 4567 with its protection against bidding down
 * (4.1.4). An SDP is given and made as octets, of at most TBS_BUF_LIMIT. Nothing else of it is
 * looked at than where m lines and a=key-mgmt lines begin. Stateless; thread-safe. */
#ifndef TBS_CLIENT_SDP_H
#define TBS_CLIENT_SDP_H

#include "client/tbs.h"

/* The level of an attribute: the session's, or the i-th m line's (from 0). */
#define TBS_SDP_SESSION (-1)
#define TBS_SDP_IDS_MAX 256 /* with the NUL */

/* The list of key management protocols that the offer will have at this level with MIKEY as the
 * first: "mikey", or "mikey;keyp1" where a=key-mgmt:keyp1 is there already. For
 * tbs_transfer_begin. */
enum tbs_err tbs_sdp_offer_ids(struct tbs_bytes sdp, int level, char ret_ids[TBS_SDP_IDS_MAX],
                               struct tbs_diag *diag);

/* m lines. */
size_t tbs_sdp_media_count(struct tbs_bytes sdp);

/* The SDP with a=key-mgmt:mikey added at this level, before other key-mgmt attributes; the caller
 * frees ret_sdp. Line ends are as in the first line. TBS_ERR_EXISTS: MIKEY is there already;
 * TBS_ERR_NOT_FOUND: no such m line. */
enum tbs_err tbs_sdp_insert(struct tbs_bytes sdp, int level, struct tbs_bytes message,
                            struct tbs_buf *ret_sdp, struct tbs_diag *diag);

/* The MIKEY message that applies to this level: its own, or where an m line has no key-mgmt
 * attribute, the session's (RFC 4567 3.1). ret_ids is the list of protocols for tbs_accept. The
 * caller frees ret_message. TBS_ERR_NOT_FOUND: there is none; TBS_ERR_UNSUPPORTED: only other
 * protocols; TBS_ERR_MALFORMED. */
enum tbs_err tbs_sdp_extract(struct tbs_bytes sdp, int level, struct tbs_buf *ret_message,
                             char ret_ids[TBS_SDP_IDS_MAX], struct tbs_diag *diag);

#endif
