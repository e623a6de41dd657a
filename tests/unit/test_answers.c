/* What a token can answer: every return value of PKCS#11 3.0, by its number there, with what is to
 * be done about it. Independent of the header that the backend is built with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pkcs11/p11.h"

static const struct {
    unsigned long rv;
    const char *name;
    enum custody_class class;
} standard[] = {
    {0x1, "CKR_CANCEL", CUSTODY_RETRY_SAME},
    {0x2, "CKR_HOST_MEMORY", CUSTODY_SHED},
    {0x3, "CKR_SLOT_ID_INVALID", CUSTODY_REINIT},
    {0x5, "CKR_GENERAL_ERROR", CUSTODY_RETRY_OTHER},
    {0x6, "CKR_FUNCTION_FAILED", CUSTODY_RETRY_OTHER},
    {0x7, "CKR_ARGUMENTS_BAD", CUSTODY_CALLER},
    {0x8, "CKR_NO_EVENT", CUSTODY_RETRY_OTHER},
    {0x9, "CKR_NEED_TO_CREATE_THREADS", CUSTODY_FATAL_CONFIG},
    {0xA, "CKR_CANT_LOCK", CUSTODY_FATAL_CONFIG},
    {0x10, "CKR_ATTRIBUTE_READ_ONLY", CUSTODY_FATAL_CONFIG},
    {0x11, "CKR_ATTRIBUTE_SENSITIVE", CUSTODY_FATAL_CONFIG},
    {0x12, "CKR_ATTRIBUTE_TYPE_INVALID", CUSTODY_FATAL_CONFIG},
    {0x13, "CKR_ATTRIBUTE_VALUE_INVALID", CUSTODY_FATAL_CONFIG},
    {0x1B, "CKR_ACTION_PROHIBITED", CUSTODY_FATAL_CONFIG},
    {0x20, "CKR_DATA_INVALID", CUSTODY_CALLER},
    {0x21, "CKR_DATA_LEN_RANGE", CUSTODY_CALLER},
    {0x30, "CKR_DEVICE_ERROR", CUSTODY_RETRY_OTHER},
    {0x31, "CKR_DEVICE_MEMORY", CUSTODY_SHED},
    {0x32, "CKR_DEVICE_REMOVED", CUSTODY_RETRY_OTHER},
    {0x40, "CKR_ENCRYPTED_DATA_INVALID", CUSTODY_CALLER},
    {0x41, "CKR_ENCRYPTED_DATA_LEN_RANGE", CUSTODY_CALLER},
    {0x42, "CKR_AEAD_DECRYPT_FAILED", CUSTODY_CALLER},
    {0x50, "CKR_FUNCTION_CANCELED", CUSTODY_RETRY_SAME},
    {0x51, "CKR_FUNCTION_NOT_PARALLEL", CUSTODY_RETRY_SAME},
    {0x54, "CKR_FUNCTION_NOT_SUPPORTED", CUSTODY_FATAL_CONFIG},
    {0x60, "CKR_KEY_HANDLE_INVALID", CUSTODY_REINIT},
    {0x62, "CKR_KEY_SIZE_RANGE", CUSTODY_FATAL_CONFIG},
    {0x63, "CKR_KEY_TYPE_INCONSISTENT", CUSTODY_FATAL_CONFIG},
    {0x64, "CKR_KEY_NOT_NEEDED", CUSTODY_CALLER},
    {0x65, "CKR_KEY_CHANGED", CUSTODY_REINIT},
    {0x66, "CKR_KEY_NEEDED", CUSTODY_CALLER},
    {0x67, "CKR_KEY_INDIGESTIBLE", CUSTODY_FATAL_CONFIG},
    {0x68, "CKR_KEY_FUNCTION_NOT_PERMITTED", CUSTODY_FATAL_CONFIG},
    {0x69, "CKR_KEY_NOT_WRAPPABLE", CUSTODY_FATAL_CONFIG},
    {0x6A, "CKR_KEY_UNEXTRACTABLE", CUSTODY_FATAL_CONFIG},
    {0x70, "CKR_MECHANISM_INVALID", CUSTODY_FATAL_CONFIG},
    {0x71, "CKR_MECHANISM_PARAM_INVALID", CUSTODY_FATAL_CONFIG},
    {0x82, "CKR_OBJECT_HANDLE_INVALID", CUSTODY_REINIT},
    {0x90, "CKR_OPERATION_ACTIVE", CUSTODY_RETRY_SAME},
    {0x91, "CKR_OPERATION_NOT_INITIALIZED", CUSTODY_RETRY_SAME},
    {0xA0, "CKR_PIN_INCORRECT", CUSTODY_FATAL_CONFIG},
    {0xA1, "CKR_PIN_INVALID", CUSTODY_FATAL_CONFIG},
    {0xA2, "CKR_PIN_LEN_RANGE", CUSTODY_FATAL_CONFIG},
    {0xA3, "CKR_PIN_EXPIRED", CUSTODY_FATAL_CONFIG},
    {0xA4, "CKR_PIN_LOCKED", CUSTODY_FATAL_CONFIG},
    {0xB0, "CKR_SESSION_CLOSED", CUSTODY_RETRY_SAME},
    {0xB1, "CKR_SESSION_COUNT", CUSTODY_SHED},
    {0xB3, "CKR_SESSION_HANDLE_INVALID", CUSTODY_RETRY_SAME},
    {0xB4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", CUSTODY_FATAL_CONFIG},
    {0xB5, "CKR_SESSION_READ_ONLY", CUSTODY_FATAL_CONFIG},
    {0xB6, "CKR_SESSION_EXISTS", CUSTODY_FATAL_CONFIG},
    {0xB7, "CKR_SESSION_READ_ONLY_EXISTS", CUSTODY_FATAL_CONFIG},
    {0xB8, "CKR_SESSION_READ_WRITE_SO_EXISTS", CUSTODY_FATAL_CONFIG},
    {0xC0, "CKR_SIGNATURE_INVALID", CUSTODY_CALLER},
    {0xC1, "CKR_SIGNATURE_LEN_RANGE", CUSTODY_CALLER},
    {0xD0, "CKR_TEMPLATE_INCOMPLETE", CUSTODY_FATAL_CONFIG},
    {0xD1, "CKR_TEMPLATE_INCONSISTENT", CUSTODY_FATAL_CONFIG},
    {0xE0, "CKR_TOKEN_NOT_PRESENT", CUSTODY_RETRY_OTHER},
    {0xE1, "CKR_TOKEN_NOT_RECOGNIZED", CUSTODY_FATAL_CONFIG},
    {0xE2, "CKR_TOKEN_WRITE_PROTECTED", CUSTODY_FATAL_CONFIG},
    {0xF0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", CUSTODY_REINIT},
    {0xF1, "CKR_UNWRAPPING_KEY_SIZE_RANGE", CUSTODY_FATAL_CONFIG},
    {0xF2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", CUSTODY_FATAL_CONFIG},
    {0x100, "CKR_USER_ALREADY_LOGGED_IN", CUSTODY_CALLER},
    {0x101, "CKR_USER_NOT_LOGGED_IN", CUSTODY_RELOGIN},
    {0x102, "CKR_USER_PIN_NOT_INITIALIZED", CUSTODY_FATAL_CONFIG},
    {0x103, "CKR_USER_TYPE_INVALID", CUSTODY_FATAL_CONFIG},
    {0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", CUSTODY_FATAL_CONFIG},
    {0x105, "CKR_USER_TOO_MANY_TYPES", CUSTODY_FATAL_CONFIG},
    {0x110, "CKR_WRAPPED_KEY_INVALID", CUSTODY_CALLER},
    {0x112, "CKR_WRAPPED_KEY_LEN_RANGE", CUSTODY_CALLER},
    {0x113, "CKR_WRAPPING_KEY_HANDLE_INVALID", CUSTODY_REINIT},
    {0x114, "CKR_WRAPPING_KEY_SIZE_RANGE", CUSTODY_FATAL_CONFIG},
    {0x115, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT", CUSTODY_FATAL_CONFIG},
    {0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED", CUSTODY_FATAL_CONFIG},
    {0x121, "CKR_RANDOM_NO_RNG", CUSTODY_RETRY_OTHER},
    {0x130, "CKR_DOMAIN_PARAMS_INVALID", CUSTODY_FATAL_CONFIG},
    {0x140, "CKR_CURVE_NOT_SUPPORTED", CUSTODY_FATAL_CONFIG},
    {0x150, "CKR_BUFFER_TOO_SMALL", CUSTODY_CALLER},
    {0x160, "CKR_SAVED_STATE_INVALID", CUSTODY_RETRY_SAME},
    {0x170, "CKR_INFORMATION_SENSITIVE", CUSTODY_FATAL_CONFIG},
    {0x180, "CKR_STATE_UNSAVEABLE", CUSTODY_RETRY_SAME},
    {0x190, "CKR_CRYPTOKI_NOT_INITIALIZED", CUSTODY_REINIT},
    {0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED", CUSTODY_CALLER},
    {0x1A0, "CKR_MUTEX_BAD", CUSTODY_RETRY_OTHER},
    {0x1A1, "CKR_MUTEX_NOT_LOCKED", CUSTODY_RETRY_OTHER},
    {0x1B0, "CKR_NEW_PIN_MODE", CUSTODY_FATAL_CONFIG},
    {0x1B1, "CKR_NEXT_OTP", CUSTODY_FATAL_CONFIG},
    {0x1B5, "CKR_EXCEEDED_MAX_ITERATIONS", CUSTODY_RETRY_OTHER},
    {0x1B6, "CKR_FIPS_SELF_TEST_FAILED", CUSTODY_RETRY_OTHER},
    {0x1B7, "CKR_LIBRARY_LOAD_FAILED", CUSTODY_FATAL_CONFIG},
    {0x1B8, "CKR_PIN_TOO_WEAK", CUSTODY_FATAL_CONFIG},
    {0x1B9, "CKR_PUBLIC_KEY_INVALID", CUSTODY_FATAL_CONFIG},
    {0x200, "CKR_FUNCTION_REJECTED", CUSTODY_FATAL_CONFIG},
    {0x201, "CKR_TOKEN_RESOURCE_EXCEEDED", CUSTODY_SHED},
    {0x202, "CKR_OPERATION_CANCEL_FAILED", CUSTODY_RETRY_SAME},
    {0x203, "CKR_KEY_EXHAUSTED", CUSTODY_FATAL_CONFIG},
};

static void every_answer_has_its_name_and_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++) {
        assert_string_equal(p11_rv_name(standard[i].rv), standard[i].name);
        if (p11_classify(standard[i].rv) != standard[i].class)
            fail_msg("%s: class %d", standard[i].name, p11_classify(standard[i].rv));
    }
}

/* An error of CALLER or RETRY_SAME is never told as one that a person has to mend. */
static void errors_go_with_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++) {
        enum tbs_err err = p11_rv_err(standard[i].rv);
        bool is_fatal = standard[i].class == CUSTODY_FATAL_CONFIG;
        if (err == TBS_ERR_CONFIG && !is_fatal)
            fail_msg("%s is TBS_ERR_CONFIG", standard[i].name);
        if (err == TBS_ERR_AUTH && standard[i].class != CUSTODY_CALLER)
            fail_msg("%s is TBS_ERR_AUTH", standard[i].name);
        if (is_fatal && err != TBS_ERR_CONFIG && err != TBS_ERR_UNSUPPORTED)
            fail_msg("%s is not for a person", standard[i].name);
    }
}

static void a_code_of_nobody_is_the_tokens_failure(void **state)
{
    (void)state;
    static const unsigned long codes[] = {0x4, 0x35, 0x1C0, 0x1C4, 0x204, 0x80000000, 0x80000007};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_int_equal(p11_classify(codes[i]), CUSTODY_RETRY_OTHER);
        assert_int_equal(p11_rv_err(codes[i]), TBS_ERR_TOKEN);
    }
    assert_string_equal(p11_rv_name(0x80000007), "a vendor's own code");
    assert_string_equal(p11_rv_name(0x4), "an unexpected code");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_has_its_name_and_class),
        cmocka_unit_test(errors_go_with_classes),
        cmocka_unit_test(a_code_of_nobody_is_the_tokens_failure),
    };
    return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
