/* Ticket Resolve: open the ticket, decide, fork, answer. RFC 6043 4.2.3.4, 4.2.3.5, 5.1.1. */
#include <string.h>

#include "kms/internal.h"

static bool bad_ticket(struct kms_failure *f, enum kms_outcome outcome)
{
    return kms_fails(f, outcome, MIKEY_E_INVALID_TICKET);
}

/* Type and suite, before the token is asked. */
static bool check_type(struct kms_exchange *x, const struct mikey_payload *ticket,
                       struct kms_failure *f)
{
    const struct mikey_suite *suite = mikey_suite_of_prf(ticket->ticket.prf);

    if (ticket->ticket.type != TICKET_TYPE_MIKEY_BASE || ticket->ticket.subtype != TICKET_SUBTYPE ||
        ticket->ticket.version != TICKET_VERSION || !suite) {
        tbs_fail(&f->diag, TBS_ERR_UNSUPPORTED,
                 "ticket type %u, subtype %u, version %u, PRF Func %u is not served here",
                 ticket->ticket.type, ticket->ticket.subtype, ticket->ticket.version,
                 ticket->ticket.prf);
        return bad_ticket(f, KMS_UNSUPPORTED);
    }
    if (suite->encr_key_len > x->suite->encr_key_len) {
        tbs_fail(&f->diag, TBS_ERR_UNSUPPORTED,
                 "the ticket's keys are longer than those of the message (RFC 6043 12.1)");
        return kms_fails(f, KMS_UNSUPPORTED, MIKEY_E_INVALID_EA);
    }
    return true;
}

static bool open_ticket(struct kms_exchange *x, const struct mikey_payload *ticket,
                        struct ticket_policy *policy, struct ticket_contents *contents,
                        struct kms_failure *f)
{
    enum tbs_err err = ticket_tpk_id(ticket, &x->decision.tpk_id, &f->diag);

    if (!err)
        err = custody_unwrap_ticket(x->worker->session, ticket, contents, &f->diag);

    /* What else may go wrong is the token's failure. */
    if (err && err != TBS_ERR_AUTH && err != TBS_ERR_NOT_FOUND && err != TBS_ERR_DENIED &&
        err != TBS_ERR_MALFORMED)
        return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    if (err || ticket_policy_decode(ticket, policy, &f->diag))
        return bad_ticket(f, KMS_TICKET);
    x->decision.has_policy = true;
    x->decision.policy = *policy;
    if (!ticket_policy_valid_at(policy, x->now)) {
        tbs_fail(&f->diag, TBS_ERR_TIME, "the ticket is outside its validity period");
        return bad_ticket(f, KMS_TICKET);
    }
    return kms_check_maker(x, policy, f);
}

static bool decide(struct kms_exchange *x, const struct ticket_policy *ticket,
                   struct ticket_id *ret_identity, struct kms_failure *f)
{
    const struct policy *policy = &x->worker->kms->policy;
    struct kms_subject subject KMS_SUBJECT_AUTO = {0};
    struct policy_subject responder;
    struct policy_resolve resolve = {.responder = &responder, .ticket = ticket, .now = x->now};

