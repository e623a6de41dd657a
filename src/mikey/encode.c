#include "mikey/encode.h"

/* A length that its field cannot say marks the buffer as failed. */
static void put_len8(struct tbs_buf *buf, struct tbs_bytes data)
{
    if (data.len > UINT8_MAX)
        buf->failed = true;
    tbs_put_u8(buf, (uint8_t)data.len);
    tbs_put_bytes(buf, data);
}

void mikey_put_len16(struct tbs_buf *buf, struct tbs_bytes data)
{
    if (data.len > UINT16_MAX)
        buf->failed = true;
    tbs_put_u16(buf, (uint16_t)data.len);
    tbs_put_bytes(buf, data);
}

/* Names the payload in the octet that announces it, and starts it with Next Payload 0. */
static struct tbs_buf *begin(struct mikey_writer *w, uint8_t type)
{
    if (w->named)
        tbs_buf_patch_u8(w->buf, w->next_at, type);
    w->named = true;
    w->next_at = w->buf->len;
    tbs_put_u8(w->buf, MIKEY_LAST);
    return w->buf;
}

struct mikey_writer mikey_write_message(struct tbs_buf *buf, const struct mikey_hdr *hdr)
{
    struct mikey_writer w = {.buf = buf, .next_at = buf->len + 2, .named = true};

    tbs_put_u8(buf, MIKEY_VERSION);
    tbs_put_u8(buf, hdr->data_type);
    tbs_put_u8(buf, MIKEY_LAST);
    tbs_put_u8(buf, (uint8_t)((hdr->v ? 0x80 : 0) | (hdr->prf & 0x7F)));
    tbs_put_u32(buf, hdr->csb_id);
    tbs_put_u8(buf, hdr->n_cs);
    tbs_put_u8(buf, hdr->map_type);
    tbs_put_bytes(buf, hdr->map_info);
    return w;
}

struct mikey_writer mikey_write_chain(struct tbs_buf *buf)
{
    struct mikey_writer w = {.buf = buf, .next_at = buf->len, .named = true};

    tbs_put_u8(buf, MIKEY_LAST);
    return w;
}

struct mikey_writer mikey_write_ticket_data(struct tbs_buf *buf, struct tbs_bytes thdr)
{
    struct mikey_writer w = {.buf = buf};

    mikey_put_len16(begin(&w, 0), thdr);
    return w;
}

struct mikey_writer mikey_write_keys(struct tbs_buf *buf)
{
    return (struct mikey_writer){.buf = buf};
}

void mikey_put_cs(struct tbs_buf *map_info, const struct mikey_cs *cs)
{
    if (cs->policies.len > 0x7F)
        map_info->failed = true;
    tbs_put_u8(map_info, cs->id);
    tbs_put_u8(map_info, cs->prot);
    tbs_put_u8(map_info, (uint8_t)((cs->s ? 0x80 : 0) | cs->policies.len));
    tbs_put_bytes(map_info, cs->policies);
    mikey_put_len16(map_info, cs->session_data);
    put_len8(map_info, cs->spi);
}

static void put_timestamp(struct tbs_buf *b, uint8_t ts_type, uint64_t value)
{
    tbs_put_u8(b, ts_type);
    if (ts_type == MIKEY_TS_COUNTER || ts_type == MIKEY_TS_NTP_UTC_32)
        tbs_put_u32(b, (uint32_t)value);
    else
        tbs_put_u64(b, value);
}

void mikey_put_t(struct mikey_writer *w, uint64_t ntp_utc)
{
    put_timestamp(begin(w, MIKEY_T), MIKEY_TS_NTP_UTC, ntp_utc);
}

void mikey_put_tr(struct mikey_writer *w, uint8_t role, uint8_t ts_type, uint64_t value)
{
    struct tbs_buf *b = begin(w, MIKEY_TR);

    tbs_put_u8(b, role);
    put_timestamp(b, ts_type, value);
}

void mikey_put_rand(struct mikey_writer *w, struct tbs_bytes rand)
{
    put_len8(begin(w, MIKEY_RAND), rand);
}

void mikey_put_randr(struct mikey_writer *w, uint8_t role, struct tbs_bytes rand)
{
    struct tbs_buf *b = begin(w, MIKEY_RANDR);

    tbs_put_u8(b, role);
    put_len8(b, rand);
}

void mikey_put_idr(struct mikey_writer *w, uint8_t role, uint8_t id_type, struct tbs_bytes data)
{
    struct tbs_buf *b = begin(w, MIKEY_IDR);

    tbs_put_u8(b, role);
    tbs_put_u8(b, id_type);
    mikey_put_len16(b, data);
}

void mikey_put_sp(struct mikey_writer *w, uint8_t policy_no, uint8_t prot, struct tbs_bytes params)
{
    struct tbs_buf *b = begin(w, MIKEY_SP);

    tbs_put_u8(b, policy_no);
    tbs_put_u8(b, prot);
    mikey_put_len16(b, params);
}

