/* tbs-kmsd: the KMS behind HTTP. Puts the rooms together: configuration, custody, store,
 * policy, KMS, server. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "custody/custody.h"
#include "kms/kms.h"
#include "server/config.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/server.h"
#include "store/store.h"
#include "tools/audit_trail.h"
#include "tools/common/functions.h"
#include "tools/common/key_registry.h"
#include "tools/common/tokens.h"
#include "tools/key_watch.h"
#include "tools/kmsd_policy.h"
#include "tools/token_metrics.h"

#define SECURE_HEAP (4u << 20)    /* octets of locked memory for keys in use */
#define REPLAY_ENTRIES (1u << 20) /* 1700 requests/s for the default time window */
#define DEFAULT_CONFIG "/etc/tbs-kms/tbs-kmsd.yaml"

enum exit_code { EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG };

const char *argp_program_version = "tbs-kmsd " TBS_VERSION;

struct kmsd {
    const char *config_file;
    struct config *config;
    struct policy_live *policy;
    struct custody *custody;
    struct functions functions;
    struct kms *kms;
    struct audit *audit;           /* NULL: none */
    struct key_registry *registry; /* NULL: none */
    struct key_watch *key_watch;
    _Atomic uint64_t token_calls;
};

struct worker {
    struct kmsd *kmsd;
    struct kms_worker kms;
    uint64_t counted_calls;
};

static void worker_close(void *ctx)
{
    struct worker *w = ctx;

    store_close(w->kms.store);
    custody_session_close(w->kms.session);
    free(w);
}

static enum tbs_err worker_open(void *ctx, unsigned index, void **ret_worker, struct tbs_diag *diag)
{
    struct kmsd *d = ctx;
    struct worker *w = calloc(1, sizeof *w);
    enum tbs_err err;

    if (!w)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for worker %u", index);
    w->kmsd = d;
    w->kms = (struct kms_worker){
        .kms = d->kms, .custody = d->custody, .audit = audit_trail_of_kms(d->audit)};
    err = custody_session_open(d->custody, &w->kms.session, diag);
    if (!err)
        err = store_open(d->config->store.path, STORE_READ_ONLY, &w->kms.store, diag);
    if (err)
        worker_close(w);
    else
        *ret_worker = w;
    return err;
}

/* The HTTP status mirrors the MIKEY answer: 400 malformed or unsupported, 403 authentication
 * or authorisation, 409 time or replay, 503 try later. */
static int http_status(const struct kms_response *r)
{
    switch (r->outcome) {
    case KMS_REQUEST_OK:
    case KMS_RESOLVE_OK:
    case KMS_RETRANSMISSION:
        return 200;
    case KMS_AUTHENTICATION:
    case KMS_DENIED:
    case KMS_TICKET:
    case KMS_POLICY:
        return 403;
    case KMS_TIME:
    case KMS_REPLAY:
        return 409;
    case KMS_UNAVAILABLE:
        return 503;
    default:
        return 400;
    }
}

/* Only an authentic message leads to these, and none does twice. */
static bool is_fresh(enum kms_outcome outcome)
{
    return outcome == KMS_REQUEST_OK || outcome == KMS_RESOLVE_OK || outcome == KMS_TICKET ||
           outcome == KMS_POLICY || outcome == KMS_DENIED;
}

static void handle(void *ctx, const struct server_request *request, struct server_reply *reply)
{
    struct worker *w = ctx;
    struct kms_response r;

    custody_session_deadline(w->kms.session, request->deadline_ns);
    kms_handle(&w->kms, request->body, &r);
    reply->status = http_status(&r);
    reply->outcome = kms_outcome_name(r.outcome);
    reply->retry_after = reply->status == 503;
    reply->fresh = is_fresh(r.outcome);
    snprintf(reply->detail, sizeof reply->detail, "%.*s", (int)sizeof reply->detail - 1, r.detail);
    tbs_put_bytes(&reply->body, tbs_buf_view(&r.body));
    tbs_buf_free(&r.body);

    uint64_t calls = custody_token_calls(w->kms.session);

    w->kmsd->token_calls += calls - w->counted_calls;
    w->counted_calls = calls;
}

