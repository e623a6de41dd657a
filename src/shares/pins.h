/* The PINs of a token whose secret is in shares: the first half of HMAC-SHA-256 with that
 * secret as the key, over the PIN's name, in hexadecimal. Who has the user's PIN, as a KMS does,
 * has neither the secret nor the other PIN. Thread-safe. */
#ifndef TBS_SHARES_PINS_H
#define TBS_SHARES_PINS_H

#include "base/secret.h"

#define SHARES_PIN_LEN 32 /* hexadecimal digits: 128 bits */

/* The PIN is the caller's. TBS_ERR_NOMEM, TBS_ERR_CRYPTO. */
enum tbs_err shares_derive_pin(const struct tbs_secret *secret, bool so, struct tbs_secret *ret_pin,
                               struct tbs_diag *diag);

#endif
