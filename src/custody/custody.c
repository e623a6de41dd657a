/* The life of a custody and its sessions, and the key list. */
#include "custody/internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef enum tbs_err (*backend_constructor)(const struct custody_ops **, struct tbs_diag *);

static const struct {
    const char *name;
    backend_constructor construct;
} backends[] = {
    {"pkcs11", custody_backend_pkcs11},
};

enum tbs_err custody_find_backend(const char *name, const struct custody_ops **ret_ops,
                                  struct tbs_diag *diag)
{
    if (!name)
        return tbs_fail(diag, TBS_ERR_CONFIG, "no custody backend is named; write pkcs11");
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        if (strcmp(name, backends[i].name) != 0)
            continue;
        const struct custody_ops *ops;
        enum tbs_err err = backends[i].construct(&ops, diag);
        if (err != TBS_OK)
            return err;
        if (ops->version != CUSTODY_OPS_VERSION)
            return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                            "custody backend %s speaks version %u, this program version %u", name,
                            ops->version, CUSTODY_OPS_VERSION);
        *ret_ops = ops;
        return TBS_OK;
    }
    return tbs_fail(diag, TBS_ERR_CONFIG, "there is no custody backend '%.32s'; write pkcs11",
                    name);
}

/* --- Forks --- */

static unsigned fork_generation;
static pthread_once_t fork_watch_once = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
    fork_generation++;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

enum tbs_err custody_in_its_process(const struct custody *custody, struct tbs_diag *diag)
{
    if (custody->fork_generation == fork_generation)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_INVALID,
                    "this custody belongs to the parent process; open one after the fork");
}

/* --- Keys --- */

static bool id_char_ok(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool custody_id_role(struct tbs_bytes id, enum custody_role *ret_role, bool *ret_valid)
{
    struct tbs_bytes prefix = tbs_bytes_slice(id, 0, 4);
    if (tbs_bytes_equal(prefix, tbs_bytes_str("tpk-")))
        *ret_role = CUSTODY_ROLE_TPK;
    else if (tbs_bytes_equal(prefix, tbs_bytes_str("kek-")))
        *ret_role = CUSTODY_ROLE_KEK;
    else
        return false;
    bool valid = id.len > 4 && id.len <= CUSTODY_KEY_ID_MAX;
    for (size_t i = 4; i < id.len; i++)
        valid = valid && id_char_ok(id.data[i]);
    *ret_valid = valid;
    return true;
}

bool custody_role_takes(enum custody_role role, enum custody_alg alg)
{
    if (alg == CUSTODY_HMAC_SHA_256)
        return true;
    return alg == (role == CUSTODY_ROLE_TPK ? CUSTODY_HMAC_SHA_1 : CUSTODY_AES_256_GCM);
}

const char *custody_alg_name(enum custody_alg alg)
{
    switch (alg) {
    case CUSTODY_HMAC_SHA_1:
        return "HMAC-SHA-1";
    case CUSTODY_HMAC_SHA_256:
        return "HMAC-SHA-256";
    case CUSTODY_AES_256_GCM:
        return "AES-256-GCM";
    }
    return "unknown algorithm";
}

static int compare_ids(const void *a, const void *b)
{
    const struct custody_key *x = a, *y = b;
    return strcmp(x->id, y->id);
}

static enum tbs_err refuse_twins(const struct custody_key_list *list, struct tbs_diag *diag)
{
    for (size_t i = 1; i < list->n; i++) {
        if (strcmp(list->keys[i - 1].id, list->keys[i].id) == 0)
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "the token holds two keys with the id %s; an id must name one key",
                            list->keys[i].id);
    }
    return TBS_OK;
}

static enum tbs_err try_all(struct custody *custody, struct custody_key_list *list,
                            struct tbs_diag *diag)
{
    struct custody_session *session;
    enum tbs_err err = custody_session_open(custody, &session, diag);
    if (err != TBS_OK)
        return err;
    for (size_t i = 0; i < list->n && err == TBS_OK; i++) {
        err = custody_try_key(session, &list->keys[i], diag);
        /* Not fatal: blobs of another KEK may be all that is needed; the key stays unusable
         * and custody_health says so. */
        if (err == TBS_ERR_UNSUPPORTED)
            err = TBS_OK;
    }
    custody_session_close(session);
    return err;
}

