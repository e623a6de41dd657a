/* Check values: what a key answers, and that it answers so again. */
#include "custody/internal.h"
#include "custody/primitives.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

static const uint8_t zeros[16];

/* HMAC over the empty string, its first octets. */
static enum tbs_err hmac_check(const struct custody_token *token, void *session,
                               const struct custody_key *key, uint8_t *ret_check,
                               struct tbs_diag *diag)
{
    uint8_t mac[CUSTODY_MAC_MAX];
    enum tbs_err err = token->ops->hmac(session, key, tbs_bytes(NULL, 0), mac, diag);
    if (err == TBS_OK)
        memcpy(ret_check, mac, CUSTODY_HMAC_CHECK_LEN);
    OPENSSL_cleanse(mac, sizeof mac);
    return err;
}

static struct custody_aead check_aead(const struct custody_key *key, const uint8_t *iv)
{
    return (struct custody_aead){.iv = iv, .aad = tbs_bytes_str(key->id)};
}

/* There is no check value for AES-GCM that would not tie up an IV; a sealed block serves. */
static enum tbs_err seal_check(const struct custody_token *token, void *session,
                               const struct custody_key *key, uint8_t *ret_check,
                               struct tbs_diag *diag)
{
    struct custody_aead aead = check_aead(key, ret_check);
    enum tbs_err err =
        key->token_iv ? TBS_OK : token->ops->random(session, ret_check, CUSTODY_GCM_IV_LEN, diag);
    aead.made_iv = ret_check;
    return err != TBS_OK ? err
                         : token->ops->seal(session, key, &aead, tbs_bytes(zeros, sizeof zeros),
                                            ret_check + CUSTODY_GCM_IV_LEN, diag);
}

static enum tbs_err open_check(const struct custody_token *token, void *session,
                               const struct custody_key *key, const uint8_t *check,
                               struct tbs_diag *diag)
{
    struct custody_aead aead = check_aead(key, check);
    uint8_t opened[sizeof zeros + CUSTODY_GCM_TAG_LEN];
    enum tbs_err err = token->ops->unseal(
        session, key, &aead, tbs_bytes(check + CUSTODY_GCM_IV_LEN, sizeof opened), opened, diag);
    if (err == TBS_OK && memcmp(opened, zeros, sizeof zeros) != 0)
        err = tbs_fail(diag, TBS_ERR_AUTH, "it opens what it never sealed");
    return err;
}

enum tbs_err custody_is_another_key(const struct custody_token *token, const char *id,
                                    struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s on token '%s' is another key than the one that this id named before; "
                    "an id must name one key, on all tokens and for ever",
                    id, token->name);
}

static bool opens_what_it_seals(const struct custody_token *token, void *session,
                                const struct custody_key *key)
{
    uint8_t own[CUSTODY_CHECK_LEN];
    return seal_check(token, session, key, own, NULL) == TBS_OK &&
           open_check(token, session, key, own, NULL) == TBS_OK;
}

/* Some tokens answer a wrong tag as they answer their own failure. Only a key that works, and
 * still does not open what was sealed before, is another one. */
static enum tbs_err check_aes_key(const struct custody_token *token, void *session,
                                  const struct custody_key *key, const uint8_t *check,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = open_check(token, session, key, check, diag);
    if (err == TBS_ERR_TOKEN && opens_what_it_seals(token, session, key)) {
        err = open_check(token, session, key, check, diag);
        err = err == TBS_ERR_TOKEN ? TBS_ERR_AUTH : err;
    }
    return err == TBS_ERR_AUTH ? custody_is_another_key(token, key->id, diag) : err;
}

static enum tbs_err check_hmac_key(const struct custody_token *token, void *session,
                                   const struct custody_key *key, struct tbs_bytes check,
                                   struct tbs_diag *diag)
{
    uint8_t own[CUSTODY_HMAC_CHECK_LEN];
    enum tbs_err err = hmac_check(token, session, key, own, diag);
    if (err == TBS_OK && !tbs_bytes_equal(tbs_bytes(own, check.len), check))
        err = custody_is_another_key(token, key->id, diag);
    return err;
}

