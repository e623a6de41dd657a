#include "vault_world.h"

#include "base/base64.h"

struct tbs_diag diag;

struct tbs_bytes user_pin(void)
{
    return tbs_bytes_str(SOFTHSM_USER_PIN);
}

void login(struct vault *vault)
{
    must(vault_login(vault, false, user_pin(), &diag));
}

struct vault *make_token(const char *label, const struct vault_witness *witness)
{
    const struct vault_token fresh = {.module = SOFTHSM_MODULE, .fresh = true, .oaep = OAEP_SHA_1};
    struct vault *vault = NULL;
    must(vault_open(&fresh, witness, &vault, &diag));
    assert_false(vault_is_initialised(vault));
    must(vault_init_token(vault, label, tbs_bytes_str(SOFTHSM_SO_PIN), &diag));
    must(vault_init_pin(vault, tbs_bytes_str(SOFTHSM_SO_PIN), user_pin(), &diag));
    return vault;
}

const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

struct tbs_buf octets_of(const json_t *base64)
{
    struct tbs_buf octets = tbs_buf();
    assert_true(tbs_base64_decode(tbs_bytes_str(json_string_value(base64)), &octets));
    return octets;
}

json_t *attack(struct vault *vault, const char *id)
{
    json_t *attempts = NULL;
    login(vault);
    must(vault_attack(vault, id, &attempts, &diag));
    assert_true(json_array_size(attempts) >= 9);
    return attempts;
}
