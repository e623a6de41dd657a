/* Who may ask: subscribers, their identities and credentials, groups and their members, and
 * the network functions, in one SQLite file.
 *
 * A handle belongs to one thread at a time, and to the process that opened it (open after
 * fork). Any number of handles and processes may use one file at once: readers never wait
 * for a writer, and see what it committed from their next call on. A writer waits up to 5 s
 * for another one, then gives TBS_ERR_UNAVAILABLE.
 *
 * Names (identities, PSK ids, group URIs) come in as octets and are checked here: 1 to 255
 * octets of UTF-8 without control characters. One that is not gives TBS_ERR_MALFORMED, or
 * TBS_ERR_LIMIT if too long. Results are copies in the caller's memory.
 *
 * Every function may also give TBS_ERR_IO, TBS_ERR_NOMEM, TBS_ERR_UNAVAILABLE, or
 * TBS_ERR_CONFIG (the file is damaged or out of reach); diag->raw holds the SQLite code. */
#ifndef TBS_STORE_STORE_H
#define TBS_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/name.h"

#define STORE_NAME_MAX TBS_NAME_MAX /* octets in an identity, a PSK id, a group's URI or name */
#define STORE_WRAPPED_MAX 1024      /* octets in a wrapped PSK */
#define STORE_CREDENTIALS_MAX 16u   /* credentials of one subscriber */

struct store;

enum store_mode {
    STORE_READ_ONLY,  /* changes are refused; a file of an older schema too */
    STORE_READ_WRITE, /* brings a file of an older schema up to date */
};

/* What a network function is (3GPP TR 33.828); every other subscriber has STORE_ROLE_NONE. */
enum store_role {
    STORE_ROLE_NONE,
    STORE_ROLE_TRANSCODER,
    STORE_ROLE_RECORDER,
    STORE_ROLE_FOCUS,
    STORE_ROLE_VOICEMAIL,
    STORE_ROLE_APPLICATION_SERVER,
    STORE_ROLE_MEDIA_GATEWAY,
    STORE_ROLE_EMERGENCY,
};

struct store_identity {
    char uri[STORE_NAME_MAX + 1];
};

struct store_subscriber {
    int64_t id;                       /* never given to another subscriber */
    char primary[STORE_NAME_MAX + 1]; /* its first identity; never changes */
    bool active;
    int64_t created; /* Unix seconds */
    enum store_role role;
};

/* Usable only if both states are active. */
struct store_credential {
    int64_t subscriber_id;
    char primary[STORE_NAME_MAX + 1]; /* the subscriber's */
    char psk_id[STORE_NAME_MAX + 1];
    bool active;
    bool subscriber_active;
    int64_t created; /* Unix seconds */
    size_t wrapped_len;
    uint8_t wrapped[STORE_WRAPPED_MAX]; /* opaque: only the token can open it */
};

struct store_credentials {
    size_t count;
    struct store_credential at[STORE_CREDENTIALS_MAX];
};

struct store_group {
    char uri[STORE_NAME_MAX + 1];
    char name[STORE_NAME_MAX + 1]; /* for people; may be empty */
};

/* From `from` on, until just before `until`, in Unix seconds; 0 does not bind. */
struct store_validity {
    time_t from, until;
};

struct store_member {
    struct store_subscriber subscriber;
    struct store_validity validity;
};

/* Makes a new, empty store with mode 0600. TBS_ERR_EXISTS if there is a file already,
 * TBS_ERR_NOT_FOUND if its folder does not exist. */
enum tbs_err store_create(const char *path, struct tbs_diag *diag);

/* Both modes need write permission on the file and on its folder: in WAL mode readers
 * register in the -shm file beside it. TBS_ERR_NOT_FOUND: no such file; TBS_ERR_CONFIG: not
 * a store, damaged, not writable, or of an older schema in read-only mode;
 * TBS_ERR_UNSUPPORTED: made by a newer version. */
enum tbs_err store_open(const char *path, enum store_mode mode, struct store **ret_store,
                        struct tbs_diag *diag);
void store_close(struct store *store); /* NULL ok */

