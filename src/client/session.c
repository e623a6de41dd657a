/* The keys of a session. RFC 6043 5.1.3, 6.1.1; RFC 3830 4.1.3; RFC 3711 8.2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"

#define EXPORT_MAGIC 0x54425373u /* "TBSs" */
#define EXPORT_VERSION 1

/* A session while it is made: of the first exchange come the RANDs, of the latest the map. */
struct making {
    const struct client_csb *csb;
    struct client_initial initial;
    struct mikey_message init, resp; /* resp.raw is empty where there is no answer */
};

/* The message whose map is final. */
static const struct mikey_message *last_of(const struct making *m)
{
    return m->resp.raw.len > 0 ? &m->resp : &m->init;
}

/* The profile of the one policy that a crypto session has: SP of the answer or the offer. */
static bool find_profile(const struct making *m, const struct mikey_cs *cs,
                         struct client_profile *ret_profile)
{
    const struct mikey_payload *sp = NULL;

    if (cs->policies.len != 1)
        return false;
    sp = client_find_sp(&m->resp.payloads, cs->policies.data[0]);
    if (!sp)
        sp = client_find_sp(&m->init.payloads, cs->policies.data[0]);
    return client_read_profile(sp, ret_profile) && ret_profile->protocol == cs->prot;
}

/* True when this profile was offered for the crypto session, or any. */
static bool was_offered(const struct mikey_message *init, uint8_t cs_id,
                        struct client_profile profile)
{
    struct tbs_reader map = tbs_reader(init->hdr.map_info);

    for (unsigned i = 0; i < init->hdr.n_cs; i++) {
        struct mikey_cs cs = mikey_next_cs(&map);

        if (cs.id != cs_id)
            continue;
        for (size_t p = 0; p < cs.policies.len; p++) {
            const struct mikey_payload *sp = client_find_sp(&init->payloads, cs.policies.data[p]);

            struct client_profile offered;

            if (client_read_profile(sp, &offered) && client_profile_equal(offered, profile))
                return true;
        }
        return cs.policies.len == 0 && cs.prot == profile.protocol;
    }
    return true; /* the one who answers added it */
}

static enum tbs_err derive(const struct making *m, const struct mikey_key *key,
                           enum mikey_constant constant, uint8_t cs_id, size_t len,
                           struct tbs_secret *ret_key, struct tbs_diag *diag)
{
    const struct client_initial *first = &m->initial;
    struct mikey_inkey inkey = {.prf = first->suite->prf, .key = key->key};
    struct tbs_bytes randri = {0}, randrr = {0};

    if (first->policy.flags & TICKET_H)
        randri = mikey_rand_data(&first->init.payloads, MIKEY_RANDRI);
    if (first->policy.flags & TICKET_G)
        randrr = mikey_rand_data(&first->resp.payloads, MIKEY_RANDRR);
    struct mikey_label label = mikey_label_traffic(constant, cs_id, randri, randrr);

    return mikey_derive(&inkey, &label, len, ret_key, diag);
}

/* A TEK is the master key itself; a TGK or GTGK gives one to each crypto session. */
static enum tbs_err take_master_key(const struct making *m, const struct mikey_key *key,
                                    struct client_stream *s, struct tbs_diag *diag)
{
    size_t len = client_srtp_key_len(s->traffic.srtp);

    if (key->type != MIKEY_TEK && key->type != MIKEY_TEK_SALT)
        return derive(m, key, MIKEY_CONST_TEK, s->traffic.cs_id, len, &s->key, diag);
    if (key->key.len != len)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the TEK of crypto session %u has %zu octets; %s needs %zu",
                        s->traffic.cs_id, key->key.len, tbs_srtp_name(s->traffic.srtp), len);
    return tbs_secret_copy(key->key, &s->key, diag);
}

/* RFC 6043 5.1.3: a salt that comes with the key is used, and none derived. */
static enum tbs_err take_master_salt(const struct making *m, const struct mikey_key *key,
                                     struct client_stream *s, struct tbs_diag *diag)
{
    if (key->salt.len == CLIENT_SRTP_SALT_LEN)
        return tbs_secret_copy(key->salt, &s->salt, diag);
    if (key->salt.len > 0 || key->type == MIKEY_TEK)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the key of crypto session %u comes with a salt of %zu octets; SRTP needs "
                        "%d (RFC 3711 8.2)",
                        s->traffic.cs_id, key->salt.len, CLIENT_SRTP_SALT_LEN);
    return derive(m, key, MIKEY_CONST_TRAFFIC_SALT, s->traffic.cs_id, CLIENT_SRTP_SALT_LEN,
                  &s->salt, diag);
}

