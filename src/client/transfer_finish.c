/* The Initiator's Ticket Transfer: TRANSFER_RESP. RFC 6043 4.2.2.4, 5.1.1, 5.1.2, 8. */
#include <string.h>

#include "client/internal.h"

/* What protects a TRANSFER_RESP, and the session keys with the one who sent it. */
struct answer_keys {
    struct tbs_secret mpkr;         /* MPKr', or a copy of MPKi without forking */
    struct mikey_key_set session;   /* of the ticket */
    struct mikey_key_set responder; /* that the Responder supplies */
    struct mikey_key_set all;
};

#define ANSWER_KEYS_AUTO __attribute__((cleanup(answer_keys_free)))

static void answer_keys_free(struct answer_keys *keys)
{
    tbs_secret_free(&keys->mpkr);
    mikey_key_set_free(&keys->session);
    mikey_key_set_free(&keys->responder);
    mikey_key_set_free(&keys->all);
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
    enum tbs_err err = n > 0 ? mikey_key_set_copy(session, n, &keys->session, diag) : TBS_OK;

    if (!err && g->policy.flags & TICKET_I)
        return fork_keys(g, resp, keys, diag);
    return err ? err : tbs_secret_copy(client_mpki(g), &keys->mpkr, diag);
}

enum tbs_err client_response_keys(const struct client_grant *g, struct tbs_bytes mpkr,
                                  const struct mikey_message *init, struct tbs_bytes randrr,
                                  bool encr, struct mikey_keys *ret_keys, struct tbs_diag *diag)
{
    struct mikey_context context = {.usage = MIKEY_USE_RESP,
                                    .csb_id = init->hdr.csb_id,
                                    .randri = mikey_rand_data(&init->payloads, MIKEY_RANDRI)};

    if (g->policy.flags & TICKET_G)
        context.randrr = randrr;
    return client_derive(g->suite, mpkr, &context, encr, ret_keys, diag);
}

static enum tbs_err verify_response(const struct tbs_transfer *transfer,
                                    const struct mikey_message *init,
                                    const struct mikey_message *resp, struct answer_keys *answer,
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
    err = client_response_keys(g, tbs_secret_view(&answer->mpkr), init, randrr, true, &keys, diag);
    if (!err)
        err = mikey_verify(resp, g->suite, &keys, initial, diag);
    if (err == TBS_ERR_AUTH)
        err = tbs_fail(diag, err,
                       "the MAC of the TRANSFER_RESP does not verify: it was changed on the way, "
                       "it answers another TRANSFER_INIT, or its sender has not resolved the "
                       "ticket");
    return err ? err
               : client_supplied(resp, g->suite, &keys, g->policy.flags, false, &answer->responder,
                                 diag);
}

static enum tbs_err check_new(const struct tbs_transfer *t, const struct mikey_message *resp,
                              struct tbs_diag *diag)
{
    size_t max = t->grant.policy.flags & TICKET_I ? CLIENT_ANSWERS_MAX : 1;
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
    if (!mikey_find(&resp->payloads, MIKEY_T, 0))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the TRANSFER_RESP has no T payload");
    return TBS_OK;
}

static enum tbs_err read_error(const struct tbs_transfer *t, const struct mikey_message *init,
                               const struct mikey_message *error, struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    enum tbs_err err = client_init_keys(&t->grant, init, false, &keys, diag);

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
        err = verify_response(t, init, resp, &keys, diag);
    if (!err)
        err = check_new(t, resp, diag);
    if (!err)
        err = client_all_keys(&t->grant, keys.session.key, keys.session.n, init, &keys.responder,
                              &keys.all, diag);
    if (err)
        return err;
    bundle.mpk = tbs_secret_view(&keys.mpkr);
    bundle.keys = keys.all.key;
    bundle.n_keys = keys.all.n;
    bundle.n_ticket = keys.session.n;
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
    static const struct mikey_key_set none;
    struct client_bundle bundle = {.initiator = true, .mpk = client_mpki(&transfer->grant)};
    struct mikey_key_set all MIKEY_KEY_SET_AUTO = {0};
    struct mikey_message init;
    enum tbs_err err = mikey_decode(tbs_buf_view(&transfer->init), &init, diag);

    if (err)
        return err;
    if (transfer->grant.policy.flags & TICKET_F)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the ticket wants an answer: its TRANSFER_RESP gives the session");
    bundle.keys = client_session_keys(&transfer->grant, &bundle.n_ticket);
    err = client_all_keys(&transfer->grant, bundle.keys, bundle.n_ticket, &init, &none, &all, diag);
    if (err)
        return err;
    bundle.keys = all.key;
    bundle.n_keys = all.n;
    bundle.init = &init;
    bundle.idri = tbs_buf_view(&transfer->grant.who);
    bundle.idrr = mikey_id_data(&init.payloads, MIKEY_IDRR);
    return client_session_new(&bundle, ret_session, diag);
}
