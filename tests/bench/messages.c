#include "bench.h"

#include <openssl/rand.h>
#include <stdlib.h>

#include "tests/support/requester.h"

/* What a subscriber resolves. */
struct ticket {
    struct tbs_buf core, initiator_data;
};

void messages_free(struct messages *messages)
{
    for (size_t i = 0; i < messages->n; i++)
        tbs_buf_free(&messages->at[i]);
    free(messages->at);
    *messages = (struct messages){0};
}

/* The subscriber's next message: its T is now and was never used before. */
static enum tbs_err requester_of(const struct bench *b, const struct subscriber *s,
                                 struct requester *ret_requester, struct tbs_diag *diag)
{
    static uint32_t n;
    struct requester r = requester(&mikey_suite_256, s->uri, s->psk_id,
                                   tbs_bytes(s->psk, sizeof s->psk), b->config->kms.identity);

    r.t = tbs_ntp_now(tbs_clock_system()) + ++n;
    if (RAND_bytes(r.rand, sizeof r.rand) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL has no random octets");
    *ret_requester = r;
    return TBS_OK;
}

static enum tbs_err put_request(const struct requester *r, const struct exchange *e,
                                const struct subscriber *responder, struct tbs_buf *ret_message,
                                struct tbs_diag *diag)
{
    static const uint8_t any[32];
    struct ticket_policy wish = requester_wish(r, responder->uri);

    if (e->forking)
        wish.flags |= TICKET_I;
    while (wish.n_keys < e->keys)
        wish.keys[wish.n_keys++] =
            (struct mikey_key){.type = MIKEY_TGK, .key = tbs_bytes(any, sizeof any)};
    return requester_request(r, &wish, ret_message, diag);
}

/* --- Tickets to resolve, made by the KMS in process --- */

static enum tbs_err copy_ticket(const struct requester_answer *answer, struct ticket *ret_ticket,
                                struct tbs_diag *diag)
{
    tbs_put_bytes(&ret_ticket->core, answer->ticket.ticket.core);
    if (!(answer->granted.flags & TICKET_I))
        return TBS_OK;
    return requester_initiator_data(answer, &ret_ticket->initiator_data, diag);
}

static enum tbs_err make_ticket(struct bench *b, const struct exchange *e,
                                const struct subscriber *initiator,
                                const struct subscriber *responder, struct ticket *ret_ticket,
                                struct tbs_diag *diag)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf(), octets TBS_BUF_AUTO = tbs_buf();
    REQUESTER_ANSWER_AUTO struct requester_answer answer = {0};
    struct requester r;
    enum tbs_err err = requester_of(b, initiator, &r, diag);

    if (!err)
        err = put_request(&r, e, responder, &message, diag);
    if (!err)
        err = bench_answer(&b->worker, tbs_buf_view(&message), &octets, diag);
    if (!err)
        err = requester_open(&r, tbs_buf_view(&message), tbs_buf_view(&octets), &answer, diag);
    return err ? err : copy_ticket(&answer, ret_ticket, diag);
}

static enum tbs_err make_tickets(struct bench *b, const struct exchange *e, struct ticket *tickets,
                                 size_t n, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    for (size_t i = 0; !err && i < n && i < SUBSCRIBERS; i++)
        err = make_ticket(b, e, &b->subscriber[(i + SUBSCRIBERS - 1) % SUBSCRIBERS],
                          &b->subscriber[i], &tickets[i], diag);
    return err;
}

/* --- Messages --- */

static enum tbs_err put_message(struct bench *b, const struct exchange *e, size_t i,
                                const struct ticket *tickets, struct tbs_buf *ret_message,
                                struct tbs_diag *diag)
{
    size_t who = i % SUBSCRIBERS;
    struct requester r;
    enum tbs_err err = requester_of(b, &b->subscriber[who], &r, diag);

    if (err)
        return err;
    if (e->is_resolve)
        return requester_resolve(&r, tbs_buf_view(&tickets[who].core),
                                 tbs_buf_view(&tickets[who].initiator_data), ret_message, diag);
    return put_request(&r, e, &b->subscriber[(who + 1) % SUBSCRIBERS], ret_message, diag);
}

enum tbs_err messages_make(struct bench *bench, const struct exchange *exchange, size_t n,
                           struct tbs_diag *diag)
{
    struct messages *m = &bench->messages;
    struct ticket tickets[SUBSCRIBERS];
    enum tbs_err err = TBS_OK;

    messages_free(m);
    m->at = calloc(n, sizeof *m->at);
    if (!m->at)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for %zu messages", n);
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        tickets[i] = (struct ticket){tbs_buf(), tbs_buf()};
    if (exchange->is_resolve)
        err = make_tickets(bench, exchange, tickets, n, diag);
    for (; !err && m->n < n; m->n++) {
        m->at[m->n] = tbs_buf();
        err = put_message(bench, exchange, m->n, tickets, &m->at[m->n], diag);
    }
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        tbs_buf_free(&tickets[i].core);
        tbs_buf_free(&tickets[i].initiator_data);
    }
    return err;
}
