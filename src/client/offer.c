/* The Responder reads a TRANSFER_INIT. RFC 6043 4.2.2.2, 5.5, 6.1.1, 6.10, 12.1, 12.4. */
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"

#define RAND_MIN 16 /* octets, RFC 6043 12.1 */

struct reading {
    struct tbs_offer *offer;
    const struct tbs_credential *credential;
    const struct tbs_acceptance *acceptance;
    uint64_t now;
    struct tbs_diag *diag;
};

/* A refusal that tbs_refuse tells the Initiator with this Error no. */
#define REFUSE(r, err, error_no, ...) tbs_fail_raw((r)->diag, err, error_no, __VA_ARGS__)

/* The same for what another room refused. */
static enum tbs_err with_error_no(struct reading *r, enum tbs_err err, uint8_t error_no)
{
    if (err && r->diag)
        r->diag->raw = error_no;
    return err;
}

static enum tbs_err check_suite(struct reading *r)
{
    struct tbs_offer *o = r->offer;
    const struct mikey_payload *v;

    if (o->m.hdr.data_type != MIKEY_TRANSFER_INIT)
        return REFUSE(r, TBS_ERR_MALFORMED, MIKEY_E_INVALID_DT, "this is a %s, not a TRANSFER_INIT",
                      mikey_data_type_name(o->m.hdr.data_type));
    o->suite = mikey_suite_of_prf(o->m.hdr.prf);
    if (!o->suite)
        return REFUSE(r, TBS_ERR_UNSUPPORTED, MIKEY_E_INVALID_PRF, "PRF func %u is unknown",
                      o->m.hdr.prf);
    return with_error_no(r, mikey_find_v(&o->m, o->suite, &v, r->diag), MIKEY_E_INVALID_MAC);
}

static struct tbs_bytes mac_of(const struct tbs_offer *offer)
{
    return offer->m.payloads.p[offer->m.payloads.n - 1].v.mac;
}

enum tbs_err client_check_t(const struct mikey_message *m, uint64_t now, uint32_t max_age,
                            struct tbs_diag *diag)
{
    const struct mikey_payload *t = mikey_find(&m->payloads, MIKEY_T, 0);
    int64_t off, before = max_age > TBS_TIME_WINDOW ? max_age : TBS_TIME_WINDOW;

    if (!t || (t->t.ts_type != MIKEY_TS_NTP_UTC && t->t.ts_type != MIKEY_TS_NTP))
        return tbs_fail_raw(diag, TBS_ERR_TIME, MIKEY_E_INVALID_TS,
                            "the TRANSFER_INIT has no T payload of an NTP type");
    off = tbs_ntp_diff_seconds(t->t.value, now);
    if (off > TBS_TIME_WINDOW || off < -before)
        return tbs_fail_raw(
            diag, TBS_ERR_TIME, MIKEY_E_INVALID_TS,
            "the TRANSFER_INIT is of a time %lld seconds from now; %lld before and %d "
            "after now are accepted",
            (long long)off, (long long)before, TBS_TIME_WINDOW);
    return TBS_OK;
}

static enum tbs_err check_freshness(struct reading *r)
{
    struct tbs_offer *o = r->offer;
    enum tbs_err err = client_check_t(&o->m, r->now, r->acceptance->max_age_seconds, r->diag);

    if (err)
        return err;
    if (o->replay && client_replay_has(o->replay, mac_of(o)))
        return REFUSE(r, TBS_ERR_REPLAY, MIKEY_E_INVALID_TS, "this TRANSFER_INIT came before");
    if (mikey_rand_data(&o->m.payloads, MIKEY_RANDRI).len < RAND_MIN)
        return REFUSE(r, TBS_ERR_MALFORMED, MIKEY_E_UNSPECIFIED,
                      "the TRANSFER_INIT has no RANDRi of at least %d octets (RFC 6043 12.1)",
                      RAND_MIN);
    return TBS_OK;
}

static enum tbs_err check_type(struct reading *r)
{
    struct tbs_offer *o = r->offer;
    const struct mikey_payload *ticket = o->ticket;

