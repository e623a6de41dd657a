#include "tests/soak/mutate.h"

#include <string.h>

#include "base/secret.h"
#include "mikey/message.h"

#define CHANGES_MAX 4
#define PART_MAX 64 /* octets of one change, most of the time */
#define HDR_LEN 10

void mutate_splice(struct tbs_buf *octets, size_t at, size_t cut, struct tbs_bytes put)
{
    struct tbs_buf out = tbs_buf();
    struct tbs_bytes in = tbs_buf_view(octets);

    tbs_put_bytes(&out, tbs_bytes_slice(in, 0, at));
    tbs_put_bytes(&out, put);
    tbs_put_bytes(&out, tbs_bytes_slice(in, at + cut, in.len - at - cut));
    tbs_buf_free(octets);
    *octets = out;
}

/* --- Octets --- */

/* Where formats tend to break is likelier than the rest. */
static uint8_t telling_octet(struct prng *prng)
{
    static const uint8_t telling[] = {0, 1, 0x7F, 0x80, 0xFE, 0xFF};
    size_t i = prng_below(prng, 2 * sizeof telling);

    return i < sizeof telling ? telling[i] : (uint8_t)prng_next(prng);
}

/* One change in 64 is a large one, and half of those go nearly to the limit. */
static size_t part_len(struct prng *prng, size_t max)
{
    size_t draw = prng_below(prng, 128), most = draw < 2 ? max : PART_MAX;

    if (draw == 0 && max > PART_MAX)
        return max - prng_below(prng, PART_MAX);
    return 1 + prng_below(prng, most < max ? most : max);
}

static void flip_bits(struct prng *prng, struct tbs_buf *octets)
{
    for (size_t n = 1 + prng_below(prng, 8); n > 0 && octets->len > 0; n--)
        octets->data[prng_below(prng, octets->len)] ^= (uint8_t)(1 << prng_below(prng, 8));
}

static void set_octet(struct prng *prng, struct tbs_buf *octets)
{
    if (octets->len > 0)
        octets->data[prng_below(prng, octets->len)] = telling_octet(prng);
}

static void cut_off(struct prng *prng, struct tbs_buf *octets)
{
    octets->len = prng_below(prng, octets->len);
}

static void put_random(struct prng *prng, struct tbs_buf *out, size_t n)
{
    while (n-- > 0)
        tbs_put_u8(out, (uint8_t)prng_next(prng));
}

static void insert(struct prng *prng, struct tbs_buf *octets)
{
    struct tbs_buf put TBS_BUF_AUTO = tbs_buf();

    put_random(prng, &put, part_len(prng, MIKEY_MESSAGE_MAX));
    mutate_splice(octets, prng_below(prng, octets->len + 1), 0, tbs_buf_view(&put));
}

static void drop(struct prng *prng, struct tbs_buf *octets)
{
    size_t at = prng_below(prng, octets->len), left = octets->len - at;

    if (left > 0)
        mutate_splice(octets, at, part_len(prng, left), tbs_bytes(NULL, 0));
}

static void repeat(struct prng *prng, struct tbs_buf *octets)
{
    size_t at = prng_below(prng, octets->len), left = octets->len - at;

    if (left > 0)
        mutate_splice(octets, prng_below(prng, octets->len + 1), 0,
                      tbs_bytes_slice(tbs_buf_view(octets), at, part_len(prng, left)));
}

/* --- MIKEY --- */

/* The chain of a message's payloads, or that of its TP Data. */
struct chain {
    size_t first_at;  /* octet that names the first payload */
    size_t begins_at; /* first octet of the first payload */
    size_t length_at; /* of TP Data; 0: not in one */
    struct mikey_payloads list;
};

#define TP_LENGTH_AT 8 /* in the payload */
#define TP_DATA_AT 10

