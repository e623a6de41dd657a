#include "payloads.h"

#include <stdio.h>
#include <stdlib.h>

#include "mikey/protect.h"
#include "text.h"
#include "ticket/policy.h"

static uint64_t read_u(struct tbs_reader *r, size_t len)
{
    return len == 8 ? tbs_read_u64(r) : len == 4 ? tbs_read_u32(r) : tbs_read_u16(r);
}

/* A length of `len_octets` and that many octets, RFC 3830 6. */
static void write_counted(struct scribe *s, const char *len_name, size_t len_octets,
                          const char *name, enum show show)
{
    size_t len = (size_t)scribe_number(s, len_name, len_octets, NULL);

    scribe_octets(s, name, len, show);
}

static void write_time(struct scribe *s, const struct mikey_payload *p)
{
    size_t len = p->t.ts_type == MIKEY_TS_NTP_UTC || p->t.ts_type == MIKEY_TS_NTP ? 8 : 4;
    char value[32], meaning[TEXT_TIME_MAX];

    scribe_number(s, "TS Type", 1, name_ts_type);
    read_u(&s->r, len);
    if (p->t.ts_type == MIKEY_TS_COUNTER || p->t.role == MIKEY_TRR) {
        uint64_t n = p->t.ts_type == MIKEY_TS_COUNTER ? p->t.value : mikey_ts64(p) >> 32;

        snprintf(value, sizeof value, "%llu", (unsigned long long)n);
        scribe_text(s, "TS Value", len, value, p->t.role == MIKEY_TRR ? "seconds" : "counter");
        return;
    }
    snprintf(value, sizeof value, "%0*llx", (int)len * 2, (unsigned long long)p->t.value);
    text_time(mikey_ts64(p), meaning);
    scribe_text(s, "TS Value", len, value, meaning);
}

static void write_identity(struct scribe *s, const struct mikey_payload *p)
{
    scribe_number(s, "ID Type", 1, name_id_type);
    write_counted(s, "ID len", 2, "ID Data",
                  p->id.id_type == MIKEY_ID_BYTE_STRING ? SHOW_EITHER : SHOW_TEXT);
}

static void write_cert(struct scribe *s, const struct mikey_payload *p)
{
    scribe_number(s, "Cert Type", 1, name_cert_type);
    write_counted(s, "Cert len", 2, "Certificate Data",
                  p->id.id_type == 1 ? SHOW_TEXT : SHOW_SHORT);
}

/* RFC 3830 6.14. */
static void write_kv_data(struct scribe *s, uint8_t kv)
{
    if (kv == MIKEY_KV_SPI)
        write_counted(s, "SPI Length", 1, "SPI", SHOW_HEX);
    if (kv == MIKEY_KV_INTERVAL) {
        write_counted(s, "VF Length", 1, "Valid From", SHOW_HEX);
        write_counted(s, "VT Length", 1, "Valid To", SHOW_HEX);
    }
}

static void write_dh(struct scribe *s, const struct mikey_payload *p)
{
    uint8_t kv = p->dh.kv;

    scribe_number(s, "DH-Group", 1, name_dh_group);
    scribe_octets(s, "DH-value", p->dh.value.len, SHOW_SHORT);
    scribe_bits(s, "KV", 4, kv, name_kv(kv));
    tbs_read_u8(&s->r);
    write_kv_data(s, kv);
}

static void write_pke(struct scribe *s, const struct mikey_payload *p)
{
    scribe_bits(s, "C", 2, p->pke.cache, name_cache(p->pke.cache));
    scribe_bits(s, "Data len", 14, p->pke.data.len, NULL);
    tbs_read_u16(&s->r);
    scribe_octets(s, "Data", p->pke.data.len, SHOW_SHORT);
}

static void write_sign(struct scribe *s, const struct mikey_payload *p)
{
    scribe_bits(s, "S type", 4, p->sign.type, name_signature(p->sign.type));
    scribe_bits(s, "Signature len", 12, p->sign.signature.len, NULL);
    tbs_read_u16(&s->r);
    scribe_octets(s, "Signature", p->sign.signature.len, SHOW_SHORT);
}

