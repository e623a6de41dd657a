/* Public areas, Names and policies of a TPM's keys, and their rules, from what swtpm and tpm2-tools
 * have told: without a TPM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "attest/attest.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/secret.h"
#include "templates/rules.h"

/* A KEK that stays, and a TPK that may go to one other storage key. */
static const char kek[] =
    "AAgACwAEBHIAINigveCur3jfqE4YqHK9CZdmaMk9RG23GyMKjEiKuMFzAAUACwAgh/44aPXcqasG"
    "TbU+1hxiM9uP2EoAZTbNohd1ReUFcAM=";
static const char tpk[] =
    "AAgACwAEBGAAIATbbqYQ3ou7DRIpRFXSjLXqsuCmwxggGtMmWiUVtD16AAUACwAgNBWrR4fXgae7"
    "HBJLjGJdbs0m5A3oMk+l7xHYGbCIJNY=";
static const char tpk_parent[] =
    "000b01ad88497f9c614c76accd9cc1ae1ee13e8b64d6b1cef5fedb92cd6d4a34001c";
static const char tpk_name[] =
    "000b3e0238c8e3070b89f7b72a3ea861f40c198535fc6441f2b79662bb2d97d61090";

static json_t *attributes_of(const char *base64, const char *parent)
{
    TBS_BUF_AUTO struct tbs_buf area = tbs_buf();
    json_t *attributes = NULL;
    assert_true(tbs_base64_decode(tbs_bytes_str(base64), &area));
    assert_int_equal(attest_attributes(tbs_buf_view(&area), &attributes, NULL), TBS_OK);
    if (parent)
        json_object_set_new(attributes, "parents", json_pack("[s]", parent));
    return attributes;
}

/* Rules of the findings, each followed by a blank. */
static void judged(const char *template, const char *id, const json_t *attributes, const char *want)
{
    struct rules_subject s = {.id = id, .attributes = attributes, .reopened = true};
    json_t *findings = NULL, *finding;
    char rules[200] = "";
    size_t i;
    assert_int_equal(template_find(template, &s.template, NULL), TBS_OK);
    s.profile =
        s.template->profiles & 1u << TEMPLATE_SITE_ONLY ? TEMPLATE_SITE_ONLY : TEMPLATE_SEALED;
    assert_int_equal(rules_judge_key(&s, "", NULL, &findings, NULL), TBS_OK);
    json_array_foreach(findings, i, finding)
    {
        size_t len = strlen(rules);
        snprintf(rules + len, sizeof rules - len, "%s ",
                 json_string_value(json_object_get(finding, "rule")));
    }
    json_decref(findings);
    assert_string_equal(rules, want);
}

static void keys_as_they_must_be(void **state)
{
    (void)state;
    json_t *stays = attributes_of(kek, NULL), *goes = attributes_of(tpk, tpk_parent);
    judged("kek-hmac-sha256-tpm-v1", "kek-2026-01", stays, "");
    judged("tpk-hmac-sha256-tpm-replicated-v1", "tpk-2026-01", goes, "");
    assert_string_equal(json_string_value(json_object_get(goes, "name")), tpk_name);
    json_decref(stays);
    json_decref(goes);
}

static void each_rule_is_found(void **state)
{
    (void)state;
    static const char stays[] = "kek-hmac-sha256-tpm-v1";
    static const char goes[] = "tpk-hmac-sha256-tpm-replicated-v1";
    json_t *a = attributes_of(kek, NULL);
    judged(stays, "kek-2026-02", a, "R22 ");
    judged("tpk-hmac-sha1-tpm-v1", "kek-2026-01", a, "R4 ");
    judged("audit-ecdsa-p256-tpm-v1", "kek-2026-01", a, "R18 R4 R19 ");
    judged(goes, "kek-2026-01", a, "R5 R5 R22 ");
    json_object_set_new(a, "sign", json_false());
    judged(stays, "kek-2026-01", a, "R1 R21 ");
    json_decref(a);
    a = attributes_of(kek, tpk_parent);
    judged(stays, "kek-2026-01", a, "R22 R22 ");
    json_decref(a);
    a = attributes_of(tpk, NULL);
    judged(stays, "tpk-2026-01", a, "R5 R5 R22 ");
    judged(goes, "tpk-2026-01", a, "R22 R22 ");
    json_decref(a);
    a = attributes_of(tpk, "000b00");
    judged(goes, "tpk-2026-01", a, "R22 ");
    json_object_set_new(a, "public", json_string("AAgA"));
    judged(goes, "tpk-2026-01", a, "R21 R22 ");
    json_decref(a);
}

static void what_is_no_area_is_refused(void **state)
{
    (void)state;
    TBS_BUF_AUTO struct tbs_buf area = tbs_buf();
    struct attest_public public;
    struct attest attest;
    assert_true(tbs_base64_decode(tbs_bytes_str(kek), &area));
    for (size_t len = 0; len < area.len; len++)
        assert_int_equal(attest_public_read(tbs_bytes(area.data, len), &public, NULL),
                         TBS_ERR_MALFORMED);
    tbs_put_u8(&area, 0);
    assert_int_equal(attest_public_read(tbs_buf_view(&area), &public, NULL), TBS_ERR_MALFORMED);
    assert_int_equal(attest_read(tbs_buf_view(&area), &attest, NULL), TBS_ERR_MALFORMED);
}

static void too_many_parents_are_refused(void **state)
{
    (void)state;
    static const uint8_t parents[ATTEST_PARENTS_MAX + 1][ATTEST_NAME_LEN];
    uint8_t policy[ATTEST_DIGEST_LEN];
    assert_int_equal(attest_key_policy("kek-1", parents, ATTEST_PARENTS_MAX, policy, NULL), TBS_OK);
    assert_int_equal(attest_key_policy("kek-1", parents, ATTEST_PARENTS_MAX + 1, policy, NULL),
                     TBS_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_as_they_must_be),
        cmocka_unit_test(each_rule_is_found),
        cmocka_unit_test(what_is_no_area_is_refused),
        cmocka_unit_test(too_many_parents_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
