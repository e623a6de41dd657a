/* Calls: SIP by libre, protection by security.c. What goes wrong with the protection ends the
 * call: nothing is ever sent or taken in the clear. */
#include <stdlib.h>
#include <string.h>

#include "tools/common/session_keys.h"
#include "ua.h"

struct call {
    struct le le;
    struct agent *agent;
    unsigned id;
    struct sipsess *session;
    struct sip_msg *invite; /* of an incoming call */
    struct exchange exchange;
    char peer[UA_REASON_MAX]; /* whom it calls, or its name if it called */
    enum tbs_srtp srtp;
    bool refused; /* by this side: what comes then is no news */
};

static void call_destroy(void *arg)
{
    struct call *c = arg;

    list_unlink(&c->le);
    mem_deref(c->session);
    mem_deref(c->invite);
    exchange_free(&c->exchange);
}

static struct call *call_new(struct agent *a, const char *peer)
{
    struct call *c = mem_zalloc(sizeof *c, call_destroy);

    if (!c)
        return NULL;
    c->agent = a;
    c->id = ++a->n_calls;
    str_ncpy(c->peer, peer, sizeof c->peer);
    list_prepend(&a->calls, &c->le, c);
    return c;
}

static struct mbuf *to_mbuf(const struct tbs_buf *b)
{
    struct mbuf *mb = mbuf_alloc(b->len);

    if (mb && mbuf_write_mem(mb, b->data, b->len) == 0)
        mb->pos = 0;
    return mb;
}

static struct tbs_bytes body_of(const struct sip_msg *msg)
{
    return tbs_bytes(mbuf_buf(msg->mb), mbuf_get_left(msg->mb));
}

static void pl_text(char *to, size_t size, const struct pl *from)
{
    pl_strcpy(from, to, size);
}

/* --- Keys --- */

static json_t *about_media(const struct sip_msg *msg)
{
    char where[64] = "", tag[UA_NAME_MAX + 1] = "";
    struct sa media;

    if (!sdp_read(body_of(msg), &media, NULL))
        re_snprintf(where, sizeof where, "%J", &media);
    pl_text(tag, sizeof tag, &msg->to.tag);
    return json_pack("{s:s, s:i, s:s}", "media", where, "status", msg->scode, "tag", tag);
}

/* Writes the keys and frees the session. */
static enum tbs_err use_session(struct call *c, struct tbs_session *session,
                                const struct sip_msg *msg, struct tbs_diag *diag)
{
    struct tbs_traffic traffic[TBS_SESSIONS_MAX];
    struct tbs_bytes peer = tbs_session_peer(session);
    char path[128];
    size_t n = tbs_session_count(session);
    enum tbs_err err;

    for (size_t i = 0; i < n; i++)
        tbs_session_traffic(session, i, &traffic[i]);
    re_snprintf(path, sizeof path, "%s.%u.keys", c->agent->o->name, ++c->agent->n_keys);
    err = session_keys_write(path, peer, tbs_session_csb_id(session), traffic, n, diag);
    if (!err) {
        json_t *facts = about_media(msg);

        json_object_set_new(facts, "call", json_integer(c->id));
        json_object_set_new(facts, "file", json_string(path));
        json_object_set_new(facts, "peer", json_stringn((const char *)peer.data, peer.len));
        event("keys", facts);
    }
    tbs_session_free(session);
    return err;
}

static void say_refused(struct call *c, const char *by, const char *reason)
{
    event("refused", json_pack("{s:i, s:s, s:s}", "call", c->id, "by", by, "reason", reason));
}

/* --- Outgoing --- */

static enum tbs_err make_offer(struct call *c, struct mbuf **ret_sdp, struct tbs_diag *diag)
{
    struct agent *a = c->agent;
    struct tbs_buf plain TBS_BUF_AUTO = tbs_buf(), offer TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = sdp_make(&a->media, &plain, diag);

    exchange_free(&c->exchange);
    if (!err)
        err = security_offer(a->security, c->peer, c->srtp, tbs_buf_view(&plain), &c->exchange,
                             &offer, diag);
    if (!err)
        *ret_sdp = to_mbuf(&offer);
    return err;
}

/* The keys of an answer in a provisional or final response. */
static enum tbs_err take_answer(struct call *c, const struct sip_msg *msg, struct tbs_diag *diag)
{
    struct tbs_session *session = NULL;
    struct tbs_bytes sdp = body_of(msg);
    struct sa media;
    enum tbs_err err = sdp_read(sdp, &media, diag);

