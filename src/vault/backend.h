/* Between the vault and its backends; vault/vault.h says what each call does. */
#ifndef TBS_VAULT_BACKEND_H
#define TBS_VAULT_BACKEND_H

#include "vault/vault.h"

/* A backend's own structure begins with it. */
struct vault {
    const struct vault_ops *ops;
    struct vault_witness witness;
};

/* As in vault.h, without "vault_"; NULL: tokens of this kind cannot do that. */
struct vault_ops {
    enum tbs_err (*open)(const struct vault_token *token, struct vault **ret_vault,
                         struct tbs_diag *diag);
    void (*close)(struct vault *vault);
    const char *(*serial)(const struct vault *vault);
    const char *(*label)(const struct vault *vault);
    const char *(*model)(const struct vault *vault);
    bool (*is_initialised)(const struct vault *vault);
    bool (*has_pin_pad)(const struct vault *vault);
    bool (*has_officers)(const struct vault *vault);
    enum tbs_err (*info)(struct vault *vault, json_t **ret_info, struct tbs_diag *diag);
    enum tbs_err (*init_token)(struct vault *vault, const char *label, struct tbs_bytes so_pin,
                               struct tbs_diag *diag);
    enum tbs_err (*init_pin)(struct vault *vault, struct tbs_bytes so_pin,
                             struct tbs_bytes user_pin, struct tbs_diag *diag);
    enum tbs_err (*set_so_pin)(struct vault *vault, struct tbs_bytes old_pin,
                               struct tbs_bytes new_pin, struct tbs_diag *diag);
    enum tbs_err (*login)(struct vault *vault, bool as_so, struct tbs_bytes pin,
                          struct tbs_diag *diag);
    void (*logout)(struct vault *vault);
    void (*rest)(struct vault *vault);
    enum tbs_err (*random)(struct vault *vault, uint8_t *ret_octets, size_t len,
                           struct tbs_diag *diag);
    enum tbs_err (*generate)(struct vault *vault, const char *template, const char *id,
                             json_t **ret_key, struct tbs_diag *diag);
    enum tbs_err (*transport_make)(struct vault *vault, const char *id, json_t **ret_key,
                                   struct tbs_diag *diag);
    enum tbs_err (*transport_trust)(struct vault *vault, const char *id, struct tbs_bytes spki,
                                    json_t **ret_key, struct tbs_diag *diag);
    enum tbs_err (*generate_replicated)(struct vault *vault, const char *template, const char *id,
                                        const struct vault_recipient *recipients, size_t n,
                                        json_t **ret_key, struct tbs_diag *diag);
    enum tbs_err (*unwrap)(struct vault *vault, const char *template, const char *id,
                           const char *transport, enum oaep_hash oaep, struct tbs_bytes wrapped,
                           json_t **ret_key, struct tbs_diag *diag);
    enum tbs_err (*unwrap_escrowed)(struct vault *vault, const char *template, const char *id,
                                    struct tbs_bytes pkcs8, enum oaep_hash oaep,
                                    struct tbs_bytes wrapped, json_t **ret_key,
                                    json_t **ret_visiting, struct tbs_diag *diag);
    enum tbs_err (*inventory)(struct vault *vault, json_t **ret_objects, struct tbs_diag *diag);
    enum tbs_err (*destroy_objects)(struct vault *vault, const json_t *objects,
                                    struct tbs_diag *diag);
    enum tbs_err (*check)(struct vault *vault, const char *id, json_t **ret_check,
                          struct tbs_diag *diag);
    enum tbs_err (*confirm)(struct vault *vault, const char *id, const json_t *check,
                            struct tbs_diag *diag);
    enum tbs_err (*sign)(struct vault *vault, const char *id, struct tbs_bytes pin,
                         struct tbs_bytes octets, struct tbs_buf *ret_signature,
                         struct tbs_diag *diag);
    enum tbs_err (*destroy_by_check)(struct vault *vault, const json_t *check, struct tbs_bytes pin,
                                     json_t **ret_done, struct tbs_diag *diag);
    enum tbs_err (*attack)(struct vault *vault, const char *id, json_t **ret_attempts,
                           struct tbs_diag *diag);
    enum tbs_err (*identify)(struct vault *vault, const char *id, json_t **ret_key,
                             struct tbs_diag *diag);
    enum tbs_err (*certify)(struct vault *vault, const char *by, const char *id,
                            const uint8_t data[VAULT_DATA_LEN], json_t **ret_attested,
                            struct tbs_diag *diag);
    enum tbs_err (*quote)(struct vault *vault, const char *by, const uint8_t data[VAULT_DATA_LEN],
                          json_t **ret_attested, struct tbs_diag *diag);
};

extern const struct vault_ops vault_pkcs11, vault_tpm;

/* Announces a call that changes the token; `what` is taken over, and NULL is out of memory. */
enum tbs_err vault_before(struct vault *vault, const char *call, json_t *what,
                          struct tbs_diag *diag);
/* Tells its answer. */
enum tbs_err vault_told(struct vault *vault, const char *call, unsigned long rv, json_t *result,
                        struct tbs_diag *diag);

#define VAULT_TRY(call)                                                                            \
    do {                                                                                           \
        enum tbs_err try_err = (call);                                                             \
        if (try_err != TBS_OK)                                                                     \
            return try_err;                                                                        \
    } while (0)

#endif
