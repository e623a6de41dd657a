#include "mikey/verification.h"

#include <string.h>

#define PARTS 4

/* Table 5.2: the message up to the MAC, then what follows it. */
static void coverage(const struct mikey_message *m, size_t mac_len,
                     struct mikey_followed_by followed, struct tbs_bytes ret_parts[PARTS])
{
    size_t end = m->raw.len - mac_len, hole = end, resume = end;
    const struct mikey_payload *ticket = mikey_find(&m->payloads, MIKEY_TICKET, 0);

    if (m->hdr.data_type == MIKEY_TRANSFER_INIT && ticket) {
        hole = ticket->offset + 1 + ticket->ticket.core.len;
        resume = hole + 2 + ticket->ticket.initiator_data.len;
    }
    ret_parts[0] = tbs_bytes_slice(m->raw, 0, hole);
    ret_parts[1] = tbs_bytes_slice(m->raw, resume, end - resume);
    ret_parts[2] = followed.first;
    ret_parts[3] = followed.second;
}

enum tbs_err mikey_find_v(const struct mikey_message *message, const struct mikey_suite *suite,
                          const struct mikey_payload **ret_v, struct tbs_diag *diag)
{
    size_t n = message->payloads.n;
    const struct mikey_payload *last = n ? &message->payloads.p[n - 1] : NULL;

    if (!last || last->type != MIKEY_V)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the %s does not end with a V payload",
                        mikey_data_type_name(message->hdr.data_type));
    if (last->v.alg != suite->mac)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "the V payload has Auth alg %u; the PRF of the HDR goes with %u only",
                        last->v.alg, suite->mac);
    *ret_v = last;
    return TBS_OK;
}

enum tbs_err mikey_verify(const struct mikey_message *message, const struct mikey_suite *suite,
                          const struct mikey_keys *keys, struct mikey_followed_by followed,
                          struct tbs_diag *diag)
{
    struct tbs_bytes parts[PARTS];
    const struct mikey_payload *v;
    enum tbs_err err = mikey_find_v(message, suite, &v, diag);

    if (err)
        return err;
    coverage(message, suite->mac_len, followed, parts);
    return mikey_mac_check(suite, keys, parts, PARTS, v->v.mac, diag);
}

enum tbs_err mikey_authenticate(struct tbs_buf *message, const struct mikey_suite *suite,
                                const struct mikey_keys *keys, struct mikey_followed_by followed,
                                struct tbs_diag *diag)
{
    struct mikey_message m;
    struct tbs_bytes parts[PARTS];
    const struct mikey_payload *v;
    uint8_t mac[MIKEY_MAC_MAX];
    enum tbs_err err = mikey_written(message, diag);

    if (!err)
        err = mikey_decode(tbs_buf_view(message), &m, diag);
    if (!err)
        err = mikey_find_v(&m, suite, &v, diag);
    if (err)
        return err;
    coverage(&m, suite->mac_len, followed, parts);
    err = mikey_mac(suite, keys, parts, PARTS, mac, diag);
    if (!err)
        memcpy(message->data + message->len - suite->mac_len, mac, suite->mac_len);
    return err;
}
