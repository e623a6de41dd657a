/* Attempts that a token must refuse, made on a key that is to be used. All of them are in the
 * literature on PKCS#11, and some token lets each of them pass. */
#include "vault_internal.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

struct attack {
    struct vault *v;
    CK_OBJECT_HANDLE key;
    const char *id;
    json_t *attempts;
};

static enum tbs_err note(struct attack *a, const char *name, CK_RV rv, struct tbs_diag *diag)
{
    json_t *attempt = json_pack("{s:s, s:s, s:b}", "name", name, "rv",
                                rv == CKR_OK ? "CKR_OK" : p11_rv_name(rv), "refused", rv != CKR_OK);
    return json_array_append_new(a->attempts, attempt) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the attempts on a key");
}

/* Of what would change a key that stays, the witness hears before and after. */
static enum tbs_err announce(struct attack *a, const char *call, const char *name,
                             struct tbs_diag *diag)
{
    return vault_before(a->v, call, json_pack("{s:s, s:s}", "id", a->id, "attempt", name), diag);
}

static enum tbs_err answered(struct attack *a, const char *call, const char *name, CK_RV rv,
                             struct tbs_diag *diag)
{
    enum tbs_err err =
        a->v->witness.after ? a->v->witness.after(a->v->witness.ctx, call, rv, NULL, diag) : TBS_OK;
    return err == TBS_OK ? note(a, name, rv, diag) : err;
}

static void forget(struct attack *a, CK_RV rv, CK_OBJECT_HANDLE object)
{
    if (rv == CKR_OK)
        a->v->token.f->C_DestroyObject(a->v->session, object);
}

/* Keys of the attacker's. A token that does not let users make them refuses what needs them. */
static CK_RV make_own(struct attack *a, CK_MECHANISM_TYPE how, CK_OBJECT_HANDLE *ret)
{
    CK_MECHANISM make = {how, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG len = VAULT_SECRET_LEN;
    CK_ATTRIBUTE t[] = {
        {CKA_TOKEN, &no, sizeof no},
        {CKA_SENSITIVE, &no, sizeof no},
        {CKA_EXTRACTABLE, &yes, sizeof yes},
        {CKA_VALUE_LEN, &len, sizeof len},
        {how == CKM_AES_KEY_GEN ? CKA_WRAP : CKA_WRAP_WITH_TRUSTED, &yes, sizeof yes}};
    return a->v->token.f->C_GenerateKey(a->v->session, &make, t, 5, ret);
}

/* --- Any key --- */

static enum tbs_err widen(struct attack *a, struct tbs_diag *diag)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        bool value;
        const char *name;
    } changes[] = {{CKA_EXTRACTABLE, true, "set CKA_EXTRACTABLE"},
                   {CKA_SENSITIVE, false, "clear CKA_SENSITIVE"},
                   {CKA_ENCRYPT, true, "set CKA_ENCRYPT"},
                   {CKA_DECRYPT, true, "set CKA_DECRYPT"},
                   {CKA_SIGN, true, "set CKA_SIGN"},
                   {CKA_WRAP, true, "set CKA_WRAP"},
                   {CKA_UNWRAP, true, "set CKA_UNWRAP"},
                   {CKA_DERIVE, true, "set CKA_DERIVE"},
                   {CKA_MODIFIABLE, true, "set CKA_MODIFIABLE"}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        static const char call[] = "C_SetAttributeValue";
        CK_BBOOL value = changes[i].value;
        CK_ATTRIBUTE t = {changes[i].type, &value, sizeof value};
        VAULT_TRY(announce(a, call, changes[i].name, diag));
        CK_RV rv = a->v->token.f->C_SetAttributeValue(a->v->session, a->key, &t, 1);
        VAULT_TRY(answered(a, call, changes[i].name, rv, diag));
    }
    return TBS_OK;
}

/* A copy that is like the key in all else. An exact copy is not tried: a token that has no
 * CKA_COPYABLE for copies makes one, and destruction by check value finds it. */
static enum tbs_err copy_wider(struct attack *a, struct tbs_diag *diag)
{
    static const char call[] = "C_CopyObject", name[] = "copy with CKA_DERIVE";
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE t = {CKA_DERIVE, &yes, sizeof yes};
    CK_OBJECT_HANDLE copy;
    VAULT_TRY(announce(a, call, name, diag));
    CK_RV rv = a->v->token.f->C_CopyObject(a->v->session, a->key, &t, 1, &copy);
    forget(a, rv, copy);
    return answered(a, call, name, rv, diag);
}

static enum tbs_err read_value(struct attack *a, CK_ATTRIBUTE_TYPE type, const char *name,
                               struct tbs_diag *diag)
{
    uint8_t value[1024];
    CK_ATTRIBUTE t = {type, value, sizeof value};
    CK_RV rv = a->v->token.f->C_GetAttributeValue(a->v->session, a->key, &t, 1);
    OPENSSL_cleanse(value, sizeof value);
    return note(a, name, rv, diag);
}

