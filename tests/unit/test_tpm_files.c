/* The TPM backend without a TPM: answers and their classes, key files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tpm/tpm.h"

static void answers_have_their_classes(void **state)
{
    (void)state;
    static const struct {
        TSS2_RC rc;
        enum custody_class class;
        enum tbs_err err;
    } want[] = {
        {TPM2_RC_RETRY, CUSTODY_RETRY_SAME, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_YIELDED, CUSTODY_RETRY_SAME, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_TESTING, CUSTODY_RETRY_SAME, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_OBJECT_MEMORY, CUSTODY_SHED, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_SESSION_HANDLES, CUSTODY_SHED, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_INITIALIZE, CUSTODY_REINIT, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_REFERENCE_H0, CUSTODY_REINIT, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_REFERENCE_S1, CUSTODY_REINIT, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_FAILURE, CUSTODY_RETRY_OTHER, TBS_ERR_TOKEN},
        {TPM2_RC_LOCKOUT, CUSTODY_RETRY_OTHER, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_COMMAND_CODE, CUSTODY_FATAL_CONFIG, TBS_ERR_UNSUPPORTED},
        /* With the handle, session or parameter it is about. */
        {TPM2_RC_HANDLE | TPM2_RC_H | TPM2_RC_1, CUSTODY_REINIT, TBS_ERR_UNAVAILABLE},
        {TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_1, CUSTODY_FATAL_CONFIG, TBS_ERR_CONFIG},
        {TPM2_RC_INTEGRITY | TPM2_RC_P | TPM2_RC_1, CUSTODY_FATAL_CONFIG, TBS_ERR_CONFIG},
        {TPM2_RC_HASH | TPM2_RC_P | TPM2_RC_2, CUSTODY_FATAL_CONFIG, TBS_ERR_UNSUPPORTED},
        /* Through a resource manager, and of the layers themselves. */
        {TSS2_RESMGR_TPM_RC_LAYER | TPM2_RC_RETRY, CUSTODY_RETRY_SAME, TBS_ERR_UNAVAILABLE},
        {TSS2_RESMGR_RC_LAYER | TSS2_BASE_RC_GENERAL_FAILURE, CUSTODY_REINIT, TBS_ERR_UNAVAILABLE},
        {TSS2_TCTI_RC_IO_ERROR, CUSTODY_REINIT, TBS_ERR_UNAVAILABLE},
        {TSS2_TCTI_RC_NO_CONNECTION, CUSTODY_REINIT, TBS_ERR_UNAVAILABLE},
        {TSS2_TCTI_RC_TRY_AGAIN, CUSTODY_RETRY_SAME, TBS_ERR_UNAVAILABLE},
        {TSS2_ESYS_RC_RSP_AUTH_FAILED, CUSTODY_REINIT, TBS_ERR_TOKEN},
        {TSS2_ESYS_RC_MEMORY, CUSTODY_SHED, TBS_ERR_NOMEM},
        /* What nobody knows is a failure, to be examined. */
        {0x7FF, CUSTODY_RETRY_OTHER, TBS_ERR_TOKEN},
        {TSS2_TCTI_RC_LAYER | 0xFFFF, CUSTODY_RETRY_OTHER, TBS_ERR_TOKEN},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (tpm_classify(want[i].rc) != want[i].class || tpm_rc_err(want[i].rc) != want[i].err)
            fail_msg("0x%x: class %d, error %d", want[i].rc, tpm_classify(want[i].rc),
                     tpm_rc_err(want[i].rc));
}

static void a_failure_says_what_to_do(void **state)
{
    (void)state;
    struct tbs_diag diag = {0};
    assert_int_equal(tpm_fail(&diag, TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_1, "using %s", "tpk-1"),
                     TBS_ERR_CONFIG);
    assert_int_equal(diag.raw, 0x9a2);
    assert_string_equal(diag.text, "using tpk-1: the TPM answered BAD_AUTH (0x9a2): the PIN is "
                                   "wrong, or the owner hierarchy has an authorisation");
}

static void refused(const char *text, const char *why)
{
    struct tpm_blob blob = {.id = "tpk-1", .label = "untouched"};
    struct tbs_diag diag = {0};
    assert_int_equal(tpm_blob_parse("tpk-1.json", tbs_bytes_str(text), &blob, &diag),
                     TBS_ERR_CONFIG);
    if (!strstr(diag.text, why))
        fail_msg("%s", diag.text);
    assert_string_equal(blob.label, "untouched");
}

#define FILE_OF(format, version, label, public, private)                                           \
    "{\"format\":" format ",\"version\":" version ",\"label\":" label                              \
    ",\"public\":" public ",\"private\":" private "}"
#define RIGHT "\"tbs-kms key in a TPM\""
/* A TPM2B_PUBLIC of a key for HMAC-SHA-256 without attributes, and an empty TPM2B_PRIVATE. */
#define PUBLIC "\"ABAACAALAAAAAAAAAAUACwAA\""
#define PRIVATE "\"AAA=\""

static void what_is_no_key_file_is_refused(void **state)
{
    (void)state;
    struct tpm_blob blob = {.id = "tpk-1"};
    struct tbs_diag diag = {0};
    if (tpm_blob_parse("f", tbs_bytes_str(FILE_OF(RIGHT, "1", "\"x\"", PUBLIC, PRIVATE)), &blob,
                       &diag) != TBS_OK)
        fail_msg("the right one: %s", diag.text);
    refused("", "it is not JSON");
    refused("[]", "lacks a member");
    refused("{}", "lacks a member");
    refused("{\"format\":1,\"format\":1}", "it is not JSON");
    refused("{} {}", "it is not JSON");
    refused(FILE_OF("1", "1", "\"x\"", PUBLIC, PRIVATE), "lacks a member");
    refused(FILE_OF(RIGHT, "\"1\"", "\"x\"", PUBLIC, PRIVATE), "lacks a member");
    refused(FILE_OF(RIGHT, "1", "\"x\"", PUBLIC, PRIVATE ",\"more\":1"), "one more");
    refused(FILE_OF(RIGHT, "2", "\"x\"", PUBLIC, PRIVATE), "another format or version");
    refused(FILE_OF("\"key\"", "1", "\"x\"", PUBLIC, PRIVATE), "another format or version");
    refused(FILE_OF(RIGHT, "1", "\"a\\nb\"", PUBLIC, PRIVATE), "its label");
    refused(FILE_OF(RIGHT, "1",
                    "\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
                    PUBLIC, PRIVATE),
            "its label");
    refused(FILE_OF(RIGHT, "1", "\"x\"", "\"\"", PRIVATE), "its public area");
    refused(FILE_OF(RIGHT, "1", "\"x\"", "\"ABI*\"", PRIVATE), "its public area");
    refused(FILE_OF(RIGHT, "1", "\"x\"", "\"ABIACAAL\"", PRIVATE), "its public area");
    refused(FILE_OF(RIGHT, "1", "\"x\"", "\"//8ACAALAAAAAAAAAAUACwAA\"", PRIVATE),
            "its public area");
    refused(FILE_OF(RIGHT, "1", "\"x\"", PUBLIC, "\"AAAA\""), "its private area");
    refused(FILE_OF(RIGHT, "1", "\"x\"", PUBLIC, "\"//8A\""), "its private area");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_have_their_classes),
        cmocka_unit_test(a_failure_says_what_to_do),
        cmocka_unit_test(what_is_no_key_file_is_refused),
    };
    return cmocka_run_group_tests_name("tpm-files", tests, NULL, NULL);
}
