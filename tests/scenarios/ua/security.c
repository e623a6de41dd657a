/* What libtbs does for a call, and what is kept between calls: tickets and resolved tickets that
 * may be used again. */
#include <openssl/rand.h>
#include <string.h>

#include "ua.h"

#define REPLAYS 1024

struct kept_ticket {
    char responder[UA_REASON_MAX];
    struct tbs_ticket *ticket;
};

struct security {
    const struct ua_options *o;
    struct account account;
    struct tbs_replay *replay;
    struct kept_ticket tickets[UA_CACHE_MAX];
    struct tbs_resolved *resolved[UA_CACHE_MAX];
    size_t n_tickets, n_resolved;
};

enum tbs_err security_open(const struct ua_options *o, struct security **ret_security,
                           struct tbs_diag *diag)
{
    struct security *s = calloc(1, sizeof *s);
    enum tbs_err err;

    if (!s)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    s->o = o;
    err = account_read(o->account, &s->account, diag);
    if (!err)
        err = tbs_replay_new(REPLAYS, &s->replay, diag);
    if (err)
        security_close(s);
    else
        *ret_security = s;
    return err;
}

void security_close(struct security *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_tickets; i++)
        tbs_ticket_free(s->tickets[i].ticket);
    for (size_t i = 0; i < s->n_resolved; i++)
        tbs_resolved_free(s->resolved[i]);
    tbs_replay_free(s->replay);
    account_free(&s->account);
    free(s);
}

const char *security_identity(const struct security *s)
{
    return s->account.credential.identity;
}

void exchange_free(struct exchange *e)
{
    for (size_t i = 0; !e->wants_none && i < e->n_answered; i++)
        tbs_buf_free(&e->answered[i]);
    tbs_transfer_free(e->transfer);
    tbs_buf_free(&e->offered);
    tbs_offer_free(e->offer);
    tbs_update_free(e->update);
    tbs_session_free(e->session);
    tbs_buf_free(&e->response);
    tbs_buf_free(&e->sdp);
    memset(e, 0, sizeof *e);
}

static enum tbs_err ask_kms(struct security *s, const char *what, struct tbs_bytes message,
                            struct tbs_buf *ret_response, struct tbs_diag *diag)
{
    struct ua_path sent = message_path(s->o, s->o->name, "kms", what, "mikey"), received;
    enum tbs_err err;

    /* The answer is later by its name, too. */
    sys_usleep(1);
    received = message_path(s->o, "kms", s->o->name, what, "mikey");
    err = account_post(&s->account, message,
                       &(struct account_copies){sent.text[0] ? sent.text : NULL,
                                                sent.text[0] ? received.text : NULL},
                       ret_response, diag);
    return err;
}

static enum tbs_err request_ticket(struct security *s, const char *responder, unsigned flags,
                                   struct tbs_ticket **ret_ticket, struct tbs_diag *diag)
{
    struct tbs_wish wish = {.responders = &responder,
                            .n_responders = 1,
                            .apps = s->o->marks,
                            .n_apps = s->o->n_marks,
                            .flags = flags,
                            .validity_seconds = s->o->valid};
    struct tbs_request *request = NULL;
    struct tbs_buf response TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err =
        tbs_request_begin(&s->account.credential, &wish, tbs_clock_system(), &request, diag);

    if (!err)
        err = ask_kms(s, "request", tbs_request_octets(request), &response, diag);
    if (!err)
        err = tbs_request_finish(request, tbs_buf_view(&response), ret_ticket, diag);
    tbs_request_free(request);
    return err;
}

/* A ticket for this responder; one that may be used again is kept. */
static enum tbs_err find_ticket(struct security *s, const char *responder,
                                struct tbs_ticket **ret_ticket, bool *ret_kept,
                                struct tbs_diag *diag)
{
    struct kept_ticket *k;
    enum tbs_err err;

    for (size_t i = 0; i < s->n_tickets; i++)
        if (strcmp(s->tickets[i].responder, responder) == 0) {
            *ret_ticket = s->tickets[i].ticket;
            *ret_kept = true;
            event("ticket", json_pack("{s:s, s:b}", "for", responder, "again", 1));
            return TBS_OK;
        }
    err = request_ticket(s, responder, s->o->flags, ret_ticket, diag);
    if (err)
        return err;
    event("ticket", json_pack("{s:s, s:b}", "for", responder, "again", 0));
    *ret_kept = s->o->flags & TBS_REUSE && s->n_tickets < UA_CACHE_MAX;
    if (*ret_kept) {
        k = &s->tickets[s->n_tickets++];
        snprintf(k->responder, sizeof k->responder, "%s", responder);
        k->ticket = *ret_ticket;
    }
    return TBS_OK;
}

static void keep_offered(struct exchange *e, const struct tbs_buf *sdp)
{
    tbs_buf_free(&e->offered);
    e->offered = tbs_buf();
    tbs_put_bytes(&e->offered, tbs_buf_view(sdp));
}

