/* A network function follows an exchange of others, with a ticket that it may resolve. */
#include "client/internal.h"

/* Without forking a resolved ticket has what the Initiator has: MPKi, and the session keys. */
static enum tbs_err as_initiator(const struct client_grant *resolved,
                                 struct tbs_bytes transfer_init, struct tbs_ticket *ret_ticket,
                                 struct tbs_diag *diag)
{
    struct mikey_message init;
    enum tbs_err err = mikey_decode(transfer_init, &init, diag);

    if (!err)
        err = client_grant_copy(resolved, &ret_ticket->g, diag);
    if (err)
        return err;
    tbs_buf_reset(&ret_ticket->g.who);
    tbs_put_bytes(&ret_ticket->g.who, mikey_id_data(&init.payloads, MIKEY_IDRI));
    if (!ret_ticket->g.who.failed)
        return TBS_OK;
    client_grant_free(&ret_ticket->g);
    return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
}

enum tbs_err tbs_follow(const struct tbs_resolved *resolved, struct tbs_bytes transfer_init,
                        struct tbs_bytes response, struct tbs_session **ret_session,
                        struct tbs_diag *diag)
{
    struct tbs_ticket ticket = {0};
    struct tbs_transfer *transfer = NULL;
    enum tbs_err err;

    if (resolved->g.policy.flags & TICKET_I)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the ticket forks its keys (flag I): those of the Responder are with "
                        "nobody but itself and the Initiator");
    err = as_initiator(&resolved->g, transfer_init, &ticket, diag);
    if (err)
        return err;
    err = tbs_transfer_restore(&ticket, transfer_init, &transfer, diag);
    if (!err)
        err = response.len > 0 ? tbs_transfer_finish(transfer, response, ret_session, diag)
                               : tbs_transfer_session(transfer, ret_session, diag);
    tbs_transfer_free(transfer);
    client_grant_free(&ticket.g);
    return err;
}
