/* Loading, initialising and finalising. */
#include "call.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counters.h"

#define DEFAULT_MODULE "/usr/lib/softhsm/libsofthsm2.so"

CK_FUNCTION_LIST *real; /* NULL: the real module cannot be loaded */
static pthread_once_t loaded = PTHREAD_ONCE_INIT;

static CK_FUNCTION_LIST list = {.version = {CRYPTOKI_VERSION_MAJOR, CRYPTOKI_VERSION_MINOR},
#define AS_ENTRY(shape, name) .name = mock_##name,
                                MOCK_FUNCTIONS(AS_ENTRY)
#undef AS_ENTRY
};

/* A process passes on to those that it starts that it has a mock. */
static void find_process(void)
{
    char own[20];
    const char *first = getenv("MOCK_PKCS11_PROCESS");
    snprintf(own, sizeof own, "%ld", (long)getpid());
    if (first && strcmp(first, own) != 0)
        call_is_in_later_process();
    else
        setenv("MOCK_PKCS11_PROCESS", own, 1);
}

/* The real module stays loaded: it may not survive being unloaded at exit. */
static void load(void)
{
    const char *path = getenv("MOCK_PKCS11_MODULE"), *log = getenv("MOCK_PKCS11_LOG");
    void *module = dlopen(path ? path : DEFAULT_MODULE, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = module ? dlsym(module, "C_GetFunctionList") : NULL;
    const char *why = get ? "it does not tell its functions" : dlerror();
    if (log && !counters_open(log))
        return;
    find_process();
    call_use_script(getenv("MOCK_PKCS11_SCRIPT"));
    if (!get || get(&real) != CKR_OK)
        fprintf(stderr, "mock-pkcs11: cannot load the real module: %s\n", why);
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret_list)
{
    pthread_once(&loaded, load);
    return real ? mock_C_GetFunctionList(ret_list) : CKR_GENERAL_ERROR;
}

CK_RV mock_C_GetFunctionList(CK_FUNCTION_LIST **ret_list)
{
    struct call call = {.function = FUNCTION_C_GetFunctionList};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        *ret_list = &list;
    return call_end(&call, rv);
}

CK_RV mock_C_Initialize(void *args)
{
    struct call call = {.function = FUNCTION_C_Initialize, .alone = true};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_Initialize(args);
    if (rv == CKR_OK)
        call_started_anew();
    return call_end(&call, rv);
}

CK_RV mock_C_Finalize(void *reserved)
{
    struct call call = {.function = FUNCTION_C_Finalize, .alone = true};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_Finalize(reserved);
    if (rv == CKR_OK)
        sessions_drop_all();
    return call_end(&call, rv);
}

CK_RV mock_C_GetInfo(CK_INFO *info)
{
    struct call call = {.function = FUNCTION_C_GetInfo};
    CK_RV rv = call_begin(&call);
    if (rv == CKR_OK)
        rv = real->C_GetInfo(info);
    return call_end(&call, rv);
}
