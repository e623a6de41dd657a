/* The Responder's TRANSFER_RESP and Error message. RFC 6043 4.2.2.3, 5.3, 5.4. */
#include "client/internal.h"

struct answering {
    struct tbs_offer *offer;
    const struct client_grant *grant;
    struct mikey_key_set keys; /* all session keys: of the ticket, and what both ends supply */
    const struct tbs_ssrc *ssrcs;
    size_t n_ssrcs;
    struct tbs_diag *diag;
};

static enum tbs_err write_response(const struct answering *a, const uint8_t *randrr,
                                   const struct mikey_keys *protection, struct tbs_buf *resp)
{
    const struct client_grant *g = a->grant;
    const struct client_choices *choices = &a->offer->choices;
    const struct mikey_key_set *keys = a->offer->supply.n > 0 ? &a->offer->supply : &a->keys;
    struct tbs_buf map TBS_BUF_AUTO = tbs_buf();
    uint64_t t = tbs_ntp_now(a->offer->clock);
    enum tbs_err err =
        client_put_chosen(choices, keys->key, keys->n, a->ssrcs, a->n_ssrcs, &map, a->diag);

    if (err)
        return err;
    struct mikey_hdr hdr = {.data_type = MIKEY_TRANSFER_RESP,
                            .prf = a->offer->m.hdr.prf,
                            .csb_id = a->offer->m.hdr.csb_id,
                            .n_cs = (uint8_t)choices->n,
                            .map_type = MIKEY_MAP_GENERIC_ID,
                            .map_info = tbs_buf_view(&map)};
    struct mikey_writer w = client_write_init(resp, &hdr, t);

    if (g->policy.flags & TICKET_G)
        mikey_put_randr(&w, MIKEY_RANDRR, tbs_bytes(randrr, MIKEY_RAND_LEN));
    if (g->policy.flags & TICKET_I) {
        mikey_put_idr(&w, MIKEY_IDRR, g->who_type, tbs_buf_view(&g->who));
        mikey_put_randr(&w, MIKEY_RANDRKMS, tbs_buf_view(&g->rand));
    }
    if (choices->adds_policy)
        client_put_profile(&w, choices->own_policy_no,
                           client_profile_of_suite(choices->protocol, g->suite));
    if (a->offer->supply.n > 0)
        err = mikey_put_sealed(&w, g->suite, protection, hdr.csb_id, t, &a->offer->supply, a->diag);
    if (err)
        return err;
    mikey_put_v(&w, g->suite->mac);
    resp->failed |= map.failed;
    return mikey_authenticate(resp, g->suite, protection,
                              (struct mikey_followed_by){.first = a->offer->m.raw}, a->diag);
}

static enum tbs_err respond(const struct answering *a, const uint8_t *randrr, struct tbs_buf *resp)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    enum tbs_err err =
        client_response_keys(a->grant, client_mpkr(a->grant), &a->offer->m,
                             tbs_bytes(randrr, MIKEY_RAND_LEN), true, &keys, a->diag);

    return err ? err : write_response(a, randrr, &keys, resp);
}

/* Once the TRANSFER_INIT is verified. */
static enum tbs_err collect_keys(struct answering *a)
{
    size_t n;
    const struct mikey_key *keys = client_session_keys(a->grant, &n);

    return client_all_keys(a->grant, keys, n, &a->offer->m, &a->offer->supply, &a->keys, a->diag);
}

static enum tbs_err check_use(const struct answering *a)
{
    const struct tbs_offer *offer = a->offer;

    if (offer->answered)
        return tbs_fail(a->diag, TBS_ERR_REPLAY, "this offer was answered before");
    if (a->grant->used && !(a->grant->policy.flags & TICKET_J))
        return tbs_fail_raw(a->diag, TBS_ERR_DENIED, MIKEY_E_INVALID_TICKET,
                            "the ticket was used and must not be reused (flag J, RFC 6043 5.3)");
    return client_verify_offer(offer, a->grant, a->diag);
}

/* As the TRANSFER_RESP names the Responder, or else the TRANSFER_INIT. */
static struct tbs_bytes responder_of(const struct tbs_offer *offer,
                                     const struct client_grant *grant)
{
    struct tbs_bytes idrr = mikey_id_data(&offer->m.payloads, MIKEY_IDRR);

    if (grant->policy.flags & TICKET_I)
        return tbs_buf_view(&grant->who);
    return idrr.len > 0 ? idrr : tbs_buf_view(&offer->identity);
}

static enum tbs_err make_session(const struct answering *a, struct tbs_bytes response,
                                 struct tbs_session **ret_session)
{
    struct client_bundle bundle = {.mpk = response.len > 0 ? client_mpkr(a->grant)
                                                           : client_mpki(a->grant),
                                   .init = &a->offer->m,
                                   .idri = client_offer_initiator(a->offer),
                                   .idrr = responder_of(a->offer, a->grant)};
    struct mikey_message resp;
    enum tbs_err err;