/* Under a key that the attacker knows. */
static enum tbs_err take_out(struct attack *a, struct tbs_diag *diag)
{
    static const struct {
        CK_MECHANISM_TYPE type;
        const char *name;
    } ways[] = {{CKM_AES_KEY_WRAP, "wrap by CKM_AES_KEY_WRAP"},
                {CKM_AES_KEY_WRAP_PAD, "wrap by CKM_AES_KEY_WRAP_PAD"},
                {CKM_AES_CBC_PAD, "wrap by CKM_AES_CBC_PAD"}};
    CK_FUNCTION_LIST *f = a->v->token.f;
    CK_OBJECT_HANDLE evil;
    CK_RV made = make_own(a, CKM_AES_KEY_GEN, &evil);
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; i < sizeof ways / sizeof *ways && err == TBS_OK; i++) {
        CK_BYTE iv[16] = {0}, out[4096];
        bool with_iv = ways[i].type == CKM_AES_CBC_PAD;
        CK_MECHANISM way = {ways[i].type, with_iv ? iv : NULL, with_iv ? sizeof iv : 0};
        CK_ULONG len = sizeof out;
        CK_RV rv =
            made == CKR_OK ? f->C_WrapKey(a->v->session, &way, evil, a->key, out, &len) : made;
        err = note(a, ways[i].name, rv, diag);
    }
    forget(a, made, evil);
    return err;
}

/* --- By what a key is --- */

struct misuse {
    CK_MECHANISM_TYPE type;
    const char *name;
};

static enum tbs_err sign_otherwise(struct attack *a, const struct misuse *ways, size_t n,
                                   struct tbs_diag *diag)
{
    for (size_t i = 0; i < n; i++) {
        CK_MECHANISM way = {ways[i].type, NULL, 0};
        VAULT_TRY(
            note(a, ways[i].name, a->v->token.f->C_SignInit(a->v->session, &way, a->key), diag));
    }
    return TBS_OK;
}

static enum tbs_err attack_secret(struct attack *a, struct tbs_diag *diag)
{
    static const struct misuse hashes[] = {{CKM_SHA512_HMAC, "sign by CKM_SHA512_HMAC"},
                                           {CKM_SHA384_HMAC, "sign by CKM_SHA384_HMAC"},
                                           {CKM_AES_CMAC, "sign by CKM_AES_CMAC"}};
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    VAULT_TRY(read_value(a, CKA_VALUE, "read CKA_VALUE", diag));
    VAULT_TRY(sign_otherwise(a, hashes, sizeof hashes / sizeof *hashes, diag));
    return note(a, "encrypt by CKM_AES_ECB",
                a->v->token.f->C_EncryptInit(a->v->session, &ecb, a->key), diag);
}

/* A key of a known value, wrapped for a transport key as anyone can. */
static bool wrap_known(struct attack *a, CK_OBJECT_HANDLE public, uint8_t *out, size_t *len)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    static const uint8_t known[VAULT_SECRET_LEN] = {7};
    if (vault_spki(a->v, public, &spki, NULL) != TBS_OK)
        return false;
    const unsigned char *at = spki.data;
    const EVP_MD *md = a->v->oaep == OAEP_SHA_1 ? EVP_sha1() : EVP_sha256();
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    bool ok = ctx && EVP_PKEY_encrypt_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) == 1 &&
              EVP_PKEY_encrypt(ctx, out, len, known, sizeof known) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

static enum tbs_err unwrap_loosely(struct attack *a, struct tbs_diag *diag)
{
    uint8_t wrapped[VAULT_RSA_BITS / 8];
    size_t len = sizeof wrapped;
    CK_OBJECT_HANDLE public, object;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_MECHANISM mechanism = vault_oaep(a->v->oaep);
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},
                        {CKA_KEY_TYPE, &type, sizeof type},
                        {CKA_TOKEN, &no, sizeof no},
                        {CKA_SENSITIVE, &no, sizeof no},
                        {CKA_EXTRACTABLE, &yes, sizeof yes}};
    VAULT_TRY(vault_find(a->v, CKO_PUBLIC_KEY, a->id, &public, diag));
    if (!wrap_known(a, public, wrapped, &len))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library wraps nothing for %s", a->id);
    CK_RV rv =
        a->v->token.f->C_UnwrapKey(a->v->session, &mechanism, a->key, wrapped, len, t, 5, &object);
    forget(a, rv, object);
    return note(a, "unwrap a readable key", rv, diag);
}

static enum tbs_err decrypt_with(struct attack *a, CK_MECHANISM mechanism, const char *name,
                                 struct tbs_diag *diag)
{
    return note(a, name, a->v->token.f->C_DecryptInit(a->v->session, &mechanism, a->key), diag);
}

