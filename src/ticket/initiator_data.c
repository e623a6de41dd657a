#include <string.h>

#include "ticket/ticket.h"

static enum tbs_err vr_key(const struct mikey_suite *suite, struct tbs_bytes mpkr,
                           struct mikey_keys *keys, struct tbs_diag *diag)
{
    struct mikey_inkey inkey = {.prf = suite->prf, .key = mpkr};
    struct mikey_context context = {.usage = MIKEY_USE_VR};

    return mikey_derive_auth(suite, &inkey, &context, keys, diag);
}

/* First payload octet, then two V payloads of Next Payload, Auth alg and MAC. */
size_t ticket_initiator_data_len(const struct mikey_suite *suite)
{
    return 1 + 2 * (2 + suite->mac_len);
}

enum tbs_err ticket_initiator_data_put(struct tbs_buf *data, const struct mikey_suite *suite,
                                       struct tbs_bytes vi, struct tbs_bytes mpkr,
                                       struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    uint8_t mac[MIKEY_MAC_MAX];
    size_t start = data->len;
    struct mikey_writer w = mikey_write_chain(data);
    size_t vi_at = mikey_put_v(&w, suite->mac), vr_at = mikey_put_v(&w, suite->mac);
    enum tbs_err err = mikey_written(data, diag);

    if (!err)
        err = vr_key(suite, mpkr, &keys, diag);
    if (err)
        return err;
    memcpy(data->data + vi_at, vi.data, suite->mac_len);
    struct tbs_bytes covered = tbs_bytes_slice(tbs_buf_view(data), start, vr_at - start);

    err = mikey_mac(suite, &keys, &covered, 1, mac, diag);
    if (!err)
        memcpy(data->data + vr_at, mac, suite->mac_len);
    return err;
}

/* The V payloads of Initiator Data: Vi is the first, Vr the last. */
static enum tbs_err find_vs(const struct mikey_payload *ticket, struct tbs_bytes *ret_vi,
                            struct tbs_bytes *ret_vr, uint8_t *ret_alg, struct tbs_diag *diag)
{
    struct mikey_payloads list;
    const struct mikey_payload *vi, *vr;
    size_t base = ticket->offset + 1 + ticket->ticket.core.len + 2;
    enum tbs_err err = mikey_decode_chain(ticket->ticket.initiator_data, base, &list, diag);

    if (err)
        return err;
    vi = mikey_find(&list, MIKEY_V, 0);
    vr = list.n ? &list.p[list.n - 1] : NULL;
    if (!vi || vi == vr || vr->type != MIKEY_V || vi->v.alg != vr->v.alg)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the Initiator Data at offset %zu is not Vi and Vr of one algorithm "
                        "(RFC 6043 6.10)",
                        base);
    *ret_vi = vi->v.mac;
    *ret_vr = vr->v.mac;
    *ret_alg = vi->v.alg;
    return TBS_OK;
}

enum tbs_err ticket_initiator_data_check(const struct mikey_payload *ticket,
                                         const struct mikey_suite *suite, struct tbs_bytes mpkr,
                                         struct tbs_diag *diag)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    struct tbs_bytes vi, vr, data = ticket->ticket.initiator_data;
    uint8_t alg;
    enum tbs_err err = find_vs(ticket, &vi, &vr, &alg, diag);

    if (err)
        return err;
    if (alg != suite->mac)
        return tbs_fail(diag, TBS_ERR_AUTH, "Initiator Data has Auth alg %u, not %u of its suite",
                        alg, suite->mac);
    err = vr_key(suite, mpkr, &keys, diag);
    if (err)
        return err;
    struct tbs_bytes covered = tbs_bytes_slice(data, 0, data.len - vr.len);

    return mikey_mac_check(suite, &keys, &covered, 1, vr, diag);
}

struct tbs_bytes ticket_initiator_data_vi(const struct mikey_payload *ticket)
{
    struct tbs_bytes vi, vr;
    uint8_t alg;

    if (find_vs(ticket, &vi, &vr, &alg, NULL))
        return tbs_bytes(NULL, 0);
    return vi;
}
