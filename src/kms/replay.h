/* The replay cache and the lookaside answers. Only authenticated messages come here.
 * RFC 3830 5.4; thread-safe. */
#ifndef TBS_KMS_REPLAY_H
#define TBS_KMS_REPLAY_H

#include "base/bytes.h"
#include "base/error.h"

#define REPLAY_DIGEST 32

struct replay;

/* Remembers up to `entries` messages for `lifetime` seconds each, and the answers to the
 * latest of them. */
enum tbs_err replay_new(size_t entries, unsigned lifetime, struct replay **ret_replay,
                        struct tbs_diag *diag);
void replay_free(struct replay *replay); /* NULL ok */

enum replay_verdict {
    REPLAY_NEW,         /* entered; go on, then replay_answer or replay_forget */
    REPLAY_ANSWERED,    /* the same message again, and its answer is here */
    REPLAY_IN_PROGRESS, /* the same message is being worked on, or its answer is gone */
    REPLAY_OTHER,       /* another message of this sender with this T */
    REPLAY_FULL,        /* no room: nothing that lives may be forgotten */
};

/* sender_t identifies sender and T, message the octets; both are SHA-256. now: seconds that
 * never go back. Appends to `answer` when REPLAY_ANSWERED. */
enum replay_verdict replay_enter(struct replay *replay, const uint8_t sender_t[REPLAY_DIGEST],
                                 const uint8_t message[REPLAY_DIGEST], int64_t now,
                                 struct tbs_buf *answer);
void replay_answer(struct replay *replay, const uint8_t sender_t[REPLAY_DIGEST],
                   struct tbs_bytes answer);
/* After a passing failure: the sender may send the same message again. */
void replay_forget(struct replay *replay, const uint8_t sender_t[REPLAY_DIGEST]);

#endif
