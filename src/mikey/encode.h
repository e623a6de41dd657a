/* Writing MIKEY messages. Each put sets the Next Payload octet of the payload before it, so
 * that the order of calls is the order on the wire. Errors are sticky in the buffer
 * (tbs_buf.failed): check once at the end with mikey_written. RFC 3830 6, RFC 6043 6.
 * A writer belongs to one thread. */
#ifndef TBS_MIKEY_ENCODE_H
#define TBS_MIKEY_ENCODE_H

#include "mikey/message.h"

struct mikey_writer {
    struct tbs_buf *buf;
    size_t next_at; /* where the next payload's type goes */
    bool named;     /* false right at the start of Ticket Data: THDR has no type */
};

/* A message: HDR with version, data type, V, PRF, CSB ID, #CS, map type and info. */
struct mikey_writer mikey_write_message(struct tbs_buf *buf, const struct mikey_hdr *hdr);
/* TP Data, Initiator Data: a first-payload octet. */
struct mikey_writer mikey_write_chain(struct tbs_buf *buf);
/* Ticket Data: THDR with THDR Data. */
struct mikey_writer mikey_write_ticket_data(struct tbs_buf *buf, struct tbs_bytes thdr);
/* Key data sub-payloads of a KEMAC: the first needs no naming. */
struct mikey_writer mikey_write_keys(struct tbs_buf *buf);

/* One GENERIC-ID entry, appended to a buffer that becomes hdr.map_info. */
void mikey_put_cs(struct tbs_buf *map_info, const struct mikey_cs *cs);

void mikey_put_t(struct mikey_writer *w, uint64_t ntp_utc); /* TS type NTP-UTC */
void mikey_put_tr(struct mikey_writer *w, uint8_t role, uint8_t ts_type, uint64_t value);
void mikey_put_rand(struct mikey_writer *w, struct tbs_bytes rand);
void mikey_put_randr(struct mikey_writer *w, uint8_t role, struct tbs_bytes rand);
void mikey_put_idr(struct mikey_writer *w, uint8_t role, uint8_t id_type, struct tbs_bytes data);
void mikey_put_sp(struct mikey_writer *w, uint8_t policy_no, uint8_t prot, struct tbs_bytes params);
/* MAC alg NULL, as every KEMAC of MIKEY-TICKET. */
void mikey_put_kemac(struct mikey_writer *w, uint8_t encr, struct tbs_bytes data);
void mikey_put_err(struct mikey_writer *w, uint8_t no);
/* Key data; salt is written for the +SALT types, spi or interval as key->kv says. */
void mikey_put_key(struct mikey_writer *w, const struct mikey_key *key);
/* V with a MAC of zeros; returns the offset of the MAC in the buffer. */
size_t mikey_put_v(struct mikey_writer *w, uint8_t alg);
/* TP from Ticket Type to TP Data as `core`; TICKET from Ticket Type to Ticket Data as `core`
 * and Initiator Data. */
void mikey_put_tp(struct mikey_writer *w, struct tbs_bytes core);
void mikey_put_ticket(struct mikey_writer *w, struct tbs_bytes core,
                      struct tbs_bytes initiator_data);
/* Payloads that the other exchanges and RFC 3830 use. */
void mikey_put_cert(struct mikey_writer *w, uint8_t cert_type, struct tbs_bytes cert);
void mikey_put_chash(struct mikey_writer *w, uint8_t func, struct tbs_bytes hash);
void mikey_put_pke(struct mikey_writer *w, uint8_t cache, struct tbs_bytes data);
void mikey_put_general_ext(struct mikey_writer *w, uint8_t type, struct tbs_bytes data);
/* Always the last payload. */
void mikey_put_sign(struct mikey_writer *w, uint8_t type, struct tbs_bytes signature);

/* Ticket Type to TP Data: what mikey_put_tp takes, and how a TICKET's core begins. */
void mikey_put_ticket_policy(struct tbs_buf *buf, uint16_t type, uint8_t subtype, uint8_t version,
                             uint8_t prf, uint16_t flags, struct tbs_bytes tp_data);
/* A length of 16 bits and that many octets; too many set failed. */
void mikey_put_len16(struct tbs_buf *buf, struct tbs_bytes data);

/* TBS_ERR_LIMIT when the buffer failed: a field or the message was too long. */
enum tbs_err mikey_written(const struct tbs_buf *buf, struct tbs_diag *diag);

#endif
