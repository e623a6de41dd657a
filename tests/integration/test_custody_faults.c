/* What a healthy SoftHSM never does: PIN counters near their end, a PIN pad, operations that
 * fail half-way, attributes that are not as asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "custody/primitives.h"
#include "faulty_module.h"
#include "softhsm.h"

static struct faults *f;

static struct custody_token_config config(void)
{
    struct custody_token_config c = softhsm_config("kms");
    c.module = FAULTY_MODULE;
    return c;
}

static struct custody *open_token(struct custody_session **ret_session)
{
    struct custody_token_config c = config();
    struct custody *custody = NULL;
    struct tbs_diag diag = {0};
    if (softhsm_custody_open(&c, &custody, &diag) ||
        custody_session_open(custody, ret_session, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return custody;
}

static int no_faults(void **state)
{
    (void)state;
    *f = (struct faults){0};
    return 0;
}

static void a_pin_near_its_lock_is_not_tried(void **state)
{
    (void)state;
    struct custody_token_config c = config();
    struct tbs_diag diag;
    f->token_flags = CKF_USER_PIN_LOCKED;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_int_equal(diag.raw, CKR_PIN_LOCKED);
    f->token_flags = CKF_USER_PIN_FINAL_TRY;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "last try"));
    assert_int_equal(f->logins, 0);
    f->token_flags = CKF_USER_PIN_COUNT_LOW; /* somebody mistyped it once */
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_OK);
    assert_int_equal(f->logins, 1);
}

static void a_wrong_pin_reaches_the_token_once(void **state)
{
    (void)state;
    struct custody_token_config c = config();
    struct tbs_diag diag;
    char source[160];
    softhsm_put_file("wrong.pin", "user-4712", 9, 0400);
    snprintf(source, sizeof source, "file:%s", softhsm_path("wrong.pin"));
    c.pin_source = source;
    for (int i = 0; i < 3; i++)
        assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_int_equal(f->logins, 1);
    softhsm_put_file("wrong.pin", "user-4713", 9, 0400); /* another PIN is another matter */
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_int_equal(f->logins, 2);
}

static void a_token_with_a_pin_pad_gets_no_pin(void **state)
{
    (void)state;
    struct custody_token_config c = config();
    struct tbs_diag diag;
    f->token_flags = CKF_PROTECTED_AUTHENTICATION_PATH;
    c.pin_source = NULL;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_OK);
    assert_true(f->login_without_pin);
}

static void one_login_serves_all_custodies_of_a_process(void **state)
{
    (void)state;
    struct custody_session *a, *b;
    struct custody *first = open_token(&a), *second = open_token(&b);
    uint8_t octets[8];
    assert_int_equal(f->logins, 1);
    custody_session_close(a);
    custody_close(first);
    assert_int_equal(custody_random(b, octets, sizeof octets, NULL), TBS_OK);
    const struct custody_key *tpk =
        custody_current_key(second, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    uint8_t mac[CUSTODY_MAC_MAX];
    assert_int_equal(custody_hmac(b, tpk, tbs_bytes_str("x"), mac, NULL), TBS_OK);
    custody_session_close(b);
    custody_close(second);
}

/* Each failure leaves the operation active in SoftHSM: only a new session can go on. What another
 * session may mend is tried once more; what it cannot is told. */
static void a_failed_session_is_replaced(void **state)
{
    (void)state;
    static const struct {
        CK_RV rv;
        enum tbs_err err;
    } answers[] = {
        {CKR_DEVICE_REMOVED, TBS_OK},
        {CKR_DEVICE_ERROR, TBS_OK},
        {CKR_SESSION_HANDLE_INVALID, TBS_OK},
        {CKR_OPERATION_ACTIVE, TBS_OK},
        {CKR_KEY_HANDLE_INVALID, TBS_OK},
        {CKR_USER_NOT_LOGGED_IN, TBS_OK},
        {CKR_CRYPTOKI_NOT_INITIALIZED, TBS_OK},
        {CKR_GENERAL_ERROR, TBS_OK},
        {CKR_VENDOR_DEFINED | 7, TBS_OK},
        {CKR_SESSION_COUNT, TBS_ERR_UNAVAILABLE},
        {CKR_HOST_MEMORY, TBS_ERR_NOMEM},
        {CKR_FUNCTION_NOT_SUPPORTED, TBS_ERR_UNSUPPORTED},
        {CKR_KEY_FUNCTION_NOT_PERMITTED, TBS_ERR_CONFIG},
    };
    struct custody_health health;
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    const struct custody_key *tpk =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        uint8_t mac[CUSTODY_MAC_MAX] = {0}, zeros[CUSTODY_MAC_MAX] = {0};
        struct tbs_diag diag = {0};
        /* No examination that an earlier failure asked for meets this one. */
        assert_int_equal(custody_health(session, &health, NULL), TBS_OK);
        f->sign = answers[i].rv;
        assert_int_equal(custody_hmac(session, tpk, tbs_bytes_str("x"), mac, &diag),
                         answers[i].err);
        assert_int_equal(f->sign, CKR_OK);
        if (answers[i].err != TBS_OK) {
            assert_int_equal(diag.raw, answers[i].rv);
            assert_memory_equal(mac, zeros, sizeof mac); /* untouched */
        }
        assert_int_equal(custody_hmac(session, tpk, tbs_bytes_str("x"), mac, &diag), TBS_OK);
    }
    f->sign = CKR_DEVICE_ERROR; /* once is a session's trouble, not the token's */
    assert_int_equal(custody_health(session, &health, NULL), TBS_OK);
    assert_int_equal(health.state, CUSTODY_UP);
    custody_session_close(session);
    custody_close(custody);
}

