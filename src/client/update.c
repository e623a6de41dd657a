/* A CSB update of one's own, begun and finished. RFC 6043 5.2; RFC 3830 4.5. */
#include <stdlib.h>

#include "client/updating.h"

struct tbs_update {
    struct tbs_session *session;
    struct tbs_buf init;
    bool finished;
};

enum tbs_err tbs_session_supply(struct tbs_session *session, const struct tbs_own_key *keys,
                                size_t n, struct tbs_diag *diag)
{
    struct client_initial initial;
    struct mikey_key_set set;
    enum tbs_err err = client_csb_read(&session->csb, &initial, diag);

    if (!err)
        err = client_supply(keys, n, initial.suite, initial.policy.flags, session->csb.initiator,
                            &set, diag);
    if (err)
        return err;
    mikey_key_set_free(&session->supply);
    session->supply = set;
    return TBS_OK;
}

bool tbs_is_update(struct tbs_bytes message, uint32_t *ret_csb_id)
{
    struct mikey_message m;

    if (mikey_decode(message, &m, NULL) || m.hdr.data_type != MIKEY_TRANSFER_INIT ||
        mikey_find(&m.payloads, MIKEY_TICKET, 0))
        return false;
    *ret_csb_id = m.hdr.csb_id;
    return true;
}

/* --- Begin --- */

/* What the caller says of a crypto session, and what is known of it. */
static struct tbs_crypto_session complete(const struct tbs_session *s,
                                          const struct tbs_crypto_session *wanted)
{
    const struct tbs_traffic *now = client_session_find(s, wanted->id);
    struct tbs_crypto_session cs = *wanted;

    cs.protocol = s->protocol; /* what the keys are for never changes */
    if (now && !cs.has_ssrc) {
        cs.has_ssrc = true;
        cs.ssrc = now->ssrc;
    }
    if (now && !cs.srtp)
        cs.srtp = now->srtp;
    return cs;
}

static struct tbs_bytes spi_for(const struct tbs_session *s, uint8_t cs_id, size_t i)
{
    const struct tbs_traffic *now = client_session_find(s, cs_id);
    const struct mikey_key_set *keys = s->supply.n > 0 ? &s->supply : &s->csb.keys;

    return now && s->supply.n == 0 ? now->mki : client_key_for(keys->key, keys->n, i)->spi;
}

static enum tbs_err put_map(const struct updating *u, const struct tbs_crypto_session *sessions,
                            size_t n, struct client_profiles *profiles, struct tbs_buf *map)
{
    const struct tbs_session *s = u->session;
    enum tbs_err err = TBS_OK;

    for (size_t i = 0; !err && i < n; i++) {
        struct tbs_crypto_session cs = complete(s, &sessions[i]);

        err = client_put_offered(&cs, u->initial.suite, spi_for(s, cs.id, i),
                                 u->initial.policy.flags & TICKET_F, profiles, map, u->diag);
    }
    return err;
}

/* Who sends comes first. */
static void put_ids(struct mikey_writer *w, const struct client_csb *csb)
{
    if (csb->initiator)
        updating_put_id(w, MIKEY_IDRI, tbs_buf_view(&csb->idri));
    updating_put_id(w, MIKEY_IDRR, tbs_buf_view(&csb->idrr));
    if (!csb->initiator)
        updating_put_id(w, MIKEY_IDRI, tbs_buf_view(&csb->idri));
}

static enum tbs_err write_init(const struct updating *u, const struct tbs_crypto_session *sessions,
                               size_t n_sessions, const char *sdp_ids, uint64_t t,
                               struct tbs_buf *init)
{
    struct tbs_buf map TBS_BUF_AUTO = tbs_buf();
    struct client_profiles profiles = {0};
    enum tbs_err err = put_map(u, sessions, n_sessions, &profiles, &map);

    if (err)
        return err;
    struct mikey_hdr hdr = {.data_type = MIKEY_TRANSFER_INIT,
                            .v = u->initial.policy.flags & TICKET_F,
                            .prf = (uint8_t)u->initial.suite->prf,
                            .csb_id = u->session->csb_id,
                            .n_cs = (uint8_t)n_sessions,
                            .map_type = MIKEY_MAP_GENERIC_ID,
                            .map_info = tbs_buf_view(&map)};
    struct mikey_writer w = client_write_init(init, &hdr, t);

    put_ids(&w, &u->session->csb);
    client_put_profiles(&w, &profiles);
    if (sdp_ids)
        mikey_put_general_ext(&w, MIKEY_EXT_SDP_IDS, tbs_bytes_str(sdp_ids));
    err = updating_put_supply(u, &w, t);
    if (err)
        return err;
    mikey_put_v(&w, u->initial.suite->mac);
    init->failed |= map.failed;
    return mikey_authenticate(init, u->initial.suite, &u->keys, updating_identities(u), u->diag);
}

static size_t list_present(const struct tbs_session *s, struct tbs_crypto_session *ret_list)
{
    for (size_t i = 0; i < s->n; i++)
        ret_list[i] = (struct tbs_crypto_session){.id = s->streams[i].traffic.cs_id};
    return s->n;
}

/* Takes `init` over. */
static enum tbs_err update_new(struct tbs_session *session, struct tbs_buf *init,
                               struct tbs_update **ret_update, struct tbs_diag *diag)
{
    struct tbs_update *update = calloc(1, sizeof *update);

    if (!update)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    update->session = session;
    update->init = *init;
    *init = tbs_buf();
    *ret_update = update;
    return TBS_OK;
}

