#include "bench.h"

#include <dlfcn.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "kms/psk.h"
#include "policies/rules.h"
#include "tools/common/tokens.h"

#define REPLAY_ENTRIES (1u << 20) /* as the daemon */

/* --- Worker threads --- */

static enum tbs_err open_worker(const struct bench *bench, struct kms_worker *ret_worker,
                                struct tbs_diag *diag)
{
    *ret_worker = (struct kms_worker){.kms = bench->kms, .custody = bench->custody};
    enum tbs_err err = custody_session_open(bench->custody, &ret_worker->session, diag);

    return err ? err
               : store_open(bench->config->store.path, STORE_READ_ONLY, &ret_worker->store, diag);
}

static void close_worker(struct kms_worker *worker)
{
    store_close(worker->store);
    custody_session_close(worker->session);
}

static void close_caller(void *caller)
{
    close_worker(caller);
    free(caller);
}

static enum tbs_err open_caller(const struct bench *bench, void **ret_caller, struct tbs_diag *diag)
{
    struct kms_worker *worker = calloc(1, sizeof *worker);

    if (!worker)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for a worker");
    enum tbs_err err = open_worker(bench, worker, diag);

    if (err)
        close_caller(worker);
    else
        *ret_caller = worker;
    return err;
}

enum tbs_err bench_answer(struct kms_worker *worker, struct tbs_bytes message,
                          struct tbs_buf *ret_answer, struct tbs_diag *diag)
{
    struct kms_response r;

    kms_handle(worker, message, &r);
    if (r.outcome == KMS_REQUEST_OK || r.outcome == KMS_RESOLVE_OK) {
        *ret_answer = r.body;
        return TBS_OK;
    }
    tbs_buf_free(&r.body);
    return tbs_fail(diag, TBS_ERR_INVALID, "the KMS answers %s: %.200s",
                    kms_outcome_name(r.outcome), r.detail);
}

static enum tbs_err answer(void *caller, struct tbs_bytes message, struct tbs_diag *diag)
{
    struct tbs_buf octets TBS_BUF_AUTO = tbs_buf();

    return bench_answer(caller, message, &octets, diag);
}

const struct way way_kms = {open_caller, close_caller, answer};

/* --- Subscribers --- */

static enum tbs_err add_subscriber(struct bench *b, struct store *store, struct subscriber *s,
                                   struct tbs_diag *diag)
{
    struct tbs_buf wrapped TBS_BUF_AUTO = tbs_buf();
    struct tbs_bytes uri = tbs_bytes_str(s->uri);
    char owner[KMS_PSK_OWNER_MAX];
    int64_t id;
    enum tbs_err err =
        custody_wrap_secret(b->worker.session, kms_psk_owner(s->uri, s->psk_id, owner),
                            tbs_bytes(s->psk, sizeof s->psk), &wrapped, diag);

    if (!err)
        err = store_subscriber_add(store, &uri, 1, 0, &id, diag);
    if (!err)
        err = store_credential_add(store, uri, tbs_bytes_str(s->psk_id), tbs_buf_view(&wrapped), 0,
                                   diag);
    return err;
}

static enum tbs_err add_subscribers(struct bench *b, struct tbs_diag *diag)
{
    struct store *store;
    enum tbs_err err = store_open(b->config->store.path, STORE_READ_WRITE, &store, diag);

    if (err)
        return err;
    for (int i = 0; !err && i < SUBSCRIBERS; i++) {
        struct subscriber *s = &b->subscriber[i];

        snprintf(s->uri, sizeof s->uri, "sip:bench-%d@example.net", i);
        snprintf(s->psk_id, sizeof s->psk_id, "bench-%d-1", i);
        if (RAND_bytes(s->psk, sizeof s->psk) != 1)
            err = tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL has no random octets");
        else
            err = add_subscriber(b, store, s, diag);
    }
    store_close(store);
    return err;
}

/* --- The KMS --- */

static enum tbs_err open_recorder(struct bench *b, struct tbs_diag *diag)
{
    void *module = dlopen(RECORDER_MODULE, RTLD_NOW | RTLD_LOCAL);

    b->recorder = module ? dlsym(module, "recorder") : NULL;
    if (!b->recorder)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "cannot load %s: build it first", RECORDER_MODULE);
    b->recorder->module = b->config->custody.token.module;
    return TBS_OK;
}

static enum tbs_err open_custody(struct bench *b, struct tbs_diag *diag)
{
    struct tokens tokens;

    tokens_of(&b->config->custody, &tokens);
    tokens.token[0].module = RECORDER_MODULE;
    return custody_open(&tokens.custody, &b->custody, diag);
}

static enum tbs_err new_kms(struct bench *b, struct tbs_diag *diag)
{
    struct kms_config config = {
        .identity = b->config->kms.identity,
        .time_window = b->config->kms.time_window,
        .suite_256 = true,
        .replay_entries = REPLAY_ENTRIES,
        .clock = tbs_clock_system(),
    };

    struct policy_rules *rules;
    enum tbs_err err = policy_rules_default(b->config->kms.max_validity, &rules, diag);

    if (!err)
        err = policy_live_new(rules, &b->policy, diag);
    if (err)
        return err;
    struct policy policy = policy_of_live(b->policy);

    err = kms_new(&config, &policy, &b->kms, diag);
    b->worker.kms = b->kms;
    return err;
}

enum tbs_err bench_open(struct bench *bench, const char *config_file, struct tbs_diag *diag)
{
    enum tbs_err err = config_load(config_file, &bench->config, diag);

    if (!err)
        err = open_recorder(bench, diag);
    if (!err)
        err = open_custody(bench, diag);
    if (!err)
        err = open_worker(bench, &bench->worker, diag);
    if (!err)
        err = add_subscribers(bench, diag);
    return err ? err : new_kms(bench, diag);
}

void bench_close(struct bench *bench)
{
    messages_free(&bench->messages);
    kms_free(bench->kms);
    policy_live_free(bench->policy);
    close_worker(&bench->worker);
    custody_close(bench->custody);
    config_free(bench->config);
}
