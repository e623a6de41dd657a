/* Sealed PINs without a TPM: their files, the states that are signed, and which of them is nearest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tpm/sealed.h"

static char path[] = "/tmp/tbs-sealed-XXXXXX";
static EVP_PKEY *key, *other;
static struct sealed_pin made;

static struct sealed_pin_pcrs state_of(uint32_t chosen, uint8_t octet)
{
    struct sealed_pin_pcrs pcrs = {.chosen = chosen};
    for (unsigned i = 0; i < SEALED_PIN_PCRS; i++)
        if (chosen >> i & 1)
            memset(pcrs.value[i], octet, sizeof pcrs.value[i]);
    return pcrs;
}

static enum tbs_err sign(struct sealed_pin *sealed, const struct sealed_pin_pcrs *pcrs,
                         EVP_PKEY *with, bool keep)
{
    uint8_t octets[SEALED_PIN_TO_SIGN_LEN], signature[SEALED_SIGNATURE_MAX];
    size_t len = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(sealed_pin_to_sign(sealed, pcrs, octets, NULL), TBS_OK);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, with), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, octets, sizeof octets), 1);
    EVP_MD_CTX_free(ctx);
    return sealed_pin_approve(sealed, pcrs, tbs_bytes(signature, len), keep, NULL);
}

/* As sealed_pin_make, but for what the TPM adds. */
static int set_up(void **state)
{
    (void)state;
    unsigned char *spki = NULL;
    key = EVP_EC_gen("P-256");
    other = EVP_EC_gen("P-256");
    int len = i2d_PUBKEY(key, &spki);
    assert_in_range(len, 1, SEALED_AUTHORITY_MAX);
    memcpy(made.authority, spki, (size_t)len);
    made.authority_len = (size_t)len;
    OPENSSL_free(spki);
    memset(made.reference, 7, sizeof made.reference);
    assert_true(sealed_template(&made, &made.public));
    close(mkstemp(path));
    strcpy(made.path, path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return unlink(path);
}

static void only_the_authority_signs_a_state(void **state)
{
    (void)state;
    struct sealed_pin sealed = made;
    struct sealed_pin_pcrs pcrs = state_of(1 << 7, 1), none = {0}, beyond = {.chosen = 1u << 24};
    assert_int_equal(sign(&sealed, &pcrs, other, false), TBS_ERR_AUTH);
    assert_int_equal(sign(&sealed, &none, key, false), TBS_ERR_INVALID);
    assert_int_equal(sign(&sealed, &beyond, key, false), TBS_ERR_INVALID);
    assert_int_equal(sealed_pin_approve(&sealed, &pcrs, tbs_bytes(NULL, 0), false, NULL),
                     TBS_ERR_AUTH);
    assert_int_equal(sealed.n_policies, 0);
    assert_int_equal(sign(&sealed, &pcrs, key, false), TBS_OK);

    /* What is signed for one sealing is worth nothing for another. */
    struct sealed_pin again = made;
    again.reference[0] ^= 1;
    assert_int_equal(sealed_pin_approve(
                         &again, &pcrs,
                         tbs_bytes(sealed.policies[0].signature, sealed.policies[0].signature_len),
                         false, NULL),
                     TBS_ERR_AUTH);
}

static void the_newest_states_are_kept_where_that_is_wanted(void **state)
{
    (void)state;
    struct sealed_pin sealed = made;
    struct sealed_pin_pcrs pcrs;
    for (unsigned i = 0; i < SEALED_PIN_POLICIES_MAX + 2; i++) {
        pcrs = state_of(1u << i, (uint8_t)i);
        assert_int_equal(sign(&sealed, &pcrs, key, true), TBS_OK);
    }
    assert_int_equal(sealed.n_policies, SEALED_PIN_POLICIES_MAX);
    assert_int_equal(sealed_pin_chosen(&sealed), 0x3c); /* PCRs 2 to 5 */
    assert_int_equal(sign(&sealed, &pcrs, key, false), TBS_OK);
    assert_int_equal(sealed.n_policies, 1);
    assert_int_equal(sealed_pin_chosen(&sealed), 0x20);
}

static void the_nearest_state_and_its_pcrs_are_named(void **state)
{
    (void)state;
    struct sealed_pin sealed = made;
    struct sealed_pin_pcrs old = state_of(0x91, 1), new = state_of(0x91, 2), now = new, nearest;
    uint32_t differ = 0;
    char names[POLICY_NAMES_MAX];
    assert_false(sealed_pin_nearest(&sealed, &now, &nearest, &differ));
    assert_int_equal(sign(&sealed, &old, key, true), TBS_OK);
    assert_int_equal(sign(&sealed, &new, key, true), TBS_OK);
    assert_true(sealed_pin_nearest(&sealed, &now, &nearest, &differ));
    assert_int_equal(differ, 0);
    memset(now.value[7], 3, sizeof now.value[7]);
    assert_true(sealed_pin_nearest(&sealed, &now, &nearest, &differ));
    assert_memory_equal(&nearest, &new, sizeof nearest);
    policy_names(differ, names);
    assert_string_equal(names, "PCR 7");
    assert_true(sealed_pin_nearest(&sealed, &(struct sealed_pin_pcrs){0}, &nearest, &differ));
    policy_names(differ, names);
    assert_string_equal(names, "PCRs 0, 4 and 7");
    policy_names(0xffffff, names);
    assert_string_equal(names + strlen(names) - 9, "22 and 23");
}

static void a_file_comes_back_as_it_was(void **state)
{
    (void)state;
    struct sealed_pin sealed = made, *read = NULL;
    struct sealed_pin_pcrs one = state_of(0x800080, 1), all = state_of(0xffffff, 2);
    struct tbs_diag diag = {0};
    assert_int_equal(sign(&sealed, &one, key, true), TBS_OK);
    assert_int_equal(sign(&sealed, &all, key, true), TBS_OK);
    assert_int_equal(sealed_pin_write(&sealed, NULL), TBS_OK);
    if (sealed_pin_read(path, &read, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    assert_string_equal(read->path, path);
    assert_int_equal(read->n_policies, 2);
    assert_memory_equal(read->policies, sealed.policies, sizeof sealed.policies);
    assert_memory_equal(read->reference, sealed.reference, sizeof sealed.reference);
    sealed_pin_free(read);

    assert_int_equal(chmod(path, 0606), 0);
    assert_int_equal(sealed_pin_read(path, &read, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "nobody else may write it"));
    assert_int_equal(sealed_pin_read("/tmp", &read, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "not a regular file"));
    assert_int_equal(sealed_pin_read("/tmp/none/of/it", &read, &diag), TBS_ERR_NOT_FOUND);
}

/* --- Files that are none --- */

static void refused(const char *text, const char *why)
{
    struct sealed_pin sealed = {.n_policies = 77};
    struct tbs_diag diag = {0};
    assert_int_equal(sealed_parse("f", tbs_bytes_str(text), &sealed, &diag), TBS_ERR_CONFIG);
    if (!strstr(diag.text, why))
        fail_msg("'%s' instead of '%s'", diag.text, why);
    assert_int_equal(sealed.n_policies, 77);
}

/* The right one with another value of a member; NULL: without it. */
static void refused_with(const char *member, json_t *value, const char *why)
{
    json_t *file = json_load_file(path, 0, NULL);
    assert_non_null(file);
    if (value)
        json_object_set_new(file, member, value);
    else
        json_object_del(file, member);
    char *text = json_dumps(file, 0);
    refused(text, why);
    free(text);
    json_decref(file);
}

static json_t *policy(const char *pcr, const char *value)
{
    json_t *file = json_load_file(path, 0, NULL);
    json_t *first = json_array_get(json_object_get(file, "policies"), 0);
    json_t *with = json_pack("[{s:{s:s},s:O}]", "pcrs", pcr, value, "signature",
                             json_object_get(first, "signature"));
    json_decref(file);
    return with;
}

static void what_is_no_sealed_pin_is_refused(void **state)
{
    (void)state;
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct sealed_pin sealed = made;
    struct sealed_pin_pcrs pcrs = state_of(1, 1);
    assert_int_equal(sign(&sealed, &pcrs, key, true), TBS_OK);
    assert_int_equal(sealed_pin_write(&sealed, NULL), TBS_OK);

    refused("", "it is not JSON");
    refused("[]", "it lacks a member");
    refused("{\"format\":1,\"format\":1}", "it is not JSON");
    refused_with("format", NULL, "it lacks a member");
    refused_with("more", json_integer(1), "has one more");
    refused_with("version", json_integer(2), "another format or version");
    refused_with("format", json_string("tbs-kms key in a TPM"), "another format or version");
    refused_with("primary", json_string(zeros), "its primary or its reference");
    refused_with("reference", json_string("x"), "its primary or its reference");
    refused_with("reference", json_string(zeros), "is not what a sealed PIN of this authority has");
    refused_with("authority", json_string("AAAA"), "its authority is no public key on P-256");
    refused_with("public", json_string("AAAA"), "its public or private area");
    refused_with("public", json_string("ABAACAALAAAAAAAAAAUACwAA"), "its public area is not what");
    refused_with("private", json_string("AAAA"), "its public or private area");
    refused_with("policies", json_object(), "no list of at most 4");
    refused_with("policies", json_pack("[n,n,n,n,n]"), "no list of at most 4");
    refused_with("policies", json_pack("[n]"), "a PCR policy in it does not decode");
    refused_with("policies", policy("24", zeros), "a PCR policy in it does not decode");
    refused_with("policies", policy("00", zeros), "a PCR policy in it does not decode");
    refused_with("policies", policy("", zeros), "a PCR policy in it does not decode");
    refused_with("policies", policy("0", "00"), "a PCR policy in it does not decode");
    refused_with("policies", policy("0", zeros), "the signature of a PCR policy in it is wrong");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_authority_signs_a_state),
        cmocka_unit_test(the_newest_states_are_kept_where_that_is_wanted),
        cmocka_unit_test(the_nearest_state_and_its_pcrs_are_named),
        cmocka_unit_test(a_file_comes_back_as_it_was),
        cmocka_unit_test(what_is_no_sealed_pin_is_refused),
    };
    return cmocka_run_group_tests_name("sealed-pin", tests, set_up, tear_down);
}
