/* Check values, computed from what a key does. */
#include "vault_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

/* --- Check values --- */

#define CHECK_LEN 16

static const char hmac_method[] = "hmac-empty/16", gcm_method[] = "aes-256-gcm-block";
static const uint8_t zeros[16];

/* What is sealed for a check value: its IV, so many zeros, and the tag. */
#define BLOCK_LEN (CUSTODY_GCM_IV_LEN + sizeof zeros + CUSTODY_GCM_TAG_LEN)

/* The vault's session as the rest of the backend takes it. */
static struct p11_session session_of(struct vault *v)
{
    return (struct p11_session){.token = &v->token, .handle = v->session, .fresh = true};
}

static struct custody_key key_of(struct vault *v, CK_OBJECT_HANDLE object, const char *id)
{
    struct custody_key key = {.alg = CUSTODY_HMAC_SHA_256, .handle = object};
    CK_ULONG type = CKK_GENERIC_SECRET, mechanism = CKM_SHA256_HMAC, len;
    vault_read(v, object, CKA_KEY_TYPE, &type, sizeof type, &len);
    vault_read(v, object, CKA_ALLOWED_MECHANISMS, &mechanism, sizeof mechanism, &len);
    if (type == CKK_AES)
        key.alg = CUSTODY_AES_256_GCM;
    else if (mechanism == CKM_SHA_1_HMAC)
        key.alg = CUSTODY_HMAC_SHA_1;
    snprintf(key.id, sizeof key.id, "%s", id);
    return key;
}

static json_t *check_of(const char *method, struct tbs_bytes value)
{
    char hex[2 * BLOCK_LEN + 1];
    tbs_hex(value, hex);
    return json_pack("{s:s, s:s}", "method", method, "value", hex);
}

static enum tbs_err hmac_check(struct vault *v, const struct custody_key *key, json_t **ret_check,
                               struct tbs_diag *diag)
{
    struct p11_session session = session_of(v);
    uint8_t mac[CUSTODY_MAC_MAX];
    enum tbs_err err = p11_hmac(&session, key, tbs_bytes(NULL, 0), mac, diag);
    if (err == TBS_OK)
        *ret_check = check_of(hmac_method, tbs_bytes(mac, CHECK_LEN));
    OPENSSL_cleanse(mac, sizeof mac);
    return err;
}

static enum tbs_err gcm_check(struct vault *v, const struct custody_key *key, json_t **ret_check,
                              struct tbs_diag *diag)
{
    struct p11_session session = session_of(v);
    uint8_t block[BLOCK_LEN];
    struct custody_aead aead = {.iv = block, .aad = tbs_bytes_str(key->id)};
    VAULT_TRY(p11_random(&session, block, CUSTODY_GCM_IV_LEN, diag));
    VAULT_TRY(p11_seal(&session, key, &aead, tbs_bytes(zeros, sizeof zeros),
                       block + CUSTODY_GCM_IV_LEN, diag));
    *ret_check = check_of(gcm_method, tbs_bytes(block, sizeof block));
    return TBS_OK;
}

/* Whether it opens that block to zeros. Some tokens answer a wrong tag as if they had failed. */
static enum tbs_err opens(struct vault *v, const struct custody_key *key, const char *value,
                          bool *ret_opens, struct tbs_diag *diag)
{
    struct p11_session session = session_of(v);
    uint8_t block[BLOCK_LEN], opened[BLOCK_LEN];
    struct custody_aead aead = {.iv = block, .aad = tbs_bytes_str(key->id)};
    if (!tbs_unhex(value, block, sizeof block))
        return tbs_fail(diag, TBS_ERR_INVALID, "a check value of method %s has %zu octets in hex",
                        gcm_method, sizeof block);
    enum tbs_err err = p11_unseal(
        &session, key, &aead, tbs_bytes(block + CUSTODY_GCM_IV_LEN, BLOCK_LEN - CUSTODY_GCM_IV_LEN),
        opened, diag);
    if (err == TBS_ERR_UNAVAILABLE)
        return err;
    *ret_opens = err == TBS_OK && memcmp(opened, zeros, sizeof zeros) == 0;
    return TBS_OK;
}