/* A parameter of an SRTP policy, RFC 3830 6.10.1: type, length and value as one field. */
static void write_srtp_param(struct scribe *s)
{
    uint8_t type = tbs_read_u8(&s->r);
    struct tbs_bytes octets = tbs_read_bytes(&s->r, tbs_read_u8(&s->r));
    char *hex = text_hex(octets), name[48], number[24];
    uint64_t value = 0;

    for (size_t i = 0; i < octets.len && i < 8; i++)
        value = value << 8 | octets.data[i];
    snprintf(name, sizeof name, "%s (%u)", name_srtp_param(type), type);
    snprintf(number, sizeof number, "%llu", (unsigned long long)value);
    if (octets.len >= 1 && octets.len <= 8)
        scribe_text(s, name, octets.len + 2, number, name_srtp_value(type, value));
    else
        scribe_text(s, name, octets.len + 2, hex ? hex : "", NULL);
    *s->failed |= !hex;
    free(hex);
}

static void write_sp(struct scribe *s, const struct mikey_payload *p)
{
    scribe_number(s, "Policy no", 1, NULL);
    scribe_number(s, "Prot type", 1, name_prot);
    scribe_number(s, "Policy param length", 2, NULL);
    if (p->sp.prot != MIKEY_PROT_SRTP)
        scribe_octets(s, "Policy param", p->sp.params.len, SHOW_HEX);
    while (tbs_reader_left(&s->r) > 0 && !s->r.failed)
        write_srtp_param(s);
}

/* Key data, RFC 3830 6.13: everything but the key and the salt. */
static void write_key(struct scribe *s, const struct mikey_key *key)
{
    bool salted =
        key->type == MIKEY_TGK_SALT || key->type == MIKEY_TEK_SALT || key->type == MIKEY_GTGK_SALT;

    scribe_say(s, "meaning", name_key_type(key->type));
    scribe_say(s, "rfc", name_payload(MIKEY_KEY_DATA).rfc);
    scribe_number(s, "next payload", 1, name_next_payload);
    scribe_bits(s, "Type", 4, key->type, name_key_type(key->type));
    scribe_bits(s, "KV", 4, key->kv, name_kv(key->kv));
    tbs_read_u8(&s->r);
    write_counted(s, "Key data len", 2, "Key data", SHOW_KEY);
    if (salted)
        write_counted(s, "Salt len", 2, "Salt data", SHOW_KEY);
    write_kv_data(s, key->kv);
}

/* Octets of a Key data sub-payload. */
static size_t key_len(const struct mikey_key *key)
{
    size_t len = 4 + key->key.len;

    if (key->type == MIKEY_TGK_SALT || key->type == MIKEY_TEK_SALT || key->type == MIKEY_GTGK_SALT)
        len += 2 + key->salt.len;
    if (key->kv == MIKEY_KV_SPI)
        len += 1 + key->spi.len;
    if (key->kv == MIKEY_KV_INTERVAL)
        len += 2 + key->valid_from.len + key->valid_to.len;
    return len;
}

static void write_keys(struct scribe *s, struct tbs_bytes data)
{
    struct mikey_key keys[MIKEY_KEYS_MAX];
    struct tbs_diag diag = {0};
    size_t n = 0;

    if (mikey_decode_keys(data, keys, &n, &diag)) {
        char sentence[sizeof diag.text + 48];

        snprintf(sentence, sizeof sentence, "counted from the start of Encr data: %s", diag.text);
        scribe_error(s, scribe_at(s), sentence);
    }
    for (size_t i = 0; i < n; i++) {
        size_t len = key_len(&keys[i]);
        struct scribe inside = scribe_group(s, "Key data", len);

        write_key(&inside, &keys[i]);
        tbs_read_bytes(&s->r, len);
    }
}

