/* Shared by custody's own files; no other room includes it. */
#ifndef TBS_CUSTODY_INTERNAL_H
#define TBS_CUSTODY_INTERNAL_H

#include "custody/backend.h"

struct custody {
    const struct custody_ops *ops;
    void *token;
    struct custody_key_list list;
    unsigned fork_generation; /* when it was opened; see custody_in_its_process */
};

struct custody_session {
    struct custody *custody;
    void *backend;
    uint64_t calls;
};

enum tbs_err custody_find_backend(const char *name, const struct custody_ops **ret_ops,
                                  struct tbs_diag *diag);
/* TBS_ERR_INVALID in a child of the process that opened it: a token's login, handles and
 * random generator must not be used on both sides of a fork. */
enum tbs_err custody_in_its_process(const struct custody *custody, struct tbs_diag *diag);
/* Reads the key list, and tries each key. On failure the list in use stays. */
enum tbs_err custody_load_keys(struct custody *custody, struct tbs_diag *diag);

/* One counted operation each, for keys of any role. */
enum tbs_err custody_call_hmac(struct custody_session *session, const struct custody_key *key,
                               struct tbs_bytes data, uint8_t *ret_mac, struct tbs_diag *diag);
enum tbs_err custody_call_seal(struct custody_session *session, const struct custody_key *key,
                               const struct custody_aead *aead, struct tbs_bytes plain,
                               uint8_t *out, struct tbs_diag *diag);
enum tbs_err custody_call_unseal(struct custody_session *session, const struct custody_key *key,
                                 const struct custody_aead *aead, struct tbs_bytes sealed,
                                 uint8_t *out, struct tbs_diag *diag);
/* Uses the key once, really. Sets usable, and for HMAC keys the key check value. */
enum tbs_err custody_try_key(struct custody_session *session, struct custody_key *key,
                             struct tbs_diag *diag);

#endif
