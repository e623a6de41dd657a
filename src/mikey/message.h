/* MIKEY messages, decoded: views into the caller's octets, nothing is copied or allocated.
 * RFC 3830 6, RFC 4563 3, RFC 6043 6. Stateless; thread-safe.
 *
 * Decoding never reads past a length; errors are TBS_ERR_MALFORMED and name the payload and
 * its offset. Known payloads that a message does not expect are simply not looked for; an
 * unknown payload type has no length that could be skipped and is malformed. */
#ifndef TBS_MIKEY_MESSAGE_H
#define TBS_MIKEY_MESSAGE_H

#include "base/bytes.h"
#include "base/error.h"

#define MIKEY_VERSION 1
#define MIKEY_MESSAGE_MAX 65536 /* octets of a message, body limit of the transport */
#define MIKEY_PAYLOADS_MAX 48   /* payloads in one chain */
#define MIKEY_KEYS_MAX 32       /* Key data sub-payloads in one KEMAC */

enum mikey_data_type {
    MIKEY_ERROR = 6,
    MIKEY_REQUEST_INIT_PSK = 11,
    MIKEY_REQUEST_INIT_PK = 12,
    MIKEY_REQUEST_RESP = 13,
    MIKEY_TRANSFER_INIT = 14,
    MIKEY_TRANSFER_RESP = 15,
    MIKEY_RESOLVE_INIT_PSK = 16,
    MIKEY_RESOLVE_INIT_PK = 17,
    MIKEY_RESOLVE_RESP = 18,
};

enum mikey_payload_type {
    MIKEY_LAST = 0,
    MIKEY_KEMAC = 1,
    MIKEY_PKE = 2,
    MIKEY_DH = 3,
    MIKEY_SIGN = 4,
    MIKEY_T = 5,
    MIKEY_ID = 6,
    MIKEY_CERT = 7,
    MIKEY_CHASH = 8,
    MIKEY_V = 9,
    MIKEY_SP = 10,
    MIKEY_RAND = 11,
    MIKEY_ERR = 12,
    MIKEY_TR = 13,
    MIKEY_IDR = 14,
    MIKEY_RANDR = 15,
    MIKEY_TP = 16,
    MIKEY_TICKET = 17,
    MIKEY_KEY_DATA = 20,
    MIKEY_GENERAL_EXT = 21,
    MIKEY_THDR = 256, /* has no number on the wire: Ticket Data begins with it */
};

enum mikey_map_type { MIKEY_MAP_SRTP_ID = 0, MIKEY_MAP_EMPTY = 1, MIKEY_MAP_GENERIC_ID = 2 };

enum mikey_ts_type {
    MIKEY_TS_NTP_UTC = 0,
    MIKEY_TS_NTP = 1,
    MIKEY_TS_COUNTER = 2,
    MIKEY_TS_NTP_UTC_32 = 3,
};

enum mikey_ts_role { MIKEY_TRI = 1, MIKEY_TRS = 2, MIKEY_TRE = 3, MIKEY_TRR = 4 };

enum mikey_id_type { MIKEY_ID_NAI = 0, MIKEY_ID_URI = 1, MIKEY_ID_BYTE_STRING = 2 };

enum mikey_id_role {
    MIKEY_IDRI = 1,
    MIKEY_IDRR = 2,
    MIKEY_IDRKMS = 3,
    MIKEY_IDRPSK = 4,
    MIKEY_IDRAPP = 5,
};

enum mikey_rand_role { MIKEY_RANDRI = 1, MIKEY_RANDRR = 2, MIKEY_RANDRKMS = 3 };

/* Prot type, RFC 3830 6.10. From 241 on numbers are for private use (RFC 3830 10). */
enum mikey_prot { MIKEY_PROT_SRTP = 0, MIKEY_PROT_TLS = 241, MIKEY_PROT_CMS = 242 };

enum mikey_ext_type { MIKEY_EXT_SDP_IDS = 1 }; /* RFC 3830 6.15 */

enum mikey_key_type {
    MIKEY_TGK = 0,
    MIKEY_TGK_SALT = 1,
    MIKEY_TEK = 2,
    MIKEY_TEK_SALT = 3,
    MIKEY_GTGK = 4,
    MIKEY_GTGK_SALT = 5,
    MIKEY_MPK = 6,
};

enum mikey_kv { MIKEY_KV_NULL = 0, MIKEY_KV_SPI = 1, MIKEY_KV_INTERVAL = 2 };

/* Error no, RFC 3830 6.12 and RFC 6043 6.9. */
enum mikey_error_no {
    MIKEY_E_AUTH_FAILURE = 0,
    MIKEY_E_INVALID_TS = 1,
    MIKEY_E_INVALID_PRF = 2,
    MIKEY_E_INVALID_MAC = 3,
    MIKEY_E_INVALID_EA = 4,
    MIKEY_E_INVALID_HA = 5,
    MIKEY_E_INVALID_DH = 6,
    MIKEY_E_INVALID_ID = 7,
    MIKEY_E_INVALID_CERT = 8,
    MIKEY_E_INVALID_SP = 9,
    MIKEY_E_INVALID_SPPAR = 10,
    MIKEY_E_INVALID_DT = 11,
    MIKEY_E_UNSPECIFIED = 12,
    MIKEY_E_INVALID_TICKET = 14,
    MIKEY_E_INVALID_TPPAR = 15,
};

struct mikey_hdr {
    uint8_t version, data_type, next;
    bool v;
    uint8_t prf;
    uint32_t csb_id;
    uint8_t n_cs, map_type;
    struct tbs_bytes map_info;
};

