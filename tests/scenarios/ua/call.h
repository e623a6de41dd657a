/* Calls: SIP by libre, protection by security.c. What goes wrong with the protection ends the
 * call: nothing is ever sent or taken in the clear. */
#ifndef TBS_UA_CALL_H
#define TBS_UA_CALL_H

#include "ua.h"

struct call {
    struct le le;
    struct agent *agent;
    unsigned id;
    struct sipsess *session;
    struct sip_msg *invite; /* of an incoming call */
    struct exchange exchange;
    char peer[UA_NAME_MAX + 1]; /* the other side's name, in file names */
    char uri[UA_REASON_MAX];
    enum tbs_srtp srtp;
    bool leave;   /* a message for somebody who is away */
    bool refused; /* by this side: what comes then is no news */
};

/* --- call.c --- */

struct call *call_new(struct agent *a, const char *peer, const char *uri); /* libre's mem_deref */
struct mbuf *call_mbuf(const struct tbs_buf *b);
struct tbs_bytes call_body(const struct sip_msg *msg);
void call_text(char *to, size_t size, const struct pl *from);
/* Writes the keys of a session into a file of their own, and says so. */
enum tbs_err call_use_session(struct call *c, const struct tbs_session *session,
                              const struct sip_msg *msg, struct tbs_diag *diag);
void call_refused(struct call *c, const char *by, const char *reason);

/* --- outgoing.c, incoming.c: what libre tells, and commands --- */

void outgoing_begin(struct agent *a, const char *uri, enum tbs_srtp srtp, bool leave);
int outgoing_answered(const struct sip_msg *msg, void *call);
void outgoing_established(const struct sip_msg *msg, void *call);
void outgoing_closed(int err, const struct sip_msg *msg, void *call);
void outgoing_reinvite(struct call *c, const char *argument);
void outgoing_rekey(struct call *c, const char *argument);

int incoming_reoffer(struct mbuf **ret_sdp, const struct sip_msg *msg, void *call);
void incoming_resolve(struct call *c, const char *argument);
void incoming_progress(struct call *c, const char *argument);
void incoming_answer(struct call *c, const char *argument);
void incoming_busy(struct call *c, const char *argument);
void incoming_redirect(struct call *c, const char *argument);

#endif
