/* Policies: who gets which ticket, and who may resolve it. The KMS brings the facts and asks;
 * a policy only decides. RFC 6043 4.2.1.4, 4.2.3.4, 6.10.
 *
 * A policy may be shared between threads. Decisions allocate nothing.
 * TBS_ERR_DENIED: not authorised; TBS_ERR_INVALID: parameters that this policy never grants;
 * both with the reason in diag. Other errors are the directory's. */
#ifndef TBS_POLICIES_POLICY_H
#define TBS_POLICIES_POLICY_H

#include "base/error.h"
#include "ticket/policy.h"

/* Told of one name; what it returns, unless TBS_OK, ends the list and is returned. */
typedef enum tbs_err policy_name_fn(void *arg, struct tbs_bytes name);

/* What the asking subscriber is. Answered by the KMS from its store. */
struct policy_subject {
    void *ctx;
    /* True when `identity` is one of the subscriber's own public identities. */
    enum tbs_err (*owns)(void *ctx, struct tbs_bytes identity, bool *ret_owns,
                         struct tbs_diag *diag);
    /* True when the subscriber is a member of the group now. */
    enum tbs_err (*is_member)(void *ctx, struct tbs_bytes group, bool *ret_member,
                              struct tbs_diag *diag);
    /* Each of its identities, and each group that it is a member of now, in the spelling of
     * tbs_identity_canonical. */
    enum tbs_err (*each_identity)(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *diag);
    enum tbs_err (*each_group)(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *diag);
    struct ticket_id identity; /* the authenticated identity it speaks as */
    const char *role;          /* "recorder" or another network function; else "none" */
};

struct policy_request {
    const struct policy_subject *initiator;
    const struct ticket_policy *desired; /* checked by ticket_policy_check; without K */
    struct ticket_id kms;
    uint64_t now; /* NTP-UTC */
    /* The one responder has a TPK of its own for what it is sent: the ticket may leave E out
     * (RFC 6043 4.1.1, mode 2). */
    bool responder_resolves;
};

struct policy_resolve {
    const struct policy_subject *responder;
    const struct ticket_policy *ticket; /* authentic and inside its validity */
    uint64_t now;                       /* NTP-UTC */
};

/* Where a grant differs from the wish. */
enum policy_change {
    POLICY_TICKET_KIND = 1 << 0,     /* D and E: the KMS makes and resolves it */
    POLICY_KMS = 1 << 1,             /* IDRkms */
    POLICY_VALIDITY = 1 << 2,        /* TRe */
    POLICY_KEY_COUNT = 1 << 3,       /* fewer keys */
    POLICY_KEY_LENGTH = 1 << 4,      /* completed or shorter */
    POLICY_KEY_INTERVAL = 1 << 5,    /* an SPI instead of an interval */
    POLICY_APPLICATIONS = 1 << 6,    /* IDRapp added */
    POLICY_END_TO_END = 1 << 7,      /* IDRapp tbs:end-to-end added */
    POLICY_FORKING = 1 << 8,         /* I, and what it implies */
    POLICY_REUSE = 1 << 9,           /* J */
    POLICY_INITIATOR_KEYS = 1 << 10, /* L */
    POLICY_RESPONDER_KEYS = 1 << 11, /* M */
    POLICY_REKEY = 1 << 12,          /* TRr */
};
#define POLICY_CHANGES 13

/* A sentence about one change, such as "the validity ends earlier"; never NULL. */
const char *policy_change_text(enum policy_change change);

/* What decided. `rule` and `file` live as long as the rules are held. */
struct policy_verdict {
    const char *rule; /* name of the rule; NULL: none, so it is denied by default */
    const char *file;
    unsigned line;
    unsigned changes; /* enum policy_change, of a request that is granted */
};

struct policy {
    void *settings; /* the policy's own */
    /* The rules as they are now: constant, and there until they are released. */
    const void *(*hold)(void *settings);
    void (*release)(void *settings, const void *rules);
    /* Counts that the subscriber, by its primary identity, asks; TBS_ERR_DENIED: too often. */
    enum tbs_err (*limit)(void *settings, const void *rules, const char *subscriber,
                          bool is_request, uint64_t now, struct tbs_diag *diag);
    /* The granted Ticket Policy with the wished keys completed (type, key and salt lengths
     * as views of that length into `desired` or static zeros; SPI empty where the KMS is to
     * choose), K set when anything asked was changed. Other views are into `desired` and the
     * rules. The verdict is given whatever is returned. */
    enum tbs_err (*decide_request)(const void *rules, const struct policy_request *request,
                                   struct ticket_policy *ret_granted,
                                   struct policy_verdict *ret_verdict, struct tbs_diag *diag);
    /* The identity of the one who answers, for IDRr and key forking: one that is encoded in
     * the ticket where it is the responder's own, else the one the responder speaks as. The
     * verdict is given whatever is returned. */
    enum tbs_err (*decide_resolve)(const void *rules, const struct policy_resolve *resolve,
                                   struct ticket_id *ret_identity,
                                   struct policy_verdict *ret_verdict, struct tbs_diag *diag);
};

#endif