static enum tbs_err check_signing_key(const struct custody_token *token, void *session,
                                      const struct custody_key *key, const uint8_t *point,
                                      struct tbs_diag *diag)
{
    enum tbs_err err = custody_sign_check(token->ops, session, key, point, token->name, diag);
    return err == TBS_ERR_AUTH ? custody_is_another_key(token, key->id, diag) : err;
}

enum tbs_err custody_check_key(const struct custody_token *token, void *session,
                               const struct custody_key *key, const uint8_t *check,
                               const uint8_t *point, struct tbs_diag *diag)
{
    if (key->alg == CUSTODY_AES_256_GCM)
        return check_aes_key(token, session, key, check, diag);
    if (key->alg == CUSTODY_ECDSA_P_256)
        return check_signing_key(token, session, key, point, diag);
    return check_hmac_key(token, session, key, tbs_bytes(check, CUSTODY_HMAC_CHECK_LEN), diag);
}

enum tbs_err custody_first_check(const struct custody_token *token, void *session,
                                 const struct custody_key *key, uint8_t *ret_check,
                                 struct tbs_diag *diag)
{
    if (key->alg == CUSTODY_ECDSA_P_256)
        return custody_sign_check(token->ops, session, key, key->point, token->name, diag);
    if (key->alg != CUSTODY_AES_256_GCM)
        return hmac_check(token, session, key, ret_check, diag);
    enum tbs_err err = seal_check(token, session, key, ret_check, diag);
    return err != TBS_OK ? err : open_check(token, session, key, ret_check, diag);
}

enum tbs_err custody_check_instance(struct custody_token *token, void *session,
                                    const struct custody_entry *entry, struct tbs_diag *diag)
{
    return custody_check_key(token, session, &entry->at[token->index].key, entry->check,
                             entry->key.point, diag);
}

/* SHA-256 of the public key. */
static enum tbs_err spki_check(const struct custody_key *key, uint8_t *ret_check,
                               struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    enum tbs_err err = custody_public_key(key, &spki, diag);
    if (err == TBS_OK)
        SHA256(spki.data, spki.len, ret_check);
    return err;
}

enum tbs_err custody_check_fact(const struct custody_token *token, void *session,
                                const struct custody_key *key, const struct custody_fact *fact,
                                struct tbs_diag *diag)
{
    uint8_t own[SHA256_DIGEST_LENGTH];
    if (key->alg == CUSTODY_AES_256_GCM)
        return check_aes_key(token, session, key, fact->check, diag);
    if (key->alg != CUSTODY_ECDSA_P_256)
        return check_hmac_key(token, session, key, tbs_bytes(fact->check, fact->check_len), diag);
    enum tbs_err err = spki_check(key, own, diag);
    if (err == TBS_OK && memcmp(own, fact->check, sizeof own) != 0)
        err = custody_is_another_key(token, key->id, diag);
    return err;
}

bool custody_check_value(struct custody *custody, const struct custody_key *key,
                         uint8_t ret_check[CUSTODY_CHECK_VALUE_MAX], size_t *ret_len)
{
    const struct custody_entry *entry = custody_find_entry(custody, tbs_bytes_str(key->id));
    if (!entry)
        return false;
    pthread_mutex_lock(&custody->directory.lock);
    bool has_check = entry->has_check;
    struct custody_key known = entry->key;
    memcpy(ret_check, entry->check, CUSTODY_CHECK_LEN);
    pthread_mutex_unlock(&custody->directory.lock);
    if (!has_check)
        return false;
    *ret_len = known.alg == CUSTODY_AES_256_GCM ? CUSTODY_CHECK_LEN : CUSTODY_HMAC_CHECK_LEN;
    if (known.alg != CUSTODY_ECDSA_P_256)
        return true;
    *ret_len = SHA256_DIGEST_LENGTH;
    return spki_check(&known, ret_check, NULL) == TBS_OK;
}
