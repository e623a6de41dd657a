/* The keys of all tokens: found by their ids, held against their check values. */
#include "custody/internal.h"
#include "custody/primitives.h"

#include <stdlib.h>
#include <string.h>

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

/* What one use of a key gave: real, against what it answered before or for the first time. */
struct trial {
    bool has_check; /* `check` was there before */
    uint8_t check[CUSTODY_CHECK_LEN], point[CUSTODY_POINT_LEN];
    enum tbs_err err;
    struct tbs_diag why;
    enum custody_refusal refused;
};

/* Holds a key against the rules. Where there are any, another key than it should be is refused, and
 * its token goes on. */
static void try_rules(struct custody_token *token, void *session, const struct custody_key *key,
                      struct trial *trial)
{
    const struct custody_fact *fact;
    trial->refused = custody_refusal_of(token->custody, key, token->serial, &fact);
    if (trial->err == TBS_OK && fact)
        trial->err = custody_check_fact(token, session, key, fact, &trial->why);
    if (!token->custody->rules || trial->err != TBS_ERR_CONFIG)
        return;
    if (trial->refused == CUSTODY_NOT_REFUSED)
        trial->refused = CUSTODY_DIFFERS;
    trial->err = TBS_OK;
}

/* Without the lock: a token that hangs here holds up no other. */
static void try_key(struct custody_token *token, void *session, const struct custody_key *key,
                    struct trial *ret_trial)
{
    struct custody_directory *d = &token->custody->directory;
    *ret_trial = (struct trial){0};
    pthread_mutex_lock(&d->lock);
    const struct custody_entry *known = find(d, tbs_bytes_str(key->id));
    if (known) {
        ret_trial->has_check = known->has_check && !known->check_refused;
        memcpy(ret_trial->check, known->check, sizeof known->check);
        memcpy(ret_trial->point, known->key.point, sizeof known->key.point);
    }
    pthread_mutex_unlock(&d->lock);
    if (known && (known->key.alg != key->alg || known->key.role != key->role))
        ret_trial->err = custody_is_another_key(token, key->id, &ret_trial->why);
    else if (ret_trial->has_check)
        ret_trial->err = custody_check_key(token, session, key, ret_trial->check, ret_trial->point,
                                           &ret_trial->why);
    else
        ret_trial->err =
            custody_first_check(token, session, key, ret_trial->check, &ret_trial->why);
    try_rules(token, session, key, ret_trial);
}

static void put_instance(struct custody_token *token, struct custody_entry *entry,
                         const struct custody_key *key, const struct trial *trial)
{
    struct custody_instance *instance = &entry->at[token->index];
    instance->key = *key;
    instance->cannot = trial->why.raw;
    instance->refused = trial->refused;
    instance->found = true;
    instance->there = trial->err == TBS_OK && trial->refused == CUSTODY_NOT_REFUSED;
}

static void put_check(struct custody_entry *entry, const struct custody_key *key,
                      const struct trial *trial)
{
    bool is_refused = trial->refused != CUSTODY_NOT_REFUSED;
    if (trial->err != TBS_OK || (entry->has_check && (is_refused || !entry->check_refused)))
        return;
    memcpy(entry->check, trial->check, sizeof entry->check);
    memcpy(entry->key.kcv, trial->check, sizeof entry->key.kcv);
    memcpy(entry->key.point, key->point, sizeof entry->key.point);
    entry->key.has_kcv = custody_mac_len(key->alg) > 0;
    entry->check_refused = is_refused;
    entry->has_check = true;
}

static enum tbs_err add_locked(struct custody_token *token, const struct custody_key *key,
                               const struct trial *trial, struct tbs_diag *diag)
{
    struct custody_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys");
    entry->key = *key;
    put_check(entry, key, trial);
    put_instance(token, entry, key, trial);
    enum tbs_err err = show(&token->custody->directory, entry, diag);
    if (err != TBS_OK)
        free(entry);
    return err;
}

/* False: meanwhile another token's trial was the first; this one is to be held against it. */
static bool put_key(struct custody_token *token, const struct custody_key *key,
                    const struct trial *trial, enum tbs_err *ret_err, struct tbs_diag *diag)
{
    struct custody_directory *d = &token->custody->directory;
    pthread_mutex_lock(&d->lock);
    struct custody_entry *entry = find(d, tbs_bytes_str(key->id));
    bool is_first = !entry || !entry->has_check || entry->check_refused;
    bool fits = trial->has_check || is_first || trial->err != TBS_OK;
    *ret_err = TBS_OK;
    if (fits && !entry) {
        *ret_err = add_locked(token, key, trial, diag);
    } else if (fits) {
        put_check(entry, key, trial);
        put_instance(token, entry, key, trial);
    }
    pthread_mutex_unlock(&d->lock);
    return fits;
}

/* A key that this token cannot use is not fatal: blobs of another KEK may be all that is needed;
 * the token's state says so. */
static enum tbs_err take(struct custody_token *token, void *session, const struct custody_key *key,
                         struct tbs_diag *diag)
{
    struct trial trial;
    enum tbs_err err;
    do {
        try_key(token, session, key, &trial);
        if (trial.err != TBS_OK && trial.err != TBS_ERR_UNSUPPORTED)
            return tbs_fail_raw(diag, trial.err, trial.why.raw, "%s", trial.why.text);
    } while (!put_key(token, key, &trial, &err, diag));
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
    if (list->n > 0)
        qsort(list->keys, list->n, sizeof *list->keys, compare_ids);
    enum tbs_err err = refuse_twins(token, list, diag);
    custody_directory_drop(token);
    for (size_t i = 0; err == TBS_OK && i < list->n; i++)
        err = take(token, session, &list->keys[i], diag);
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

struct custody_entry *custody_find_entry(const struct custody *custody, struct tbs_bytes id)
{
    return find(&custody->directory, id);
}

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
    return entry->has_check && !entry->check_refused;
}

