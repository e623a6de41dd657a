#include "call.h"

static enum tbs_err accept_offer(struct call *c, const struct sip_msg *msg, struct tbs_diag *diag)
{
    char to[UA_REASON_MAX];
    struct sa media;
    struct tbs_bytes sdp = call_body(msg);
    enum tbs_err err;

    call_text(to, sizeof to, &msg->to.auri);
    err = sdp_read(sdp, &media, diag);
    return err ? err : security_accept(c->agent->security, to, sdp, &c->exchange, diag);
}

/* The answer is in the exchange's sdp. */
static enum tbs_err make_answer(struct call *c, const struct sip_msg *msg, struct tbs_diag *diag)
{
    struct tbs_buf plain TBS_BUF_AUTO = tbs_buf();
    struct tbs_session *session = NULL;
    enum tbs_err err = sdp_make(&c->agent->media, &plain, diag);

    if (!err)
        err =
            security_answer(c->agent->security, tbs_buf_view(&plain), &c->exchange, &session, diag);
    if (!err && session)
        err = call_use_session(c, session, msg, diag);
    return err;
}

/* 488 with the Error message that says why (RFC 6043 5.4); the call is over. */
static void reject(struct call *c, const struct tbs_diag *why)
{
    const char *type = "";
    struct tbs_buf plain TBS_BUF_AUTO = tbs_buf(), sdp TBS_BUF_AUTO = tbs_buf();

    call_refused(c, "self", why->text);
    if (!sdp_make(&c->agent->media, &plain, NULL))
        security_refuse(call_body(c->invite), tbs_buf_view(&plain), why, &sdp);
    if (sdp.len > 0) {
        type = "Content-Type: application/sdp\r\n";
        message_keep(c->agent->o, c->agent->o->name, c->peer, "refusal", tbs_buf_view(&sdp));
    }
    sipsess_reject(c->session, 488, "Not Acceptable Here", "%sContent-Length: %zu\r\n\r\n%b", type,
                   sdp.len, sdp.data, sdp.len);
    mem_deref(c);
}

static enum tbs_err answer_update(struct call *c, const struct sip_msg *msg, struct tbs_diag *diag)
{
    struct tbs_buf plain TBS_BUF_AUTO = tbs_buf();
    struct tbs_session *session = NULL;
    enum tbs_err err = sdp_make(&c->agent->media, &plain, diag);

    if (!err)
        err = security_answer_update(&c->exchange, call_body(msg), tbs_buf_view(&plain), &session,
                                     diag);
    return err ? err : call_use_session(c, session, msg, diag);
}

/* The exchange before stays if this one fails. */
static enum tbs_err answer_reoffer(struct call *c, const struct sip_msg *msg, struct tbs_diag *diag)
{
    struct exchange before = c->exchange;
    enum tbs_err err;

    c->exchange = (struct exchange){0};
    err = accept_offer(c, msg, diag);
    if (!err)
        err = make_answer(c, msg, diag);
    if (err) {
        exchange_free(&c->exchange);
        c->exchange = before;
    } else {
        exchange_free(&before);
    }
    return err;
}

/* A re-INVITE of the other side, answered at once. */
int incoming_reoffer(struct mbuf **ret_sdp, const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;
    struct tbs_diag diag = {0};
    enum tbs_err err;

    message_keep(c->agent->o, c->peer, c->agent->o->name, "reoffer", call_body(msg));
    if (security_is_update(&c->exchange, call_body(msg))) {
        err = answer_update(c, msg, &diag);
    } else {
        err = answer_reoffer(c, msg, &diag);
    }
    if (err) {
        call_refused(c, "self", diag.text);
        return EPROTO; /* libre answers 488; the call goes on as it was */
    }
    message_keep(c->agent->o, c->agent->o->name, c->peer, "answer", tbs_buf_view(&c->exchange.sdp));
    *ret_sdp = call_mbuf(&c->exchange.sdp);
    return 0;
}

void call_incoming(const struct sip_msg *msg, void *agent)
{
    struct agent *a = agent;
    const struct sip_hdr *caller = sip_msg_hdr(msg, SIP_HDR_USER_AGENT);
    char name[UA_NAME_MAX + 1] = "", to[UA_REASON_MAX] = "", from[UA_REASON_MAX] = "";
    struct tbs_diag diag = {0};
    struct call *c;

    call_text(name, sizeof name, caller ? &caller->val : &msg->from.uri.user);
    call_text(to, sizeof to, &msg->to.auri);
    call_text(from, sizeof from, &msg->from.auri);
    c = call_new(a, name, from);
    if (!c ||
        sipsess_accept(&c->session, a->sock, msg, 180, "Ringing", a->o->name, "application/sdp",
                       NULL, NULL, NULL, false, incoming_reoffer, outgoing_answered,
                       outgoing_established, NULL, NULL, outgoing_closed, c, NULL)) {
        sip_treply(NULL, a->sip, msg, 500, "Server Internal Error");
        mem_deref(c);
        return;
    }
    c->invite = mem_ref((void *)msg);
    event("incoming", json_pack("{s:i, s:s, s:s}", "call", c->id, "from", name, "to", to));
    message_keep(a->o, name, a->o->name, "offer", call_body(msg));
    if (accept_offer(c, msg, &diag))
        reject(c, &diag);
}

void incoming_resolve(struct call *c, const char *argument)
{
    struct tbs_diag diag = {0};

    (void)argument;
    if (security_resolve(c->agent->security, &c->exchange, &diag))
        reject(c, &diag);
}

static void respond(struct call *c, uint16_t status, const char *reason)
{
    bool first = c->exchange.sdp.len == 0;
    struct tbs_diag diag = {0};
    struct mbuf *sdp;

    if (make_answer(c, c->invite, &diag)) {
        reject(c, &diag);
        return;
    }
    if (first)
        message_keep(c->agent->o, c->agent->o->name, c->peer, status < 200 ? "progress" : "answer",
                     tbs_buf_view(&c->exchange.sdp));
    sdp = call_mbuf(&c->exchange.sdp);
    if (status < 200)
        sipsess_progress(c->session, status, reason, sdp, NULL);
    else
        sipsess_answer(c->session, status, reason, sdp, NULL);
    mem_deref(sdp);
}

void incoming_progress(struct call *c, const char *argument)
{
    (void)argument;
    respond(c, 183, "Session Progress");
}

void incoming_answer(struct call *c, const char *argument)
{
    (void)argument;
    respond(c, 200, "OK");
}

void incoming_busy(struct call *c, const char *argument)
{
    (void)argument;
    sipsess_reject(c->session, 486, "Busy Here", NULL);
    mem_deref(c);
}

void incoming_redirect(struct call *c, const char *argument)
{
    sipsess_reject(c->session, 302, "Moved Temporarily",
                   "Contact: <%s>\r\nContent-Length: 0\r\n\r\n", argument);
    mem_deref(c);
}
