/* The self-test of a token finds what is wrong with one, and leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "faulty_module.h"
#include "pkcs11/bench.h"
#include "pkcs11/selftest.h"
#include "softhsm.h"

#define FINDINGS_MAX 64

static struct faults *f;

struct report {
    struct selftest_finding finding[FINDINGS_MAX];
    size_t n;
    enum selftest_verdict worst;
    volatile sig_atomic_t stop;
    size_t stop_after; /* findings; 0: never */
};

static void tell(void *ctx, const struct selftest_finding *finding)
{
    struct report *r = ctx;
    assert_true(r->n < FINDINGS_MAX);
    r->finding[r->n++] = *finding;
    if (finding->verdict > r->worst)
        r->worst = finding->verdict;
    r->stop = r->n == r->stop_after;
}

static struct custody_token_config config(void)
{
    struct custody_token_config c = softhsm_config("kms");
    c.module = FAULTY_MODULE;
    return c;
}

static enum tbs_err run(struct report *r, struct tbs_diag *diag)
{
    struct custody_token_config c = config();
    size_t stop_after = r->stop_after;
    *r = (struct report){.stop_after = stop_after};
    struct selftest test = {.sessions = 4, .stop = &r->stop, .tell = tell, .ctx = r};
    return p11_selftest_run(&c, &test, diag);
}

static void run_well(struct report *r)
{
    struct tbs_diag diag = {0};
    if (run(r, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
}

static const struct selftest_finding *finding(const struct report *r, const char *check)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->finding[i].check, check) == 0)
            return &r->finding[i];
    fail_msg("no check '%s'", check);
    return NULL;
}

static void assert_verdict(const struct report *r, const char *check, enum selftest_verdict verdict)
{
    const struct selftest_finding *found = finding(r, check);
    if (found->verdict != verdict)
        fail_msg("%s: verdict %d instead of %d: %s", check, found->verdict, verdict,
                 found->finding);
}

/* As SoftHSM itself tells. */
static void assert_clean(void)
{
    struct raw raw = raw_open("kms");
    CK_OBJECT_HANDLE objects[8];
    CK_ULONG n;
    assert_int_equal(raw.f->C_FindObjectsInit(raw.session, NULL, 0), CKR_OK);
    assert_int_equal(raw.f->C_FindObjects(raw.session, objects, 8, &n), CKR_OK);
    assert_int_equal(raw.f->C_FindObjectsFinal(raw.session), CKR_OK);
    assert_int_equal(n, 1); /* the foreign key */
    raw_close(&raw);
}

static int no_faults(void **state)
{
    (void)state;
    *f = (struct faults){0};
    return 0;
}

static void each_attack_that_passes_is_a_danger(void **state)
{
    static const struct {
        const char *function, *checks[3];
    } attacks[] = {
        {"C_GetAttributeValue", {"read a key"}},
        {"C_WrapKey", {"wrap a key out", "wrap with a KEK"}},
        {"C_CopyObject",
         {"copy a key, extractable", "copy a key, other use", "copy a key, to keep it"}},
        {"C_DeriveKey", {"derive from a key"}},
        {"C_EncryptInit", {"use a key otherwise"}},
        {"C_SignInit", {"use a key otherwise"}},
        {"C_Decrypt", {"AES-256-GCM, wrong tag"}},
    };
    struct report r = {0};
    (void)state;
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        f->lenient = attacks[i].function;
        run_well(&r);
        assert_int_equal(r.worst, SELFTEST_DANGER);
        size_t n = 0, expected = 0;
        for (; expected < 3 && attacks[i].checks[expected]; expected++)
            assert_verdict(&r, attacks[i].checks[expected], SELFTEST_DANGER);
        for (size_t k = 0; k < r.n; k++)
            n += r.finding[k].verdict == SELFTEST_DANGER;
        assert_int_equal(n, expected);
        assert_clean();
    }
}

