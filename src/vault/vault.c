/* From a vault to its backend, and the witness of both. */
#include "vault/backend.h"

enum tbs_err vault_before(struct vault *vault, const char *call, json_t *what,
                          struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    if (!what)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory announcing %s", call);
    else if (vault->witness.before)
        err = vault->witness.before(vault->witness.ctx, call, what, diag);
    json_decref(what);
    return err;
}

enum tbs_err vault_told(struct vault *vault, const char *call, unsigned long rv, json_t *result,
                        struct tbs_diag *diag)
{
    return vault->witness.after ? vault->witness.after(vault->witness.ctx, call, rv, result, diag)
                                : TBS_OK;
}

enum tbs_err vault_open(const struct vault_token *token, const struct vault_witness *witness,
                        struct vault **ret_vault, struct tbs_diag *diag)
{
    const struct vault_ops *ops = token->module ? &vault_pkcs11 : &vault_tpm;
    struct vault *vault;
    enum tbs_err err = ops->open(token, &vault, diag);
    if (err != TBS_OK)
        return err;
    vault->ops = ops;
    if (witness)
        vault->witness = *witness;
    *ret_vault = vault;
    return TBS_OK;
}

static enum tbs_err no_tpm(struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "only a TPM attests; this is a PKCS#11 token");
}

static enum tbs_err not_in_tpm(struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                    "a TPM has no security officers, and takes no key from escrow");
}

void vault_close(struct vault *vault)
{
    if (vault)
        vault->ops->close(vault);
}

const char *vault_serial(const struct vault *vault)
{
    return vault->ops->serial(vault);
}

const char *vault_label(const struct vault *vault)
{
    return vault->ops->label(vault);
}

const char *vault_model(const struct vault *vault)
{
    return vault->ops->model(vault);
}

bool vault_is_initialised(const struct vault *vault)
{
    return vault->ops->is_initialised(vault);
}

bool vault_has_pin_pad(const struct vault *vault)
{
    return vault->ops->has_pin_pad(vault);
}

bool vault_has_officers(const struct vault *vault)
{
    return vault->ops->has_officers(vault);
}

enum tbs_err vault_info(struct vault *vault, json_t **ret_info, struct tbs_diag *diag)
{
    return vault->ops->info(vault, ret_info, diag);
}

enum tbs_err vault_init_token(struct vault *vault, const char *label, struct tbs_bytes so_pin,
                              struct tbs_diag *diag)
{
    return vault->ops->init_token(vault, label, so_pin, diag);
}

enum tbs_err vault_init_pin(struct vault *vault, struct tbs_bytes so_pin, struct tbs_bytes user_pin,
                            struct tbs_diag *diag)
{
    return vault->ops->init_pin(vault, so_pin, user_pin, diag);
}

enum tbs_err vault_set_so_pin(struct vault *vault, struct tbs_bytes old_pin,
                              struct tbs_bytes new_pin, struct tbs_diag *diag)
{
    return vault->ops->set_so_pin ? vault->ops->set_so_pin(vault, old_pin, new_pin, diag)
                                  : not_in_tpm(diag);
}

enum tbs_err vault_login(struct vault *vault, bool as_so, struct tbs_bytes pin,
                         struct tbs_diag *diag)
{
    return vault->ops->login(vault, as_so, pin, diag);
}

void vault_logout(struct vault *vault)
{
    vault->ops->logout(vault);
}

void vault_rest(struct vault *vault)
{
    vault->ops->rest(vault);
}

enum tbs_err vault_random(struct vault *vault, uint8_t *ret_octets, size_t len,
                          struct tbs_diag *diag)
{
    return vault->ops->random(vault, ret_octets, len, diag);
}

enum tbs_err vault_generate(struct vault *vault, const char *template, const char *id,
                            json_t **ret_key, struct tbs_diag *diag)
{
    return vault->ops->generate(vault, template, id, ret_key, diag);
}

enum tbs_err vault_transport_make(struct vault *vault, const char *id, json_t **ret_key,
                                  struct tbs_diag *diag)
{
    return vault->ops->transport_make(vault, id, ret_key, diag);
}

