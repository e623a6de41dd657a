/* The sessions that callers have, and the tokens that they are with. */
#include "call.h"

#include <p11-kit/p11-kit.h>
#include <string.h>

#include "counters.h"

#define TOKENS_MAX 16
#define SESSIONS_MAX 1024

static struct token tokens[TOKENS_MAX];
static size_t n_tokens;
static struct session sessions[SESSIONS_MAX];
static size_t n_sessions;
static CK_SESSION_HANDLE last_handle; /* no handle ever comes twice */

void token_label(CK_SLOT_ID slot, char ret_label[LABEL_LEN + 1])
{
    CK_TOKEN_INFO info;
    size_t len = 0;
    if (real->C_GetTokenInfo(slot, &info) == CKR_OK && (info.flags & CKF_TOKEN_INITIALIZED) != 0)
        len = p11_kit_space_strlen(info.label, sizeof info.label);
    memcpy(ret_label, info.label, len);
    ret_label[len] = '\0';
}

struct token *token_find(const char *label)
{
    for (size_t i = 0; i < n_tokens; i++) {
        if (strcmp(tokens[i].label, label) == 0)
            return &tokens[i];
    }
    return NULL;
}

static struct token *find_or_add(const char *label)
{
    struct token *token = token_find(label);
    if (!token && n_tokens < TOKENS_MAX) {
        token = &tokens[n_tokens++];
        strcpy(token->label, label);
    }
    return token;
}

/* --- Sessions --- */

static void count(void)
{
    unsigned long n = 0;
    for (size_t i = 0; i < n_sessions; i++)
        n += !sessions[i].gone;
    counter_set(COUNTER_SESSIONS_NOW, n);
    if (n > counter_get(COUNTER_SESSIONS_MOST))
        counter_set(COUNTER_SESSIONS_MOST, n);
}

struct session *session_find(CK_SESSION_HANDLE handle)
{
    for (size_t i = 0; i < n_sessions; i++) {
        if (sessions[i].handle == handle)
            return &sessions[i];
    }
    return NULL;
}

CK_RV session_add(const struct call *call, CK_SESSION_HANDLE session, CK_SESSION_HANDLE *ret_handle)
{
    struct token *token = find_or_add(call->label);
    if (!token || n_sessions == SESSIONS_MAX) {
        real->C_CloseSession(session);
        return CKR_HOST_MEMORY;
    }
    sessions[n_sessions++] = (struct session){
        .handle = ++last_handle, .real = session, .slot = call->slot, .token = token};
    *ret_handle = last_handle;
    count();
    return CKR_OK;
}

size_t sessions_open(const char *label)
{
    size_t n = 0;
    for (size_t i = 0; i < n_sessions; i++)
        n += !sessions[i].gone && strcmp(sessions[i].token->label, label) == 0;
    return n;
}

static void drop(struct session *session)
{
    *session = sessions[--n_sessions];
}

void session_drop(CK_SESSION_HANDLE handle)
{
    drop(session_find(handle));
    count();
}

void sessions_drop(CK_SLOT_ID slot)
{
    for (size_t i = n_sessions; i-- > 0;) {
        if (sessions[i].slot == slot)
            drop(&sessions[i]);
    }
    count();
}

void sessions_drop_all(void)
{
    n_sessions = 0;
    count();
}

/* --- Scripts --- */

static bool is_removed(const struct script *script, const struct token *token)
{
    return script_find(script, RULE_DEVICE_REMOVED, token->label) != NULL;
}

/* True if the session is no more; one that is gone stays until its device is back. */
static bool follow(struct session *session, const struct script *now)
{
    const char *label = session->token->label;
    bool removed = is_removed(now, session->token);
    bool invalid = script_find(now, RULE_SESSIONS_INVALIDATE, label) != NULL;
    if (!session->gone && (removed || invalid))
        real->C_CloseSession(session->real);
    else if (!session->gone && script_find(now, RULE_LOGOUT, label))
        real->C_Logout(session->real);
    bool over = !removed && (session->gone || invalid);
    session->gone = removed;
    return over;
}

void tokens_follow(const struct script *before, const struct script *now)
{
    for (size_t i = n_sessions; i-- > 0;) {
        if (follow(&sessions[i], now))
            drop(&sessions[i]);
    }
    count();
    for (size_t i = 0; i < n_tokens; i++) {
        if (is_removed(before, &tokens[i]) && !is_removed(now, &tokens[i]))
            objects_start_anew(&tokens[i], now);
        if (!script_find(now, RULE_PIN_LOCK, tokens[i].label))
            tokens[i].wrong_pins = 0;
    }
}

void tokens_start_anew(const struct script *script)
{
    for (size_t i = 0; i < n_tokens; i++)
        objects_start_anew(&tokens[i], script);
}