static enum tbs_err spki_check(struct vault *v, CK_OBJECT_HANDLE object, json_t **ret_check,
                               struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    uint8_t hash[32];
    char hex[65];
    VAULT_TRY(vault_spki(v, object, &spki, diag));
    if (EVP_Digest(spki.data, spki.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "SHA-256 failed in the crypto library");
    tbs_hex(tbs_bytes(hash, sizeof hash), hex);
    *ret_check = json_pack("{s:s, s:s}", "method", "spki-sha256", "value", hex);
    return TBS_OK;
}

enum tbs_err vault_check_object(struct vault *v, CK_OBJECT_HANDLE object, json_t **ret_check,
                                struct tbs_diag *diag)
{
    CK_ULONG class = CKO_SECRET_KEY, len, id_len = 0;
    char id[CUSTODY_KEY_ID_MAX + 1] = "";
    vault_read(v, object, CKA_CLASS, &class, sizeof class, &len);
    vault_read(v, object, CKA_ID, id, sizeof id - 1, &id_len);
    if (class != CKO_SECRET_KEY)
        return spki_check(v, object, ret_check, diag);
    struct custody_key key = key_of(v, object, id);
    return key.alg == CUSTODY_AES_256_GCM ? gcm_check(v, &key, ret_check, diag)
                                          : hmac_check(v, &key, ret_check, diag);
}

static const char *text_of(const json_t *check, const char *name)
{
    const char *text = json_string_value(json_object_get(check, name));
    return text ? text : "";
}

/* A key that may not be used so is another than one that gave this check value. */
static bool gives_none(enum tbs_err err)
{
    return err == TBS_ERR_CONFIG || err == TBS_ERR_UNSUPPORTED;
}

enum tbs_err vault_has_check(struct vault *v, CK_OBJECT_HANDLE object, const json_t *check,
                             bool *ret_same, struct tbs_diag *diag)
{
    struct custody_key key = key_of(v, object, text_of(check, "id"));
    bool block = strcmp(text_of(check, "method"), gcm_method) == 0, same = false;
    json_t *is = NULL;
    enum tbs_err err = TBS_OK;
    if (block && key.alg == CUSTODY_AES_256_GCM)
        err = opens(v, &key, text_of(check, "value"), &same, diag);
    else if (!block && key.alg != CUSTODY_AES_256_GCM)
        err = vault_check_object(v, object, &is, diag);
    if (is)
        same = strcmp(text_of(is, "method"), text_of(check, "method")) == 0 &&
               strcmp(text_of(is, "value"), text_of(check, "value")) == 0;
    json_decref(is);
    if (err != TBS_OK && !gives_none(err))
        return err;
    *ret_same = same;
    return TBS_OK;
}

/* A pair is told by its public half. */
static enum tbs_err find_checked(struct vault *v, const char *id, CK_OBJECT_HANDLE *ret_object,
                                 struct tbs_diag *diag)
{
    enum tbs_err err = vault_find(v, CKO_SECRET_KEY, id, ret_object, diag);
    return err == TBS_ERR_NOT_FOUND ? vault_find(v, CKO_PUBLIC_KEY, id, ret_object, diag) : err;
}

enum tbs_err vault_check(struct vault *vault, const char *id, json_t **ret_check,
                         struct tbs_diag *diag)
{
    CK_OBJECT_HANDLE object;
    VAULT_TRY(find_checked(vault, id, &object, diag));
    return vault_check_object(vault, object, ret_check, diag);
}

enum tbs_err vault_confirm(struct vault *vault, const char *id, const json_t *check,
                           struct tbs_diag *diag)
{
    CK_OBJECT_HANDLE object;
    VAULT_TRY(find_checked(vault, id, &object, diag));
    json_t *with_id = json_pack("{s:s, s:s, s:s}", "method", text_of(check, "method"), "value",
                                text_of(check, "value"), "id", id);
    bool same = false;
    enum tbs_err err = vault_has_check(vault, object, with_id, &same, diag);
    json_decref(with_id);
    if (err != TBS_OK)
        return err;
    return same ? TBS_OK
                : tbs_fail(diag, TBS_ERR_AUTH,
                           "key %s on token '%s' is another key: its check value is not %.80s", id,
                           vault->token.name, text_of(check, "value"));
}