/* From what the tokens' watchers saw last. A key that nothing needs does not matter: what the KMS
 * needs is looked for. */
static enum tbs_err ready(void *ctx, struct tbs_diag *diag)
{
    struct kmsd *d = ctx;
    struct custody_health health;

    custody_known_health(d->custody, &health);
    if (health.state == CUSTODY_DOWN || health.state == CUSTODY_LOCKED)
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE, "token %s: %s", custody_state_name(health.state),
                        health.why.text);
    enum tbs_err err = d->audit ? audit_health(d->audit, diag) : TBS_OK;

    return err ? err : kms_check_keys(d->kms, d->custody, diag);
}

static void metrics(void *ctx, struct tbs_buf *text)
{
    struct kmsd *d = ctx;

    metrics_printf(text,
                   "# HELP tbs_token_calls_total Cryptographic operations in the token.\n"
                   "# TYPE tbs_token_calls_total counter\n"
                   "tbs_token_calls_total %llu\n",
                   (unsigned long long)d->token_calls);
    token_metrics(d->custody, text);
    key_watch_metrics(d->registry, d->custody, text);
    audit_trail_metrics(d->audit, text);
}

static void tick(void *ctx)
{
    struct kmsd *d = ctx;

    key_watch_look(d->key_watch, d->registry, d->custody);
}

/* Remembered before it is used: an earlier one cannot come back. */
static enum tbs_err take_registry(struct kmsd *d, struct key_registry *fresh, struct tbs_diag *diag)
{
    enum tbs_err err = key_registry_remember(fresh, diag);

    if (!err)
        err = custody_set_rules(d->custody, &fresh->rules, diag);
    if (err) {
        key_registry_free(fresh);
        return err;
    }
    key_registry_free(d->registry);
    d->registry = fresh;
    key_watch_log_registry(fresh);
    return key_watch_audit(d->audit, fresh, diag);
}

/* What is wrong with a registry leaves the one before in use. */
static enum tbs_err reload_registry(struct kmsd *d, struct tbs_diag *diag)
{
    struct key_registry *fresh = NULL;
    struct tbs_diag why = {0};
    enum tbs_err err = key_registry_open(d->config, &fresh, &why);

    if (!err && fresh && fresh->before.sequence != fresh->registry.sequence)
        return take_registry(d, fresh, diag);
    key_registry_free(fresh);
    if (!err)
        return TBS_OK;
    if (d->audit)
        audit_write(d->audit, "key-registry-refused", json_pack("{s:s}", "reason", why.text), NULL);
    return tbs_fail(diag, err, "%s", why.text);
}

/* Applies what can change while requests run; the rest needs a restart, and the log says so. */
static enum tbs_err reload(void *ctx, struct tbs_diag *diag)
{
    struct kmsd *d = ctx;
    struct config *fresh = NULL;
    enum tbs_err err = config_load(d->config_file, &fresh, diag);

    if (!err)
        err = reload_registry(d, diag);
    if (err) {
        config_free(fresh);
        return err;
    }
    err = kmsd_policy_reload(d->policy, &fresh->kms, d->audit, diag);
    if (!err) {
        log_set_level(fresh->log.level);
        custody_look_again(d->custody);
        log_write(LOG_LEVEL_INFO, "reloaded", LOG_TEXT("file", d->config_file),
                  LOG_TEXT("applied", "log.level kms.max_validity kms.policy, the key registry"),
                  LOG_TEXT("needs_restart", "all other keys"));
        tick(d);
    }
    config_free(fresh);
    return err;
}

static bool has_suite(const struct config_kms *c, unsigned suite)
{
    for (unsigned i = 0; i < c->suites_count; i++)
        if (c->suites[i] == suite)
            return true;
    return false;
}