enum tbs_err tbs_update_begin(struct tbs_session *session,
                              const struct tbs_crypto_session *sessions, size_t n_sessions,
                              const char *sdp_ids, struct tbs_clock clock,
                              struct tbs_update **ret_update, struct tbs_diag *diag)
{
    struct updating u UPDATING_AUTO = {0};
    struct tbs_crypto_session present[TBS_SESSIONS_MAX];
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    uint64_t t = client_csb_t(&session->csb, tbs_ntp_now(clock));
    enum tbs_err err = updating_start(session, diag, &u);

    if (n_sessions == 0) {
        n_sessions = list_present(session, present);
        sessions = present;
    }
    if (!err)
        err = client_check_sessions(sessions, n_sessions, diag);
    if (!err)
        err = write_init(&u, sessions, n_sessions, sdp_ids, t, &init);
    if (!err)
        err = update_new(session, &init, ret_update, diag);
    if (err)
        return err;
    session->csb.latest = t;
    mikey_key_set_free(&session->supply);
    return TBS_OK;
}

struct tbs_bytes tbs_update_octets(const struct tbs_update *update)
{
    return tbs_buf_view(&update->init);
}

void tbs_update_free(struct tbs_update *update)
{
    if (!update)
        return;
    tbs_buf_free(&update->init);
    free(update);
}

/* --- Finish --- */

static enum tbs_err read_own(const struct updating *u, const struct tbs_update *update,
                             struct mikey_message *ret_init, struct mikey_key_set *ret_keys)
{
    enum tbs_err err = mikey_decode(tbs_buf_view(&update->init), ret_init, u->diag);

    return err ? err
               : client_supplied(ret_init, u->initial.suite, &u->keys, u->initial.policy.flags,
                                 u->session->csb.initiator, ret_keys, u->diag);
}

enum tbs_err tbs_update_restore(struct tbs_session *session, struct tbs_bytes transfer_init,
                                struct tbs_update **ret_update, struct tbs_diag *diag)
{
    struct updating u UPDATING_AUTO = {0};
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    struct mikey_message m;
    uint32_t csb_id;
    enum tbs_err err = updating_start(session, diag, &u);

    if (!err && !tbs_is_update(transfer_init, &csb_id))
        err = tbs_fail(diag, TBS_ERR_MALFORMED, "this is not a TRANSFER_INIT of an update");
    if (!err)
        err = mikey_decode(transfer_init, &m, diag);
    if (!err)
        err = updating_verify(&u, &m, updating_identities(&u));
    if (err)
        return err;
    tbs_put_bytes(&init, transfer_init);
    return init.failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory")
                       : update_new(session, &init, ret_update, diag);
}

/* The answer, and the keys that it supplies. */
static enum tbs_err read_response(const struct updating *u, const struct mikey_message *init,
                                  struct tbs_bytes response, struct mikey_message *resp,
                                  struct mikey_key_set *ret_keys)
{
    struct mikey_followed_by initial = {.first = init->raw};
    const struct mikey_payload *t;
    enum tbs_err err = mikey_decode(response, resp, u->diag);

    if (err)
        return err;
    if (resp->hdr.data_type == MIKEY_ERROR)
        return client_read_error(resp, &init->hdr, u->initial.suite, &u->keys, "the other side",
                                 u->diag);
    err = client_check_response(resp, MIKEY_TRANSFER_RESP, &init->hdr, u->diag);
    if (!err)
        err = updating_verify(u, resp, initial);
    if (err)
        return err;
    t = mikey_find(&resp->payloads, MIKEY_T, 0);
    if (!t || mikey_ts64(t) == updating_t_of(init))
        return tbs_fail(u->diag, TBS_ERR_TIME,
                        "the TRANSFER_RESP has no T payload of its own (RFC 6043 5.2)");
    return client_supplied(resp, u->initial.suite, &u->keys, u->initial.policy.flags,
                           !u->session->csb.initiator, ret_keys, u->diag);
}

enum tbs_err tbs_update_finish(struct tbs_update *update, struct tbs_bytes response,
                               struct tbs_session **ret_session, struct tbs_diag *diag)
{
    struct updating u UPDATING_AUTO = {0};
    struct client_csb *csb = &update->session->csb;
    struct mikey_key_set own MIKEY_KEY_SET_AUTO = {0}, theirs MIKEY_KEY_SET_AUTO = {0};
    struct mikey_message init, resp;
    bool answered = response.len > 0;
    uint64_t latest = csb->latest, peers = csb->peers;
    enum tbs_err err = updating_start(update->session, diag, &u);

    if (update->finished)
        return tbs_fail(diag, TBS_ERR_REPLAY, "this update was answered before");
    if (!err)
        err = read_own(&u, update, &init, &own);
    if (!err && init.hdr.v != answered)
        err = tbs_fail(diag, TBS_ERR_INVALID,
                       "the update wants %s answer (flag F of its ticket, RFC 6043 5.2)",
                       answered ? "no" : "an");
    if (!err && answered)
        err = read_response(&u, &init, response, &resp, &theirs);
    if (err)
        return err;
    if (answered) {
        latest = updating_later_of(updating_t_of(&resp), latest);
        peers = updating_later_of(updating_t_of(&resp), peers);
    }
    err = updating_make_session(&u, &init, answered ? &resp : NULL, &own, &theirs, latest, peers,
                                ret_session);
    if (err)
        return err;
    update->finished = true;
    csb->latest = latest;
    csb->peers = peers;
    return TBS_OK;
}
