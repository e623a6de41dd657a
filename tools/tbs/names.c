#include "names.h"

#include <stddef.h>

#include "mikey/message.h"

#define UNKNOWN "unknown"
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *pick(const char *const *names, size_t n, uint64_t value)
{
    return value < n && names[value] ? names[value] : UNKNOWN;
}

/* Defines a lookup whose names count from 0; NULL leaves a number out. */
#define NAMES(function, ...)                                                                       \
    const char *function(uint64_t value)                                                           \
    {                                                                                              \
        static const char *const names[] = {__VA_ARGS__};                                          \
                                                                                                   \
        return pick(names, COUNT(names), value);                                                   \
    }

NAMES(name_data_type, "PSK_INIT: pre-shared key message", "PSK_RESP: its verification message",
      "PK_INIT: public-key message", "PK_RESP: its verification message",
      "DH_INIT: Diffie-Hellman, initial message", "DH_RESP: Diffie-Hellman, response",
      "Error message", NULL, NULL, NULL, NULL,
      "REQUEST_INIT_PSK: Ticket Request, initial message (pre-shared key)",
      "REQUEST_INIT_PK: Ticket Request, initial message (public key)",
      "REQUEST_RESP: Ticket Request, response", "TRANSFER_INIT: Ticket Transfer, initial message",
      "TRANSFER_RESP: Ticket Transfer, response",
      "RESOLVE_INIT_PSK: Ticket Resolve, initial message (pre-shared key)",
      "RESOLVE_INIT_PK: Ticket Resolve, initial message (public key)",
      "RESOLVE_RESP: Ticket Resolve, response")
NAMES(name_prf, "MIKEY-1 (HMAC-SHA-1)", "PRF-HMAC-SHA-256")
NAMES(name_map_type, "SRTP-ID", "Empty map", "GENERIC-ID")
NAMES(name_encr, "NULL", "AES-CM-128", "AES-KW-128", "AES-CM-256")
NAMES(name_mac, "NULL", "HMAC-SHA-1-160", "HMAC-SHA-256-256")
NAMES(name_cache, "No cache", "Cache", "Cache for CSB")
NAMES(name_dh_group, "OAKLEY 5", "OAKLEY 1", "OAKLEY 2")
NAMES(name_signature, "RSA/PKCS#1/1.5", "RSA/PSS")
NAMES(name_ts_type, "NTP-UTC", "NTP", "COUNTER", "NTP-UTC-32")
NAMES(name_ts_role, NULL, "TRi: time of issue", "TRs: start of validity", "TRe: end of validity",
      "TRr: rekeying interval")
NAMES(name_id_type, "NAI", "URI", "Byte string")
NAMES(name_id_role, NULL, "IDRi: Initiator", "IDRr: Responder", "IDRkms: KMS",
      "IDRpsk: pre-shared key", "IDRapp: application")
NAMES(name_cert_type, "X.509v3", "X.509v3 URL", "X.509v3 Sign", "X.509v3 Encr")
NAMES(name_hash, "SHA-1", "MD5", "SHA-256")
NAMES(name_rand_role, NULL, "RANDRi: by the Initiator", "RANDRr: by the Responder",
      "RANDRkms: by the KMS")
NAMES(name_kv, "Null: no rule of use", "SPI/MKI", "Interval")
NAMES(name_extension, "Vendor ID", "SDP IDs", NULL, "Key ID Information")
NAMES(name_ticket_type, NULL, "MIKEY Base Ticket", "3GPP Base Ticket")

const char *name_prot(uint64_t value)
{
    switch (value) {
    case MIKEY_PROT_SRTP:
        return "SRTP";
    case MIKEY_PROT_TLS:
        return "TLS (private use)";
    case MIKEY_PROT_CMS:
        return "CMS (private use)";
    default:
        return UNKNOWN;
    }
}

const char *name_next_payload(uint64_t value)
{
    return mikey_payload_name((uint16_t)value);
}

const char *name_error(uint64_t value)
{
    return mikey_error_name((uint8_t)value);
}

const char *name_key_type(uint64_t value)
{
    return mikey_key_type_name((uint8_t)value);
}

const char *name_srtp_param(uint8_t type)
{
    static const char *const names[] = {
        "Encryption algorithm",     "Session Encr. key length",
        "Authentication algorithm", "Session Auth. key length",
        "Session Salt key length",  "SRTP PRF",
        "Key derivation rate",      "SRTP encryption",
        "SRTCP encryption",         "Sender's FEC order",
        "SRTP authentication",      "Authentication tag length",
        "SRTP prefix length",       [20] = "AEAD auth. tag length",
    };

    return pick(names, COUNT(names), type);
}

