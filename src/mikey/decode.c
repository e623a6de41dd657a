#include "mikey/message.h"

#include "mikey/protect.h"

/* Where decoding stands: one reader over the current octets, their offset in the message. */
struct cursor {
    struct tbs_reader r;
    size_t base;
    struct tbs_diag *diag;
};

static size_t here(const struct cursor *c)
{
    return c->base + c->r.pos;
}

static struct tbs_bytes read_len16(struct tbs_reader *r)
{
    uint16_t len = tbs_read_u16(r);

    return tbs_read_bytes(r, len);
}

static struct tbs_bytes read_len8(struct tbs_reader *r)
{
    uint8_t len = tbs_read_u8(r);

    return tbs_read_bytes(r, len);
}

static enum tbs_err bad(const struct cursor *c, const struct mikey_payload *p, const char *what)
{
    return tbs_fail(c->diag, TBS_ERR_MALFORMED, "payload %s at offset %zu: %s",
                    mikey_payload_name(p->type), p->offset, what);
}

int mikey_mac_len(uint8_t alg)
{
    switch (alg) {
    case MIKEY_MAC_NULL:
        return 0;
    case MIKEY_MAC_HMAC_SHA_1_160:
        return 20;
    case MIKEY_MAC_HMAC_SHA_256_256:
        return 32;
    default:
        return -1;
    }
}

static int hash_len(uint8_t func)
{
    static const int len[] = {20, 16, 32}; /* SHA-1, MD5, SHA-256 */

    return func < 3 ? len[func] : -1;
}

static int dh_len(uint8_t group)
{
    static const int len[] = {192, 96, 128}; /* OAKLEY 5, 1, 2; RFC 3830 6.4 */

    return group < 3 ? len[group] : -1;
}

static enum tbs_err read_mac(struct cursor *c, const struct mikey_payload *p, uint8_t alg,
                             struct tbs_bytes *ret_mac)
{
    int len = mikey_mac_len(alg);

    if (len < 0)
        return bad(c, p, "the authentication algorithm is unknown, so its length is too");
    *ret_mac = tbs_read_bytes(&c->r, (size_t)len);
    return TBS_OK;
}

static enum tbs_err read_kemac(struct cursor *c, struct mikey_payload *p)
{
    p->kemac.encr = tbs_read_u8(&c->r);
    p->kemac.data = read_len16(&c->r);
    p->kemac.mac_alg = tbs_read_u8(&c->r);
    return read_mac(c, p, p->kemac.mac_alg, &p->kemac.mac);
}

static enum tbs_err read_kv_data(struct cursor *c, uint8_t kv, struct mikey_key *key)
{
    switch (kv) {
    case MIKEY_KV_NULL:
        break;
    case MIKEY_KV_SPI:
        key->spi = read_len8(&c->r);
        break;
    case MIKEY_KV_INTERVAL:
        key->valid_from = read_len8(&c->r);
        key->valid_to = read_len8(&c->r);
        break;
    default:
        return tbs_fail(c->diag, TBS_ERR_MALFORMED, "key validity type %u at offset %zu is unknown",
                        kv, here(c));
    }
    return TBS_OK;
}

static enum tbs_err read_dh(struct cursor *c, struct mikey_payload *p)
{
    struct mikey_key unused;
    int len;

    p->dh.group = tbs_read_u8(&c->r);
    len = dh_len(p->dh.group);
    if (len < 0)
        return bad(c, p, "the DH group is unknown, so its length is too");
    p->dh.value = tbs_read_bytes(&c->r, (size_t)len);
    p->dh.kv = tbs_read_u8(&c->r) & 0x0F;
    return read_kv_data(c, p->dh.kv, &unused);
}

static enum tbs_err read_timestamp(struct cursor *c, struct mikey_payload *p)
{
    p->t.ts_type = tbs_read_u8(&c->r);
    switch (p->t.ts_type) {
    case MIKEY_TS_NTP_UTC:
    case MIKEY_TS_NTP:
        p->t.value = tbs_read_u64(&c->r);
        return TBS_OK;
    case MIKEY_TS_COUNTER:
    case MIKEY_TS_NTP_UTC_32:
        p->t.value = tbs_read_u32(&c->r);
        return TBS_OK;
    default:
        return bad(c, p, "the timestamp type is unknown, so its length is too");
    }
}

static enum tbs_err read_chash(struct cursor *c, struct mikey_payload *p)
{
    p->chash.func = tbs_read_u8(&c->r);
    int len = hash_len(p->chash.func);