/* Makes a copy of the store as it is now, with mode 0600. Others may read and write meanwhile. A
 * copy of the file alone would lack what is in the -wal file beside it. Errors as store_create. */
enum tbs_err store_backup(struct store *store, const char *path, struct tbs_diag *diag);

/* The one spelling under which an identity is kept and compared, that of tbs_identity_canonical.
 * Every function below does this itself. Thread-safe. */
enum tbs_err store_identity_canonical(struct tbs_bytes identity,
                                      struct store_identity *ret_identity, struct tbs_diag *diag);

/* "recorder" and the like, "none" for STORE_ROLE_NONE; never NULL. Thread-safe. */
const char *store_role_name(enum store_role role);
/* The inverse; TBS_ERR_NOT_FOUND for any other word. Thread-safe. */
enum tbs_err store_role_parse(const char *name, enum store_role *ret_role, struct tbs_diag *diag);

typedef enum tbs_err store_identity_fn(void *ctx, const struct store_identity *identity);

/* --- What the KMS asks for each request; no disabled entry is hidden, look at `active`. --- */

/* TBS_ERR_NOT_FOUND: no such PSK id. */
enum tbs_err store_find_credential(struct store *store, struct tbs_bytes psk_id,
                                   struct store_credential *ret_credential, struct tbs_diag *diag);
/* All credentials of the subscriber with this identity, oldest first; may be none.
 * TBS_ERR_NOT_FOUND: no subscriber has this identity. */
enum tbs_err store_find_credentials_by_identity(struct store *store, struct tbs_bytes identity,
                                                struct store_credentials *ret_credentials,
                                                struct tbs_diag *diag);
/* TBS_ERR_NOT_FOUND: no subscriber has this identity. */
enum tbs_err store_identity_owner(struct store *store, struct tbs_bytes identity,
                                  struct store_subscriber *ret_subscriber, struct tbs_diag *diag);
enum tbs_err store_group_exists(struct store *store, struct tbs_bytes group_uri, bool *ret_exists,
                                struct tbs_diag *diag);
/* What policies ask about a subscriber: the role's name, which lives for ever, each identity, and
 * each group that it is a member of; texts of the last two only during the call. */
enum store_fact { STORE_FACT_ROLE, STORE_FACT_IDENTITY, STORE_FACT_GROUP };
typedef enum tbs_err store_fact_fn(void *ctx, enum store_fact fact, const char *text);
/* Calls fn for all of that, as lists do (below): of one state of the store, at `now`, in Unix
 * seconds. TBS_ERR_NOT_FOUND: no such subscriber. */
enum tbs_err store_facts(struct store *store, int64_t subscriber_id, time_t now, store_fact_fn *fn,
                         void *ctx, struct tbs_diag *diag);

/* --- Administration. Each call is one transaction: done and on disk, or nothing changed;
 * between store_txn_begin and store_txn_end several calls are one.
 * `identity` names a subscriber by any of its identities. TBS_ERR_NOT_FOUND and
 * TBS_ERR_EXISTS name what is missing or there already; TBS_ERR_INVALID on a read-only
 * handle. `now` is in Unix seconds.
 *
 * Lists call fn for each row; what fn returns, unless TBS_OK, ends the list and is returned.
 * fn may look things up through the same handle; it must not change the store, nor start the
 * same list again (TBS_ERR_INVALID). --- */

typedef enum tbs_err store_subscriber_fn(void *ctx, const struct store_subscriber *subscriber);
typedef enum tbs_err store_credential_fn(void *ctx, const struct store_credential *credential);
typedef enum tbs_err store_group_fn(void *ctx, const struct store_group *group);
typedef enum tbs_err store_member_fn(void *ctx, const struct store_member *member);

/* From begin to end nobody else writes. end commits if err is TBS_OK, else nothing of it was
 * done; gives err, or why it could not commit. */
enum tbs_err store_txn_begin(struct store *store, struct tbs_diag *diag);
enum tbs_err store_txn_end(struct store *store, enum tbs_err err, struct tbs_diag *diag);

