/* Shared by the trail's own files. */
#ifndef TBS_AUDIT_INTERNAL_H
#define TBS_AUDIT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "audit/audit.h"
#include "audit/file.h"

struct token_seen {
    enum custody_state state;
    unsigned openings;
};

struct audit {
    struct audit_config config;

    pthread_mutex_t lock; /* for all up to the next blank line */
    pthread_cond_t wake;
    struct audit_file file;
    struct audit_stats stats;
    uint64_t signed_seq; /* the last line that is a checkpoint or is covered by one */
    uint64_t lost;       /* lines that could not be written since the last that could */
    struct tbs_diag why;
    bool stopping;

    pthread_mutex_t sync_lock;
    uint64_t synced_seq; /* under sync_lock */

    /* The thread's. */
    pthread_t thread;
    bool started;
    struct custody_session *session;
    struct token_seen seen[CUSTODY_TOKENS_MAX];
    bool seen_once;
    uint64_t signed_ns; /* when the last checkpoint was made or tried */
    bool pausing;       /* it failed: the token is left alone for a second */
};

/* Whether enough lines wait for a checkpoint to make one now. Under the lock. */
bool audit_wants_checkpoint(const struct audit *audit);
/* On the disk up to here, at least. */
enum tbs_err audit_sync_to(struct audit *audit, uint64_t seq, struct tbs_diag *diag);

/* --- watch.c: the thread --- */

enum tbs_err audit_start(struct audit *audit, struct tbs_diag *diag);
void audit_stop(struct audit *audit);

#endif
