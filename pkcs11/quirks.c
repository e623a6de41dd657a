/* How real tokens differ from what is asked of one, and what is then done instead. Each quirk
 * changes exactly what its sentence says; docs/tokens/ says which token needs which. */
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_LEAST 3 /* one to work with, and the two of p11_session_open */
#define SESSIONS_MOST 65536

static const struct {
    const char *name;
    const char *effect;
    bool can_show;
} known[P11_N_QUIRKS] = {
    [P11_NO_ALLOWED_MECHANISMS] =
        {"no-allowed-mechanisms",
         "a key's algorithm is read from its type and id (tpk-sha1-...: HMAC-SHA-1); that "
         "nothing else is done with it is not verified",
         true},
    [P11_NO_COPYABLE] = {"no-copyable", "that a key cannot be copied is not verified", true},
    [P11_NO_DESTROYABLE] = {"no-destroyable", "that a key can be destroyed is not verified", true},
    [P11_NO_LOCAL] = {"no-local",
                      "that a key was made in the token is concluded from CKA_ALWAYS_SENSITIVE and "
                      "CKA_NEVER_EXTRACTABLE alone",
                      true},
    [P11_KEY_TYPE_HMAC] = {"key-type-hmac", "HMAC keys may be of the type and length of their hash",
                           true},
    [P11_TOKEN_IV] = {"token-iv", "the token makes the IVs of AES-GCM", true},
    [P11_NO_READ_ONLY_SESSIONS] = {"no-read-only-sessions", "all sessions are read-write", false},
    [P11_SERIAL_ONLY] = {"serial-only", "the process calls the token from one thread at a time",
                         false},
    [P11_MAX_SESSIONS] = {"max-sessions", "no more sessions are opened than it says", false},
};

static enum tbs_err unknown(const char *text, struct tbs_diag *diag)
{
    char names[200];
    size_t len = 0;
    for (size_t i = 0; i < P11_N_QUIRKS; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s%s", i > 0 ? ", " : "",
                                known[i].name, i == P11_MAX_SESSIONS ? "=N" : "");
    return tbs_fail(diag, TBS_ERR_CONFIG, "'%.40s' is not a quirk of PKCS#11 tokens; there are: %s",
                    text, names);
}

static enum tbs_err set_max_sessions(const char *value, struct p11_quirks *q, struct tbs_diag *diag)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(value, &end, 10);
    if (errno != 0 || value[0] < '0' || value[0] > '9' || *end != '\0' || n < SESSIONS_LEAST ||
        n > SESSIONS_MOST)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "quirk max-sessions wants a number from %d to %d, as in max-sessions=16",
                        SESSIONS_LEAST, SESSIONS_MOST);
    q->max_sessions = (unsigned)n;
    return TBS_OK;
}

static enum tbs_err add(const char *text, struct p11_quirks *q, struct tbs_diag *diag)
{
    size_t name = strcspn(text, "="), i = 0;
    bool has_value = text[name] == '=';
    while (i < P11_N_QUIRKS &&
           (strlen(known[i].name) != name || memcmp(known[i].name, text, name) != 0))
        i++;
    if (i == P11_N_QUIRKS || (has_value && i != P11_MAX_SESSIONS))
        return unknown(text, diag);
    if (i == P11_MAX_SESSIONS) {
        enum tbs_err err = set_max_sessions(has_value ? text + name + 1 : "", q, diag);
        if (err != TBS_OK)
            return err;
    }
    if (!q->on[i])
        q->index[i] = q->n++;
    q->on[i] = true;
    q->list[q->index[i]] = (struct custody_quirk){
        .name = known[i].name, .effect = known[i].effect, .can_show = known[i].can_show};
    return TBS_OK;
}

enum tbs_err p11_parse_quirks(const struct custody_token_config *config,
                              struct p11_quirks *ret_quirks, struct tbs_diag *diag)
{
    struct p11_quirks quirks = {0};
    for (size_t i = 0; i < config->n_quirks; i++) {
        enum tbs_err err = add(config->quirks[i], &quirks, diag);
        if (err != TBS_OK)
            return err;
    }
    *ret_quirks = quirks;
    return TBS_OK;
}

const char *p11_quirk_name(enum p11_quirk quirk)
{
    return known[quirk].name;
}

bool p11_excused(struct p11_token *token, enum p11_quirk quirk)
{
    struct p11_quirks *q = &token->quirks;
    if (!q->on[quirk])
        return false;
    q->list[q->index[quirk]].needed = true;
    return true;
}

enum tbs_err p11_session_refused(const struct p11_token *token, CK_RV rv, struct tbs_diag *diag)
{
    CK_SESSION_HANDLE session;
    if (!token->quirks.on[P11_NO_READ_ONLY_SESSIONS] &&
        P11(token, C_OpenSession, token->slot, p11_session_flags(token, true), NULL, NULL,
            &session) == CKR_OK) {
        P11(token, C_CloseSession, session);
        return tbs_fail_raw(diag, TBS_ERR_CONFIG, rv,
                            "token '%s' opens no read-only session (%s), but a read-write one; "
                            "quirk %s is for that",
                            token->name, p11_rv_name(rv),
                            p11_quirk_name(P11_NO_READ_ONLY_SESSIONS));
    }
    return p11_fail(diag, rv, "opening a session with token '%s'", token->name);
}

pthread_mutex_t *p11_begin_turn(const struct p11_token *token)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    if (!token->quirks.on[P11_SERIAL_ONLY])
        return NULL;
    pthread_mutex_lock(&turn);
    return &turn;
}

void p11_end_turn(pthread_mutex_t **turn)
{
    if (*turn)
        pthread_mutex_unlock(*turn);
}

const struct custody_quirk *p11_quirks(const void *token_, size_t *ret_n)
{
    const struct p11_token *token = token_;
    *ret_n = token->quirks.n;
    return token->quirks.list;
}
