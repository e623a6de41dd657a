/* The keys of a KEMAC: made, written, encrypted and decrypted. RFC 3830 6.2 and 6.13,
 * RFC 6043 6.2. A key set owns its octets, in secure memory; not thread-safe. */
#ifndef TBS_MIKEY_KEMAC_H
#define TBS_MIKEY_KEMAC_H

#include "mikey/encode.h"
#include "mikey/protect.h"

/* Key data sub-payloads and views into them. */
struct mikey_key_set {
    struct tbs_secret octets;
    size_t n;
    struct mikey_key key[MIKEY_KEYS_MAX];
};

#define MIKEY_KEY_SET_AUTO __attribute__((cleanup(mikey_key_set_free)))
void mikey_key_set_free(struct mikey_key_set *set);

/* A set with copies of `keys` (1..MIKEY_KEYS_MAX), in their order. */
enum tbs_err mikey_key_set_copy(const struct mikey_key *keys, size_t n,
                                struct mikey_key_set *ret_set, struct tbs_diag *diag);
/* Where a key of the set is written: for filling in key material. */
uint8_t *mikey_key_set_octets(struct mikey_key_set *set, struct tbs_bytes view);

/* Puts E(encr_key, set) as KEMAC with the T of the message that carries it. */
enum tbs_err mikey_put_sealed(struct mikey_writer *w, const struct mikey_suite *suite,
                              const struct mikey_keys *keys, uint32_t csb_id, uint64_t t,
                              const struct mikey_key_set *set, struct tbs_diag *diag);
/* Decrypts and decodes. TBS_ERR_UNSUPPORTED when the KEMAC's algorithms are not those of
 * the suite (encryption) and NULL (MAC, RFC 6043 4.2.1.5). Check the message's MAC first. */
enum tbs_err mikey_open_kemac(const struct mikey_payload *kemac, const struct mikey_suite *suite,
                              const struct mikey_keys *keys, uint32_t csb_id, uint64_t t,
                              struct mikey_key_set *ret_set, struct tbs_diag *diag);

#endif