    if (len < 0)
        return bad(c, p, "the hash function is unknown, so its length is too");
    p->chash.hash = tbs_read_bytes(&c->r, (size_t)len);
    return TBS_OK;
}

static enum tbs_err read_sp(struct cursor *c, struct mikey_payload *p)
{
    p->sp.policy_no = tbs_read_u8(&c->r);
    p->sp.prot = tbs_read_u8(&c->r);
    p->sp.params = read_len16(&c->r);

    struct tbs_reader params = tbs_reader(p->sp.params);

    while (tbs_reader_left(&params) > 0 && !params.failed) {
        tbs_read_u8(&params);
        read_len8(&params);
    }
    return params.failed ? bad(c, p, "a policy parameter is cut short") : TBS_OK;
}

static enum tbs_err read_ticket(struct cursor *c, struct mikey_payload *p)
{
    size_t start = c->r.pos;
    uint16_t bits;

    p->ticket.type = tbs_read_u16(&c->r);
    p->ticket.subtype = tbs_read_u8(&c->r);
    p->ticket.version = tbs_read_u8(&c->r);
    p->ticket.prf = tbs_read_u8(&c->r);
    bits = tbs_read_u16(&c->r);
    /* PRF Func has seven bits, so D is the lowest bit of its octet. */
    p->ticket.flags = (uint16_t)((p->ticket.prf & 1) << 15 | bits >> 1);
    p->ticket.prf >>= 1;
    p->ticket.tp_data = read_len16(&c->r);
    if (p->type == MIKEY_TICKET)
        p->ticket.ticket_data = read_len16(&c->r);
    p->ticket.core = tbs_bytes_slice(c->r.in, start, c->r.pos - start);
    if (p->type == MIKEY_TICKET)
        p->ticket.initiator_data = read_len16(&c->r);
    return TBS_OK;
}

/* The body of a payload whose type, and next payload where it has one, are read already. */
static enum tbs_err read_body(struct cursor *c, struct mikey_payload *p)
{
    struct tbs_reader *r = &c->r;

    switch (p->type) {
    case MIKEY_KEMAC:
        return read_kemac(c, p);
    case MIKEY_PKE: {
        uint16_t len = tbs_read_u16(r);

        p->pke.cache = (uint8_t)(len >> 14);
        p->pke.data = tbs_read_bytes(r, len & 0x3FFF);
        return TBS_OK;
    }
    case MIKEY_DH:
        return read_dh(c, p);
    case MIKEY_SIGN: {
        uint16_t len = tbs_read_u16(r);

        p->sign.type = (uint8_t)(len >> 12);
        p->sign.signature = tbs_read_bytes(r, len & 0x0FFF);
        return TBS_OK;
    }
    case MIKEY_TR:
        p->t.role = tbs_read_u8(r);
        return read_timestamp(c, p);
    case MIKEY_T:
        return read_timestamp(c, p);
    case MIKEY_IDR:
        p->id.role = tbs_read_u8(r);
        /* fall through */
    case MIKEY_ID:
    case MIKEY_CERT:
        p->id.id_type = tbs_read_u8(r);
        p->id.data = read_len16(r);
        return TBS_OK;
    case MIKEY_CHASH:
        return read_chash(c, p);
    case MIKEY_V:
        p->v.alg = tbs_read_u8(r);
        return read_mac(c, p, p->v.alg, &p->v.mac);
    case MIKEY_SP:
        return read_sp(c, p);
    case MIKEY_RANDR:
        p->rand.role = tbs_read_u8(r);
        /* fall through */
    case MIKEY_RAND:
        p->rand.data = read_len8(r);
        return TBS_OK;
    case MIKEY_ERR:
        p->err.no = tbs_read_u8(r);
        tbs_read_u16(r); /* Reserved */
        return TBS_OK;
    case MIKEY_TP:
    case MIKEY_TICKET:
        return read_ticket(c, p);
    case MIKEY_THDR:
        p->thdr = read_len16(r);
        return TBS_OK;
    case MIKEY_GENERAL_EXT:
        p->ext.type = tbs_read_u8(r);
        p->ext.data = read_len16(r);
        return TBS_OK;
    default:
        return tbs_fail(c->diag, TBS_ERR_MALFORMED,
                        "payload type %u at offset %zu is unknown here, so its length is too",
                        p->type, p->offset);
    }
}

static enum tbs_err read_payload(struct cursor *c, uint16_t type, struct mikey_payload *p)
{
    size_t start = c->r.pos;
    enum tbs_err err;

