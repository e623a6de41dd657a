/* The Responder's Ticket Resolve. RFC 6043 4.2.3. */
#include <stdlib.h>

#include "client/handover.h"
#include "client/internal.h"

struct tbs_resolve {
    struct client_exchange x;
    const struct tbs_offer *offer;
};

/* TICKET goes to the KMS as it came, with its Initiator Data. */
static void write_init(const struct tbs_offer *offer, const struct tbs_credential *c, uint64_t t,
                       const struct client_nonces *nonces, struct tbs_buf *init)
{
    const struct mikey_suite *suite = client_suite(c->suite);
    struct ticket_id me = client_id(c->identity), kms = client_id(c->kms);
    struct mikey_hdr hdr = {.data_type = MIKEY_RESOLVE_INIT_PSK,
                            .v = true,
                            .prf = (uint8_t)suite->prf,
                            .csb_id = nonces->csb_id,
                            .map_type = MIKEY_MAP_EMPTY};
    struct mikey_writer w = client_write_init(init, &hdr, t);

    mikey_put_randr(&w, MIKEY_RANDRR, tbs_bytes(nonces->rand, sizeof nonces->rand));
    mikey_put_idr(&w, MIKEY_IDRR, me.type, me.data);
    mikey_put_idr(&w, MIKEY_IDRKMS, kms.type, kms.data);
    mikey_put_ticket(&w, offer->ticket->ticket.core, offer->ticket->ticket.initiator_data);
    mikey_put_idr(&w, MIKEY_IDRPSK, MIKEY_ID_BYTE_STRING, tbs_bytes_str(c->psk_id));
    mikey_put_v(&w, suite->mac);
}

enum tbs_err client_resolve_begin(const struct tbs_offer *offer,
                                  const struct tbs_credential *credential, struct tbs_clock clock,
                                  const struct client_nonces *nonces,
                                  struct tbs_resolve **ret_resolve, struct tbs_diag *diag)
{
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    struct tbs_resolve *r = calloc(1, sizeof *r);
    enum tbs_err err;

    if (!r)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    r->offer = offer;
    write_init(offer, credential, tbs_ntp_now(clock), nonces, &init);
    err = client_exchange_start(credential, &init, &r->x, diag);
    if (err)
        free(r);
    else
        *ret_resolve = r;
    return err;
}

enum tbs_err tbs_resolve_begin(const struct tbs_offer *offer,
                               const struct tbs_credential *credential, struct tbs_clock clock,
                               struct tbs_resolve **ret_resolve, struct tbs_diag *diag)
{
    struct client_nonces nonces;
    enum tbs_err err = client_check_credential(credential, diag);

    if (!err)
        err = client_random(&nonces, sizeof nonces, diag);
    return err ? err : client_resolve_begin(offer, credential, clock, &nonces, ret_resolve, diag);
}

struct tbs_bytes tbs_resolve_octets(const struct tbs_resolve *resolve)
{
    return tbs_buf_view(&resolve->x.init);
}

/* With forking the KMS says who answers, and with which RANDRkms the keys were forked. */
static enum tbs_err take_modifier(const struct mikey_message *resp, struct client_grant *g,
                                  struct tbs_diag *diag)
{
    const struct mikey_payload *who = mikey_find(&resp->payloads, MIKEY_IDR, MIKEY_IDRR);
    struct tbs_bytes rand = mikey_rand_data(&resp->payloads, MIKEY_RANDRKMS);

    if (!(g->policy.flags & TICKET_I))
        return TBS_OK;
    if (!who)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the RESOLVE_RESP has no IDRr, which key forking needs");
    g->who_type = who->id.id_type;
    tbs_put_bytes(&g->who, who->id.data);
    tbs_put_bytes(&g->rand, rand);
    if (g->who.failed || g->rand.failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    return client_check_randrkms(g, rand, diag);
}

enum tbs_err tbs_resolve_finish(struct tbs_resolve *resolve, struct tbs_bytes response,
                                struct tbs_resolved **ret_resolved, struct tbs_diag *diag)
{
    struct mikey_message m;
    struct mikey_key_set keys MIKEY_KEY_SET_AUTO = {0};
    enum tbs_err err =
        client_exchange_open(&resolve->x, response, MIKEY_RESOLVE_RESP, &m, &keys, diag);

    if (err)
        return err;
    struct tbs_resolved *r = calloc(1, sizeof *r);

    if (!r)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    err = client_grant_new(resolve->offer->ticket->ticket.core, &keys, &r->g, diag);
    if (!err)
        err = take_modifier(&m, &r->g, diag);
    if (!err)
        err = client_verify_offer(resolve->offer, &r->g, diag);
    if (err)
        tbs_resolved_free(r);
    else
        *ret_resolved = r;
    return err;
}

enum tbs_err client_resolved_new(const struct tbs_offer *offer, struct mikey_key_set *keys,
                                 struct tbs_resolved **ret_resolved, struct tbs_diag *diag)
{
    struct tbs_resolved *r = calloc(1, sizeof *r);
    enum tbs_err err;

    if (!r) {
        mikey_key_set_free(keys);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    }
    err = client_grant_new(offer->ticket->ticket.core, keys, &r->g, diag);
    if (!err && r->g.policy.flags & TICKET_I)
        err = tbs_fail(diag, TBS_ERR_DENIED, "key forking needs the KMS (I implies E)");
    if (!err)
        err = client_verify_offer(offer, &r->g, diag);
    if (err)
        tbs_resolved_free(r);
    else
        *ret_resolved = r;
    return err;
}

const struct mikey_payload *client_offer_ticket(const struct tbs_offer *offer)
{
    return offer->ticket;
}

const struct ticket_policy *client_offer_policy(const struct tbs_offer *offer)
{
    return &offer->policy;
}

void tbs_resolve_free(struct tbs_resolve *resolve)
{
    if (!resolve)
        return;
    client_exchange_free(&resolve->x);
    free(resolve);
}

bool tbs_resolved_fits(const struct tbs_resolved *resolved, const struct tbs_offer *offer)
{
    return tbs_bytes_equal(resolved->g.ticket.ticket.core, offer->ticket->ticket.core);
}

enum tbs_err tbs_resolved_export(const struct tbs_resolved *resolved, struct tbs_secret *ret_octets,
                                 struct tbs_diag *diag)
{
    return client_grant_export(&resolved->g, CLIENT_GRANT_RESOLVED, ret_octets, diag);
}

enum tbs_err tbs_resolved_import(struct tbs_bytes octets, struct tbs_resolved **ret_resolved,
                                 struct tbs_diag *diag)
{
    struct tbs_resolved *r = calloc(1, sizeof *r);
    enum tbs_err err;

    if (!r)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    err = client_grant_import(octets, CLIENT_GRANT_RESOLVED, &r->g, diag);
    if (err)
        free(r);
    else
        *ret_resolved = r;
    return err;
}

void tbs_resolved_free(struct tbs_resolved *resolved)
{
    if (!resolved)
        return;
    client_grant_free(&resolved->g);
    free(resolved);
}
