/* The keys of a session. RFC 6043 5.1.3, 6.1.1; RFC 3830 4.1.3; RFC 3711 8.2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"

struct stream {
    struct tbs_traffic traffic; /* views what follows */
    struct tbs_secret key, salt;
    uint8_t mki[UINT8_MAX];
};

struct tbs_session {
    uint32_t csb_id;
    struct tbs_buf peer;
    enum tbs_protocol protocol;
    char identity[TBS_KEY_IDENTITY_MAX + 1]; /* not for SRTP */
    size_t n;                                /* 1 where it is not for SRTP */
    struct stream streams[TBS_SESSIONS_MAX];
};

const struct mikey_key *client_key_for(const struct mikey_key *keys, size_t n_keys, size_t i)
{
    return &keys[i < n_keys ? i : n_keys - 1];
}

const struct mikey_key *client_find_key(const struct mikey_key *keys, size_t n_keys,
                                        struct tbs_bytes spi)
{
    for (size_t i = 0; i < n_keys; i++)
        if (tbs_bytes_equal(keys[i].spi, spi))
            return &keys[i];
    return NULL;
}

/* The profile of the one policy that a crypto session has: SP of the answer or the offer. */
static bool find_profile(const struct client_bundle *b, const struct mikey_cs *cs,
                         struct client_profile *ret_profile)
{
    const struct mikey_payload *sp = NULL;

    if (cs->policies.len != 1)
        return false;
    if (b->resp)
        sp = client_find_sp(&b->resp->payloads, cs->policies.data[0]);
    if (!sp)
        sp = client_find_sp(&b->init->payloads, cs->policies.data[0]);
    return client_read_profile(sp, ret_profile) && ret_profile->protocol == cs->prot;
}

/* True when the Initiator offered this profile for the crypto session, or any. */
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
    return true; /* the Responder added it */
}

static enum tbs_err derive(const struct client_bundle *b, const struct mikey_key *key,
                           enum mikey_constant constant, uint8_t cs_id, size_t len,
                           struct tbs_secret *ret_key, struct tbs_diag *diag)
{
    struct mikey_inkey inkey = {.prf = b->grant->suite->prf, .key = key->key};
    struct tbs_bytes randri = {0}, randrr = {0};

    if (b->grant->policy.flags & TICKET_H)
        randri = mikey_rand_data(&b->init->payloads, MIKEY_RANDRI);
    if (b->grant->policy.flags & TICKET_G)
        randrr = mikey_rand_data(&b->resp->payloads, MIKEY_RANDRR);
    struct mikey_label label = mikey_label_traffic(constant, cs_id, randri, randrr);

    return mikey_derive(&inkey, &label, len, ret_key, diag);
}

/* A TEK is the master key itself; a TGK or GTGK gives one to each crypto session. */
static enum tbs_err take_master_key(const struct client_bundle *b, const struct mikey_key *key,
                                    struct stream *s, struct tbs_diag *diag)
{
    size_t len = client_srtp_key_len(s->traffic.srtp);

    if (key->type != MIKEY_TEK && key->type != MIKEY_TEK_SALT)
        return derive(b, key, MIKEY_CONST_TEK, s->traffic.cs_id, len, &s->key, diag);
    if (key->key.len != len)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the TEK of crypto session %u has %zu octets; %s needs %zu",
                        s->traffic.cs_id, key->key.len, tbs_srtp_name(s->traffic.srtp), len);
    return tbs_secret_copy(key->key, &s->key, diag);
}

/* RFC 6043 5.1.3: a salt that comes with the key is used, and none derived. */
static enum tbs_err take_master_salt(const struct client_bundle *b, const struct mikey_key *key,
                                     struct stream *s, struct tbs_diag *diag)
{
    if (key->salt.len == CLIENT_SRTP_SALT_LEN)
        return tbs_secret_copy(key->salt, &s->salt, diag);
    if (key->salt.len > 0 || key->type == MIKEY_TEK)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the key of crypto session %u comes with a salt of %zu octets; SRTP needs "
                        "%d (RFC 3711 8.2)",
                        s->traffic.cs_id, key->salt.len, CLIENT_SRTP_SALT_LEN);
    return derive(b, key, MIKEY_CONST_TRAFFIC_SALT, s->traffic.cs_id, CLIENT_SRTP_SALT_LEN,
                  &s->salt, diag);
}

static enum tbs_err choose_profile(const struct client_bundle *b, const struct mikey_cs *cs,
                                   struct client_profile *ret_profile, struct tbs_diag *diag)
{
    if (!find_profile(b, cs, ret_profile) ||
        (b->resp && !was_offered(b->init, cs->id, *ret_profile)))
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

static enum tbs_err fill_stream(const struct client_bundle *b, const struct mikey_cs *cs,
                                const struct mikey_key *key, struct stream *s,
                                struct tbs_diag *diag)
{
    enum tbs_err err;