    *p = (struct mikey_payload){.type = type, .offset = here(c)};
    if (type != MIKEY_SIGN) /* SIGN is always last, RFC 3830 6.5 */
        p->next = tbs_read_u8(&c->r);
    err = read_body(c, p);
    if (err)
        return err;
    if (c->r.failed)
        return bad(c, p, "it is cut short");
    p->whole = tbs_bytes_slice(c->r.in, start, c->r.pos - start);
    return TBS_OK;
}

/* Payloads from `type` to the last; nothing may follow the last. */
static enum tbs_err read_chain(struct cursor *c, uint16_t type, struct mikey_payloads *list)
{
    list->n = 0;
    while (type != MIKEY_LAST) {
        if (list->n == MIKEY_PAYLOADS_MAX)
            return tbs_fail(c->diag, TBS_ERR_MALFORMED,
                            "more than %d payloads follow one another, at offset %zu",
                            MIKEY_PAYLOADS_MAX, here(c));
        struct mikey_payload *p = &list->p[list->n];
        enum tbs_err err = read_payload(c, type, p);

        if (err)
            return err;
        list->n++;
        type = p->next;
    }
    if (tbs_reader_left(&c->r) > 0)
        return tbs_fail(c->diag, TBS_ERR_MALFORMED, "%zu octets follow the last payload at %zu",
                        tbs_reader_left(&c->r), here(c));
    return TBS_OK;
}

struct mikey_cs mikey_next_cs(struct tbs_reader *map_info)
{
    struct mikey_cs cs;
    uint8_t count;

    cs.id = tbs_read_u8(map_info);
    cs.prot = tbs_read_u8(map_info);
    count = tbs_read_u8(map_info);
    cs.s = count & 0x80;
    cs.policies = tbs_read_bytes(map_info, count & 0x7F);
    cs.session_data = read_len16(map_info);
    cs.spi = read_len8(map_info);
    return cs;
}

/* The length of SRTP Session Data: none, SSRC, or SSRC with ROC and SEQ (RFC 6043 6.1.1). */
static bool session_data_fits(const struct mikey_cs *cs)
{
    return cs->prot != MIKEY_PROT_SRTP || cs->session_data.len == 0 ||
           cs->session_data.len == (cs->s ? 10 : 4);
}

static enum tbs_err read_generic_map(struct cursor *c, uint8_t n_cs)
{
    for (unsigned i = 0; i < n_cs; i++) {
        size_t at = here(c);
        struct mikey_cs cs = mikey_next_cs(&c->r);

        if (c->r.failed)
            return tbs_fail(c->diag, TBS_ERR_MALFORMED,
                            "crypto session %u of %u in the GENERIC-ID map at offset %zu is cut "
                            "short",
                            i + 1, n_cs, at);
        if (!session_data_fits(&cs))
            return tbs_fail(c->diag, TBS_ERR_MALFORMED,
                            "crypto session %u at offset %zu has %zu octets of SRTP Session Data, "
                            "which is not SSRC or SSRC, ROC and SEQ",
                            cs.id, at, cs.session_data.len);
    }
    return TBS_OK;
}

static enum tbs_err read_map(struct cursor *c, struct mikey_hdr *h)
{
    size_t start = c->r.pos;
    enum tbs_err err = TBS_OK;

    switch (h->map_type) {
    case MIKEY_MAP_SRTP_ID: /* Policy_no, SSRC, ROC for each, RFC 3830 6.1.1 */
        tbs_read_bytes(&c->r, 9 * (size_t)h->n_cs);
        break;
    case MIKEY_MAP_EMPTY:
        if (h->n_cs != 0)
            return tbs_fail(c->diag, TBS_ERR_MALFORMED,
                            "the HDR counts %u crypto sessions in an Empty map", h->n_cs);
        break;
    case MIKEY_MAP_GENERIC_ID:
        err = read_generic_map(c, h->n_cs);
        break;
    default:
        return tbs_fail(c->diag, TBS_ERR_MALFORMED, "CS ID map type %u in the HDR is unknown",
                        h->map_type);
    }
    if (!err && c->r.failed)
        err = tbs_fail(c->diag, TBS_ERR_MALFORMED, "the CS ID map is cut short after %zu octets",
                       c->r.in.len);
    h->map_info = tbs_bytes_slice(c->r.in, start, c->r.pos - start);
    return err;
}

/* The ten octets that every HDR has, all of them or none. */
static enum tbs_err read_hdr(struct cursor *c, struct mikey_hdr *ret_hdr)
{
    struct mikey_hdr h = {0};
    uint8_t v_prf;

