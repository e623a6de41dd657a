/* What a ceremony asks of a token, and no KMS does: initialise it, make keys that are wrapped to
 * other tokens and then sealed, restore them, list all objects, destroy by check value. Templates
 * are those of templates/templates.h; attributes, too, are told as they are there: all that objects
 * of a class have, and null for what the token does not tell.
 *
 * One vault is one token. Not thread-safe, and PKCS#11 logins hold for the whole process: for a
 * program that does nothing else. Every call that changes the token is announced to a witness, and
 * so is its answer. Errors: TBS_ERR_TOKEN and its kin with the CK_RV as raw; TBS_ERR_NOMEM; what
 * each function names. Outputs that are json_t belong to the caller. */
#ifndef TBS_PKCS11_VAULT_H
#define TBS_PKCS11_VAULT_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "templates/templates.h"

#define VAULT_ID_MAX 64
#define VAULT_SERIAL_MAX 16
#define VAULT_RECIPIENTS_MAX 8

/* The token that is meant: by serial, by label, or the one of the module that is not initialised.
 * Where several have that serial, as software tokens do, a label besides tells them apart. */
struct vault_token {
    const char *module;         /* as in custody_token_config */
    const char *serial, *label; /* NULL: not given */
    bool fresh;
    enum oaep_hash oaep; /* of what is wrapped to it, and by it */
    /* As in custody_token_config. Of an attribute that a quirk says the token lacks, nothing is
     * said to it. */
    const char *init_args;
    const char *const *quirks;
    size_t n_quirks;
};

/* Both may refuse: before, and the call is not made; after, and the error is the caller's. The
 * references to `what` and `result` are not taken over. */
struct vault_witness {
    enum tbs_err (*before)(void *ctx, const char *call, json_t *what, struct tbs_diag *diag);
    enum tbs_err (*after)(void *ctx, const char *call, unsigned long rv, json_t *result,
                          struct tbs_diag *diag);
    void *ctx;
};

struct vault;

/* TBS_ERR_NOT_FOUND no such token; TBS_ERR_CONFIG several, or no such module. The witness is
 * copied; its ctx must outlive the vault. */
enum tbs_err vault_open(const struct vault_token *token, const struct vault_witness *witness,
                        struct vault **ret_vault, struct tbs_diag *diag);
void vault_close(struct vault *vault); /* NULL ok */

const char *vault_serial(const struct vault *vault); /* lives as long as the vault */
const char *vault_label(const struct vault *vault);  /* likewise */
/* What it says that it is; without the blanks at the end. Lives as long as the vault. */
const char *vault_model(const struct vault *vault);
bool vault_is_initialised(const struct vault *vault);
bool vault_has_pin_pad(const struct vault *vault);
/* {"module", "module_sha256", "library", "manufacturer", "model", "serial", "label", "hardware",
 * "firmware", "flags": [...], "mechanisms": [...]}. */
enum tbs_err vault_info(struct vault *vault, json_t **ret_info, struct tbs_diag *diag);

/* Erases it; the vault is then the token of that label. A PIN of length 0 is for a PIN pad. */
enum tbs_err vault_init_token(struct vault *vault, const char *label, struct tbs_bytes so_pin,
                              struct tbs_diag *diag);
/* As security officer, logged in and out again. */
enum tbs_err vault_init_pin(struct vault *vault, struct tbs_bytes so_pin, struct tbs_bytes user_pin,
                            struct tbs_diag *diag);
enum tbs_err vault_login(struct vault *vault, bool as_so, struct tbs_bytes pin,
                         struct tbs_diag *diag);
void vault_logout(struct vault *vault);
/* Octets of the token's random source; logged in. */
enum tbs_err vault_random(struct vault *vault, uint8_t *ret_octets, size_t len,
                          struct tbs_diag *diag);

/* A key of a template that keeps it in this token, of which none has this id yet (TBS_ERR_EXISTS).
 * {"attributes": {...}, "check": {"method", "value"}, "spki": base64 of a pair}.
 * TBS_ERR_UNSUPPORTED no such template. */