/* identities[0] becomes the primary one; count at least 1. An identity is unique among all
 * identities and group URIs. */
enum tbs_err store_subscriber_add(struct store *store, const struct tbs_bytes *identities,
                                  size_t count, time_t now, int64_t *ret_id, struct tbs_diag *diag);
enum tbs_err store_subscriber_set_active(struct store *store, struct tbs_bytes identity,
                                         bool active, struct tbs_diag *diag);
/* With its identities, credentials, memberships and role. */
enum tbs_err store_subscriber_remove(struct store *store, struct tbs_bytes identity,
                                     struct tbs_diag *diag);
enum tbs_err store_subscriber_list(struct store *store, store_subscriber_fn *fn, void *ctx,
                                   struct tbs_diag *diag);

enum tbs_err store_identity_add(struct store *store, struct tbs_bytes identity,
                                struct tbs_bytes new_identity, struct tbs_diag *diag);
/* TBS_ERR_INVALID for a primary identity: wrapped PSKs are bound to it. */
enum tbs_err store_identity_remove(struct store *store, struct tbs_bytes identity,
                                   struct tbs_diag *diag);
enum tbs_err store_identity_list(struct store *store, struct tbs_bytes identity,
                                 store_identity_fn *fn, void *ctx, struct tbs_diag *diag);

/* STORE_ROLE_NONE takes the role away. */
enum tbs_err store_role_set(struct store *store, struct tbs_bytes identity, enum store_role role,
                            struct tbs_diag *diag);

/* `wrapped` is 1 to STORE_WRAPPED_MAX octets, bound by its maker to the primary identity and
 * the PSK id. TBS_ERR_LIMIT: longer, or the subscriber has STORE_CREDENTIALS_MAX already.
 * Those of one subscriber: store_find_credentials_by_identity. */
enum tbs_err store_credential_add(struct store *store, struct tbs_bytes identity,
                                  struct tbs_bytes psk_id, struct tbs_bytes wrapped, time_t now,
                                  struct tbs_diag *diag);
enum tbs_err store_credential_set_active(struct store *store, struct tbs_bytes psk_id, bool active,
                                         struct tbs_diag *diag);
enum tbs_err store_credential_remove(struct store *store, struct tbs_bytes psk_id,
                                     struct tbs_diag *diag);
/* Up to `max` credentials of all subscribers, by their PSK ids: those after `after`, NULL for the
 * first ones. To go through all while others change them. */
enum tbs_err store_credential_list(struct store *store, const char *after, size_t max,
                                   store_credential_fn *fn, void *ctx, struct tbs_diag *diag);
/* Puts `wrapped` in the place of `before`. TBS_ERR_NOT_FOUND where there is no such credential, or
 * where it does not hold `before` any more. */
enum tbs_err store_credential_rewrap(struct store *store, const char *psk_id,
                                     struct tbs_bytes before, struct tbs_bytes wrapped,
                                     struct tbs_diag *diag);

/* A group URI is spelled like an identity, and is unique among both. name: 0 to 255 octets. */
enum tbs_err store_group_add(struct store *store, struct tbs_bytes group_uri, struct tbs_bytes name,
                             struct tbs_diag *diag);
enum tbs_err store_group_remove(struct store *store, struct tbs_bytes group_uri,
                                struct tbs_diag *diag);
enum tbs_err store_group_list(struct store *store, store_group_fn *fn, void *ctx,
                              struct tbs_diag *diag);
/* TBS_ERR_INVALID: a validity that is negative, or ends before it begins. TBS_ERR_EXISTS: it is a
 * member already, at whatever time. */
enum tbs_err store_member_add(struct store *store, struct tbs_bytes group_uri,
                              struct tbs_bytes identity, struct store_validity validity,
                              struct tbs_diag *diag);
enum tbs_err store_member_remove(struct store *store, struct tbs_bytes group_uri,
                                 struct tbs_bytes identity, struct tbs_diag *diag);
enum tbs_err store_member_list(struct store *store, struct tbs_bytes group_uri, store_member_fn *fn,
                               void *ctx, struct tbs_diag *diag);

#endif
