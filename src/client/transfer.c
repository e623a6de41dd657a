/* The Initiator's Ticket Transfer. RFC 6043 4.2.2, 5.1.1, 5.3, 6.1.1, 6.10. */
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"

#define ANSWERS_MAX 16 /* Responders that may answer one forked TRANSFER_INIT */

struct tbs_transfer {
    struct client_grant grant; /* a copy: the ticket may be freed */
    struct tbs_buf init;
    size_t n_answers;
    uint8_t answers[ANSWERS_MAX][MIKEY_MAC_MAX]; /* the MAC of each */
};

/* --- Begin --- */

static enum tbs_err check_use(const struct client_grant *g, uint64_t now, struct tbs_diag *diag)
{
    if (g->used && !(g->policy.flags & TICKET_J))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the ticket was used and must not be reused (flag J, RFC 6043 5.3): "
                        "request another");
    return client_check_validity(&g->policy, now, diag);
}

/* Without an answer the SPIs are the Initiator's to say. */
static enum tbs_err put_map(const struct client_grant *g, const struct tbs_crypto_session *sessions,
                            size_t n_sessions, struct client_profiles *profiles,
                            struct tbs_buf *map, struct tbs_diag *diag)
{
    bool answered = g->policy.flags & TICKET_F;
    size_t n_keys;
    const struct mikey_key *keys = client_session_keys(g, &n_keys);
    enum tbs_err err = TBS_OK;

    for (size_t i = 0; !err && i < n_sessions; i++)
        err =
            client_put_offered(&sessions[i], client_srtp_of_suite(g->suite),
                               answered ? tbs_bytes(NULL, 0) : client_key_for(keys, n_keys, i)->spi,
                               answered, profiles, map, diag);
    return err;
}

/* A TRANSFER_INIT whose V, and with forking Initiator Data, are zeros. */
static enum tbs_err write_init(const struct client_grant *g, struct ticket_id responder,
                               const struct tbs_crypto_session *sessions, size_t n_sessions,
                               const char *sdp_ids, uint64_t t, struct tbs_buf *init,
                               struct tbs_diag *diag)
{
    static const uint8_t zeros[2 * (2 + MIKEY_MAC_MAX) + 1];
    bool forking = g->policy.flags & TICKET_I;
    struct tbs_buf map TBS_BUF_AUTO = tbs_buf();
    struct client_profiles profiles = {0};
    struct client_nonces nonces;
    enum tbs_err err = client_random(&nonces, sizeof nonces, diag);

    if (!err)
        err = put_map(g, sessions, n_sessions, &profiles, &map, diag);
    if (err)
        return err;
    struct mikey_hdr hdr = {.data_type = MIKEY_TRANSFER_INIT,
                            .v = g->policy.flags & TICKET_F,
                            .prf = (uint8_t)g->suite->prf,
                            .csb_id = nonces.csb_id,
                            .n_cs = (uint8_t)n_sessions,
                            .map_type = MIKEY_MAP_GENERIC_ID,
                            .map_info = tbs_buf_view(&map)};
    struct mikey_writer w = client_write_init(init, &hdr, t);

    mikey_put_randr(&w, MIKEY_RANDRI, tbs_bytes(nonces.rand, sizeof nonces.rand));
    mikey_put_idr(&w, MIKEY_IDRI, g->who_type, tbs_buf_view(&g->who));
    mikey_put_idr(&w, MIKEY_IDRR, responder.type, responder.data);
    client_put_profiles(&w, &profiles);
    if (sdp_ids)
        mikey_put_general_ext(&w, MIKEY_EXT_SDP_IDS, tbs_bytes_str(sdp_ids));
    mikey_put_ticket(&w, g->ticket.ticket.core,
                     tbs_bytes(zeros, forking ? ticket_initiator_data_len(g->suite) : 0));
    mikey_put_v(&w, g->suite->mac);
    init->failed |= map.failed;
    return mikey_written(init, diag);
}

/* TRANSFER_INIT's MAC leaves Initiator Data out, so that Vi can repeat it. */
static enum tbs_err fill_initiator_data(const struct client_grant *g, struct tbs_buf *init,
                                        struct tbs_diag *diag)
{
    struct tbs_buf data TBS_BUF_AUTO = tbs_buf();
    const struct mikey_payload *ticket, *v;
    struct mikey_message m;
    enum tbs_err err = mikey_decode(tbs_buf_view(init), &m, diag);

