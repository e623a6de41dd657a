/* The bare token: the operations of a request straight on the module's functions. */
#include "bench.h"

#include <stdlib.h>
#include <unistd.h>

enum tbs_err token_record(struct bench *bench, struct tbs_bytes message, struct tbs_diag *diag)
{
    struct recorder *recorder = bench->recorder;
    struct tbs_buf octets TBS_BUF_AUTO = tbs_buf();
    uint64_t calls = custody_token_calls(bench->worker.session);

    recorder->n = 0;
    recorder->thread = gettid();
    enum tbs_err err = bench_answer(&bench->worker, message, &octets, diag);

    recorder->thread = 0;
    calls = custody_token_calls(bench->worker.session) - calls;
    if (!err && (recorder->overflow || recorder->n != calls))
        err = tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                       "custody counts %llu operations in the token, but the recorder kept %u, or "
                       "not all of one: teach it what it missed",
                       (unsigned long long)calls, recorder->n);
    return err;
}

struct token {
    const struct recorder *recorder;
    CK_SESSION_HANDLE session; /* beside custody's, whose login counts for it */
};

static enum tbs_err open_token(const struct bench *bench, void **ret_caller, struct tbs_diag *diag)
{
    const struct recorder *recorder = bench->recorder;
    struct token *token = malloc(sizeof *token);

    if (!token)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for a session");
    token->recorder = recorder;
    CK_RV rv = recorder->real->C_OpenSession(recorder->slot, CKF_SERIAL_SESSION, NULL, NULL,
                                             &token->session);

    if (rv != CKR_OK) {
        free(token);
        return tbs_fail_raw(diag, TBS_ERR_TOKEN, rv, "the token opens no session (0x%lx)", rv);
    }
    *ret_caller = token;
    return TBS_OK;
}

static void close_token(void *caller)
{
    struct token *token = caller;

    token->recorder->real->C_CloseSession(token->session);
    free(token);
}

static CK_RV repeat(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session,
                    const struct recorder_operation *o)
{
    uint8_t out[RECORDER_OCTETS];
    CK_ULONG len = sizeof out;
    CK_MECHANISM mechanism = {o->mechanism, NULL, 0};
    CK_RV rv;

    switch (o->kind) {
    case RECORDER_RANDOM:
        return f->C_GenerateRandom(session, out, o->len);
    case RECORDER_SIGN:
        rv = f->C_SignInit(session, &mechanism, o->key);
        return rv ? rv : f->C_Sign(session, (CK_BYTE *)o->input, o->len, out, &len);
    case RECORDER_DECRYPT:
        mechanism.pParameter = (void *)&o->gcm;
        mechanism.ulParameterLen = sizeof o->gcm;
        rv = f->C_DecryptInit(session, &mechanism, o->key);
        return rv ? rv : f->C_Decrypt(session, (CK_BYTE *)o->input, o->len, out, &len);
    }
    return CKR_GENERAL_ERROR;
}

static enum tbs_err answer(void *caller, struct tbs_bytes message, struct tbs_diag *diag)
{
    const struct token *token = caller;
    const struct recorder *recorder = token->recorder;

    (void)message;
    for (unsigned i = 0; i < recorder->n; i++) {
        CK_RV rv = repeat(recorder->real, token->session, &recorder->operation[i]);

        if (rv != CKR_OK)
            return tbs_fail_raw(diag, TBS_ERR_TOKEN, rv, "operation %u, repeated, fails (0x%lx)", i,
                                rv);
    }
    return TBS_OK;
}

const struct way way_token = {open_token, close_token, answer};
