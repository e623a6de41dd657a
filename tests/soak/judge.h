/* What docs/mikey-ticket.md says of an answer, held against one. */
#ifndef TBS_TESTS_JUDGE_H
#define TBS_TESTS_JUDGE_H

#include "tests/soak/wire.h"
#include "tests/support/requester.h"

/* How a message that was sent relates to its answer. */
enum judge_case {
    JUDGE_GOOD,      /* as the protocol wants it: 200 */
    JUDGE_AUTHENTIC, /* a right MAC, over anything */
    JUDGE_REPLAYED,  /* a right MAC, and a T that was used before */
    JUDGE_DAMAGED,   /* changed after its MAC was made: refused without a MAC in the answer */
};

/* NULL: the answer to `message` is right; else what is wrong with it. `r` sent the message.
 * *ret_authenticated: the KMS found the message's MAC right. */
const char *judge(enum judge_case what, const struct requester *r, struct tbs_bytes message,
                  const struct wire_answer *answer, bool *ret_authenticated);
/* The same for an answer to octets that need not be a request at all. */
const char *judge_http(const struct wire_answer *answer);

#endif
