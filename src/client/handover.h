/* For a room that makes or opens tickets itself, instead of asking a KMS: what it hands over to
 * libtbs, and takes from it. Functions as in tbs.h. */
#ifndef TBS_CLIENT_HANDOVER_H
#define TBS_CLIENT_HANDOVER_H

#include "client/tbs.h"
#include "ticket/ticket.h"

#define HANDOVER_SPI_LEN 4

/* A wish as the Ticket Policy that tbs_request_begin would ask for. It views the texts, `spis`
 * and static octets. Of the credential only identity and suite count. */
enum tbs_err client_wish_policy(const struct tbs_credential *credential,
                                const struct tbs_wish *wish, uint64_t now,
                                uint8_t (*spis)[HANDOVER_SPI_LEN], struct ticket_policy *ret_policy,
                                struct tbs_diag *diag);
/* A ticket with its keys, MPKi || [MPKr] || session keys, which it takes over, also on failure. */
enum tbs_err client_ticket_new(struct tbs_bytes core, struct mikey_key_set *keys,
                               const char *initiator, struct tbs_ticket **ret_ticket,
                               struct tbs_diag *diag);

/* The TICKET of an offer and what it says; nothing is authenticated yet. */
const struct mikey_payload *client_offer_ticket(const struct tbs_offer *offer);
const struct ticket_policy *client_offer_policy(const struct tbs_offer *offer);
/* A resolved ticket from its keys, MPKi || session keys, which it takes over, also on failure.
 * Verifies the offer with them, as tbs_resolve_finish does. For tickets without key forking. */
enum tbs_err client_resolved_new(const struct tbs_offer *offer, struct mikey_key_set *keys,
                                 struct tbs_resolved **ret_resolved, struct tbs_diag *diag);

#endif
