/* Shared by the KMS's own files. */
#ifndef TBS_KMS_INTERNAL_H
#define TBS_KMS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "custody/ticket.h"
#include "kms/kms.h"
#include "kms/replay.h"
#include "kms/subject.h"
#include "mikey/verification.h"

struct kms {
    struct kms_config config;
    char identity[STORE_NAME_MAX + 1];
    struct policy policy;
    struct replay *replay;
    pthread_mutex_t decoy_lock;
    struct tbs_buf decoy; /* a wrapped secret that nobody has; empty until it is needed */
    _Atomic uint64_t last_t;
};

/* One exchange in work. */
struct kms_exchange {
    struct kms_worker *worker;
    struct mikey_message m;
    bool is_request; /* REQUEST_INIT, not RESOLVE_INIT */
    const struct mikey_suite *suite;
    uint64_t now; /* NTP-UTC: when T was judged */
    struct store_credential credential;
    struct ticket_id identity; /* as the message or else the store says it */
    const void *rules;         /* of the policy; held while the exchange is in work */
    struct tbs_secret psk;
    struct mikey_keys init_keys;  /* auth: set as soon as the peer is authenticated */
    struct tbs_buf core;          /* of the TICKET that is made */
    struct kms_decision decision; /* what is known of it so far */
};

/* What went wrong, as the wire and the log say it. */
struct kms_failure {
    enum kms_outcome outcome;
    uint8_t error_no; /* enum mikey_error_no */
    struct tbs_diag diag;
};

/* Sets the failure and returns false, so that callers write `return kms_fails(...)`. The
 * sentence is what diag holds already. Failures of token, store and memory always become
 * KMS_UNAVAILABLE. */
bool kms_fails(struct kms_failure *failure, enum kms_outcome outcome, uint8_t error_no);

/* kms.c: appends the decoy; and has another made next time, when its KEK is gone. */
enum tbs_err kms_decoy(struct kms *kms, struct custody_session *session, struct tbs_buf *ret_blob,
                       struct tbs_diag *diag);
void kms_forget_decoy(struct kms *kms);

/* authenticate.c: HDR, PSK, MAC, time window. False with `failure` filled. */
bool kms_authenticate(struct kms_exchange *x, struct kms_failure *failure);
/* The T of the next message or ticket: now, and never the same twice in this process
 * (RFC 6043 4.2.1.5, 4.2.3.5, 5.4; RFC 3830 4.2.3). */
uint64_t kms_fresh_t(struct kms *kms);

/* function.c: network functions with a TPK of their own, RFC 6043 4.1.1. */
/* The TPK for a ticket with this policy that its one responder opens itself; NULL: there is none.
 */
const struct custody_key *kms_function_tpk(const struct kms_exchange *x,
                                           const struct ticket_policy *policy);
/* Of an authentic ticket: whoever has the TPK could have made it. False with `failure` filled for
 * one under a function's TPK that is not this function's own work. */
bool kms_check_maker(const struct kms_exchange *x, const struct ticket_policy *policy,
                     struct kms_failure *failure);

/* request.c, resolve.c: the response of an authenticated message. */
bool kms_ticket_request(struct kms_exchange *x, struct tbs_buf *body, struct kms_failure *failure);
bool kms_ticket_resolve(struct kms_exchange *x, struct tbs_buf *body, struct kms_failure *failure);

/* respond.c */
/* Begins a response (HDR, T, IDRkms is up to the caller). HDR repeats that of the message, whose
 * #CS and map are 0 and Empty, too; V is 0 (RFC 6043 4.2.1.5, 4.2.3.5, 5.4). */
struct mikey_writer kms_begin_response(const struct kms_exchange *x, uint8_t data_type,
                                       struct tbs_buf *body, uint64_t t);
/* Keys that protect the response (RFC 6043 5.1.2). */
bool kms_response_keys(struct kms_exchange *x, struct mikey_keys *keys,
                       struct kms_failure *failure);
/* Ends it: V over response || initial message (RFC 6043 5.5). */
bool kms_end_response(struct kms_exchange *x, struct mikey_writer *w, const struct mikey_keys *keys,
                      struct kms_failure *failure);
void kms_put_idrkms(const struct kms_exchange *x, struct mikey_writer *w);
/* The Error message of RFC 6043 5.4, with V once the peer is authenticated. */
void kms_error_message(struct kms_exchange *x, uint8_t error_no, struct tbs_buf *body);

#endif
