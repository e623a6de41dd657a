/* Keys: made here for ever, or made, wrapped and sealed; restored from a wrapped copy. */
#include "vault_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/base64.h"

static const CK_ULONG secret_len = VAULT_SECRET_LEN, rsa_bits = VAULT_RSA_BITS;
static const CK_BYTE exponent[] = {1, 0, 1};

CK_MECHANISM vault_oaep(enum oaep_hash hash)
{
    static const CK_RSA_PKCS_OAEP_PARAMS params[] = {
        [OAEP_SHA_256] = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0},
        [OAEP_SHA_1] = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0}};
    return (CK_MECHANISM){CKM_RSA_PKCS_OAEP, (void *)&params[hash], sizeof *params};
}

static void put_name(struct attribute_list *t, const char *id)
{
    vault_put(t, CKA_ID, id, strlen(id));
    vault_put(t, CKA_LABEL, id, strlen(id));
}

static json_t *announce(const char *id, const char *mechanism)
{
    return json_pack("{s:s, s:s}", "id", id, "mechanism", mechanism);
}

/* What is told of a key that was made: read back, and computed. */
static enum tbs_err tell(struct vault *v, CK_OBJECT_HANDLE object, CK_OBJECT_HANDLE public,
                         json_t **ret_key, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    json_t *check = NULL;
    VAULT_TRY(vault_check_object(v, public ? public : object, &check, diag));
    if (public) {
        enum tbs_err err = vault_spki(v, public, &spki, diag);
        tbs_put_base64(&text, tbs_buf_view(&spki));
        if (err != TBS_OK) {
            json_decref(check);
            return err;
        }
    }
    json_t *key =
        json_pack("{s:o, s:o}", "attributes", vault_attributes(v, object), "check", check);
    if (key && public)
        json_object_set_new(key, "spki", json_stringn((const char *)text.data, text.len));
    if (!key)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory describing a key");
    *ret_key = key;
    return TBS_OK;
}

/* --- Made here --- */

/* As a session object or a token object, as the profile has it. */
static enum tbs_err generate_secret(struct vault *v, const struct key_template *of,
                                    enum template_profile profile, const char *id,
                                    CK_OBJECT_HANDLE *ret, struct tbs_diag *diag)
{
    struct attribute_list t = {0}, inner = {0};
    CK_MECHANISM make = {vault_mechanism(of->generation), NULL, 0};
    vault_put(&t, CKA_VALUE_LEN, &secret_len, sizeof secret_len);
    put_name(&t, id);
    VAULT_TRY(vault_put_given(v, &t, &inner, of, profile, diag));
    return WITNESSED(v, announce(id, of->generation), diag, C_GenerateKey, v->session, &make,
                     t.list, t.n, ret);
}

static enum tbs_err generate_pair(struct vault *v, const struct key_template *of, const char *id,
                                  CK_OBJECT_HANDLE *ret_public, CK_OBJECT_HANDLE *ret_private,
                                  struct tbs_diag *diag)
{
    struct attribute_list public = {0}, private = {0}, inner = {0};
    CK_MECHANISM make = {vault_mechanism(of->generation), NULL, 0};
    if (make.mechanism == CKM_EC_KEY_PAIR_GEN) {
        vault_put(&public, CKA_EC_PARAMS, p11_p256, P11_P256_LEN);
    } else {
        vault_put(&public, CKA_MODULUS_BITS, &rsa_bits, sizeof rsa_bits);
        vault_put(&public, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    }
    put_name(&public, id);
    put_name(&private, id);
    VAULT_TRY(vault_put_given(v, &public, &inner, of, TEMPLATE_PUBLIC, diag));
    VAULT_TRY(vault_put_given(v, &private, &inner, of, TEMPLATE_PRIVATE, diag));
    return WITNESSED(v, announce(id, of->generation), diag, C_GenerateKeyPair, v->session, &make,
                     public.list, public.n, private.list, private.n, ret_public, ret_private);
}

static bool has_profile(const struct key_template *of, enum template_profile profile)
{
    return (of->profiles & 1u << profile) != 0;
}

static enum tbs_err find_template(const char *name, const struct key_template **ret,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = template_find(name, ret, diag);
    return err == TBS_ERR_NOT_FOUND ? TBS_ERR_UNSUPPORTED : err;
}

enum tbs_err vault_generate(struct vault *vault, const char *template, const char *id,
                            json_t **ret_key, struct tbs_diag *diag)
{
    const struct key_template *of;
    CK_OBJECT_HANDLE object = 0, public = 0;
    VAULT_TRY(find_template(template, &of, diag));
    if (has_profile(of, TEMPLATE_PRIVATE)) {
        VAULT_TRY(vault_none(vault, CKO_PRIVATE_KEY, id, diag));
        VAULT_TRY(vault_none(vault, CKO_PUBLIC_KEY, id, diag));
        VAULT_TRY(generate_pair(vault, of, id, &public, &object, diag));
    } else if (has_profile(of, TEMPLATE_SITE_ONLY)) {
        VAULT_TRY(vault_none(vault, CKO_SECRET_KEY, id, diag));
        VAULT_TRY(generate_secret(vault, of, TEMPLATE_SITE_ONLY, id, &object, diag));
    } else {
        return tbs_fail(diag, TBS_ERR_INVALID, "keys of template %s are not made to stay",
                        template);
    }
    return tell(vault, object, public, ret_key, diag);
}

enum tbs_err vault_transport_make(struct vault *vault, const char *id, json_t **ret_key,
                                  struct tbs_diag *diag)
{
    return vault_generate(vault, "transport-rsa-3072-unwrap-v1", id, ret_key, diag);
}

/* --- The way between tokens --- */

static bool read_rsa(struct tbs_bytes spki, uint8_t *modulus, size_t *len)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    BIGNUM *n = NULL, *e = NULL;
    bool ok = key && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) == VAULT_RSA_BITS &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_word(e, 65537) &&
              BN_num_bytes(n) == VAULT_RSA_BITS / 8;
    if (ok)
        *len = (size_t)BN_bn2bin(n, modulus);
    BN_free(n);
    BN_free(e);
    EVP_PKEY_free(key);
    return ok;
}