    if (!err)
        err = mikey_find_v(&m, g->suite, &v, diag);
    if (!err)
        err = ticket_initiator_data_put(&data, g->suite, v->v.mac, client_mpkr(g), diag);
    if (err)
        return err;
    ticket = mikey_find(&m.payloads, MIKEY_TICKET, 0);
    memcpy(init->data + ticket->offset + 1 + ticket->ticket.core.len + 2, data.data, data.len);
    return TBS_OK;
}

/* The keys of TRANSFER_INIT, and of an Error message about it. */
static enum tbs_err init_keys(const struct client_grant *g, const struct mikey_message *init,
                              struct mikey_keys *ret_keys, struct tbs_diag *diag)
{
    struct mikey_context context = {.usage = MIKEY_USE_INIT,
                                    .csb_id = init->hdr.csb_id,
                                    .randri = mikey_rand_data(&init->payloads, MIKEY_RANDRI)};

    return client_derive(g->suite, client_mpki(g), &context, false, ret_keys, diag);
}

static enum tbs_err authenticate(const struct client_grant *g, struct ticket_id responder,
                                 struct tbs_buf *init, struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct mikey_followed_by identities = {tbs_buf_view(&g->who), responder.data};
    struct mikey_message m;
    enum tbs_err err = mikey_decode(tbs_buf_view(init), &m, diag);

    if (!err)
        err = init_keys(g, &m, &keys, diag);
    if (!err)
        err = mikey_authenticate(init, g->suite, &keys, identities, diag);
    if (!err && g->policy.flags & TICKET_I)
        err = fill_initiator_data(g, init, diag);
    return err;
}

/* Takes `init` over. */
static enum tbs_err transfer_new(const struct client_grant *g, struct tbs_buf *init,
                                 struct tbs_transfer **ret_transfer, struct tbs_diag *diag)
{
    struct tbs_transfer *t = calloc(1, sizeof *t);
    enum tbs_err err =
        t ? client_grant_copy(g, &t->grant, diag) : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");

    if (err) {
        free(t);
        return err;
    }
    t->init = *init;
    *init = tbs_buf();
    *ret_transfer = t;
    return TBS_OK;
}

enum tbs_err tbs_transfer_begin(struct tbs_ticket *ticket, const char *responder,
                                const struct tbs_crypto_session *sessions, size_t n_sessions,
                                const char *sdp_ids, struct tbs_clock clock,
                                struct tbs_transfer **ret_transfer, struct tbs_diag *diag)
{
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    uint64_t now = tbs_ntp_now(clock);
    enum tbs_err err = check_use(&ticket->g, now, diag);

    if (!err)
        err = client_check_id(responder, "the responder's identity", diag);
    if (!err)
        err = client_check_sessions(sessions, n_sessions, diag);
    if (err)
        return err;
    struct ticket_id id = client_id(responder);

    err = write_init(&ticket->g, id, sessions, n_sessions, sdp_ids, now, &init, diag);
    if (!err)
        err = authenticate(&ticket->g, id, &init, diag);
    if (!err)
        err = transfer_new(&ticket->g, &init, ret_transfer, diag);
    if (!err)
        ticket->g.used = true;
    return err;
}

enum tbs_err client_verify_transfer(const struct mikey_message *m, const struct client_grant *g,
                                    struct mikey_followed_by identities, struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    const struct mikey_payload *ticket = mikey_find(&m->payloads, MIKEY_TICKET, 0);
    enum tbs_err err;

    if (!ticket || !tbs_bytes_equal(ticket->ticket.core, g->ticket.ticket.core))
        return tbs_fail(diag, TBS_ERR_AUTH, "the TRANSFER_INIT carries another ticket");
    err = init_keys(g, m, &keys, diag);
    if (!err)
        err = mikey_verify(m, g->suite, &keys, identities, diag);
    if (err == TBS_ERR_AUTH)
        err = tbs_fail(diag, err,
                       "the MAC of the TRANSFER_INIT does not verify with MPKi: it was changed on "
                       "the way, or its sender does not own the ticket");
    return err;
}

enum tbs_err tbs_transfer_restore(const struct tbs_ticket *ticket, struct tbs_bytes transfer_init,
                                  struct tbs_transfer **ret_transfer, struct tbs_diag *diag)
{
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    struct mikey_message m;
    enum tbs_err err = mikey_decode(transfer_init, &m, diag);

    if (err)
        return err;
    if (m.hdr.data_type != MIKEY_TRANSFER_INIT)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "this is a %s, not a TRANSFER_INIT",
                        mikey_data_type_name(m.hdr.data_type));
    struct mikey_followed_by identities = {mikey_id_data(&m.payloads, MIKEY_IDRI),
                                           mikey_id_data(&m.payloads, MIKEY_IDRR)};

    err = client_verify_transfer(&m, &ticket->g, identities, diag);
    if (err)
        return err;
    tbs_put_bytes(&init, transfer_init);
    return init.failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory")
                       : transfer_new(&ticket->g, &init, ret_transfer, diag);
}

