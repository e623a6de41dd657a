/* The sessions, the login and the threads that the KMS needs. */
#include "selftest_checks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 16
#define ROUNDS 100

static CK_RV fail_once(const struct p11_token *token, CK_SESSION_HANDLE session,
                       CK_OBJECT_HANDLE key)
{
    CK_BYTE iv[CUSTODY_GCM_IV_LEN] = {0}, nothing[32] = {0}, out[sizeof nothing];
    CK_GCM_PARAMS params = {.iv_ptr = iv,
                            .iv_len = sizeof iv,
                            .iv_bits = 8 * sizeof iv,
                            .tag_bits = 8 * CUSTODY_GCM_TAG_LEN};
    CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
    CK_ULONG len = sizeof out;
    CK_RV rv = token->f->C_DecryptInit(session, &mechanism, key);
    return rv != CKR_OK ? rv : token->f->C_Decrypt(session, nothing, sizeof nothing, out, &len);
}

static void after_failure(struct checks *c, struct selftest_finding *f)
{
    struct p11_token *token = c->trial.token;
    struct tbs_diag diag = {0};
    CK_SESSION_HANDLE session;
    if (!c->has[CUSTODY_AES_256_GCM]) {
        selftest_says(f, SELFTEST_OK, NULL, "not tried: there is no AES key to fail with");
        return;
    }
    if (p11_open_handle(token, false, &session, &diag) != TBS_OK) {
        selftest_says(f, SELFTEST_UNFIT, check_other_token, "%s", diag.text);
        return;
    }
    CK_OBJECT_HANDLE key = c->key[CUSTODY_AES_256_GCM].handle;
    fail_once(token, session, key);
    bool active = fail_once(token, session, key) == CKR_OPERATION_ACTIVE;
    token->f->C_CloseSession(session);
    selftest_says(f, SELFTEST_OK, NULL,
                  active ? "a failed operation stays active; the KMS opens another session then"
                         : "a failed operation has ended, and its session goes on");
}

static void shared_login(struct checks *c, struct selftest_finding *f)
{
    struct tbs_diag diag = {0};
    CK_SESSION_HANDLE session;
    if (p11_open_handle(c->trial.token, false, &session, &diag) != TBS_OK) {
        selftest_says(f, SELFTEST_UNFIT, check_other_token, "%s", diag.text);
        return;
    }
    c->trial.token->f->C_CloseSession(session);
    selftest_says(f, SELFTEST_OK, NULL, "a new session is logged in, as the others are");
}

/* The trial has three of its own, and so has the KMS besides its workers. */
static void sessions(struct checks *c, struct selftest_finding *f)
{
    struct tbs_diag diag = {0};
    unsigned want = c->test->sessions, n = 0;
    CK_SESSION_HANDLE *handles = calloc(want, sizeof *handles);
    while (handles && n < want &&
           p11_open_handle(c->trial.token, false, &handles[n], &diag) == TBS_OK)
        n++;
    for (unsigned i = 0; i < n; i++)
        c->trial.token->f->C_CloseSession(handles[i]);
    free(handles);
    if (n == want)
        selftest_says(f, SELFTEST_OK, NULL,
                      "%u at a time, as many as server.workers has, and three", want);
    else
        selftest_says(f, n > 0 ? SELFTEST_REMARK : SELFTEST_UNFIT,
                      "make server.workers no more than that, or close other programs' sessions",
                      "only %u of the %u that server.workers has, and three: %s", n, want,
                      diag.text);
}

/* --- Threads --- */

struct worker {
    struct checks *c;
    const uint8_t *want;
    pthread_t thread;
    bool started, failed;
    struct tbs_diag diag;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    void *session;
    w->failed = p11_session_open(w->c->trial.token, &session, &w->diag) != TBS_OK;
    if (w->failed)
        return NULL;
    for (int i = 0; i < ROUNDS && !w->failed; i++) {
        uint8_t mac[CUSTODY_MAC_MAX];
        w->failed = p11_hmac(session, &w->c->key[CUSTODY_HMAC_SHA_256], tbs_bytes_str("data"), mac,
                             &w->diag) != TBS_OK ||
                    memcmp(mac, w->want, sizeof mac) != 0;
    }
    p11_session_close(session);
    return NULL;
}

static void threads(struct checks *c, struct selftest_finding *f)
{
    struct worker workers[THREADS_MAX] = {0};
    uint8_t want[CUSTODY_MAC_MAX];
    struct tbs_diag diag = {0};
    unsigned n = c->test->sessions < THREADS_MAX ? c->test->sessions : THREADS_MAX;
    if (!c->has[CUSTODY_HMAC_SHA_256] ||
        p11_hmac(c->service, &c->key[CUSTODY_HMAC_SHA_256], tbs_bytes_str("data"), want, &diag)) {
        selftest_says(f, SELFTEST_UNFIT, check_other_token, "there is no key to try it with");
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        workers[i].c = c;
        workers[i].want = want;
        workers[i].started = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
    }
    const struct worker *failed = NULL;
    for (unsigned i = 0; i < n; i++) {
        if (workers[i].started)
            pthread_join(workers[i].thread, NULL);
        if (!workers[i].started || workers[i].failed)
            failed = &workers[i];
    }
    if (failed)
        selftest_says(f, SELFTEST_UNFIT, "set server.workers to 1, or use another module",
                      "with %u threads: %s", n,
                      failed->diag.code ? failed->diag.text : "a MAC came out wrong");
    else
        selftest_says(f, SELFTEST_OK, NULL, "%u threads with a session each: %d MACs, all right", n,
                      (int)n * ROUNDS);
}

const struct check checks_sessions[] = {
    {"after a failure", after_failure},
    {"login of new sessions", shared_login},
    {"sessions", sessions},
    {"threads", threads},
    {0},
};
