/* The single operations asked of the token, counted, and what rests on them alone: the trial
 * of a key and the token's health. */
#include "custody/internal.h"
#include "custody/primitives.h"

#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

size_t custody_mac_len(enum custody_alg alg)
{
    switch (alg) {
    case CUSTODY_HMAC_SHA_1:
        return 20;
    case CUSTODY_HMAC_SHA_256:
        return 32;
    case CUSTODY_AES_256_GCM:
        return 0;
    }
    return 0;
}

static enum tbs_err begin_call(struct custody_session *session, bool can, const char *what,
                               struct tbs_diag *diag)
{
    enum tbs_err err = custody_in_its_process(session->custody, diag);
    if (err != TBS_OK)
        return err;
    if (!can)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "custody backend %s cannot do %s",
                        session->custody->ops->name, what);
    session->calls++;
    return TBS_OK;
}

enum tbs_err custody_random(struct custody_session *session, uint8_t *out, size_t len,
                            struct tbs_diag *diag)
{
    const struct custody_ops *ops = session->custody->ops;
    if (len == 0)
        return TBS_OK;
    enum tbs_err err = begin_call(session, ops->random != NULL, "random numbers", diag);
    return err != TBS_OK ? err : ops->random(session->backend, out, len, diag);
}

enum tbs_err custody_call_hmac(struct custody_session *session, const struct custody_key *key,
                               struct tbs_bytes data, uint8_t *ret_mac, struct tbs_diag *diag)
{
    const struct custody_ops *ops = session->custody->ops;
    enum tbs_err err = begin_call(session, ops->hmac != NULL, "HMAC", diag);
    return err != TBS_OK ? err : ops->hmac(session->backend, key, data, ret_mac, diag);
}

enum tbs_err custody_call_seal(struct custody_session *session, const struct custody_key *key,
                               const struct custody_aead *aead, struct tbs_bytes plain,
                               uint8_t *out, struct tbs_diag *diag)
{
    const struct custody_ops *ops = session->custody->ops;
    enum tbs_err err = begin_call(session, ops->seal != NULL, "AES-GCM", diag);
    return err != TBS_OK ? err : ops->seal(session->backend, key, aead, plain, out, diag);
}

enum tbs_err custody_call_unseal(struct custody_session *session, const struct custody_key *key,
                                 const struct custody_aead *aead, struct tbs_bytes sealed,
                                 uint8_t *out, struct tbs_diag *diag)
{
    const struct custody_ops *ops = session->custody->ops;
    enum tbs_err err = begin_call(session, ops->unseal != NULL, "AES-GCM", diag);
    return err != TBS_OK ? err : ops->unseal(session->backend, key, aead, sealed, out, diag);
}

static bool is_of(const struct custody *custody, const struct custody_key *key)
{
    const struct custody_key_list *list = &custody->list;
    return list->n > 0 && key >= list->keys && key < list->keys + list->n;
}

enum tbs_err custody_hmac(struct custody_session *session, const struct custody_key *tpk,
                          struct tbs_bytes data, uint8_t ret_mac[CUSTODY_MAC_MAX],
                          struct tbs_diag *diag)
{
    if (!tpk || !is_of(session->custody, tpk) || tpk->role != CUSTODY_ROLE_TPK)
        return tbs_fail(diag, TBS_ERR_INVALID, "HMAC is for ticket-protection keys only");
    return custody_call_hmac(session, tpk, data, ret_mac, diag);
}

/* --- Trial of a key --- */

static enum tbs_err check_value(struct custody_session *session, const struct custody_key *key,
                                uint8_t kcv[CUSTODY_KCV_LEN], struct tbs_diag *diag)
{
    uint8_t mac[CUSTODY_MAC_MAX];
    enum tbs_err err = custody_call_hmac(session, key, tbs_bytes(NULL, 0), mac, diag);
    if (err == TBS_OK)
        memcpy(kcv, mac, CUSTODY_KCV_LEN);
    OPENSSL_cleanse(mac, sizeof mac);
    return err;
}

/* Seals and opens a block of zeros. No check value comes of it: for AES-GCM there is none that
 * would not tie up an IV. */
