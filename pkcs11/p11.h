/* The PKCS#11 backend's own: the one header that knows p11-kit. Only functions of PKCS#11 2.40
 * are called. */
#ifndef TBS_PKCS11_P11_H
#define TBS_PKCS11_P11_H

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include <pthread.h>

#include "custody/backend.h"

#define P11_LABEL_LEN 32
#define P11_SERIAL_LEN 16
#define P11_MODEL_LEN 16

enum p11_quirk {
    P11_NO_ALLOWED_MECHANISMS,
    P11_NO_COPYABLE,
    P11_NO_DESTROYABLE,
    P11_NO_LOCAL,
    P11_KEY_TYPE_HMAC,
    P11_TOKEN_IV,
    P11_NO_READ_ONLY_SESSIONS,
    P11_SERIAL_ONLY,
    P11_MAX_SESSIONS,
    P11_N_QUIRKS
};

struct p11_quirks {
    bool on[P11_N_QUIRKS];
    size_t index[P11_N_QUIRKS]; /* in list, of those that are on */
    struct custody_quirk list[P11_N_QUIRKS];
    size_t n;
    unsigned max_sessions;
};

struct p11_token {
    CK_FUNCTION_LIST *f; /* managed by p11-kit, which counts C_Initialize */
    bool initialized;
    struct pin_keeper *pin;
    struct custody_call_stats *stats; /* NULL: nobody counts */
    CK_SLOT_ID slot;
    char name[P11_LABEL_LEN + 1]; /* the token's label, for people */
    CK_TOKEN_INFO info;           /* as it was when it was opened */
    /* See struct custody_opening; NULL: all keys were made here. */
    enum custody_origin (*origin)(const void *ctx, const char *id, const char *serial);
    const void *origin_ctx;
    /* A login lasts as long as the application has a session; this one is kept for it. */
    CK_SESSION_HANDLE holder;
    struct p11_quirks quirks;
    _Atomic unsigned n_sessions; /* of p11_session_open */
};

struct p11_session {
    struct p11_token *token;
    CK_SESSION_HANDLE handle;
    bool fresh; /* false: replace it before the next use */
};

/* --- answers.c: CK_RV --- */