struct tbs_bytes tbs_transfer_octets(const struct tbs_transfer *transfer)
{
    return tbs_buf_view(&transfer->init);
}

/* --- Finish --- */

/* What protects a TRANSFER_RESP, and the session keys of the one who sent it. */
struct answer_keys {
    struct tbs_secret mpkr; /* MPKr', or a copy of MPKi without forking */
    struct mikey_key_set session;
};

#define ANSWER_KEYS_AUTO __attribute__((cleanup(answer_keys_free)))

static void answer_keys_free(struct answer_keys *keys)
{
    tbs_secret_free(&keys->mpkr);
    mikey_key_set_free(&keys->session);
}

/* RFC 6043 5.1.1: the Initiator forks with the modifier that the Responder got of the KMS. */
static enum tbs_err fork_keys(const struct client_grant *g, const struct mikey_message *resp,
                              struct answer_keys *keys, struct tbs_diag *diag)
{
    struct ticket_modifier modifier = {mikey_id_data(&resp->payloads, MIKEY_IDRR),
                                       mikey_rand_data(&resp->payloads, MIKEY_RANDRKMS)};
    uint8_t prf = g->policy.prf;
    enum tbs_err err;

    if (modifier.id.len == 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the TRANSFER_RESP has no IDRr, which key forking needs (RFC 6043 5.1.1)");
    err = client_check_randrkms(g, modifier.randrkms, diag);
    if (!err)
        err = ticket_fork_mpkr(prf, client_mpkr(g), modifier, &keys->mpkr, diag);
    if (!err)
        err = ticket_fork_tgks(prf, &keys->session, 0, modifier, diag);
    return err;
}

static enum tbs_err make_answer_keys(const struct client_grant *g, const struct mikey_message *resp,
                                     struct answer_keys *keys, struct tbs_diag *diag)
{
    size_t n;
    const struct mikey_key *session = client_session_keys(g, &n);
    enum tbs_err err = mikey_key_set_copy(session, n, &keys->session, diag);

    if (!err && g->policy.flags & TICKET_I)
        return fork_keys(g, resp, keys, diag);
    return err ? err : tbs_secret_copy(client_mpki(g), &keys->mpkr, diag);
}

enum tbs_err client_response_keys(const struct client_grant *g, struct tbs_bytes mpkr,
                                  const struct mikey_message *init, struct tbs_bytes randrr,
                                  struct mikey_keys *ret_keys, struct tbs_diag *diag)
{
    struct mikey_context context = {.usage = MIKEY_USE_RESP,
                                    .csb_id = init->hdr.csb_id,
                                    .randri = mikey_rand_data(&init->payloads, MIKEY_RANDRI)};

    if (g->policy.flags & TICKET_G)
        context.randrr = randrr;
    return client_derive(g->suite, mpkr, &context, false, ret_keys, diag);
}

static enum tbs_err verify_response(const struct tbs_transfer *transfer,
                                    const struct mikey_message *init,
                                    const struct mikey_message *resp, struct tbs_bytes mpkr,
                                    struct tbs_diag *diag)
{
    const struct client_grant *g = &transfer->grant;
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct tbs_bytes randrr = mikey_rand_data(&resp->payloads, MIKEY_RANDRR);
    struct mikey_followed_by initial = {.first = init->raw};
    enum tbs_err err;

    if (g->policy.flags & TICKET_G && randrr.len == 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the TRANSFER_RESP has no RANDRr, which the ticket wants (flag G)");
    err = client_response_keys(g, mpkr, init, randrr, &keys, diag);
    if (!err)
        err = mikey_verify(resp, g->suite, &keys, initial, diag);
    if (err == TBS_ERR_AUTH)
        err = tbs_fail(diag, err,
                       "the MAC of the TRANSFER_RESP does not verify: it was changed on the way, "
                       "it answers another TRANSFER_INIT, or its sender has not resolved the "
                       "ticket");
    return err;
}

static enum tbs_err check_new(const struct tbs_transfer *t, const struct mikey_message *resp,
                              struct tbs_diag *diag)
{
    size_t max = t->grant.policy.flags & TICKET_I ? ANSWERS_MAX : 1;
    struct tbs_bytes mac = resp->payloads.p[resp->payloads.n - 1].v.mac;

