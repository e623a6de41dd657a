/* The key registry: which keys a KMS may use, for what, from when to when. Made and signed by
 * people in ceremonies, read by the KMS. docs/key-registry.md has the format for others.
 *
 * States (NIST SP 800-57 part 1, 7), and what may follow: pre-active -> active -> deactivated ->
 * destroyed; active, deactivated -> compromised -> destroyed; pre-active -> destroyed.
 * Periods (5.3.4): a key protects in [not_before, protect_until) and processes what it protected
 * until process_until.
 *
 * Nothing here is thread-safe. Errors: TBS_ERR_NOMEM, and what each function names. */
#ifndef TBS_REGISTRY_REGISTRY_H
#define TBS_REGISTRY_REGISTRY_H

#include <time.h>

#include "registry/signed.h"

#define REGISTRY_TYPE "tbs-key-registry"
#define REGISTRY_KEYS_MAX 1024
#define REGISTRY_TOKENS_MAX 16 /* of one key */
#define REGISTRY_ID_MAX 64
#define REGISTRY_SERIAL_MAX 64
#define REGISTRY_CHECK_MAX 44
#define REGISTRY_TIME_MAX 21 /* with the NUL */

enum registry_role {
    REGISTRY_TPK,
    REGISTRY_KEK,
    REGISTRY_AUDIT,
    REGISTRY_CEREMONY,
    REGISTRY_TRANSPORT,
    REGISTRY_TLS,
    REGISTRY_ENVELOPE,
};

enum registry_algorithm {
    REGISTRY_HMAC_SHA_1,   /* TPK */
    REGISTRY_HMAC_SHA_256, /* TPK, KEK */
    REGISTRY_AES_256_GCM,  /* KEK */
    REGISTRY_ECDSA_P_256,  /* AUDIT, CEREMONY, TLS */
    REGISTRY_RSA_3072,     /* TRANSPORT, ENVELOPE */
    REGISTRY_RSA_4096,
};

enum registry_custody { REGISTRY_SITE_ONLY, REGISTRY_REPLICATED, REGISTRY_ESCROWED };

enum registry_state {
    REGISTRY_PRE_ACTIVE,
    REGISTRY_ACTIVE,
    REGISTRY_DEACTIVATED,
    REGISTRY_COMPROMISED,
    REGISTRY_DESTROYED,
};

/* As they stand in the file; never NULL. */
const char *registry_role_name(enum registry_role role);
const char *registry_algorithm_name(enum registry_algorithm algorithm);
const char *registry_custody_name(enum registry_custody custody);
const char *registry_state_name(enum registry_state state);

/* How a check value of that many octets is made; NULL when none is so long. */
const char *registry_check_method(enum registry_algorithm algorithm, size_t check_len);

/* A token that holds the key. */
struct registry_token {
    char serial[REGISTRY_SERIAL_MAX + 1]; /* CKA token info, without trailing blanks */
    bool restored;                        /* it got the key by unwrapping; else it made it */
};

struct registry_key {
    char id[REGISTRY_ID_MAX + 1]; /* CKA_ID: [a-z0-9._-] */
    enum registry_role role;
    enum registry_algorithm algorithm;
    /* HMAC (hmac-empty/5, hmac-empty/16): so many octets of the HMAC over the empty string. AES
     * (aes-256-gcm-block): IV of 12, ciphertext and tag of 16 zero octets, with the id as
     * additional authenticated data. Key pairs (spki-sha256): SHA-256 of the SubjectPublicKeyInfo.
     */
    uint8_t check[REGISTRY_CHECK_MAX];
    size_t check_len; /* 5 or 16, 44, 32 */
    enum registry_custody custody;
    enum registry_state state;
    time_t not_before, protect_until, process_until;
    time_t since; /* of the state */
    size_t n_tokens;
    struct registry_token tokens[REGISTRY_TOKENS_MAX];
};

struct registry {
    uint64_t sequence; /* from 1 */
    time_t made;
    uint8_t previous[SIGNED_HASH_LEN]; /* SHA-256 of line 1 of the one before; the first: zeros */
    bool rehearsal;
    size_t n;
    struct registry_key *keys; /* sorted by id */
    struct signed_lines lines; /* as read; empty in one that is being made */
};

/* --- Reading --- */

/* Reads what signed.h reads, and judges each field and what fields say of each other. Verifies no
 * signature. TBS_ERR_MALFORMED, TBS_ERR_UNSUPPORTED a later version or an unknown role, algorithm
 * or state, TBS_ERR_LIMIT. */
enum tbs_err registry_read(struct tbs_bytes text, struct registry *ret_registry,
                           struct tbs_diag *diag);
void registry_free(struct registry *registry); /* leaves it empty */
/* As signed_lines_verify. */
enum tbs_err registry_verify(const struct registry *registry, const struct signed_signers *signers,
                             size_t need, bool ret_signed[SIGNED_SIGNERS_MAX],
                             struct tbs_diag *diag);

/* NULL if there is none; lives as long as the registry is not changed. */
const struct registry_key *registry_find(const struct registry *registry, struct tbs_bytes id);
/* NULL when the registry does not name this token for the key. */
const struct registry_token *registry_find_token(const struct registry_key *key,
                                                 const char *serial);

/* Whether `after` may take the place of `before`: the same one, or a later sequence that keeps
 * every key with its role, algorithm, check value and custody, changes states as they may change
 * (over registries that were not seen, if need be), stays a rehearsal or none, and, where it is the
 * next one, names `before` as the previous. TBS_ERR_REPLAY for an earlier sequence, or another
 * registry of the same; TBS_ERR_DENIED for the rest. */
enum tbs_err registry_follows(const struct registry *before, const struct registry *after,
                              struct tbs_diag *diag);

/* --- Making --- */

/* The registry that follows `before`, which was read, with all its keys; NULL: the first one,
 * without keys. *ret_next is freed with registry_free. */
enum tbs_err registry_next(const struct registry *before, bool rehearsal, time_t now,
                           struct registry *ret_next, struct tbs_diag *diag);
/* TBS_ERR_EXISTS its id is taken; TBS_ERR_INVALID what registry_read would not read. */
enum tbs_err registry_add(struct registry *registry, const struct registry_key *key,
                          struct tbs_diag *diag);
/* TBS_ERR_NOT_FOUND; TBS_ERR_DENIED when that state may not follow the present one. */
enum tbs_err registry_set_state(struct registry *registry, const char *id,
                                enum registry_state state, time_t now, struct tbs_diag *diag);
/* Another token that holds the key now; TBS_ERR_NOT_FOUND, TBS_ERR_EXISTS, TBS_ERR_LIMIT,
 * TBS_ERR_INVALID. */
enum tbs_err registry_add_token(struct registry *registry, const char *id,
                                const struct registry_token *token, struct tbs_diag *diag);
/* A token holds it no more; TBS_ERR_NOT_FOUND. */
enum tbs_err registry_drop_token(struct registry *registry, const char *id, const char *serial,
                                 struct tbs_diag *diag);
/* Line 1, appended to an empty text; signed_lines_sign adds signatures. TBS_ERR_INVALID. */
enum tbs_err registry_write(const struct registry *registry, struct tbs_buf *text,
                            struct tbs_diag *diag);

/* The one form of a time that the files know: YYYY-MM-DDTHH:MM:SSZ (RFC 3339). */
bool registry_time_read(const char *text, time_t *ret_time);
void registry_time_put(time_t time, char ret_text[REGISTRY_TIME_MAX]);
/* Whether a key may go from one state to the other in one step. */
bool registry_may_follow(enum registry_state from, enum registry_state to);

#endif
