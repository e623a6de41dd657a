#include "tree.h"

#include "mikey/message.h"
#include "payloads.h"

/* One crypto session of an SRTP-ID map, RFC 3830 6.1.1. */
static void write_srtp_id(struct scribe *s)
{
    scribe_number(s, "Policy_no", 1, NULL);
    scribe_octets(s, "SSRC", 4, SHOW_HEX);
    scribe_number(s, "ROC", 4, NULL);
}

static void write_policies(struct scribe *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        scribe_number(s, "Policy_no", 1, NULL);
}

static void write_srtp_session(struct scribe *s, bool roc_seq)
{
    scribe_octets(s, "SSRC", 4, SHOW_HEX);
    if (roc_seq) {
        scribe_number(s, "ROC", 4, NULL);
        scribe_number(s, "SEQ", 2, NULL);
    }
}

/* One crypto session of a GENERIC-ID map, RFC 6043 6.1.1. */
static void write_generic_id(struct scribe *s, const struct mikey_cs *cs)
{
    scribe_number(s, "CS ID", 1, NULL);
    scribe_number(s, "Prot type", 1, name_prot);
    scribe_bits(s, "S", 1, cs->s, cs->s ? "ROC and SEQ are given" : "no ROC and SEQ");
    scribe_bits(s, "#P", 7, cs->policies.len, NULL);
    tbs_read_u8(&s->r);
    write_policies(s, cs->policies.len);
    scribe_number(s, "Session Data Length", 2, NULL);
    if (cs->prot == MIKEY_PROT_SRTP && cs->session_data.len == (cs->s ? 10 : 4))
        write_srtp_session(s, cs->s);
    else
        scribe_octets(s, "Session Data", cs->session_data.len, SHOW_HEX);
    scribe_number(s, "SPI Length", 1, NULL);
    scribe_octets(s, "SPI", cs->spi.len, SHOW_HEX);
}

static void write_map(struct scribe *s, uint64_t map_type, uint64_t n_cs)
{
    for (uint64_t i = 0; i < n_cs; i++) {
        struct tbs_reader ahead = s->r;
        struct mikey_cs cs = {0};
        char name[32];

        if (map_type == MIKEY_MAP_GENERIC_ID)
            cs = mikey_next_cs(&ahead);
        else
            tbs_read_bytes(&ahead, 9);
        if (ahead.failed)
            return;
        snprintf(name, sizeof name, "crypto session %d", (int)i + 1);
        struct scribe inside = scribe_group(s, name, ahead.pos - s->r.pos);

        if (map_type == MIKEY_MAP_GENERIC_ID)
            write_generic_id(&inside, &cs);
        else
            write_srtp_id(&inside);
        s->r = ahead;
    }
}

/* As far as the HDR reaches; returns where it ends. */
static size_t write_hdr(struct scribe *s)
{
    uint64_t n_cs, map_type;
    struct tbs_reader ahead;
    uint8_t v_prf;

    scribe_number(s, "version", 1, NULL);
    scribe_number(s, "data type", 1, name_data_type);
    scribe_number(s, "next payload", 1, name_next_payload);
    ahead = s->r;
    v_prf = tbs_read_u8(&ahead);
    scribe_bits(s, "V", 1, v_prf >> 7, v_prf >> 7 ? "response expected" : "no response expected");
    scribe_bits(s, "PRF func", 7, v_prf & 0x7F, name_prf(v_prf & 0x7F));
    s->r = ahead;
    scribe_octets(s, "CSB ID", 4, SHOW_HEX);
    n_cs = scribe_number(s, "#CS", 1, NULL);
    map_type = scribe_number(s, "CS ID map type", 1, name_map_type);
    if (!s->r.failed && (map_type == MIKEY_MAP_SRTP_ID || map_type == MIKEY_MAP_GENERIC_ID))
        write_map(s, map_type, n_cs);
    return s->r.pos;
}

static void trim(struct scribe *s, size_t len)
{
    if (json_integer_set(json_object_get(s->node, "length"), (json_int_t)len) != 0)
        *s->failed = true;
}

static void write_message(struct scribe *s, struct tbs_bytes raw)
{
    struct mikey_message message = {0};
    struct tbs_diag diag = {0};
    enum tbs_err err = mikey_decode(raw, &message, &diag);
    struct scribe hdr = scribe_group(s, "HDR", raw.len);
    size_t end = write_hdr(&hdr);

    scribe_say(&hdr, "meaning", "common header");
    scribe_say(&hdr, "rfc", "RFC 3830 6.1, RFC 6043 6.1");
    trim(&hdr, end);
    payloads_write(s, &message.payloads, true);
    if (err)
        scribe_error(s, payloads_end(&message.payloads, end), diag.text);
}

json_t *tree_of_message(struct tbs_bytes raw)
{
    bool failed = false;
    json_t *root = json_pack("{s:s, s:i, s:I}", "name", "MIKEY message", "offset", 0, "length",
                             (json_int_t)raw.len);
    struct scribe s = {.r = tbs_reader(raw), .node = root, .failed = &failed};

    if (!root)
        return NULL;
    if (raw.len >= 2)
        scribe_say(&s, "value", mikey_data_type_name(raw.data[1]));
    write_message(&s, raw);
    if (failed) {
        json_decref(root);
        return NULL;
    }
    return root;
}

bool tree_is_broken(const json_t *tree)
{
    const json_t *fields = json_object_get(tree, "fields");

    if (json_object_get(tree, "error"))
        return true;
    for (size_t i = 0; i < json_array_size(fields); i++)
        if (tree_is_broken(json_array_get(fields, i)))
            return true;
    return false;
}