    h.version = tbs_read_u8(&c->r);
    h.data_type = tbs_read_u8(&c->r);
    h.next = tbs_read_u8(&c->r);
    v_prf = tbs_read_u8(&c->r);
    h.v = v_prf & 0x80;
    h.prf = v_prf & 0x7F;
    h.csb_id = tbs_read_u32(&c->r);
    h.n_cs = tbs_read_u8(&c->r);
    h.map_type = tbs_read_u8(&c->r);
    if (c->r.failed)
        return tbs_fail(c->diag, TBS_ERR_MALFORMED, "the HDR is cut short after %zu octets",
                        c->r.in.len);
    if (h.version != MIKEY_VERSION)
        return tbs_fail(c->diag, TBS_ERR_MALFORMED, "MIKEY version %u in the HDR is not 1",
                        h.version);
    *ret_hdr = h;
    return TBS_OK;
}

enum tbs_err mikey_decode(struct tbs_bytes raw, struct mikey_message *ret_message,
                          struct tbs_diag *diag)
{
    struct cursor c = {.r = tbs_reader(raw), .diag = diag};
    enum tbs_err err;

    ret_message->raw = raw;
    ret_message->hdr = (struct mikey_hdr){0};
    ret_message->payloads.n = 0;
    if (raw.len > MIKEY_MESSAGE_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the message has %zu octets, more than %d", raw.len,
                        MIKEY_MESSAGE_MAX);
    err = read_hdr(&c, &ret_message->hdr);
    if (!err)
        err = read_map(&c, &ret_message->hdr);
    if (err)
        return err;
    return read_chain(&c, ret_message->hdr.next, &ret_message->payloads);
}

enum tbs_err mikey_decode_chain(struct tbs_bytes chain, size_t base,
                                struct mikey_payloads *ret_payloads, struct tbs_diag *diag)
{
    struct cursor c = {.r = tbs_reader(chain), .base = base, .diag = diag};

    ret_payloads->n = 0;
    if (chain.len == 0)
        return TBS_OK;
    return read_chain(&c, tbs_read_u8(&c.r), ret_payloads);
}

enum tbs_err mikey_decode_ticket_data(struct tbs_bytes data, size_t base,
                                      struct mikey_payloads *ret_payloads, struct tbs_diag *diag)
{
    struct cursor c = {.r = tbs_reader(data), .base = base, .diag = diag};

    return read_chain(&c, MIKEY_THDR, ret_payloads);
}

static bool has_salt(uint8_t type)
{
    return type == MIKEY_TGK_SALT || type == MIKEY_TEK_SALT || type == MIKEY_GTGK_SALT;
}

static enum tbs_err read_key(struct cursor *c, struct mikey_key *key, uint8_t *ret_next)
{
    size_t at = here(c);
    uint8_t type_kv;
    enum tbs_err err;

    *key = (struct mikey_key){0};
    *ret_next = tbs_read_u8(&c->r);
    type_kv = tbs_read_u8(&c->r);
    key->type = type_kv >> 4;
    key->kv = type_kv & 0x0F;
    if (!c->r.failed && key->type > MIKEY_MPK)
        return tbs_fail(c->diag, TBS_ERR_MALFORMED, "Key data at offset %zu has unknown type %u",
                        at, key->type);
    key->key = read_len16(&c->r);
    if (has_salt(key->type))
        key->salt = read_len16(&c->r);
    err = read_kv_data(c, key->kv, key);
    if (!err && c->r.failed)
        err = tbs_fail(c->diag, TBS_ERR_MALFORMED, "Key data at offset %zu is cut short", at);
    return err;
}

enum tbs_err mikey_decode_keys(struct tbs_bytes data, struct mikey_key ret_keys[MIKEY_KEYS_MAX],
                               size_t *ret_n, struct tbs_diag *diag)
{
    struct cursor c = {.r = tbs_reader(data), .diag = diag};
    uint8_t next = MIKEY_KEY_DATA;
    size_t n = 0;

    while (next == MIKEY_KEY_DATA) {
        if (n == MIKEY_KEYS_MAX)
            return tbs_fail(diag, TBS_ERR_LIMIT, "the KEMAC holds more than %d keys",
                            MIKEY_KEYS_MAX);
        enum tbs_err err = read_key(&c, &ret_keys[n++], &next);

        if (err)
            return err;
    }
    if (next != MIKEY_LAST || tbs_reader_left(&c.r) > 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the KEMAC's keys end at offset %zu with payload type %u and %zu octets "
                        "left",
                        here(&c), next, tbs_reader_left(&c.r));
    *ret_n = n;
    return TBS_OK;
}
