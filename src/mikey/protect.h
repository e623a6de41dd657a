/* Protecting MIKEY messages: the two cipher suites, KEMAC encryption and the MAC.
 * RFC 3830 4.2.3, 6.2 and 6.9; RFC 6043 5.1.2, 5.5, 6.2. Stateless; thread-safe. */
#ifndef TBS_MIKEY_PROTECT_H
#define TBS_MIKEY_PROTECT_H

#include "mikey/prf.h"

/* Encr alg of KEMAC, RFC 3830 6.2 and RFC 6043 6.2. */
enum mikey_encr {
    MIKEY_ENCR_NULL = 0,
    MIKEY_ENCR_AES_CM_128 = 1,
    MIKEY_ENCR_AES_KW_128 = 2,
    MIKEY_ENCR_AES_CM_256 = 3,
};

/* MAC alg of KEMAC, Auth alg of V. */
enum mikey_mac_alg {
    MIKEY_MAC_NULL = 0,
    MIKEY_MAC_HMAC_SHA_1_160 = 1,
    MIKEY_MAC_HMAC_SHA_256_256 = 2,
};

#define MIKEY_MAC_MAX 32
#define MIKEY_RAND_LEN 32 /* of the RANDs we make: at least the longest key, RFC 6043 12.1 */
#define MIKEY_SALT_LEN 14 /* 112 bits, RFC 3830 4.2.3 */
#define MIKEY_TICKET_CSB_ID 0xFFFFFFFFu /* CSB ID in the IV of Ticket Data, RFC 6043 A.1 */

/* Algorithms are never mixed (RFC 6043 12.1): the suite follows from the PRF. Lengths in octets. */
struct mikey_suite {
    const char *name; /* "256" or "128" */
    enum mikey_prf prf;
    enum mikey_encr encr;
    enum mikey_mac_alg mac;
    size_t encr_key_len, auth_key_len, mac_len;
};

extern const struct mikey_suite mikey_suite_256;
extern const struct mikey_suite mikey_suite_128;

/* NULL for a PRF func that is not one of the two. */
const struct mikey_suite *mikey_suite_of_prf(uint8_t prf);

/* Keys that protect one message. */
struct mikey_keys {
    struct tbs_secret auth, encr, salt;
};

void mikey_keys_free(struct mikey_keys *keys);
#define MIKEY_KEYS_AUTO __attribute__((cleanup(mikey_keys_free)))

/* What the three labels of one message share. */
struct mikey_context {
    enum mikey_usage usage; /* INIT, RESP, TICKET or VR */
    uint32_t csb_id;
    struct tbs_bytes randri, randrr; /* TICKET: the ticket's RAND is randri */
};

/* Derives auth_key alone (authenticate first), or encr_key and salt_key. */
enum tbs_err mikey_derive_auth(const struct mikey_suite *suite, const struct mikey_inkey *inkey,
                               const struct mikey_context *context, struct mikey_keys *keys,
                               struct tbs_diag *diag);
enum tbs_err mikey_derive_encr(const struct mikey_suite *suite, const struct mikey_inkey *inkey,
                               const struct mikey_context *context, struct mikey_keys *keys,
                               struct tbs_diag *diag);

/* Encrypts or decrypts (AES-CM is its own inverse) `data` in place:
 * IV = (salt XOR (0x0000 || CSB ID || T)) || 0x0000 with T of 64 bits (RFC 3830 4.2.3). */
enum tbs_err mikey_aes_cm(const struct mikey_suite *suite, const struct mikey_keys *keys,
                          uint32_t csb_id, uint64_t t, uint8_t *data, size_t len,
                          struct tbs_diag *diag);

/* MAC over the concatenation of parts; writes suite->mac_len octets. */
enum tbs_err mikey_mac(const struct mikey_suite *suite, const struct mikey_keys *keys,
                       const struct tbs_bytes *parts, size_t n_parts,
                       uint8_t ret_mac[MIKEY_MAC_MAX], struct tbs_diag *diag);
/* TBS_ERR_AUTH when `mac` is not the MAC over parts. Constant time. */
enum tbs_err mikey_mac_check(const struct mikey_suite *suite, const struct mikey_keys *keys,
                             const struct tbs_bytes *parts, size_t n_parts, struct tbs_bytes mac,
                             struct tbs_diag *diag);

#endif
