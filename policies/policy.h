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

/* What the asking subscriber is. Answered by the KMS from its store. */
struct policy_subject {
    void *ctx;
    /* True when `identity` is one of the subscriber's own public identities. */
    enum tbs_err (*owns)(void *ctx, struct tbs_bytes identity, bool *ret_owns,
                         struct tbs_diag *diag);
    /* True when the subscriber is a member of the group. */
    enum tbs_err (*is_member)(void *ctx, struct tbs_bytes group, bool *ret_member,
                              struct tbs_diag *diag);
    struct ticket_id identity; /* the authenticated identity it speaks as */
};

struct policy_request {
    const struct policy_subject *initiator;
    const struct ticket_policy *desired; /* checked by ticket_policy_check; without K */
    struct ticket_id kms;
    uint64_t now; /* NTP-UTC */
};

struct policy_resolve {
    const struct policy_subject *responder;
    const struct ticket_policy *ticket; /* authentic and inside its validity */
};

struct policy {
    const char *name;
    const void *settings; /* the policy's own */
    /* The granted Ticket Policy with the wished keys completed (type, key and salt lengths
     * as views of that length into `desired` or static zeros; SPI empty where the KMS is to
     * choose), K set when anything asked was changed. */
    enum tbs_err (*decide_request)(const void *settings, const struct policy_request *request,
                                   struct ticket_policy *ret_granted, struct tbs_diag *diag);
    /* The identity of the one who answers, for IDRr and key forking: one that is encoded in
     * the ticket where it is the responder's own, the responder's where a group is encoded. */
    enum tbs_err (*decide_resolve)(const void *settings, const struct policy_resolve *resolve,
                                   struct ticket_id *ret_identity, struct tbs_diag *diag);
};

/* The built-in policy: every known subscriber may request; the named responder, or a member
 * of the named group, may resolve; validity ends at most max_validity after the request. */
struct policy_builtin {
    _Atomic uint32_t max_validity; /* seconds; may change while the policy is used */
};

/* `settings` lives as long as the policy. */
struct policy policy_builtin(const struct policy_builtin *settings);

#endif
