/* The keys of all tokens: found by their ids, held against their check values. */
#include "custody/internal.h"
#include "custody/primitives.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t zeros[16];

/* --- Check values --- */

/* HMAC over the empty string, its first octets. */
static enum tbs_err hmac_check(const struct custody_token *token, void *session,
                               const struct custody_key *key, uint8_t *ret_check,
                               struct tbs_diag *diag)
{
    uint8_t mac[CUSTODY_MAC_MAX];
    enum tbs_err err = token->ops->hmac(session, key, tbs_bytes(NULL, 0), mac, diag);
    if (err == TBS_OK)
        memcpy(ret_check, mac, CUSTODY_KCV_LEN);
    OPENSSL_cleanse(mac, sizeof mac);
    return err;
}

static struct custody_aead check_aead(const struct custody_key *key, const uint8_t *iv)
{
    return (struct custody_aead){iv, tbs_bytes_str(key->id)};
}

/* There is no check value for AES-GCM that would not tie up an IV; a sealed block serves. */
static enum tbs_err seal_check(const struct custody_token *token, void *session,
                               const struct custody_key *key, uint8_t *ret_check,
                               struct tbs_diag *diag)
{
    struct custody_aead aead = check_aead(key, ret_check);
    enum tbs_err err = token->ops->random(session, ret_check, CUSTODY_GCM_IV_LEN, diag);
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

static enum tbs_err is_another_key(const struct custody_token *token, const char *id,
                                   struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s on token '%s' is another key than the one that this id named before; "
                    "an id must name one key, on all tokens and for ever",
                    id, token->name);
}

static enum tbs_err check_key(const struct custody_token *token, void *session,
                              const struct custody_key *key, const struct custody_entry *entry,
                              struct tbs_diag *diag)
{
    uint8_t kcv[CUSTODY_KCV_LEN];
    if (key->alg == CUSTODY_AES_256_GCM)
        return open_check(token, session, key, entry->check, diag);
    if (key->alg == CUSTODY_ECDSA_P_256)
        return custody_sign_check(token, session, key, entry->key.point, diag);
    enum tbs_err err = hmac_check(token, session, key, kcv, diag);
    if (err == TBS_OK && memcmp(kcv, entry->check, sizeof kcv) != 0)
        err = is_another_key(token, key->id, diag);
    return err;
}

enum tbs_err custody_check_instance(struct custody_token *token, void *session,
                                    const struct custody_entry *entry, struct tbs_diag *diag)
{
    return check_key(token, session, &entry->at[token->index].key, entry, diag);
}

/* --- Adding --- */

static struct custody_entry *find(const struct custody_directory *d, struct tbs_bytes id)
{
    size_t n = d->n;
    for (size_t i = 0; i < n; i++) {
        if (tbs_bytes_equal(tbs_bytes_str(d->entries[i]->key.id), id))
            return d->entries[i];
    }
    return NULL;
}

/* A new entry is filled before it is shown: readers take no lock. */
static enum tbs_err show(struct custody_directory *d, struct custody_entry *entry,
                         struct tbs_diag *diag)
{
    if (d->n == CUSTODY_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the tokens hold more than %d keys of this service",
                        CUSTODY_KEYS_MAX);
    d->entries[d->n] = entry;
    d->n++;
    return TBS_OK;
}

static enum tbs_err first_check(const struct custody_token *token, void *session,
                                struct custody_entry *entry, const struct custody_key *key,
                                struct tbs_diag *diag)
{
    if (key->alg == CUSTODY_ECDSA_P_256)
        return custody_sign_check(token, session, key, key->point, diag);
    if (key->alg != CUSTODY_AES_256_GCM)
        return hmac_check(token, session, key, entry->check, diag);
    enum tbs_err err = seal_check(token, session, key, entry->check, diag);
    return err != TBS_OK ? err : open_check(token, session, key, entry->check, diag);
}

