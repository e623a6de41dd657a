/* Custody: what the KMS may ask of the token that holds its master keys, and nothing more.
 * No call exports a key and no call returns key material of a TPK or a KEK.
 *
 * Keys (one key, one role):
 *   TPK  ticket-protection key: HMAC only; MIKEY's PRF (RFC 3830 4.1) runs on it in the token.
 *   KEK  key-encryption key: protects stored secrets, see custody_wrap_secret.
 *   AUDIT  a key pair on P-256: signs the audit trail, see custody_sign.
 * A key's identity is its id, "tpk-...", "kek-..." or "audit-...", then [a-z0-9._-], at most
 * CUSTODY_KEY_ID_MAX octets (CKA_ID in PKCS#11). The label is for people. Ids that carry the
 * date, like tpk-2026-01, sort by age.
 *
 * Threads: struct custody may be shared; custody_open, custody_close, custody_generate_key and
 * custody_init_token need it (and the process's environment) alone. A session belongs to one
 * thread at a time.
 * Processes: a custody works only in the process that opened it; after a fork the child's
 * calls answer TBS_ERR_INVALID. A program must ignore SIGPIPE: modules that reach their token
 * through a socket, such as p11-kit's remoting, write to it without care.
 *
 * Errors common to all token calls: TBS_ERR_UNAVAILABLE (no token that could do it serves now:
 * try again later), TBS_ERR_DENIED (the key's state or period does not let it, see
 * custody/rules.h), TBS_ERR_TOKEN (the token failed), TBS_ERR_UNSUPPORTED (the token cannot),
 * TBS_ERR_CONFIG (a person has to act), TBS_ERR_NOMEM, TBS_ERR_INVALID. diag->raw is the
 * CK_RV or TSS2_RC, 0 where no token call failed. */
#ifndef TBS_CUSTODY_H
#define TBS_CUSTODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"

enum custody_role { CUSTODY_ROLE_TPK, CUSTODY_ROLE_KEK, CUSTODY_ROLE_AUDIT };

const char *custody_role_name(enum custody_role role); /* "TPK", ... never NULL */

enum custody_alg {
    CUSTODY_HMAC_SHA_1,   /* TPK; 32-octet key, 20-octet MAC */
    CUSTODY_HMAC_SHA_256, /* TPK or KEK; 32-octet key, 32-octet MAC */
    CUSTODY_AES_256_GCM,  /* KEK */
    CUSTODY_ECDSA_P_256,  /* AUDIT */
};

const char *custody_alg_name(enum custody_alg alg); /* "HMAC-SHA-256", ... never NULL */

#define CUSTODY_KEY_ID_MAX 64
#define CUSTODY_KEY_LABEL_MAX 64
#define CUSTODY_KCV_LEN 5
#define CUSTODY_POINT_LEN 65
#define CUSTODY_MAC_MAX 32
#define CUSTODY_OWNER_MAX 1024
#define CUSTODY_SECRET_MAX 4096
#define CUSTODY_UNVERIFIED_MAX 128

/* A key that was found on a token and judged fit for its role: generated in the token,
 * always sensitive, never extractable, not modifiable, not copyable, one mechanism. */
struct custody_key {
    char id[CUSTODY_KEY_ID_MAX + 1];
    char label[CUSTODY_KEY_LABEL_MAX + 1]; /* printable; empty if the token has none */
    enum custody_role role;
    enum custody_alg alg;
    bool token_iv;                    /* AES-GCM keys: the token makes the IVs */
    bool has_kcv;                     /* HMAC keys that answered */
    uint8_t kcv[CUSTODY_KCV_LEN];     /* first octets of HMAC over the empty string */
    uint8_t point[CUSTODY_POINT_LEN]; /* AUDIT: the public key, uncompressed (SEC 1 2.3.3) */
    /* As the token tells them; a key without them is refused, but for local, which a quirk may
     * excuse. */
    bool sensitive, always_sensitive, never_extractable, local;
    /* The attributes that a quirk excused, such as "CKA_COPYABLE, CKA_LOCAL": what cannot be
     * verified of this key. Empty if the judgement is whole. */
    char unverified[CUSTODY_UNVERIFIED_MAX];
    /* In the answer of custody_keys: some token can use it. False for an AES-GCM key behind a
     * connection that does not carry AES-GCM, such as p11-kit's remoting. */
    bool usable;
    uint64_t handle; /* the backend's own */
};