    client_session_keys(a->grant, &bundle.n_ticket);
    bundle.keys = a->keys.key;
    bundle.n_keys = a->keys.n;
    if (response.len == 0)
        return client_session_new(&bundle, ret_session, a->diag);
    bundle.resp = &resp;
    err = mikey_decode(response, &resp, a->diag);
    return err ? err : client_session_new(&bundle, ret_session, a->diag);
}

static enum tbs_err remember(struct tbs_offer *offer, struct tbs_diag *diag)
{
    const struct mikey_payloads *list = &offer->m.payloads;

    if (!offer->replay)
        return TBS_OK;
    return client_replay_add(offer->replay, list->p[list->n - 1].v.mac, tbs_ntp_now(offer->clock),
                             diag);
}

enum tbs_err client_answer(struct tbs_offer *offer, struct tbs_resolved *resolved,
                           const struct tbs_ssrc *ssrcs, size_t n_ssrcs,
                           const uint8_t randrr[MIKEY_RAND_LEN], struct tbs_buf *ret_response,
                           struct tbs_session **ret_session, struct tbs_diag *diag)
{
    struct answering a = {
        .offer = offer, .grant = &resolved->g, .ssrcs = ssrcs, .n_ssrcs = n_ssrcs, .diag = diag};
    struct tbs_buf resp = tbs_buf();
    struct tbs_session *session = NULL;
    enum tbs_err err = check_use(&a);

    if (!err)
        err = collect_keys(&a);
    if (!err && resolved->g.policy.flags & TICKET_F)
        err = respond(&a, randrr, &resp);
    if (!err)
        err = make_session(&a, tbs_buf_view(&resp), &session);
    mikey_key_set_free(&a.keys);
    if (!err)
        err = remember(offer, diag);
    if (err) {
        tbs_buf_free(&resp);
        tbs_session_free(session);
        return err;
    }
    offer->answered = resolved->g.used = true;
    *ret_response = resp;
    *ret_session = session;
    return TBS_OK;
}

enum tbs_err tbs_answer(struct tbs_offer *offer, struct tbs_resolved *resolved,
                        const struct tbs_ssrc *ssrcs, size_t n_ssrcs, struct tbs_buf *ret_response,
                        struct tbs_session **ret_session, struct tbs_diag *diag)
{
    uint8_t randrr[MIKEY_RAND_LEN];
    enum tbs_err err = client_random(randrr, sizeof randrr, diag);

    return err ? err
               : client_answer(offer, resolved, ssrcs, n_ssrcs, randrr, ret_response, ret_session,
                               diag);
}

/* Refusals of our own and of the KMS carry their Error no; the rest is told in general. */
static uint8_t error_no(const struct tbs_diag *why)
{
    if (why->raw > 0 && why->raw <= MIKEY_E_INVALID_TPPAR)
        return (uint8_t)why->raw;
    if (why->code == TBS_ERR_TIME || why->code == TBS_ERR_REPLAY)
        return MIKEY_E_INVALID_TS;
    return why->code == TBS_ERR_AUTH ? MIKEY_E_AUTH_FAILURE : MIKEY_E_UNSPECIFIED;
}

enum tbs_err tbs_refuse(struct tbs_bytes transfer_init, const struct tbs_diag *why,
                        struct tbs_clock clock, struct tbs_buf *ret_response, struct tbs_diag *diag)
{
    struct tbs_buf resp = tbs_buf();
    struct mikey_message m = {0};
    uint8_t no = error_no(why);
    enum tbs_err err = mikey_decode(transfer_init, &m, diag);

    /* A HDR that decoded is enough. RFC 6043 5.4: an Error is never answered with one. */
    if (m.hdr.version != MIKEY_VERSION || m.hdr.data_type == MIKEY_ERROR)
        return err ? err
                   : tbs_fail(diag, TBS_ERR_MALFORMED, "an Error message gets no Error in answer");
    struct mikey_hdr hdr = {.data_type = MIKEY_ERROR,
                            .prf = m.hdr.prf,
                            .csb_id = m.hdr.csb_id,
                            .map_type = MIKEY_MAP_EMPTY};
    struct mikey_writer w = client_write_init(&resp, &hdr, tbs_ntp_now(clock));

    mikey_put_err(&w, no);
    if (no == MIKEY_E_INVALID_SPPAR) { /* RFC 6043 5.4: what is supported */
        static const struct client_profile supported[] = {
            {TBS_PROTOCOL_SRTP, TBS_SRTP_AES_256_CM_HMAC_SHA1_80},
            {TBS_PROTOCOL_SRTP, TBS_SRTP_AES_CM_128_HMAC_SHA1_80}};

        for (uint8_t i = 0; i < sizeof supported / sizeof *supported; i++)
            client_put_profile(&w, i, supported[i]);
    }
    err = mikey_written(&resp, diag);
    if (err)
        tbs_buf_free(&resp);
    else
        *ret_response = resp;
    return err;
}
