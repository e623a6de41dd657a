/* The Initiator's Ticket Transfer: TRANSFER_INIT. RFC 6043 4.2.2.1, 5.3, 6.1.1, 6.10. */
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"

static enum tbs_err check_use(const struct client_grant *g, uint64_t now, struct tbs_diag *diag)
{
    if (g->used && !(g->policy.flags & TICKET_J))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the ticket was used and must not be reused (flag J, RFC 6043 5.3): "
                        "request another");
    return client_check_validity(&g->policy, now, diag);
}

struct beginning {
    const struct tbs_ticket *ticket;
    struct ticket_id responder;
    const struct tbs_crypto_session *sessions;
    size_t n_sessions;
    const char *sdp_ids;
    uint64_t t;
    struct tbs_diag *diag;
};

/* The SPIs are the Initiator's to say without an answer, and where it supplies the keys. */
static enum tbs_err put_map(const struct beginning *b, struct client_profiles *profiles,
                            struct tbs_buf *map)
{
    const struct client_grant *g = &b->ticket->g;
    const struct mikey_key_set *supply = &b->ticket->supply;
    bool answered = g->policy.flags & TICKET_F;
    size_t n_keys;
    const struct mikey_key *keys = client_session_keys(g, &n_keys);
    enum tbs_err err = TBS_OK;

    if (n_keys + supply->n == 0 && !(g->policy.flags & TICKET_M))
        return tbs_fail(b->diag, TBS_ERR_INVALID,
                        "the ticket holds no session keys: supply one (tbs_ticket_supply)");
    if (supply->n > 0) {
        keys = supply->key;
        n_keys = supply->n;
    }
    for (size_t i = 0; !err && i < b->n_sessions; i++) {
        bool said = supply->n > 0 || !answered;

        err = client_put_offered(&b->sessions[i], g->suite,
                                 said ? client_key_for(keys, n_keys, i)->spi : tbs_bytes(NULL, 0),
                                 answered, profiles, map, b->diag);
    }
    return err;
}

/* The Initiator's own keys, under MPKi (RFC 6043 4.2.2.1). */
static enum tbs_err put_supply(const struct beginning *b, const struct client_nonces *nonces,
                               struct mikey_writer *w)
{
    const struct client_grant *g = &b->ticket->g;
    struct mikey_context context = {.usage = MIKEY_USE_INIT,
                                    .csb_id = nonces->csb_id,
                                    .randri = tbs_bytes(nonces->rand, sizeof nonces->rand)};
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    enum tbs_err err;

    if (b->ticket->supply.n == 0)
        return TBS_OK;
    err = client_derive(g->suite, client_mpki(g), &context, true, &keys, b->diag);
    return err ? err
               : mikey_put_sealed(w, g->suite, &keys, nonces->csb_id, b->t, &b->ticket->supply,
                                  b->diag);
}

/* A TRANSFER_INIT whose V, and with forking Initiator Data, are zeros. */
static enum tbs_err write_init(const struct beginning *b, struct tbs_buf *init)
{
    static const uint8_t zeros[2 * (2 + MIKEY_MAC_MAX) + 1];
    const struct client_grant *g = &b->ticket->g;
    bool forking = g->policy.flags & TICKET_I;
    struct tbs_buf map TBS_BUF_AUTO = tbs_buf();
    struct client_profiles profiles = {0};
    struct client_nonces nonces;
    enum tbs_err err = client_random(&nonces, sizeof nonces, b->diag);

    if (!err)
        err = put_map(b, &profiles, &map);
    if (err)
        return err;
    struct mikey_hdr hdr = {.data_type = MIKEY_TRANSFER_INIT,
                            .v = g->policy.flags & TICKET_F,
                            .prf = (uint8_t)g->suite->prf,
                            .csb_id = nonces.csb_id,
                            .n_cs = (uint8_t)b->n_sessions,
                            .map_type = MIKEY_MAP_GENERIC_ID,
                            .map_info = tbs_buf_view(&map)};
    struct mikey_writer w = client_write_init(init, &hdr, b->t);

    mikey_put_randr(&w, MIKEY_RANDRI, tbs_bytes(nonces.rand, sizeof nonces.rand));
    mikey_put_idr(&w, MIKEY_IDRI, g->who_type, tbs_buf_view(&g->who));
    mikey_put_idr(&w, MIKEY_IDRR, b->responder.type, b->responder.data);
    client_put_profiles(&w, &profiles);
    if (b->sdp_ids)
        mikey_put_general_ext(&w, MIKEY_EXT_SDP_IDS, tbs_bytes_str(b->sdp_ids));
    mikey_put_ticket(&w, g->ticket.ticket.core,
                     tbs_bytes(zeros, forking ? ticket_initiator_data_len(g->suite) : 0));
    err = put_supply(b, &nonces, &w);
    if (err)
        return err;
    mikey_put_v(&w, g->suite->mac);
    init->failed |= map.failed;
    return mikey_written(init, b->diag);
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

enum tbs_err client_init_keys(const struct client_grant *g, const struct mikey_message *init,
                              bool encr, struct mikey_keys *ret_keys, struct tbs_diag *diag)
{
    struct mikey_context context = {.usage = MIKEY_USE_INIT,
                                    .csb_id = init->hdr.csb_id,
                                    .randri = mikey_rand_data(&init->payloads, MIKEY_RANDRI)};

    return client_derive(g->suite, client_mpki(g), &context, encr, ret_keys, diag);
}

static enum tbs_err authenticate(const struct client_grant *g, struct ticket_id responder,
                                 struct tbs_buf *init, struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct mikey_followed_by identities = {tbs_buf_view(&g->who), responder.data};
    struct mikey_message m;
    enum tbs_err err = mikey_decode(tbs_buf_view(init), &m, diag);

    if (!err)
        err = client_init_keys(g, &m, false, &keys, diag);
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

enum tbs_err tbs_ticket_supply(struct tbs_ticket *ticket, const struct tbs_own_key *keys, size_t n,
                               struct tbs_diag *diag)
{
    struct mikey_key_set set;
    enum tbs_err err =
        client_supply(keys, n, ticket->g.suite, ticket->g.policy.flags, true, &set, diag);

    if (err)
        return err;
    mikey_key_set_free(&ticket->supply);
    ticket->supply = set;
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
    struct beginning b = {.ticket = ticket,
                          .responder = client_id(responder),
                          .sessions = sessions,
                          .n_sessions = n_sessions,
                          .sdp_ids = sdp_ids,
                          .t = now,
                          .diag = diag};

    err = write_init(&b, &init);
    if (!err)
        err = authenticate(&ticket->g, b.responder, &init, diag);
    if (!err)
        err = transfer_new(&ticket->g, &init, ret_transfer, diag);
    if (err)
        return err;
    ticket->g.used = true;
    mikey_key_set_free(&ticket->supply);
    return TBS_OK;
}

enum tbs_err client_verify_transfer(const struct mikey_message *m, const struct client_grant *g,
                                    struct mikey_followed_by identities, struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    const struct mikey_payload *ticket = mikey_find(&m->payloads, MIKEY_TICKET, 0);
    enum tbs_err err;

    if (!ticket || !tbs_bytes_equal(ticket->ticket.core, g->ticket.ticket.core))
        return tbs_fail(diag, TBS_ERR_AUTH, "the TRANSFER_INIT carries another ticket");
    err = client_init_keys(g, m, false, &keys, diag);
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

void tbs_transfer_free(struct tbs_transfer *transfer)
{
    if (!transfer)
        return;
    client_grant_free(&transfer->grant);
    tbs_buf_free(&transfer->init);
    free(transfer);
}