void mikey_put_kemac(struct mikey_writer *w, uint8_t encr, struct tbs_bytes data)
{
    struct tbs_buf *b = begin(w, MIKEY_KEMAC);

    tbs_put_u8(b, encr);
    mikey_put_len16(b, data);
    tbs_put_u8(b, 0); /* MAC alg NULL: the V payload covers it */
}

void mikey_put_err(struct mikey_writer *w, uint8_t no)
{
    struct tbs_buf *b = begin(w, MIKEY_ERR);

    tbs_put_u8(b, no);
    tbs_put_u16(b, 0);
}

void mikey_put_key(struct mikey_writer *w, const struct mikey_key *key)
{
    struct tbs_buf *b = begin(w, MIKEY_KEY_DATA);

    tbs_put_u8(b, (uint8_t)(key->type << 4 | key->kv));
    mikey_put_len16(b, key->key);
    if (key->type == MIKEY_TGK_SALT || key->type == MIKEY_TEK_SALT || key->type == MIKEY_GTGK_SALT)
        mikey_put_len16(b, key->salt);
    if (key->kv == MIKEY_KV_SPI)
        put_len8(b, key->spi);
    if (key->kv == MIKEY_KV_INTERVAL) {
        put_len8(b, key->valid_from);
        put_len8(b, key->valid_to);
    }
}

size_t mikey_put_v(struct mikey_writer *w, uint8_t alg)
{
    struct tbs_buf *b = begin(w, MIKEY_V);
    int len = mikey_mac_len(alg);

    tbs_put_u8(b, alg);
    size_t at = b->len;

    if (len < 0)
        b->failed = true;
    else
        tbs_put_zeros(b, (size_t)len);
    return at;
}

void mikey_put_tp(struct mikey_writer *w, struct tbs_bytes core)
{
    tbs_put_bytes(begin(w, MIKEY_TP), core);
}

void mikey_put_ticket(struct mikey_writer *w, struct tbs_bytes core,
                      struct tbs_bytes initiator_data)
{
    struct tbs_buf *b = begin(w, MIKEY_TICKET);

    tbs_put_bytes(b, core);
    mikey_put_len16(b, initiator_data);
}

void mikey_put_cert(struct mikey_writer *w, uint8_t cert_type, struct tbs_bytes cert)
{
    struct tbs_buf *b = begin(w, MIKEY_CERT);

    tbs_put_u8(b, cert_type);
    mikey_put_len16(b, cert);
}

void mikey_put_chash(struct mikey_writer *w, uint8_t func, struct tbs_bytes hash)
{
    struct tbs_buf *b = begin(w, MIKEY_CHASH);

    tbs_put_u8(b, func);
    tbs_put_bytes(b, hash);
}

void mikey_put_pke(struct mikey_writer *w, uint8_t cache, struct tbs_bytes data)
{
    struct tbs_buf *b = begin(w, MIKEY_PKE);

    if (data.len > 0x3FFF)
        b->failed = true;
    tbs_put_u16(b, (uint16_t)(cache << 14 | (data.len & 0x3FFF)));
    tbs_put_bytes(b, data);
}

void mikey_put_general_ext(struct mikey_writer *w, uint8_t type, struct tbs_bytes data)
{
    struct tbs_buf *b = begin(w, MIKEY_GENERAL_EXT);

    tbs_put_u8(b, type);
    mikey_put_len16(b, data);
}

void mikey_put_sign(struct mikey_writer *w, uint8_t type, struct tbs_bytes signature)
{
    tbs_buf_patch_u8(w->buf, w->next_at, MIKEY_SIGN);
    if (signature.len > 0x0FFF)
        w->buf->failed = true;
    tbs_put_u16(w->buf, (uint16_t)(type << 12 | (signature.len & 0x0FFF)));
    tbs_put_bytes(w->buf, signature);
}

void mikey_put_ticket_policy(struct tbs_buf *buf, uint16_t type, uint8_t subtype, uint8_t version,
                             uint8_t prf, uint16_t flags, struct tbs_bytes tp_data)
{
    tbs_put_u16(buf, type);
    tbs_put_u8(buf, subtype);
    tbs_put_u8(buf, version);
    /* PRF Func is 7 bits and D the eighth; flags holds D..O from bit 15 to bit 4. */
    tbs_put_u8(buf, (uint8_t)(prf << 1 | flags >> 15));
    tbs_put_u16(buf, (uint16_t)(flags << 1));
    mikey_put_len16(buf, tp_data);
}

enum tbs_err mikey_written(const struct tbs_buf *buf, struct tbs_diag *diag)
{
    if (buf->failed || buf->len > MIKEY_MESSAGE_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT,
                        "the MIKEY message would be longer than its fields or %d octets allow",
                        MIKEY_MESSAGE_MAX);
    return TBS_OK;
}
