/* The Verification payload: what its MAC covers. RFC 6043 5.5, table 5.2.
 * Stateless; thread-safe. */
#ifndef TBS_MIKEY_VERIFICATION_H
#define TBS_MIKEY_VERIFICATION_H

#include "mikey/encode.h"
#include "mikey/protect.h"

/* What follows the message in the calculation: the ID Data of two identities for an initial
 * message, the whole initial message for a response, nothing for an Error message. */
struct mikey_followed_by {
    struct tbs_bytes first, second;
};

/* The V payload of a message: the last one, of the suite's algorithm. TBS_ERR_MALFORMED when
 * absent or not last, TBS_ERR_UNSUPPORTED when of another algorithm. */
enum tbs_err mikey_find_v(const struct mikey_message *message, const struct mikey_suite *suite,
                          const struct mikey_payload **ret_v, struct tbs_diag *diag);
/* TBS_ERR_AUTH when the MAC does not verify with keys->auth. In TRANSFER_INIT, Initiator
 * Data and its length are not covered. */
enum tbs_err mikey_verify(const struct mikey_message *message, const struct mikey_suite *suite,
                          const struct mikey_keys *keys, struct mikey_followed_by followed,
                          struct tbs_diag *diag);
/* Puts the MAC into a written message that ends with a V payload of zeros. */
enum tbs_err mikey_authenticate(struct tbs_buf *message, const struct mikey_suite *suite,
                                const struct mikey_keys *keys, struct mikey_followed_by followed,
                                struct tbs_diag *diag);

#endif