enum tbs_err vault_transport_trust(struct vault *vault, const char *id, struct tbs_bytes spki,
                                   json_t **ret_key, struct tbs_diag *diag)
{
    const struct key_template *of;
    struct attribute_list t = {0}, inner = {0};
    uint8_t modulus[VAULT_RSA_BITS / 8];
    size_t len;
    CK_OBJECT_HANDLE object;
    VAULT_TRY(vault_none(vault, CKO_PUBLIC_KEY, id, diag));
    if (!read_rsa(spki, modulus, &len))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the public key %s is not RSA of %d bits", id,
                        VAULT_RSA_BITS);
    put_name(&t, id);
    vault_put(&t, CKA_MODULUS, modulus, len);
    vault_put(&t, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    VAULT_TRY(find_template("transport-public-wrap-v1", &of, diag));
    VAULT_TRY(vault_put_given(vault, &t, &inner, of, TEMPLATE_TRUSTED, diag));
    VAULT_TRY(WITNESSED(vault, announce(id, "none"), diag, C_CreateObject, vault->session, t.list,
                        t.n, &object));
    return tell(vault, object, object, ret_key, diag);
}

/* --- Replicated --- */

/* A token that knows another hash only says no more than that something is wrong. */
static enum tbs_err tell_hash(struct vault *v, enum tbs_err err, enum oaep_hash oaep,
                              struct tbs_diag *diag)
{
    unsigned long raw = err != TBS_OK && diag ? diag->raw : CKR_OK;
    if (oaep != OAEP_SHA_256 || (raw != CKR_ARGUMENTS_BAD && raw != CKR_MECHANISM_PARAM_INVALID))
        return err;
    return tbs_fail_raw(
        diag, TBS_ERR_UNSUPPORTED, raw,
        "token '%s' does not know RSAES-OAEP with SHA-256 (0x%lx); with SHA-1 it may",
        v->token.name, raw);
}

static enum tbs_err wrap(struct vault *v, const struct vault_recipient *to, CK_OBJECT_HANDLE born,
                         json_t *wrapped, struct tbs_diag *diag)
{
    CK_MECHANISM mechanism = vault_oaep(to->oaep);
    CK_OBJECT_HANDLE key;
    uint8_t octets[VAULT_RSA_BITS / 8];
    CK_ULONG len = sizeof octets;
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    VAULT_TRY(vault_find(v, CKO_PUBLIC_KEY, to->id, &key, diag));
    enum tbs_err err = WITNESSED(v, announce(to->id, "CKM_RSA_PKCS_OAEP"), diag, C_WrapKey,
                                 v->session, &mechanism, key, born, octets, &len);
    VAULT_TRY(tell_hash(v, err, to->oaep, diag));
    tbs_put_base64(&text, tbs_bytes(octets, len));
    if (json_object_set_new(wrapped, to->id, json_stringn((const char *)text.data, text.len)) != 0)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a wrapped key");
    return TBS_OK;
}