    /* The Base Ticket's specification is the RFC itself, so that flag O says nothing more. */
    if (ticket->ticket.type != TICKET_TYPE_MIKEY_BASE || ticket->ticket.subtype != TICKET_SUBTYPE ||
        ticket->ticket.version != TICKET_VERSION)
        return REFUSE(r, TBS_ERR_UNSUPPORTED, MIKEY_E_INVALID_TICKET,
                      "ticket type %u, subtype %u, version %u is not supported",
                      ticket->ticket.type, ticket->ticket.subtype, ticket->ticket.version);
    if (ticket->ticket.prf != o->m.hdr.prf)
        return REFUSE(r, TBS_ERR_DENIED, MIKEY_E_INVALID_PRF,
                      "the ticket has PRF Func %u, the TRANSFER_INIT %u: algorithms are not mixed "
                      "(RFC 6043 12.1)",
                      ticket->ticket.prf, o->m.hdr.prf);
    if (o->suite->encr_key_len > client_suite(r->credential->suite)->encr_key_len)
        return REFUSE(r, TBS_ERR_DENIED, MIKEY_E_INVALID_EA,
                      "the ticket's keys are longer than this credential's suite protects");
    if (o->suite == &mikey_suite_128 && r->credential->suite != TBS_SUITE_128 &&
        !r->acceptance->suite_128)
        return REFUSE(r, TBS_ERR_DENIED, MIKEY_E_INVALID_PRF, "suite 128 is not accepted here");
    return TBS_OK;
}

static bool answers_for(const struct reading *r, struct tbs_bytes id)
{
    if (tbs_bytes_equal(id, tbs_bytes_str(r->credential->identity)))
        return true;
    for (size_t i = 0; i < r->acceptance->n_groups; i++)
        if (tbs_bytes_equal(id, tbs_bytes_str(r->acceptance->groups[i])))
            return true;
    return false;
}

static enum tbs_err check_responders(struct reading *r)
{
    const struct ticket_policy *p = &r->offer->policy;

    for (size_t i = 0; i < p->n_responders; i++)
        if (answers_for(r, p->responders[i].data))
            return TBS_OK;
    return REFUSE(r, TBS_ERR_DENIED, MIKEY_E_INVALID_TPPAR, "the ticket is not for %.200s",
                  r->credential->identity);
}

static enum tbs_err check_app(struct reading *r)
{
    const struct ticket_policy *p = &r->offer->policy;
    const char *app = r->acceptance->app;

    size_t others = 0;

    for (size_t i = 0; i < p->n_apps; i++) {
        if (app && tbs_bytes_equal(p->apps[i].data, tbs_bytes_str(app)))
            return TBS_OK;
        others += !ticket_is_mark(&p->apps[i]);
    }
    if (others == 0)
        return TBS_OK;
    return REFUSE(r, TBS_ERR_DENIED, MIKEY_E_INVALID_TPPAR,
                  "the ticket is for other applications (IDRapp) than %.100s",
                  app ? app : "this one");
}

static enum tbs_err check_initiator(struct reading *r)
{
    struct tbs_bytes idri = mikey_id_data(&r->offer->m.payloads, MIKEY_IDRI);
    struct tbs_bytes owner = r->offer->policy.initiator.data;

    if (idri.len == 0 && owner.len == 0)
        return REFUSE(r, TBS_ERR_MALFORMED, MIKEY_E_UNSPECIFIED,
                      "neither the TRANSFER_INIT nor its ticket names the Initiator");
    if (idri.len > 0 && owner.len > 0 && !tbs_bytes_equal(idri, owner))
        return REFUSE(r, TBS_ERR_DENIED, MIKEY_E_INVALID_TICKET,
                      "IDRi names another Initiator than the ticket");
    return TBS_OK;
}

static enum tbs_err check_flags(struct reading *r)
{
    unsigned missing = r->acceptance->flags & ~(unsigned)r->offer->policy.flags;

