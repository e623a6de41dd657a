#include "tests/support/requester.h"

#include <string.h>

struct requester requester(const struct mikey_suite *suite, const char *identity,
                           const char *psk_id, struct tbs_bytes psk, const char *kms)
{
    struct requester r = {
        .suite = suite,
        .psk = psk,
        .identity = identity,
        .psk_id = psk_id,
        .kms = kms,
        .csb_id = 0x01020304,
        .rand_len = MIKEY_RAND_LEN,
    };

    memset(r.rand, 0x5A, sizeof r.rand);
    return r;
}

struct ticket_policy requester_wish(const struct requester *r, const char *responder)
{
    return (struct ticket_policy){
        .type = TICKET_TYPE_MIKEY_BASE,
        .subtype = TICKET_SUBTYPE,
        .version = TICKET_VERSION,
        .prf = (uint8_t)r->suite->prf,
        .flags = TICKET_D | TICKET_E | TICKET_F | TICKET_G | TICKET_H,
        .responders = {{.type = MIKEY_ID_URI, .data = tbs_bytes_str(responder)}},
        .n_responders = 1,
    };
}

/* T of any type: the KMS's own writer knows NTP-UTC alone. */
static void put_t(struct mikey_writer *w, uint8_t ts_type, uint64_t t)
{
    mikey_put_t(w, t);
    if (ts_type == MIKEY_TS_NTP_UTC)
        return;
    w->buf->len -= 9;
    tbs_put_u8(w->buf, ts_type);
    if (ts_type == MIKEY_TS_NTP)
        tbs_put_u64(w->buf, t);
    else
        tbs_put_u32(w->buf, (uint32_t)(t >> 32));
}

static void put_idr(struct mikey_writer *w, uint8_t role, const char *id)
{
    mikey_put_idr(w, role, MIKEY_ID_URI, tbs_bytes_str(id));
}

static struct mikey_writer begin(const struct requester *r, bool is_request,
                                 struct tbs_buf *message)
{
    struct mikey_hdr hdr = {
        .data_type = is_request ? MIKEY_REQUEST_INIT_PSK : MIKEY_RESOLVE_INIT_PSK,
        .v = true,
        .prf = (uint8_t)r->suite->prf,
        .csb_id = r->csb_id,
        .map_type = MIKEY_MAP_EMPTY,
    };
    struct mikey_writer w = mikey_write_message(message, &hdr);

    if (!r->omit_t)
        put_t(&w, r->ts_type, r->t);
    if (!r->omit_rand)
        mikey_put_randr(&w, is_request ? MIKEY_RANDRI : MIKEY_RANDRR,
                        tbs_bytes(r->rand, r->rand_len));
    if (!r->omit_identity)
        put_idr(&w, is_request ? MIKEY_IDRI : MIKEY_IDRR, r->identity);
    if (!r->omit_kms)
        put_idr(&w, MIKEY_IDRKMS, r->kms);
    return w;
}

static enum tbs_err end(const struct requester *r, struct mikey_writer *w, struct tbs_diag *diag)
{
    if (r->psk_id)
        put_idr(w, MIKEY_IDRPSK, r->psk_id);
    mikey_put_v(w, r->suite->mac);
    return requester_authenticate(r, w->buf, diag);
}

enum tbs_err requester_request_raw(const struct requester *r, struct tbs_bytes tp,
                                   struct tbs_buf *ret_message, struct tbs_diag *diag)
{
    struct mikey_writer w = begin(r, true, ret_message);

    if (tp.len > 0)
        mikey_put_tp(&w, tp);
    return end(r, &w, diag);
}

enum tbs_err requester_request(const struct requester *r, const struct ticket_policy *wish,
                               struct tbs_buf *ret_message, struct tbs_diag *diag)
{
    struct tbs_buf tp TBS_BUF_AUTO = tbs_buf();

    if (wish)
        ticket_policy_put(&tp, wish);
    enum tbs_err err = mikey_written(&tp, diag);

    return err ? err : requester_request_raw(r, tbs_buf_view(&tp), ret_message, diag);
}

enum tbs_err requester_resolve(const struct requester *r, struct tbs_bytes core,
                               struct tbs_bytes initiator_data, struct tbs_buf *ret_message,
                               struct tbs_diag *diag)
{
    struct mikey_writer w = begin(r, false, ret_message);

    if (core.len > 0)
        mikey_put_ticket(&w, core, initiator_data);
    return end(r, &w, diag);
}

static struct mikey_context context(enum mikey_usage usage, const struct mikey_message *init)
{
    bool is_request = init->hdr.data_type == MIKEY_REQUEST_INIT_PSK;
    struct tbs_bytes none = tbs_bytes(NULL, 0);

    return (struct mikey_context){
        .usage = usage,
        .csb_id = init->hdr.csb_id,
        .randri = is_request ? mikey_rand_data(&init->payloads, MIKEY_RANDRI) : none,
        .randrr = is_request ? none : mikey_rand_data(&init->payloads, MIKEY_RANDRR),
    };
}

static struct mikey_inkey inkey(const struct requester *r)
{
    return (struct mikey_inkey){.prf = r->suite->prf, .key = r->psk};
}

enum tbs_err requester_authenticate(const struct requester *r, struct tbs_buf *message,
                                    struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct mikey_inkey psk = inkey(r);
    struct mikey_message m;
    struct mikey_followed_by ids = {tbs_bytes_str(r->identity), tbs_bytes_str(r->kms)};
    enum tbs_err err = mikey_written(message, diag);

    if (!err)
        err = mikey_decode(tbs_buf_view(message), &m, diag);
    if (err)
        return err;
    struct mikey_context c = context(MIKEY_USE_INIT, &m);

    err = mikey_derive_auth(r->suite, &psk, &c, &keys, diag);
    return err ? err : mikey_authenticate(message, r->suite, &keys, ids, diag);
}

