/* Object handles: the real ones, moved by their token's offset; and the keys whose stale handles
 * a script makes name other keys. */
#include "call.h"

#include <pthread.h>
#include <string.h>

#define KEYS_MAX 1024 /* more are passed on, but cannot be swapped */

/* A secret key that a caller got a handle of. */
struct key {
    const struct token *token;
    CK_OBJECT_HANDLE handle;
    CK_OBJECT_HANDLE real; /* CK_INVALID_HANDLE: of the time before, not found anew yet */
    unsigned char id[ID_MAX];
    CK_ULONG id_len;
};

static struct key keys[KEYS_MAX];
static size_t n_keys;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct key *by_handle(const struct token *token, CK_OBJECT_HANDLE handle)
{
    for (size_t i = 0; i < n_keys; i++) {
        if (keys[i].token == token && keys[i].handle == handle)
            return &keys[i];
    }
    return NULL;
}

static struct key *by_real(const struct token *token, CK_OBJECT_HANDLE object)
{
    for (size_t i = 0; i < n_keys; i++) {
        if (keys[i].token == token && keys[i].real == object)
            return &keys[i];
    }
    return NULL;
}

static struct key *by_id(const struct token *token, const void *id, CK_ULONG len)
{
    for (size_t i = 0; i < n_keys; i++) {
        if (keys[i].token == token && keys[i].id_len == len && memcmp(keys[i].id, id, len) == 0)
            return &keys[i];
    }
    return NULL;
}

/* --- Towards the caller --- */

static bool read_id(const struct call *call, CK_OBJECT_HANDLE object, struct key *ret_key)
{
    CK_OBJECT_CLASS class;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, ret_key->id, ID_MAX}};
    if (real->C_GetAttributeValue(call->session, object, wanted, 2) != CKR_OK ||
        class != CKO_SECRET_KEY || wanted[1].ulValueLen == 0)
        return false;
    ret_key->id_len = wanted[1].ulValueLen;
    return true;
}

static CK_OBJECT_HANDLE remember_locked(const struct key *new)
{
    struct key *key = by_id(new->token, new->id, new->id_len);
    if (key && key->real == CK_INVALID_HANDLE) {
        key->real = new->real;
        return key->handle;
    }
    if (key)
        *key = *new;
    else if (n_keys < KEYS_MAX)
        keys[n_keys++] = *new;
    return new->handle;
}

CK_OBJECT_HANDLE object_seen(const struct call *call, CK_OBJECT_HANDLE object)
{
    struct key new = {.token = call->token, .handle = object + call->token->offset, .real = object};
    pthread_mutex_lock(&lock);
    struct key *known = by_real(call->token, object);
    CK_OBJECT_HANDLE handle = known ? known->handle : new.handle;
    pthread_mutex_unlock(&lock);
    if (known || !read_id(call, object, &new))
        return handle;
    pthread_mutex_lock(&lock);
    handle = remember_locked(&new);
    pthread_mutex_unlock(&lock);
    return handle;
}

/* --- Towards the real module --- */

/* In a session of its own, as the caller's may be in a search. */
static CK_OBJECT_HANDLE find_anew(const struct call *call, const struct key *key)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                               {CKA_ID, (void *)key->id, key->id_len}};
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_ULONG n = 0;
    if (real->C_OpenSession(call->slot, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
        return CK_INVALID_HANDLE;
    if (real->C_FindObjectsInit(session, template, 2) == CKR_OK) {
        real->C_FindObjects(session, &object, 1, &n);
        real->C_FindObjectsFinal(session);
    }
    real->C_CloseSession(session);
    return n == 1 ? object : CK_INVALID_HANDLE;
}

CK_OBJECT_HANDLE object_real(const struct call *call, CK_OBJECT_HANDLE handle)
{
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    if (!call->token)
        return handle;
    if (handle > call->token->offset)
        object = handle - call->token->offset;
    pthread_mutex_lock(&lock);
    struct key *key = by_handle(call->token, handle);
    if (key && key->real == CK_INVALID_HANDLE)
        key->real = find_anew(call, key);
    if (key)
        object = key->real;
    pthread_mutex_unlock(&lock);
    return object;
}

/* --- A new start --- */

static bool swap_locked(const struct token *token, const struct rule *rule)
{
    struct key *a = by_id(token, rule->text[0], strlen(rule->text[0]));
    struct key *b = by_id(token, rule->text[1], strlen(rule->text[1]));
    if (!a || !b)
        return false; /* no caller can have handles of both */
    CK_OBJECT_HANDLE handle = a->handle;
    a->handle = b->handle;
    b->handle = handle;
    a->real = b->real = CK_INVALID_HANDLE;
    return true;
}

void objects_start_anew(struct token *token, const struct script *script)
{
    const struct rule *swap = script_find(script, RULE_HANDLES_SWAP, token->label);
    pthread_mutex_lock(&lock);
    bool swapped = swap && swap_locked(token, swap);
    for (size_t i = n_keys; i-- > 0;) {
        bool kept = swapped && keys[i].real == CK_INVALID_HANDLE;
        if (keys[i].token == token && !kept)
            keys[i] = keys[--n_keys];
    }
    /* A swap moves the others, too: no new handle is then one of the two. */
    if (swap || script_find(script, RULE_HANDLES_SHIFT, token->label))
        token->offset += HANDLES_STEP;
    pthread_mutex_unlock(&lock);
}