    if (missing)
        return REFUSE(r, TBS_ERR_DENIED, MIKEY_E_INVALID_TPPAR,
                      "the ticket lacks flags that are demanded here: %#x (enum tbs_flag)",
                      missing);
    if (mikey_find(&r->offer->m.payloads, MIKEY_KEMAC, 0) && !(r->offer->policy.flags & TICKET_L))
        return REFUSE(r, TBS_ERR_DENIED, MIKEY_E_INVALID_TPPAR,
                      "the Initiator supplies session keys, which the ticket does not let it "
                      "(flag L, RFC 6043 6.10)");
    return TBS_OK;
}

/* The policy alone; whether the ticket is authentic only the KMS can say. */
static enum tbs_err check_policy(struct reading *r)
{
    struct tbs_offer *o = r->offer;
    enum tbs_err err = ticket_policy_decode(o->ticket, &o->policy, r->diag);

    if (!err)
        err = ticket_policy_check(&o->policy, false, r->diag);
    if (err)
        return with_error_no(r, err, MIKEY_E_INVALID_TPPAR);
    err = with_error_no(r, client_check_validity(&o->policy, r->now, r->diag),
                        MIKEY_E_INVALID_TICKET);
    if (!err)
        err = check_responders(r);
    if (!err)
        err = check_app(r);
    if (!err)
        err = check_initiator(r);
    return err ? err : check_flags(r);
}

/* RFC 6043 6.10: Initiator Data is there if and only if forking is; Vi repeats V. */
static enum tbs_err check_initiator_data(struct reading *r)
{
    const struct mikey_payload *ticket = r->offer->ticket;
    bool forking = r->offer->policy.flags & TICKET_I;

    if (!forking && ticket->ticket.initiator_data.len > 0)
        return REFUSE(r, TBS_ERR_MALFORMED, MIKEY_E_INVALID_TICKET,
                      "Initiator Data in a ticket without key forking");
    if (forking && !tbs_bytes_equal(ticket_initiator_data_vi(ticket), mac_of(r->offer)))
        return REFUSE(r, TBS_ERR_AUTH, MIKEY_E_AUTH_FAILURE,
                      "Vi in the Initiator Data is not the V of the TRANSFER_INIT "
                      "(RFC 6043 4.2.3.6)");
    return TBS_OK;
}

/* The list of protocols is as the Initiator wrote it. */
enum tbs_err client_check_sdp_ids(const struct mikey_message *m, const char *sdp_ids,
                                  struct tbs_diag *diag)
{
    const struct mikey_payloads *list = &m->payloads;

    if (!sdp_ids)
        return TBS_OK;
    for (size_t i = 0; i < list->n; i++)
        if (list->p[i].type == MIKEY_GENERAL_EXT && list->p[i].ext.type == MIKEY_EXT_SDP_IDS &&
            tbs_bytes_equal(list->p[i].ext.data, tbs_bytes_str(sdp_ids)))
            return TBS_OK;
    return tbs_fail_raw(diag, TBS_ERR_AUTH, MIKEY_E_AUTH_FAILURE,
                        "the SDP offers the key management protocols '%.100s', which is not what "
                        "the TRANSFER_INIT says: somebody changed the SDP (RFC 4567 4.1.4)",
                        sdp_ids);
}

static enum tbs_err read_offer(struct reading *r)
{
    struct tbs_offer *o = r->offer;
    enum tbs_err err = mikey_decode(tbs_buf_view(&o->raw), &o->m, r->diag);

    if (!err)
        err = check_suite(r);
    if (!err)
        err = check_freshness(r);
    if (err)
        return err;
    o->ticket = mikey_find(&o->m.payloads, MIKEY_TICKET, 0);
    if (!o->ticket)
        return REFUSE(r, TBS_ERR_MALFORMED, MIKEY_E_INVALID_TICKET,
                      "the TRANSFER_INIT has no TICKET: it updates a session that is there "
                      "(tbs_update_answer)");
    err = check_type(r);
    if (!err)
        err = check_policy(r);
    if (!err)
        err = check_initiator_data(r);
    if (!err)
        err = client_check_sdp_ids(&o->m, r->acceptance->sdp_ids, r->diag);
    return err ? err
               : client_choose(&o->m, o->suite, r->acceptance->protocol, r->acceptance->srtp,
                               &o->choices, r->diag);
}