    if (!err)
        err = security_finish(&c->exchange, sdp, &session, diag);
    if (!err && session)
        err = use_session(c, session, msg, diag);
    return err;
}

static void refuse_answer(struct call *c, const struct sip_msg *msg, const struct tbs_diag *diag)
{
    message_keep(c->agent->o, "peer", c->agent->o->name, "answer", body_of(msg));
    say_refused(c, "self", diag->text);
    c->refused = true;
}

static void on_progress(const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;
    struct tbs_diag diag = {0};

    event("progress", json_pack("{s:i, s:i}", "call", c->id, "status", msg->scode));
    /* A branch that answers badly does not end the others' call. */
    if (mbuf_get_left(msg->mb) > 0 && take_answer(c, msg, &diag))
        say_refused(c, "self", diag.text);
}

static int on_answer(const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;
    struct tbs_diag diag = {0};

    if (take_answer(c, msg, &diag))
        refuse_answer(c, msg, &diag);
    return 0; /* libre sends ACK; BYE follows in on_established */
}

static void on_established(const struct sip_msg *msg, void *arg)
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
    if (security_finish(&c->exchange, body_of(msg), &session, &diag))
        say_refused(c, "peer", diag.text);
    tbs_session_free(session);
}

static void on_close(int err, const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;
    char reason[UA_NAME_MAX + 1] = "";

    if (msg) {
        pl_text(reason, sizeof reason, &msg->reason);
        say_refusal(c, msg);
    }
    event("closed", json_pack("{s:i, s:i, s:s, s:i}", "call", c->id, "status", msg ? msg->scode : 0,
                              "reason", reason, "errno", err));
    mem_deref(c);
}

/* A re-INVITE of the other side, answered at once. */
static int on_offer(struct mbuf **ret_sdp, const struct sip_msg *msg, void *arg);

static void call_out(struct agent *a, const char *uri, enum tbs_srtp srtp)
{
    const char *route[] = {a->route}, *identity = security_identity(a->security);
    struct call *c = call_new(a, uri);
    struct mbuf *offer = NULL;
    struct tbs_diag diag = {0};
    int failed;

    if (!c)
        return;
    c->srtp = srtp;
    if (make_offer(c, &offer, &diag)) {
        say_refused(c, "self", diag.text);
        mem_deref(c);
        return;
    }
    failed = sipsess_connect(&c->session, a->sock, uri, NULL, identity, a->o->name, route, 1,
                             "application/sdp", offer, NULL, NULL, false, on_offer, on_answer,
                             on_progress, on_established, NULL, NULL, on_close, c, NULL);
    mem_deref(offer);
    if (failed) {
        event("closed", json_pack("{s:i, s:i}", "call", c->id, "errno", failed));
        mem_deref(c);
    }
}

static void call_again(struct call *c, const char *argument)
{
    struct mbuf *offer = NULL;
    struct tbs_diag diag = {0};

    (void)argument;
    if (make_offer(c, &offer, &diag)) {
        say_refused(c, "self", diag.text);
        return;
    }
    sipsess_modify(c->session, offer);
    mem_deref(offer);
}

/* --- Incoming --- */

static enum tbs_err accept_offer(struct call *c, const struct sip_msg *msg, struct tbs_diag *diag)
{
    char to[UA_REASON_MAX];
    struct sa media;
    struct tbs_bytes sdp = body_of(msg);
    enum tbs_err err;

    message_keep(c->agent->o, c->peer, c->agent->o->name, "offer", sdp);
    pl_text(to, sizeof to, &msg->to.auri);
    exchange_free(&c->exchange);
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
        err = use_session(c, session, msg, diag);
    return err;
}

/* 488 with the Error message that says why (RFC 6043 5.4); the call is over. */
static void reject(struct call *c, const struct tbs_diag *why)
{
    const char *type = "";
    struct tbs_buf plain TBS_BUF_AUTO = tbs_buf(), sdp TBS_BUF_AUTO = tbs_buf();

    say_refused(c, "self", why->text);
    if (!sdp_make(&c->agent->media, &plain, NULL))
        security_refuse(body_of(c->invite), tbs_buf_view(&plain), why, &sdp);
    if (sdp.len > 0) {
        type = "Content-Type: application/sdp\r\n";
        message_keep(c->agent->o, c->agent->o->name, c->peer, "refusal", tbs_buf_view(&sdp));
    }
    sipsess_reject(c->session, 488, "Not Acceptable Here", "%sContent-Length: %zu\r\n\r\n%b", type,
                   sdp.len, sdp.data, sdp.len);
    mem_deref(c);
}