    if (kms_subject_load(x->worker->store, x->credential.subscriber_id, tbs_unix_from_ntp(x->now),
                         &subject, &f->diag))
        return kms_fails(f, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    responder = kms_subject_asked(&subject, x->identity);
    if (policy->decide_resolve(x->rules, &resolve, ret_identity, &x->decision.verdict, &f->diag))
        return kms_fails(f, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    return true;
}

/* What the Responder gets: keys, and with forking the modifier that made them unique. */
struct grant {
    bool forked;
    struct ticket_id identity;
    uint8_t randrkms[MIKEY_RAND_LEN];
    struct mikey_key_set keys; /* MPKi || [MPKr'] || session keys */
};

static enum tbs_err fork_keys(uint8_t prf, struct grant *g, struct tbs_bytes mpkr,
                              struct tbs_secret *ret_mpkr, struct ticket_contents *contents,
                              struct tbs_diag *diag)
{
    struct ticket_modifier modifier = {.id = g->identity.data,
                                       .randrkms = tbs_bytes(g->randrkms, sizeof g->randrkms)};
    enum tbs_err err = ticket_fork_mpkr(prf, mpkr, modifier, ret_mpkr, diag);

    return err ? err : ticket_fork_tgks(prf, &contents->keys, 1, modifier, diag);
}

static enum tbs_err collect(struct grant *g, const struct ticket_contents *contents,
                            struct tbs_bytes mpki, struct tbs_bytes forked_mpkr,
                            struct tbs_diag *diag)
{
    struct mikey_key keys[MIKEY_KEYS_MAX];
    size_t n = 0;

    /* A network function may have made the ticket. */
    if (contents->keys.n - 1 > TICKET_SESSION_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the ticket holds more than %d session keys",
                        TICKET_SESSION_KEYS_MAX);
    keys[n] = contents->keys.key[0];
    keys[n++].key = mpki;
    if (g->forked) {
        keys[n] = contents->keys.key[0];
        keys[n++].key = forked_mpkr;
    }
    memcpy(&keys[n], &contents->keys.key[1], (contents->keys.n - 1) * sizeof *keys);
    return mikey_key_set_copy(keys, n + contents->keys.n - 1, &g->keys, diag);
}

static bool grant_keys(struct kms_exchange *x, const struct mikey_payload *ticket,
                       struct ticket_contents *contents, struct grant *g, struct kms_failure *f)
{
    struct tbs_secret mpki TBS_SECRET_AUTO = {0}, mpkr TBS_SECRET_AUTO = {0};
    struct tbs_secret forked TBS_SECRET_AUTO = {0};
    uint8_t prf = ticket->ticket.prf;
    struct tbs_diag *diag = &f->diag;

    if (ticket_derive_mpks(prf, contents, &mpki, &mpkr, diag))
        return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    if (g->forked) {
        /* RFC 6043 4.2.3.4: only the Initiator that got MPKr can have sent this ticket. */
        if (ticket_initiator_data_check(ticket, mikey_suite_of_prf(prf), tbs_secret_view(&mpkr),
                                        diag))
            return bad_ticket(f, KMS_TICKET);
        if (custody_random(x->worker->session, g->randrkms, sizeof g->randrkms, diag) ||
            fork_keys(prf, g, tbs_secret_view(&mpkr), &forked, contents, diag))
            return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    }
    if (collect(g, contents, tbs_secret_view(&mpki), tbs_secret_view(&forked), diag))
        return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    return true;
}

static bool respond(struct kms_exchange *x, const struct grant *g, struct tbs_buf *body,
                    struct kms_failure *f)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    uint64_t t = kms_fresh_t(x->worker->kms);

    if (!kms_response_keys(x, &keys, f))
        return false;
    struct mikey_writer w = kms_begin_response(x, MIKEY_RESOLVE_RESP, body, t);

    kms_put_idrkms(x, &w);
    if (mikey_put_sealed(&w, x->suite, &keys, x->m.hdr.csb_id, t, &g->keys, &f->diag))
        return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    if (g->forked) {
        mikey_put_idr(&w, MIKEY_IDRR, g->identity.type, g->identity.data);
        mikey_put_randr(&w, MIKEY_RANDRKMS, tbs_bytes(g->randrkms, sizeof g->randrkms));
    }
    return kms_end_response(x, &w, &keys, f);
}

bool kms_ticket_resolve(struct kms_exchange *x, struct tbs_buf *body, struct kms_failure *failure)
{
    const struct mikey_payload *ticket = mikey_find(&x->m.payloads, MIKEY_TICKET, 0);
    struct ticket_contents contents TICKET_CONTENTS_AUTO = {0};
    struct ticket_policy policy;
    struct grant g = {0};
    bool ok;

    if (!ticket) {
        tbs_fail(&failure->diag, TBS_ERR_MALFORMED, "the RESOLVE_INIT has no TICKET payload");
        return kms_fails(failure, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
    }
    x->decision.ticket = ticket->ticket.core;
    g.forked = ticket->ticket.flags & TICKET_I;
    ok = check_type(x, ticket, failure) && open_ticket(x, ticket, &policy, &contents, failure) &&
         decide(x, &policy, &g.identity, failure) &&
         grant_keys(x, ticket, &contents, &g, failure) && respond(x, &g, body, failure);
    mikey_key_set_free(&g.keys);
    return ok;
}
