#include <pthread.h>
#include <stdlib.h>

#include "policies/internal.h"

struct policy_live {
    pthread_mutex_t lock;
    struct policy_rules *now;
    struct limiter *limiter; /* counts on when the rules are replaced */
};

enum tbs_err policy_live_new(struct policy_rules *rules, struct policy_live **ret_live,
                             struct tbs_diag *diag)
{
    struct policy_live *live = calloc(1, sizeof *live);
    enum tbs_err err = live ? limiter_new(&live->limiter, diag)
                            : tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the policy");

    if (err) {
        policy_rules_free(rules);
        free(live);
        return err;
    }
    pthread_mutex_init(&live->lock, NULL);
    live->now = rules;
    *ret_live = live;
    return TBS_OK;
}

static const void *hold(void *settings)
{
    struct policy_live *live = settings;

    pthread_mutex_lock(&live->lock);
    struct policy_rules *rules = live->now;

    rules->users++;
    pthread_mutex_unlock(&live->lock);
    return rules;
}

static void release(void *settings, const void *held)
{
    struct policy_live *live = settings;
    struct policy_rules *rules = (struct policy_rules *)held; /* ours, see hold */

    pthread_mutex_lock(&live->lock);
    bool last = --rules->users == 0 && rules != live->now;

    pthread_mutex_unlock(&live->lock);
    if (last)
        policy_rules_free(rules);
}

static enum tbs_err limit(void *settings, const void *held, const char *subscriber, bool is_request,
                          uint64_t now, struct tbs_diag *diag)
{
    const struct policy_live *live = settings;
    const struct policy_rules *rules = held;

    return limiter_count(live->limiter, subscriber, is_request,
                         is_request ? rules->requests_per_minute : rules->resolves_per_minute, now,
                         diag);
}

void policy_live_replace(struct policy_live *live, struct policy_rules *rules)
{
    pthread_mutex_lock(&live->lock);
    struct policy_rules *old = live->now;
    bool unused = old->users == 0;

    live->now = rules;
    pthread_mutex_unlock(&live->lock);
    if (unused)
        policy_rules_free(old);
}

void policy_live_free(struct policy_live *live)
{
    if (!live)
        return;
    policy_rules_free(live->now);
    limiter_free(live->limiter);
    pthread_mutex_destroy(&live->lock);
    free(live);
}

struct policy policy_of_live(struct policy_live *live)
{
    return (struct policy){.settings = live,
                           .hold = hold,
                           .release = release,
                           .limit = limit,
                           .decide_request = policy_decide_request,
                           .decide_resolve = policy_decide_resolve};
}