    read_session_data(cs, &s->traffic);
    err = take_master_key(b, key, s, diag);
    if (!err)
        err = take_master_salt(b, key, s, diag);
    if (err)
        return err;
    memcpy(s->mki, cs->spi.data, cs->spi.len);
    s->traffic.mki = tbs_bytes(s->mki, cs->spi.len);
    s->traffic.master_key = tbs_secret_view(&s->key);
    s->traffic.master_salt = tbs_secret_view(&s->salt);
    return TBS_OK;
}

/* CSB ID, CS ID and SPI: what both sides know of the key, as TLS and CMS name it. */
static bool name_key(const struct client_bundle *b, const struct mikey_cs *cs,
                     char identity[TBS_KEY_IDENTITY_MAX + 1])
{
    size_t n = (size_t)snprintf(identity, TBS_KEY_IDENTITY_MAX + 1, "%08x.%02x.",
                                b->init->hdr.csb_id, cs->id);

    if (n + 2 * cs->spi.len > TBS_KEY_IDENTITY_MAX)
        return false;
    for (size_t i = 0; i < cs->spi.len; i++)
        sprintf(identity + n + 2 * i, "%02x", cs->spi.data[i]);
    return true;
}

/* TLS and CMS take the TEK as it is: as long as the suite's keys, where it is derived. */
static enum tbs_err fill_shared_key(const struct client_bundle *b, const struct mikey_cs *cs,
                                    const struct mikey_key *key, struct tbs_session *session,
                                    struct tbs_diag *diag)
{
    struct tbs_secret *tek = &session->streams[0].key;

    if (!name_key(b, cs, session->identity))
        return tbs_fail(diag, TBS_ERR_LIMIT, "the SPI of crypto session %u is too long to name it",
                        cs->id);
    if (key->type == MIKEY_TEK || key->type == MIKEY_TEK_SALT)
        return tbs_secret_copy(key->key, tek, diag);
    return derive(b, key, MIKEY_CONST_TEK, cs->id, b->grant->suite->encr_key_len, tek, diag);
}

static enum tbs_err add_cs(const struct client_bundle *b, const struct mikey_cs *cs,
                           struct tbs_session *session, struct tbs_diag *diag)
{
    const struct mikey_key *key = client_find_key(b->keys, b->n_keys, cs->spi);
    struct stream *s = &session->streams[session->n];
    struct client_profile profile;
    enum tbs_err err = choose_profile(b, cs, &profile, diag);

    session->n++; /* also what fails, so that it is freed */
    if (!err && !key)
        err = tbs_fail(diag, TBS_ERR_MALFORMED,
                       "the SPI of crypto session %u names no session key of the ticket", cs->id);
    if (!err && session->n > 1 &&
        (profile.protocol != TBS_PROTOCOL_SRTP || session->protocol != TBS_PROTOCOL_SRTP))
        err = tbs_fail(diag, TBS_ERR_MALFORMED,
                       "crypto session %u is one of several, which only SRTP has", cs->id);
    if (err)
        return err;
    s->traffic = (struct tbs_traffic){.cs_id = cs->id, .srtp = profile.srtp};
    session->protocol = profile.protocol;
    return profile.protocol == TBS_PROTOCOL_SRTP ? fill_stream(b, cs, key, s, diag)
                                                 : fill_shared_key(b, cs, key, session, diag);
}

static bool has_stream(const struct tbs_session *session, uint8_t cs_id)
{
    for (size_t i = 0; i < session->n; i++)
        if (session->streams[i].traffic.cs_id == cs_id)
            return true;
    return false;
}

static enum tbs_err add_streams(const struct client_bundle *b, struct tbs_session *session,
                                struct tbs_diag *diag)
{
    const struct mikey_message *m = b->resp ? b->resp : b->init;
    struct tbs_reader map = tbs_reader(m->hdr.map_info);

    if (m->hdr.map_type != MIKEY_MAP_GENERIC_ID || m->hdr.n_cs > TBS_SESSIONS_MAX)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "the %s has CS ID map type %u with %u crypto sessions; type 2 with at "
                        "most %d is supported",
                        mikey_data_type_name(m->hdr.data_type), m->hdr.map_type, m->hdr.n_cs,
                        TBS_SESSIONS_MAX);
    while (session->n < m->hdr.n_cs) {
        struct mikey_cs cs = mikey_next_cs(&map);
        enum tbs_err err;

        if (has_stream(session, cs.id))
            return tbs_fail(diag, TBS_ERR_MALFORMED, "CS ID %u stands twice in the map", cs.id);
        err = add_cs(b, &cs, session, diag);
        if (err)
            return err;
    }
    return TBS_OK;
}

/* An answer leaves out none of the crypto sessions that were offered. */
static enum tbs_err check_complete(const struct client_bundle *b, const struct tbs_session *session,
                                   struct tbs_diag *diag)
{
    struct tbs_reader map = tbs_reader(b->init->hdr.map_info);

    for (unsigned i = 0; i < b->init->hdr.n_cs; i++) {
        struct mikey_cs cs = mikey_next_cs(&map);

        if (!has_stream(session, cs.id))
            return tbs_fail(diag, TBS_ERR_MALFORMED,
                            "the TRANSFER_RESP leaves out crypto session %u", cs.id);
    }
    return TBS_OK;
}

enum tbs_err client_session_new(const struct client_bundle *bundle,
                                struct tbs_session **ret_session, struct tbs_diag *diag)
{
    struct tbs_session *session = calloc(1, sizeof *session);
    enum tbs_err err;

    if (!session)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    session->csb_id = bundle->init->hdr.csb_id;
    session->peer = tbs_buf();
    tbs_put_bytes(&session->peer, bundle->peer);
    err = session->peer.failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory")
                               : add_streams(bundle, session, diag);
    if (!err)
        err = check_complete(bundle, session, diag);
    if (err)
        tbs_session_free(session);
    else
        *ret_session = session;
    return err;
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
    return tbs_buf_view(&session->peer);
}

uint32_t tbs_session_csb_id(const struct tbs_session *session)
{
    return session->csb_id;
}

void tbs_session_free(struct tbs_session *session)
{
    if (!session)
        return;
    tbs_buf_free(&session->peer);
    for (size_t i = 0; i < session->n; i++) {
        tbs_secret_free(&session->streams[i].key);
        tbs_secret_free(&session->streams[i].salt);
    }
    free(session);
}