static enum tbs_err seal_and_open(struct custody_session *session, const struct custody_key *key,
                                  struct tbs_diag *diag)
{
    static const uint8_t zeros[16];
    uint8_t iv[CUSTODY_GCM_IV_LEN], sealed[sizeof zeros + CUSTODY_GCM_TAG_LEN];
    uint8_t opened[sizeof sealed];
    struct custody_aead aead = {iv, tbs_bytes_str(key->id), iv};
    enum tbs_err err = custody_random(session, iv, sizeof iv, diag);
    if (err == TBS_OK)
        err = custody_call_seal(session, key, &aead, tbs_bytes(zeros, sizeof zeros), sealed, diag);
    if (err == TBS_OK)
        err = custody_call_unseal(session, key, &aead, tbs_bytes(sealed, sizeof sealed), opened,
                                  diag);
    if (err == TBS_OK && memcmp(opened, zeros, sizeof zeros) != 0)
        return tbs_fail(diag, TBS_ERR_TOKEN,
                        "the token opens with %s what it never sealed; take it out of service",
                        key->id);
    return err;
}

enum tbs_err custody_try_key(struct custody_session *session, struct custody_key *key,
                             struct tbs_diag *diag)
{
    bool is_hmac = custody_mac_len(key->alg) > 0;
    enum tbs_err err =
        is_hmac ? check_value(session, key, key->kcv, diag) : seal_and_open(session, key, diag);
    key->usable = err == TBS_OK;
    key->has_kcv = is_hmac && err == TBS_OK;
    return err;
}

/* --- Health --- */

const char *custody_state_name(enum custody_state state)
{
    switch (state) {
    case CUSTODY_UP:
        return "up";
    case CUSTODY_DEGRADED:
        return "degraded";
    case CUSTODY_DOWN:
        return "down";
    case CUSTODY_LOCKED:
        return "locked";
    }
    return "unknown state";
}

static const struct custody_key *any_current(const struct custody *custody, enum custody_role role)
{
    static const enum custody_alg order[] = {CUSTODY_HMAC_SHA_256, CUSTODY_HMAC_SHA_1,
                                             CUSTODY_AES_256_GCM};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const struct custody_key *key = custody_current_key(custody, role, order[i]);
        if (key)
            return key;
    }
    return NULL;
}

static enum tbs_err probe(struct custody_session *session, const struct custody_key *key,
                          struct tbs_diag *diag)
{
    uint8_t octets[CUSTODY_KCV_LEN];
    if (!key)
        return custody_random(session, octets, sizeof octets, diag);
    if (!key->has_kcv)
        return seal_and_open(session, key, diag);
    enum tbs_err err = check_value(session, key, octets, diag);
    if (err == TBS_OK && memcmp(octets, key->kcv, sizeof octets) != 0)
        return tbs_fail(diag, TBS_ERR_TOKEN,
                        "key %s has another check value than when the token was opened", key->id);
    return err;
}

static void find_what_is_missing(const struct custody *custody, struct tbs_diag *ret_why)
{
    for (size_t i = 0; i < custody->list.n; i++) {
        const struct custody_key *key = &custody->list.keys[i];
        if (!key->usable)
            tbs_fail(ret_why, TBS_ERR_UNSUPPORTED,
                     "key %s cannot be used: this token or its connection does not carry %s",
                     key->id, custody_alg_name(key->alg));
    }
    if (!any_current(custody, CUSTODY_ROLE_KEK))
        tbs_fail(ret_why, TBS_ERR_NOT_FOUND, "the token has no usable key-encryption key");
    if (!any_current(custody, CUSTODY_ROLE_TPK))
        tbs_fail(ret_why, TBS_ERR_NOT_FOUND, "the token has no usable ticket-protection key");
}

static uint64_t micros_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

enum tbs_err custody_health(struct custody_session *session, struct custody_health *ret_health,
                            struct tbs_diag *diag)
{
    struct custody *custody = session->custody;
    enum tbs_err err = custody_in_its_process(custody, diag);
    if (err != TBS_OK)
        return err;
    const struct custody_key *key = any_current(custody, CUSTODY_ROLE_TPK);
    if (!key)
        key = any_current(custody, CUSTODY_ROLE_KEK);

    struct custody_health health = {.state = CUSTODY_UP};
    uint64_t start = micros_now();
    err = probe(session, key, &health.why);
    health.micros = micros_now() - start;
    if (err != TBS_OK) {
        bool lost = custody->ops->login_lost(session->backend);
        health.state = lost ? CUSTODY_LOCKED : CUSTODY_DOWN;
    } else {
        find_what_is_missing(custody, &health.why);
        if (health.why.code != TBS_OK)
            health.state = CUSTODY_DEGRADED;
    }
    *ret_health = health;
    return TBS_OK;
}