/* The session before an update has done its service: its keys are in a file. */
static void keep_session(struct exchange *e, struct tbs_session *session)
{
    tbs_session_free(e->session);
    e->session = session;
}

enum tbs_err security_offer(struct security *s, const char *responder, enum tbs_srtp srtp,
                            bool leave, struct tbs_bytes sdp, struct exchange *e,
                            struct tbs_buf *ret_sdp, struct tbs_diag *diag)
{
    struct tbs_crypto_session sessions[] = {{.id = 1, .srtp = srtp, .has_ssrc = true},
                                            {.id = 2, .srtp = srtp}};
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_ticket *ticket;
    bool kept = false;
    enum tbs_err err = tbs_sdp_offer_ids(sdp, TBS_SDP_SESSION, ids, diag);

    if (!err && RAND_bytes((unsigned char *)&sessions[0].ssrc, sizeof sessions[0].ssrc) != 1)
        err = tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL gave no random octets");
    if (!err)
        err = leave ? request_ticket(s, responder, TBS_RANDRI, &ticket, diag)
                    : find_ticket(s, responder, &ticket, &kept, diag);
    if (err)
        return err;
    err = tbs_transfer_begin(ticket, responder, sessions, 2, ids, tbs_clock_system(), &e->transfer,
                             diag);
    if (!err)
        err = tbs_sdp_insert(sdp, TBS_SDP_SESSION, tbs_transfer_octets(e->transfer), ret_sdp, diag);
    if (!err) {
        e->allow = s->o->allow;
        e->wants_none = leave;
        keep_offered(e, ret_sdp);
    }
    if (!err && leave)
        err = tbs_transfer_session(e->transfer, &e->session, diag);
    if (!kept)
        tbs_ticket_free(ticket);
    return err;
}

static bool seen(const struct exchange *e, struct tbs_bytes answer)
{
    for (size_t i = 0; i < e->n_answered; i++)
        if (tbs_bytes_equal(tbs_buf_view(&e->answered[i]), answer))
            return true;
    return false;
}

static enum tbs_err take_message(struct exchange *e, struct tbs_bytes message,
                                 struct tbs_session **ret_session, struct tbs_diag *diag)
{
    enum tbs_err err;

    if (!e->update)
        return tbs_transfer_finish(e->transfer, message, ret_session, diag);
    err = tbs_update_finish(e->update, message, ret_session, diag);
    if (!err) {
        tbs_update_free(e->update);
        e->update = NULL;
    }
    return err;
}

enum tbs_err security_finish(struct exchange *e, struct tbs_bytes sdp,
                             struct tbs_session **ret_session, struct tbs_diag *diag)
{
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_buf message = tbs_buf();
    enum tbs_err err;

    if (e->wants_none) {
        *ret_session = e->n_answered++ == 0 ? e->session : NULL;
        return TBS_OK;
    }
    err = tbs_sdp_check_answer(tbs_buf_view(&e->offered), sdp, TBS_SDP_SESSION, e->allow, diag);
    if (!err)
        err = tbs_sdp_extract(sdp, TBS_SDP_SESSION, &message, ids, diag);
    if (!err && seen(e, tbs_buf_view(&message))) {
        *ret_session = NULL;
        tbs_buf_free(&message);
        return TBS_OK;
    }
    if (!err && e->n_answered == TBS_RESPONDERS_MAX)
        err = tbs_fail(diag, TBS_ERR_LIMIT, "more than %d answers", TBS_RESPONDERS_MAX);
    if (!err)
        err = take_message(e, tbs_buf_view(&message), ret_session, diag);
    if (err) {
        tbs_buf_free(&message);
        return err;
    }
    keep_session(e, *ret_session);
    e->answered[e->n_answered++] = message;
    return TBS_OK;
}

enum tbs_err security_accept(struct security *s, const char *to, struct tbs_bytes sdp,
                             struct exchange *e, struct tbs_diag *diag)
{
    const char *answers_for[UA_URIS_MAX + 1];
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_acceptance acceptance = {
        .groups = answers_for,
        .n_groups = s->o->n_groups,
        .sdp_ids = ids,
        .replay = s->replay,
        .max_age_seconds = s->o->max_age,
    };
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = tbs_sdp_check_offer(sdp, TBS_SDP_SESSION, s->o->allow, diag);

    e->allow = s->o->allow;
    memcpy(answers_for, s->o->groups, sizeof s->o->groups);
    if (s->o->stand_in)
        answers_for[acceptance.n_groups++] = to;
    if (!err)
        err = tbs_sdp_extract(sdp, TBS_SDP_SESSION, &message, ids, diag);
    if (!err)
        err = tbs_accept(&s->account.credential, &acceptance, tbs_buf_view(&message),
                         tbs_clock_system(), &e->offer, diag);
    return err;
}

