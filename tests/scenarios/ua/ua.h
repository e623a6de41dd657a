/* tbs-ua: a small SIP user agent on libre, whose calls are protected with libtbs. It does what a
 * scenario tells it, line by line, and says what happened, as JSON lines. Sound is left to others:
 * it writes the keys of each session to a file that tbs-media(1) reads. One thread. */
#ifndef TBS_UA_H
#define TBS_UA_H

#include <jansson.h>

/* Not re.h: its JSON and jansson's have names in common. In the order that libre needs. */
/* clang-format off */
#include <re_types.h>
#include <re_fmt.h>
#include <re_mbuf.h>
#include <re_mem.h>
#include <re_list.h>
#include <re_sa.h>
#include <re_net.h>
#include <re_sys.h>
#include <re_main.h>
#include <re_uri.h>
#include <re_msg.h>
#include <re_sip.h>
#include <re_sipreg.h>
#include <re_sipsess.h>
#include <re_sdp.h>
/* clang-format on */

#include "client/sdp.h"
#include "tools/tbs/account.h"

#define UA_URIS_MAX 8
#define UA_CACHE_MAX 64
#define UA_NAME_MAX 63
#define UA_REASON_MAX 400

struct ua_options {
    const char *name; /* in file names and as User-Agent */
    const char *account, *proxy, *address, *messages, *commands, *events;
    uint16_t media_port;
    const char *marks[UA_URIS_MAX], *groups[UA_URIS_MAX];
    size_t n_marks, n_groups;
    unsigned flags;   /* enum tbs_flag: of the tickets it asks for */
    uint32_t valid;   /* seconds that its tickets shall be good; 0: as the KMS decides */
    uint32_t max_age; /* seconds that an offer may be old; 0: as libtbs decides */
    unsigned allow;   /* enum tbs_sdp_allow */
    bool stand_in;    /* answers for whom the call was, in To */
};

/* --- events.c --- */

void events_open(const char *path); /* NULL: standard output; ends the program if it cannot */
/* A line with "event" and these facts, which it takes over. */
void event(const char *what, json_t *facts);

/* --- messages.c: copies of messages, for `tbs ladder` --- */

struct ua_path {
    char text[256]; /* empty: no copies are wanted */
};
struct ua_path message_path(const struct ua_options *o, const char *from, const char *to,
                            const char *what, const char *ending);
void message_keep(const struct ua_options *o, const char *from, const char *to, const char *what,
                  struct tbs_bytes sdp);

/* --- sdp.c: the media of this user agent, one m line with L16 at 16000 Hz --- */

/* The same for an offer and an answer. The caller frees ret_sdp. */
enum tbs_err sdp_make(const struct sa *media, struct tbs_buf *ret_sdp, struct tbs_diag *diag);
/* Where the other side wants its media. */
enum tbs_err sdp_read(struct tbs_bytes sdp, struct sa *ret_media, struct tbs_diag *diag);

/* --- security.c: MIKEY-TICKET for calls --- */

struct security; /* account, tickets, resolved tickets, replays */

enum tbs_err security_open(const struct ua_options *o, struct security **ret_security,
                           struct tbs_diag *diag);
void security_close(struct security *s);
const char *security_identity(const struct security *s);

/* One offer and its answers, of either side. All zeros is a new one. */
struct exchange {
    struct tbs_transfer *transfer; /* of the Initiator */
    struct tbs_buf offered;        /* the SDP of this side's latest offer */
    unsigned allow;                /* enum tbs_sdp_allow */
    struct tbs_buf answered[TBS_RESPONDERS_MAX];
    size_t n_answered;
    bool wants_none;               /* no answer */
    struct tbs_offer *offer;       /* of the Responder */
    struct tbs_resolved *resolved; /* the cache's */
    struct tbs_buf response, sdp;
    struct tbs_session *session; /* the latest, for updates */
    struct tbs_update *update;   /* that this side has begun */
};
void exchange_free(struct exchange *e);

/* The SDP with a TRANSFER_INIT for `responder`; the ticket is from an earlier call if it may be.
 * The caller frees ret_sdp. srtp: 0 is as long as the ticket's suite. `leave`: with a ticket that
 * wants no answer. */
enum tbs_err security_offer(struct security *s, const char *responder, enum tbs_srtp srtp,
                            bool leave, struct tbs_bytes sdp, struct exchange *e,
                            struct tbs_buf *ret_sdp, struct tbs_diag *diag);
/* The session of an answer, also to an update; NULL for one that was seen before, such as in 183
 * and 200. Where none is wanted, any answer of SIP will do. It is the exchange's, as in
 * security_answer. */
enum tbs_err security_finish(struct exchange *e, struct tbs_bytes sdp,
                             struct tbs_session **ret_session, struct tbs_diag *diag);
/* Reads an offer; `to` is whom the call is for. */
enum tbs_err security_accept(struct security *s, const char *to, struct tbs_bytes sdp,
                             struct exchange *e, struct tbs_diag *diag);
enum tbs_err security_resolve(struct security *s, struct exchange *e, struct tbs_diag *diag);
/* Resolves if that was not done; the session comes with the first answer only, else NULL. The
 * answer, `sdp` with a TRANSFER_RESP, is in e->sdp. */
enum tbs_err security_answer(struct security *s, struct tbs_bytes sdp, struct exchange *e,
                             struct tbs_session **ret_session, struct tbs_diag *diag);
/* A CSB update (RFC 6043 5.2) with a new key of this side's, as an offer. */
enum tbs_err security_update(struct exchange *e, struct tbs_bytes sdp, struct tbs_buf *ret_sdp,
                             struct tbs_diag *diag);
/* True if an offer is one; it is answered by security_answer_update, like security_answer. */
bool security_is_update(const struct exchange *e, struct tbs_bytes offer);
enum tbs_err security_answer_update(struct exchange *e, struct tbs_bytes offer,
                                    struct tbs_bytes sdp, struct tbs_session **ret_session,
                                    struct tbs_diag *diag);
/* The SDP that says why an offer was refused; empty when there is nothing to say. */
void security_refuse(struct tbs_bytes offer, struct tbs_bytes sdp, const struct tbs_diag *why,
                     struct tbs_buf *ret_sdp);

/* --- call.c, incoming.c --- */

struct agent {
    const struct ua_options *o;
    struct security *security;
    struct sip *sip;
    struct sipsess_sock *sock;
    struct sipreg *registration;
    struct sa media;
    char route[64];
    struct list calls; /* the newest first */
    unsigned n_calls, n_keys;
};

void call_incoming(const struct sip_msg *msg, void *agent);
/* One line: see tbs-ua --help. */
void call_command(struct agent *a, char *line);

#endif