enum tbs_err tbs_accept(const struct tbs_credential *credential,
                        const struct tbs_acceptance *acceptance, struct tbs_bytes transfer_init,
                        struct tbs_clock clock, struct tbs_offer **ret_offer, struct tbs_diag *diag)
{
    struct tbs_offer *o = calloc(1, sizeof *o);
    struct reading r = {.offer = o,
                        .credential = credential,
                        .acceptance = acceptance,
                        .now = tbs_ntp_now(clock),
                        .diag = diag};
    enum tbs_err err;

    if (!o)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    err = client_check_id(credential->identity, "one's own identity", diag);
    if (!err && !client_suite(credential->suite))
        err = tbs_fail(diag, TBS_ERR_INVALID, "suite %d is neither 256 nor 128",
                       (int)credential->suite);
    o->raw = tbs_buf();
    o->identity = tbs_buf();
    o->clock = clock;
    o->replay = acceptance->replay;
    tbs_put_bytes(&o->raw, transfer_init);
    tbs_put_bytes(&o->identity, tbs_bytes_str(credential->identity));
    if (!err && (o->raw.failed || o->identity.failed))
        err = tbs_fail(diag, TBS_ERR_LIMIT, "a TRANSFER_INIT of %zu octets is too long",
                       transfer_init.len);
    if (!err)
        err = read_offer(&r);
    if (err)
        tbs_offer_free(o);
    else
        *ret_offer = o;
    return err;
}

struct tbs_bytes client_offer_initiator(const struct tbs_offer *offer)
{
    struct tbs_bytes idri = mikey_id_data(&offer->m.payloads, MIKEY_IDRI);

    return idri.len > 0 ? idri : offer->policy.initiator.data;
}

/* RFC 6043 5.5: the identities of the parties follow the message; one that was left out is
 * the Responder's own. */
enum tbs_err client_verify_offer(const struct tbs_offer *offer, const struct client_grant *grant,
                                 struct tbs_diag *diag)
{
    struct tbs_bytes idrr = mikey_id_data(&offer->m.payloads, MIKEY_IDRR);
    struct mikey_followed_by identities = {client_offer_initiator(offer),
                                           idrr.len > 0 ? idrr : tbs_buf_view(&offer->identity)};

    return client_verify_transfer(&offer->m, grant, identities, diag);
}

enum tbs_err tbs_offer_supply(struct tbs_offer *offer, const struct tbs_own_key *keys, size_t n,
                              struct tbs_diag *diag)
{
    struct mikey_key_set set;
    enum tbs_err err = client_supply(keys, n, offer->suite, offer->policy.flags, false, &set, diag);

    if (err)
        return err;
    mikey_key_set_free(&offer->supply);
    offer->supply = set;
    return TBS_OK;
}

void tbs_offer_info(const struct tbs_offer *offer, struct tbs_offer_info *ret_info)
{
    struct tbs_offer_info info = {
        .initiator = client_offer_initiator(offer),
        .responder = mikey_id_data(&offer->m.payloads, MIKEY_IDRR),
        .flags = offer->policy.flags & CLIENT_FLAGS,
        .n_sessions = offer->choices.n,
    };

    for (size_t i = 0; i < offer->choices.n; i++) {
        const struct client_choice *choice = &offer->choices.cs[i];
        struct tbs_reader r = tbs_reader(choice->cs.session_data);

        info.sessions[i] = (struct tbs_crypto_session){.id = choice->cs.id,
                                                       .protocol = choice->profile.protocol,
                                                       .srtp = choice->profile.srtp,
                                                       .has_ssrc = choice->cs.session_data.len > 0,
                                                       .ssrc = tbs_read_u32(&r)};
    }
    *ret_info = info;
}

void tbs_offer_free(struct tbs_offer *offer)
{
    if (!offer)
        return;
    tbs_buf_free(&offer->raw);
    tbs_buf_free(&offer->identity);
    mikey_key_set_free(&offer->supply);
    free(offer);
}
