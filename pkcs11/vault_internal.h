/* Shared by the vault's files; no other room includes it. */
#ifndef TBS_PKCS11_VAULT_INTERNAL_H
#define TBS_PKCS11_VAULT_INTERNAL_H

#include "pkcs11/vault.h"

#include <openssl/types.h>

#include "p11.h"

#define TEMPLATE_MAX 32

struct vault {
    struct p11_token token; /* while logged in, its holder is the session */
    struct vault_witness witness;
    char module[512];
    char serial[P11_SERIAL_LEN + 1];
    char model[P11_MODEL_LEN + 1];
    CK_SESSION_HANDLE session; /* read-write, while logged in */
    bool logged_in;
    enum oaep_hash oaep;
};

/* Attributes in the order in which they are told to the token; CKA_MODIFIABLE comes last. */
struct attribute_list {
    CK_ATTRIBUTE list[TEMPLATE_MAX];
    CK_ULONG n;
};

/* --- vault_attributes.c --- */

void vault_put(struct attribute_list *t, CK_ATTRIBUTE_TYPE type, const void *value, size_t len);
/* What a template gives an object of that profile, but for what the token does not know; what is
 * not of the template, such as an id, goes before. inner is where a template in an attribute lives;
 * it must live as long as t. */
enum tbs_err vault_put_given(const struct vault *v, struct attribute_list *t,
                             struct attribute_list *inner, const struct key_template *template,
                             enum template_profile profile, struct tbs_diag *diag);
CK_MECHANISM_TYPE vault_mechanism(const char *name); /* one that a key template names */
/* Text in UTF-8 as it is, and all else in hex. At most VAULT_TEXT_MAX octets. */
#define VAULT_TEXT_MAX 256
json_t *vault_text(const uint8_t *octets, size_t len);
/* A name, or "0x..." of what has none here. */
json_t *vault_mechanism_name(CK_MECHANISM_TYPE type);
json_t *vault_class_name(CK_OBJECT_CLASS class);
/* False: not told, or longer than size. */
bool vault_read(struct vault *v, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *value,
                CK_ULONG size, CK_ULONG *ret_len);
/* All that objects of its class have; null for what the token does not tell. */
json_t *vault_attributes(struct vault *v, CK_OBJECT_HANDLE object);

/* --- vault.c --- */

enum tbs_err vault_before(struct vault *v, const char *call, json_t *what, struct tbs_diag *diag);
/* Tells the witness, and makes a refusal of the token an error. */
enum tbs_err vault_after(struct vault *v, const char *call, CK_RV rv, json_t *result,
                         struct tbs_diag *diag);

/* A call that changes the token, between the two. `what` is taken over. */
#define WITNESSED(v, what, diag, function, ...)                                                    \
    ({                                                                                             \
        enum tbs_err err_ = vault_before(v, #function, what, diag);                                \
        if (err_ == TBS_OK)                                                                        \
            err_ = vault_after(v, #function, (v)->token.f->function(__VA_ARGS__), NULL, diag);     \
        err_;                                                                                      \
    })

/* --- vault_look.c --- */

/* The one object of a class with this id; TBS_ERR_NOT_FOUND, TBS_ERR_CONFIG for several. */
enum tbs_err vault_find(struct vault *v, CK_OBJECT_CLASS class, const char *id,
                        CK_OBJECT_HANDLE *ret_object, struct tbs_diag *diag);
/* TBS_ERR_EXISTS when an object of that class has the id. */
enum tbs_err vault_none(struct vault *v, CK_OBJECT_CLASS class, const char *id,
                        struct tbs_diag *diag);

/* As an entry of an inventory. */
json_t *vault_describe(struct vault *v, CK_OBJECT_HANDLE object);
/* Every token object that the login sees. */
enum tbs_err vault_all(struct vault *v, struct p11_objects *ret, struct tbs_diag *diag);

/* --- vault_check.c --- */

/* The RSA keys of transport, and how they wrap. */
#define VAULT_RSA_BITS 3072
#define VAULT_SECRET_LEN 32
CK_MECHANISM vault_oaep(enum oaep_hash hash);

enum tbs_err vault_check_object(struct vault *v, CK_OBJECT_HANDLE object, json_t **ret_check,
                                struct tbs_diag *diag);
/* Whether a key has this check value, of any method. An error when the token could not tell: then
 * nobody knows. */
enum tbs_err vault_has_check(struct vault *v, CK_OBJECT_HANDLE object, const json_t *check,
                             bool *ret_same, struct tbs_diag *diag);

/* --- vault_pair.c --- */

/* Of a public key. */
enum tbs_err vault_spki(struct vault *v, CK_OBJECT_HANDLE object, struct tbs_buf *ret_spki,
                        struct tbs_diag *diag);
/* Whether a private key is the other half: an RSA key tells its modulus, an EC key signs something.
 * pin: where the key asks for it. An error when the token could not tell. */
enum tbs_err vault_is_half(struct vault *v, CK_OBJECT_HANDLE object, EVP_PKEY *public,
                           struct tbs_bytes pin, bool *ret_is, struct tbs_diag *diag);

#define VAULT_TRY(call)                                                                            \
    do {                                                                                           \
        enum tbs_err try_err = (call);                                                             \
        if (try_err != TBS_OK)                                                                     \
            return try_err;                                                                        \
    } while (0)

#endif
