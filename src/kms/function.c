/* Network functions that have a TPK in common with the KMS. RFC 6043 4.1.1, 6.10. */
#include <string.h>

#include "kms/internal.h"

static const struct kms_function *function_of_tpk(const struct kms_exchange *x, struct tbs_bytes id)
{
    const struct kms_config *c = &x->worker->kms->config;

    for (size_t i = 0; i < c->n_functions; i++)
        if (tbs_bytes_equal(id, tbs_bytes_str(c->functions[i].tpk)))
            return &c->functions[i];
    return NULL;
}

/* The key of this function whose hash is that of the ticket's PRF. */
static const struct custody_key *fitting_tpk(const struct kms_exchange *x,
                                             const struct kms_function *f, uint8_t prf)
{
    const struct custody_key *tpk =
        custody_find_key(x->worker->custody, tbs_bytes_str(f->tpk), CUSTODY_ROLE_TPK);
    enum custody_alg alg = prf == MIKEY_PRF_MIKEY_1 ? CUSTODY_HMAC_SHA_1 : CUSTODY_HMAC_SHA_256;

    return tpk && tpk->alg == alg ? tpk : NULL;
}

const struct custody_key *kms_function_tpk(const struct kms_exchange *x,
                                           const struct ticket_policy *p)
{
    const struct kms_config *c = &x->worker->kms->config;
    const struct custody_key *tpk = NULL;

    for (size_t i = 0; !tpk && p->n_responders == 1 && i < c->n_functions; i++)
        if (tbs_bytes_equal(p->responders[0].data, tbs_bytes_str(c->functions[i].identity)))
            tpk = fitting_tpk(x, &c->functions[i], p->prf);
    return tpk;
}

bool kms_check_maker(const struct kms_exchange *x, const struct ticket_policy *p,
                     struct kms_failure *f)
{
    const struct kms_function *function = function_of_tpk(x, x->decision.tpk_id);

    if (!function || (!(p->flags & TICKET_D) &&
                      tbs_bytes_equal(p->initiator.data, tbs_bytes_str(function->identity))))
        return true;
    tbs_fail(&f->diag, TBS_ERR_DENIED,
             "the ticket is under the TPK of %.200s, but is not one that this function made as its "
             "Initiator (RFC 6043 4.1.1)",
             function->identity);
    return kms_fails(f, KMS_TICKET, MIKEY_E_INVALID_TICKET);
}
