/* What a custody backend provides: one `static const struct custody_ops` table. The core
 * (custody.c, calls.c, stored.c, admin.c) owns the contract; a backend owns the token.
 *
 * A NULL function means: this kind of token cannot. Each backend has one constructor, listed
 * in custody.c, which exists in every build: where the backend is compiled out it answers
 * TBS_ERR_UNSUPPORTED, so that callers carry no #ifdef. */
#ifndef TBS_CUSTODY_BACKEND_H
#define TBS_CUSTODY_BACKEND_H

#include "custody/custody.h"
#include "custody/pin.h"
#include "custody/rules.h"

#define CUSTODY_OPS_VERSION 5

#define CUSTODY_KEYS_MAX 1024 /* more keys of ours on one token are refused */
#define CUSTODY_GCM_IV_LEN 12
#define CUSTODY_GCM_TAG_LEN 16
#define CUSTODY_DIGEST_LEN 32
#define CUSTODY_RAW_SIGNATURE_LEN 64

/* A growing array of keys; the core sorts it. */
struct custody_key_list {
    struct custody_key *keys;
    size_t n;
};

/* AES-256-GCM with a 12-octet IV and a 16-octet tag. */
struct custody_aead {
    const uint8_t *iv; /* CUSTODY_GCM_IV_LEN octets; not read when a token_iv key seals */
    struct tbs_bytes aad;
    uint8_t *made_iv; /* room for the IV that a token_iv key makes when it seals */
};

/* What to do about a failed call. */
enum custody_class {
    CUSTODY_RETRY_SAME,   /* again, in another session of the same token */
    CUSTODY_RETRY_OTHER,  /* again, on another token; this one is to be examined */
    CUSTODY_RELOGIN,      /* the login is gone */
    CUSTODY_REINIT,       /* handles, or the module itself, are of yesterday */
    CUSTODY_FATAL_CONFIG, /* the token cannot, or a person has to act: never again by itself */
    CUSTODY_CALLER,       /* what was asked is wrong, such as a blob that was changed */
    CUSTODY_SHED,         /* full: another token, or later */
};

#define CUSTODY_CALL_KINDS_MAX 32

/* What a backend gets to open a token; it lives as long as the token does. */
struct custody_opening {
    const struct custody_token_config *config;
    struct pin_keeper *pin;
    struct custody_call_stats *stats; /* CUSTODY_CALL_KINDS_MAX, all zero at first */
    /* How a token of this serial came to the key: what its attributes may be. */
    enum custody_origin (*origin)(const void *ctx, const char *id, const char *serial);
    const void *origin_ctx;
};

/* token and session are the backend's own. Sessions are used by one thread at a time. */
struct custody_ops {
    unsigned version; /* CUSTODY_OPS_VERSION */
    const char *name;
    const char *description;
    const char *config_help;
    /* Calls wait for each other in the backend: one hangs only where none came back meanwhile. */
    bool in_turn;

    /* Checks what can be checked of the configuration alone. */
    enum tbs_err (*check)(const struct custody_token_config *config, struct tbs_diag *diag);
    /* Before any thread of custody's runs: what the module needs in the environment. */
    enum tbs_err (*prepare)(const struct custody_token_config *config, struct tbs_diag *diag);
    /* Finds the one token and logs in. Also after `close`, when the module had failed: loads it
     * anew where nobody else of this process uses it. */
    enum tbs_err (*open)(const struct custody_opening *opening, void **ret_token,
                         struct tbs_diag *diag);
    /* All sessions are closed before. */
    void (*close)(void *token);
    /* Logs in again where the login is gone; TBS_OK where it is not. */
    enum tbs_err (*login)(void *token, struct tbs_diag *diag);
    /* diag->raw of a failure of this backend. */
    enum custody_class (*classify)(unsigned long raw);
    /* Copies the token's label, for people: printable, at most size - 1 octets. */
    void (*describe)(void *token, char *ret_name, size_t size);
    /* Copies the token's serial as the key registry writes it. */
    void (*serial)(void *token, char ret_serial[CUSTODY_TOKEN_SERIAL_MAX + 1]);
    /* Those of the configuration, as custody_quirks gives them. */
    const struct custody_quirk *(*quirks)(const void *token, size_t *ret_n);
    enum tbs_err (*session_open)(void *token, void **ret_session, struct tbs_diag *diag);
    void (*session_close)(void *session);

