#include "mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char mock_module[] = MOCK_MODULE;
CK_FUNCTION_LIST *mock;

void mock_setup(void)
{
    mock_script("%s", "");
    assert_int_equal(setenv("MOCK_PKCS11_SCRIPT", softhsm_path("mock.script"), 1), 0);
    assert_int_equal(setenv("MOCK_PKCS11_LOG", softhsm_path("mock.log"), 1), 0);
    void *module = dlopen(mock_module, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = module ? dlsym(module, "C_GetFunctionList") : NULL;
    assert_non_null(get);
    assert_int_equal(get(&mock), CKR_OK);
}

void mock_script(const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert_in_range(n, 0, sizeof text - 1);
    softhsm_put_file("mock.new", text, (size_t)n, 0600);
    assert_int_equal(rename(softhsm_path("mock.new"), softhsm_path("mock.script")), 0);
}

unsigned long mock_count(const char *name)
{
    char path[160], found[64];
    unsigned long n, count = 0;
    bool known = false;
    snprintf(path, sizeof path, "%s.%d", softhsm_path("mock.log"), (int)getpid());
    FILE *log = fopen(path, "re");
    assert_non_null(log);
    while (fscanf(log, "%lu %63s", &n, found) == 2) {
        if (strcmp(found, name) == 0) {
            known = true;
            count = n;
        }
    }
    fclose(log);
    assert_true(known);
    return count;
}

void mock_add_key(const char *token_label, const char *id)
{
    struct custody *custody = softhsm_open(token_label);
    struct tbs_diag diag = {0};
    if (custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, id, NULL, &diag))
        fail_msg("%s", diag.text);
    custody_close(custody);
}

struct raw mock_session(const char *token_label)
{
    struct raw raw = {.f = mock, .slot = raw_slot(mock, token_label)};
    assert_int_equal(mock->C_OpenSession(raw.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                         &raw.session),
                     CKR_OK);
    return raw;
}

CK_RV mock_login(const struct raw *raw, const char *pin)
{
    return mock->C_Login(raw->session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
}

CK_STATE mock_state(const struct raw *raw)
{
    CK_SESSION_INFO info;
    assert_int_equal(mock->C_GetSessionInfo(raw->session, &info), CKR_OK);
    return info.state;
}

struct raw mock_start(const char *token_label)
{
    CK_C_INITIALIZE_ARGS threads = {.flags = CKF_OS_LOCKING_OK};
    assert_int_equal(mock->C_Initialize(&threads), CKR_OK);
    struct raw raw = mock_session(token_label);
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_OK);
    return raw;
}

CK_RV mock_sign(const struct raw *raw, CK_OBJECT_HANDLE key, CK_BYTE ret_mac[32])
{
    CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    CK_ULONG len = 32;
    CK_RV rv = mock->C_SignInit(raw->session, &hmac, key);
    return rv != CKR_OK ? rv : mock->C_Sign(raw->session, (CK_BYTE *)"x", 1, ret_mac, &len);
}

struct raw mock_raw;
CK_OBJECT_HANDLE mock_key;

int mock_one_setup(void **state)
{
    if (softhsm_setup(state) != 0)
        return -1;
    softhsm_make_token("kms");
    mock_add_key("kms", "tpk-a");
    mock_setup();
    return 0;
}

int mock_one_start(void **state)
{
    (void)state;
    mock_script("%s", "");
    mock_raw = mock_start("kms");
    mock_key = raw_find(&mock_raw, "tpk-a");
    return 0;
}

int mock_one_stop(void **state)
{
    (void)state;
    mock_script("%s", "");
    return mock->C_Finalize(NULL) != CKR_OK;
}
