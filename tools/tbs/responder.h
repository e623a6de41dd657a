/* What tbs resolve and tbs answer share: who answers, and the offer. */
#ifndef TBS_TOOLS_RESPONDER_H
#define TBS_TOOLS_RESPONDER_H

#include "cli.h"
#include "signalling.h"

#define RESPONDER_GROUPS_MAX 16

struct responder {
    struct cli cli;
    const char *offer, *app;
    const char *groups[RESPONDER_GROUPS_MAX];
    size_t n_groups;
    int level;
    unsigned allow; /* enum tbs_sdp_allow */
    bool suite_128;
    enum tbs_protocol protocol;
    uint32_t max_age_seconds;
};
extern const struct argp responder_argp; /* input: responder; has cli_kms_argp as its child */

/* Account and offer, read and checked. */
struct responder_call {
    struct account account;
    struct signalling signalling;
    struct tbs_offer *offer;
};
#define RESPONDER_CALL_AUTO __attribute__((cleanup(responder_call_free)))
void responder_call_free(struct responder_call *call);
enum tbs_err responder_read(const struct responder *responder, struct responder_call *ret_call,
                            struct tbs_diag *diag);

#endif