#define CUSTODY_TOKENS_MAX 8
#define CUSTODY_NAME_MAX 64
#define CUSTODY_TOKEN_SERIAL_MAX 16 /* CK_TOKEN_INFO, without trailing blanks */

/* One token. */
struct custody_token_config {
    const char *backend; /* "pkcs11" or "tpm"; what the other one uses is NULL, 0 or false */

    /* pkcs11. The module: an absolute path, or a file name without a slash that is in p11-kit's
     * module directory, such as p11-kit-client.so. */
    const char *module;
    /* RFC 7512: names the token by token=, serial=, manufacturer=, model=; at least token= or
     * serial=. Anything else in it is refused, above all slot-id, pin-value, pin-source. */
    const char *uri;
    /* See custody/pin.h. NULL only for a token with its own PIN pad, which never gets one. */
    const char *pin_source;
    /* "NAME=value", put into the process's environment before the module is loaded. */
    const char *const *environment;
    size_t n_environment;
    /* Handed to the module's C_Initialize as pReserved; NULL for almost every module. One module
     * has one per process: that of the first token. */
    const char *init_args;
    /* How this token differs from what is expected of one; see custody_quirks. */
    const char *const *quirks;
    size_t n_quirks;

    /* tpm, and a pin_source of tpm:. The way to it, as tpm2-tss takes it: "device:/dev/tpmrm0",
     * "swtpm:path=/run/s" or "tabrmd:". */
    const char *tcti;
    /* The folder with its key files, an absolute path. */
    const char *keys;
    /* PIN, requests and answers cross the bus in the clear; otherwise what is secret is encrypted,
     * and the PIN is proved, not sent. */
    bool plain_bus;

    /* Both. */
    /* A PIN of fd: or prompt is kept in secret memory for the logins after an outage. Without
     * it such a token stays LOCKED when its login is gone. */
    bool keep_pin;
    /* A folder where it is kept that the token refused a PIN, so that no other process sends it
     * again; made where it is not there. NULL: this process alone remembers. */
    const char *pin_records;
};

struct custody_rules;

/* Strings and rules are copied. */
struct custody_config {
    const struct custody_token_config *tokens; /* 1 to CUSTODY_TOKENS_MAX */
    size_t n_tokens;
    /* A call that has not come back for so long: the token counts as down. 0: 2000. */
    unsigned stall_ms;
    /* Opens also when no token is to be had now; a person's mistake (TBS_ERR_CONFIG) fails all
     * the same. */
    bool start_down;
    /* What a key registry says of the keys, see custody/rules.h; NULL: there is none. A key that it
     * refuses does not fail custody_open. */
    const struct custody_rules *rules;
    /* For the keys' periods; ntp_now NULL: the system's. */
    struct tbs_clock clock;
};

/* A quirk that the configuration names. */
#define CUSTODY_QUIRKS_MAX 16
struct custody_quirk {
    const char *name;
    const char *effect; /* what it changes, for people */
    /* Whether a key was seen to need it since the token was opened. Some quirks do not show:
     * can_show is false. */
    bool can_show, needed;
};

struct custody;
struct custody_session;

/* Checks backend, uri and quirks without touching a token; custody_open does it too.
 * TBS_ERR_CONFIG; for an unknown quirk the sentence lists those that exist. */
enum tbs_err custody_check(const struct custody_token_config *config, struct tbs_diag *diag);

