/* A network function that holds a ticket protection key (TPK) of its own in a token: it makes
 * tickets and resolves them without the KMS. RFC 6043 4.1.1, modes 2, 3 and 4; appendix A.
 *
 *   mode   the TPK is shared by    function_issue        function_resolve
 *   2      the KMS and Responder   -                     instead of Ticket Resolve
 *   3      the KMS and Initiator   instead of Request    -
 *   4      Initiator, Responder    instead of Request    instead of Ticket Resolve
 *
 * The rest of the call is libtbs: a tbs_ticket goes to tbs_transfer_begin, a tbs_resolved to
 * tbs_answer.
 *
 * Whoever has a TPK can make any ticket under it. So each TPK has one purpose and two holders,
 * and a ticket that the other holder would not have made is refused: the KMS's are made by a KMS
 * (flag D) for this function, another function's name it as Initiator. A function has its thread's
 * custody session; there is no other state. */
#ifndef TBS_FUNCTION_FUNCTION_H
#define TBS_FUNCTION_FUNCTION_H

#include "client/tbs.h"
#include "custody/custody.h"

#define FUNCTION_VALIDITY 86400 /* seconds, where a wish has none */

struct function {
    const struct custody *custody;
    struct custody_session *session; /* of that custody */
    const char *identity;            /* its own: URI or NAI */
    const char *tpk;                 /* the key's id, such as "tpk-mrf-2026-01" */
    const char *shared_with;         /* the other function; NULL: the KMS */
    struct tbs_clock clock;
};

/* Makes a ticket, as its Initiator (NOT D, which implies L). Shared with the KMS, it is for the KMS
 * to resolve (E), and may have forking; `kms` (NULL ok) is then its IDRkms. Shared with a function,
 * that one resolves it, is its only responder, and there is no forking (I implies E). Suite and
 * PRF are those of the TPK; wish->minimum does not count. Keys come from the token's generator.
 * TBS_ERR_NOT_FOUND no such TPK; TBS_ERR_INVALID, TBS_ERR_LIMIT a wish that cannot be; those of
 * custody. */
enum tbs_err function_issue(const struct function *function, const struct tbs_wish *wish,
                            const char *kms, struct tbs_ticket **ret_ticket, struct tbs_diag *diag);

/* Opens the ticket of an offer that tbs_accept took, and verifies the offer with its keys.
 * TBS_ERR_DENIED: only the KMS may resolve it (E), or the other holder of the TPK did not make it.
 * TBS_ERR_AUTH: ticket or offer are not authentic. TBS_ERR_NOT_FOUND: it is of another TPK; ask the
 * KMS. Those of custody. diag->raw as in tbs_accept. */
enum tbs_err function_resolve(const struct function *function, const struct tbs_offer *offer,
                              struct tbs_resolved **ret_resolved, struct tbs_diag *diag);

#endif
