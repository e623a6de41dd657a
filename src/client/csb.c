/* A crypto session bundle between its exchanges. RFC 6043 5.1.2, 5.2; RFC 3830 4.5. */
#include <string.h>

#include "client/internal.h"

void client_csb_free(struct client_csb *csb)
{
    tbs_buf_free(&csb->init);
    tbs_buf_free(&csb->resp);
    tbs_buf_free(&csb->idri);
    tbs_buf_free(&csb->idrr);
    tbs_secret_free(&csb->mpk);
    mikey_key_set_free(&csb->keys);
}

static struct tbs_buf copy(const struct tbs_buf *from)
{
    struct tbs_buf to = tbs_buf();

    tbs_put_bytes(&to, tbs_buf_view(from));
    return to;
}

enum tbs_err client_csb_next(const struct client_csb *csb, struct mikey_key_set *keys,
                             struct client_csb *ret_csb, struct tbs_diag *diag)
{
    struct client_csb next = {.initiator = csb->initiator,
                              .init = copy(&csb->init),
                              .resp = copy(&csb->resp),
                              .idri = copy(&csb->idri),
                              .idrr = copy(&csb->idrr),
                              .keys = *keys,
                              .n_ticket = csb->n_ticket,
                              .latest = csb->latest,
                              .peers = csb->peers};
    enum tbs_err err = tbs_secret_copy(tbs_secret_view(&csb->mpk), &next.mpk, diag);

    *keys = (struct mikey_key_set){0};
    if (!err && (next.init.failed || next.resp.failed || next.idri.failed || next.idrr.failed))
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    if (err)
        client_csb_free(&next);
    else
        *ret_csb = next;
    return err;
}

bool client_is_later(uint64_t t, uint64_t than)
{
    return (int64_t)(t - than) > 0; /* across the era change of 2036, too */
}

uint64_t client_csb_t(const struct client_csb *csb, uint64_t now)
{
    uint64_t t = (now & ~UINT64_C(1)) | csb->initiator;

    if (!client_is_later(t, csb->latest))
        t = ((csb->latest + 2) & ~UINT64_C(1)) | csb->initiator;
    return t;
}

enum tbs_err client_csb_read(const struct client_csb *csb, struct client_initial *ret_initial,
                             struct tbs_diag *diag)
{
    const struct mikey_payload *ticket;
    enum tbs_err err = mikey_decode(tbs_buf_view(&csb->init), &ret_initial->init, diag);

    ret_initial->resp = (struct mikey_message){0};
    if (!err && csb->resp.len > 0)
        err = mikey_decode(tbs_buf_view(&csb->resp), &ret_initial->resp, diag);
    if (err)
        return err;
    ticket = mikey_find(&ret_initial->init.payloads, MIKEY_TICKET, 0);
    ret_initial->suite = mikey_suite_of_prf(ret_initial->init.hdr.prf);
    if (ret_initial->init.hdr.data_type != MIKEY_TRANSFER_INIT || !ticket || !ret_initial->suite)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "a session without its TRANSFER_INIT");
    err = ticket_policy_decode(ticket, &ret_initial->policy, diag);
    if (!err && (ret_initial->policy.flags & TICKET_F) && csb->resp.len == 0)
        err = tbs_fail(diag, TBS_ERR_MALFORMED, "a session without its TRANSFER_RESP");
    return err;
}

/* RFC 6043 5.2: the keys that protected the last message of the initial exchange. */
enum tbs_err client_csb_keys(const struct client_csb *csb, const struct client_initial *initial,
                             struct mikey_keys *ret_keys, struct tbs_diag *diag)
{
    struct mikey_context context = {.usage = csb->resp.len > 0 ? MIKEY_USE_RESP : MIKEY_USE_INIT,
                                    .csb_id = initial->init.hdr.csb_id,
                                    .randri =
                                        mikey_rand_data(&initial->init.payloads, MIKEY_RANDRI)};

    if (initial->policy.flags & TICKET_G)
        context.randrr = mikey_rand_data(&initial->resp.payloads, MIKEY_RANDRR);
    return client_derive(initial->suite, tbs_secret_view(&csb->mpk), &context, true, ret_keys,
                         diag);
}

/* --- In a file --- */

static void put_len32(struct tbs_buf *b, struct tbs_bytes data)
{
    tbs_put_u32(b, (uint32_t)data.len);
    tbs_put_bytes(b, data);
}

static struct tbs_bytes get_len32(struct tbs_reader *r)
{
    return tbs_read_bytes(r, tbs_read_u32(r));
}

void client_csb_put(const struct client_csb *csb, struct tbs_buf *octets)
{
    tbs_put_u8(octets, csb->initiator);
    put_len32(octets, tbs_buf_view(&csb->init));
    put_len32(octets, tbs_buf_view(&csb->resp));
    put_len32(octets, tbs_buf_view(&csb->idri));
    put_len32(octets, tbs_buf_view(&csb->idrr));
    put_len32(octets, tbs_secret_view(&csb->mpk));
    put_len32(octets, tbs_secret_view(&csb->keys.octets));
    tbs_put_u8(octets, (uint8_t)csb->n_ticket);
    tbs_put_u64(octets, csb->latest);
    tbs_put_u64(octets, csb->peers);
}

static void get_buf(struct tbs_reader *r, struct tbs_buf *b)
{
    *b = tbs_buf();
    tbs_put_bytes(b, get_len32(r));
}

static enum tbs_err get_keys(struct tbs_bytes octets, struct mikey_key_set *ret_set,
                             struct tbs_diag *diag)
{
    struct mikey_key keys[MIKEY_KEYS_MAX];
    size_t n;
    enum tbs_err err = mikey_decode_keys(octets, keys, &n, diag);

    return err ? err : mikey_key_set_copy(keys, n, ret_set, diag);
}

enum tbs_err client_csb_get(struct tbs_reader *r, struct client_csb *ret_csb, struct tbs_diag *diag)
{
    struct client_csb csb = {.initiator = tbs_read_u8(r)};
    struct tbs_bytes keys;
    enum tbs_err err;

    get_buf(r, &csb.init);
    get_buf(r, &csb.resp);
    get_buf(r, &csb.idri);
    get_buf(r, &csb.idrr);
    err = tbs_secret_copy(get_len32(r), &csb.mpk, diag);
    keys = get_len32(r);
    csb.n_ticket = tbs_read_u8(r);
    csb.latest = tbs_read_u64(r);
    csb.peers = tbs_read_u64(r);
    if (!err && (csb.init.failed || csb.resp.failed || csb.idri.failed || csb.idrr.failed))
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    if (!err && (r->failed || csb.idri.len > MIKEY_ID_MAX || csb.idrr.len > MIKEY_ID_MAX ||
                 csb.mpk.len < CLIENT_KEY_MIN))
        err = tbs_fail(diag, TBS_ERR_MALFORMED, "the exported session is damaged");
    if (!err)
        err = get_keys(keys, &csb.keys, diag);
    if (!err && csb.n_ticket > csb.keys.n)
        err = tbs_fail(diag, TBS_ERR_MALFORMED, "the exported session is damaged");
    if (err)
        client_csb_free(&csb);
    else
        *ret_csb = csb;
    return err;
}
