/* Shared by custody's own files; no other room includes it.
 *
 * A session's owner makes calls; a token's watcher closes sessions and the token under it. They
 * agree without a lock: the owner sets in_call, then looks at the token's gate; the watcher
 * shuts the gate, then waits for in_call to be false everywhere. So a session whose in_call is
 * false while the gate is shut is the watcher's to close. */
#ifndef TBS_CUSTODY_INTERNAL_H
#define TBS_CUSTODY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "custody/backend.h"
#include "custody/rules.h"

#define CUSTODY_CHECK_LEN (CUSTODY_GCM_IV_LEN + 16 + CUSTODY_GCM_TAG_LEN)

/* --- directory.c: the keys, of all tokens --- */

/* Why no call uses a key as one token holds it: see custody/rules.h. */
enum custody_refusal {
    CUSTODY_NOT_REFUSED,
    CUSTODY_NOT_NAMED,
    CUSTODY_NOT_NAMED_THERE,
    CUSTODY_DIFFERS,
    CUSTODY_SHOULD_BE_GONE,
};

/* A key as one token holds it. Written by that token's watcher while its gate is shut. */
struct custody_instance {
    struct custody_key key;
    _Atomic bool found;                   /* on the token, and judged */
    _Atomic bool there;                   /* and it answered as it should: calls may use it */
    _Atomic unsigned long cannot;         /* what it answered instead, where found only */
    _Atomic enum custody_refusal refused; /* where found: it is not there then */
};

/* A key. Never freed before the custody, so that pointers to it stay good. */
struct custody_entry {
    struct custody_key key; /* what callers see; usable and handle say nothing here */
    /* The check is of a key that is refused: it binds no other, and gives way to that of one that
     * is not. */
    _Atomic bool check_refused;
    _Atomic bool has_check; /* what every instance must answer: kcv, or for AES-GCM a block of */
    uint8_t check[CUSTODY_CHECK_LEN]; /* zeros that the first instance sealed, with its IV; an
                                         AUDIT key must sign for the point in `key` */
    struct custody_instance at[CUSTODY_TOKENS_MAX];
};

struct custody_token;

struct custody_directory {
    pthread_mutex_t lock; /* for adding, and for check */
    _Atomic size_t n;
    struct custody_entry *entries[CUSTODY_KEYS_MAX];
};

/* Takes over what a token holds now. `session` is the backend's, with the token. TBS_ERR_CONFIG
 * when a key is not the one that this id named before. */
enum tbs_err custody_directory_update(struct custody_token *token, void *session,
                                      struct custody_key_list *list, struct tbs_diag *diag);
/* None of this token's instances is there any more. */
void custody_directory_drop(struct custody_token *token);
/* NULL if there is none. */
struct custody_entry *custody_find_entry(const struct custody *custody, struct tbs_bytes id);
struct custody_entry *custody_entry_of(const struct custody_key *key);
/* For what names its key. TBS_ERR_NOT_FOUND: no token holds such a key; TBS_ERR_UNAVAILABLE: one
 * whose keys were never read since the start may, and the sentence names it. */
enum tbs_err custody_need_key(struct custody *custody, struct tbs_bytes id, enum custody_role role,
                              const struct custody_key **ret_key, struct tbs_diag *diag);
/* The instance that a probe of this token asks; NULL when it holds no key. */
const struct custody_entry *custody_directory_canary(const struct custody_token *token);
/* Asks the instance on this token for what it must answer. */
enum tbs_err custody_check_instance(struct custody_token *token, void *session,
                                    const struct custody_entry *entry, struct tbs_diag *diag);
/* What an open token answered that holds the key and cannot use it; 0 when there is none. */
unsigned long custody_directory_cannot(const struct custody *custody,
                                       const struct custody_entry *entry);
/* What the KMS would miss; all zero when nothing is missing. */
void custody_directory_gaps(struct custody *custody, struct tbs_diag *ret_why);

/* --- rules.c: what may be done with a key --- */

struct custody_rulebook;
/* Copies them; freed with the custody. */
enum tbs_err custody_put_rules(struct custody *custody, const struct custody_rules *rules,
                               struct tbs_diag *diag);
