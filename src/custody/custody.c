/* The life of a custody: its backends and its tokens. */
#include "custody/internal.h"

#include <stdlib.h>
#include <string.h>

#define STALL_MS 2000

typedef enum tbs_err (*backend_constructor)(const struct custody_ops **, struct tbs_diag *);

static const struct {
    const char *name;
    backend_constructor construct;
} backends[] = {
    {"pkcs11", custody_backend_pkcs11},
    {"tpm", custody_backend_tpm},
};

enum tbs_err custody_find_backend(const char *name, const struct custody_ops **ret_ops,
                                  struct tbs_diag *diag)
{
    if (!name)
        return tbs_fail(diag, TBS_ERR_CONFIG, "no custody backend is named; write pkcs11 or tpm");
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
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "there is no custody backend '%.32s'; write pkcs11 or tpm", name);
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

/* --- Opening --- */

static enum tbs_err make_tokens(struct custody *custody, const struct custody_config *config,
                                struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    if (config->n_tokens == 0 || config->n_tokens > CUSTODY_TOKENS_MAX)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%zu tokens are configured; there may be 1 to %d",
                        config->n_tokens, CUSTODY_TOKENS_MAX);
    for (size_t i = 0; i < config->n_tokens && err == TBS_OK; i++) {
        custody->n_tokens = i + 1;
        err =
            custody_token_init(&custody->tokens[i], custody, (unsigned)i, &config->tokens[i], diag);
    }
    return err;
}

/* A person's mistake is always told. Anything else only where no token serves at all. */
static enum tbs_err open_tokens(struct custody *custody, bool start_down, struct tbs_diag *diag)
{
    enum tbs_err first = TBS_OK;
    struct tbs_diag why = {0};
    size_t up = 0;
    for (size_t i = 0; i < custody->n_tokens; i++) {
        struct tbs_diag one = {0};
        enum tbs_err err = custody_token_open(&custody->tokens[i], &one);
        up += err == TBS_OK;
        if (err != TBS_OK && err != TBS_ERR_CONFIG && start_down &&
            pin_before_it_is_needed(&custody->tokens[i].pin, &one) != TBS_OK)
            err = TBS_ERR_CONFIG;
        if (err == TBS_ERR_CONFIG)
            return tbs_fail_raw(diag, err, one.raw, "%s", one.text);
        if (err != TBS_OK && first == TBS_OK) {
            first = err;
            why = one;
        }
    }
    if (first == TBS_OK || up > 0 || start_down)
        return TBS_OK;
    return tbs_fail_raw(diag, first, why.raw, "%s", why.text);
}

static enum tbs_err start_watchers(struct custody *custody, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; i < custody->n_tokens && err == TBS_OK; i++)
        err = custody_token_start(&custody->tokens[i], diag);
    return err;
}

/* Copied, since the token may be opened anew while the caller looks. */
size_t custody_quirks(struct custody *custody, size_t token,
                      struct custody_quirk ret_quirks[CUSTODY_QUIRKS_MAX])
{
    struct custody_token *t = &custody->tokens[token];
    size_t n = 0;
    pthread_mutex_lock(&t->work);
    const struct custody_quirk *quirks = t->backend ? t->ops->quirks(t->backend, &n) : NULL;
    n = n < CUSTODY_QUIRKS_MAX ? n : CUSTODY_QUIRKS_MAX;
    for (size_t i = 0; i < n; i++)
        ret_quirks[i] = quirks[i];
    pthread_mutex_unlock(&t->work);
    return n;
}

enum tbs_err custody_check(const struct custody_token_config *config, struct tbs_diag *diag)
{
    const struct custody_ops *ops;
    enum tbs_err err = custody_find_backend(config->backend, &ops, diag);
    return err != TBS_OK ? err : ops->check(config, diag);
}

enum tbs_err custody_open(const struct custody_config *config, struct custody **ret_custody,
                          struct tbs_diag *diag)
{
    pthread_once(&fork_watch_once, watch_forks);
    struct custody *custody = calloc(1, sizeof *custody);
    if (!custody)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening the custody");
    custody->fork_generation = fork_generation;
    custody->stall_ns = (config->stall_ms > 0 ? config->stall_ms : STALL_MS) * UINT64_C(1000000);
    LIST_INIT(&custody->sessions);
    pthread_mutex_init(&custody->sessions_lock, NULL);
    pthread_mutex_init(&custody->directory.lock, NULL);
    custody->clock = config->clock.ntp_now ? config->clock : tbs_clock_system();
    enum tbs_err err = make_tokens(custody, config, diag);
    if (err == TBS_OK && config->rules)
        err = custody_put_rules(custody, config->rules, diag);
    if (err == TBS_OK)
        err = open_tokens(custody, config->start_down, diag);
    if (err == TBS_OK)
        err = start_watchers(custody, diag);
    if (err != TBS_OK) {
        custody_close(custody);
        return err;
    }
    *ret_custody = custody;
    return TBS_OK;
}

/* In a forked child the backend's memory is given up instead of freed: freeing it would close
 * the parent's sessions on a token that is reached through a socket. */
bool custody_close(struct custody *custody)
{
    if (!custody)
        return true;
    bool ours = custody_in_its_process(custody, NULL) == TBS_OK;
    for (size_t i = 0; ours && i < custody->n_tokens; i++) {
        if (!custody_token_stop(&custody->tokens[i]))
            return false;
    }
    for (size_t i = 0; i < custody->n_tokens; i++)
        custody_token_free(&custody->tokens[i]);
    for (size_t i = 0; i < custody->directory.n; i++)
        free(custody->directory.entries[i]);
    pthread_mutex_destroy(&custody->directory.lock);
    pthread_mutex_destroy(&custody->sessions_lock);
    custody_free_rules(custody);
    free(custody->listed);
    free(custody);
    return true;
}

enum tbs_err custody_share(struct custody *custody, const char *const *tpks, size_t n,
                           struct tbs_diag *diag)
{
    if (n > CUSTODY_SHARED_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT,
                        "%zu TPKs are shared with functions; at most %d can be", n,
                        CUSTODY_SHARED_MAX);
    for (size_t i = 0; i < n; i++)
        if (strlen(tpks[i]) > CUSTODY_KEY_ID_MAX || strncmp(tpks[i], "tpk-", 4) != 0)
            return tbs_fail(diag, TBS_ERR_INVALID,
                            "%.80s is no id of a TPK, such as tpk-mrf-2026-01", tpks[i]);
    for (size_t i = 0; i < n; i++)
        strcpy(custody->shared[i], tpks[i]);
    custody->n_shared = n;
    return TBS_OK;
}

void custody_look_again(struct custody *custody)
{
    for (size_t i = 0; i < custody->n_tokens; i++)
        custody_token_ask(&custody->tokens[i], CUSTODY_REINIT);
}
