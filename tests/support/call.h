/* Both ends of a call without a KMS: the ticket's keys are made here. For tests of libtbs. */
#ifndef TBS_TESTS_CALL_H
#define TBS_TESTS_CALL_H

#include "client/internal.h"

#define CALL_ALICE "sip:alice@example.net"
#define CALL_BOB "sip:bob@example.net"

struct call {
    uint64_t now; /* both clocks */
    struct tbs_ticket *ticket;
    struct tbs_resolved *resolved;
    struct tbs_session *alice, *bob;
    struct tbs_buf init, resp;
    bool bob_supplies; /* his answer has keys of his own */
    const struct tbs_own_key *bobs;
    size_t n_bobs;
    struct tbs_diag diag; /* of what was said last */
};

struct call_wish {
    unsigned flags; /* enum tbs_flag */
    const struct tbs_key_wish *keys;
    size_t n_keys;
    bool suite_128;
};

struct tbs_clock call_clock(struct call *call);
struct tbs_credential call_credential(const char *identity, bool suite_128);
/* Ticket and resolved ticket; the test ends where that fails. */
void call_tickets(struct call *call, const struct call_wish *wish);
/* TRANSFER_INIT, TRANSFER_RESP and both sessions: CS 1 and 2. */
void call_connect(struct call *call);
/* The same, but for what goes wrong, which is in call->diag. */
enum tbs_err call_try(struct call *call);
/* Both: call_tickets, then call_connect. */
void call_make(struct call *call, unsigned flags);
void call_free(struct call *call);
/* True when both have the same keys for the same crypto sessions. */
bool call_agree(const struct tbs_session *a, const struct tbs_session *b);

#endif
