/* What the numbers in MIKEY's fields mean, for people. RFC 3830 6, RFC 4563, RFC 6043 6,
 * RFC 7714 14.3. Every function gives a text for every number; never NULL. */
#ifndef TBS_TOOLS_NAMES_H
#define TBS_TOOLS_NAMES_H

#include <stdint.h>

typedef const char *(*name_fn)(uint64_t value);

const char *name_data_type(uint64_t value); /* with what the message is for */
const char *name_next_payload(uint64_t value);
const char *name_prf(uint64_t value);
const char *name_map_type(uint64_t value);
const char *name_encr(uint64_t value);
const char *name_mac(uint64_t value);
const char *name_cache(uint64_t value);
const char *name_dh_group(uint64_t value);
const char *name_signature(uint64_t value);
const char *name_ts_type(uint64_t value);
const char *name_ts_role(uint64_t value);
const char *name_id_type(uint64_t value);
const char *name_id_role(uint64_t value);
const char *name_cert_type(uint64_t value);
const char *name_hash(uint64_t value);
const char *name_rand_role(uint64_t value);
const char *name_prot(uint64_t value);
const char *name_error(uint64_t value);
const char *name_key_type(uint64_t value);
const char *name_kv(uint64_t value);
const char *name_extension(uint64_t value);
const char *name_ticket_type(uint64_t value);

/* A parameter of an SRTP policy (RFC 3830 6.10.1): its name, and its value's meaning; NULL
 * where the number says it all. */
const char *name_srtp_param(uint8_t type);
const char *name_srtp_value(uint8_t type, uint64_t value);

/* The flags of a Ticket Policy, 0 is D and 11 is O: what 1 and 0 mean (RFC 6043 6.10). */
#define NAME_FLAGS 12
struct name_flag {
    char letter[2];
    const char *set, *clear;
};
extern const struct name_flag name_flags[NAME_FLAGS];

/* A payload in words, and the section that defines it. */
struct name_payload {
    const char *words, *rfc;
};
struct name_payload name_payload(uint16_t type);

#endif