static void only_a_wrong_tag_is_an_authentication_failure(void **state)
{
    (void)state;
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
    struct tbs_bytes who = tbs_bytes_str("alice");
    assert_int_equal(custody_wrap_secret(session, who, tbs_bytes_str("secret"), &blob, NULL),
                     TBS_OK);
    static const struct {
        CK_RV rv;
        enum tbs_err err;
    } answers[] = {{CKR_ENCRYPTED_DATA_INVALID, TBS_ERR_AUTH},
                   {CKR_GENERAL_ERROR, TBS_OK},  /* SoftHSM's for a wrong tag: once more */
                   {CKR_DEVICE_REMOVED, TBS_OK}, /* once more */
                   {CKR_HOST_MEMORY, TBS_ERR_NOMEM},
                   {CKR_OK, TBS_OK}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        TBS_SECRET_AUTO struct tbs_secret secret = {0};
        f->decrypt = answers[i].rv;
        assert_int_equal(custody_unwrap_secret(session, who, tbs_buf_view(&blob), &secret, NULL),
                         answers[i].err);
    }
    custody_session_close(session);
    custody_close(custody);
}

static enum tbs_err generate(enum custody_role role, enum custody_alg alg, const char *id,
                             struct tbs_diag *diag)
{
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    size_t before, after;
    custody_keys(custody, &before);
    enum tbs_err err = custody_generate_key(custody, role, alg, id, NULL, diag);
    custody_keys(custody, &after);
    assert_int_equal(after, err == TBS_OK ? before + 1 : before);
    custody_session_close(session);
    custody_close(custody);
    return err;
}

/* The token's attributes are believed only as read back. Opens first, as the same lie would
 * stop that. */
static void a_new_key_that_is_not_as_asked_for_is_destroyed(void **state)
{
    (void)state;
    static const CK_ATTRIBUTE_TYPE told[] = {CKA_EXTRACTABLE, CKA_LOCAL, CKA_ALWAYS_SENSITIVE,
                                             CKA_NEVER_EXTRACTABLE, CKA_COPYABLE};
    struct custody_session *session;
    struct custody *custody = open_token(&session);
    struct tbs_diag diag = {0};
    for (size_t i = 0; i < 2 * (sizeof told / sizeof *told); i++) {
        f->flipped = i % 2 == 0 ? told[i / 2] : 0;
        f->hidden = i % 2 == 1 ? told[i / 2] : 0;
        assert_int_equal(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256,
                                              "tpk-bad", NULL, &diag),
                         TBS_ERR_CONFIG);
        assert_non_null(strstr(diag.text, "key tpk-bad is not used: "));
    }
    f->flipped = CKA_LOCAL;
    f->hidden = 0;
    f->destroy = CKR_ACTION_PROHIBITED;
    assert_int_equal(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256,
                                          "tpk-stuck", NULL, &diag),
                     TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "destroy it by hand"));
    custody_session_close(session);
    custody_close(custody);

    *f = (struct faults){0};
    custody = open_token(&session);
    assert_null(custody_find_key(custody, tbs_bytes_str("tpk-bad"), CUSTODY_ROLE_TPK));
    assert_non_null(custody_find_key(custody, tbs_bytes_str("tpk-stuck"), CUSTODY_ROLE_TPK));
    custody_session_close(session);
    custody_close(custody);
}

static void a_new_key_that_does_not_work_is_destroyed(void **state)
{
    (void)state;
    struct tbs_diag diag = {0};
    f->encrypt_init = CKR_MECHANISM_INVALID;
    assert_int_equal(generate(CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-bad", &diag),
                     TBS_ERR_UNSUPPORTED);
    assert_int_equal(diag.raw, CKR_MECHANISM_INVALID);
    f->encrypt_init = CKR_OK;
    assert_int_equal(generate(CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-bad", &diag), TBS_OK);
}

static int set_up(void **state)
{
    if (softhsm_setup(state) != 0)
        return -1;
    void *module = dlopen(FAULTY_MODULE, RTLD_NOW | RTLD_LOCAL);
    f = module ? dlsym(module, "faults") : NULL;
    if (!f)
        return -1;
    softhsm_make_token("kms");
    struct custody *custody = softhsm_open("kms");
    enum tbs_err err = custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256,
                                            "tpk-2026-01", NULL, NULL);
    if (err == TBS_OK)
        err = custody_generate_key(custody, CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-2026-01",
                                   NULL, NULL);
    custody_close(custody);
    return err;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_pin_near_its_lock_is_not_tried, no_faults),
        cmocka_unit_test_setup(a_wrong_pin_reaches_the_token_once, no_faults),
        cmocka_unit_test_setup(a_token_with_a_pin_pad_gets_no_pin, no_faults),
        cmocka_unit_test_setup(one_login_serves_all_custodies_of_a_process, no_faults),
        cmocka_unit_test_setup(a_failed_session_is_replaced, no_faults),
        cmocka_unit_test_setup(only_a_wrong_tag_is_an_authentication_failure, no_faults),
        cmocka_unit_test_setup(a_new_key_that_is_not_as_asked_for_is_destroyed, no_faults),
        cmocka_unit_test_setup(a_new_key_that_does_not_work_is_destroyed, no_faults),
    };
    alarm(60);
    return cmocka_run_group_tests_name("custody-faults", tests, set_up, softhsm_teardown);
}
