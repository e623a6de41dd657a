/* The keys of a session in a file, from a program that agreed on them to one that uses them:
 *
 *   {"csb_id": "0x81556677", "peer": "sip:bob@example.net", "crypto_sessions": [
 *     {"cs_id": 1, "srtp": "AES_256_CM_HMAC_SHA1_80", "ssrc": "0xca3032b4",
 *      "master_key": "<hex>", "master_salt": "<hex>", "mki": "<hex>"}]}
 *
 * jansson makes copies on the heap: programs that use this link tools/wiping_free.c. */
#ifndef TBS_TOOLS_SESSION_KEYS_H
#define TBS_TOOLS_SESSION_KEYS_H

#include "client/tbs.h"

#define SESSION_KEYS_FILE_MAX 65536
#define SESSION_KEYS_PEER_MAX 1024
#define SESSION_KEYS_MKI_MAX 128 /* what SRTP libraries take */

struct session_keys {
    uint32_t csb_id;
    char peer[SESSION_KEYS_PEER_MAX + 1];
    size_t n;
    struct tbs_traffic traffic[TBS_SESSIONS_MAX]; /* views octets */
    struct tbs_secret octets;
};

/* A new file of mode 0600. TBS_ERR_EXISTS when there is one. TBS_ERR_UNSUPPORTED for a stream
 * that has begun already (has_roc). TBS_ERR_INVALID for what session_keys_read would refuse. */
enum tbs_err session_keys_write(const char *path, struct tbs_bytes peer, uint32_t csb_id,
                                const struct tbs_traffic *traffic, size_t n, struct tbs_diag *diag);
/* TBS_ERR_CONFIG for a file that others may use or that is no regular file, TBS_ERR_LIMIT,
 * TBS_ERR_MALFORMED. */
enum tbs_err session_keys_read(const char *path, struct session_keys *ret_keys,
                               struct tbs_diag *diag);
/* The crypto session with this id; NULL when there is none. */
const struct tbs_traffic *session_keys_find(const struct session_keys *keys, uint8_t cs_id);
void session_keys_free(struct session_keys *keys);

#define SESSION_KEYS_AUTO __attribute__((cleanup(session_keys_free)))

#endif