void custody_free_rules(struct custody *custody);
/* As the rules say it; made there and never left where they say nothing. */
enum custody_origin custody_origin_of(const struct custody *custody, const char *id,
                                      const char *serial);
/* What the rules alone say of a key on a token. *ret_fact is what they say of it, where it must
 * have their check value; else NULL. */
enum custody_refusal custody_refusal_of(const struct custody *custody,
                                        const struct custody_key *key, const char *serial,
                                        const struct custody_fact **ret_fact);
/* False: it is not refused. */
bool custody_say_refused(enum custody_refusal refusal, const char *id, const char *token,
                         struct tbs_diag *ret_why);
enum custody_use { CUSTODY_PROTECT, CUSTODY_PROCESS };
/* The one place that says whether the rules let a key, of the directory, be used now: it is not
 * refused, and its state and period fit. TBS_ERR_DENIED. */
enum tbs_err custody_may(const struct custody *custody, const struct custody_key *key,
                         enum custody_use use, struct tbs_diag *diag);

/* --- check.c: check values --- */

/* What a key answers for the first time, CUSTODY_CHECK_LEN octets of room; nothing for an AUDIT
 * key, which signs for the point in it. */
enum tbs_err custody_first_check(const struct custody_token *token, void *session,
                                 const struct custody_key *key, uint8_t *ret_check,
                                 struct tbs_diag *diag);
/* Whether it answers so again. TBS_ERR_CONFIG: it is another key. */
enum tbs_err custody_check_key(const struct custody_token *token, void *session,
                               const struct custody_key *key, const uint8_t *check,
                               const uint8_t *point, struct tbs_diag *diag);
/* Whether it is the key with this check value of the rules. TBS_ERR_CONFIG as above. */
enum tbs_err custody_check_fact(const struct custody_token *token, void *session,
                                const struct custody_key *key, const struct custody_fact *fact,
                                struct tbs_diag *diag);
enum tbs_err custody_is_another_key(const struct custody_token *token, const char *id,
                                    struct tbs_diag *diag);

/* --- token.c: the life of one token --- */

struct custody_token {
    struct custody *custody;
    unsigned index;
    struct custody_token_config config; /* owns its strings */
    const struct custody_ops *ops;
    struct pin_keeper pin;
    struct custody_call_stats stats[CUSTODY_CALL_KINDS_MAX];

    _Atomic bool open;                  /* the gate: calls may begin */
    _Atomic uint64_t examined_since_ns; /* 0: it is not being examined */
    _Atomic unsigned busy;              /* calls in work */
    _Atomic uint64_t back_ns;           /* when a call came back last */
    _Atomic unsigned failures_in_a_row;
    _Atomic uint64_t calls, failures;

    pthread_mutex_t work; /* held while the token is examined or changed; for what follows */
    void *backend, *session;
    bool wants_login, wants_keys;

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t changed;
    char name[CUSTODY_NAME_MAX + 1], serial[CUSTODY_TOKEN_SERIAL_MAX + 1];
    enum custody_state state;
    struct tbs_diag why;
    uint64_t since_ns, probe_us;
    unsigned openings, stalled;
    bool started, stopping, ended; /* the watcher */
    bool says_login, says_keys;    /* what callers ran into */
    uint64_t asks, taken;          /* examinations that were asked for, and begun */
    _Atomic uint64_t done;         /* and ended; written with the lock */
    pthread_t watcher;
};

enum tbs_err custody_token_init(struct custody_token *token, struct custody *custody,
                                unsigned index, const struct custody_token_config *config,
                                struct tbs_diag *diag);
