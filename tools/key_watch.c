#include "tools/key_watch.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "server/log.h"
#include "server/metrics.h"

#define DAY 86400

/* The nearer the end, the higher; the last is the end itself. */
static const int bands[] = {30 * DAY, 14 * DAY, 7 * DAY, DAY, 0};
#define BANDS (sizeof bands / sizeof *bands)

struct watched {
    char id[CUSTODY_KEY_ID_MAX + 1];
    size_t band; /* that was told: how many of `bands` the end is within */
    bool refused, missing;
};

struct key_watch {
    size_t n;
    struct watched keys[2 * CUSTODY_RULES_MAX]; /* named ones, and refused ones beside them */
};

enum tbs_err key_watch_new(struct key_watch **ret_watch, struct tbs_diag *diag)
{
    struct key_watch *watch = calloc(1, sizeof *watch);

    if (!watch)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the key registry");
    *ret_watch = watch;
    return TBS_OK;
}

void key_watch_free(struct key_watch *watch)
{
    free(watch);
}

/* NULL when there are more than a custody and a registry can name together. */
static struct watched *watched(struct key_watch *watch, const char *id)
{
    for (size_t i = 0; i < watch->n; i++)
        if (strcmp(watch->keys[i].id, id) == 0)
            return &watch->keys[i];
    if (watch->n == sizeof watch->keys / sizeof *watch->keys)
        return NULL;
    strcpy(watch->keys[watch->n].id, id);
    return &watch->keys[watch->n++];
}

/* --- Looking --- */

static void look_at_end(struct key_watch *watch, const struct custody_fact *fact, time_t now)
{
    struct watched *w = watched(watch, fact->id);
    time_t left = fact->protect_until - now;
    char until[REGISTRY_TIME_MAX];
    size_t band = 0;

    while (band < BANDS && left <= bands[band] && fact->state == CUSTODY_KEY_ACTIVE)
        band++;
    if (!w)
        return;
    bool nearer = band > w->band;

    w->band = band;
    if (!nearer)
        return;
    registry_time_put(fact->protect_until, until);
    if (band == BANDS)
        log_write(LOG_LEVEL_ERROR, "key-ended", LOG_TEXT("key", fact->id),
                  LOG_TEXT("protect_until", until),
                  LOG_TEXT("effect", "it protects nothing any more"));
    else
        log_write(LOG_LEVEL_WARN, "key-ends", LOG_TEXT("key", fact->id),
                  LOG_NUMBER("days", left / DAY), LOG_TEXT("protect_until", until));
}

static bool lacks(struct custody *custody, size_t token, const struct custody_fact *fact)
{
    struct custody_token_status s;

    custody_token_status(custody, token, &s);
    for (size_t i = 0; i < fact->n_holders; i++)
        if (strcmp(fact->holders[i].serial, s.serial) == 0)
            return custody_lacks(custody, fact->id, token);
    return false;
}

static void look_for_key(struct key_watch *watch, const struct custody_fact *fact,
                         struct custody *custody)
{
    struct watched *w = watched(watch, fact->id);
    bool missing = false;

    for (size_t t = 0; t < custody_token_count(custody); t++)
        missing |= lacks(custody, t, fact);
    missing &= fact->state != CUSTODY_KEY_DESTROYED;
    if (!w || missing == w->missing)
        return;
    w->missing = missing;
    if (missing)
        log_write(LOG_LEVEL_WARN, "key-missing", LOG_TEXT("key", fact->id),
                  LOG_TEXT("reason", "the key registry names a token for it that is up and does "
                                     "not hold it"));
}

static void look_at_refusal(struct key_watch *watch, const struct custody_key *key,
                            struct custody *custody)
{
    struct watched *w = watched(watch, key->id);
    struct custody_standing s;
    bool refused = custody_standing(custody, key->id, &s) && s.refused.code;

    if (!w || refused == w->refused)
        return;
    w->refused = refused;
    if (refused)
        log_write(LOG_LEVEL_ERROR, "key-refused", LOG_TEXT("key", key->id),
                  LOG_TEXT("reason", s.refused.text));
}

void key_watch_look(struct key_watch *watch, const struct key_registry *registry,
                    struct custody *custody)
{
    time_t now = time(NULL);
    size_t n;

    if (!registry)
        return;
    for (size_t i = 0; i < registry->rules.n; i++) {
        look_at_end(watch, &registry->facts[i], now);
        look_for_key(watch, &registry->facts[i], custody);
    }
    const struct custody_key *keys = custody_keys(custody, &n);

    for (size_t i = 0; i < n; i++)
        look_at_refusal(watch, &keys[i], custody);
}

/* --- Which registry --- */

static void hash_text(const struct registry *registry, char ret_text[2 * SIGNED_HASH_LEN + 1])
{
    tbs_hex(tbs_bytes(registry->lines.hash, sizeof registry->lines.hash), ret_text);
}

static void log_compromised(const struct key_registry *registry)
{
    for (size_t i = 0; i < registry->rules.n; i++)
        if (registry->facts[i].state == CUSTODY_KEY_COMPROMISED && registry->rules.open_compromised)
            log_write(LOG_LEVEL_WARN, "key-compromised", LOG_TEXT("key", registry->facts[i].id),
                      LOG_TEXT("effect", "what it protected is opened all the same: "
                                         "custody.compromised is open-with-warning"));
}

