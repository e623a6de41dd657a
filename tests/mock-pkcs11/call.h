/* A call on its way through the mock, and the state that all calls share.
 *
 * One lock covers everything: calls are in the real module as its readers; what opens or closes
 * sessions, and a new script, is alone. Calls that are delayed or hang do not hold it. */
#ifndef TBS_TESTS_MOCK_CALL_H
#define TBS_TESTS_MOCK_CALL_H

#include "functions.h"
#include "script.h"

#define HANDLES_STEP 0x1000000 /* how far object handles move */

struct token {
    char label[LABEL_LEN + 1];
    CK_ULONG wrong_pins;     /* in a row */
    CK_OBJECT_HANDLE offset; /* of its object handles, against the real ones */
};

struct session {
    CK_SESSION_HANDLE handle, real;
    CK_SLOT_ID slot; /* the real one */
    struct token *token;
    bool gone; /* with its device: closed in the real module */
};

struct call {
    enum function function;
    enum { ON_MODULE, ON_SLOT, ON_SESSION } on;
    bool alone;
    CK_ULONG handle;               /* the slot or session, as the caller names it */
    const CK_MECHANISM *mechanism; /* NULL: none is used */

    /* Filled in by call_begin: what the real module knows. */
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session; /* CK_INVALID_HANDLE if it is no session of ours */
    struct token *token;       /* NULL if it is no session of ours */
    char label[LABEL_LEN + 1]; /* empty if no token is known */
};

extern CK_FUNCTION_LIST *real; /* the module that everything is passed on to */

/* --- call.c --- */

/* NULL: no script, ever. */
void call_use_script(const char *path);
/* This process was started by one that has a mock; before call_use_script. */
void call_is_in_later_process(void);
/* Counts, follows the script, waits as told. On CKR_OK the call is to be passed on. Whatever the
 * answer, call_end comes next; until then the script and the state stay as they are. */
CK_RV call_begin(struct call *call);
CK_RV call_end(struct call *call, CK_RV rv); /* returns rv */
/* Counts an answer that is not the real module's; returns it. */
CK_RV call_refuse(const struct call *call, CK_RV rv);
const struct script *call_script(void);
/* A slot as callers name it. */
CK_SLOT_ID call_shown_slot(CK_SLOT_ID slot);
/* After C_Initialize. */
void call_started_anew(void);

/* --- tokens.c; what changes anything is alone --- */

void token_label(CK_SLOT_ID slot, char ret_label[LABEL_LEN + 1]);
struct token *token_find(const char *label); /* NULL: it never had a session */
struct session *session_find(CK_SESSION_HANDLE handle);
CK_RV session_add(const struct call *call, CK_SESSION_HANDLE session,
                  CK_SESSION_HANDLE *ret_handle);
size_t sessions_open(const char *label);
/* Drops the sessions of a slot that the real module has closed, or just one of them. */
void session_drop(CK_SESSION_HANDLE handle);
void sessions_drop(CK_SLOT_ID slot);
void sessions_drop_all(void);
/* Does what happens once, when a script replaces another. */
void tokens_follow(const struct script *before, const struct script *now);
void tokens_start_anew(const struct script *script);

/* --- objects.c; thread-safe --- */

/* The real handle for the one that the caller has, and the other way. */
CK_OBJECT_HANDLE object_real(const struct call *call, CK_OBJECT_HANDLE handle);
CK_OBJECT_HANDLE object_seen(const struct call *call, CK_OBJECT_HANDLE object);
/* Handles of before are stale from now on. */
void objects_start_anew(struct token *token, const struct script *script);

/* The way of most functions: `name` on the real module with these arguments. */
#define PASS_ON(name, mechanism_, ...)                                                             \
    struct call call = {.function = FUNCTION_##name,                                               \
                        .on = ON_SESSION,                                                          \
                        .handle = session,                                                         \
                        .mechanism = mechanism_};                                                  \
    CK_RV rv = call_begin(&call);                                                                  \
    rv = rv == CKR_OK ? real->name(__VA_ARGS__) : rv
/* Its end, where a new object is at `object`. */
#define END_WITH_OBJECT()                                                                          \
    if (rv == CKR_OK)                                                                              \
        *object = object_seen(&call, *object);                                                     \
    return call_end(&call, rv)

#endif