enum tbs_err custody_load_keys(struct custody *custody, struct tbs_diag *diag)
{
    struct custody_key_list list = {0};
    enum tbs_err err = custody->ops->list_keys(custody->token, &list, diag);
    if (err != TBS_OK)
        return err;
    if (list.n > 0)
        qsort(list.keys, list.n, sizeof *list.keys, compare_ids);
    err = refuse_twins(&list, diag);
    if (err == TBS_OK)
        err = try_all(custody, &list, diag);
    if (err != TBS_OK) {
        free(list.keys);
        return err;
    }
    free(custody->list.keys);
    custody->list = list;
    return TBS_OK;
}

const struct custody_key *custody_keys(const struct custody *custody, size_t *ret_n)
{
    *ret_n = custody->list.n;
    return custody->list.keys;
}

const struct custody_key *custody_find_key(const struct custody *custody, struct tbs_bytes id,
                                           enum custody_role role)
{
    for (size_t i = 0; i < custody->list.n; i++) {
        const struct custody_key *key = &custody->list.keys[i];
        if (key->role == role && tbs_bytes_equal(tbs_bytes_str(key->id), id))
            return key;
    }
    return NULL;
}

const struct custody_key *custody_current_key(const struct custody *custody, enum custody_role role,
                                              enum custody_alg alg)
{
    for (size_t i = custody->list.n; i-- > 0;) {
        const struct custody_key *key = &custody->list.keys[i];
        if (key->role == role && key->alg == alg && key->usable)
            return key;
    }
    return NULL;
}

/* --- Life --- */

enum tbs_err custody_check(const struct custody_config *config, struct tbs_diag *diag)
{
    const struct custody_ops *ops;
    enum tbs_err err = custody_find_backend(config->backend, &ops, diag);
    return err != TBS_OK ? err : ops->check(config, diag);
}

const struct custody_quirk *custody_quirks(const struct custody *custody, size_t *ret_n)
{
    return custody->ops->quirks(custody->token, ret_n);
}

enum tbs_err custody_open(const struct custody_config *config, struct custody **ret_custody,
                          struct tbs_diag *diag)
{
    pthread_once(&fork_watch_once, watch_forks);
    struct custody *custody = calloc(1, sizeof *custody);
    if (!custody)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening the custody");
    custody->fork_generation = fork_generation;
    enum tbs_err err = custody_find_backend(config->backend, &custody->ops, diag);
    if (err == TBS_OK)
        err = custody->ops->open(config, &custody->token, diag);
    if (err == TBS_OK)
        err = custody_load_keys(custody, diag);
    if (err != TBS_OK) {
        custody_close(custody);
        return err;
    }
    *ret_custody = custody;
    return TBS_OK;
}

/* In a forked child the backend's memory is given up instead of freed: freeing it would close
 * the parent's sessions on a token that is reached through a socket. */
void custody_close(struct custody *custody)
{
    if (!custody)
        return;
    if (custody->token && custody_in_its_process(custody, NULL) == TBS_OK)
        custody->ops->close(custody->token);
    free(custody->list.keys);
    free(custody);
}

enum tbs_err custody_session_open(struct custody *custody, struct custody_session **ret_session,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = custody_in_its_process(custody, diag);
    if (err != TBS_OK)
        return err;
    struct custody_session *session = calloc(1, sizeof *session);
    if (!session)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening a session with the token");
    session->custody = custody;
    err = custody->ops->session_open(custody->token, &session->backend, diag);
    if (err != TBS_OK) {
        free(session);
        return err;
    }
    *ret_session = session;
    return TBS_OK;
}

void custody_session_close(struct custody_session *session)
{
    if (!session)
        return;
    if (custody_in_its_process(session->custody, NULL) == TBS_OK)
        session->custody->ops->session_close(session->backend);
    free(session);
}

uint64_t custody_token_calls(const struct custody_session *session)
{
    return session->calls;
}