const struct custody_key *custody_find_key(const struct custody *custody, struct tbs_bytes id,
                                           enum custody_role role)
{
    const struct custody_entry *entry = find(&custody->directory, id);
    return entry && entry->key.role == role ? &entry->key : NULL;
}

/* False: the keys of every token have been read since the start. */
static bool find_unread(struct custody *custody, struct custody_token_status *ret_status)
{
    for (size_t i = 0; i < custody->n_tokens; i++) {
        custody_token_status(custody, i, ret_status);
        if (ret_status->openings == 0)
            return true;
    }
    return false;
}

enum tbs_err custody_need_key(struct custody *custody, struct tbs_bytes id, enum custody_role role,
                              const struct custody_key **ret_key, struct tbs_diag *diag)
{
    struct custody_token_status unread;
    const struct custody_key *key = custody_find_key(custody, id, role);
    if (!key && find_unread(custody, &unread))
        return tbs_fail_raw(diag, TBS_ERR_UNAVAILABLE, unread.why.raw,
                            "no known %s has this id, and token '%s' has not been up since the "
                            "start: %.160s",
                            custody_role_name(role), unread.name, unread.why.text);
    if (!key)
        key = custody_find_key(custody, id, role); /* the last token may have been read just now */
    if (!key)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "no token holds a %s with this id",
                        custody_role_name(role));
    *ret_key = key;
    return TBS_OK;
}

static bool is_shared(const struct custody *custody, const struct custody_key *key)
{
    for (size_t i = 0; i < custody->n_shared; i++)
        if (strcmp(custody->shared[i], key->id) == 0)
            return true;
    return false;
}

/* alg NULL: any. */
static const struct custody_entry *last_of(const struct custody *custody, enum custody_role role,
                                           const enum custody_alg *alg, bool on_an_open_token)
{
    const struct custody_directory *d = &custody->directory;
    const struct custody_entry *best = NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct custody_entry *e = d->entries[i];
        bool fits = on_an_open_token ? is_usable(custody, e, true) : was_usable(e);
        if (e->key.role == role && (!alg || e->key.alg == *alg) && fits &&
            !is_shared(custody, &e->key) &&
            custody_may(custody, &e->key, CUSTODY_PROTECT, NULL) == TBS_OK &&
            (!best || strcmp(e->key.id, best->key.id) > 0))
            best = e;
    }
    return best;
}

static const struct custody_key *current(const struct custody *custody, enum custody_role role,
                                         const enum custody_alg *alg)
{
    const struct custody_entry *entry = last_of(custody, role, alg, true);
    if (!entry)
        entry = last_of(custody, role, alg, false);
    return entry ? &entry->key : NULL;
}

const struct custody_key *custody_current_key(const struct custody *custody, enum custody_role role,
                                              enum custody_alg alg)
{
    return current(custody, role, &alg);
}

const struct custody_key *custody_current_kek(const struct custody *custody)
{
    return current(custody, CUSTODY_ROLE_KEK, NULL);
}

enum tbs_err custody_why_none(const struct custody *custody, enum custody_role role,
                              enum custody_alg alg, struct tbs_diag *diag)
{
    const struct custody_directory *d = &custody->directory;
    const struct custody_entry *last = NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct custody_entry *e = d->entries[i];
        if (e->key.role == role && e->key.alg == alg && was_usable(e) &&
            !is_shared(custody, &e->key) && (!last || strcmp(e->key.id, last->key.id) > 0))
            last = e;
    }
    if (last && custody_may(custody, &last->key, CUSTODY_PROTECT, diag) != TBS_OK)
        return TBS_ERR_DENIED;
    return tbs_fail(diag, TBS_ERR_NOT_FOUND, "no token holds a usable %s for %s",
                    custody_role_name(role), custody_alg_name(alg));
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

static bool has_any(struct custody *custody, enum custody_role role, enum custody_use use)
{
    const struct custody_directory *d = &custody->directory;
    for (size_t i = 0; i < d->n; i++) {
        const struct custody_entry *e = d->entries[i];
        if (e->key.role == role && is_usable(custody, e, true) &&
            custody_may(custody, &e->key, use, NULL) == TBS_OK)
            return true;
    }
    return false;
}

static void say_refused(const struct custody *custody, const struct custody_entry *e,
                        struct tbs_diag *ret_why)
{
    for (size_t t = 0; t < custody->n_tokens; t++) {
        if (e->at[t].found)
            custody_say_refused(e->at[t].refused, e->key.id, custody->tokens[t].name, ret_why);
    }
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
        say_refused(custody, e, ret_why);
    }
    if (!has_any(custody, CUSTODY_ROLE_KEK, CUSTODY_PROCESS))
        tbs_fail(ret_why, TBS_ERR_NOT_FOUND, "no token that is up has a usable key-encryption key");
    if (!has_any(custody, CUSTODY_ROLE_TPK, CUSTODY_PROTECT))
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
    pthread_mutex_lock(&d->lock); /* a first check may just fill in what a key answers */
    for (size_t i = 0; custody->listed && i < n; i++) {
        if (!is_found(custody, d->entries[i]))
            continue;
        struct custody_key *key = &custody->listed[(*ret_n)++];
        *key = d->entries[i]->key;
        key->usable = is_usable(custody, d->entries[i], false);
    }
    pthread_mutex_unlock(&d->lock);
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