static enum tbs_err choose_profile(const struct making *m, const struct mikey_cs *cs,
                                   struct client_profile *ret_profile, struct tbs_diag *diag)
{
    if (!find_profile(m, cs, ret_profile) ||
        (m->resp.raw.len > 0 && !was_offered(&m->init, cs->id, *ret_profile)))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the security policy of crypto session %u is not acceptable "
                        "(RFC 6043 4.2.2.4)",
                        cs->id);
    if (ret_profile->protocol == TBS_PROTOCOL_SRTP && cs->session_data.len == 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "crypto session %u has no Session Data (RFC 6043 6.1.1)", cs->id);
    return TBS_OK;
}

static void read_session_data(const struct mikey_cs *cs, struct tbs_traffic *t)
{
    struct tbs_reader r = tbs_reader(cs->session_data);

    t->ssrc = tbs_read_u32(&r);
    t->has_roc = cs->s;
    t->roc = tbs_read_u32(&r);
    t->seq = tbs_read_u16(&r);
}

static enum tbs_err fill_stream(const struct making *m, const struct mikey_cs *cs,
                                const struct mikey_key *key, struct client_stream *s,
                                struct tbs_diag *diag)
{
    enum tbs_err err;

    read_session_data(cs, &s->traffic);
    err = take_master_key(m, key, s, diag);
    if (!err)
        err = take_master_salt(m, key, s, diag);
    if (err)
        return err;
    memcpy(s->mki, cs->spi.data, cs->spi.len);
    s->traffic.mki = tbs_bytes(s->mki, cs->spi.len);
    s->traffic.master_key = tbs_secret_view(&s->key);
    s->traffic.master_salt = tbs_secret_view(&s->salt);
    return TBS_OK;
}

/* CSB ID, CS ID and SPI: what both sides know of the key, as TLS and CMS name it. */
static bool name_key(const struct making *m, const struct mikey_cs *cs,
                     char identity[TBS_KEY_IDENTITY_MAX + 1])
{
    size_t n = (size_t)snprintf(identity, TBS_KEY_IDENTITY_MAX + 1, "%08x.%02x.",
                                m->initial.init.hdr.csb_id, cs->id);

    if (n + 2 * cs->spi.len > TBS_KEY_IDENTITY_MAX)
        return false;
    for (size_t i = 0; i < cs->spi.len; i++)
        sprintf(identity + n + 2 * i, "%02x", cs->spi.data[i]);
    return true;
}

/* TLS and CMS take the TEK as it is: as long as the suite's keys, where it is derived. */
static enum tbs_err fill_shared_key(const struct making *m, const struct mikey_cs *cs,
                                    const struct mikey_key *key, struct tbs_session *session,
                                    struct tbs_diag *diag)
{
    struct tbs_secret *tek = &session->streams[0].key;

    if (!name_key(m, cs, session->identity))
        return tbs_fail(diag, TBS_ERR_LIMIT, "the SPI of crypto session %u is too long to name it",
                        cs->id);
    if (key->type == MIKEY_TEK || key->type == MIKEY_TEK_SALT)
        return tbs_secret_copy(key->key, tek, diag);
    return derive(m, key, MIKEY_CONST_TEK, cs->id, m->initial.suite->encr_key_len, tek, diag);
}

static enum tbs_err add_cs(const struct making *m, const struct mikey_cs *cs,
                           struct tbs_session *session, struct tbs_diag *diag)
{
    const struct mikey_key *key = client_find_key(m->csb->keys.key, m->csb->keys.n, cs->spi);
    struct client_stream *s = &session->streams[session->n];
    struct client_profile profile;
    enum tbs_err err = choose_profile(m, cs, &profile, diag);

    session->n++; /* also what fails, so that it is freed */
    if (!err && !key)
        err = tbs_fail(diag, TBS_ERR_MALFORMED,
                       "the SPI of crypto session %u names no session key of this CSB", cs->id);
    if (!err && session->n > 1 &&
        (profile.protocol != TBS_PROTOCOL_SRTP || session->protocol != TBS_PROTOCOL_SRTP))
        err = tbs_fail(diag, TBS_ERR_MALFORMED,
                       "crypto session %u is one of several, which only SRTP has", cs->id);
    if (err)
        return err;
    s->traffic = (struct tbs_traffic){.cs_id = cs->id, .srtp = profile.srtp};
    session->protocol = profile.protocol;
    return profile.protocol == TBS_PROTOCOL_SRTP ? fill_stream(m, cs, key, s, diag)
                                                 : fill_shared_key(m, cs, key, session, diag);
}