static NAMES(srtp_encr, "NULL", "AES-CM", "AES-F8", NULL, NULL, NULL, "AES-GCM") static NAMES(
    srtp_auth, "NULL",
    "HMAC-SHA-1") static NAMES(srtp_prf,
                               "AES-CM") static NAMES(off_on, "off",
                                                      "on") static NAMES(fec_order,
                                                                         "first FEC, then SRTP")

    const char *name_srtp_value(uint8_t type, uint64_t value)
{
    switch (type) {
    case 0:
        return srtp_encr(value);
    case 2:
        return srtp_auth(value);
    case 5:
        return srtp_prf(value);
    case 7:
    case 8:
    case 10:
        return off_on(value);
    case 9:
        return fec_order(value);
    case 1:
    case 3:
    case 4:
    case 11:
    case 12:
    case 20:
        return "octets";
    default:
        return NULL;
    }
}

const struct name_flag name_flags[NAME_FLAGS] = {
    {"D", "the KMS generates the ticket", "the Initiator generates the ticket"},
    {"E", "Ticket Resolve is mandatory", "the Responder may resolve the ticket"},
    {"F", "TRANSFER_RESP shall be sent", "TRANSFER_RESP shall not be sent"},
    {"G", "the Responder shall generate RANDRr", "the Responder shall not generate RANDRr"},
    {"H", "RANDRi is used when deriving from a TGK or GTGK",
     "RANDRi is not used when deriving from a TGK or GTGK"},
    {"I", "key forking", "no key forking"},
    {"J", "the ticket may be reused", "the ticket shall not be reused"},
    {"K", "the KMS changed what was desired", "the KMS changed nothing"},
    {"L", "the Initiator may supply session keys", "the Initiator shall not supply session keys"},
    {"M", "the Responder may supply session keys", "the Responder shall not supply session keys"},
    {"N", "an Initiator of RFC 6043 can use it", "the Initiator needs further processing"},
    {"O", "a Responder of RFC 6043 can process it", "the Responder needs further processing"},
};

struct name_payload name_payload(uint16_t type)
{
    static const struct name_payload payloads[] = {
        [MIKEY_KEMAC] = {"key data transport", "RFC 3830 6.2, RFC 6043 6.2"},
        [MIKEY_PKE] = {"envelope data", "RFC 3830 6.3"},
        [MIKEY_DH] = {"Diffie-Hellman data", "RFC 3830 6.4"},
        [MIKEY_SIGN] = {"signature", "RFC 3830 6.5"},
        [MIKEY_T] = {"timestamp", "RFC 3830 6.6, RFC 6043 6.3"},
        [MIKEY_ID] = {"identity", "RFC 3830 6.7, RFC 6043 6.5"},
        [MIKEY_CERT] = {"certificate", "RFC 3830 6.7"},
        [MIKEY_CHASH] = {"certificate hash", "RFC 3830 6.8, RFC 6043 6.7"},
        [MIKEY_V] = {"verification message", "RFC 3830 6.9, RFC 6043 5.5"},
        [MIKEY_SP] = {"security policy", "RFC 3830 6.10"},
        [MIKEY_RAND] = {"random octets", "RFC 3830 6.11"},
        [MIKEY_ERR] = {"error", "RFC 3830 6.12, RFC 6043 6.9"},
        [MIKEY_TR] = {"timestamp with role", "RFC 6043 6.4"},
        [MIKEY_IDR] = {"identity with role", "RFC 6043 6.6"},
        [MIKEY_RANDR] = {"random octets with role", "RFC 6043 6.8"},
        [MIKEY_TP] = {"desired Ticket Policy", "RFC 6043 6.10"},
        [MIKEY_TICKET] = {"ticket", "RFC 6043 6.10"},
        [MIKEY_KEY_DATA] = {"key", "RFC 3830 6.13, RFC 6043 6.2.1"},
        [MIKEY_GENERAL_EXT] = {"extension", "RFC 3830 6.15"},
        [MIKEY_THDR] = {"ticket header", "RFC 6043 A.3"},
    };

    return type < COUNT(payloads) && payloads[type].words ? payloads[type]
                                                          : (struct name_payload){UNKNOWN, ""};
}