static enum tbs_err attack_private(struct attack *a, struct tbs_diag *diag)
{
    static const struct misuse raw[] = {{CKM_RSA_X_509, "sign by CKM_RSA_X_509"},
                                        {CKM_RSA_PKCS, "sign by CKM_RSA_PKCS"}};
    CK_BBOOL unwraps = CK_FALSE, decrypts = CK_FALSE;
    CK_ULONG type = CKK_EC, len;
    vault_read(a->v, a->key, CKA_UNWRAP, &unwraps, sizeof unwraps, &len);
    vault_read(a->v, a->key, CKA_DECRYPT, &decrypts, sizeof decrypts, &len);
    vault_read(a->v, a->key, CKA_KEY_TYPE, &type, sizeof type, &len);
    if (type != CKK_RSA)
        return read_value(a, CKA_VALUE, "read CKA_VALUE", diag);
    VAULT_TRY(read_value(a, CKA_PRIVATE_EXPONENT, "read CKA_PRIVATE_EXPONENT", diag));
    VAULT_TRY(sign_otherwise(a, raw, 2, diag));
    VAULT_TRY(
        decrypt_with(a, (CK_MECHANISM){CKM_RSA_X_509, NULL, 0}, "decrypt by CKM_RSA_X_509", diag));
    if (!decrypts)
        VAULT_TRY(decrypt_with(a, vault_oaep(a->v->oaep), "decrypt by CKM_RSA_PKCS_OAEP", diag));
    return unwraps ? unwrap_loosely(a, diag) : TBS_OK;
}

static enum tbs_err wrap_by(struct attack *a, CK_RV made, CK_OBJECT_HANDLE object, const char *name,
                            struct tbs_diag *diag)
{
    uint8_t out[VAULT_RSA_BITS / 8];
    CK_ULONG len = sizeof out;
    CK_MECHANISM mechanism = vault_oaep(a->v->oaep);
    if (made != CKR_OK)
        return note(a, name, made, diag);
    CK_RV rv = a->v->token.f->C_WrapKey(a->v->session, &mechanism, a->key, object, out, &len);
    forget(a, CKR_OK, object);
    return note(a, name, rv, diag);
}

/* Keys whose values the attacker knows must not get a wrapping that looks like the others. */
static enum tbs_err attack_trusted(struct attack *a, struct tbs_diag *diag)
{
    CK_FUNCTION_LIST *f = a->v->token.f;
    CK_OBJECT_HANDLE object;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BYTE value[VAULT_SECRET_LEN] = {7};
    CK_ATTRIBUTE known[] = {{CKA_CLASS, &class, sizeof class},
                            {CKA_KEY_TYPE, &type, sizeof type},
                            {CKA_TOKEN, &no, sizeof no},
                            {CKA_EXTRACTABLE, &yes, sizeof yes},
                            {CKA_WRAP_WITH_TRUSTED, &yes, sizeof yes},
                            {CKA_VALUE, value, sizeof value}};
    CK_ATTRIBUTE hide = {CKA_SENSITIVE, &yes, sizeof yes};
    CK_RV rv = f->C_CreateObject(a->v->session, known, 6, &object);
    VAULT_TRY(wrap_by(a, rv, object, "wrap a key of a known value", diag));
    rv = make_own(a, CKM_GENERIC_SECRET_KEY_GEN, &object);
    VAULT_TRY(wrap_by(a, rv, object, "wrap a readable key made in the token", diag));
    rv = make_own(a, CKM_GENERIC_SECRET_KEY_GEN, &object);
    if (rv == CKR_OK)
        rv = f->C_SetAttributeValue(a->v->session, object, &hide, 1);
    return wrap_by(a, rv, object, "wrap a key that was readable and then hidden", diag);
}

/* --- All of it --- */

static enum tbs_err attack_object(struct attack *a, CK_OBJECT_CLASS class, struct tbs_diag *diag)
{
    if (class == CKO_PUBLIC_KEY) {
        CK_BBOOL trusted = CK_FALSE;
        CK_ULONG len;
        vault_read(a->v, a->key, CKA_TRUSTED, &trusted, sizeof trusted, &len);
        if (trusted)
            VAULT_TRY(attack_trusted(a, diag));
        return widen(a, diag);
    }
    VAULT_TRY(class == CKO_SECRET_KEY ? attack_secret(a, diag) : attack_private(a, diag));
    VAULT_TRY(copy_wider(a, diag));
    VAULT_TRY(take_out(a, diag));
    return widen(a, diag);
}

/* A pair's private half, rather than its public one. */
static enum tbs_err find_victim(struct vault *v, const char *id, CK_OBJECT_CLASS *ret_class,
                                CK_OBJECT_HANDLE *ret_key, struct tbs_diag *diag)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_SECRET_KEY, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};
    enum tbs_err err = TBS_ERR_NOT_FOUND;
    for (size_t i = 0; i < 3 && err == TBS_ERR_NOT_FOUND; i++) {
        err = vault_find(v, classes[i], id, ret_key, diag);
        *ret_class = classes[i];
    }
    return err;
}

enum tbs_err vault_attack(struct vault *vault, const char *id, json_t **ret_attempts,
                          struct tbs_diag *diag)
{
    struct attack a = {.v = vault, .id = id, .attempts = json_array()};
    CK_OBJECT_CLASS class;
    enum tbs_err err = find_victim(vault, id, &class, &a.key, diag);
    if (err == TBS_OK)
        err = attack_object(&a, class, diag);
    if (err == TBS_OK)
        *ret_attempts = a.attempts;
    else
        json_decref(a.attempts);
    return err;
}