/* One crypto session of a GENERIC-ID map, RFC 6043 6.1.1. */
struct mikey_cs {
    uint8_t id, prot;
    bool s;
    struct tbs_bytes policies, session_data, spi;
};

struct mikey_payload {
    uint16_t type; /* enum mikey_payload_type */
    uint8_t next;
    size_t offset;          /* in the outermost octets given to the decoder */
    struct tbs_bytes whole; /* with its Next Payload octet */
    union {
        struct {
            uint8_t encr, mac_alg;
            struct tbs_bytes data, mac;
        } kemac;
        struct {
            uint8_t cache;
            struct tbs_bytes data;
        } pke;
        struct {
            uint8_t group, kv;
            struct tbs_bytes value;
        } dh;
        struct {
            uint8_t type;
            struct tbs_bytes signature;
        } sign;
        struct {
            uint8_t role; /* 0 in T */
            uint8_t ts_type;
            uint64_t value; /* of 64 or 32 bits as ts_type says */
        } t;                /* T, TR */
        struct {
            uint8_t role; /* 0 in ID */
            uint8_t id_type;
            struct tbs_bytes data;
        } id; /* ID, IDR; CERT with id_type = Cert type */
        struct {
            uint8_t alg;
            struct tbs_bytes mac;
        } v;
        struct {
            uint8_t func;
            struct tbs_bytes hash;
        } chash;
        struct {
            uint8_t policy_no, prot;
            struct tbs_bytes params; /* type, length, value each of 1, 1, length octets */
        } sp;
        struct {
            uint8_t role; /* 0 in RAND */
            struct tbs_bytes data;
        } rand; /* RAND, RANDR */
        struct {
            uint8_t no;
        } err;
        struct {
            uint16_t type;
            uint8_t subtype, version, prf;
            uint16_t flags; /* D is bit 15, O is bit 4; below is Res */
            struct tbs_bytes tp_data;
            struct tbs_bytes ticket_data;    /* empty in TP */
            struct tbs_bytes initiator_data; /* empty in TP */
            struct tbs_bytes core;           /* Ticket Type through Ticket Data */
        } ticket;                            /* TP, TICKET */
        struct tbs_bytes thdr;
        struct {
            uint8_t type;
            struct tbs_bytes data;
        } ext;
    };
};

struct mikey_payloads {
    size_t n;
    struct mikey_payload p[MIKEY_PAYLOADS_MAX];
};

struct mikey_message {
    struct tbs_bytes raw;
    struct mikey_hdr hdr;
    struct mikey_payloads payloads;
};

/* Key data sub-payload, RFC 3830 6.13. The views hold key material: they point into a
 * secret of the caller's. */
struct mikey_key {
    uint8_t type, kv;
    struct tbs_bytes key, salt;
    struct tbs_bytes spi;                  /* KV type 1 */
    struct tbs_bytes valid_from, valid_to; /* KV type 2 */
};

/* Decodes a whole message. The output is large (about 6 KiB). On failure it says how far that
 * came: `hdr` is all zeros unless ten octets of version 1 were there, which is what an Error
 * message answers to (RFC 6043 5.4); `payloads` are those before the one that is wrong. */
enum tbs_err mikey_decode(struct tbs_bytes raw, struct mikey_message *ret_message,
                          struct tbs_diag *diag);
/* TP Data and Initiator Data: the first octet names the first payload (RFC 6043 6.10). An
 * empty view gives no payloads. base is the offset of `chain` for error sentences. */
enum tbs_err mikey_decode_chain(struct tbs_bytes chain, size_t base,
                                struct mikey_payloads *ret_payloads, struct tbs_diag *diag);
/* Ticket Data of the MIKEY Base Ticket: begins with THDR (RFC 6043 A.1). */
enum tbs_err mikey_decode_ticket_data(struct tbs_bytes data, size_t base,
                                      struct mikey_payloads *ret_payloads, struct tbs_diag *diag);
/* Key data of a decrypted KEMAC: at least one, at most MIKEY_KEYS_MAX. */
enum tbs_err mikey_decode_keys(struct tbs_bytes data, struct mikey_key ret_keys[MIKEY_KEYS_MAX],
                               size_t *ret_n, struct tbs_diag *diag);

/* The first payload of this type, and of this role where the type has one (0: any). NULL
 * when absent. */
const struct mikey_payload *mikey_find(const struct mikey_payloads *payloads, uint16_t type,
                                       uint8_t role);
/* ID Data of an IDR, octets of a RANDR; an empty view when absent. */
struct tbs_bytes mikey_id_data(const struct mikey_payloads *payloads, uint8_t role);
struct tbs_bytes mikey_rand_data(const struct mikey_payloads *payloads, uint8_t role);

/* Reads one crypto session of a map that mikey_decode accepted. */
struct mikey_cs mikey_next_cs(struct tbs_reader *map_info);

/* A T or TR value as 64 bits: COUNTER with leading zeros, NTP-UTC-32 with zero fraction
 * (RFC 6043 6.3). */
uint64_t mikey_ts64(const struct mikey_payload *t);

/* Octets of the MAC that Auth alg makes; -1 when unknown. */
int mikey_mac_len(uint8_t alg);

/* Names of the RFCs, for people; never NULL. */
const char *mikey_data_type_name(uint8_t type);
const char *mikey_payload_name(uint16_t type);
const char *mikey_error_name(uint8_t no);
const char *mikey_key_type_name(uint8_t type);

#endif