    /* All keys whose ids are ours, judged; id, label, role, alg and the attributes are set. One
     * that does not fit its role fails the call. The caller frees ret_list->keys. */
    enum tbs_err (*list_keys)(void *token, struct custody_key_list *ret_list,
                              struct tbs_diag *diag);
    /* ret_key is judged. The token holds no key of that id before. */
    enum tbs_err (*generate_key)(void *token, enum custody_role role, enum custody_alg alg,
                                 const char *id, const char *label, struct custody_key *ret_key,
                                 struct tbs_diag *diag);
    enum tbs_err (*destroy_key)(void *token, const struct custody_key *key, struct tbs_diag *diag);

    enum tbs_err (*random)(void *session, uint8_t *out, size_t len, struct tbs_diag *diag);
    /* ret_mac: custody_mac_len octets. */
    enum tbs_err (*hmac)(void *session, const struct custody_key *key, struct tbs_bytes data,
                         uint8_t *ret_mac, struct tbs_diag *diag);
    /* out: plain.len + CUSTODY_GCM_TAG_LEN octets, ciphertext then tag. */
    enum tbs_err (*seal)(void *session, const struct custody_key *key,
                         const struct custody_aead *aead, struct tbs_bytes plain, uint8_t *out,
                         struct tbs_diag *diag);
    /* sealed: ciphertext and tag; out has room for sealed.len octets, of which the first
     * sealed.len - CUSTODY_GCM_TAG_LEN are the answer. TBS_ERR_AUTH if the tag is wrong. */
    enum tbs_err (*unseal)(void *session, const struct custody_key *key,
                           const struct custody_aead *aead, struct tbs_bytes sealed, uint8_t *out,
                           struct tbs_diag *diag);

    /* ret_signature: r and s of ECDSA, 32 octets each, CUSTODY_RAW_SIGNATURE_LEN together. */
    enum tbs_err (*sign)(void *session, const struct custody_key *key,
                         const uint8_t digest[CUSTODY_DIGEST_LEN], uint8_t *ret_signature,
                         struct tbs_diag *diag);

    enum tbs_err (*init_token)(const struct custody_token_config *config, const char *token_label,
                               const char *so_pin_source, const char *user_pin_source,
                               struct tbs_diag *diag);
};

/* The role an id states. False: not an id of ours. An id that begins like ours but is too long
 * or holds other characters gives true and *ret_valid = false. */
bool custody_id_role(struct tbs_bytes id, enum custody_role *ret_role, bool *ret_valid);
bool custody_role_takes(enum custody_role role, enum custody_alg alg);
const char *custody_role_prefix(enum custody_role role); /* of its ids: "tpk-", ... */
const char *custody_role_algs(enum custody_role role);   /* for people: "A or B" */

uint64_t custody_now_ns(void); /* CLOCK_MONOTONIC */
/* Counts a call of this kind into the token, which is over now. stats NULL: nobody counts. */
void custody_count_call(struct custody_call_stats *stats, size_t kind, uint64_t began_ns,
                        bool failed);

/* Has the key sign something, and verifies that with the public key `point`. `where` names the
 * token in the sentence. TBS_ERR_AUTH: it does not. */
enum tbs_err custody_sign_check(const struct custody_ops *ops, void *session,
                                const struct custody_key *key, const uint8_t *point,
                                const char *where, struct tbs_diag *diag);

/* The constructors. */
enum tbs_err custody_backend_pkcs11(const struct custody_ops **ret_ops, struct tbs_diag *diag);
enum tbs_err custody_backend_tpm(const struct custody_ops **ret_ops, struct tbs_diag *diag);

#endif
