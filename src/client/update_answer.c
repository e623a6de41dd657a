/* The other side's CSB update, verified and answered. RFC 6043 5.2. */
#include "client/updating.h"

/* Both sides use the same keys, so that a message could be sent back to whom it came from. Who
 * sends stands first (RFC 6043 5.2). */
static bool is_own(const struct client_csb *csb, const struct mikey_message *m)
{
    const struct mikey_payload *first = mikey_find(&m->payloads, MIKEY_IDR, 0);

    return first && first->id.role == (csb->initiator ? MIKEY_IDRI : MIKEY_IDRR);
}

static enum tbs_err check_new(const struct updating *u, const struct mikey_message *init,
                              uint64_t now)
{
    const struct client_csb *csb = &u->session->csb;
    enum tbs_err err = client_check_t(init, now, 0, u->diag);

    if (err)
        return err;
    if (is_own(csb, init))
        return tbs_fail_raw(u->diag, TBS_ERR_REPLAY, MIKEY_E_INVALID_TS,
                            "this update is one's own: somebody sent it back");
    if (!client_is_later(updating_t_of(init), csb->peers))
        return tbs_fail_raw(u->diag, TBS_ERR_REPLAY, MIKEY_E_INVALID_TS,
                            "the update's T is not later than that of the other side's message "
                            "before (RFC 6043 5.2): it came before, or too late");
    return TBS_OK;
}

static enum tbs_err read_init(const struct updating *u, struct tbs_bytes octets, uint64_t now,
                              struct mikey_message *init, struct mikey_key_set *ret_keys)
{
    uint32_t csb_id;
    enum tbs_err err = mikey_decode(octets, init, u->diag);

    if (err)
        return err;
    if (!tbs_is_update(octets, &csb_id))
        return tbs_fail_raw(u->diag, TBS_ERR_MALFORMED, MIKEY_E_UNSPECIFIED,
                            "this is no update: only a TRANSFER_INIT without TICKET is "
                            "(RFC 6043 5.2)");
    if (csb_id != u->session->csb_id || init->hdr.prf != u->initial.suite->prf)
        return tbs_fail_raw(u->diag, TBS_ERR_AUTH, MIKEY_E_AUTH_FAILURE,
                            "the update is for CSB ID %08x and PRF func %u; this session has %08x "
                            "and %u",
                            csb_id, init->hdr.prf, u->session->csb_id, u->initial.suite->prf);
    err = updating_verify(u, init, updating_identities(u));
    if (!err)
        err = check_new(u, init, now);
    return err ? err
               : client_supplied(init, u->initial.suite, &u->keys, u->initial.policy.flags,
                                 !u->session->csb.initiator, ret_keys, u->diag);
}

/* An offered crypto session without SPI or Session Data goes on with what it has. */
static void keep_present(const struct tbs_session *s, struct client_choices *choices)
{
    for (size_t i = 0; i < choices->n; i++) {
        struct mikey_cs *cs = &choices->cs[i].cs;
        const struct tbs_traffic *now = client_session_find(s, cs->id);

        if (now && cs->spi.len == 0)
            cs->spi = now->mki;
    }
}

static size_t all_ssrcs(const struct tbs_session *s, const struct tbs_ssrc *ssrcs, size_t n,
                        struct tbs_ssrc ret_all[2 * TBS_SESSIONS_MAX])
{
    size_t n_all = 0;

    for (size_t i = 0; i < n && i < TBS_SESSIONS_MAX; i++)
        ret_all[n_all++] = ssrcs[i];
    for (size_t i = 0; i < s->n; i++) /* what is there already counts */
        ret_all[n_all++] =
            (struct tbs_ssrc){s->streams[i].traffic.cs_id, s->streams[i].traffic.ssrc};
    return n_all;
}

struct answering {
    const struct tbs_ssrc *ssrcs;
    size_t n_ssrcs;
    unsigned srtp;
    uint64_t t;
};

/* The keys that the answer may give out: one's own, or else all of the CSB and the update's. */
static enum tbs_err put_answer_map(const struct updating *u, const struct answering *a,
                                   struct client_choices *choices,
                                   const struct mikey_key_set *theirs, struct tbs_buf *map)
{
    const struct tbs_session *s = u->session;
    struct tbs_ssrc ssrcs[2 * TBS_SESSIONS_MAX];
    size_t n_ssrcs = all_ssrcs(s, a->ssrcs, a->n_ssrcs, ssrcs);
    struct mikey_key_set known MIKEY_KEY_SET_AUTO = {0};
    enum tbs_err err;

    if (s->supply.n > 0)
        return client_put_chosen(choices, s->supply.key, s->supply.n, ssrcs, n_ssrcs, map, u->diag);
    keep_present(s, choices);
    err = client_join_keys(s->csb.keys.key, s->csb.keys.n, theirs, &known, u->diag);
    return err ? err : client_put_chosen(choices, known.key, known.n, ssrcs, n_ssrcs, map, u->diag);
}