enum tbs_err vault_generate(struct vault *vault, const char *template, const char *id,
                            json_t **ret_key, struct tbs_diag *diag);

/* The pair whose private half can only unwrap; {"attributes", "check", "spki"}. */
enum tbs_err vault_transport_make(struct vault *vault, const char *id, json_t **ret_key,
                                  struct tbs_diag *diag);
/* Its public half, in another token, logged in as security officer. */
enum tbs_err vault_transport_trust(struct vault *vault, const char *id, struct tbs_bytes spki,
                                   json_t **ret_key, struct tbs_diag *diag);

/* A trusted transport key. */
struct vault_recipient {
    const char *id;
    enum oaep_hash oaep;
};

/* Born as an extractable session object, wrapped to each recipient, and sealed as a token object
 * with the same check value. {"attributes", "check", "born": its attributes then, "wrapped":
 * {recipient: base64}}. */
enum tbs_err vault_generate_replicated(struct vault *vault, const char *template, const char *id,
                                       const struct vault_recipient *recipients, size_t n,
                                       json_t **ret_key, struct tbs_diag *diag);
/* The other end. {"attributes", "check"}. */
enum tbs_err vault_unwrap(struct vault *vault, const char *template, const char *id,
                          const char *transport, enum oaep_hash oaep, struct tbs_bytes wrapped,
                          json_t **ret_key, struct tbs_diag *diag);

/* Every object that the login sees: [{"class", "id", "label", "attributes", "check"}], sorted; no
 * check value for those whose check value is another each time (AES), and none for private keys.
 * Session objects are not listed. */
enum tbs_err vault_inventory(struct vault *vault, json_t **ret_objects, struct tbs_diag *diag);
/* Destroys the objects that these entries of an inventory describe, whole. TBS_ERR_NOT_FOUND when
 * one is not there, after the others are gone. */
enum tbs_err vault_destroy_objects(struct vault *vault, const json_t *objects,
                                   struct tbs_diag *diag);
/* Computed, never read: {"method", "value"}, with one of
 *   hmac-empty/16      the first 16 octets of the MAC of nothing
 *   aes-256-gcm-block  IV, 16 zero octets sealed with the key's id as additional data, and the tag
 *   spki-sha256        of a public key's SubjectPublicKeyInfo (DER) */
enum tbs_err vault_check(struct vault *vault, const char *id, json_t **ret_check,
                         struct tbs_diag *diag);
/* Whether the key of that id is the one of this check value: TBS_ERR_AUTH when it is not. */
enum tbs_err vault_confirm(struct vault *vault, const char *id, const json_t *check,
                           struct tbs_diag *diag);
/* ECDSA-SHA256 in DER; logs in anew for this one signature where the key asks for it. */
enum tbs_err vault_sign(struct vault *vault, const char *id, struct tbs_bytes pin,
                        struct tbs_bytes octets, struct tbs_buf *ret_signature,
                        struct tbs_diag *diag);
/* Every key with this check value, whatever it is called, and then looks again. For method
 * aes-256-gcm-block `check` also has the "id" that the key had when the block was sealed, and for
 * spki-sha256 the public key, "spki" (base64): both halves of the pair are destroyed
 * (TBS_ERR_INVALID without them). pin: for a private key that asks for it at each use. *ret_done:
 * {"destroyed": [as in an inventory], "examined": so many keys in the second look, "left": 0}. A
 * copy that may do nothing with its key gives no check value; an inventory shows it as an object
 * that nobody knows. */
enum tbs_err vault_destroy_by_check(struct vault *vault, const json_t *check, struct tbs_bytes pin,
                                    json_t **ret_done, struct tbs_diag *diag);
/* Tries what no key may allow: to read it, to wrap it by a key of one's own, to change or copy it
 * with more uses, to use it otherwise; with a transport key, to unwrap a readable key or to decrypt
 * at all; with a trusted one, to wrap keys of known values. [{"name", "rv", "refused"}]. What
 * should not have been made is destroyed. Of a pair it is the private half. */
enum tbs_err vault_attack(struct vault *vault, const char *id, json_t **ret_attempts,
                          struct tbs_diag *diag);

#endif