static enum tbs_err seal(struct vault *v, const struct key_template *of, const char *id,
                         CK_OBJECT_HANDLE born, CK_OBJECT_HANDLE *ret_sealed, struct tbs_diag *diag)
{
    struct attribute_list t = {0}, inner = {0};
    VAULT_TRY(vault_put_given(v, &t, &inner, of, TEMPLATE_SEALED, diag));
    return WITNESSED(v, announce(id, "none"), diag, C_CopyObject, v->session, born, t.list, t.n,
                     ret_sealed);
}

static enum tbs_err compare(const json_t *born, const json_t *sealed, const char *id,
                            struct tbs_diag *diag)
{
    if (json_equal(json_object_get(born, "check"), json_object_get(sealed, "check")))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_AUTH, "key %s has another check value since it was sealed", id);
}

static enum tbs_err spread(struct vault *v, const struct key_template *of, const char *id,
                           CK_OBJECT_HANDLE born, const struct vault_recipient *recipients,
                           size_t n, json_t **ret_key, struct tbs_diag *diag)
{
    json_t *before = NULL, *key = NULL, *wrapped = json_object();
    CK_OBJECT_HANDLE sealed = 0;
    enum tbs_err err = tell(v, born, 0, &before, diag);
    for (size_t i = 0; err == TBS_OK && i < n; i++)
        err = wrap(v, &recipients[i], born, wrapped, diag);
    if (err == TBS_OK)
        err = seal(v, of, id, born, &sealed, diag);
    if (err == TBS_OK)
        err = tell(v, sealed, 0, &key, diag);
    if (err == TBS_OK)
        err = compare(before, key, id, diag);
    if (err == TBS_OK) {
        json_object_set(key, "born", json_object_get(before, "attributes"));
        json_object_set(key, "wrapped", wrapped);
        *ret_key = key;
        key = NULL;
    }
    json_decref(before);
    json_decref(key);
    json_decref(wrapped);
    return err;
}

enum tbs_err vault_generate_replicated(struct vault *vault, const char *template, const char *id,
                                       const struct vault_recipient *recipients, size_t n,
                                       json_t **ret_key, struct tbs_diag *diag)
{
    const struct key_template *of;
    CK_OBJECT_HANDLE born;
    json_t *key = NULL;
    VAULT_TRY(find_template(template, &of, diag));
    if (!has_profile(of, TEMPLATE_BORN))
        return tbs_fail(diag, TBS_ERR_INVALID, "keys of template %s stay in one token", template);
    VAULT_TRY(vault_none(vault, CKO_SECRET_KEY, id, diag));
    VAULT_TRY(generate_secret(vault, of, TEMPLATE_BORN, id, &born, diag));
    enum tbs_err err = spread(vault, of, id, born, recipients, n, &key, diag);
    enum tbs_err end = WITNESSED(vault, announce(id, "none"), err == TBS_OK ? diag : NULL,
                                 C_DestroyObject, vault->session, born);
    err = err != TBS_OK ? err : end;
    if (err == TBS_OK)
        *ret_key = key;
    else
        json_decref(key);
    return err;
}

enum tbs_err vault_unwrap(struct vault *vault, const char *template, const char *id,
                          const char *transport, enum oaep_hash oaep, struct tbs_bytes wrapped,
                          json_t **ret_key, struct tbs_diag *diag)
{
    const struct key_template *of;
    struct attribute_list t = {0}, inner = {0};
    CK_MECHANISM mechanism = vault_oaep(oaep);
    CK_OBJECT_HANDLE key, object;
    VAULT_TRY(find_template(template, &of, diag));
    VAULT_TRY(vault_none(vault, CKO_SECRET_KEY, id, diag));
    VAULT_TRY(vault_find(vault, CKO_PRIVATE_KEY, transport, &key, diag));
    put_name(&t, id);
    VAULT_TRY(vault_put_given(vault, &t, &inner, of, TEMPLATE_RESTORED, diag));
    enum tbs_err err =
        WITNESSED(vault, announce(id, "CKM_RSA_PKCS_OAEP"), diag, C_UnwrapKey, vault->session,
                  &mechanism, key, (CK_BYTE *)wrapped.data, wrapped.len, t.list, t.n, &object);
    VAULT_TRY(tell_hash(vault, err, oaep, diag));
    return tell(vault, object, 0, ret_key, diag);
}