enum tbs_err security_resolve(struct security *s, struct exchange *e, struct tbs_diag *diag)
{
    struct tbs_resolve *resolve = NULL;
    struct tbs_buf response TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err;

    for (size_t i = 0; i < s->n_resolved && !e->resolved; i++)
        if (tbs_resolved_fits(s->resolved[i], e->offer)) {
            e->resolved = s->resolved[i];
            event("resolved", json_pack("{s:b}", "again", 1));
        }
    if (e->resolved)
        return TBS_OK;
    if (s->n_resolved == UA_CACHE_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "no more than %d tickets are kept", UA_CACHE_MAX);
    err = tbs_resolve_begin(e->offer, &s->account.credential, tbs_clock_system(), &resolve, diag);
    if (!err)
        err = ask_kms(s, "resolve", tbs_resolve_octets(resolve), &response, diag);
    if (!err)
        err = tbs_resolve_finish(resolve, tbs_buf_view(&response), &e->resolved, diag);
    tbs_resolve_free(resolve);
    if (err)
        return err;
    s->resolved[s->n_resolved++] = e->resolved;
    event("resolved", json_pack("{s:b}", "again", 0));
    return TBS_OK;
}

enum tbs_err security_answer(struct security *s, struct tbs_bytes sdp, struct exchange *e,
                             struct tbs_session **ret_session, struct tbs_diag *diag)
{
    enum tbs_err err;

    *ret_session = NULL;
    if (e->sdp.len > 0)
        return TBS_OK;
    err = security_resolve(s, e, diag);
    if (!err)
        err = tbs_answer(e->offer, e->resolved, NULL, 0, &e->response, ret_session, diag);
    if (!err && e->response.len > 0) {
        err = tbs_sdp_insert(sdp, TBS_SDP_SESSION, tbs_buf_view(&e->response), &e->sdp, diag);
    } else if (!err) { /* the ticket wants no answer */
        e->sdp = tbs_buf();
        tbs_put_bytes(&e->sdp, sdp);
    }
    if (!err)
        keep_session(e, *ret_session);
    return err;
}

enum tbs_err security_update(struct exchange *e, struct tbs_bytes sdp, struct tbs_buf *ret_sdp,
                             struct tbs_diag *diag)
{
    char ids[TBS_SDP_IDS_MAX];
    enum tbs_err err = tbs_sdp_offer_ids(sdp, TBS_SDP_SESSION, ids, diag);

    if (!err && !e->session)
        err = tbs_fail(diag, TBS_ERR_INVALID, "there is no session to update");
    tbs_update_free(e->update); /* one that the other side refused */
    e->update = NULL;
    if (!err)
        err = tbs_session_supply(e->session, NULL, 0, diag);
    if (!err)
        err = tbs_update_begin(e->session, NULL, 0, ids, tbs_clock_system(), &e->update, diag);
    if (!err)
        err = tbs_sdp_insert(sdp, TBS_SDP_SESSION, tbs_update_octets(e->update), ret_sdp, diag);
    if (!err)
        keep_offered(e, ret_sdp);
    return err;
}

bool security_is_update(const struct exchange *e, struct tbs_bytes offer)
{
    char ids[TBS_SDP_IDS_MAX];
    uint32_t csb_id;
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();

    return e->session && !tbs_sdp_extract(offer, TBS_SDP_SESSION, &message, ids, NULL) &&
           tbs_is_update(tbs_buf_view(&message), &csb_id);
}

enum tbs_err security_answer_update(struct exchange *e, struct tbs_bytes offer,
                                    struct tbs_bytes sdp, struct tbs_session **ret_session,
                                    struct tbs_diag *diag)
{
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf(), response TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = tbs_sdp_check_offer(offer, TBS_SDP_SESSION, e->allow, diag);

    if (!err)
        err = tbs_sdp_extract(offer, TBS_SDP_SESSION, &message, ids, diag);
    if (!err)
        err = tbs_update_answer(e->session, tbs_buf_view(&message), NULL, 0, 0, ids,
                                tbs_clock_system(), &response, ret_session, diag);
    if (err)
        return err;
    keep_session(e, *ret_session);
    tbs_buf_free(&e->sdp);
    e->sdp = tbs_buf();
    return tbs_sdp_insert(sdp, TBS_SDP_SESSION, tbs_buf_view(&response), &e->sdp, diag);
}

void security_refuse(struct tbs_bytes offer, struct tbs_bytes sdp, const struct tbs_diag *why,
                     struct tbs_buf *ret_sdp)
{
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf(), error TBS_BUF_AUTO = tbs_buf();

    *ret_sdp = tbs_buf();
    if (!tbs_sdp_extract(offer, TBS_SDP_SESSION, &message, ids, NULL) &&
        !tbs_refuse(tbs_buf_view(&message), why, tbs_clock_system(), &error, NULL))
        tbs_sdp_insert(sdp, TBS_SDP_SESSION, tbs_buf_view(&error), ret_sdp, NULL);
}