const struct tbs_traffic *client_session_find(const struct tbs_session *session, uint8_t cs_id)
{
    for (size_t i = 0; i < session->n; i++)
        if (session->streams[i].traffic.cs_id == cs_id)
            return &session->streams[i].traffic;
    return NULL;
}

static enum tbs_err add_streams(const struct making *m, struct tbs_session *session,
                                struct tbs_diag *diag)
{
    const struct mikey_message *last = last_of(m);
    struct tbs_reader map = tbs_reader(last->hdr.map_info);

    if (last->hdr.map_type != MIKEY_MAP_GENERIC_ID || last->hdr.n_cs > TBS_SESSIONS_MAX)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "the %s has CS ID map type %u with %u crypto sessions; type 2 with at "
                        "most %d is supported",
                        mikey_data_type_name(last->hdr.data_type), last->hdr.map_type,
                        last->hdr.n_cs, TBS_SESSIONS_MAX);
    while (session->n < last->hdr.n_cs) {
        struct mikey_cs cs = mikey_next_cs(&map);
        enum tbs_err err;

        if (client_session_find(session, cs.id))
            return tbs_fail(diag, TBS_ERR_MALFORMED, "CS ID %u stands twice in the map", cs.id);
        err = add_cs(m, &cs, session, diag);
        if (err)
            return err;
    }
    return TBS_OK;
}

/* An answer leaves out none of the crypto sessions that were offered. */
static enum tbs_err check_complete(const struct making *m, const struct tbs_session *session,
                                   struct tbs_diag *diag)
{
    struct tbs_reader map = tbs_reader(m->init.hdr.map_info);

    for (unsigned i = 0; i < m->init.hdr.n_cs; i++) {
        struct mikey_cs cs = mikey_next_cs(&map);

        if (!client_session_find(session, cs.id))
            return tbs_fail(diag, TBS_ERR_MALFORMED,
                            "the TRANSFER_RESP leaves out crypto session %u", cs.id);
    }
    return TBS_OK;
}

static enum tbs_err make_streams(struct tbs_session *session, struct tbs_diag *diag)
{
    struct making m = {.csb = &session->csb};
    enum tbs_err err = client_csb_read(&session->csb, &m.initial, diag);

    if (!err)
        err = mikey_decode(tbs_buf_view(&session->init), &m.init, diag);
    if (!err && session->resp.len > 0)
        err = mikey_decode(tbs_buf_view(&session->resp), &m.resp, diag);
    if (err)
        return err;
    session->csb_id = m.initial.init.hdr.csb_id;
    session->rekey_seconds = m.initial.policy.has_rekey ? m.initial.policy.rekey_seconds : 0;
    err = add_streams(&m, session, diag);
    return err ? err : check_complete(&m, session, diag);
}

enum tbs_err client_session_make(struct client_csb *csb, struct tbs_bytes init,
                                 struct tbs_bytes resp, struct tbs_session **ret_session,
                                 struct tbs_diag *diag)
{
    struct tbs_session *session = calloc(1, sizeof *session);
    enum tbs_err err;

    if (!session) {
        client_csb_free(csb);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    }
    session->csb = *csb;
    *csb = (struct client_csb){0};
    session->init = session->resp = tbs_buf();
    tbs_put_bytes(&session->init, init);
    tbs_put_bytes(&session->resp, resp);
    err = session->init.failed || session->resp.failed
              ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory")
              : make_streams(session, diag);
    if (err)
        tbs_session_free(session);
    else
        *ret_session = session;
    return err;
}

static uint64_t t_of(const struct mikey_message *m)
{
    const struct mikey_payload *t = mikey_find(&m->payloads, MIKEY_T, 0);

    return t ? mikey_ts64(t) : 0;
}

enum tbs_err client_session_new(const struct client_bundle *b, struct tbs_session **ret_session,
                                struct tbs_diag *diag)
{
    struct tbs_bytes resp = b->resp ? b->resp->raw : tbs_bytes(NULL, 0);
    uint64_t t_init = t_of(b->init), t_resp = b->resp ? t_of(b->resp) : t_init;
    struct client_csb csb = {.initiator = b->initiator,
                             .init = tbs_buf(),
                             .resp = tbs_buf(),
                             .idri = tbs_buf(),
                             .idrr = tbs_buf(),
                             .n_ticket = b->n_ticket,
                             .latest = client_is_later(t_resp, t_init) ? t_resp : t_init,
                             .peers = b->initiator && b->resp ? t_resp : t_init};
    enum tbs_err err;

