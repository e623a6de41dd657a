/* Inside the TPM backend; nobody else includes this.
 *
 * In the TPM there is, from the root down (TPM 2.0 Library, part 1):
 *   primary   a storage key made from the owner seed by a fixed template, so always the same;
 *             it has no authorisation and is there only to load the next one
 *   storage   a storage key of this token, in DIR/token.json; its authValue is the PIN
 *   keys      HMAC and signing keys, each in DIR/ID.json; their authValue is the PIN, too
 * The files hold the public area and what TPM2_Create gave for the private one, encrypted and
 * authenticated by the TPM. The TPM holds the storage key and at most TPM_LOADED_MAX keys loaded:
 * together the three objects for which every TPM has room.
 *
 * One connection and one session per token, used by one thread at a time. */
#ifndef TBS_TPM_TPM_H
#define TBS_TPM_TPM_H

#include <pthread.h>
#include <tss2/tss2_esys.h>

#include "custody/backend.h"

#define TPM_LOADED_MAX 2
#define TPM_PIN_MAX 32 /* octets of an authValue with SHA-256 as name algorithm */
#define TPM_FILE_MAX 8192
#define TPM_TOKEN_FILE "token" /* the storage key's, in place of a key's id */

/* --- answers.c --- */

enum custody_class tpm_classify(unsigned long rc);
enum tbs_err tpm_rc_err(TSS2_RC rc);
const char *tpm_rc_name(TSS2_RC rc);
/* The sentence about a failed call: "WHAT: the TPM answered ...". */
enum tbs_err tpm_fail(struct tbs_diag *diag, TSS2_RC rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* --- file.c: a key in a file --- */

struct tpm_blob {
    char id[CUSTODY_KEY_ID_MAX + 1];       /* the file's name without .json */
    char label[CUSTODY_KEY_LABEL_MAX + 1]; /* printable ASCII */
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private;
};
/* TBS_ERR_CONFIG for what is not such a file, word for word. */
enum tbs_err tpm_blob_parse(const char *path, struct tbs_bytes text, struct tpm_blob *ret_blob,
                            struct tbs_diag *diag);
/* id and label are set. TBS_ERR_NOT_FOUND no such file. */
enum tbs_err tpm_blob_read(const char *dir, const char *id, struct tpm_blob *ret_blob,
                           struct tbs_diag *diag);
/* On the disk when it returns, whole or not at all. TBS_ERR_EXISTS: never overwrites. */
enum tbs_err tpm_blob_write(const char *dir, const struct tpm_blob *blob, struct tbs_diag *diag);
enum tbs_err tpm_blob_remove(const char *dir, const char *id, struct tbs_diag *diag);
/* Calls `found` for each id of ours that has a file, until it fails. */
enum tbs_err tpm_blob_each(const char *dir,
                           enum tbs_err (*found)(void *ctx, const char *id, struct tbs_diag *diag),
                           void *ctx, struct tbs_diag *diag);

/* Octets as the TPM hashes them for the Name; `out` has room for a TPM2B_PUBLIC. */
bool tpm_marshal_public(const TPM2B_PUBLIC *public, uint8_t *out, size_t *ret_len);

/* --- template.c: what keys look like --- */

void tpm_primary_template(TPM2B_PUBLIC *ret_public);
enum tbs_err tpm_storage_template(TPM2B_PUBLIC *ret_public, struct tbs_diag *diag);
/* The id is bound into the public area, so that no key passes for another one when files change
 * their names. TBS_ERR_UNSUPPORTED for AES-256-GCM. */
enum tbs_err tpm_key_template(const char *id, enum custody_alg alg, TPM2B_PUBLIC *ret_public,
                              struct tbs_diag *diag);
/* Fits nothing but its template; ret_key is filled all but for its handle. TBS_ERR_CONFIG. */
enum tbs_err tpm_judge_key(const struct tpm_blob *blob, const TPM2B_PUBLIC *public,
                           struct custody_key *ret_key, struct tbs_diag *diag);
enum tbs_err tpm_judge_storage(const TPM2B_PUBLIC *public, struct tbs_diag *diag);

/* --- connection.c: the one way to the TPM --- */

/* Commands that the backend sends, in the order of its statistics. */
#define TPM_COMMANDS(X)                                                                            \
    X(Startup)                                                                                     \
    X(GetCapability)                                                                               \
    X(CreatePrimary)                                                                               \
    X(Create)                                                                                      \
    X(Load)                                                                                        \
    X(ReadPublic)                                                                                  \
    X(FlushContext)                                                                                \
    X(StartAuthSession)                                                                            \
    X(PolicySecret)                                                                                \
    X(GetRandom)                                                                                   \
    X(HMAC)                                                                                        \
    X(Sign)

enum tpm_command {
#define TPM_ENUM(name) TPM_##name,
    TPM_COMMANDS(TPM_ENUM)
#undef TPM_ENUM
        TPM_N_COMMANDS,
};

struct tpm_loaded {
    struct tpm_blob blob;
    ESYS_TR handle;     /* ESYS_TR_NONE: not in the TPM now */
    uint64_t last_used; /* of tpm_token.clock */
};

struct tpm_token {
    pthread_mutex_t lock; /* held by each operation of custody's */
    ESYS_CONTEXT *esys;
    TSS2_TCTI_CONTEXT *tcti;
    const char *dir; /* the configuration's */
    bool encrypts;
    char name[CUSTODY_NAME_MAX + 1];
    char serial[CUSTODY_TOKEN_SERIAL_MAX + 1]; /* of the storage key's Name, which is this TPM's */
    ESYS_TR storage, session;
    TPM2B_AUTH pin;
    struct tpm_loaded *keys; /* those that were listed; custody_key.handle is an index */
    size_t n_keys;
    uint64_t clock;
    struct custody_call_stats *stats; /* NULL: nobody counts */
};

/* TSS2_RC of a command: TPM_CALL(token, Sign, handle, ...); counted and timed. */
#define TPM_CALL(token, command, ...)                                                              \
    ({                                                                                             \
        const struct tpm_token *called_ = (token);                                                 \
        uint64_t began_ = custody_now_ns();                                                        \
        TSS2_RC rc_ = Esys_##command(called_->esys, __VA_ARGS__);                                  \
        custody_count_call(called_->stats, TPM_##command, began_, rc_ != TSS2_RC_SUCCESS);         \
        rc_;                                                                                       \
    })
void tpm_name_stats(struct custody_call_stats *stats);

#define TPM_IN_TURN(token)                                                                         \
    pthread_mutex_t *turn_ __attribute__((cleanup(tpm_end_turn), unused)) = tpm_begin_turn(token)
pthread_mutex_t *tpm_begin_turn(struct tpm_token *token);
void tpm_end_turn(pthread_mutex_t **lock);

/* TBS_ERR_CONFIG unless it names a device, swtpm or tabrmd. */
enum tbs_err tpm_check_tcti(const char *tcti, struct tbs_diag *diag);
/* No resource manager is in between. */
bool tpm_is_alone(const char *tcti);
enum tbs_err tpm_prepare(const struct custody_token_config *config, struct tbs_diag *diag);
/* Connects and starts the TPM up where nobody did. */
enum tbs_err tpm_connect(struct tpm_token *token, const struct custody_token_config *config,
                         struct tbs_diag *diag);
/* Removes what is ours from the TPM, as far as it answers, and disconnects. */
void tpm_disconnect(struct tpm_token *token);
enum tbs_err tpm_make_primary(struct tpm_token *token, ESYS_TR *ret_primary, struct tbs_diag *diag);
/* The HMAC session, salted with `salt_key`; none on a plain bus. */
enum tbs_err tpm_start_session(struct tpm_token *token, ESYS_TR salt_key, struct tbs_diag *diag);
/* What authorises one command: the session, with the command's first parameter encrypted where
 * `in`, and that of its answer where `out`; on a plain bus the PIN itself. */
ESYS_TR tpm_session(struct tpm_token *token, bool in, bool out);
/* The same for a command that needs no authorisation. */
ESYS_TR tpm_session_beside(struct tpm_token *token);
void tpm_flush(struct tpm_token *token, ESYS_TR *handle);

/* --- keys.c --- */

enum tbs_err tpm_load(struct tpm_token *token, ESYS_TR parent, ESYS_TR session,
                      const struct tpm_blob *blob, ESYS_TR *ret_handle, struct tbs_diag *diag);
/* Creates below `parent`, with the token's PIN as authValue; blob's public and private. */
enum tbs_err tpm_create(struct tpm_token *token, ESYS_TR parent, const TPM2B_PUBLIC *template,
                        struct tpm_blob *blob, struct tbs_diag *diag);
/* The key in the TPM, loaded if need be in place of the one that was not used for longest. */
enum tbs_err tpm_key_handle(struct tpm_token *token, const struct custody_key *key,
                            ESYS_TR *ret_handle, struct tbs_diag *diag);
/* Puts a key into token->keys, at the end. */
enum tbs_err tpm_keep_key(struct tpm_token *token, const struct tpm_blob *blob,
                          struct tbs_diag *diag);
void tpm_unload_keys(struct tpm_token *token); /* they are loaded again when needed */
void tpm_drop_keys(struct tpm_token *token);
/* Makes and judges a key, of which the TPM keeps nothing; in no file yet. */
enum tbs_err tpm_make_key(struct tpm_token *token, enum custody_alg alg, const char *id,
                          const char *label, struct tpm_blob *ret_blob, struct custody_key *ret_key,
                          struct tbs_diag *diag);
enum tbs_err tpm_list_keys(void *token, struct custody_key_list *ret_list, struct tbs_diag *diag);
enum tbs_err tpm_generate_key(void *token, enum custody_role role, enum custody_alg alg,
                              const char *id, const char *label, struct custody_key *ret_key,
                              struct tbs_diag *diag);
enum tbs_err tpm_destroy_key(void *token, const struct custody_key *key, struct tbs_diag *diag);

/* --- use.c --- */

/* After each command whose answer, or itself, was secret. */
void tpm_wipe_traces(struct tpm_token *token);
enum tbs_err tpm_random(void *session, uint8_t *out, size_t len, struct tbs_diag *diag);
enum tbs_err tpm_hmac(void *session, const struct custody_key *key, struct tbs_bytes data,
                      uint8_t *ret_mac, struct tbs_diag *diag);
enum tbs_err tpm_sign(void *session, const struct custody_key *key,
                      const uint8_t digest[CUSTODY_DIGEST_LEN], uint8_t *ret_signature,
                      struct tbs_diag *diag);

/* --- init.c --- */

enum tbs_err tpm_set_pin(struct tpm_token *token, const struct tbs_secret *pin,
                         struct tbs_diag *diag);
enum tbs_err tpm_init_token(const struct custody_token_config *config, const char *token_label,
                            const char *so_pin_source, const char *user_pin_source,
                            struct tbs_diag *diag);

#endif
