#include "kms/kms.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kms/internal.h"

#define DECOY_LEN 32

const char *kms_outcome_name(enum kms_outcome outcome)
{
    static const char *const names[KMS_OUTCOMES] = {
        [KMS_REQUEST_OK] = "request-ok",
        [KMS_RESOLVE_OK] = "resolve-ok",
        [KMS_RETRANSMISSION] = "retransmission",
        [KMS_MALFORMED] = "malformed",
        [KMS_UNSUPPORTED] = "unsupported",
        [KMS_AUTHENTICATION] = "authentication",
        [KMS_TIME] = "time",
        [KMS_REPLAY] = "replay",
        [KMS_TICKET] = "ticket",
        [KMS_POLICY] = "policy",
        [KMS_DENIED] = "denied",
        [KMS_UNAVAILABLE] = "unavailable",
    };

    return names[outcome];
}

static enum tbs_err check_config(const struct kms_config *c, struct tbs_diag *diag)
{
    if (strlen(c->identity) == 0 || strlen(c->identity) > STORE_NAME_MAX)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the KMS identity has 1 to %d octets",
                        STORE_NAME_MAX);
    if (c->time_window < 1 || c->time_window > 3600)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the time window is 1 to 3600 s, not %u",
                        c->time_window);
    if (!c->suite_256 && !c->suite_128)
        return tbs_fail(diag, TBS_ERR_CONFIG, "no cipher suite is turned on");
    if (c->n_functions > KMS_FUNCTIONS_MAX)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%zu network functions; there are at most %d",
                        c->n_functions, KMS_FUNCTIONS_MAX);
    for (size_t i = 0; i < c->n_functions; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->functions[i].tpk, c->functions[j].tpk) == 0)
                return tbs_fail(diag, TBS_ERR_CONFIG,
                                "the TPK %.64s is shared with two network functions: each needs "
                                "one of its own",
                                c->functions[i].tpk);
    return TBS_OK;
}

static enum tbs_err check_tpk(const struct custody *custody, const char *suite,
                              enum custody_alg alg, struct tbs_diag *diag)
{
    /* One that may protect nothing now still opens the tickets of before. */
    if (custody_current_key(custody, CUSTODY_ROLE_TPK, alg) ||
        custody_why_none(custody, CUSTODY_ROLE_TPK, alg, NULL) == TBS_ERR_DENIED)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "suite %s is on, but no token holds a TPK for %s: let a ceremony "
                    "make one, or turn the suite off",
                    suite, custody_alg_name(alg));
}

enum tbs_err kms_check_keys(const struct kms *kms, const struct custody *custody,
                            struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    if (kms->config.suite_256)
        err = check_tpk(custody, "256", CUSTODY_HMAC_SHA_256, diag);
    if (!err && kms->config.suite_128)
        err = check_tpk(custody, "128", CUSTODY_HMAC_SHA_1, diag);
    return err;
}

static enum tbs_err make_decoy_locked(struct kms *kms, struct custody_session *session,
                                      struct tbs_diag *diag)
{
    struct tbs_secret secret TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_secret_alloc(DECOY_LEN, &secret, diag);

    if (!err)
        err = custody_random(session, secret.data, secret.len, diag);
    if (!err)
        err = custody_wrap_secret(session, tbs_bytes_str(kms->identity), tbs_secret_view(&secret),
                                  &kms->decoy, diag);
    return err;
}

/* Made when first needed, so that a KMS can start while its token is down. */
enum tbs_err kms_decoy(struct kms *kms, struct custody_session *session, struct tbs_buf *ret_blob,
                       struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    pthread_mutex_lock(&kms->decoy_lock);
    if (kms->decoy.len == 0)
        err = make_decoy_locked(kms, session, diag);
    tbs_put_bytes(ret_blob, tbs_buf_view(&kms->decoy));
    pthread_mutex_unlock(&kms->decoy_lock);
    return !err && ret_blob->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory") : err;
}

void kms_forget_decoy(struct kms *kms)
{
    pthread_mutex_lock(&kms->decoy_lock);
    tbs_buf_reset(&kms->decoy);
    pthread_mutex_unlock(&kms->decoy_lock);
}

