#include "base/clock.h"
#include "mikey/protect.h"
#include "policies/policy.h"

#define SALT_LEN_MAX 32

/* What a key of n octets is wished with; its octets are never read. */
static const uint8_t zeros[MIKEY_RAND_LEN];

static enum tbs_err check_initiator(const struct policy_request *r, struct tbs_diag *diag)
{
    const struct ticket_id *wished = &r->desired->initiator;
    bool owns = true;

    if (wished->data.len == 0)
        return TBS_OK;
    enum tbs_err err = r->initiator->owns(r->initiator->ctx, wished->data, &owns, diag);

    if (!err && !owns)
        err = tbs_fail(diag, TBS_ERR_DENIED,
                       "the Ticket Policy names an Initiator (IDRi) that is not the requester");
    return err;
}

/* The end of validity is at most max_validity after now, whatever start is wished: a ticket that
 * is fetched today must not outlive the subscriber by more. */
static enum tbs_err limit_validity(const struct policy_builtin *settings, uint64_t now,
                                   struct ticket_policy *granted, struct tbs_diag *diag)
{
    uint32_t max_validity = settings->max_validity;
    uint64_t latest = now + ((uint64_t)max_validity << 32);

    if (granted->has_end && tbs_ntp_diff_seconds(granted->end, now) <= 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "the wished validity period is over already");
    if (granted->has_start && tbs_ntp_diff_seconds(granted->start, latest) >= 0)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the wished validity period starts after the latest end, %u s from now "
                        "(kms.max_validity): ask again when it is nearer",
                        max_validity);
    if (granted->has_end && tbs_ntp_diff_seconds(granted->end, latest) <= 0)
        return TBS_OK;
    granted->has_end = true;
    granted->end = latest;
    granted->flags |= TICKET_K;
    return TBS_OK;
}

static enum tbs_err grant_key(struct mikey_key *key, const struct mikey_suite *suite,
                              struct ticket_policy *granted, struct tbs_diag *diag)
{
    size_t longest = suite->encr_key_len;

    if (key->type > MIKEY_GTGK_SALT)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a key of type %s cannot be asked for (RFC 6043 6.10)",
                        mikey_key_type_name(key->type));
    if (key->key.len == 0) {
        key->key = tbs_bytes(zeros, longest);
        granted->flags |= TICKET_K;
    }
    if (key->key.len < 16 || key->key.len > longest)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a %s of %zu octets was asked for; suite %s grants 16 to %zu (RFC 6043 "
                        "12.1)",
                        mikey_key_type_name(key->type), key->key.len, suite->name, longest);
    if (key->salt.len > SALT_LEN_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID, "a salt of %zu octets was asked for; at most %d",
                        key->salt.len, SALT_LEN_MAX);
    /* Every key carries an SPI: an interval is not granted. */
    if (key->kv == MIKEY_KV_INTERVAL)
        granted->flags |= TICKET_K;
    return TBS_OK;
}

/* Without a wish, a single TGK (RECOMMENDED, RFC 6043 4.2.1.5). */
static enum tbs_err grant_keys(struct ticket_policy *granted, struct tbs_diag *diag)
{
    const struct mikey_suite *suite = mikey_suite_of_prf(granted->prf);

    if (!suite)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "PRF Func %u is unknown", granted->prf);
    if (granted->n_keys == 0)
        granted->keys[granted->n_keys++] =
            (struct mikey_key){.type = MIKEY_TGK, .key = tbs_bytes(zeros, suite->encr_key_len)};
    for (size_t i = 0; i < granted->n_keys; i++) {
        enum tbs_err err = grant_key(&granted->keys[i], suite, granted, diag);

        if (err)
            return err;
    }
    return TBS_OK;
}

static enum tbs_err decide_request(const void *settings, const struct policy_request *r,
                                   struct ticket_policy *ret_granted, struct tbs_diag *diag)
{
    struct ticket_policy granted = *r->desired;
    enum tbs_err err = check_initiator(r, diag);

    /* This KMS makes the ticket, and only a KMS can resolve it. */
    if ((granted.flags & (TICKET_D | TICKET_E)) != (TICKET_D | TICKET_E))
        granted.flags |= TICKET_D | TICKET_E | TICKET_K;
    if (granted.kms.data.len > 0 && !tbs_bytes_equal(granted.kms.data, r->kms.data))
        granted.flags |= TICKET_K;
    granted.kms = r->kms;
    if (granted.initiator.data.len == 0)
        granted.initiator = r->initiator->identity;
    if (!err)
        err = limit_validity(settings, r->now, &granted, diag);
    if (!err)
        err = grant_keys(&granted, diag);
    if (!err)
        *ret_granted = granted;
    return err;
}

static enum tbs_err may_answer_for(const struct policy_subject *s, const struct ticket_id *named,
                                   struct ticket_id *ret_identity, bool *ret_may,
                                   struct tbs_diag *diag)
{
    bool yes = false;
    enum tbs_err err = s->owns(s->ctx, named->data, &yes, diag);

    if (!err && yes)
        *ret_identity = *named;
    if (!err && !yes) {
        err = s->is_member(s->ctx, named->data, &yes, diag);
        if (!err && yes)
            *ret_identity = s->identity;
    }
    *ret_may = yes;
    return err;
}

static enum tbs_err decide_resolve(const void *settings, const struct policy_resolve *r,
                                   struct ticket_id *ret_identity, struct tbs_diag *diag)
{
    (void)settings;
    for (size_t i = 0; i < r->ticket->n_responders; i++) {
        struct ticket_id identity;
        bool may;
        enum tbs_err err =
            may_answer_for(r->responder, &r->ticket->responders[i], &identity, &may, diag);

        if (err)
            return err;
        if (may) {
            *ret_identity = identity;
            return TBS_OK;
        }
    }
    return tbs_fail(diag, TBS_ERR_DENIED,
                    "the ticket names neither this responder nor a group it is a member of");
}

struct policy policy_builtin(const struct policy_builtin *settings)
{
    return (struct policy){.name = "built-in",
                           .settings = settings,
                           .decide_request = decide_request,
                           .decide_resolve = decide_resolve};
}
