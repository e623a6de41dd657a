#include "call.h"

static enum tbs_err make_offer(struct call *c, struct mbuf **ret_sdp, struct tbs_diag *diag)
{
    struct agent *a = c->agent;
    struct tbs_buf plain TBS_BUF_AUTO = tbs_buf(), offer TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = sdp_make(&a->media, &plain, diag);

    exchange_free(&c->exchange);
    if (!err)
        err = security_offer(a->security, c->uri, c->srtp, c->leave, tbs_buf_view(&plain),
                             &c->exchange, &offer, diag);
    if (!err)
        *ret_sdp = call_mbuf(&offer);
    return err;
}

/* The keys of an answer in a provisional or final response. */
static enum tbs_err take_answer(struct call *c, const struct sip_msg *msg, struct tbs_diag *diag)
{
    struct tbs_session *session = NULL;
    struct tbs_bytes sdp = call_body(msg);
    struct sa media;
    enum tbs_err err = sdp_read(sdp, &media, diag);

    if (!err)
        err = security_finish(&c->exchange, sdp, &session, diag);
    if (!err && session)
        err = call_use_session(c, session, msg, diag);
    return err;
}

static void refuse_answer(struct call *c, const struct sip_msg *msg, const struct tbs_diag *diag)
{
    message_keep(c->agent->o, c->peer, c->agent->o->name, "answer", call_body(msg));
    call_refused(c, "self", diag->text);
    c->refused = true;
}

/* User agents say who they are in Server. */
static void learn_name(struct call *c, const struct sip_msg *msg)
{
    const struct sip_hdr *server = sip_msg_hdr(msg, SIP_HDR_SERVER);

    if (server)
        call_text(c->peer, sizeof c->peer, &server->val);
}

static void on_progress(const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;
    struct tbs_diag diag = {0};

    event("progress", json_pack("{s:i, s:i}", "call", c->id, "status", msg->scode));
    /* A branch that answers badly does not end the others' call. */
    if (mbuf_get_left(msg->mb) > 0 && take_answer(c, msg, &diag))
        call_refused(c, "self", diag.text);
}

int outgoing_answered(const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;
    struct tbs_diag diag = {0};

    learn_name(c, msg);
    if (take_answer(c, msg, &diag))
        refuse_answer(c, msg, &diag);
    return 0; /* libre sends ACK; BYE follows in outgoing_established */
}

void outgoing_established(const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;

    (void)msg;
    if (c->refused)
        mem_deref(c); /* sends BYE */
    else
        event("established", json_pack("{s:i}", "call", c->id));
}

/* Why the other side refused, if it said so in MIKEY. */
static void say_refusal(struct call *c, const struct sip_msg *msg)
{
    struct tbs_session *session = NULL;
    struct tbs_diag diag = {0};

    if (!c->exchange.transfer || mbuf_get_left(msg->mb) == 0)
        return;
    if (security_finish(&c->exchange, call_body(msg), &session, &diag))
        call_refused(c, "peer", diag.text);
}

void outgoing_closed(int err, const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;
    char reason[UA_NAME_MAX + 1] = "";

    if (msg) {
        call_text(reason, sizeof reason, &msg->reason);
        say_refusal(c, msg);
    }
    event("closed", json_pack("{s:i, s:i, s:s, s:i}", "call", c->id, "status", msg ? msg->scode : 0,
                              "reason", reason, "errno", err));
    mem_deref(c);
}

/* A message that is left is for a mailbox, an automaton by RFC 3840 10.2: RFC 3841. */
void outgoing_begin(struct agent *a, const char *uri, enum tbs_srtp srtp, bool leave)
{
    const char *route[] = {a->route}, *identity = security_identity(a->security);
    struct call *c = call_new(a, "peer", uri);
    struct mbuf *offer = NULL;
    struct tbs_diag diag = {0};
    int failed;

    if (!c)
        return;
    c->srtp = srtp;
    c->leave = leave;
    if (make_offer(c, &offer, &diag)) {
        call_refused(c, "self", diag.text);
        mem_deref(c);
        return;
    }
    failed = sipsess_connect(&c->session, a->sock, uri, NULL, identity, a->o->name, route, 1,
                             "application/sdp", offer, NULL, NULL, false, incoming_reoffer,
                             outgoing_answered, on_progress, outgoing_established, NULL, NULL,
                             outgoing_closed, c, "%s",
                             leave ? "Accept-Contact: *;automata;require\r\n" : "");
    mem_deref(offer);
    if (failed) {
        event("closed", json_pack("{s:i, s:i}", "call", c->id, "errno", failed));
        mem_deref(c);
    }
}

static void offer_again(struct call *c, enum tbs_err (*make)(struct call *c, struct mbuf **ret_sdp,
                                                             struct tbs_diag *diag))
{
    struct mbuf *offer = NULL;
    struct tbs_diag diag = {0};

    if (make(c, &offer, &diag))
        call_refused(c, "self", diag.text);
    else
        sipsess_modify(c->session, offer);
    mem_deref(offer);
}

void outgoing_reinvite(struct call *c, const char *argument)
{
    (void)argument;
    offer_again(c, make_offer);
}

static enum tbs_err make_update(struct call *c, struct mbuf **ret_sdp, struct tbs_diag *diag)
{
    struct tbs_buf plain TBS_BUF_AUTO = tbs_buf(), offer TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = sdp_make(&c->agent->media, &plain, diag);

    if (!err)
        err = security_update(&c->exchange, tbs_buf_view(&plain), &offer, diag);
    if (!err)
        *ret_sdp = call_mbuf(&offer);
    return err;
}

void outgoing_rekey(struct call *c, const char *argument)
{
    (void)argument;
    offer_again(c, make_update);
}