    for (size_t i = 0; i < t->n_answers; i++)
        if (tbs_bytes_equal(mac, tbs_bytes(t->answers[i], mac.len)))
            return tbs_fail(diag, TBS_ERR_REPLAY, "this TRANSFER_RESP came before");
    if (t->n_answers == max)
        return tbs_fail(diag, TBS_ERR_REPLAY, "%zu Responder%s answered already, which is all", max,
                        max == 1 ? " has" : "s have");
    return TBS_OK;
}

/* What the ticket allows in an answer. */
static enum tbs_err check_allowed(const struct client_grant *g, const struct mikey_message *resp,
                                  struct tbs_diag *diag)
{
    if (!(g->policy.flags & TICKET_F))
        return tbs_fail(diag, TBS_ERR_DENIED, "the ticket forbids a TRANSFER_RESP (flag F)");
    if (mikey_find(&resp->payloads, MIKEY_KEMAC, 0))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the TRANSFER_RESP supplies keys, which was not wished (flag M)");
    if (!mikey_find(&resp->payloads, MIKEY_T, 0))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the TRANSFER_RESP has no T payload");
    return TBS_OK;
}

static enum tbs_err read_error(const struct tbs_transfer *t, const struct mikey_message *init,
                               const struct mikey_message *error, struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    enum tbs_err err = init_keys(&t->grant, init, &keys, diag);

    return err ? err
               : client_read_error(error, &init->hdr, t->grant.suite, &keys, "the Responder", diag);
}

static enum tbs_err finish(struct tbs_transfer *t, const struct mikey_message *init,
                           const struct mikey_message *resp, struct tbs_session **ret_session,
                           struct tbs_diag *diag)
{
    struct answer_keys keys ANSWER_KEYS_AUTO = {0};
    struct client_bundle bundle = {.initiator = true, .init = init, .resp = resp};
    enum tbs_err err = client_check_response(resp, MIKEY_TRANSFER_RESP, &init->hdr, diag);

    if (!err)
        err = check_allowed(&t->grant, resp, diag);
    if (!err)
        err = make_answer_keys(&t->grant, resp, &keys, diag);
    if (!err)
        err = verify_response(t, init, resp, tbs_secret_view(&keys.mpkr), diag);
    if (!err)
        err = check_new(t, resp, diag);
    if (err)
        return err;
    bundle.mpk = tbs_secret_view(&keys.mpkr);
    bundle.keys = keys.session.key;
    bundle.n_keys = bundle.n_ticket = keys.session.n;
    bundle.idri = tbs_buf_view(&t->grant.who);
    bundle.idrr = mikey_id_data(&resp->payloads, MIKEY_IDRR);
    if (bundle.idrr.len == 0)
        bundle.idrr = mikey_id_data(&init->payloads, MIKEY_IDRR);
    return client_session_new(&bundle, ret_session, diag);
}

enum tbs_err tbs_transfer_finish(struct tbs_transfer *transfer, struct tbs_bytes response,
                                 struct tbs_session **ret_session, struct tbs_diag *diag)
{
    struct mikey_message init, resp;
    enum tbs_err err = mikey_decode(tbs_buf_view(&transfer->init), &init, diag);

    if (!err)
        err = mikey_decode(response, &resp, diag);
    if (err)
        return err;
    if (resp.hdr.data_type == MIKEY_ERROR)
        return read_error(transfer, &init, &resp, diag);
    err = finish(transfer, &init, &resp, ret_session, diag);
    if (!err)
        memcpy(transfer->answers[transfer->n_answers++],
               resp.payloads.p[resp.payloads.n - 1].v.mac.data, transfer->grant.suite->mac_len);
    return err;
}

enum tbs_err tbs_transfer_session(const struct tbs_transfer *transfer,
                                  struct tbs_session **ret_session, struct tbs_diag *diag)
{
    struct client_bundle bundle = {.initiator = true, .mpk = client_mpki(&transfer->grant)};
    struct mikey_message init;
    enum tbs_err err = mikey_decode(tbs_buf_view(&transfer->init), &init, diag);

    if (err)
        return err;
    if (transfer->grant.policy.flags & TICKET_F)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the ticket wants an answer: its TRANSFER_RESP gives the session");
    bundle.keys = client_session_keys(&transfer->grant, &bundle.n_keys);
    bundle.n_ticket = bundle.n_keys;
    bundle.init = &init;
    bundle.idri = tbs_buf_view(&transfer->grant.who);
    bundle.idrr = mikey_id_data(&init.payloads, MIKEY_IDRR);
    return client_session_new(&bundle, ret_session, diag);
}

void tbs_transfer_free(struct tbs_transfer *transfer)
{
    if (!transfer)
        return;
    client_grant_free(&transfer->grant);
    tbs_buf_free(&transfer->init);
    free(transfer);
}