void key_watch_log_registry(const struct key_registry *registry)
{
    char hash[2 * SIGNED_HASH_LEN + 1], made[REGISTRY_TIME_MAX];

    if (!registry) {
        log_write(LOG_LEVEL_INFO, "no-key-registry",
                  LOG_TEXT("effect", "every key that a token holds may be used, for ever"));
        return;
    }
    hash_text(&registry->registry, hash);
    registry_time_put(registry->registry.made, made);
    log_write(registry->registry.rehearsal ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "key-registry",
              LOG_NUMBER("sequence", registry->registry.sequence), LOG_TEXT("made", made),
              LOG_NUMBER("keys", registry->registry.n), LOG_TEXT("sha256", hash),
              LOG_TEXT("of", registry->registry.rehearsal ? "a rehearsal" : "production"));
    log_compromised(registry);
}

/* --- Audit --- */

static enum tbs_err audit_registry(struct audit *audit, const struct registry *r,
                                   struct tbs_diag *diag)
{
    char hash[2 * SIGNED_HASH_LEN + 1], made[REGISTRY_TIME_MAX];

    hash_text(r, hash);
    registry_time_put(r->made, made);
    return audit_write(audit, "key-registry",
                       json_pack("{s:I,s:s,s:s,s:b}", "registry", (json_int_t)r->sequence, "sha256",
                                 hash, "made", made, "rehearsal", r->rehearsal),
                       diag);
}

static enum tbs_err audit_key(struct audit *audit, const struct key_registry *registry,
                              const struct registry_key *key, struct tbs_diag *diag)
{
    const struct registry_key *before =
        registry->before.sequence > 0 ? registry_find(&registry->before, tbs_bytes_str(key->id))
                                      : NULL;
    char since[REGISTRY_TIME_MAX];

    if (before && before->state == key->state)
        return TBS_OK;
    registry_time_put(key->since, since);
    json_t *fields =
        json_pack("{s:s,s:s,s:s,s:I}", "key", key->id, "state", registry_state_name(key->state),
                  "since", since, "registry", (json_int_t)registry->registry.sequence);

    if (before)
        json_object_set_new(fields, "was", json_string(registry_state_name(before->state)));
    return audit_write(audit, "key-state", fields, diag);
}

enum tbs_err key_watch_audit(struct audit *audit, const struct key_registry *registry,
                             struct tbs_diag *diag)
{
    enum tbs_err err;

    if (!audit || !registry || registry->before.sequence == registry->registry.sequence)
        return TBS_OK;
    err = audit_registry(audit, &registry->registry, diag);
    for (size_t i = 0; i < registry->registry.n && !err; i++)
        err = audit_key(audit, registry, &registry->registry.keys[i], diag);
    return err;
}

/* --- Metrics --- */

static void head(const char *metric, const char *help, struct tbs_buf *text)
{
    metrics_printf(text, "# HELP %s %s\n# TYPE %s gauge\n", metric, help, metric);
}

static void states(const struct custody_fact *fact, struct tbs_buf *text)
{
    for (int s = CUSTODY_KEY_PRE_ACTIVE; s <= CUSTODY_KEY_DESTROYED; s++)
        metrics_printf(text, "tbs_key_state{key=\"%s\",state=\"%s\"} %d\n", fact->id,
                       custody_key_state_name((enum custody_key_state)s), (int)fact->state == s);
}

static void until(const char *metric, const struct custody_fact *fact, time_t end,
                  struct tbs_buf *text)
{
    metrics_printf(text, "%s{key=\"%s\"} %lld\n", metric, fact->id, (long long)(end - time(NULL)));
}

static void refusals(struct custody *custody, struct tbs_buf *text)
{
    size_t n;
    const struct custody_key *keys = custody_keys(custody, &n);
    struct custody_standing s;

    for (size_t i = 0; i < n; i++)
        if (custody_standing(custody, keys[i].id, &s))
            metrics_printf(text, "tbs_key_refused{key=\"%s\"} %d\n", keys[i].id,
                           s.refused.code != 0);
}

void key_watch_metrics(const struct key_registry *registry, struct custody *custody,
                       struct tbs_buf *text)
{
    if (!registry)
        return;
    head("tbs_key_registry_sequence", "The number of the key registry in use.", text);
    metrics_printf(text, "tbs_key_registry_sequence %llu\n",
                   (unsigned long long)registry->registry.sequence);
    head("tbs_key_state", "1 for the state that the key registry gives the key.", text);
    for (size_t i = 0; i < registry->rules.n; i++)
        states(&registry->facts[i], text);
    head("tbs_key_protect_seconds", "Time until the key protects nothing more.", text);
    for (size_t i = 0; i < registry->rules.n; i++)
        until("tbs_key_protect_seconds", &registry->facts[i], registry->facts[i].protect_until,
              text);
    head("tbs_key_process_seconds", "Time until the key opens nothing more.", text);
    for (size_t i = 0; i < registry->rules.n; i++)
        until("tbs_key_process_seconds", &registry->facts[i], registry->facts[i].process_until,
              text);
    head("tbs_key_refused", "1 for a key on a token that the key registry refuses.", text);
    refusals(custody, text);
}