static void write_kemac(struct scribe *s, const struct mikey_payload *p)
{
    size_t len = p->kemac.data.len;

    scribe_number(s, "Encr alg", 1, name_encr);
    scribe_number(s, "Encr data len", 2, NULL);
    if (p->kemac.encr == MIKEY_ENCR_NULL && len > 0) {
        struct scribe inside = scribe_group(s, "Encr data", len);

        scribe_say(&inside, "meaning", "not encrypted");
        write_keys(&inside, p->kemac.data);
        tbs_read_bytes(&s->r, len);
    } else {
        scribe_octets(s, "Encr data", len, SHOW_ENCRYPTED);
    }
    scribe_number(s, "Mac alg", 1, name_mac);
    scribe_octets(s, "MAC", p->kemac.mac.len, SHOW_SHORT);
}

static void write_v(struct scribe *s, const struct mikey_payload *p)
{
    scribe_number(s, "Auth alg", 1, name_mac);
    scribe_octets(s, "Ver data", p->v.mac.len, SHOW_SHORT);
}

static void write_flags(struct scribe *s, uint16_t flags, unsigned res)
{
    for (unsigned i = 0; i < NAME_FLAGS; i++) {
        bool on = flags & TICKET_D >> i;

        if (i % 8 == 1) /* D is the last bit of PRF Func's octet; E begins the next, M another */
            tbs_read_u8(&s->r);
        scribe_bits(s, name_flags[i].letter, 1, on, on ? name_flags[i].set : name_flags[i].clear);
    }
    scribe_bits(s, "Res", 5, res, res ? "reserved, and not 0" : NULL);
    tbs_read_u8(&s->r);
}

/* TP Data, Initiator Data: first payload, then payloads. */
static void write_chain(struct scribe *s, struct tbs_bytes chain)
{
    struct mikey_payloads list = {0};
    struct tbs_diag diag = {0};
    size_t base = scribe_at(s);
    enum tbs_err err = mikey_decode_chain(chain, base, &list, &diag);

    scribe_number(s, "first payload", 1, name_next_payload);
    payloads_write(s, &list, false);
    if (err)
        scribe_error(s, payloads_end(&list, scribe_at(s)), diag.text);
}

/* Ticket Data of the MIKEY Base Ticket, RFC 6043 A.1. */
static void write_ticket_data(struct scribe *s, struct tbs_bytes data)
{
    struct mikey_payloads list = {0};
    struct tbs_diag diag = {0};
    size_t base = scribe_at(s);
    enum tbs_err err = mikey_decode_ticket_data(data, base, &list, &diag);

    scribe_say(s, "rfc", "RFC 6043 A.1");
    payloads_write(s, &list, false);
    if (err)
        scribe_error(s, payloads_end(&list, base), diag.text);
}

/* A length, and octets that `write` takes apart where `expand` says so. */
static void write_part(struct scribe *s, const char *len_name, const char *name, bool expand,
                       void (*write)(struct scribe *s, struct tbs_bytes octets))
{
    size_t len = (size_t)scribe_number(s, len_name, 2, NULL);
    struct scribe inside;

    if (!expand || len == 0) {
        scribe_octets(s, name, len, SHOW_LENGTH);
        return;
    }
    inside = scribe_group(s, name, len);
    write(&inside, inside.r.in);
    tbs_read_bytes(&s->r, len);
}

static void write_ticket(struct scribe *s, const struct mikey_payload *p, bool expand)
{
    bool base_ticket = p->ticket.type == TICKET_TYPE_MIKEY_BASE;
    unsigned res;

    scribe_number(s, "Ticket Type", 2, name_ticket_type);
    scribe_number(s, "Subtype", 1, NULL);
    scribe_number(s, "Version", 1, NULL);
    scribe_bits(s, "PRF Func", 7, p->ticket.prf, name_prf(p->ticket.prf));
    res = tbs_bytes_slice(s->r.in, s->r.pos + 2, 1).data[0] & 0x1F;
    write_flags(s, p->ticket.flags, res);
    write_part(s, "TP Data length", "TP Data", expand, write_chain);
    if (p->type == MIKEY_TP)
        return;
    write_part(s, "Ticket Data length", "Ticket Data", expand && base_ticket, write_ticket_data);
    write_part(s, "Initiator Data length", "Initiator Data", expand, write_chain);
}

