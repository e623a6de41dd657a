/* Somebody as policies ask: read from the store once, then asked in memory, however many rules and
 * groups there are. Not thread-safe. */
#ifndef TBS_KMS_SUBJECT_H
#define TBS_KMS_SUBJECT_H

#include "policies/policy.h"
#include "store/store.h"

struct kms_subject {
    const char *role;                  /* "none", "recorder"; lives for ever */
    struct tbs_buf identities, groups; /* canonical, a NUL after each */
};

/* Memberships are those at `now`, in Unix seconds. TBS_ERR_NOT_FOUND no such subscriber;
 * TBS_ERR_NOMEM, also for more than TBS_BUF_LIMIT octets of names; errors of the store. */
enum tbs_err kms_subject_load(struct store *store, int64_t subscriber_id, time_t now,
                              struct kms_subject *ret_subject, struct tbs_diag *diag);
void kms_subject_free(struct kms_subject *subject); /* of zeros, or freed: ok */
#define KMS_SUBJECT_AUTO __attribute__((cleanup(kms_subject_free)))

/* Both arguments must outlive the result. `identity`: as it calls itself. */
struct policy_subject kms_subject_asked(struct kms_subject *subject, struct ticket_id identity);

#endif
