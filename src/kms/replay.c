#include "kms/replay.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define ANSWERS 4096 /* latest answers kept; each is bounded by a MIKEY message */

struct entry {
    uint8_t sender_t[REPLAY_DIGEST], message[REPLAY_DIGEST];
    int64_t entered;
    uint32_t chain;  /* next entry of the bucket */
    uint32_t answer; /* index into answers, NONE without */
    bool live;       /* false: forgotten, its place is waiting for its turn */
};

struct answer {
    uint32_t owner; /* entry, NONE when free */
    struct tbs_buf octets;
};

/* Entries are a ring in the order of entering, so that the oldest is always known, with a
 * hash table over them. */
struct replay {
    pthread_mutex_t lock;
    unsigned lifetime;
    uint32_t size, head, used, next_answer, n_buckets;
    struct entry *entries;
    uint32_t *buckets;
    struct answer answers[ANSWERS];
};

enum tbs_err replay_new(size_t entries, unsigned lifetime, struct replay **ret_replay,
                        struct tbs_diag *diag)
{
    if (entries == 0 || entries > 1u << 24)
        return tbs_fail(diag, TBS_ERR_INVALID, "a replay cache has 1 to %u entries, not %zu",
                        1u << 24, entries);
    struct replay *r = calloc(1, sizeof *r);

    if (!r)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the replay cache");
    r->size = (uint32_t)entries;
    r->lifetime = lifetime;
    r->n_buckets = r->size;
    r->entries = calloc(r->size, sizeof *r->entries);
    r->buckets = malloc(r->n_buckets * sizeof *r->buckets);
    pthread_mutex_init(&r->lock, NULL);
    if (!r->entries || !r->buckets) {
        replay_free(r);
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for %zu replay cache entries", entries);
    }
    for (uint32_t i = 0; i < r->n_buckets; i++)
        r->buckets[i] = NONE;
    for (uint32_t i = 0; i < ANSWERS; i++)
        r->answers[i] = (struct answer){.owner = NONE, .octets = tbs_buf()};
    *ret_replay = r;
    return TBS_OK;
}

void replay_free(struct replay *replay)
{
    if (!replay)
        return;
    for (uint32_t i = 0; i < ANSWERS; i++)
        tbs_buf_free(&replay->answers[i].octets);
    pthread_mutex_destroy(&replay->lock);
    free(replay->entries);
    free(replay->buckets);
    free(replay);
}

/* The digest is SHA-256, whose octets nobody outside can choose freely. */
static uint32_t *bucket_locked(struct replay *r, const uint8_t sender_t[REPLAY_DIGEST])
{
    uint32_t hash;

    memcpy(&hash, sender_t, sizeof hash);
    return &r->buckets[hash % r->n_buckets];
}

static uint32_t find_locked(struct replay *r, const uint8_t sender_t[REPLAY_DIGEST])
{
    uint32_t i = *bucket_locked(r, sender_t);

    while (i != NONE && memcmp(r->entries[i].sender_t, sender_t, REPLAY_DIGEST) != 0)
        i = r->entries[i].chain;
    return i;
}

static void drop_answer_locked(struct replay *r, uint32_t entry)
{
    uint32_t a = r->entries[entry].answer;

    if (a == NONE)
        return;
    r->answers[a].owner = NONE;
    tbs_buf_free(&r->answers[a].octets);
    r->entries[entry].answer = NONE;
}

static void unlink_locked(struct replay *r, uint32_t entry)
{
    uint32_t *link = bucket_locked(r, r->entries[entry].sender_t);

    while (*link != entry)
        link = &r->entries[*link].chain;
    *link = r->entries[entry].chain;
    drop_answer_locked(r, entry);
    r->entries[entry].live = false;
}

static void expire_locked(struct replay *r, int64_t now)
{
    while (r->used > 0) {
        struct entry *e = &r->entries[r->head];

        if (e->live && now - e->entered < (int64_t)r->lifetime)
            return;
        if (e->live)
            unlink_locked(r, r->head);
        r->head = (r->head + 1) % r->size;
        r->used--;
    }
}

static enum replay_verdict add_locked(struct replay *r, const uint8_t sender_t[REPLAY_DIGEST],
                                      const uint8_t message[REPLAY_DIGEST], int64_t now)
{
    uint32_t i = (r->head + r->used) % r->size;
    uint32_t *bucket = bucket_locked(r, sender_t);

    if (r->used == r->size)
        return REPLAY_FULL;
    r->used++;
    r->entries[i] = (struct entry){.entered = now, .chain = *bucket, .answer = NONE, .live = true};
    memcpy(r->entries[i].sender_t, sender_t, REPLAY_DIGEST);
    memcpy(r->entries[i].message, message, REPLAY_DIGEST);
    *bucket = i;
    return REPLAY_NEW;
}

enum replay_verdict replay_enter(struct replay *replay, const uint8_t sender_t[REPLAY_DIGEST],
                                 const uint8_t message[REPLAY_DIGEST], int64_t now,
                                 struct tbs_buf *answer)
{
    enum replay_verdict verdict;

    pthread_mutex_lock(&replay->lock);
    expire_locked(replay, now);
    uint32_t i = find_locked(replay, sender_t);

    if (i == NONE) {
        verdict = add_locked(replay, sender_t, message, now);
    } else if (memcmp(replay->entries[i].message, message, REPLAY_DIGEST) != 0) {
        verdict = REPLAY_OTHER;
    } else if (replay->entries[i].answer == NONE) {
        verdict = REPLAY_IN_PROGRESS;
    } else {
        tbs_put_bytes(answer, tbs_buf_view(&replay->answers[replay->entries[i].answer].octets));
        verdict = REPLAY_ANSWERED;
    }
    pthread_mutex_unlock(&replay->lock);
    return verdict;
}

void replay_answer(struct replay *replay, const uint8_t sender_t[REPLAY_DIGEST],
                   struct tbs_bytes answer)
{
    pthread_mutex_lock(&replay->lock);
    uint32_t i = find_locked(replay, sender_t);

    if (i != NONE) {
        uint32_t a = replay->next_answer;
        struct answer *slot = &replay->answers[a];

        if (slot->owner != NONE)
            drop_answer_locked(replay, slot->owner);
        replay->next_answer = (a + 1) % ANSWERS;
        tbs_put_bytes(&slot->octets, answer);
        slot->owner = i;
        replay->entries[i].answer = a;
    }
    pthread_mutex_unlock(&replay->lock);
}

void replay_forget(struct replay *replay, const uint8_t sender_t[REPLAY_DIGEST])
{
    pthread_mutex_lock(&replay->lock);
    uint32_t i = find_locked(replay, sender_t);

    if (i != NONE)
        unlink_locked(replay, i);
    pthread_mutex_unlock(&replay->lock);
}
