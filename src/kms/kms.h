/* The KMS: answers Ticket Request and Ticket Resolve in the PSK mode, full mode 1.
 * RFC 6043 4.2.1, 4.2.3, 5.4. It keeps no state per ticket; the replay cache apart, any KMS
 * with the same TPKs and store answers any message.
 *
 * struct kms is shared by all threads; a struct kms_worker belongs to one. */
#ifndef TBS_KMS_KMS_H
#define TBS_KMS_KMS_H

#include "base/clock.h"
#include "custody/custody.h"
#include "policies/policy.h"
#include "store/store.h"
#include "ticket/policy.h"

/* A network function that has a TPK in common with this KMS (RFC 6043 4.1.1). Tickets to it that do
 * not demand Ticket Resolve are made with that key, so that it opens them itself (mode 2); and
 * those that it makes itself are resolved (mode 3). The key is used for nothing else:
 * custody_share. */
struct kms_function {
    const char *identity; /* in the store's spelling */
    const char *tpk;      /* the key's id */
};
#define KMS_FUNCTIONS_MAX CUSTODY_SHARED_MAX

struct kms_config {
    const char *identity;      /* URI; copied */
    unsigned time_window;      /* seconds around now in which a T is accepted, 1..3600 */
    bool suite_256, suite_128; /* at least one */
    size_t replay_entries;     /* authenticated messages remembered, 1..2^24; each takes about
                                  100 octets, and lives for twice the time window and 2 s */
    struct tbs_clock clock;
    const struct kms_function *functions; /* stay the caller's */
    size_t n_functions;                   /* at most KMS_FUNCTIONS_MAX */
};

struct kms;

/* The policy is copied; its settings stay the caller's. Asks no token. */
enum tbs_err kms_new(const struct kms_config *config, const struct policy *policy,
                     struct kms **ret_kms, struct tbs_diag *diag);
/* TBS_ERR_CONFIG when a suite that is turned on has no TPK among the keys that were found. One that
 * may not protect tickets now, by the key registry, is one. */
enum tbs_err kms_check_keys(const struct kms *kms, const struct custody *custody,
                            struct tbs_diag *diag);
void kms_free(struct kms *kms); /* NULL ok */

enum kms_outcome {
    KMS_REQUEST_OK,
    KMS_RESOLVE_OK,
    KMS_RETRANSMISSION, /* the byte-identical answer of before */
    KMS_MALFORMED,
    KMS_UNSUPPORTED,
    KMS_AUTHENTICATION,
    KMS_TIME,
    KMS_REPLAY,
    KMS_TICKET, /* ticket of unknown type, forged, expired, or of an unknown key */
    KMS_POLICY, /* parameters not acceptable */
    KMS_DENIED,
    KMS_UNAVAILABLE, /* token or store down, replay cache full: try later */
    KMS_OUTCOMES,
};

/* A short word for logs and metrics; never NULL. */
const char *kms_outcome_name(enum kms_outcome outcome);

/* What was decided about a message of an authenticated sender, that is no retransmission and no
 * replay. All in it lives during the call. */
struct kms_decision {
    bool is_request; /* Ticket Request, not Ticket Resolve */
    enum kms_outcome outcome;
    const char *reason;              /* of a refusal, one sentence without a secret; else empty */
    const char *subscriber, *psk_id; /* whose device asks */
    struct tbs_bytes identity;       /* as whom */
    bool has_policy;
    struct ticket_policy policy;   /* granted or else desired; or that of the ticket */
    struct tbs_bytes tpk_id;       /* empty: there was no need for one yet */
    struct tbs_bytes ticket;       /* the core of the TICKET payload; empty: there is none */
    struct policy_verdict verdict; /* which rule decided; none, if the policy was not asked */
};

/* Told of each decision before its answer leaves. Where `record` fails there is no answer, but
 * KMS_UNAVAILABLE. Any thread calls it. */
struct kms_audit {
    enum tbs_err (*record)(void *ctx, const struct kms_decision *decision, struct tbs_diag *diag);
    void *ctx;
};

/* What one thread works with. */
struct kms_worker {
    struct kms *kms;
    struct custody *custody;
    struct custody_session *session;
    struct store *store;
    struct kms_audit audit; /* record NULL: nobody is told */
};

struct kms_response {
    enum kms_outcome outcome;
    struct tbs_buf body; /* a MIKEY message; empty when not even HDR decoded, for an Error
                            message, and when unavailable */
    char detail[320];    /* one sentence for the log; no secret */
};

/* Answers one message; always fills ret_response, whose body the caller frees. */
void kms_handle(struct kms_worker *worker, struct tbs_bytes message,
                struct kms_response *ret_response);

#endif
