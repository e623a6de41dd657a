/* Opening a token: everything that must not open, and why it says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "softhsm.h"

static void wrong_configurations_say_what_is_wrong(void **state)
{
    (void)state;
    struct tbs_diag diag;
    struct custody_token_config good = softhsm_config("kms"), c = good;
    c.backend = "tpm";
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    c = good, c.module = "softhsm/libsofthsm2.so";
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    c = good, c.module = "nonexistent.so"; /* in p11-kit's directory */
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    c = good, c.module = NULL;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    c = good, c.module = "/nonexistent/module.so";
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_NOT_FOUND);
    c = good, c.module = "/bin/sh"; /* readable, but no module */
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    const char *const environment[] = {"SOFTHSM2 CONF=x"};
    c = good, c.environment = environment, c.n_environment = 1;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
}

static void uris_name_tokens_and_never_slots_or_pins(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "kms",
        "pkcs11:",
        "pkcs11:token=",
        "pkcs11:slot-id=0",
        "pkcs11:token=kms;slot-id=0",
        "pkcs11:token=kms;object=tpk",
        "pkcs11:token=kms;tokn=x",
        "pkcs11:token=%zz",
        "pkcs11:manufacturer=SoftHSM%20project",
        "pkcs11:token=kms?pin-value=739146",
        "pkcs11:token=kms?pin-source=739146",
        "pkcs11:token=kms;pin-value=739146",
        "pkcs11:token=kms;pinfile=739146",
        "pkcs11:token=kms?module-path=/tmp/739146.so",
    };
    struct tbs_diag diag;
    struct custody_token_config c = softhsm_config("kms");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        c.uri = wrong[i];
        if (softhsm_try_open(&c, &diag) != TBS_ERR_CONFIG || strstr(diag.text, "739146"))
            fail_msg("%s: %d %s", wrong[i], diag.code, diag.text);
    }
    c.uri = NULL;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
}

static void a_missing_token_is_named_with_what_is_there(void **state)
{
    (void)state;
    struct tbs_diag diag;
    struct custody_token_config c = softhsm_config("nowhere");
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, "'kms'"));
}

static void init_token_refuses_what_is_there_and_half_work(void **state)
{
    (void)state;
    struct tbs_diag diag = {0};
    struct custody_token_config c = softhsm_config("kms");
    assert_int_equal(custody_init_token(&c, "kms", softhsm_so_pin, softhsm_user_pin, &diag),
                     TBS_ERR_EXISTS);
    c.uri = "pkcs11:manufacturer=SoftHSM%20project";
    assert_int_equal(custody_init_token(&c, "kms", softhsm_so_pin, softhsm_user_pin, &diag),
                     TBS_ERR_EXISTS);
    c = softhsm_config("new");
    assert_int_equal(custody_init_token(&c, "", softhsm_so_pin, softhsm_user_pin, &diag),
                     TBS_ERR_INVALID);
    assert_int_equal(custody_init_token(&c, "123456789012345678901234567890123", softhsm_so_pin,
                                        softhsm_user_pin, &diag),
                     TBS_ERR_INVALID);
    assert_int_equal(custody_init_token(&c, "other", softhsm_so_pin, softhsm_user_pin, &diag),
                     TBS_ERR_CONFIG); /* the URI names another */
    assert_int_equal(custody_init_token(&c, "new", softhsm_so_pin, "file:/nonexistent", &diag),
                     TBS_ERR_NOT_FOUND);
    assert_int_equal(custody_init_token(&c, "new", "1234", softhsm_user_pin, &diag),
                     TBS_ERR_CONFIG);
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_NOT_FOUND); /* nothing was made */
}

static void unsafe_pin_files_stop_the_login(void **state)
{
    (void)state;
    struct tbs_diag diag;
    char source[160];
    struct custody_token_config c = softhsm_config("kms");
    softhsm_put_file("open.pin", SOFTHSM_USER_PIN, sizeof SOFTHSM_USER_PIN - 1, 0644);
    snprintf(source, sizeof source, "file:%s", softhsm_path("open.pin"));
    c.pin_source = source;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "0644"));
    c.pin_source = SOFTHSM_USER_PIN;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_null(strstr(diag.text, SOFTHSM_USER_PIN));
    c.pin_source = NULL;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
}

static void a_wrong_pin_is_sent_once(void **state)
{
    (void)state;
    struct tbs_diag diag;
    char source[160];
    struct custody_token_config c = softhsm_config("kms");
    softhsm_put_file("wrong.pin", "user-4712", 9, 0400);
    snprintf(source, sizeof source, "file:%s", softhsm_path("wrong.pin"));
    c.pin_source = source;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_int_equal(diag.raw, CKR_PIN_INCORRECT);
    assert_non_null(strstr(diag.text, "CKR_PIN_INCORRECT"));
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "not sent again"));
    assert_null(strstr(diag.text, "4712"));
    c.pin_source = softhsm_user_pin;
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_OK);
}

static void several_fitting_tokens_are_an_error(void **state)
{
    (void)state;
    struct tbs_diag diag;
    char text[4096], uri[128], serial[17];
    assert_int_equal(softhsm_run("softhsm2-util --init-token --free --label kms --so-pin 12345678 "
                                 "--pin 12345678",
                                 text, sizeof text),
                     0);
    struct custody_token_config c = softhsm_config("kms");
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "2 tokens"));
    /* Only the token of the test's own PIN lets it in: serial= must tell them apart. */
    unsigned opened = 0, wrong_pin = 0;
    for (char *at = diag.text; (at = strstr(at, "(serial ")); at++) {
        assert_int_equal(sscanf(at, "(serial %16[0-9a-f])", serial), 1);
        snprintf(uri, sizeof uri, "pkcs11:token=kms;serial=%s", serial);
        struct tbs_diag why;
        c.uri = uri;
        enum tbs_err err = softhsm_try_open(&c, &why);
        opened += err == TBS_OK;
        wrong_pin += err == TBS_ERR_CONFIG && why.raw == CKR_PIN_INCORRECT;
        if (err != TBS_OK) {
            snprintf(text, sizeof text, "softhsm2-util --delete-token --serial %s", serial);
            char out[512];
            assert_int_equal(softhsm_run(text, out, sizeof out), 0);
        }
    }
    assert_int_equal(opened, 1);
    assert_int_equal(wrong_pin, 1);
}

static int set_up(void **state)
{
    if (softhsm_setup(state) != 0)
        return -1;
    softhsm_make_token("kms");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_configurations_say_what_is_wrong),
        cmocka_unit_test(uris_name_tokens_and_never_slots_or_pins),
        cmocka_unit_test(a_missing_token_is_named_with_what_is_there),
        cmocka_unit_test(init_token_refuses_what_is_there_and_half_work),
        cmocka_unit_test(unsafe_pin_files_stop_the_login),
        cmocka_unit_test(a_wrong_pin_is_sent_once),
        cmocka_unit_test(several_fitting_tokens_are_an_error),
    };
    alarm(60);
    return cmocka_run_group_tests_name("custody-open", tests, set_up, softhsm_teardown);
}
