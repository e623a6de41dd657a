#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "tools/common/session_keys.h"

static void call_destroy(void *arg)
{
    struct call *c = arg;

    list_unlink(&c->le);
    mem_deref(c->session);
    mem_deref(c->invite);
    exchange_free(&c->exchange);
}

struct call *call_new(struct agent *a, const char *peer, const char *uri)
{
    struct call *c = mem_zalloc(sizeof *c, call_destroy);

    if (!c)
        return NULL;
    c->agent = a;
    c->id = ++a->n_calls;
    str_ncpy(c->peer, peer, sizeof c->peer);
    str_ncpy(c->uri, uri, sizeof c->uri);
    list_prepend(&a->calls, &c->le, c);
    return c;
}

struct mbuf *call_mbuf(const struct tbs_buf *b)
{
    struct mbuf *mb = mbuf_alloc(b->len);

    if (mb && mbuf_write_mem(mb, b->data, b->len) == 0)
        mb->pos = 0;
    return mb;
}

struct tbs_bytes call_body(const struct sip_msg *msg)
{
    return tbs_bytes(mbuf_buf(msg->mb), mbuf_get_left(msg->mb));
}

void call_text(char *to, size_t size, const struct pl *from)
{
    pl_strcpy(from, to, size);
}

/* --- Keys --- */

static json_t *about_media(const struct sip_msg *msg)
{
    char where[64] = "", tag[UA_NAME_MAX + 1] = "";
    struct sa media;

    if (!sdp_read(call_body(msg), &media, NULL))
        re_snprintf(where, sizeof where, "%J", &media);
    call_text(tag, sizeof tag, &msg->to.tag);
    return json_pack("{s:s, s:i, s:s}", "media", where, "status", msg->scode, "tag", tag);
}

/* Writes the keys. */
enum tbs_err call_use_session(struct call *c, const struct tbs_session *session,
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
    return err;
}

void call_refused(struct call *c, const char *by, const char *reason)
{
    event("refused", json_pack("{s:i, s:s, s:s}", "call", c->id, "by", by, "reason", reason));
}

/* --- Commands --- */

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
    {"resolve", incoming_resolve, true},   {"progress", incoming_progress, true},
    {"answer", incoming_answer, true},     {"busy", incoming_busy, true},
    {"redirect", incoming_redirect, true}, {"reinvite", outgoing_reinvite, false},
    {"rekey", outgoing_rekey, false},      {"bye", bye, false},
};

void call_command(struct agent *a, char *line)
{
    char word[16] = "", argument[UA_REASON_MAX] = "", further[16] = "";
    struct call *newest = list_ledata(list_head(&a->calls));
    enum tbs_srtp srtp;

    sscanf(line, "%15s %399s %15s", word, argument, further);
    if ((strcmp(word, "call") == 0 || strcmp(word, "leave") == 0) && argument[0] &&
        read_profile(further, &srtp)) {
        outgoing_begin(a, argument, srtp, word[0] == 'l');
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
