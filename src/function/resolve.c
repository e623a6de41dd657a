/* Modes 2 and 4: the Responder opens the ticket. RFC 6043 4.1.1, 4.2.3.6, 6.10, appendix A. */
#include <string.h>

#include "client/handover.h"
#include "custody/ticket.h"
#include "function/internal.h"

enum tbs_err function_tpk(const struct function *f, const struct custody_key **ret_tpk,
                          struct tbs_diag *diag)
{
    *ret_tpk = custody_find_key(f->custody, tbs_bytes_str(f->tpk), CUSTODY_ROLE_TPK);
    return *ret_tpk ? TBS_OK
                    : tbs_fail(diag, TBS_ERR_NOT_FOUND, "no token holds the TPK %.64s", f->tpk);
}

/* Before the token is asked. */
static enum tbs_err check_before(const struct function *f, const struct tbs_offer *offer,
                                 struct tbs_diag *diag)
{
    const struct ticket_policy *p = client_offer_policy(offer);
    struct tbs_bytes id;

    if (p->flags & TICKET_E)
        return tbs_fail_raw(diag, TBS_ERR_DENIED, MIKEY_E_INVALID_TPPAR,
                            "only the KMS may resolve this ticket (flag E, RFC 6043 6.10)");
    enum tbs_err err = ticket_tpk_id(client_offer_ticket(offer), &id, diag);

    if (err)
        return err;
    if (!tbs_bytes_equal(id, tbs_bytes_str(f->tpk)))
        return tbs_fail_raw(diag, TBS_ERR_NOT_FOUND, MIKEY_E_INVALID_TICKET,
                            "the ticket is of another TPK than %.64s", f->tpk);
    return TBS_OK;
}

/* Once the ticket is authentic: made by the other holder of the key? */
static enum tbs_err check_maker(const struct function *f, const struct ticket_policy *p,
                                struct tbs_diag *diag)
{
    bool by_kms = p->flags & TICKET_D;

    if (f->shared_with
            ? by_kms || !tbs_bytes_equal(p->initiator.data, tbs_bytes_str(f->shared_with))
            : !by_kms)
        return tbs_fail_raw(diag, TBS_ERR_DENIED, MIKEY_E_INVALID_TICKET,
                            "the ticket is not one of %.200s, who shares the TPK %.64s",
                            f->shared_with ? f->shared_with : "the KMS", f->tpk);
    return TBS_OK;
}

/* MPKi || session keys: without forking MPKr has no use (RFC 6043 4.2.3.5). */
static enum tbs_err make(const struct tbs_offer *offer, const struct ticket_contents *contents,
                         struct tbs_resolved **ret_resolved, struct tbs_diag *diag)
{
    struct mikey_key_set keys MIKEY_KEY_SET_AUTO = {0};
    const struct ticket_policy *p = client_offer_policy(offer);
    enum tbs_err err = ticket_initiator_keys(p->prf, p->flags, contents, &keys, diag);

    return err ? err : client_resolved_new(offer, &keys, ret_resolved, diag);
}

enum tbs_err function_resolve(const struct function *function, const struct tbs_offer *offer,
                              struct tbs_resolved **ret_resolved, struct tbs_diag *diag)
{
    struct ticket_contents contents TICKET_CONTENTS_AUTO = {0};
    enum tbs_err err = check_before(function, offer, diag);

    if (!err) {
        err = custody_unwrap_ticket(function->session, client_offer_ticket(offer), &contents, diag);
        if (err == TBS_ERR_AUTH || err == TBS_ERR_MALFORMED)
            err = tbs_fail_raw(diag, err, MIKEY_E_INVALID_TICKET,
                               "the ticket is not authentic under the TPK %.64s", function->tpk);
    }
    if (!err)
        err = check_maker(function, client_offer_policy(offer), diag);
    return err ? err : make(offer, &contents, ret_resolved, diag);
}