static void a_change_counts_by_its_effect(void **state)
{
    struct report r = {0};
    (void)state;
    f->lenient = "C_SetAttributeValue";
    run_well(&r);
    assert_verdict(&r, "make a key extractable", SELFTEST_REFUSED);
    assert_verdict(&r, "change a key's use", SELFTEST_REFUSED);
    f->heeds = true;
    run_well(&r);
    assert_verdict(&r, "make a key extractable", SELFTEST_DANGER);
    assert_verdict(&r, "change a key's use", SELFTEST_DANGER);
}

/* The disguise is good: only what the token computes gives it away. */
static void a_planted_key_that_passes_is_a_danger(void **state)
{
    struct report r = {0};
    (void)state;
    f->vouches = true;
    run_well(&r);
    assert_verdict(&r, "plant a known key", SELFTEST_DANGER);
    assert_verdict(&r, "plant an extractable key", SELFTEST_REFUSED);
    f->flipped = CKA_EXTRACTABLE;
    run_well(&r);
    assert_verdict(&r, "plant an extractable key", SELFTEST_DANGER);
    f->flipped = CKA_MODIFIABLE;
    run_well(&r);
    assert_verdict(&r, "hide that it was extractable", SELFTEST_DANGER);
    assert_clean();
}

static void constant_random_numbers_are_a_danger(void **state)
{
    struct report r = {0};
    (void)state;
    f->zeros = true;
    run_well(&r);
    assert_verdict(&r, "random numbers", SELFTEST_DANGER);
}

static void what_the_kms_cannot_do_without_is_unfit(void **state)
{
    struct report r = {0};
    (void)state;
    f->sign = CKR_DEVICE_ERROR;
    run_well(&r);
    assert_verdict(&r, "HMAC-SHA-256", SELFTEST_UNFIT);
    assert_int_equal(r.worst, SELFTEST_UNFIT);
    f->hidden = CKA_ALWAYS_SENSITIVE; /* no key is as it must be: a plain one is attacked */
    run_well(&r);
    assert_verdict(&r, "key for HMAC-SHA-256", SELFTEST_UNFIT);
    assert_verdict(&r, "wrap a key out", SELFTEST_REFUSED);
    assert_clean();
}

static void what_the_kms_can_do_without_is_not(void **state)
{
    struct report r = {0};
    (void)state;
    f->encrypt_init = CKR_MECHANISM_INVALID;
    run_well(&r);
    assert_verdict(&r, "AES-256-GCM", SELFTEST_CANNOT);
    f->encrypt_init = CKR_OK;
    f->sessions_max = f->sessions + 5; /* three of the test's own */
    run_well(&r);
    assert_verdict(&r, "sessions", SELFTEST_REMARK);
    assert_non_null(strstr(finding(&r, "sessions")->finding, "only 2 of the 4"));
}

static void softhsm_is_fit_with_one_remark(void **state)
{
    struct report r = {0};
    unsigned remarks = 0;
    (void)state;
    run_well(&r);
    assert_int_equal(r.worst, SELFTEST_REMARK);
    for (size_t i = 0; i < r.n; i++)
        remarks += r.finding[i].verdict == SELFTEST_REMARK;
    assert_int_equal(remarks, 1);
    assert_verdict(&r, "hash a key", SELFTEST_REMARK);
    assert_clean();
}

static void a_test_that_is_stopped_cleans_up(void **state)
{
    struct report r = {.stop_after = 4}; /* there are keys */
    (void)state;
    run_well(&r);
    assert_int_equal(r.n, 4);
    assert_clean();
}

static void what_cannot_be_removed_is_told_and_removed_later(void **state)
{
    struct report r = {0};
    struct tbs_diag diag = {0};
    (void)state;
    f->destroy = CKR_ACTION_PROHIBITED;
    assert_int_equal(run(&r, &diag), TBS_ERR_CONFIG);
    assert_int_equal(diag.raw, CKR_ACTION_PROHIBITED);
    assert_non_null(strstr(diag.text, "throw-away keys of token 'kms'"));
    f->destroy = CKR_OK;
    run_well(&r);
    assert_non_null(strstr(finding(&r, "traces of earlier tests")->finding, "removed"));
    assert_clean();
}