enum tbs_err kms_new(const struct kms_config *config, const struct policy *policy,
                     struct kms **ret_kms, struct tbs_diag *diag)
{
    enum tbs_err err = check_config(config, diag);

    if (err)
        return err;
    struct kms *kms = calloc(1, sizeof *kms);

    if (!kms)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the KMS");
    kms->config = *config;
    kms->policy = *policy;
    kms->decoy = tbs_buf();
    pthread_mutex_init(&kms->decoy_lock, NULL);
    kms->last_t = tbs_ntp_now(config->clock); /* so that differences are small from the start */
    snprintf(kms->identity, sizeof kms->identity, "%s", config->identity);
    /* A T is accepted in 2 * window + 1 seconds of the clock. Another clock, that of the cache,
     * may see one more begin in that time (RFC 3830 5.4). */
    err = replay_new(config->replay_entries, 2 * config->time_window + 2, &kms->replay, diag);
    if (err)
        kms_free(kms);
    else
        *ret_kms = kms;
    return err;
}

void kms_free(struct kms *kms)
{
    if (!kms)
        return;
    replay_free(kms->replay);
    tbs_buf_free(&kms->decoy);
    pthread_mutex_destroy(&kms->decoy_lock);
    free(kms);
}

static bool digest(struct tbs_bytes a, struct tbs_bytes b, uint8_t ret_digest[REPLAY_DIGEST])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) &&
              EVP_DigestUpdate(ctx, a.data, a.len) && EVP_DigestUpdate(ctx, b.data, b.len) &&
              EVP_DigestFinal_ex(ctx, ret_digest, NULL);

    EVP_MD_CTX_free(ctx);
    return ok;
}

static int64_t seconds_up(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec;
}

/* T before the PSK id: T has a fixed length, so no two pairs look the same. */
static bool enter_cache(struct kms_exchange *x, uint8_t sender_t[REPLAY_DIGEST],
                        struct tbs_buf *answer, struct kms_failure *f)
{
    uint64_t t = mikey_ts64(mikey_find(&x->m.payloads, MIKEY_T, 0));
    uint8_t message[REPLAY_DIGEST];

    if (!digest(tbs_bytes(&t, sizeof t), tbs_bytes_str(x->credential.psk_id), sender_t) ||
        !digest(x->m.raw, tbs_bytes(NULL, 0), message)) {
        tbs_fail(&f->diag, TBS_ERR_CRYPTO, "OpenSSL failed to compute a digest");
        return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    }
    switch (replay_enter(x->worker->kms->replay, sender_t, message, seconds_up(), answer)) {
    case REPLAY_NEW:
        return true;
    case REPLAY_ANSWERED:
        tbs_fail(&f->diag, TBS_ERR_REPLAY, "the same message again: same answer");
        return kms_fails(f, KMS_RETRANSMISSION, MIKEY_E_UNSPECIFIED);
    case REPLAY_OTHER:
        tbs_fail(&f->diag, TBS_ERR_REPLAY, "another message with this T was seen from %s",
                 x->credential.psk_id);
        return kms_fails(f, KMS_REPLAY, MIKEY_E_INVALID_TS);
    case REPLAY_IN_PROGRESS:
        tbs_fail(&f->diag, TBS_ERR_UNAVAILABLE,
                 "the same message is in work, or its answer is no longer kept");
        break;
    case REPLAY_FULL:
        tbs_fail(&f->diag, TBS_ERR_UNAVAILABLE, "the replay cache is full");
        break;
    }
    return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
}

