#include "ticket/ticket.h"

#include <string.h>

void ticket_contents_free(struct ticket_contents *contents)
{
    if (contents)
        mikey_key_set_free(&contents->keys);
}

static struct mikey_context ticket_context(struct tbs_bytes rand)
{
    return (struct mikey_context){
        .usage = MIKEY_USE_TICKET, .csb_id = MIKEY_TICKET_CSB_ID, .randri = rand};
}

static const struct mikey_suite *policy_suite(uint8_t prf, struct tbs_diag *diag)
{
    const struct mikey_suite *suite = mikey_suite_of_prf(prf);

    if (!suite)
        tbs_fail(diag, TBS_ERR_UNSUPPORTED, "PRF Func %u of the Ticket Policy is unknown", prf);
    return suite;
}

/* THDR, T, RAND, KEMAC, IDRpsk, V (A.1), with the V's MAC still zeros. */
static enum tbs_err put_ticket_data(struct tbs_buf *data, const struct mikey_suite *suite,
                                    const struct mikey_keys *keys,
                                    const struct ticket_contents *contents, struct tbs_bytes tpk_id,
                                    struct tbs_diag *diag)
{
    struct mikey_writer w = mikey_write_ticket_data(data, tbs_bytes(NULL, 0));
    enum tbs_err err;

    mikey_put_t(&w, contents->t);
    mikey_put_rand(&w, contents->rand);
    err =
        mikey_put_sealed(&w, suite, keys, MIKEY_TICKET_CSB_ID, contents->t, &contents->keys, diag);
    if (err)
        return err;
    mikey_put_idr(&w, MIKEY_IDRPSK, MIKEY_ID_BYTE_STRING, tpk_id);
    mikey_put_v(&w, suite->mac);
    return mikey_written(data, diag);
}

enum tbs_err ticket_seal(struct tbs_bytes policy, const struct ticket_contents *contents,
                         const struct mikey_inkey *tpk, struct tbs_bytes tpk_id,
                         struct tbs_buf *core, struct tbs_diag *diag)
{
    const struct mikey_suite *suite = policy_suite((uint8_t)tpk->prf, diag);
    struct tbs_buf data TBS_BUF_AUTO = tbs_buf();
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct mikey_context context = ticket_context(contents->rand);
    uint8_t mac[MIKEY_MAC_MAX];
    size_t start = core->len;
    enum tbs_err err;

    if (!suite)
        return TBS_ERR_UNSUPPORTED;
    err = mikey_derive_encr(suite, tpk, &context, &keys, diag);
    if (!err)
        err = mikey_derive_auth(suite, tpk, &context, &keys, diag);
    if (!err)
        err = put_ticket_data(&data, suite, &keys, contents, tpk_id, diag);
    if (err)
        return err;
    tbs_put_bytes(core, policy);
    mikey_put_len16(core, tbs_buf_view(&data));
    err = mikey_written(core, diag);
    if (err)
        return err;
    struct tbs_bytes covered =
        tbs_bytes_slice(tbs_buf_view(core), start, core->len - start - suite->mac_len);

    err = mikey_mac(suite, &keys, &covered, 1, mac, diag);
    if (!err)
        memcpy(core->data + core->len - suite->mac_len, mac, suite->mac_len);
    return err;
}

/* Ticket Data, decoded, and its payloads that must be there. */
struct opened {
    struct mikey_payloads list;
    const struct mikey_payload *t, *rand, *kemac, *psk, *v;
};

static enum tbs_err decode_data(const struct mikey_payload *ticket, struct opened *ret,
                                struct tbs_diag *diag)
{
    size_t base = ticket->offset + 1 + ticket->ticket.core.len - ticket->ticket.ticket_data.len;
    enum tbs_err err = mikey_decode_ticket_data(ticket->ticket.ticket_data, base, &ret->list, diag);

    if (err)
        return err;
    ret->t = mikey_find(&ret->list, MIKEY_T, 0);
    ret->rand = mikey_find(&ret->list, MIKEY_RAND, 0);
    ret->kemac = mikey_find(&ret->list, MIKEY_KEMAC, 0);
    ret->psk = mikey_find(&ret->list, MIKEY_IDR, MIKEY_IDRPSK);
    ret->v = &ret->list.p[ret->list.n - 1];
    if (!ret->t || !ret->rand || !ret->kemac || !ret->psk || ret->v->type != MIKEY_V)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the Ticket Data at offset %zu is not THDR, T, RAND, KEMAC, IDRpsk, V "
                        "(RFC 6043 A.1)",
                        base);
    return TBS_OK;
}

enum tbs_err ticket_tpk_id(const struct mikey_payload *ticket, struct tbs_bytes *ret_id,
                           struct tbs_diag *diag)
{
    struct opened o;
    enum tbs_err err = decode_data(ticket, &o, diag);

    if (!err)
        *ret_id = o.psk->id.data;
    return err;
}

static enum tbs_err authenticate(const struct mikey_payload *ticket, const struct opened *o,
                                 const struct mikey_suite *suite, const struct mikey_keys *keys,
                                 struct tbs_diag *diag)
{
    struct tbs_bytes core = ticket->ticket.core;

    if (o->v->v.alg != suite->mac)
        return tbs_fail(diag, TBS_ERR_AUTH, "the ticket's V has Auth alg %u, not %u of its suite",
                        o->v->v.alg, suite->mac);
    struct tbs_bytes covered = tbs_bytes_slice(core, 0, core.len - suite->mac_len);