static int on_offer(struct mbuf **ret_sdp, const struct sip_msg *msg, void *arg)
{
    struct call *c = arg;
    struct tbs_diag diag = {0};
    enum tbs_err err = accept_offer(c, msg, &diag);

    if (!err)
        err = make_answer(c, msg, &diag);
    if (err) {
        say_refused(c, "self", diag.text);
        return EPROTO; /* libre answers 488; the call goes on as it was */
    }
    message_keep(c->agent->o, c->agent->o->name, c->peer, "answer", tbs_buf_view(&c->exchange.sdp));
    *ret_sdp = to_mbuf(&c->exchange.sdp);
    return 0;
}

void call_incoming(const struct sip_msg *msg, void *agent)
{
    struct agent *a = agent;
    const struct sip_hdr *caller = sip_msg_hdr(msg, SIP_HDR_USER_AGENT);
    char name[UA_NAME_MAX + 1] = "", to[UA_REASON_MAX] = "";
    struct tbs_diag diag = {0};
    struct call *c;

    pl_text(name, sizeof name, caller ? &caller->val : &msg->from.uri.user);
    pl_text(to, sizeof to, &msg->to.auri);
    c = call_new(a, name);
    if (!c || sipsess_accept(&c->session, a->sock, msg, 180, "Ringing", a->o->name,
                             "application/sdp", NULL, NULL, NULL, false, on_offer, on_answer,
                             on_established, NULL, NULL, on_close, c, NULL)) {
        sip_treply(NULL, a->sip, msg, 500, "Server Internal Error");
        mem_deref(c);
        return;
    }
    c->invite = mem_ref((void *)msg);
    event("incoming", json_pack("{s:i, s:s, s:s}", "call", c->id, "from", name, "to", to));
    if (accept_offer(c, msg, &diag))
        reject(c, &diag);
}

/* --- Commands for a call --- */

static void resolve(struct call *c, const char *argument)
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
    sdp = to_mbuf(&c->exchange.sdp);
    if (status < 200)
        sipsess_progress(c->session, status, reason, sdp, NULL);
    else
        sipsess_answer(c->session, status, reason, sdp, NULL);
    mem_deref(sdp);
}

static void progress(struct call *c, const char *argument)
{
    (void)argument;
    respond(c, 183, "Session Progress");
}

static void answer(struct call *c, const char *argument)
{
    (void)argument;
    respond(c, 200, "OK");
}

static void busy(struct call *c, const char *argument)
{
    (void)argument;
    sipsess_reject(c->session, 486, "Busy Here", NULL);
    mem_deref(c);
}

static void redirect(struct call *c, const char *argument)
{
    sipsess_reject(c->session, 302, "Moved Temporarily",
                   "Contact: <%s>\r\nContent-Length: 0\r\n\r\n", argument);
    mem_deref(c);
}

/* CANCEL, 486 or BYE, whichever the call's state wants. */
static void bye(struct call *c, const char *argument)
{
    (void)argument;
    event("closed", json_pack("{s:i, s:s}", "call", c->id, "reason", "ended here"));
    mem_deref(c);
}

static bool read_profile(const char *text, enum tbs_srtp *ret_srtp)
{
    *ret_srtp = 0;
    if (strcmp(text, "128") == 0)
        *ret_srtp = TBS_SRTP_AES_CM_128_HMAC_SHA1_80;
    else if (strcmp(text, "256") == 0)
        *ret_srtp = TBS_SRTP_AES_256_CM_HMAC_SHA1_80;
    return text[0] == '\0' || *ret_srtp;
}

static const struct {
    const char *word;
    void (*run)(struct call *c, const char *argument);
    bool incoming; /* only while an incoming call is not answered */
} commands[] = {
    {"resolve", resolve, true}, {"progress", progress, true}, {"answer", answer, true},
    {"busy", busy, true},       {"redirect", redirect, true}, {"reinvite", call_again, false},
    {"bye", bye, false},
};

void call_command(struct agent *a, char *line)
{
    char word[16] = "", argument[UA_REASON_MAX] = "", further[16] = "";
    struct call *newest = list_ledata(list_head(&a->calls));
    enum tbs_srtp srtp;

    sscanf(line, "%15s %399s %15s", word, argument, further);
    if (strcmp(word, "call") == 0 && argument[0] && read_profile(further, &srtp)) {
        call_out(a, argument, srtp);
        return;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(word, commands[i].word) == 0 && newest &&
            (newest->invite || !commands[i].incoming)) {
            commands[i].run(newest, argument);
            return;
        }
    event("not-done", json_pack("{s:s}", "command", line));
}