/* Loads the backends and opens every token: finds it, logs in, finds and judges its keys once,
 * and tries each. A key that several tokens hold is one key: same id, same check value. A token
 * without keys is fine (tbs-admin fills it); keys whose id begins neither with tpk-, kek- nor
 * audit- are not ours and are left alone. From then on a thread for each token watches it: it
 * makes a real MAC now and then, logs in again, finds the keys again, or loads the module again
 * when that is what it takes.
 *
 * TBS_ERR_NOT_FOUND no such module or token; TBS_ERR_CONFIG several tokens match, the PIN is
 * wrong, locked or down to its last try, a key is not what its id says, or two tokens hold
 * different keys of one id. A PIN the token has refused is not sent to it again by this
 * process. With several tokens, one that fails in another way does not fail the call. */
enum tbs_err custody_open(const struct custody_config *config, struct custody **ret_custody,
                          struct tbs_diag *diag);
/* NULL ok. Close all sessions first. False: a watching thread's call hangs in a module and still
 * does after a few seconds; all is left as it is, and the process can only end by _exit. */
bool custody_close(struct custody *custody);

/* One per worker thread. Read-only towards the tokens: it has a session with each; with one that
 * is down, from its first use on; or another thread's where a token has no more. TBS_ERR_CONFIG: a
 * token's quirks leave no room for it. A call goes to the healthy token that holds the key and has
 * the least to do; where it fails for a reason that another session or token may mend, it is made
 * again, up to twice. A token that is just being mended is waited for, up to a second. */
enum tbs_err custody_session_open(struct custody *custody, struct custody_session **ret_session,
                                  struct tbs_diag *diag);
void custody_session_close(struct custody_session *session); /* NULL ok */
/* No call begins after this time (CLOCK_MONOTONIC, ns); 0: none. TBS_ERR_UNAVAILABLE then. */
void custody_session_deadline(struct custody_session *session, uint64_t deadline_ns);

/* Keys, sorted by id; those that a token holds now. They live until the next call of this function
 * or custody_close; for one thread. */
const struct custody_key *custody_keys(struct custody *custody, size_t *ret_n);
/* NULL if there is none; lives until custody_close, as below. */
const struct custody_key *custody_find_key(const struct custody *custody, struct tbs_bytes id,
                                           enum custody_role role);
/* The usable key with this role and algorithm whose id sorts last, on a token that is up if any
 * is, and that the rules let protect now; NULL if there is none. */
const struct custody_key *custody_current_key(const struct custody *custody, enum custody_role role,
                                              enum custody_alg alg);
/* The same of all KEKs, of either algorithm: it protects new secrets. */
const struct custody_key *custody_current_kek(const struct custody *custody);
/* TPKs (by id, 0 to CUSTODY_SHARED_MAX) that a network function has too, and that are therefore
 * never current: tickets for others are not to be made with them. Before the first session;
 * replaces what was said before. TBS_ERR_INVALID for what can be no id, TBS_ERR_LIMIT. */
#define CUSTODY_SHARED_MAX 16
enum tbs_err custody_share(struct custody *custody, const char *const *tpks, size_t n,
                           struct tbs_diag *diag);
/* Why there is none: TBS_ERR_DENIED with a sentence where a token holds such a key and its state or
 * period does not let it, TBS_ERR_NOT_FOUND where no token does. */
enum tbs_err custody_why_none(const struct custody *custody, enum custody_role role,
                              enum custody_alg alg, struct tbs_diag *diag);
/* The quirks of a token's configuration and what became of them; how many. needed is about the
 * keys as they were last read. None while the token is down. */
size_t custody_quirks(struct custody *custody, size_t token,
                      struct custody_quirk ret_quirks[CUSTODY_QUIRKS_MAX]);
/* Has every token's keys looked up again, by the watching threads: after a key was generated by
 * somebody else. */
void custody_look_again(struct custody *custody);

