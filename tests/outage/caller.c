#include "tests/outage/caller.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tests/outage/row.h"

#define KMS "sip:kms@example.net"
#define ALICE "sip:alice@example.net"
#define BOB "sip:bob@example.net"
#define PATIENCE_MS 10000 /* twice the daemon's deadline */
#define AGAIN_NS 20000000 /* after a refusal */
#define GIVE_UP 1500      /* refusals of one message */

static void pause_ns(uint64_t ns)
{
    nanosleep(&(struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)}, NULL);
}

/* --- One message --- */

/* Its T was never used before. */
static void make_fresh(struct requester *r)
{
    static _Atomic uint64_t latest;
    uint64_t now = tbs_ntp_now(tbs_clock_system()), last = latest;

    do
        r->t = now > last ? now : last + 1;
    while (!atomic_compare_exchange_weak(&latest, &last, r->t));
    if (RAND_bytes(r->rand, sizeof r->rand) != 1 ||
        RAND_bytes((uint8_t *)&r->csb_id, sizeof r->csb_id) != 1)
        abort();
}

enum verdict { ANSWERED, REFUSED, WRONG };

static enum verdict judge(const struct requester *r, struct tbs_bytes message,
                          const struct wire_answer *answer, struct requester_answer *ret_opened)
{
    struct tbs_diag diag = {0};
    char why[160];

    if (answer->status == 503 && answer->retry_after && !answer->closes)
        return REFUSED;
    if (answer->status == 200 && !requester_open(r, message, answer->body, ret_opened, &diag))
        return ANSWERED;
    if (answer->status == 200)
        snprintf(why, sizeof why, "an answer that does not open: %.100s", diag.text);
    else
        snprintf(why, sizeof why, "status %d%s", answer->status,
                 answer->retry_after ? "" : " without Retry-After");
    row_wrong(why);
    return WRONG;
}

static enum verdict exchange(struct caller *c, const struct requester *r, struct tbs_bytes message,
                             struct requester_answer *ret_opened)
{
    struct tbs_buf request TBS_BUF_AUTO = tbs_buf();
    struct wire_answer answer;

    wire_put_request(&request, message);
    enum wire_verdict v = wire_send(&c->wire, tbs_buf_view(&request));

    if (v == WIRE_ANSWER)
        v = wire_receive(&c->wire, PATIENCE_MS, &answer);
    if (v != WIRE_ANSWER) {
        row_wrong(v == WIRE_SILENT ? "no answer" : "a connection was lost");
        wire_close(&c->wire);
        return WRONG;
    }
    return judge(r, message, &answer, ret_opened);
}

/* Until it is answered. True: ret_opened is an answer; free it. */
static bool ask(struct caller *c, const struct requester *r, struct tbs_bytes message,
                struct requester_answer *ret_opened)
{
    enum verdict v;
    unsigned refusals = 0;

    while ((v = exchange(c, r, message, ret_opened)) == REFUSED && !c->world->stop) {
        row_refused();
        if (++refusals == GIVE_UP) {
            row_wrong("a message was refused for ever");
            break;
        }
        pause_ns(AGAIN_NS);
    }
    if (v == ANSWERED)
        row_answered();
    return v == ANSWERED;
}

/* --- Tickets --- */

static void forget(struct caller_ticket *ticket)
{
    tbs_buf_free(&ticket->core);
    mikey_key_set_free(&ticket->keys);
    *ticket = (struct caller_ticket){0};
}

static bool keep(struct caller_ticket *ticket, const struct requester_answer *answer)
{
    forget(ticket);
    ticket->core = tbs_buf();
    tbs_put_bytes(&ticket->core, answer->ticket.ticket.core);
    return !mikey_key_set_copy(answer->keys.key, answer->keys.n, &ticket->keys, NULL);
}

static bool same_keys(const struct mikey_key_set *a, const struct mikey_key_set *b)
{
    for (size_t i = 0; i < a->n && a->n == b->n; i++)
        if (!tbs_bytes_equal(a->key[i].key, b->key[i].key))
            return false;
    return a->n == b->n && a->n > 0;
}

static bool request(struct caller *c, struct caller_ticket *ret_ticket)
{
    struct requester_answer answer REQUESTER_ANSWER_AUTO = {0};
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();
    struct ticket_policy wish = requester_wish(&c->alice, BOB);

    make_fresh(&c->alice);
    if (requester_request(&c->alice, &wish, &message, NULL))
        abort();
    return ask(c, &c->alice, tbs_buf_view(&message), &answer) && keep(ret_ticket, &answer);
}

static void resolve(struct caller *c, const struct caller_ticket *ticket)
{
    struct requester_answer answer REQUESTER_ANSWER_AUTO = {0};
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();

    make_fresh(&c->bob);
    if (requester_resolve(&c->bob, tbs_buf_view(&ticket->core), tbs_bytes(NULL, 0), &message, NULL))
        abort();
    if (ask(c, &c->bob, tbs_buf_view(&message), &answer) && !same_keys(&answer.keys, &ticket->keys))
        row_wrong("a ticket was resolved to other keys than were granted");
}

/* --- The thread --- */

static void check_tickets(struct caller *c)
{
    size_t n = c->granted < CALLER_TICKETS ? c->granted : CALLER_TICKETS;

    for (size_t i = 0; i < n; i++)
        resolve(c, &c->ticket[i]);
    c->granted = 0;
    c->checks = c->world->asked;
    c->world->checked++;
}

void *caller_run(void *caller)
{
    struct caller *c = caller;
    struct caller_world *w = c->world;

    c->wire = wire(w->server);
    c->alice = requester(&mikey_suite_256, ALICE, "alice-1", tbs_buf_view(&w->alice), KMS);
    c->bob = requester(&mikey_suite_256, BOB, "bob-1", tbs_buf_view(&w->bob), KMS);
    while (!w->stop) {
        struct caller_ticket *ticket = &c->ticket[c->granted % CALLER_TICKETS];

        pause_ns(w->pause_ns);
        if (request(c, ticket)) {
            c->granted++;
            pause_ns(w->pause_ns);
            resolve(c, ticket);
        }
        if (c->checks != w->asked)
            check_tickets(c);
    }
    for (size_t i = 0; i < CALLER_TICKETS; i++)
        forget(&c->ticket[i]);
    wire_close(&c->wire);
    return NULL;
}
