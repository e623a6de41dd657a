/* Shared by the benchmark's own files: a KMS in process over the token and the store of a
 * tbs-kms configuration, a daemon beside it, and fresh messages for both. */
#ifndef TBS_BENCH_BENCH_H
#define TBS_BENCH_BENCH_H

#include <sys/types.h>

#include "kms/kms.h"
#include "recorder.h"
#include "server/config.h"

#define SUBSCRIBERS 100

struct subscriber {
    char uri[64], psk_id[64];
    uint8_t psk[32];
};

struct messages {
    struct tbs_buf *at;
    size_t n;
};

struct bench {
    const char *daemon_address; /* a daemon over the same configuration */
    pid_t daemon_pid;
    struct config *config;
    struct recorder *recorder;
    struct custody *custody;
    struct policy_live *policy;
    struct kms *kms;
    struct kms_worker worker; /* the main thread's */
    struct subscriber subscriber[SUBSCRIBERS];
    struct messages messages; /* that are sent next */
};

/* --- kms.c --- */

/* Opens all that the configuration names, custody through the recorder, and adds the
 * subscribers to the store. `bench` is zero but for the daemon. bench_close also after a
 * failure. */
enum tbs_err bench_open(struct bench *bench, const char *config_file, struct tbs_diag *diag);
void bench_close(struct bench *bench);
/* Answers one message; anything but a ticket or keys is a failure. */
enum tbs_err bench_answer(struct kms_worker *worker, struct tbs_bytes message,
                          struct tbs_buf *ret_answer, struct tbs_diag *diag);

/* --- messages.c --- */

/* What is asked. Suite 256 always. */
struct exchange {
    bool is_resolve, forking;
    unsigned keys; /* TGKs */
};

/* Replaces bench->messages by n new ones, each with its T and RAND, by all subscribers in
 * turn: tickets for the next subscriber, or what they got from the one before. */
enum tbs_err messages_make(struct bench *bench, const struct exchange *exchange, size_t n,
                           struct tbs_diag *diag);
void messages_free(struct messages *messages);

/* --- Ways to work on messages; a caller belongs to one thread. --- */

struct way {
    enum tbs_err (*open)(const struct bench *bench, void **ret_caller, struct tbs_diag *diag);
    void (*close)(void *caller);
    enum tbs_err (*answer)(void *caller, struct tbs_bytes message, struct tbs_diag *diag);
};

extern const struct way way_kms;   /* kms.c: kms_handle, with a token session and a store handle */
extern const struct way way_http;  /* http.c: a keep-alive connection to the daemon */
extern const struct way way_token; /* token.c: not the message, but the recorded operations */

/* --- token.c --- */

/* Lets the KMS answer one message, and keeps what it asks of the token. */
enum tbs_err token_record(struct bench *bench, struct tbs_bytes message, struct tbs_diag *diag);

#endif
