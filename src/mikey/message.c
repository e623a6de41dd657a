#include "mikey/message.h"

static uint8_t role_of(const struct mikey_payload *p)
{
    switch (p->type) {
    case MIKEY_IDR:
        return p->id.role;
    case MIKEY_TR:
        return p->t.role;
    case MIKEY_RANDR:
        return p->rand.role;
    default:
        return 0;
    }
}

const struct mikey_payload *mikey_find(const struct mikey_payloads *payloads, uint16_t type,
                                       uint8_t role)
{
    for (size_t i = 0; i < payloads->n; i++) {
        const struct mikey_payload *p = &payloads->p[i];

        if (p->type == type && (role == 0 || role_of(p) == role))
            return p;
    }
    return NULL;
}

struct tbs_bytes mikey_id_data(const struct mikey_payloads *payloads, uint8_t role)
{
    const struct mikey_payload *p = mikey_find(payloads, MIKEY_IDR, role);

    return p ? p->id.data : tbs_bytes(NULL, 0);
}

struct tbs_bytes mikey_rand_data(const struct mikey_payloads *payloads, uint8_t role)
{
    const struct mikey_payload *p = mikey_find(payloads, MIKEY_RANDR, role);

    return p ? p->rand.data : tbs_bytes(NULL, 0);
}

uint64_t mikey_ts64(const struct mikey_payload *t)
{
    return t->t.ts_type == MIKEY_TS_NTP_UTC_32 ? t->t.value << 32 : t->t.value;
}

const char *mikey_data_type_name(uint8_t type)
{
    switch (type) {
    case 0:
        return "PSK_INIT";
    case 1:
        return "PSK_RESP";
    case 2:
        return "PK_INIT";
    case 3:
        return "PK_RESP";
    case 4:
        return "DH_INIT";
    case 5:
        return "DH_RESP";
    case MIKEY_ERROR:
        return "Error";
    case MIKEY_REQUEST_INIT_PSK:
        return "REQUEST_INIT_PSK";
    case MIKEY_REQUEST_INIT_PK:
        return "REQUEST_INIT_PK";
    case MIKEY_REQUEST_RESP:
        return "REQUEST_RESP";
    case MIKEY_TRANSFER_INIT:
        return "TRANSFER_INIT";
    case MIKEY_TRANSFER_RESP:
        return "TRANSFER_RESP";
    case MIKEY_RESOLVE_INIT_PSK:
        return "RESOLVE_INIT_PSK";
    case MIKEY_RESOLVE_INIT_PK:
        return "RESOLVE_INIT_PK";
    case MIKEY_RESOLVE_RESP:
        return "RESOLVE_RESP";
    default:
        return "unknown data type";
    }
}

const char *mikey_payload_name(uint16_t type)
{
    static const char *const names[] = {
        [MIKEY_LAST] = "Last payload",
        [MIKEY_KEMAC] = "KEMAC",
        [MIKEY_PKE] = "PKE",
        [MIKEY_DH] = "DH",
        [MIKEY_SIGN] = "SIGN",
        [MIKEY_T] = "T",
        [MIKEY_ID] = "ID",
        [MIKEY_CERT] = "CERT",
        [MIKEY_CHASH] = "CHASH",
        [MIKEY_V] = "V",
        [MIKEY_SP] = "SP",
        [MIKEY_RAND] = "RAND",
        [MIKEY_ERR] = "ERR",
        [MIKEY_TR] = "TR",
        [MIKEY_IDR] = "IDR",
        [MIKEY_RANDR] = "RANDR",
        [MIKEY_TP] = "TP",
        [MIKEY_TICKET] = "TICKET",
        [MIKEY_KEY_DATA] = "Key data",
        [MIKEY_GENERAL_EXT] = "General Extension",
    };

    if (type == MIKEY_THDR)
        return "THDR";
    return type < sizeof names / sizeof *names && names[type] ? names[type] : "unknown";
}

const char *mikey_error_name(uint8_t no)
{
    static const char *const names[] = {
        "authentication failure",
        "invalid timestamp",
        "PRF not supported",
        "MAC algorithm not supported",
        "encryption algorithm not supported",
        "hash function not supported",
        "DH group not supported",
        "ID not supported",
        "certificate not supported",
        "security policy type not supported",
        "security policy parameters not supported",
        "data type not supported",
        "unspecified error",
        "unknown error",
        "invalid ticket",
        "invalid Ticket Policy parameters",
    };

    return no < sizeof names / sizeof *names ? names[no] : "unknown error";
}

const char *mikey_key_type_name(uint8_t type)
{
    static const char *const names[] = {"TGK",  "TGK+SALT",  "TEK", "TEK+SALT",
                                        "GTGK", "GTGK+SALT", "MPK"};

    return type < sizeof names / sizeof *names ? names[type] : "unknown key type";
}