/* What the judgement of a token's keys leaves open, and why. */
static void log_quirks(struct custody *custody, size_t token)
{
    struct custody_quirk quirks[CUSTODY_QUIRKS_MAX];
    size_t n = custody_quirks(custody, token, quirks);

    for (size_t i = 0; i < n; i++)
        log_write(LOG_LEVEL_INFO,
                  quirks[i].can_show && !quirks[i].needed ? "quirk-not-needed" : "quirk",
                  LOG_TEXT("quirk", quirks[i].name), LOG_TEXT("effect", quirks[i].effect));
}

static void log_unverified(struct custody *custody)
{
    size_t n;
    const struct custody_key *keys = custody_keys(custody, &n);

    for (size_t i = 0; i < n; i++)
        if (keys[i].unverified[0])
            log_write(LOG_LEVEL_WARN, "key-not-verified", LOG_TEXT("key", keys[i].id),
                      LOG_TEXT("attributes", keys[i].unverified));
}

static enum tbs_err open_custody(struct kmsd *d, struct tbs_diag *diag)
{
    struct tokens tokens;

    tokens_of(&d->config->custody, &tokens);
    tokens.custody.start_down = true;
    tokens.custody.rules = d->registry ? &d->registry->rules : NULL;
    enum tbs_err err = custody_open(&tokens.custody, &d->custody, diag);

    if (!err)
        err = functions_share(&d->config->kms, d->custody, diag);
    if (!err)
        err = key_registry_check_tokens(d->custody, diag);
    if (err)
        return err;
    key_watch_log_registry(d->registry);
    for (size_t i = 0; i < custody_token_count(d->custody); i++)
        log_quirks(d->custody, i);
    log_unverified(d->custody);
    return TBS_OK;
}

static enum tbs_err open_kms(struct kmsd *d, struct tbs_diag *diag)
{
    const struct config_kms *c = &d->config->kms;
    struct kms_config config = {
        .identity = c->identity,
        .time_window = c->time_window,
        .suite_256 = has_suite(c, 256),
        .suite_128 = has_suite(c, 128),
        .replay_entries = REPLAY_ENTRIES,
        .clock = tbs_clock_system(),
        .functions = d->functions.list,
    };
    enum tbs_err err = functions_of(c, &d->functions, diag);

    if (err)
        return err;
    config.n_functions = d->functions.n;
    struct policy policy = policy_of_live(d->policy);
    err = kms_new(&config, &policy, &d->kms, diag);
    struct custody_health health;

    custody_known_health(d->custody, &health);
    if (!err && health.state != CUSTODY_DOWN)
        err = kms_check_keys(d->kms, d->custody, diag);
    return err;
}

static enum tbs_err read_config(struct kmsd *d, struct tbs_diag *diag)
{
    struct tokens tokens;
    enum tbs_err err = config_load(d->config_file, &d->config, diag);

    if (err)
        return err;
    tokens_of(&d->config->custody, &tokens);
    for (size_t i = 0; !err && i < tokens.custody.n_tokens; i++)
        err = custody_check(&tokens.token[i], diag);
    if (!err)
        err = key_registry_open(d->config, &d->registry, diag);
    return err ? err : kmsd_policy_open(&d->config->kms, &d->policy, diag);
}

static enum tbs_err open_audit(struct kmsd *d, struct tbs_diag *diag)
{
    enum tbs_err err = audit_trail_open(&d->config->audit, d->custody, &d->audit, diag);

    if (err || !d->audit)
        return err;
    return audit_write(d->audit, "started",
                       json_pack("{s:s,s:s,s:o}", "version", TBS_VERSION, "kms",
                                 d->config->kms.identity, "keys", audit_trail_keys(d->custody)),
                       diag);
}

/* What the start takes into use. */
static enum tbs_err use_registry(struct kmsd *d, struct tbs_diag *diag)
{
    enum tbs_err err = d->registry ? key_registry_remember(d->registry, diag) : TBS_OK;

    return err ? err : key_watch_audit(d->audit, d->registry, diag);
}

/* Brings an older schema up to date before the workers open the store for reading. What this
 * program is too old for stays so however often it is started: a person has to act. */