static void write_fields(struct scribe *s, const struct mikey_payload *p, bool expand)
{
    switch (p->type) {
    case MIKEY_KEMAC:
        write_kemac(s, p);
        break;
    case MIKEY_PKE:
        write_pke(s, p);
        break;
    case MIKEY_DH:
        write_dh(s, p);
        break;
    case MIKEY_SIGN:
        write_sign(s, p);
        break;
    case MIKEY_TR:
        scribe_number(s, "TS Role", 1, name_ts_role);
        /* fall through */
    case MIKEY_T:
        write_time(s, p);
        break;
    case MIKEY_IDR:
        scribe_number(s, "ID Role", 1, name_id_role);
        /* fall through */
    case MIKEY_ID:
        write_identity(s, p);
        break;
    case MIKEY_CERT:
        write_cert(s, p);
        break;
    case MIKEY_CHASH:
        scribe_number(s, "Hash func", 1, name_hash);
        scribe_octets(s, "Hash", p->chash.hash.len, SHOW_HEX);
        break;
    case MIKEY_V:
        write_v(s, p);
        break;
    case MIKEY_SP:
        write_sp(s, p);
        break;
    case MIKEY_RANDR:
        scribe_number(s, "RAND Role", 1, name_rand_role);
        /* fall through */
    case MIKEY_RAND:
        write_counted(s, "RAND len", 1, "RAND", SHOW_HEX);
        break;
    case MIKEY_ERR:
        scribe_number(s, "Error no", 1, name_error);
        scribe_number(s, "Reserved", 2, NULL);
        break;
    case MIKEY_TP:
    case MIKEY_TICKET:
        write_ticket(s, p, expand);
        break;
    case MIKEY_THDR:
        write_counted(s, "THDR Data length", 2, "THDR Data", SHOW_HEX);
        break;
    case MIKEY_GENERAL_EXT:
        scribe_number(s, "Type", 1, name_extension);
        write_counted(s, "Length", 2, "Data", SHOW_EITHER);
        break;
    default:
        break;
    }
}

/* IDRi, TRs, RANDRkms and so on where the role has such a name, as the RFC writes them. */
static const char *role_name(const struct mikey_payload *p)
{
    static const char *const id[] = {"IDR", "IDRi", "IDRr", "IDRkms", "IDRpsk", "IDRapp"};
    static const char *const time[] = {"TR", "TRi", "TRs", "TRe", "TRr"};
    static const char *const rand[] = {"RANDR", "RANDRi", "RANDRr", "RANDRkms"};

    switch (p->type) {
    case MIKEY_IDR:
        return id[p->id.role <= MIKEY_IDRAPP ? p->id.role : 0];
    case MIKEY_TR:
        return time[p->t.role <= MIKEY_TRR ? p->t.role : 0];
    case MIKEY_RANDR:
        return rand[p->rand.role <= MIKEY_RANDRKMS ? p->rand.role : 0];
    default:
        return mikey_payload_name(p->type);
    }
}

void payload_write(struct scribe *s, const struct mikey_payload *p, bool expand)
{
    struct name_payload name = name_payload(p->type);

    s->r.pos = p->offset - s->base;
    struct scribe inside = scribe_group(s, role_name(p), p->whole.len);

    scribe_say(&inside, "meaning", name.words);
    scribe_say(&inside, "rfc", name.rfc);
    if (p->type != MIKEY_SIGN) /* always last, RFC 3830 6.5 */
        scribe_number(&inside, "next payload", 1, name_next_payload);
    write_fields(&inside, p, expand);
    tbs_read_bytes(&s->r, p->whole.len);
}

void payloads_write(struct scribe *s, const struct mikey_payloads *list, bool expand)
{
    for (size_t i = 0; i < list->n; i++)
        payload_write(s, &list->p[i], expand);
}

size_t payloads_end(const struct mikey_payloads *list, size_t start)
{
    const struct mikey_payload *last = list->n ? &list->p[list->n - 1] : NULL;

    return last ? last->offset + last->whole.len : start;
}