/* Appends a signature of data by an AUDIT key: ECDSA with SHA-256 (FIPS 186-5), as DER
 * (Ecdsa-Sig-Value, RFC 3279 2.2.3). The token gets the digest and signs it. TBS_ERR_INVALID for
 * a key that is not an AUDIT key of this session's custody. */
enum tbs_err custody_sign(struct custody_session *session, const struct custody_key *audit,
                          struct tbs_bytes data, struct tbs_buf *ret_signature,
                          struct tbs_diag *diag);
/* Appends the public part of an AUDIT key: SubjectPublicKeyInfo, DER (RFC 5480). Asks no token. */
enum tbs_err custody_public_key(const struct custody_key *audit, struct tbs_buf *ret_spki,
                                struct tbs_diag *diag);

/* len octets from the token's generator; out is undefined on failure. */
enum tbs_err custody_random(struct custody_session *session, uint8_t *out, size_t len,
                            struct tbs_diag *diag);

/* Protects a stored secret (1 to CUSTODY_SECRET_MAX octets), bound to its owner's identity (1
 * to CUSTODY_OWNER_MAX octets), under the current KEK (custody_current_kek). Appends the blob to
 * *ret_blob, which the caller has initialised:
 *
 *   octet 0      version, 1
 *   octet 1      method, 1, 2 or 3
 *   octet 2      n, length of the KEK's id, 1 to 64
 *   n octets     the KEK's id
 *   32 octets    salt, random from the token (method 2 only)
 *   12 octets    IV, random from the token
 *   m octets     ciphertext, as long as the secret
 *   16 octets    tag
 *
 * Additional authenticated data: all octets before the ciphertext (method 3: before the IV),
 * then the owner.
 * Method 1: AES-256-GCM in the token (NIST SP 800-38D 8.2.2: with random IVs one KEK serves
 * at most 2^32 secrets; rotate long before).
 * Method 2: one HMAC-SHA-256 in the token gives a 256-bit key for this blob alone, by the
 * counter mode of NIST SP 800-108r1 4.1:
 *   HMAC(KEK, 00000001 || "tbs-kms stored secret" || 00 || salt || 00000100)
 * and OpenSSL does AES-256-GCM with it; that key is in secret memory during the call.
 * Method 3: AES-256-GCM in a token that makes the IV itself while it encrypts.
 *
 * TBS_ERR_NOT_FOUND no KEK on the token; TBS_ERR_UNSUPPORTED its KEK cannot be used here;
 * TBS_ERR_LIMIT owner or secret too long. */
enum tbs_err custody_wrap_secret(struct custody_session *session, struct tbs_bytes owner,
                                 struct tbs_bytes secret, struct tbs_buf *ret_blob,
                                 struct tbs_diag *diag);
/* The blob names its KEK and method. *ret_secret is the caller's to free.
 * TBS_ERR_AUTH wrong owner or changed blob; TBS_ERR_NOT_FOUND its KEK is on no token;
 * TBS_ERR_UNAVAILABLE also while a token that may hold it was never up since the start;
 * TBS_ERR_MALFORMED, TBS_ERR_UNSUPPORTED the blob does not decode or is of a later version,
 * or the token cannot do the method it names. */
enum tbs_err custody_unwrap_secret(struct custody_session *session, struct tbs_bytes owner,
                                   struct tbs_bytes blob, struct tbs_secret *ret_secret,
                                   struct tbs_diag *diag);

/* The id of the KEK that a blob names: a view into it. Asks no token. TBS_ERR_MALFORMED,
 * TBS_ERR_UNSUPPORTED as above. */
enum tbs_err custody_secret_kek(struct tbs_bytes blob, struct tbs_bytes *ret_id,
                                struct tbs_diag *diag);