static enum tbs_err prepare_store(const struct kmsd *d, struct tbs_diag *diag)
{
    struct store *store;
    struct tbs_diag why = {0};
    enum tbs_err err = store_open(d->config->store.path, STORE_READ_WRITE, &store, &why);

    if (!err)
        store_close(store);
    else
        err = tbs_fail_raw(diag, err == TBS_ERR_UNSUPPORTED ? TBS_ERR_CONFIG : err, why.raw, "%s",
                           why.text);
    return err;
}

static enum tbs_err serve(struct kmsd *d, struct tbs_diag *diag)
{
    struct server_handler handler = {
        .ctx = d,
        .worker_open = worker_open,
        .worker_close = worker_close,
        .handle = handle,
        .ready = ready,
        .reload = reload,
        .metrics = metrics,
        .tick = tick,
    };
    enum tbs_err err = prepare_store(d, diag);

    if (!err)
        err = key_watch_new(&d->key_watch, diag);
    if (!err)
        err = open_custody(d, diag);
    if (!err)
        err = open_kms(d, diag);
    if (!err)
        err = open_audit(d, diag);
    if (!err)
        err = use_registry(d, diag);
    if (!err)
        err = kmsd_policy_tell(d->policy, &d->config->kms, d->audit, diag);
    if (!err)
        err = server_run(&d->config->server, &handler, diag);
    if (!err && d->audit)
        err = audit_write(d->audit, "stopped", NULL, diag);
    return err;
}

/* False: the token hangs, and what uses it is left as it is. */
static bool kmsd_free(struct kmsd *d)
{
    audit_close(d->audit);
    kms_free(d->kms);
    key_registry_free(d->registry);
    key_watch_free(d->key_watch);
    policy_live_free(d->policy);
    config_free(d->config);
    return custody_close(d->custody);
}

struct options {
    const char *config_file;
    bool check;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'c':
        o->config_file = arg;
        return 0;
    case 't':
        o->check = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"config", 'c', "FILE", 0, "the configuration (default " DEFAULT_CONFIG ")", 0},
            {"check", 't', NULL, 0, "check the configuration and exit", 0},
            {0},
        },
    .parser = parse_option,
    .doc = "The key management service: answers MIKEY-TICKET over HTTP with every master key "
           "inside a PKCS#11 token.\v"
           "Example:\n  tbs-kmsd --config /etc/tbs-kms/tbs-kmsd.yaml\n\n"
           "SIGHUP reads the configuration again, SIGTERM stops after the requests in work.\n"
           "Exit status: 0 stopped as asked, 1 failed, 2 usage, 3 configuration.",
};

int main(int argc, char **argv)
{
    struct options options = {.config_file = DEFAULT_CONFIG};
    static struct kmsd d;
    struct tbs_diag diag = {0};

    server_prepare_signals();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write */
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    enum tbs_err err = tbs_secret_process_init(SECURE_HEAP, &diag);

    d.config_file = options.config_file;
    if (!err)
        err = read_config(&d, &diag);
    if (!err && options.check) {
        printf("%s is fine\n", d.config_file);
        key_registry_free(d.registry);
        policy_live_free(d.policy);
        config_free(d.config);
        return EXIT_OK;
    }
    if (!err) {
        log_set_level(d.config->log.level);
        err = serve(&d, &diag);
    }
    if (err)
        log_write(LOG_LEVEL_ERROR, "failed", LOG_TEXT("error", tbs_err_name(err)),
                  LOG_TEXT("detail", diag.text), LOG_NUMBER("raw", diag.raw));
    if (err == TBS_ERR_UNAVAILABLE && d.kms)
        _exit(EXIT_FAILED); /* a worker may still be inside the token: leave all as it is */
    if (!kmsd_free(&d))
        _exit(EXIT_FAILED);
    if (!err)
        return EXIT_OK;
    return err == TBS_ERR_CONFIG || err == TBS_ERR_NOT_FOUND ? EXIT_CONFIG : EXIT_FAILED;
}