static bool find_chain(struct prng *prng, const struct tbs_buf *message, struct chain *ret)
{
    struct mikey_message m;

    if (mikey_decode(tbs_buf_view(message), &m, NULL) || m.payloads.n == 0)
        return false;
    const struct mikey_payload *tp = mikey_find(&m.payloads, MIKEY_TP, 0);

    if (!tp)
        tp = mikey_find(&m.payloads, MIKEY_TICKET, 0);
    *ret = (struct chain){2, m.payloads.p[0].offset, 0, m.payloads};
    if (tp && prng_below(prng, 2) == 0) {
        size_t at = tp->offset + TP_DATA_AT;

        *ret = (struct chain){at, at + 1, tp->offset + TP_LENGTH_AT, {0}};
        return mikey_decode_chain(tp->ticket.tp_data, at, &ret->list, NULL) == TBS_OK &&
               ret->list.n > 0;
    }
    return true;
}

static unsigned get_length(const struct tbs_buf *message, size_t at, unsigned width)
{
    return width == 1 ? message->data[at] : message->data[at] * 256u + message->data[at + 1];
}

static void set_length(struct tbs_buf *message, size_t at, unsigned width, unsigned value)
{
    if (width == 2)
        message->data[at++] = (uint8_t)(value >> 8);
    message->data[at] = (uint8_t)value;
}

/* Where payloads have the length of their first field of variable length. */
static const struct length {
    uint16_t type;
    uint8_t at, width;
} lengths[] = {
    {MIKEY_KEMAC, 2, 2}, {MIKEY_TP, TP_LENGTH_AT, 2}, {MIKEY_TICKET, TP_LENGTH_AT, 2},
    {MIKEY_IDR, 3, 2},   {MIKEY_RANDR, 2, 1},         {MIKEY_SP, 3, 2},
};

/* A payload of the chain that has one; NULL when the drawn one has none. */
static const struct mikey_payload *draw_payload(struct prng *prng, const struct chain *chain,
                                                struct length *ret_length)
{
    const struct mikey_payload *p = &chain->list.p[prng_below(prng, chain->list.n)];

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        if (lengths[i].type == p->type) {
            *ret_length = lengths[i];
            return p;
        }
    return NULL;
}

static void change_length(struct prng *prng, struct tbs_buf *message)
{
    struct chain chain;
    struct length length;

    if (!find_chain(prng, message, &chain))
        return;
    const struct mikey_payload *p = draw_payload(prng, &chain, &length);

    if (!p)
        return;
    unsigned was = get_length(message, p->offset + length.at, length.width);
    const unsigned values[] = {
        0, 1, was - 1, was + 1, was * 2, UINT16_MAX, (unsigned)prng_next(prng)};

    set_length(message, p->offset + length.at, length.width,
               values[prng_below(prng, sizeof values / sizeof *values)]);
}

/* A longer or shorter field, with all lengths right. */
static void resize(struct prng *prng, struct tbs_buf *message)
{
    struct tbs_buf put TBS_BUF_AUTO = tbs_buf();
    struct chain chain;
    struct length length;

    if (!find_chain(prng, message, &chain))
        return;
    const struct mikey_payload *p = draw_payload(prng, &chain, &length);

    if (!p || p->type == MIKEY_TP || p->type == MIKEY_TICKET)
        return;
    size_t at = p->offset + length.at, cut = 0;
    unsigned was = get_length(message, at, length.width);
    unsigned longest = length.width == 1 ? UINT8_MAX : 65000;

    if (was >= longest || prng_below(prng, 2) == 0)
        cut = prng_below(prng, 2) == 0 ? was : prng_below(prng, was);
    else
        put_random(prng, &put, part_len(prng, longest - was));
    unsigned change = (unsigned)(put.len - cut);

    set_length(message, at, length.width, was + change);
    if (chain.length_at)
        set_length(message, chain.length_at, 2, get_length(message, chain.length_at, 2) + change);
    mutate_splice(message, at + length.width, cut, tbs_buf_view(&put));
}