enum custody_state {
    CUSTODY_UP,
    CUSTODY_DEGRADED, /* answers, but something the KMS needs is missing: see why */
    CUSTODY_DOWN,     /* does not answer, or answers wrongly */
    CUSTODY_LOCKED,   /* answers, but the login is gone or its PIN is locked */
};

struct custody_health {
    enum custody_state state;
    struct tbs_diag why; /* all zero when UP */
};

/* Has every token examined now (a real MAC with a real key, compared with its check value), waits
 * for that up to two seconds, and sums it up: UP when all tokens are and nothing is missing;
 * DEGRADED when what the KMS needs can be had all the same, or a part of it; DOWN or LOCKED when
 * no token serves. A token that is down is an answer, not a failure: fails with TBS_ERR_INVALID
 * only. */
enum tbs_err custody_health(struct custody_session *session, struct custody_health *ret_health,
                            struct tbs_diag *diag);
/* The same from what is known already: asks no token, never waits, thread-safe. */
void custody_known_health(struct custody *custody, struct custody_health *ret_health);

/* One token, as it was seen last. */
struct custody_token_status {
    char name[CUSTODY_NAME_MAX + 1];           /* its label, or the URI before it was first seen */
    char serial[CUSTODY_TOKEN_SERIAL_MAX + 1]; /* empty before it was first seen */
    enum custody_state state;
    struct tbs_diag why;      /* all zero when UP */
    uint64_t seconds;         /* in this state */
    uint64_t probe_us;        /* the last real MAC */
    unsigned openings;        /* times it was opened with success; above 1: recoveries */
    unsigned stalled;         /* calls that hang now */
    uint64_t calls, failures; /* operations asked of it */
};
size_t custody_token_count(const struct custody *custody);
void custody_token_status(struct custody *custody, size_t i,
                          struct custody_token_status *ret_status);
/* One kind of call into a module or command to a TPM, such as C_Sign or TPM2_HMAC: counted by the
 * backend, read by anybody. */
#define CUSTODY_LATENCY_FIRST_US 16 /* bound of the first bucket; each next one has twice that */
#define CUSTODY_LATENCY_BUCKETS 18  /* the last has no bound */
struct custody_call_stats {
    const char *name; /* static text */
    _Atomic uint64_t calls, failures, nanoseconds, bucket[CUSTODY_LATENCY_BUCKETS];
};
/* Those of a token, by kind: NULL after the last. */
const struct custody_call_stats *custody_token_calls_of(const struct custody *custody, size_t token,
                                                        size_t kind);
const char *custody_state_name(enum custody_state state); /* "up", ... never NULL */

/* Cryptographic operations asked of tokens through this session so far. */
uint64_t custody_token_calls(const struct custody_session *session);

/* --- Administration --- */

/* Generates a key in the first token, reads its attributes back, judges and tries it, and reads
 * its key list anew. A key that fails is destroyed and reported (TBS_ERR_CONFIG, or
 * TBS_ERR_UNSUPPORTED for an algorithm the token or the connection does not carry).
 * TBS_ERR_EXISTS the id is taken. label may be NULL. */
enum tbs_err custody_generate_key(struct custody *custody, enum custody_role role,
                                  enum custody_alg alg, const char *id, const char *label,
                                  struct tbs_diag *diag);

/* Initialises the one token that is not initialised yet, names it (1 to 32 octets) and sets
 * the PINs of the security officer and the user. config->uri may narrow the choice by
 * manufacturer, model and serial; its token=, if any, is the new name. config->pin_source is
 * not used. A TPM has no such officer: so_pin_source is not read, and config->keys is a folder
 * without a token yet. TBS_ERR_EXISTS a token of that name is there: an initialised token is never
 * touched. TBS_ERR_NOT_FOUND no token to initialise; TBS_ERR_CONFIG several, or a PIN that the
 * token would not take. */
enum tbs_err custody_init_token(const struct custody_token_config *config, const char *token_label,
                                const char *so_pin_source, const char *user_pin_source,
                                struct tbs_diag *diag);

#endif