    return mikey_mac_check(suite, keys, &covered, 1, o->v->v.mac, diag);
}

enum tbs_err ticket_open(const struct mikey_payload *ticket, const struct mikey_inkey *tpk,
                         struct ticket_contents *ret_contents, struct tbs_diag *diag)
{
    const struct mikey_suite *suite = policy_suite(ticket->ticket.prf, diag);
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct ticket_contents contents = {0};
    struct opened o;
    enum tbs_err err;

    if (!suite || suite->prf != tpk->prf)
        return tbs_fail(diag, TBS_ERR_AUTH, "the ticket's PRF Func %u is not that of its TPK",
                        ticket->ticket.prf);
    err = decode_data(ticket, &o, diag);
    if (err)
        return err;
    struct mikey_context context = ticket_context(o.rand->rand.data);

    err = mikey_derive_auth(suite, tpk, &context, &keys, diag);
    if (!err)
        err = authenticate(ticket, &o, suite, &keys, diag);
    if (!err)
        err = mikey_derive_encr(suite, tpk, &context, &keys, diag);
    if (!err)
        err = mikey_open_kemac(o.kemac, suite, &keys, MIKEY_TICKET_CSB_ID, mikey_ts64(o.t),
                               &contents.keys, diag);
    if (err)
        return err;
    if (contents.keys.key[0].type != MIKEY_MPK) {
        ticket_contents_free(&contents);
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the ticket's first key is not an MPK");
    }
    contents.t = mikey_ts64(o.t);
    contents.rand = o.rand->rand.data;
    *ret_contents = contents;
    return TBS_OK;
}

enum tbs_err ticket_derive_mpks(uint8_t prf, const struct ticket_contents *contents,
                                struct tbs_secret *ret_mpki, struct tbs_secret *ret_mpkr,
                                struct tbs_diag *diag)
{
    struct mikey_inkey mpk = {.prf = prf, .key = contents->keys.key[0].key};
    struct mikey_label label = mikey_label_ticket(MIKEY_CONST_MPKI, MIKEY_USE_MPK, contents->rand);
    struct tbs_secret mpki = {0};
    enum tbs_err err = mikey_derive(&mpk, &label, mpk.key.len, &mpki, diag);

    if (err)
        return err;
    label = mikey_label_ticket(MIKEY_CONST_MPKR, MIKEY_USE_MPK, contents->rand);
    err = mikey_derive(&mpk, &label, mpk.key.len, ret_mpkr, diag);
    if (err)
        tbs_secret_free(&mpki);
    else
        *ret_mpki = mpki;
    return err;
}

enum tbs_err ticket_initiator_keys(uint8_t prf, uint16_t flags,
                                   const struct ticket_contents *contents,
                                   struct mikey_key_set *ret_set, struct tbs_diag *diag)
{
    struct tbs_secret mpki TBS_SECRET_AUTO = {0}, mpkr TBS_SECRET_AUTO = {0};
    struct mikey_key keys[MIKEY_KEYS_MAX];
    size_t n = 0;
    enum tbs_err err = ticket_derive_mpks(prf, contents, &mpki, &mpkr, diag);

    if (err)
        return err;
    keys[n] = contents->keys.key[0];
    keys[n++].key = tbs_secret_view(&mpki);
    if (flags & TICKET_I) {
        keys[n] = contents->keys.key[0];
        keys[n++].key = tbs_secret_view(&mpkr);
    }
    if (n + contents->keys.n - 1 > MIKEY_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the ticket holds more than %d session keys",
                        TICKET_SESSION_KEYS_MAX);
    memcpy(&keys[n], &contents->keys.key[1], (contents->keys.n - 1) * sizeof *keys);
    return mikey_key_set_copy(keys, n + contents->keys.n - 1, ret_set, diag);
}

static enum tbs_err fork_key(enum mikey_constant constant, uint8_t prf, struct tbs_bytes key,
                             struct ticket_modifier modifier, struct tbs_secret *ret_forked,
                             struct tbs_diag *diag)
{
    struct mikey_inkey inkey = {.prf = prf, .key = key};
    struct mikey_label label;
    enum tbs_err err = mikey_label_fork(constant, modifier.id, modifier.randrkms, &label, diag);

    return err ? err : mikey_derive(&inkey, &label, key.len, ret_forked, diag);
}

enum tbs_err ticket_fork_mpkr(uint8_t prf, struct tbs_bytes mpkr, struct ticket_modifier modifier,
                              struct tbs_secret *ret_forked, struct tbs_diag *diag)
{
    return fork_key(MIKEY_CONST_FORK_MPKR, prf, mpkr, modifier, ret_forked, diag);
}

enum tbs_err ticket_fork_tgks(uint8_t prf, struct mikey_key_set *keys, size_t first,
                              struct ticket_modifier modifier, struct tbs_diag *diag)
{
    for (size_t i = first; i < keys->n; i++) {
        struct tbs_secret forked TBS_SECRET_AUTO = {0};

        if (!ticket_has_tgk(&keys->key[i], 1))
            continue;
        enum tbs_err err =
            fork_key(MIKEY_CONST_FORK_TGK, prf, keys->key[i].key, modifier, &forked, diag);

        if (err)
            return err;
        memcpy(mikey_key_set_octets(keys, keys->key[i].key), forked.data, forked.len);
    }
    return TBS_OK;
}
