/* MIKEY in SDP: the key-mgmt attribute of RFC 4567, and its protection against bidding down. An
 * SDP is given and made as octets, of at most TBS_BUF_LIMIT. Stateless; thread-safe.
 *
 * Check what comes before anything else: tbs_sdp_check_offer, then tbs_sdp_extract and tbs_accept;
 * tbs_sdp_check_answer, then tbs_transfer_finish. The list of protocols is under the MAC of the
 * TRANSFER_INIT (4.1.4); nothing else of an SDP is protected, so that the rest is held against
 * what the message says and what one offered oneself. */
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

/* --- Downgrades --- */

/* What was wrong with an offer or an answer: in diag->raw. */
enum tbs_sdp_fault {
    TBS_SDP_NO_KEY_MGMT = 101, /* no a=key-mgmt: somebody took it away, or it never was there */
    TBS_SDP_OTHER_PROTOCOL,    /* a=key-mgmt, but none of MIKEY */
    TBS_SDP_REPEATED,          /* MIKEY twice at one level, or several protocols in an answer */
    TBS_SDP_MOVED,             /* at another level: session for media, or the other way round */
    TBS_SDP_CLEAR,             /* RTP/AVP(F) or another transport without SRTP */
    TBS_SDP_PROFILE,           /* the answer has another transport than the offer */
    TBS_SDP_CRYPTO,            /* a=crypto: a key in the clear (RFC 4568) */
    TBS_SDP_DTLS,              /* a=fingerprint, or UDP/TLS: keys by DTLS (RFC 5763) */
    TBS_SDP_OTHER_KEYS,        /* k=, a=zrtp-hash, or other configurations to choose (a=pcfg) */
    TBS_SDP_NOT_COVERED,       /* a stream that the MIKEY message has no crypto session for */
    TBS_SDP_MEDIA,             /* the answer has other m lines than the offer */
};
/* Such as "no key-mgmt"; never NULL. */
const char *tbs_sdp_fault_name(enum tbs_sdp_fault fault);

/* What is let pass all the same. */
enum tbs_sdp_allow {
    TBS_SDP_ALLOW_CLEAR = 1 << 0, /* streams without MIKEY, beside those with it */
    /* Keys of another kind beside MIKEY, as some relays add them. They must not be used. */
    TBS_SDP_ALLOW_OTHER_KEYS = 1 << 1,
};
#define TBS_SDP_MEDIA_MAX 64 /* m lines */

/* An offer that came, of which tbs_sdp_extract takes the message at this level; also one's own
 * before it goes. Streams of port 0 are left alone. TBS_ERR_DENIED with an enum tbs_sdp_fault in
 * diag->raw; TBS_ERR_MALFORMED, TBS_ERR_LIMIT, TBS_ERR_NOT_FOUND. */
enum tbs_err tbs_sdp_check_offer(struct tbs_bytes offer, int level, unsigned allow,
                                 struct tbs_diag *diag);
/* The answer to one's offer. Streams that the answer refuses (port 0) are left alone. */
enum tbs_err tbs_sdp_check_answer(struct tbs_bytes offer, struct tbs_bytes answer, int level,
                                  unsigned allow, struct tbs_diag *diag);

#endif
