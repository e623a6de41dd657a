/* MIKEY's pseudo-random functions and the labels of every derived key.
 * RFC 3830 4.1.2 to 4.1.4, RFC 6043 5.1, 6.1 and appendix A.2. Stateless; thread-safe. */
#ifndef TBS_MIKEY_PRF_H
#define TBS_MIKEY_PRF_H

#include "base/error.h"
#include "base/secret.h"

#define MIKEY_HASH_MAX 32  /* octets of the longest hash */
#define MIKEY_ID_MAX 1024  /* octets of ID Data that a label accepts */
#define MIKEY_RAND_MAX 255 /* octets of a RAND */
#define MIKEY_LABEL_MAX (12 + MIKEY_ID_MAX + 2 * MIKEY_RAND_MAX)
#define MIKEY_INKEY_BLOCK 32 /* inkey is split into 256-bit blocks, RFC 3830 4.1.2 */

/* PRF func field, RFC 3830 6.1 and RFC 6043 6.1. */
enum mikey_prf {
    MIKEY_PRF_MIKEY_1 = 0, /* HMAC-SHA-1 */
    MIKEY_PRF_HMAC_SHA_256 = 1,
};

/* Computes HMAC over data with the hash of the PRF; writes mikey_prf_hash_len() octets. */
typedef enum tbs_err (*mikey_hmac_fn)(void *ctx, struct tbs_bytes data,
                                      uint8_t ret_mac[MIKEY_HASH_MAX], struct tbs_diag *diag);

/* The key of a derivation: octets in memory, or, when hmac is set, a key of at most
 * MIKEY_INKEY_BLOCK octets that stays where it is (a token) and is asked through hmac. */
struct mikey_inkey {
    enum mikey_prf prf;
    struct tbs_bytes key;
    mikey_hmac_fn hmac;
    void *ctx;
};

/* Constants: the decimal digits of e, RFC 3830 4.1.3 and 4.1.4, RFC 6043 5.1.1 and A.2.2. */
enum mikey_constant {
    MIKEY_CONST_ENCR = 0x150533E1,
    MIKEY_CONST_AUTH = 0x2D22AC75,
    MIKEY_CONST_SALT = 0x29B88916,
    MIKEY_CONST_TEK = 0x2AD01C64,
    MIKEY_CONST_TRAFFIC_AUTH = 0x1B5C7973,
    MIKEY_CONST_TRAFFIC_ENCR = 0x15798CEF,
    MIKEY_CONST_TRAFFIC_SALT = 0x39A2C14B,
    MIKEY_CONST_FORK_MPKR = 0x2B288856,
    MIKEY_CONST_FORK_TGK = 0x1512B54A,
    MIKEY_CONST_MPKI = 0x220E99A2,
    MIKEY_CONST_MPKR = 0x1F4D675B,
};

/* The fifth label field: which derivation this is. */
enum mikey_usage {
    MIKEY_USE_FORK = 0,    /* RFC 6043 5.1.1 */
    MIKEY_USE_INIT = 1,    /* initial messages, 5.1.2 */
    MIKEY_USE_RESP = 2,    /* response messages, 5.1.2 */
    MIKEY_USE_TRAFFIC = 3, /* from a TGK or GTGK, 5.1.3 */
    MIKEY_USE_VR = 4,      /* Initiator Data, 6.10 */
    MIKEY_USE_TICKET = 5,  /* from a TPK, A.2.1 */
    MIKEY_USE_MPK = 6,     /* MPKi and MPKr, A.2.2 */
};

struct mikey_label {
    size_t len;
    uint8_t data[MIKEY_LABEL_MAX];
};

/* 20 or 32 octets. */
size_t mikey_prf_hash_len(enum mikey_prf prf);

/* constant || 0xFF || CSB ID || usage || length RANDRi || RANDRi || length RANDRr || RANDRr;
 * an omitted RAND is an empty view and leaves its zero length octet (RFC 6043 5.1.2). */
struct mikey_label mikey_label_message(enum mikey_constant constant, enum mikey_usage usage,
                                       uint32_t csb_id, struct tbs_bytes randri,
                                       struct tbs_bytes randrr);
/* constant || CS ID || 0xFFFFFFFF || 0x03 || RANDs as above (RFC 6043 5.1.3). */
struct mikey_label mikey_label_traffic(enum mikey_constant constant, uint8_t cs_id,
                                       struct tbs_bytes randri, struct tbs_bytes randrr);
/* constant || 0xFF || 0xFFFFFFFF || usage || length RAND || RAND (RFC 6043 A.2). */
struct mikey_label mikey_label_ticket(enum mikey_constant constant, enum mikey_usage usage,
                                      struct tbs_bytes rand);
/* constant || 0xFF || 0xFFFFFFFF || 0x04 (RFC 6043 6.10, Vr). */
struct mikey_label mikey_label_vr(enum mikey_constant constant);
/* RFC 6043 5.1.1. id is at most MIKEY_ID_MAX octets: TBS_ERR_LIMIT otherwise. */
enum tbs_err mikey_label_fork(enum mikey_constant constant, struct tbs_bytes id,
                              struct tbs_bytes randrkms, struct mikey_label *ret_label,
                              struct tbs_diag *diag);

/* PRF(inkey, label) of outkey_len octets (1..1024), RFC 3830 4.1.2. */
enum tbs_err mikey_derive(const struct mikey_inkey *inkey, const struct mikey_label *label,
                          size_t outkey_len, struct tbs_secret *ret_outkey, struct tbs_diag *diag);

#endif
