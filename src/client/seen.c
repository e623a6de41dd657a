/* What a Responder remembers of the TRANSFER_INITs it answered. RFC 6043 12.4. */
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "client/internal.h"

#define ENTRIES_MAX (1u << 20)
/* A T may be ahead by the window when it comes, and behind by the window when it comes again;
 * both in whole seconds. */
#define LIFETIME (2 * TBS_TIME_WINDOW + 2)

struct seen {
    uint8_t mac[MIKEY_MAC_MAX]; /* first, for compare */
    uint64_t entered;
    STAILQ_ENTRY(seen) later;
};

struct tbs_replay {
    size_t n, max;
    void *tree; /* by MAC */
    STAILQ_HEAD(, seen) order;
};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, MIKEY_MAC_MAX);
}

static void pad(uint8_t room[MIKEY_MAC_MAX], struct tbs_bytes mac)
{
    memset(room, 0, MIKEY_MAC_MAX);
    memcpy(room, mac.data, mac.len);
}

static void forget_oldest(struct tbs_replay *replay)
{
    struct seen *oldest = STAILQ_FIRST(&replay->order);

    tdelete(oldest, &replay->tree, compare);
    STAILQ_REMOVE_HEAD(&replay->order, later);
    free(oldest);
    replay->n--;
}

enum tbs_err tbs_replay_new(size_t entries, struct tbs_replay **ret_replay, struct tbs_diag *diag)
{
    if (entries == 0 || entries > ENTRIES_MAX)
        return tbs_fail(diag, TBS_ERR_INVALID, "a replay memory has 1 to %u entries, not %zu",
                        ENTRIES_MAX, entries);
    struct tbs_replay *replay = calloc(1, sizeof *replay);

    if (!replay)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    replay->max = entries;
    STAILQ_INIT(&replay->order);
    *ret_replay = replay;
    return TBS_OK;
}

void tbs_replay_free(struct tbs_replay *replay)
{
    while (replay && replay->n > 0)
        forget_oldest(replay);
    free(replay);
}

bool client_replay_has(const struct tbs_replay *replay, struct tbs_bytes mac)
{
    uint8_t key[MIKEY_MAC_MAX];

    pad(key, mac);
    return tfind(key, &replay->tree, compare) != NULL;
}

enum tbs_err client_replay_add(struct tbs_replay *replay, struct tbs_bytes mac, uint64_t now,
                               struct tbs_diag *diag)
{
    while (replay->n > 0 &&
           tbs_ntp_diff_seconds(now, STAILQ_FIRST(&replay->order)->entered) > LIFETIME)
        forget_oldest(replay);
    if (client_replay_has(replay, mac))
        return tbs_fail(diag, TBS_ERR_REPLAY, "this TRANSFER_INIT was answered before");
    if (replay->n == replay->max)
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                        "the replay memory is full with %zu offers of the last %d seconds",
                        replay->max, LIFETIME);
    struct seen *seen = calloc(1, sizeof *seen);

    if (!seen)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    pad(seen->mac, mac);
    seen->entered = now;
    if (!tsearch(seen, &replay->tree, compare)) {
        free(seen);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    }
    STAILQ_INSERT_TAIL(&replay->order, seen, later);
    replay->n++;
    return TBS_OK;
}