enum tbs_err vault_transport_trust(struct vault *vault, const char *id, struct tbs_bytes spki,
                                   json_t **ret_key, struct tbs_diag *diag)
{
    return vault->ops->transport_trust(vault, id, spki, ret_key, diag);
}

enum tbs_err vault_generate_replicated(struct vault *vault, const char *template, const char *id,
                                       const struct vault_recipient *recipients, size_t n,
                                       json_t **ret_key, struct tbs_diag *diag)
{
    return vault->ops->generate_replicated(vault, template, id, recipients, n, ret_key, diag);
}

enum tbs_err vault_unwrap(struct vault *vault, const char *template, const char *id,
                          const char *transport, enum oaep_hash oaep, struct tbs_bytes wrapped,
                          json_t **ret_key, struct tbs_diag *diag)
{
    return vault->ops->unwrap(vault, template, id, transport, oaep, wrapped, ret_key, diag);
}

enum tbs_err vault_unwrap_escrowed(struct vault *vault, const char *template, const char *id,
                                   struct tbs_bytes pkcs8, enum oaep_hash oaep,
                                   struct tbs_bytes wrapped, json_t **ret_key,
                                   json_t **ret_visiting, struct tbs_diag *diag)
{
    return vault->ops->unwrap_escrowed
               ? vault->ops->unwrap_escrowed(vault, template, id, pkcs8, oaep, wrapped, ret_key,
                                             ret_visiting, diag)
               : not_in_tpm(diag);
}

enum tbs_err vault_inventory(struct vault *vault, json_t **ret_objects, struct tbs_diag *diag)
{
    return vault->ops->inventory(vault, ret_objects, diag);
}

enum tbs_err vault_destroy_objects(struct vault *vault, const json_t *objects,
                                   struct tbs_diag *diag)
{
    return vault->ops->destroy_objects(vault, objects, diag);
}

enum tbs_err vault_check(struct vault *vault, const char *id, json_t **ret_check,
                         struct tbs_diag *diag)
{
    return vault->ops->check(vault, id, ret_check, diag);
}

enum tbs_err vault_confirm(struct vault *vault, const char *id, const json_t *check,
                           struct tbs_diag *diag)
{
    return vault->ops->confirm(vault, id, check, diag);
}

enum tbs_err vault_sign(struct vault *vault, const char *id, struct tbs_bytes pin,
                        struct tbs_bytes octets, struct tbs_buf *ret_signature,
                        struct tbs_diag *diag)
{
    return vault->ops->sign(vault, id, pin, octets, ret_signature, diag);
}

enum tbs_err vault_destroy_by_check(struct vault *vault, const json_t *check, struct tbs_bytes pin,
                                    json_t **ret_done, struct tbs_diag *diag)
{
    return vault->ops->destroy_by_check(vault, check, pin, ret_done, diag);
}

enum tbs_err vault_attack(struct vault *vault, const char *id, json_t **ret_attempts,
                          struct tbs_diag *diag)
{
    return vault->ops->attack(vault, id, ret_attempts, diag);
}

enum tbs_err vault_identify(struct vault *vault, const char *id, json_t **ret_key,
                            struct tbs_diag *diag)
{
    return vault->ops->identify ? vault->ops->identify(vault, id, ret_key, diag) : no_tpm(diag);
}

enum tbs_err vault_certify(struct vault *vault, const char *by, const char *id,
                           const uint8_t data[VAULT_DATA_LEN], json_t **ret_attested,
                           struct tbs_diag *diag)
{
    return vault->ops->certify ? vault->ops->certify(vault, by, id, data, ret_attested, diag)
                               : no_tpm(diag);
}

enum tbs_err vault_quote(struct vault *vault, const char *by, const uint8_t data[VAULT_DATA_LEN],
                         json_t **ret_attested, struct tbs_diag *diag)
{
    return vault->ops->quote ? vault->ops->quote(vault, by, data, ret_attested, diag)
                             : no_tpm(diag);
}