void requester_answer_free(struct requester_answer *answer)
{
    if (answer)
        mikey_key_set_free(&answer->keys);
}

static enum tbs_err open_payloads(const struct requester *r, const struct mikey_keys *keys,
                                  struct requester_answer *a, struct tbs_diag *diag)
{
    const struct mikey_payload *t = mikey_find(&a->m.payloads, MIKEY_T, 0);
    const struct mikey_payload *kemac = mikey_find(&a->m.payloads, MIKEY_KEMAC, 0);

    const struct mikey_payload *ticket = mikey_find(&a->m.payloads, MIKEY_TICKET, 0);

    if (!t || !kemac || !ticket != (a->m.hdr.data_type == MIKEY_RESOLVE_RESP))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the %s lacks a payload",
                        mikey_data_type_name(a->m.hdr.data_type));
    enum tbs_err err = ticket ? ticket_policy_decode(ticket, &a->granted, diag) : TBS_OK;

    if (ticket)
        a->ticket = *ticket;
    return err ? err
               : mikey_open_kemac(kemac, r->suite, keys, a->m.hdr.csb_id, mikey_ts64(t), &a->keys,
                                  diag);
}

/* RFC 6043 4.2.1.5, 4.2.3.5 and 5.4; an Error needs not repeat #CS and map, but here it does. */
static enum tbs_err check_hdr(const struct mikey_hdr *init, const struct mikey_hdr *answer,
                              struct tbs_diag *diag)
{
    if (answer->version == init->version && answer->prf == init->prf &&
        answer->csb_id == init->csb_id && answer->n_cs == 0 &&
        answer->map_type == MIKEY_MAP_EMPTY && !answer->v)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_INVALID, "the HDR of the %s is not that of the %s with V = 0",
                    mikey_data_type_name(answer->data_type), mikey_data_type_name(init->data_type));
}

enum tbs_err requester_open(const struct requester *r, struct tbs_bytes init,
                            struct tbs_bytes response, struct requester_answer *ret_answer,
                            struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct mikey_inkey psk = inkey(r);
    struct mikey_message m;
    struct requester_answer *a = ret_answer;
    enum tbs_err err = mikey_decode(init, &m, diag);

    *a = (struct requester_answer){0};
    if (!err)
        err = mikey_decode(response, &a->m, diag);
    if (err)
        return err;
    if (a->m.hdr.data_type !=
        (m.hdr.data_type == MIKEY_REQUEST_INIT_PSK ? MIKEY_REQUEST_RESP : MIKEY_RESOLVE_RESP))
        return tbs_fail(diag, TBS_ERR_INVALID, "a %s is no answer to a %s",
                        mikey_data_type_name(a->m.hdr.data_type),
                        mikey_data_type_name(m.hdr.data_type));
    struct mikey_context c = context(MIKEY_USE_RESP, &m);

    err = check_hdr(&m.hdr, &a->m.hdr, diag);
    if (!err)
        err = mikey_derive_auth(r->suite, &psk, &c, &keys, diag);
    if (!err)
        err = mikey_derive_encr(r->suite, &psk, &c, &keys, diag);
    if (!err)
        err = mikey_verify(&a->m, r->suite, &keys, (struct mikey_followed_by){.first = init}, diag);
    return err ? err : open_payloads(r, &keys, a, diag);
}

enum tbs_err requester_open_error(const struct requester *r, struct tbs_bytes init,
                                  struct tbs_bytes error, uint8_t *ret_no, bool *ret_has_v,
                                  struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct mikey_inkey psk = inkey(r);
    struct mikey_message m, e;
    enum tbs_err err = mikey_decode(error, &e, diag), malformed = mikey_decode(init, &m, NULL);

    if (!err)
        err = check_hdr(&m.hdr, &e.hdr, diag);
    if (err)
        return err;
    const struct mikey_payload *no = mikey_find(&e.payloads, MIKEY_ERR, 0);
    bool has_v = mikey_find(&e.payloads, MIKEY_V, 0);

    if (e.hdr.data_type != MIKEY_ERROR || !no || !mikey_find(&e.payloads, MIKEY_T, 0))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the %s is not an Error message with T and ERR",
                        mikey_data_type_name(e.hdr.data_type));
    if (has_v && malformed)
        return tbs_fail(diag, TBS_ERR_INVALID, "an Error answers a malformed message with a V");
    if (has_v) {
        struct mikey_context c = context(MIKEY_USE_INIT, &m);

        err = mikey_derive_auth(r->suite, &psk, &c, &keys, diag);
        if (!err)
            err = mikey_verify(&e, r->suite, &keys, (struct mikey_followed_by){0}, diag);
    }
    if (err)
        return err;
    *ret_no = no->err.no;
    *ret_has_v = has_v;
    return TBS_OK;
}

enum tbs_err requester_initiator_data(const struct requester_answer *answer,
                                      struct tbs_buf *ret_data, struct tbs_diag *diag)
{
    static const uint8_t vi[MIKEY_MAC_MAX];
    const struct mikey_suite *suite = mikey_suite_of_prf(answer->granted.prf);

    return ticket_initiator_data_put(ret_data, suite, tbs_bytes(vi, suite->mac_len),
                                     answer->keys.key[1].key, diag);
}