static enum tbs_err write_response(const struct updating *u, const struct answering *a,
                                   const struct mikey_message *init,
                                   const struct mikey_key_set *theirs, struct tbs_buf *resp)
{
    struct tbs_buf map TBS_BUF_AUTO = tbs_buf();
    const struct client_csb *csb = &u->session->csb;
    struct client_choices choices;
    enum tbs_err err =
        client_choose(init, u->initial.suite, u->session->protocol, a->srtp, &choices, u->diag);

    if (!err)
        err = put_answer_map(u, a, &choices, theirs, &map);
    if (err)
        return err;
    struct mikey_hdr hdr = {.data_type = MIKEY_TRANSFER_RESP,
                            .prf = init->hdr.prf,
                            .csb_id = init->hdr.csb_id,
                            .n_cs = (uint8_t)choices.n,
                            .map_type = MIKEY_MAP_GENERIC_ID,
                            .map_info = tbs_buf_view(&map)};
    struct mikey_writer w = client_write_init(resp, &hdr, a->t);

    if (csb->initiator)
        updating_put_id(&w, MIKEY_IDRI, tbs_buf_view(&csb->idri));
    else
        updating_put_id(&w, MIKEY_IDRR, tbs_buf_view(&csb->idrr));
    if (choices.adds_policy)
        client_put_profile(&w, choices.own_policy_no,
                           client_profile_of_suite(choices.protocol, u->initial.suite));
    err = updating_put_supply(u, &w, a->t);
    if (err)
        return err;
    mikey_put_v(&w, u->initial.suite->mac);
    resp->failed |= map.failed;
    return mikey_authenticate(resp, u->initial.suite, &u->keys,
                              (struct mikey_followed_by){.first = init->raw}, u->diag);
}

static enum tbs_err answer(const struct updating *u, struct answering *a,
                           const struct mikey_message *init, const struct mikey_key_set *theirs,
                           struct tbs_buf *response, struct tbs_session **ret_session)
{
    static const struct mikey_key_set none;
    const struct client_csb *csb = &u->session->csb;
    uint64_t peers = updating_t_of(init), latest = updating_later_of(peers, csb->latest);
    struct mikey_message resp;
    enum tbs_err err;

    if (!init->hdr.v)
        return updating_make_session(u, init, NULL, theirs, &none, latest, peers, ret_session);
    a->t = client_csb_t(&(struct client_csb){.initiator = csb->initiator, .latest = latest}, a->t);
    err = write_response(u, a, init, theirs, response);
    if (!err)
        err = mikey_decode(tbs_buf_view(response), &resp, u->diag);
    return err ? err
               : updating_make_session(u, init, &resp, theirs, &u->session->supply, a->t, peers,
                                       ret_session);
}

enum tbs_err tbs_update_answer(struct tbs_session *session, struct tbs_bytes transfer_init,
                               const struct tbs_ssrc *ssrcs, size_t n_ssrcs, unsigned srtp,
                               const char *sdp_ids, struct tbs_clock clock,
                               struct tbs_buf *ret_response, struct tbs_session **ret_session,
                               struct tbs_diag *diag)
{
    struct updating u UPDATING_AUTO = {0};
    struct mikey_key_set theirs MIKEY_KEY_SET_AUTO = {0};
    struct mikey_message init;
    struct tbs_buf response = tbs_buf();
    uint64_t now = tbs_ntp_now(clock);
    struct answering a = {.ssrcs = ssrcs, .n_ssrcs = n_ssrcs, .srtp = srtp, .t = now};
    enum tbs_err err = updating_start(session, diag, &u);

    if (!err)
        err = read_init(&u, transfer_init, now, &init, &theirs);
    if (!err)
        err = client_check_sdp_ids(&init, sdp_ids, diag);
    if (!err)
        err = answer(&u, &a, &init, &theirs, &response, ret_session);
    if (err) {
        tbs_buf_free(&response);
        return err;
    }
    session->csb.peers = (*ret_session)->csb.peers;
    session->csb.latest = (*ret_session)->csb.latest;
    mikey_key_set_free(&session->supply);
    *ret_response = response;
    return TBS_OK;
}
