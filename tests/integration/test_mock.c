/* The mock: its language, and the rules about calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mock.h"

static CK_BYTE mac[32];

static CK_RV random_octets(void)
{
    CK_BYTE octets[8];
    return mock->C_GenerateRandom(mock_raw.session, octets, sizeof octets);
}

/* --- The language --- */

/* What the mock says on stderr in one call. */
static CK_RV told(char *ret_text, size_t size)
{
    CK_INFO info;
    fflush(stderr);
    int before = dup(2);
    int file = open(softhsm_path("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(before >= 0 && file >= 0 && dup2(file, 2) == 2);
    CK_RV rv = mock->C_GetInfo(&info);
    fflush(stderr);
    assert_int_equal(dup2(before, 2), 2);
    ssize_t n = pread(file, ret_text, size - 1, 0);
    assert_true(n >= 0);
    ret_text[n] = '\0';
    close(before);
    close(file);
    return rv;
}

static void a_script_that_does_not_parse_fails_every_call(void **state)
{
    (void)state;
    static const struct {
        const char *script, *why;
    } wrong[] = {
        {"break C_Sign", "line 1: no rule begins like this"},
        {"# fine\n\n  sessions", "line 3: no rule begins like this"},
        {"fail", "line 1: FUNCTION is missing"},
        {"fail C_Sing CKR_OK", "line 1: 'C_Sing' is no FUNCTION"},
        {"fail C_Sign CKR_NO_SUCH", "line 1: 'CKR_NO_SUCH' is no CKR"},
        {"fail C_Sign CKM_AES_GCM", "line 1: 'CKM_AES_GCM' is no CKR"},
        {"fail C_Sign CKR_CANCEL often", "'often' is too much"},
        {"fail C_Sign CKR_CANCEL every 0", "'every' is too much"},
        {"fail C_Sign CKR_CANCEL after 1 times 1", "'after' is too much"},
        {"delay C_Sign -1", "line 1: '-1' is no NUMBER"},
        {"delay C_Sign 5ms", "line 1: '5ms' is no NUMBER"},
        {"logout now", "'now' is too much"},
        {"login flags LOCKED|LOST", "is no FLAGS"},
        {"no CKM_NO_SUCH", "line 1: 'CKM_NO_SUCH' is no CKM"},
        {"attribute flip CKA_NO_SUCH", "line 1: 'CKA_NO_SUCH' is no CKA"},
        {"token kms logout", "line 1: write token LABEL: and then the rule"},
        {"token kms: module dead CKR_GENERAL_ERROR", "line 1: this rule cannot be for one token"},
        {"token kms: ", "line 1: no rule begins like this"},
    };
    char text[512];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mock_script("%s\n", wrong[i].script);
        assert_int_equal(told(text, sizeof text), CKR_GENERAL_ERROR);
        if (!strstr(text, wrong[i].why))
            fail_msg("%s: %s", wrong[i].script, text);
        assert_int_equal(told(text, sizeof text), CKR_GENERAL_ERROR); /* said once */
        assert_string_equal(text, "");
    }
    assert_int_equal(mock->C_Finalize(NULL), CKR_GENERAL_ERROR);
    mock_script("# A comment\n\n\tfail C_Sign 0x80000007\n");
    assert_int_equal(told(text, sizeof text), CKR_OK);
    assert_int_equal(mock_sign(&mock_raw, mock_key, mac), CKR_VENDOR_DEFINED | 7);
}

static void a_script_that_is_not_there_fails_every_call(void **state)
{
    (void)state;
    char text[512], rules[1024] = "", large[20000];
    unlink(softhsm_path("mock.script"));
    assert_int_equal(told(text, sizeof text), CKR_GENERAL_ERROR);
    assert_non_null(strstr(text, "mock.script"));
    memset(large, '#', sizeof large);
    softhsm_put_file("mock.script", large, sizeof large, 0600);
    assert_int_equal(told(text, sizeof text), CKR_GENERAL_ERROR);
    for (int i = 0; i < 65; i++)
        strcat(rules, "logout\n");
    mock_script("%s", rules);
    assert_int_equal(told(text, sizeof text), CKR_GENERAL_ERROR);
    assert_non_null(strstr(text, "line 65: more than 64 rules"));
}

/* --- fail --- */

static void a_failure_is_answered_instead_of_the_token(void **state)
{
    (void)state;
    mock_script("fail C_Sign CKR_DEVICE_ERROR times 2\n");
    unsigned long calls = mock_count("C_Sign"), failed = mock_count("C_Sign.failed");
    assert_int_equal(mock_sign(&mock_raw, mock_key, mac), CKR_DEVICE_ERROR);
    /* The operation is still active, as the token has not seen C_Sign. */
    assert_int_equal(mock_sign(&mock_raw, mock_key, mac), CKR_OPERATION_ACTIVE);
    CK_ULONG len = sizeof mac;
    assert_int_equal(mock->C_Sign(mock_raw.session, mac, 1, mac, &len), CKR_DEVICE_ERROR);
    assert_int_equal(mock->C_Sign(mock_raw.session, mac, 1, mac, &len), CKR_OK);
    assert_int_equal(mock_count("C_Sign"), calls + 3);
    assert_int_equal(mock_count("C_Sign.failed"), failed + 2);
}

static void failures_come_when_they_are_told_to(void **state)
{
    (void)state;
    static const struct {
        const char *when, *fails; /* of six calls */
    } cases[] = {{"", "xxxxxx"},
                 {"times 1", "x....."},
                 {"after 4", "....xx"},
                 {"every 1", "xxxxxx"},
                 {"every 3", "..x..x"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char seen[7] = "";
        mock_script("fail C_GenerateRandom CKR_CANCEL %s\n", cases[i].when);
        for (int call = 0; call < 6; call++)
            strcat(seen, random_octets() == CKR_CANCEL ? "x" : ".");
        assert_string_equal(seen, cases[i].fails);
    }
    mock_script("fail C_Sign CKR_DEVICE_ERROR times 1\n"
                "fail C_GenerateRandom CKR_CANCEL times 1\n"
                "fail C_GenerateRandom CKR_DEVICE_MEMORY times 1\n"
                "no function C_SeedRandom\n");
    assert_int_equal(random_octets(), CKR_CANCEL);
    assert_int_equal(random_octets(), CKR_DEVICE_MEMORY);
    assert_int_equal(random_octets(), CKR_OK);
    assert_int_equal(mock->C_SeedRandom(mock_raw.session, mac, 1), CKR_FUNCTION_NOT_SUPPORTED);
}

/* The function list as an array; all arguments are zero. */
static void every_function_can_fail(void **state)
{
    (void)state;
    typedef CK_RV (*function)(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG,
                              CK_ULONG);
    function
        functions[(sizeof *mock - offsetof(CK_FUNCTION_LIST, C_Initialize)) / sizeof(function)];
    memcpy(functions, &mock->C_Initialize, sizeof functions);
    size_t n = sizeof functions / sizeof *functions;
    assert_int_equal(n, 68);
    mock_script("fail * CKR_FUNCTION_CANCELED\n");
    for (size_t i = 0; i < n; i++)
        assert_int_equal(functions[i](0, 0, 0, 0, 0, 0, 0, 0), CKR_FUNCTION_CANCELED);
}

/* --- kill --- */

static void the_process_is_killed_when_the_call_is_done(void **state)
{
    (void)state;
    int pipe_of_two[2], status;
    char told_by_child[8] = "";
    mock_script("kill C_GenerateRandom after 1\n");
    assert_int_equal(pipe(pipe_of_two), 0);
    unsigned long calls = mock_count("C_GenerateRandom");
    pid_t child = fork();
    if (child == 0) {
        random_octets();
        (void)!write(pipe_of_two[1], "1", 1);
        random_octets();
        (void)!write(pipe_of_two[1], "2", 1);
        _exit(0);
    }
    close(pipe_of_two[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(read(pipe_of_two[0], told_by_child, sizeof told_by_child), 1);
    assert_string_equal(told_by_child, "1");
    close(pipe_of_two[0]);
    assert_int_equal(mock_count("C_GenerateRandom"), calls + 2);
    mock_script("%s", "");
}

/* --- delay, hang --- */

static unsigned long ms_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long)t.tv_sec * 1000 + (unsigned long)t.tv_nsec / 1000000;
}

static void a_delay_takes_its_time(void **state)
{
    (void)state;
    mock_script("delay C_GenerateRandom 300 every 2\n");
    unsigned long before = ms_now();
    assert_int_equal(random_octets(), CKR_OK);
    unsigned long between = ms_now();
    assert_int_equal(random_octets(), CKR_OK);
    assert_true(ms_now() - between >= 300);
    assert_true(between - before < 300);
}

static void *sign_in_thread(void *ret_rv)
{
    struct raw own = mock_session("kms");
    *(CK_RV *)ret_rv = mock_sign(&own, mock_key, mac);
    return NULL;
}

static void await(const char *name, unsigned long n)
{
    for (int i = 0; i < 2000 && mock_count(name) != n; i++)
        usleep(5000);
    assert_int_equal(mock_count(name), n);
}

static void a_call_hangs_until_the_script_changes(void **state)
{
    (void)state;
    pthread_t thread;
    CK_RV rv = CKR_CANCEL;
    mock_script("hang C_Sign times 1\n");
    assert_int_equal(pthread_create(&thread, NULL, sign_in_thread, &rv), 0);
    await("hanging.now", 1);
    assert_int_equal(mock_sign(&mock_raw, mock_key, mac), CKR_OK); /* the others go on */
    mock_script("hang C_Sign\n");                                  /* and it hangs again */
    assert_int_equal(random_octets(), CKR_OK);
    usleep(50000);
    mock_script("fail C_Sign CKR_DEVICE_REMOVED\n");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(rv, CKR_DEVICE_REMOVED);
    assert_int_equal(mock_count("hanging.now"), 0);
}

/* --- no, attribute --- */

static bool is_listed(CK_MECHANISM_TYPE type)
{
    CK_MECHANISM_TYPE list[256];
    CK_ULONG n = 1, all;
    assert_int_equal(mock->C_GetMechanismList(mock_raw.slot, NULL, &all), CKR_OK);
    assert_int_equal(mock->C_GetMechanismList(mock_raw.slot, list, &n), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(n, all);
    assert_int_equal(mock->C_GetMechanismList(mock_raw.slot, list, &n), CKR_OK);
    while (n > 0 && list[n - 1] != type)
        n--;
    return n > 0;
}

static void a_mechanism_can_be_missing(void **state)
{
    (void)state;
    CK_MECHANISM_INFO info;
    assert_true(is_listed(CKM_SHA256_HMAC));
    mock_script("no CKM_SHA256_HMAC\n");
    assert_int_equal(mock_sign(&mock_raw, mock_key, mac), CKR_MECHANISM_INVALID);
    assert_int_equal(mock->C_GetMechanismInfo(mock_raw.slot, CKM_SHA256_HMAC, &info),
                     CKR_MECHANISM_INVALID);
    assert_false(is_listed(CKM_SHA256_HMAC));
    assert_true(is_listed(CKM_AES_GCM));
    assert_int_equal(mock->C_GetMechanismInfo(mock_raw.slot, CKM_AES_GCM, &info), CKR_OK);
}

static void attributes_can_be_told_wrongly(void **state)
{
    (void)state;
    CK_BBOOL local = CK_FALSE;
    CK_ATTRIBUTE attribute = {CKA_LOCAL, &local, sizeof local};
    assert_int_equal(mock->C_GetAttributeValue(mock_raw.session, mock_key, &attribute, 1), CKR_OK);
    assert_int_equal(local, CK_TRUE);
    mock_script("attribute flip CKA_LOCAL\n");
    assert_int_equal(mock->C_GetAttributeValue(mock_raw.session, mock_key, &attribute, 1), CKR_OK);
    assert_int_equal(local, CK_FALSE);
    mock_script("attribute hide CKA_LOCAL\n");
    assert_int_equal(mock->C_GetAttributeValue(mock_raw.session, mock_key, &attribute, 1),
                     CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(attribute.ulValueLen, CK_UNAVAILABLE_INFORMATION);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, mock_one_start, mock_one_stop)
    const struct CMUnitTest tests[] = {
        TEST(a_script_that_does_not_parse_fails_every_call),
        TEST(a_script_that_is_not_there_fails_every_call),
        TEST(a_failure_is_answered_instead_of_the_token),
        TEST(failures_come_when_they_are_told_to),
        TEST(every_function_can_fail),
        TEST(a_delay_takes_its_time),
        TEST(the_process_is_killed_when_the_call_is_done),
        TEST(a_call_hangs_until_the_script_changes),
        TEST(a_mechanism_can_be_missing),
        TEST(attributes_can_be_told_wrongly),
    };
    alarm(60);
    return cmocka_run_group_tests_name("mock", tests, mock_one_setup, softhsm_teardown);
}
