/* The single operations asked of a token. */
#include "custody/internal.h"
#include "custody/primitives.h"

#include <openssl/crypto.h>
#include <string.h>

size_t custody_mac_len(enum custody_alg alg)
{
    switch (alg) {
    case CUSTODY_HMAC_SHA_1:
        return 20;
    case CUSTODY_HMAC_SHA_256:
        return 32;
    case CUSTODY_AES_256_GCM:
    case CUSTODY_ECDSA_P_256:
        return 0;
    }
    return 0;
}

static enum tbs_err cannot(const struct custody_ops *ops, const char *what, struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "custody backend %s cannot do %s", ops->name, what);
}

struct octets {
    uint8_t *out;
    size_t len;
};

static enum tbs_err run_random(const struct custody_ops *ops, void *session,
                               const struct custody_key *key, void *ctx, struct tbs_diag *diag)
{
    const struct octets *octets = ctx;
    (void)key;
    return ops->random ? ops->random(session, octets->out, octets->len, diag)
                       : cannot(ops, "random numbers", diag);
}

enum tbs_err custody_random(struct custody_session *session, uint8_t *out, size_t len,
                            struct tbs_diag *diag)
{
    struct octets octets = {out, len};
    const struct custody_operation op = {NULL, run_random, &octets};
    return len == 0 ? TBS_OK : custody_perform(session, &op, diag);
}

struct mac {
    struct tbs_bytes data;
    uint8_t *ret_mac;
};

static enum tbs_err run_hmac(const struct custody_ops *ops, void *session,
                             const struct custody_key *key, void *ctx, struct tbs_diag *diag)
{
    const struct mac *mac = ctx;
    return ops->hmac ? ops->hmac(session, key, mac->data, mac->ret_mac, diag)
                     : cannot(ops, "HMAC", diag);
}

enum tbs_err custody_call_hmac(struct custody_session *session, const struct custody_key *key,
                               struct tbs_bytes data, uint8_t *ret_mac, struct tbs_diag *diag)
{
    struct mac mac = {data, ret_mac};
    const struct custody_operation op = {custody_entry_of(key), run_hmac, &mac};
    return custody_perform(session, &op, diag);
}

struct sealing {
    const struct custody_aead *aead;
    struct tbs_bytes in;
    uint8_t *out;
    const uint8_t *check;
};

static enum tbs_err run_seal(const struct custody_ops *ops, void *session,
                             const struct custody_key *key, void *ctx, struct tbs_diag *diag)
{
    const struct sealing *s = ctx;
    return ops->seal ? ops->seal(session, key, s->aead, s->in, s->out, diag)
                     : cannot(ops, "AES-GCM", diag);
}

enum tbs_err custody_call_seal(struct custody_session *session, const struct custody_key *key,
                               const struct custody_aead *aead, struct tbs_bytes plain,
                               uint8_t *out, struct tbs_diag *diag)
{
    struct sealing s = {aead, plain, out, NULL};
    const struct custody_operation op = {custody_entry_of(key), run_seal, &s};
    return custody_perform(session, &op, diag);
}

/* Some tokens answer a wrong tag as they answer their own failure. Where the key still opens what
 * it sealed once, and not the blob again, the blob is at fault. */
static bool opens_its_check(const struct custody_ops *ops, void *session,
                            const struct custody_key *key, const uint8_t *check)
{
    uint8_t opened[CUSTODY_CHECK_LEN];
    struct custody_aead aead = {.iv = check, .aad = tbs_bytes_str(key->id)};
    return ops->unseal(
               session, key, &aead,
               tbs_bytes(check + CUSTODY_GCM_IV_LEN, CUSTODY_CHECK_LEN - CUSTODY_GCM_IV_LEN),
               opened, NULL) == TBS_OK;
}

static enum tbs_err run_unseal(const struct custody_ops *ops, void *session,
                               const struct custody_key *key, void *ctx, struct tbs_diag *diag)
{
    const struct sealing *s = ctx;
    if (!ops->unseal)
        return cannot(ops, "AES-GCM", diag);
    enum tbs_err err = ops->unseal(session, key, s->aead, s->in, s->out, diag);
    if (err != TBS_ERR_TOKEN || !opens_its_check(ops, session, key, s->check))
        return err;
    err = ops->unseal(session, key, s->aead, s->in, s->out, diag);
    if (err == TBS_ERR_TOKEN)
        return tbs_fail(diag, TBS_ERR_AUTH, "AES-GCM with %s: the tag does not verify", key->id);
    return err;
}

enum tbs_err custody_call_unseal(struct custody_session *session, const struct custody_key *key,
                                 const struct custody_aead *aead, struct tbs_bytes sealed,
                                 uint8_t *out, struct tbs_diag *diag)
{
    struct custody_entry *entry = custody_entry_of(key);
    struct sealing s = {aead, sealed, out, entry->check};
    const struct custody_operation op = {entry, run_unseal, &s};
    return custody_perform(session, &op, diag);
}

bool custody_has_key(const struct custody *custody, const struct custody_key *key)
{
    for (size_t i = 0; i < custody->directory.n; i++) {
        if (key == &custody->directory.entries[i]->key)
            return true;
    }
    return false;
}

enum tbs_err custody_hmac(struct custody_session *session, const struct custody_key *tpk,
                          struct tbs_bytes data, uint8_t ret_mac[CUSTODY_MAC_MAX],
                          struct tbs_diag *diag)
{
    if (!tpk || !custody_has_key(session->custody, tpk) || tpk->role != CUSTODY_ROLE_TPK)
        return tbs_fail(diag, TBS_ERR_INVALID, "HMAC is for ticket-protection keys only");
    return custody_call_hmac(session, tpk, data, ret_mac, diag);
}
