/* Custody of tickets: the Base Ticket (RFC 6043 appendix A) with its TPK inside the token.
 * MIKEY's PRF runs there; this ticket's own auth_key, encr_key and salt_key are in secure
 * memory during the call. Sessions belong to one thread at a time. */
#ifndef TBS_CUSTODY_TICKET_H
#define TBS_CUSTODY_TICKET_H

#include "custody/custody.h"
#include "ticket/ticket.h"

/* Appends the core of a TICKET payload protected by `tpk` (see ticket_seal). Six HMACs in the
 * token. TBS_ERR_INVALID when the TPK's algorithm is not the hash of PRF Func in `policy`;
 * errors of the token as in custody.h. */
enum tbs_err custody_wrap_ticket(struct custody_session *session, const struct custody_key *tpk,
                                 const struct ticket_policy *policy,
                                 const struct ticket_contents *contents, struct tbs_buf *core,
                                 struct tbs_diag *diag);
/* Opens a ticket under the TPK that it names: two HMACs in the token to authenticate, four
 * more only when it is authentic. TBS_ERR_NOT_FOUND when this custody has no such TPK,
 * TBS_ERR_UNAVAILABLE also while a token that may have it was never up since the start,
 * TBS_ERR_DENIED when that TPK may not open tickets (any more), TBS_ERR_AUTH when the ticket is
 * not authentic, TBS_ERR_MALFORMED. */
enum tbs_err custody_unwrap_ticket(struct custody_session *session,
                                   const struct mikey_payload *ticket,
                                   struct ticket_contents *ret_contents, struct tbs_diag *diag);

#endif