static size_t reorder(struct prng *prng, const struct mikey_payloads *list,
                      const struct mikey_payload *ret_order[MIKEY_PAYLOADS_MAX + 1])
{
    size_t n = list->n, a = prng_below(prng, n), b = prng_below(prng, n);

    for (size_t i = 0; i < n; i++)
        ret_order[i] = &list->p[i];
    switch (prng_below(prng, 3)) {
    case 0:
        ret_order[a] = &list->p[b];
        ret_order[b] = &list->p[a];
        return n;
    case 1: /* drop */
        memmove(&ret_order[a], &ret_order[a + 1], (n - a - 1) * sizeof *ret_order);
        return n - 1;
    default: /* repeat */
        memmove(&ret_order[b + 1], &ret_order[b], (n - b) * sizeof *ret_order);
        ret_order[b] = &list->p[a];
        return n + 1;
    }
}

/* Payloads in another order, with right Next Payloads and length. SIGN has no Next Payload. */
static void rearrange(struct prng *prng, struct tbs_buf *message)
{
    const struct mikey_payload *order[MIKEY_PAYLOADS_MAX + 1];
    struct tbs_buf put TBS_BUF_AUTO = tbs_buf();
    struct chain chain;

    if (!find_chain(prng, message, &chain) || mikey_find(&chain.list, MIKEY_SIGN, 0))
        return;
    size_t n = reorder(prng, &chain.list, order), was = 0;

    for (size_t i = 0; i < n; i++) {
        tbs_put_u8(&put, i + 1 < n ? (uint8_t)order[i + 1]->type : MIKEY_LAST);
        tbs_put_bytes(&put, tbs_bytes_slice(order[i]->whole, 1, order[i]->whole.len - 1));
    }
    for (size_t i = 0; i < chain.list.n; i++)
        was += chain.list.p[i].whole.len;
    message->data[chain.first_at] = n > 0 ? (uint8_t)order[0]->type : MIKEY_LAST;
    if (chain.length_at)
        set_length(message, chain.length_at, 2, (unsigned)(1 + put.len));
    mutate_splice(message, chain.begins_at, was, tbs_buf_view(&put));
}

static void change_header(struct prng *prng, struct tbs_buf *message)
{
    size_t len = message->len < HDR_LEN ? message->len : HDR_LEN;

    if (len > 0)
        message->data[prng_below(prng, len)] = telling_octet(prng);
}

/* --- */

typedef void (*change)(struct prng *prng, struct tbs_buf *octets);

/* The first ones need no format. */
#define OCTET_CHANGES 6
static const change changes[] = {flip_bits, set_octet,     cut_off,  insert,    drop,
                                 repeat,    change_length, resize,   rearrange, change_header,
                                 resize,    rearrange,     rearrange};

static void mutate(struct prng *prng, struct tbs_buf *octets, size_t n_changes)
{
    for (size_t n = 1 + prng_below(prng, CHANGES_MAX); n > 0; n--)
        changes[prng_below(prng, n_changes)](prng, octets);
}

void mutate_octets(struct prng *prng, struct tbs_buf *octets)
{
    mutate(prng, octets, OCTET_CHANGES);
}

void mutate_message(struct prng *prng, struct tbs_buf *message)
{
    mutate(prng, message, sizeof changes / sizeof *changes);
}

void mutate_noise(struct prng *prng, struct tbs_buf *ret_message)
{
    static const uint8_t types[] = {MIKEY_REQUEST_INIT_PSK, MIKEY_RESOLVE_INIT_PSK};

    if (prng_below(prng, 2) == 0) {
        tbs_put_u8(ret_message, MIKEY_VERSION);
        tbs_put_u8(ret_message, types[prng_below(prng, sizeof types)]);
        tbs_put_u8(ret_message, (uint8_t)prng_below(prng, MIKEY_GENERAL_EXT + 1));
        tbs_put_u8(ret_message, (uint8_t)prng_below(prng, 2));
        put_random(prng, ret_message, 4);
        tbs_put_u16(ret_message, MIKEY_MAP_EMPTY);
    }
    put_random(prng, ret_message, prng_below(prng, 8 * PART_MAX));
}