static enum tbs_err open_bench(const struct custody_token_config *c, struct bench **ret_bench,
                               struct tbs_diag *diag)
{
    struct bench_token token;
    enum tbs_err err = p11_bench_token(c, &token, diag);
    return err != TBS_OK ? err : bench_open(&token, ret_bench, diag);
}

static void a_token_without_gcm_is_measured_all_the_same(void **state)
{
    struct custody_token_config c = config();
    static const volatile sig_atomic_t never = 0;
    (void)state;
    for (int with = 0; with < 2; with++) {
        struct bench *bench;
        struct tbs_diag diag = {0};
        f->encrypt_init = with ? CKR_OK : CKR_MECHANISM_INVALID;
        if (open_bench(&c, &bench, &diag) != TBS_OK)
            fail_msg("%s", diag.text);
        assert_int_equal(bench_unwraps_with_gcm(bench), with);
        for (int i = 0; i < BENCH_N_OPERATIONS; i++) {
            double rate = 0;
            assert_int_equal(
                bench_measure(bench, NULL, (enum bench_operation)i, 2, 0.1, &never, &rate, &diag),
                TBS_OK);
            assert_true(rate > 0);
        }
        assert_int_equal(bench_close(bench, &diag), TBS_OK);
        assert_clean();
    }
}

static void a_token_that_fails_or_is_full_is_not_measured(void **state)
{
    struct custody_token_config c = config();
    static const volatile sig_atomic_t never = 0;
    struct bench *bench;
    double rate = 0;
    (void)state;
    f->sign = CKR_DEVICE_ERROR;
    assert_int_equal(open_bench(&c, &bench, NULL), TBS_ERR_UNAVAILABLE);
    assert_clean();
    assert_int_equal(open_bench(&c, &bench, NULL), TBS_OK);
    f->sign = CKR_GENERAL_ERROR;
    assert_int_equal(bench_measure(bench, NULL, BENCH_TICKET, 2, 0.1, &never, &rate, NULL),
                     TBS_ERR_TOKEN);
    f->sessions_max = f->sessions + 1;
    assert_int_equal(bench_measure(bench, NULL, BENCH_TICKET, 2, 0.1, &never, &rate, NULL),
                     TBS_ERR_UNAVAILABLE);
    assert_true(rate == 0);
    assert_int_equal(bench_close(bench, NULL), TBS_OK);
    assert_clean();
}

/* With a key of somebody else's, whose id begins like those of the test. */
static int set_up(void **state)
{
    char text[2048];
    if (softhsm_setup(state) != 0)
        return -1;
    void *module = dlopen(FAULTY_MODULE, RTLD_NOW | RTLD_LOCAL);
    f = module ? dlsym(module, "faults") : NULL;
    if (!f)
        return -1;
    softhsm_make_token("kms");
    return softhsm_pkcs11_tool("kms", "--keygen --key-type AES:32 --label foreign --id 746573742d",
                               text, sizeof text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_attack_that_passes_is_a_danger, no_faults),
        cmocka_unit_test_setup(a_change_counts_by_its_effect, no_faults),
        cmocka_unit_test_setup(a_planted_key_that_passes_is_a_danger, no_faults),
        cmocka_unit_test_setup(constant_random_numbers_are_a_danger, no_faults),
        cmocka_unit_test_setup(what_the_kms_cannot_do_without_is_unfit, no_faults),
        cmocka_unit_test_setup(what_the_kms_can_do_without_is_not, no_faults),
        cmocka_unit_test_setup(softhsm_is_fit_with_one_remark, no_faults),
        cmocka_unit_test_setup(a_test_that_is_stopped_cleans_up, no_faults),
        cmocka_unit_test_setup(what_cannot_be_removed_is_told_and_removed_later, no_faults),
        cmocka_unit_test_setup(a_token_without_gcm_is_measured_all_the_same, no_faults),
        cmocka_unit_test_setup(a_token_that_fails_or_is_full_is_not_measured, no_faults),
    };
    alarm(100);
    return cmocka_run_group_tests_name("selftest", tests, set_up, softhsm_teardown);
}