/* Uses the key once, really: against what it answered before, or for the first time. */
static enum tbs_err try_locked(const struct custody_token *token, void *session,
                               struct custody_entry *entry, const struct custody_key *key,
                               struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    enum tbs_err err;
    if (entry->key.alg != key->alg || entry->key.role != key->role)
        return is_another_key(token, key->id, diag);
    if (!entry->has_check)
        err = first_check(token, session, entry, key, &why);
    else
        err = check_key(token, session, key, entry, &why);
    if (entry->has_check && (err == TBS_ERR_AUTH || err == TBS_ERR_TOKEN))
        return is_another_key(token, key->id, diag);
    entry->has_check |= err == TBS_OK;
    return err == TBS_OK ? TBS_OK : tbs_fail_raw(diag, err, why.raw, "%s", why.text);
}

static void put_instance(struct custody_token *token, struct custody_entry *entry,
                         const struct custody_key *key, enum tbs_err tried, unsigned long raw)
{
    struct custody_instance *instance = &entry->at[token->index];
    instance->key = *key;
    instance->cannot = raw;
    instance->found = true;
    instance->there = tried == TBS_OK;
}

/* A key that this token cannot use is not fatal: blobs of another KEK may be all that is needed;
 * the token's state says so. */
static enum tbs_err take_locked(struct custody_token *token, void *session,
                                const struct custody_key *key, struct tbs_diag *diag)
{
    struct custody_directory *d = &token->custody->directory;
    struct custody_entry *known = find(d, tbs_bytes_str(key->id));
    struct custody_entry *entry = known ? known : calloc(1, sizeof *entry);
    struct tbs_diag why = {0};
    if (!entry)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys");
    if (!known)
        entry->key = *key;
    enum tbs_err tried = try_locked(token, session, entry, key, &why);
    enum tbs_err err = tried == TBS_ERR_UNSUPPORTED ? TBS_OK : tried;
    if (err != TBS_OK)
        tbs_fail_raw(diag, err, why.raw, "%s", why.text);
    if (!known) {
        entry->key.has_kcv = entry->has_check && custody_mac_len(key->alg) > 0;
        memcpy(entry->key.kcv, entry->check, sizeof entry->key.kcv);
    }
    if (err == TBS_OK)
        put_instance(token, entry, key, tried, why.raw);
    if (err == TBS_OK && !known)
        err = show(d, entry, diag);
    if (err != TBS_OK && !known)
        free(entry);
    return err;
}

static int compare_ids(const void *a, const void *b)
{
    const struct custody_key *x = a, *y = b;
    return strcmp(x->id, y->id);
}

static enum tbs_err refuse_twins(const struct custody_token *token,
                                 const struct custody_key_list *list, struct tbs_diag *diag)
{
    for (size_t i = 1; i < list->n; i++) {
        if (strcmp(list->keys[i - 1].id, list->keys[i].id) == 0)
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "token '%s' holds two keys with the id %s; an id must name one key",
                            token->name, list->keys[i].id);
    }
    return TBS_OK;
}

enum tbs_err custody_directory_update(struct custody_token *token, void *session,
                                      struct custody_key_list *list, struct tbs_diag *diag)
{
    struct custody_directory *d = &token->custody->directory;
    if (list->n > 0)
        qsort(list->keys, list->n, sizeof *list->keys, compare_ids);
    enum tbs_err err = refuse_twins(token, list, diag);
    custody_directory_drop(token);
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; err == TBS_OK && i < list->n; i++)
        err = take_locked(token, session, &list->keys[i], diag);
    pthread_mutex_unlock(&d->lock);
    if (err != TBS_OK)
        custody_directory_drop(token);
    return err;
}

void custody_directory_drop(struct custody_token *token)
{
    struct custody_directory *d = &token->custody->directory;
    for (size_t i = 0; i < d->n; i++) {
        d->entries[i]->at[token->index].there = false;
        d->entries[i]->at[token->index].found = false;
    }
}

/* --- Finding --- */

struct custody_entry *custody_entry_of(const struct custody_key *key)
{
    return (struct custody_entry *)key; /* its first member */
}

static bool is_usable(const struct custody *custody, const struct custody_entry *entry,
                      bool on_an_open_token)
{
    for (size_t t = 0; t < custody->n_tokens; t++) {
        if (entry->at[t].there && (!on_an_open_token || custody->tokens[t].open))
            return true;
    }
    return false;
}