const char *p11_rv_name(CK_RV rv); /* "CKR_..."; never NULL */
enum tbs_err p11_rv_err(CK_RV rv);
enum custody_class p11_classify(unsigned long rv);
/* "<what>: the token answered CKR_X (0x..); <what it means>", raw = rv. */
enum tbs_err p11_fail(struct tbs_diag *diag, CK_RV rv, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* --- quirks.c --- */

enum tbs_err p11_parse_quirks(const struct custody_token_config *config,
                              struct p11_quirks *ret_quirks, struct tbs_diag *diag);
const char *p11_quirk_name(enum p11_quirk quirk);
/* Whether the quirk is on. It then counts as needed: ask only where the token falls short. */
bool p11_excused(struct p11_token *token, enum p11_quirk quirk);
const struct custody_quirk *p11_quirks(const void *token, size_t *ret_n);

/* The error for the first session, which the token refused with rv. */
enum tbs_err p11_session_refused(const struct p11_token *token, CK_RV rv, struct tbs_diag *diag);
/* For a serial-only token: begins the process's one turn, which ends with the scope. Each
 * function that the backend offers begins with it; they do not call each other. */
#define P11_IN_TURN(token)                                                                         \
    __attribute__((cleanup(p11_end_turn), unused)) pthread_mutex_t *p11_turn = p11_begin_turn(token)
pthread_mutex_t *p11_begin_turn(const struct p11_token *token);
void p11_end_turn(pthread_mutex_t **turn);

/* --- module.c --- */

/* Sets what the module needs in the environment. */
enum tbs_err p11_prepare(const struct custody_token_config *config, struct tbs_diag *diag);
/* Parses the quirks, loads and initialises the module. Undo: p11_unload. */
enum tbs_err p11_load(const struct custody_token_config *config, struct p11_token *ret_token,
                      struct tbs_diag *diag);
void p11_unload(struct p11_token *token);

/* --- find.c: naming tokens --- */

/* An RFC 7512 URI that names a token and holds nothing else. need_name: token= or serial= is
 * there. Freed with p11_kit_uri_free. */
enum tbs_err p11_parse_uri(const char *text, bool need_name, P11KitUri **ret_uri,
                           struct tbs_diag *diag);
/* Whether a field of a URI's token info is set: one that is not is all zeros, an empty one all
 * blanks. */
bool p11_uri_has(const unsigned char *field, size_t len);
/* Exactly one token that fits the URI and is initialised (or is not, as asked). TBS_ERR_CONFIG
 * if there are several. */
enum tbs_err p11_find_token(struct p11_token *token, const P11KitUri *uri, bool initialized,
                            CK_SLOT_ID *ret_slot, CK_TOKEN_INFO *ret_info, struct tbs_diag *diag);
/* Copies a blank-padded field; size includes the NUL; unprintable octets become '?'. */
void p11_copy_field(const unsigned char *field, size_t len, char *ret_text, size_t size);

/* --- login.c --- */

/* Logs the user in on token->holder unless the process is logged in already. */
enum tbs_err p11_login(struct p11_token *token, const CK_TOKEN_INFO *info, struct tbs_diag *diag);
/* The same later, when the holder may be gone, too. */
enum tbs_err p11_login_again(void *token, struct tbs_diag *diag);

/* --- session.c --- */

/* For C_OpenSession. */
CK_FLAGS p11_session_flags(const struct p11_token *token, bool read_write);
/* What the token says of itself now. CKR_SLOT_ID_INVALID when another one is in its slot, whose
 * numbers move: no PIN and no handle of a key must meet that. */
CK_RV p11_read_info(struct p11_token *token, CK_TOKEN_INFO *ret_info);
/* A session that sees the private keys; TBS_ERR_UNAVAILABLE if the login is gone, or another
 * token is in the slot. */
enum tbs_err p11_open_handle(struct p11_token *token, bool read_write,
                             CK_SESSION_HANDLE *ret_handle, struct tbs_diag *diag);
enum tbs_err p11_session_open(void *token, void **ret_session, struct tbs_diag *diag);
void p11_session_close(void *session);
enum tbs_err p11_random(void *session, uint8_t *out, size_t len, struct tbs_diag *diag);
enum tbs_err p11_hmac(void *session, const struct custody_key *key, struct tbs_bytes data,
                      uint8_t *ret_mac, struct tbs_diag *diag);
enum tbs_err p11_seal(void *session, const struct custody_key *key, const struct custody_aead *aead,
                      struct tbs_bytes plain, uint8_t *out, struct tbs_diag *diag);
enum tbs_err p11_unseal(void *session, const struct custody_key *key,
                        const struct custody_aead *aead, struct tbs_bytes sealed, uint8_t *out,
                        struct tbs_diag *diag);

enum tbs_err p11_sign(void *session, const struct custody_key *key, const uint8_t *digest,
                      uint8_t *ret_signature, struct tbs_diag *diag);

/* --- template.c: what a key must look like --- */

/* Reads the attributes of one object and judges them; TBS_ERR_CONFIG says which one is wrong.
 * id is the object's CKA_ID, known to be valid for role. */
enum tbs_err p11_judge_key(struct p11_token *token, CK_OBJECT_HANDLE object, const char *id,
                           enum custody_role role, struct custody_key *ret_key,
                           struct tbs_diag *diag);
/* TBS_ERR_INVALID if the key would not be told from one for another algorithm. */
enum tbs_err p11_check_id(const struct p11_token *token, enum custody_alg alg, const char *id,
                          struct tbs_diag *diag);
/* Of a key pair, ret_object is the private key. */
CK_RV p11_generate(const struct p11_token *token, CK_SESSION_HANDLE session, enum custody_alg alg,
                   const char *id, const char *label, CK_OBJECT_HANDLE *ret_object);

/* --- public.c: the public half of a key pair --- */

/* OBJECT IDENTIFIER of P-256, DER: what CKA_EC_PARAMS holds. */
#define P11_P256_LEN 10
extern const CK_BYTE p11_p256[P11_P256_LEN];
/* Reads the point of the one public key of this id. */
enum tbs_err p11_read_point(struct p11_token *token, const char *id,
                            uint8_t ret_point[CUSTODY_POINT_LEN], struct tbs_diag *diag);

/* A signature of two halves, as a token gives it, in DER. */
bool p11_ecdsa_der(const uint8_t *raw, size_t len, struct tbs_buf *ret_der);

/* --- keys.c --- */

struct p11_objects {
    CK_OBJECT_HANDLE *handles;
    size_t n, cap;
};
/* All objects that fit the template. The caller frees ret->handles. */
enum tbs_err p11_find(struct p11_token *token, CK_ATTRIBUTE *template, CK_ULONG n,
                      struct p11_objects *ret, struct tbs_diag *diag);
/* All token objects of a class, or those with this id. The caller frees ret->handles. */
enum tbs_err p11_find_objects(struct p11_token *token, CK_OBJECT_CLASS class, const char *id,
                              struct p11_objects *ret, struct tbs_diag *diag);
enum tbs_err p11_list_keys(void *token, struct custody_key_list *ret_list, struct tbs_diag *diag);
enum tbs_err p11_generate_key(void *token, enum custody_role role, enum custody_alg alg,
                              const char *id, const char *label, struct custody_key *ret_key,
                              struct tbs_diag *diag);
enum tbs_err p11_destroy_key(void *token, const struct custody_key *key, struct tbs_diag *diag);

/* --- init.c --- */

enum tbs_err p11_init_token(const struct custody_token_config *config, const char *token_label,
                            const char *so_pin_source, const char *user_pin_source,
                            struct tbs_diag *diag);

#endif