/* The first opening, in the caller's thread. On failure the token is DOWN or LOCKED. */
enum tbs_err custody_token_open(struct custody_token *token, struct tbs_diag *diag);
enum tbs_err custody_token_start(struct custody_token *token, struct tbs_diag *diag);
/* False: the watcher hangs in the module; the token stays as it is. */
bool custody_token_stop(struct custody_token *token);
void custody_token_free(struct custody_token *token);
/* Has the watcher examine the token, for what a caller ran into; the ticket to wait with. */
uint64_t custody_token_ask(struct custody_token *token, enum custody_class report);
/* Waits until that was done, at most until `until_ns`. */
void custody_token_await(struct custody_token *token, uint64_t ticket, uint64_t until_ns);
/* Its calls wait for each other, and one came back since then: those in work only wait. */
bool custody_token_moves(const struct custody_token *token, uint64_t since_ns);
/* The module has not come back from an examination for too long. */
bool custody_token_examination_hangs(const struct custody_token *token);
/* Calls may begin: the gate is open, and no examination hangs. */
bool custody_token_serves(const struct custody_token *token);
/* Waits for a token that is being mended: it is up, and its gate is shut. False: it is not. */
bool custody_token_await_mended(struct custody_token *token, uint64_t until_ns);

/* --- session.c: one thread's sessions, and the choice of a token --- */

struct custody_leg {
    _Atomic(void *) backend; /* NULL: to be opened, or in use */
    _Atomic bool in_call;
    _Atomic uint64_t since_ns; /* where in_call */
};

struct custody_session {
    struct custody *custody;
    uint64_t calls, deadline_ns;
    unsigned last; /* the token that served last */
    struct custody_leg legs[CUSTODY_TOKENS_MAX];
    LIST_ENTRY(custody_session) next;
};

/* One operation. entry NULL: any token. */
struct custody_operation {
    const struct custody_entry *entry;
    enum tbs_err (*run)(const struct custody_ops *ops, void *session, const struct custody_key *key,
                        void *ctx, struct tbs_diag *diag);
    void *ctx;
};
/* Counted as one call of the session. */
enum tbs_err custody_perform(struct custody_session *session, const struct custody_operation *op,
                             struct tbs_diag *diag);
/* Shuts the gate and closes every session with the token. False when a call is still in work at
 * `until_ns`; the gate stays shut. */
bool custody_sessions_drain(struct custody_token *token, uint64_t until_ns);
/* Calls that began before `before_ns` and hang: are still in work, and do not only wait. */
unsigned custody_sessions_stalled(struct custody_token *token, uint64_t before_ns);

/* --- custody.c --- */

struct custody {
    unsigned fork_generation; /* when it was opened; see custody_in_its_process */
    uint64_t stall_ns;
    size_t n_tokens;
    struct custody_token tokens[CUSTODY_TOKENS_MAX];
    struct custody_directory directory;
    struct tbs_clock clock;
    size_t n_shared;
    char shared[CUSTODY_SHARED_MAX][CUSTODY_KEY_ID_MAX + 1]; /* see custody_share */
    _Atomic(struct custody_rulebook *) rules;                /* NULL: none */
    pthread_mutex_t sessions_lock;
    LIST_HEAD(, custody_session) sessions;
    struct custody_key *listed; /* of custody_keys */
};

enum tbs_err custody_find_backend(const char *name, const struct custody_ops **ret_ops,
                                  struct tbs_diag *diag);
/* TBS_ERR_INVALID in a child of the process that opened it: a token's login, handles and
 * random generator must not be used on both sides of a fork. */
enum tbs_err custody_in_its_process(const struct custody *custody, struct tbs_diag *diag);

/* --- calls.c --- */

bool custody_has_key(const struct custody *custody, const struct custody_key *key);

/* One counted operation each, for keys of any role. */
enum tbs_err custody_call_hmac(struct custody_session *session, const struct custody_key *key,
                               struct tbs_bytes data, uint8_t *ret_mac, struct tbs_diag *diag);
enum tbs_err custody_call_seal(struct custody_session *session, const struct custody_key *key,
                               const struct custody_aead *aead, struct tbs_bytes plain,
                               uint8_t *out, struct tbs_diag *diag);
enum tbs_err custody_call_unseal(struct custody_session *session, const struct custody_key *key,
                                 const struct custody_aead *aead, struct tbs_bytes sealed,
                                 uint8_t *out, struct tbs_diag *diag);

#endif