/* Keys that were there before an outage are waited for, not passed over for ever. */
static bool was_usable(const struct custody_entry *entry)
{
    return entry->has_check;
}

const struct custody_key *custody_find_key(const struct custody *custody, struct tbs_bytes id,
                                           enum custody_role role)
{
    const struct custody_entry *entry = find(&custody->directory, id);
    return entry && entry->key.role == role ? &entry->key : NULL;
}

static const struct custody_entry *last_of(const struct custody *custody, enum custody_role role,
                                           enum custody_alg alg, bool on_an_open_token)
{
    const struct custody_directory *d = &custody->directory;
    const struct custody_entry *best = NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct custody_entry *e = d->entries[i];
        bool fits = on_an_open_token ? is_usable(custody, e, true) : was_usable(e);
        if (e->key.role == role && e->key.alg == alg && fits &&
            (!best || strcmp(e->key.id, best->key.id) > 0))
            best = e;
    }
    return best;
}

const struct custody_key *custody_current_key(const struct custody *custody, enum custody_role role,
                                              enum custody_alg alg)
{
    const struct custody_entry *entry = last_of(custody, role, alg, true);
    if (!entry)
        entry = last_of(custody, role, alg, false);
    return entry ? &entry->key : NULL;
}

const struct custody_entry *custody_directory_canary(const struct custody_token *token)
{
    const struct custody_directory *d = &token->custody->directory;
    const struct custody_entry *canary = NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct custody_entry *e = d->entries[i];
        if (!e->at[token->index].there)
            continue;
        if (!canary || e->key.role < canary->key.role)
            canary = e;
    }
    return canary;
}

static bool is_found(const struct custody *custody, const struct custody_entry *e)
{
    for (size_t t = 0; t < custody->n_tokens; t++) {
        if (e->at[t].found)
            return true;
    }
    return false;
}

static bool has_any(struct custody *custody, enum custody_role role)
{
    const struct custody_directory *d = &custody->directory;
    for (size_t i = 0; i < d->n; i++) {
        if (d->entries[i]->key.role == role && is_usable(custody, d->entries[i], true))
            return true;
    }
    return false;
}

void custody_directory_gaps(struct custody *custody, struct tbs_diag *ret_why)
{
    const struct custody_directory *d = &custody->directory;
    *ret_why = (struct tbs_diag){0};
    for (size_t i = 0; i < d->n; i++) {
        const struct custody_entry *e = d->entries[i];
        if (is_found(custody, e) && !is_usable(custody, e, true))
            tbs_fail(ret_why, TBS_ERR_UNSUPPORTED,
                     "key %s cannot be used: no token that is up holds it and carries %s",
                     e->key.id, custody_alg_name(e->key.alg));
    }
    if (!has_any(custody, CUSTODY_ROLE_KEK))
        tbs_fail(ret_why, TBS_ERR_NOT_FOUND, "no token that is up has a usable key-encryption key");
    if (!has_any(custody, CUSTODY_ROLE_TPK))
        tbs_fail(ret_why, TBS_ERR_NOT_FOUND,
                 "no token that is up has a usable ticket-protection key");
}

/* --- Listing --- */

const struct custody_key *custody_keys(struct custody *custody, size_t *ret_n)
{
    struct custody_directory *d = &custody->directory;
    free(custody->listed);
    size_t n = d->n;
    *ret_n = 0;
    custody->listed = calloc(n > 0 ? n : 1, sizeof *custody->listed);
    for (size_t i = 0; custody->listed && i < n; i++) {
        if (!is_found(custody, d->entries[i]))
            continue;
        struct custody_key *key = &custody->listed[(*ret_n)++];
        *key = d->entries[i]->key;
        key->usable = is_usable(custody, d->entries[i], false);
    }
    if (*ret_n > 0)
        qsort(custody->listed, *ret_n, sizeof *custody->listed, compare_ids);
    return custody->listed;
}

unsigned long custody_directory_cannot(const struct custody *custody,
                                       const struct custody_entry *entry)
{
    for (size_t t = 0; t < custody->n_tokens; t++) {
        if (custody->tokens[t].open && entry->at[t].found && !entry->at[t].there)
            return entry->at[t].cannot;
    }
    return 0;
}
