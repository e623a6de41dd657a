#include "vault/person_key.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "p11.h"

#define RAW_MAX 1024 /* octets of a signature */
#define HASH_LEN 32

struct person_key {
    struct p11_token token;
    P11KitUri *uri;
    CK_OBJECT_HANDLE handle;
    CK_KEY_TYPE type;
    bool asks_again;
};

/* --- Naming it --- */

static bool names_object(P11KitUri *uri)
{
    return p11_kit_uri_get_attribute(uri, CKA_LABEL) || p11_kit_uri_get_attribute(uri, CKA_ID);
}

static bool names_token(P11KitUri *uri)
{
    const CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
    return p11_uri_has(info->label, sizeof info->label) ||
           p11_uri_has(info->serialNumber, sizeof info->serialNumber);
}

static enum tbs_err parse(const char *text, P11KitUri *uri, struct tbs_diag *diag)
{
    if (strchr(text, '?'))
        return tbs_fail(
            diag, TBS_ERR_CONFIG,
            "the key's URI has a query part (?...): the module has its own setting, and "
            "a PIN is typed; a PIN that stood there is to be changed");
    int parsed = p11_kit_uri_parse(text, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, uri);
    if (parsed != P11_KIT_URI_OK)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the key's URI is not one of RFC 7512: %s",
                        p11_kit_uri_message(parsed));
    if (p11_kit_uri_any_unrecognized(uri) || !names_token(uri) || !names_object(uri))
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the key's URI must hold token= or serial=, and object= or id=, such as "
                        "pkcs11:token=gus;object=sign");
    return TBS_OK;
}

enum tbs_err person_key_open(const char *module, const char *uri, struct person_key **ret_key,
                             struct tbs_diag *diag)
{
    const struct custody_token_config config = {.backend = "pkcs11", .module = module};
    struct person_key *key = calloc(1, sizeof *key);
    if (!key || !(key->uri = p11_kit_uri_new())) {
        free(key);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a key in a token");
    }
    enum tbs_err err = parse(uri, key->uri, diag);
    if (err == TBS_OK)
        err = p11_load(&config, &key->token, diag);
    if (err == TBS_OK)
        err = p11_find_token(&key->token, key->uri, true, &key->token.slot, &key->token.info, diag);
    if (err != TBS_OK) {
        person_key_close(key);
        return err;
    }
    p11_copy_field(key->token.info.label, sizeof key->token.info.label, key->token.name,
                   sizeof key->token.name);
    *ret_key = key;
    return TBS_OK;
}

void person_key_close(struct person_key *key)
{
    if (!key)
        return;
    if (key->token.holder)
        key->token.f->C_CloseSession(key->token.holder);
    if (key->token.f)
        p11_unload(&key->token);
    p11_kit_uri_free(key->uri);
    free(key);
}

const char *person_key_token(const struct person_key *key)
{
    return key->token.name;
}

bool person_key_has_pin_pad(const struct person_key *key)
{
    return (key->token.info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
}

/* --- Logging in --- */

static unsigned char *pin_data(struct tbs_bytes pin)
{
    return pin.len > 0 ? (unsigned char *)pin.data : NULL;
}

static enum tbs_err find(struct person_key *key, struct tbs_diag *diag)
{
    static const CK_ATTRIBUTE_TYPE names[] = {CKA_LABEL, CKA_ID};
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[3] = {{CKA_CLASS, &class, sizeof class}};
    CK_ULONG n = 1;
    struct p11_objects found = {0};
    for (size_t i = 0; i < 2; i++) {
        const CK_ATTRIBUTE *named = p11_kit_uri_get_attribute(key->uri, names[i]);
        if (named)
            template[n++] = *named;
    }
    enum tbs_err err = p11_find(&key->token, template, n, &found, diag);
    if (err == TBS_OK && found.n != 1)
        err = tbs_fail(diag, found.n == 0 ? TBS_ERR_NOT_FOUND : TBS_ERR_CONFIG,
                       "token '%s' has %zu private keys of the name that the URI gives, and must "
                       "have one",
                       key->token.name, found.n);
    if (err == TBS_OK)
        key->handle = found.handles[0];
    free(found.handles);
    return err;
}

static enum tbs_err read_kind(struct person_key *key, struct tbs_diag *diag)
{
    CK_BBOOL again = CK_FALSE;
    CK_ATTRIBUTE type = {CKA_KEY_TYPE, &key->type, sizeof key->type};
    CK_ATTRIBUTE asks = {CKA_ALWAYS_AUTHENTICATE, &again, sizeof again};
    CK_RV rv = key->token.f->C_GetAttributeValue(key->token.holder, key->handle, &type, 1);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "reading the kind of a key on token '%s'", key->token.name);
    /* A token that does not know the attribute does not ask again. */
    if (key->token.f->C_GetAttributeValue(key->token.holder, key->handle, &asks, 1) == CKR_OK)
        key->asks_again = again == CK_TRUE;
    if (key->type != CKK_EC && key->type != CKK_RSA)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "the key on token '%s' is neither EC nor RSA, and cannot sign here",
                        key->token.name);
    return TBS_OK;
}

enum tbs_err person_key_login(struct person_key *key, struct tbs_bytes pin, struct tbs_diag *diag)
{
    CK_RV rv = key->token.f->C_OpenSession(key->token.slot, CKF_SERIAL_SESSION, NULL, NULL,
                                           &key->token.holder);
    if (rv == CKR_OK)
        rv = key->token.f->C_Login(key->token.holder, CKU_USER, pin_data(pin), pin.len);
    if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)
        return p11_fail(diag, rv, "logging in to token '%s'", key->token.name);
    enum tbs_err err = find(key, diag);
    return err == TBS_OK ? read_kind(key, diag) : err;
}

/* --- Signing --- */

static CK_RV sign_raw(struct person_key *key, struct tbs_bytes pin, uint8_t hash[HASH_LEN],
                      uint8_t raw[RAW_MAX], CK_ULONG *len)
{
    static const CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, HASH_LEN};
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0}, rsa = {CKM_RSA_PKCS_PSS, (void *)&pss, sizeof pss};
    CK_FUNCTION_LIST *f = key->token.f;
    CK_RV rv = f->C_SignInit(key->token.holder, key->type == CKK_RSA ? &rsa : &ecdsa, key->handle);
    if (rv == CKR_OK && key->asks_again)
        rv = f->C_Login(key->token.holder, CKU_CONTEXT_SPECIFIC, pin_data(pin), pin.len);
    return rv == CKR_OK ? f->C_Sign(key->token.holder, hash, HASH_LEN, raw, len) : rv;
}

enum tbs_err person_key_sign(struct person_key *key, struct tbs_bytes pin, struct tbs_bytes octets,
                             struct tbs_buf *ret_signature, struct tbs_diag *diag)
{
    uint8_t hash[HASH_LEN], raw[RAW_MAX];
    CK_ULONG len = sizeof raw;
    if (EVP_Digest(octets.data, octets.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "SHA-256 failed in the crypto library");
    CK_RV rv = sign_raw(key, pin, hash, raw, &len);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "signing on token '%s'", key->token.name);
    if (key->type == CKK_EC)
        return p11_ecdsa_der(raw, len, ret_signature)
                   ? TBS_OK
                   : tbs_fail(diag, TBS_ERR_CRYPTO, "a signature of token '%s' is none",
                              key->token.name);
    tbs_put_bytes(ret_signature, tbs_bytes(raw, len));
    return ret_signature->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a signature")
                                 : TBS_OK;
}
