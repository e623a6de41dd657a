#include "call.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "counters.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static struct {
    const char *path;
    struct stat file;        /* the file that was read; all zero: there was none */
    atomic_ulong generation; /* scripts read */
    struct script room[2], *now;
    bool later; /* started by a process that has a mock */
    CK_RV dead; /* what a dead module answers; CKR_OK: it lives */
} state = {.now = state.room};

/* --- The script --- */

void call_use_script(const char *path)
{
    state.path = path;
}

const struct script *call_script(void)
{
    return state.now;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool is_read(const struct stat *file)
{
    return state.generation > 0 && is_same(file, &state.file);
}

static bool read_script(int fd, struct script *ret_script, char *ret_why, size_t why_size)
{
    static char text[SCRIPT_TEXT_MAX + 1];
    ssize_t len = read(fd, text, sizeof text);
    if (len < 0 || len > SCRIPT_TEXT_MAX || memchr(text, '\0', (size_t)len)) {
        snprintf(ret_why, why_size, "no text of at most %d octets", SCRIPT_TEXT_MAX);
        memset(ret_script, 0, sizeof *ret_script);
        ret_script->broken = true;
        return false;
    }
    text[len] = '\0';
    return script_parse(text, state.later, ret_script, ret_why, why_size);
}

void call_is_in_later_process(void)
{
    state.later = true;
}

/* Alone. */
static void follow(int fd)
{
    struct script *before = state.now, *now = &state.room[before == state.room];
    char why[160];
    if (!read_script(fd, now, why, sizeof why))
        fprintf(stderr, "mock-pkcs11: %s: %s; every call fails now\n", state.path, why);
    state.now = now;
    const struct rule *dead = script_find(now, RULE_MODULE_DEAD, "");
    if (dead)
        state.dead = dead->value;
    tokens_follow(before, now);
    state.generation++;
    counter_add(COUNTER_SCRIPTS_READ, 1);
}

static void refresh_alone(void)
{
    struct stat file = {0};
    int fd = open(state.path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        fstat(fd, &file);
    if (!is_read(&file)) { /* else another thread was here */
        state.file = file;
        follow(fd);
    }
    if (fd >= 0)
        close(fd);
}

static void refresh(void)
{
    struct stat file;
    if (!state.path)
        return;
    if (stat(state.path, &file) != 0)
        memset(&file, 0, sizeof file);
    pthread_rwlock_rdlock(&lock);
    bool read = is_read(&file);
    pthread_rwlock_unlock(&lock);
    if (read)
        return;
    pthread_rwlock_wrlock(&lock);
    refresh_alone();
    pthread_rwlock_unlock(&lock);
}

/* --- Calls --- */

static CK_ULONG slot_shift(void)
{
    const struct rule *shift = script_find(state.now, RULE_SLOT_SHIFT, "");
    return shift ? shift->value : 0;
}

CK_SLOT_ID call_shown_slot(CK_SLOT_ID slot)
{
    return slot + slot_shift();
}

static void locate(struct call *call)
{
    call->token = NULL;
    call->session = CK_INVALID_HANDLE;
    call->label[0] = '\0';
    if (call->on == ON_SLOT) {
        call->slot = call->handle - slot_shift();
        token_label(call->slot, call->label);
    } else if (call->on == ON_SESSION) {
        const struct session *session = session_find(call->handle);
        if (!session)
            return;
        call->slot = session->slot;
        call->session = session->real;
        call->token = session->token;
        strcpy(call->label, session->token->label);
    }
}

static void enter(struct call *call)
{
    refresh();
    if (call->alone)
        pthread_rwlock_wrlock(&lock);
    else
        pthread_rwlock_rdlock(&lock);
    locate(call);
}

static void sleep_ms(unsigned long ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static void hang(struct call *call)
{
    while (script_apply(state.now, RULE_HANG, call->function, call->label)) {
        unsigned long generation = state.generation;
        pthread_rwlock_unlock(&lock);
        counter_add(COUNTER_HANGING_NOW, 1);
        while (generation == state.generation) {
            sleep_ms(5);
            refresh();
        }
        counter_add(COUNTER_HANGING_NOW, -1);
        enter(call);
    }
}

static void delay(struct call *call)
{
    const struct rule *rule = script_apply(state.now, RULE_DELAY, call->function, call->label);
    if (!rule)
        return;
    unsigned long ms = rule->value;
    pthread_rwlock_unlock(&lock);
    sleep_ms(ms);
    enter(call);
}

static bool survives_death(enum function function)
{
    return function == FUNCTION_C_Initialize || function == FUNCTION_C_Finalize ||
           function == FUNCTION_C_GetFunctionList;
}

static CK_RV judge_place(const struct call *call)
{
    const struct session *session;
    switch (call->on) {
    case ON_MODULE:
        break;
    case ON_SLOT:
        if (call->function != FUNCTION_C_GetSlotInfo &&
            script_find(state.now, RULE_DEVICE_REMOVED, call->label))
            return CKR_TOKEN_NOT_PRESENT;
        break;
    case ON_SESSION:
        session = session_find(call->handle);
        if (session && session->gone)
            return CKR_DEVICE_REMOVED;
        break;
    }
    return CKR_OK;
}

static CK_RV judge(const struct call *call)
{
    if (state.now->broken)
        return CKR_GENERAL_ERROR;
    if (state.dead != CKR_OK && !survives_death(call->function))
        return state.dead;
    const struct rule *rule = script_apply(state.now, RULE_FAIL, call->function, call->label);
    if (rule)
        return rule->value;
    CK_RV rv = judge_place(call);
    if (rv == CKR_OK && call->mechanism &&
        script_has(state.now, RULE_NO_MECHANISM, call->label, call->mechanism->mechanism))
        rv = CKR_MECHANISM_INVALID;
    return rv;
}

CK_RV call_begin(struct call *call)
{
    counter_add(COUNTER_CALLS + call->function, 1);
    enter(call);
    hang(call);
    delay(call);
    CK_RV rv = judge(call);
    return rv == CKR_OK ? rv : call_refuse(call, rv);
}

CK_RV call_end(struct call *call, CK_RV rv)
{
    if (script_apply(state.now, RULE_KILL, call->function, call->label))
        kill(getpid(), SIGKILL);
    pthread_rwlock_unlock(&lock);
    return rv;
}

CK_RV call_refuse(const struct call *call, CK_RV rv)
{
    counter_add(COUNTER_FAILED + call->function, 1);
    return rv;
}

void call_started_anew(void)
{
    if (!script_find(state.now, RULE_MODULE_DEAD, ""))
        state.dead = CKR_OK;
    tokens_start_anew(state.now);
}
