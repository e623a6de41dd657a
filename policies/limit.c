/* How often each subscriber asks. A table of fixed size: who would be one too many for his row
 * pushes out the one who asked least in it, and that one begins to count again. */
#include <pthread.h>
#include <stdlib.h>

#include "policies/internal.h"

#define ROWS 16384u /* a power of 2; the table has 1.5 MiB */
#define WAYS 4u

struct slot {
    uint64_t subscriber; /* a hash: two that share one share their limit */
    uint32_t minute;
    uint32_t asked[2]; /* resolves, requests */
};

struct limiter {
    pthread_mutex_t lock;
    struct slot slot[ROWS][WAYS];
};

enum tbs_err limiter_new(struct limiter **ret_limiter, struct tbs_diag *diag)
{
    struct limiter *l = calloc(1, sizeof *l);

    if (!l)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the policy");
    pthread_mutex_init(&l->lock, NULL);
    *ret_limiter = l;
    return TBS_OK;
}

void limiter_free(struct limiter *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* FNV-1a; the names are those of authenticated subscribers, which an administrator gave. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037u;

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    return hash;
}

static uint32_t asked_in(const struct slot *s, uint32_t minute)
{
    return s->minute == minute ? s->asked[0] + s->asked[1] : 0;
}

static struct slot *slot_of(struct limiter *l, uint64_t subscriber, uint32_t minute)
{
    struct slot *row = l->slot[(subscriber >> 32) & (ROWS - 1)], *least = &row[0];

    for (unsigned i = 0; i < WAYS; i++) {
        if (row[i].subscriber == subscriber && row[i].minute == minute)
            return &row[i];
        if (asked_in(&row[i], minute) < asked_in(least, minute))
            least = &row[i];
    }
    *least = (struct slot){.subscriber = subscriber, .minute = minute};
    return least;
}

enum tbs_err limiter_count(struct limiter *l, const char *subscriber, bool is_request,
                           uint32_t per_minute, uint64_t now, struct tbs_diag *diag)
{
    if (per_minute == 0)
        return TBS_OK;
    pthread_mutex_lock(&l->lock);
    uint32_t *asked =
        &slot_of(l, hash_of(subscriber), (uint32_t)(now >> 32) / 60)->asked[is_request];
    bool within = *asked < per_minute;

    *asked += within;
    pthread_mutex_unlock(&l->lock);
    if (within)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_DENIED,
                    "the subscriber has had its %u %s of this minute (limits of the policy)",
                    per_minute, is_request ? "requests" : "resolves");
}
