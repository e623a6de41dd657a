/* In-token primitives for custody's own code (the ticket wrapping); the KMS does not include
 * this header. */
#ifndef TBS_CUSTODY_PRIMITIVES_H
#define TBS_CUSTODY_PRIMITIVES_H

#include "custody/custody.h"

/* HMAC under a TPK, in the token. ret_mac gets custody_mac_len(tpk->alg) octets: 32 for
 * CUSTODY_HMAC_SHA_256; 20 for CUSTODY_HMAC_SHA_1, the other 12 are then untouched. What it
 * gets may be key material: the caller wipes it. data may be empty.
 * TBS_ERR_INVALID for a key that is not a TPK of this session's custody. */
enum tbs_err custody_hmac(struct custody_session *session, const struct custody_key *tpk,
                          struct tbs_bytes data, uint8_t ret_mac[CUSTODY_MAC_MAX],
                          struct tbs_diag *diag);

/* 20, 32, or 0 for an algorithm that is not an HMAC. */
size_t custody_mac_len(enum custody_alg alg);

#endif
