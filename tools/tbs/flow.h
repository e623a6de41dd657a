/* The exchanges of a captured run: who sent what to whom, in order, with the facts that tell
 * the story. Stateless; thread-safe. */
#ifndef TBS_TOOLS_FLOW_H
#define TBS_TOOLS_FLOW_H

#include "base/bytes.h"
#include "base/error.h"

#define FLOW_PARTIES_MAX 6 /* as many as fit side by side */
#define FLOW_STEPS_MAX 200
#define FLOW_FACTS_MAX 4

enum flow_kind { FLOW_OTHER, FLOW_REQUEST, FLOW_TRANSFER, FLOW_RESOLVE, FLOW_ERROR };

struct flow_step {
    unsigned number;
    size_t from, to; /* index into party */
    enum flow_kind kind;
    char *title; /* data type, and the transport where it is SDP */
    size_t n_facts;
    char *fact[FLOW_FACTS_MAX];
};

/* All text is safe to print; a flow owns it. */
struct flow {
    size_t n_parties, n_steps;
    char *party[FLOW_PARTIES_MAX]; /* in the order of their first message */
    struct flow_step step[FLOW_STEPS_MAX];
};

/* Reads files named NN-sender-receiver-anything.mikey or .sdp, and those of such names in
 * folders. Order and participants come from the names. A message and an .sdp of the same
 * name are one step, which SDP carried. TBS_ERR_INVALID for a name of another form,
 * TBS_ERR_NOT_FOUND where there is nothing to draw, TBS_ERR_LIMIT beyond the maxima above.
 * The caller's to flow_free. */
enum tbs_err flow_read(char *const *paths, size_t n, struct flow **ret_flow, struct tbs_diag *diag);
void flow_free(struct flow *flow); /* NULL ok */

/* Kind, title and facts of a message, for one step: `step` is empty before, and its text the
 * caller's to free. A malformed message is a fact too. */
enum tbs_err flow_describe(struct tbs_bytes message, bool in_sdp, struct flow_step *step,
                           struct tbs_diag *diag);

#endif
