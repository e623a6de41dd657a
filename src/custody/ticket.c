#include "custody/ticket.h"

#include "custody/internal.h"
#include "custody/primitives.h"

struct in_token {
    struct custody_session *session;
    const struct custody_key *tpk;
};

static enum tbs_err hmac_in_token(void *ctx, struct tbs_bytes data, uint8_t ret_mac[MIKEY_HASH_MAX],
                                  struct tbs_diag *diag)
{
    struct in_token *key = ctx;

    return custody_hmac(key->session, key->tpk, data, ret_mac, diag);
}

static struct mikey_inkey inkey_of(struct in_token *key)
{
    return (struct mikey_inkey){
        .prf = key->tpk->alg == CUSTODY_HMAC_SHA_256 ? MIKEY_PRF_HMAC_SHA_256 : MIKEY_PRF_MIKEY_1,
        .hmac = hmac_in_token,
        .ctx = key,
    };
}

enum tbs_err custody_wrap_ticket(struct custody_session *session, const struct custody_key *tpk,
                                 const struct ticket_policy *policy,
                                 const struct ticket_contents *contents, struct tbs_buf *core,
                                 struct tbs_diag *diag)
{
    struct in_token key = {.session = session, .tpk = tpk};
    struct mikey_inkey inkey = inkey_of(&key);
    struct tbs_buf octets TBS_BUF_AUTO = tbs_buf();

    if (inkey.prf != policy->prf)
        return tbs_fail(diag, TBS_ERR_INVALID, "key %s does not fit PRF Func %u of the policy",
                        tpk->id, policy->prf);
    ticket_policy_put(&octets, policy);
    enum tbs_err err = mikey_written(&octets, diag);

    if (!err)
        err = custody_may(session->custody, tpk, CUSTODY_PROTECT, diag);

    if (err)
        return err;
    return ticket_seal(tbs_buf_view(&octets), contents, &inkey, tbs_bytes_str(tpk->id), core, diag);
}

enum tbs_err custody_unwrap_ticket(struct custody_session *session,
                                   const struct mikey_payload *ticket,
                                   struct ticket_contents *ret_contents, struct tbs_diag *diag)
{
    struct in_token key = {.session = session};
    struct tbs_bytes id;
    enum tbs_err err = ticket_tpk_id(ticket, &id, diag);

    if (err)
        return err;
    err = custody_need_key(session->custody, id, CUSTODY_ROLE_TPK, &key.tpk, diag);
    if (!err)
        err = custody_may(session->custody, key.tpk, CUSTODY_PROCESS, diag);
    if (err)
        return err;
    struct mikey_inkey inkey = inkey_of(&key);

    return ticket_open(ticket, &inkey, ret_contents, diag);
}