static bool work(struct kms_exchange *x, struct tbs_buf *body, struct kms_failure *f)
{
    const struct policy *policy = &x->worker->kms->policy;

    if (policy->limit(policy->settings, x->rules, x->credential.primary, x->is_request, x->now,
                      &f->diag))
        return kms_fails(f, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    return x->is_request ? kms_ticket_request(x, body, f) : kms_ticket_resolve(x, body, f);
}

static bool record(struct kms_exchange *x, enum kms_outcome outcome, struct kms_failure *f)
{
    const struct kms_audit *audit = &x->worker->audit;
    struct kms_decision *d = &x->decision;
    char reason[sizeof f->diag.text];
    bool granted = outcome == KMS_REQUEST_OK || outcome == KMS_RESOLVE_OK;

    if (!audit->record)
        return true;
    snprintf(reason, sizeof reason, "%s", granted ? "" : f->diag.text);
    d->is_request = x->is_request;
    d->outcome = outcome;
    d->reason = reason;
    d->subscriber = x->credential.primary;
    d->psk_id = x->credential.psk_id;
    d->identity = x->identity.data;
    if (audit->record(audit->ctx, d, &f->diag) == TBS_OK)
        return true;
    return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
}

/* One set of rules from the decision to its line in the audit trail. */
static enum kms_outcome work_on(struct kms_exchange *x, struct tbs_buf *body, struct kms_failure *f)
{
    const struct policy *policy = &x->worker->kms->policy;
    enum kms_outcome outcome = x->is_request ? KMS_REQUEST_OK : KMS_RESOLVE_OK;

    x->rules = policy->hold(policy->settings);
    if (!work(x, body, f)) {
        tbs_buf_reset(body);
        outcome = f->outcome;
    }
    if (outcome != KMS_UNAVAILABLE && !record(x, outcome, f))
        outcome = KMS_UNAVAILABLE;
    policy->release(policy->settings, x->rules);
    x->rules = NULL;
    x->decision = (struct kms_decision){0}; /* it has views into the rules */
    return outcome;
}

/* An authenticated message: from the cache, or worked on once. */
static enum kms_outcome handle_authentic(struct kms_exchange *x, struct tbs_buf *body,
                                         struct kms_failure *f)
{
    uint8_t sender_t[REPLAY_DIGEST];
    struct replay *replay = x->worker->kms->replay;

    if (!enter_cache(x, sender_t, body, f)) {
        if (f->outcome == KMS_REPLAY)
            kms_error_message(x, f->error_no, body);
        return f->outcome;
    }
    enum kms_outcome outcome = work_on(x, body, f);

    if (outcome == KMS_UNAVAILABLE) {
        tbs_buf_reset(body);
        replay_forget(replay, sender_t);
        return outcome;
    }
    if (outcome != KMS_REQUEST_OK && outcome != KMS_RESOLVE_OK)
        kms_error_message(x, f->error_no, body);
    replay_answer(replay, sender_t, tbs_buf_view(body));
    return outcome;
}

/* After a success the diag may hold what was looked up in vain on the way. */
static void describe(const struct kms_exchange *x, const struct kms_failure *f,
                     struct kms_response *r)
{
    if (r->outcome == KMS_REQUEST_OK || r->outcome == KMS_RESOLVE_OK)
        snprintf(r->detail, sizeof r->detail, "%s for %s",
                 r->outcome == KMS_REQUEST_OK ? "ticket" : "keys", x->credential.primary);
    else
        snprintf(r->detail, sizeof r->detail, "%.*s", (int)sizeof r->detail - 1, f->diag.text);
}

void kms_handle(struct kms_worker *worker, struct tbs_bytes message,
                struct kms_response *ret_response)
{
    struct kms_exchange x = {.worker = worker, .core = tbs_buf()};
    struct kms_failure f = {0};
    struct kms_response *r = ret_response;

    *r = (struct kms_response){.outcome = KMS_MALFORMED, .body = tbs_buf()};
    if (mikey_decode(message, &x.m, &f.diag)) {
        /* With a HDR, and only then, there is something to answer to; not to an Error
         * (RFC 6043 5.4). */
        if (x.m.hdr.version == MIKEY_VERSION && x.m.hdr.data_type != MIKEY_ERROR)
            kms_error_message(&x, MIKEY_E_UNSPECIFIED, &r->body);
    } else if (!kms_authenticate(&x, &f)) {
        r->outcome = f.outcome;
        if (f.outcome != KMS_UNAVAILABLE && x.m.hdr.data_type != MIKEY_ERROR)
            kms_error_message(&x, f.error_no, &r->body);
    } else {
        r->outcome = handle_authentic(&x, &r->body, &f);
    }
    describe(&x, &f, r);
    tbs_buf_free(&x.core);
    tbs_secret_free(&x.psk);
    mikey_keys_free(&x.init_keys);
}