    tbs_put_bytes(&csb.init, b->init->raw);
    tbs_put_bytes(&csb.resp, resp);
    tbs_put_bytes(&csb.idri, b->idri);
    tbs_put_bytes(&csb.idrr, b->idrr);
    err = csb.init.failed || csb.resp.failed || csb.idri.failed || csb.idrr.failed
              ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory")
              : tbs_secret_copy(b->mpk, &csb.mpk, diag);
    if (!err)
        err = mikey_key_set_copy(b->keys, b->n_keys, &csb.keys, diag);
    if (err) {
        client_csb_free(&csb);
        return err;
    }
    return client_session_make(&csb, b->init->raw, resp, ret_session, diag);
}

size_t tbs_session_count(const struct tbs_session *session)
{
    return session->protocol == TBS_PROTOCOL_SRTP ? session->n : 0;
}

enum tbs_err tbs_session_shared_key(const struct tbs_session *session,
                                    struct tbs_shared_key *ret_key, struct tbs_diag *diag)
{
    if (session->protocol == TBS_PROTOCOL_SRTP)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "the session is for SRTP");
    *ret_key = (struct tbs_shared_key){
        .cs_id = session->streams[0].traffic.cs_id,
        .protocol = session->protocol,
        .key = tbs_secret_view(&session->streams[0].key),
        .identity = session->identity,
    };
    return TBS_OK;
}

void tbs_session_traffic(const struct tbs_session *session, size_t i,
                         struct tbs_traffic *ret_traffic)
{
    *ret_traffic = session->streams[i].traffic;
}

struct tbs_bytes tbs_session_peer(const struct tbs_session *session)
{
    return tbs_buf_view(session->csb.initiator ? &session->csb.idrr : &session->csb.idri);
}

uint32_t tbs_session_csb_id(const struct tbs_session *session)
{
    return session->csb_id;
}

uint32_t tbs_session_rekey_seconds(const struct tbs_session *session)
{
    return session->rekey_seconds;
}

/* Magic, version, CSB, and the latest exchange: the traffic keys are made again. */
enum tbs_err tbs_session_export(const struct tbs_session *session, struct tbs_secret *ret_octets,
                                struct tbs_diag *diag)
{
    struct tbs_buf b TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err;

    tbs_put_u32(&b, EXPORT_MAGIC);
    tbs_put_u8(&b, EXPORT_VERSION);
    client_csb_put(&session->csb, &b);
    tbs_put_u32(&b, (uint32_t)session->init.len);
    tbs_put_bytes(&b, tbs_buf_view(&session->init));
    tbs_put_u32(&b, (uint32_t)session->resp.len);
    tbs_put_bytes(&b, tbs_buf_view(&session->resp));
    err = mikey_written(&b, diag);
    return err ? err : tbs_secret_copy(tbs_buf_view(&b), ret_octets, diag);
}

enum tbs_err tbs_session_import(struct tbs_bytes octets, struct tbs_session **ret_session,
                                struct tbs_diag *diag)
{
    struct tbs_reader r = tbs_reader(octets);
    struct tbs_bytes init, resp;
    struct client_csb csb;
    enum tbs_err err;

    if (tbs_read_u32(&r) != EXPORT_MAGIC)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "these octets are not an exported session");
    if (tbs_read_u8(&r) != EXPORT_VERSION)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "an exported session of another version than %d, which this library reads",
                        EXPORT_VERSION);
    err = client_csb_get(&r, &csb, diag);
    if (err)
        return err;
    init = tbs_read_bytes(&r, tbs_read_u32(&r));
    resp = tbs_read_bytes(&r, tbs_read_u32(&r));
    if (r.failed || tbs_reader_left(&r) > 0) {
        client_csb_free(&csb);
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the exported session is damaged");
    }
    return client_session_make(&csb, init, resp, ret_session, diag);
}

void tbs_session_free(struct tbs_session *session)
{
    if (!session)
        return;
    client_csb_free(&session->csb);
    tbs_buf_free(&session->init);
    tbs_buf_free(&session->resp);
    mikey_key_set_free(&session->supply);
    for (size_t i = 0; i < session->n; i++) {
        tbs_secret_free(&session->streams[i].key);
        tbs_secret_free(&session->streams[i].salt);
    }
    free(session);
}
