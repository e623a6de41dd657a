/* Key templates, and each rule broken once: it is found, by its name, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "templates/rules.h"

#define TOKEN "784379787c99d1f5"

static json_t *parse(const char *text)
{
    char json[1024];
    snprintf(json, sizeof json, "%s", text);
    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_error_t error;
    json_t *parsed = json_loads(json, JSON_DECODE_ANY, &error);
    if (!parsed)
        fail_msg("%s: %s", json, error.text);
    return parsed;
}

static const struct key_template *template_of(const char *name)
{
    const struct key_template *template = NULL;
    struct tbs_diag diag;
    if (template_find(name, &template, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return template;
}

static json_t *expected(const char *name, enum template_profile profile)
{
    json_t *attributes = NULL;
    assert_int_equal(template_expected(template_of(name), profile, &attributes, NULL), TBS_OK);
    return attributes;
}

/* The rules of all findings, each once. */
static void check_rules(const char *what, const json_t *findings, const char *want)
{
    char rules[256] = "";
    size_t i;
    const json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        const char *rule = json_string_value(json_object_get(finding, "rule"));
        size_t len = strlen(rules);
        assert_true(json_string_length(json_object_get(finding, "sentence")) > 10);
        if (len >= strlen(rule) && strcmp(rules + len - strlen(rule), rule) == 0)
            continue;
        snprintf(rules + len, sizeof rules - len, "%s%s", len > 0 ? " " : "", rule);
    }
    if (strcmp(rules, want) != 0)
        fail_msg("%s: found '%s', not '%s'", what, rules, want);
}

static json_t *judge(const char *name, enum template_profile profile, const json_t *attributes,
                     const json_t *waivers)
{
    const struct rules_subject subject = {.template = template_of(name),
                                          .profile = profile,
                                          .attributes = attributes,
                                          .reopened = true};
    json_t *findings = NULL;
    struct tbs_diag diag;
    if (rules_judge_key(&subject, TOKEN, waivers, &findings, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return findings;
}

static const struct broken {
    const char *rule, *template;
    enum template_profile profile;
    const char *name, *value; /* the attribute that is other than it must be */
} broken[] = {
    {"R1", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_DERIVE", "true"},
    {"R1", "kek-aes-256-gcm-v1", TEMPLATE_SITE_ONLY, "CKA_ENCRYPT", "false"},
    {"R2", "transport-rsa-3072-unwrap-v1", TEMPLATE_PRIVATE, "CKA_WRAP", "true"},
    {"R3", "tpk-hmac-sha256-replicated-v1", TEMPLATE_SEALED, "CKA_MODIFIABLE", "true"},
    {"R3", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_COPYABLE", "true"},
    {"R4", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_ALLOWED_MECHANISMS", "[]"},
    {"R4", "tpk-hmac-sha256-replicated-v1", TEMPLATE_RESTORED, "CKA_ALLOWED_MECHANISMS",
     "['CKM_SHA256_HMAC', 'CKM_SHA_1_HMAC']"},
    {"R5", "tpk-hmac-sha256-replicated-v1", TEMPLATE_SEALED, "CKA_EXTRACTABLE", "true"},
    {"R5", "tpk-hmac-sha256-replicated-v1", TEMPLATE_BORN, "CKA_TOKEN", "true"},
    {"R5", "tpk-hmac-sha256-replicated-v1", TEMPLATE_BORN, "CKA_WRAP_WITH_TRUSTED", "false"},
    {"R5", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_NEVER_EXTRACTABLE", "false"},
    {"R5", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_ALWAYS_SENSITIVE", "false"},
    {"R6", "transport-public-wrap-v1", TEMPLATE_TRUSTED, "CKA_TRUSTED", "false"},
    {"R6", "transport-public-wrap-v1", TEMPLATE_TRUSTED, "CKA_WRAP_TEMPLATE",
     "{'CKA_LOCAL': true, 'CKA_WRAP_WITH_TRUSTED': true}"},
    {"R7", "transport-rsa-3072-unwrap-v1", TEMPLATE_PRIVATE, "CKA_UNWRAP_TEMPLATE", "{}"},
    {"R8", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_LOCAL", "false"},
    {"R8", "tpk-hmac-sha256-replicated-v1", TEMPLATE_RESTORED, "CKA_LOCAL", "true"},
    {"R1 R9", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_UNWRAP", "true"},
    {"R4 R14", "kek-aes-256-gcm-v1", TEMPLATE_SITE_ONLY, "CKA_ALLOWED_MECHANISMS",
     "['CKM_AES_ECB']"},
    {"R15", "ceremony-ecdsa-p256-v1", TEMPLATE_PRIVATE, "CKA_ALWAYS_AUTHENTICATE", "false"},
    {"R16", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_PRIVATE", "false"},
    {"R16 pair", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_SENSITIVE", "false"},
    {"R18", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_KEY_TYPE", "'CKK_AES'"},
    {"R19", "tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, "CKA_COPYABLE", "null"},
    {"R1 pair", "kek-aes-256-gcm-v1", TEMPLATE_SITE_ONLY, "CKA_SIGN", "true"},
};

static void test_broken_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const struct broken *b = &broken[i];
        json_t *attributes = expected(b->template, b->profile);
        json_object_set_new(attributes, b->name, parse(b->value));
        json_t *findings = judge(b->template, b->profile, attributes, NULL);
        check_rules(b->name, findings, b->rule);
        assert_false(rules_pass(findings));
        json_decref(findings);
        json_decref(attributes);
    }
}

/* What every template itself asks for breaks no rule; nor does it leave anything to the token. */
static void test_own_templates(void **state)
{
    (void)state;
    const struct key_template *template;
    size_t profiles = 0;
    for (size_t i = 0; (template = template_at(i)); i++) {
        for (unsigned p = 0; p < TEMPLATE_N_PROFILES; p++) {
            json_t *given = NULL;
            struct tbs_diag diag;
            enum tbs_err err = template_given(template, (enum template_profile)p, &given, &diag);
            if ((template->profiles & 1u << p) == 0) {
                assert_int_equal(err, TBS_ERR_INVALID);
                continue;
            }
            assert_int_equal(err, TBS_OK);
            json_t *attributes = expected(template->name, (enum template_profile)p);
            json_t *findings = judge(template->name, (enum template_profile)p, attributes, NULL);
            check_rules(template->name, findings, "");
            assert_true(rules_pass(findings));
            const char *name, *last = "";
            json_t *value;
            json_object_foreach(given, name, value)
            {
                last = name;
                assert_true(json_equal(value, json_object_get(attributes, name)));
            }
            assert_string_equal(last, "CKA_MODIFIABLE");
            json_decref(findings);
            json_decref(attributes);
            json_decref(given);
            profiles++;
        }
    }
    assert_int_equal(profiles, 25);
}

static void test_names(void **state)
{
    (void)state;
    const struct key_template *template = NULL;
    enum template_profile profile;
    assert_int_equal(template_find("tpk", &template, NULL), TBS_ERR_NOT_FOUND);
    assert_null(template);
    assert_false(template_profile_find("loose", &profile));
    assert_true(template_profile_find("sealed", &profile));
    assert_int_equal(profile, TEMPLATE_SEALED);
    assert_string_equal(template_profile_name(profile), "sealed");
}

static void test_check_values(void **state)
{
    (void)state;
    json_t *attributes = expected("tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY);
    json_t *check =
        parse("{'method': 'hmac-empty/16', 'value': '39ee801d4739ee801d4739ee801d4739'}");
    json_t *other =
        parse("{'method': 'hmac-empty/16', 'value': '39ee801d4839ee801d4839ee801d4839'}");
    json_t *foreign =
        parse("{'method': 'aes-cmac-zero/5', 'value': '39ee801d4739ee801d4739ee801d4739'}");
    struct rules_subject s = {.template = template_of("tpk-hmac-sha256-site-only-v1"),
                              .profile = TEMPLATE_SITE_ONLY,
                              .attributes = attributes,
                              .check = check,
                              .registered = check,
                              .reopened = true};
    const struct {
        const json_t *check, *registered;
        bool reopened;
        const char *rule;
    } cases[] = {{check, check, true, ""},
                 {check, other, true, "R12"},
                 {foreign, NULL, true, "R10"},
                 {check, check, false, "R17"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *findings = NULL;
        s.check = cases[i].check;
        s.registered = cases[i].registered;
        s.reopened = cases[i].reopened;
        assert_int_equal(rules_judge_key(&s, TOKEN, NULL, &findings, NULL), TBS_OK);
        check_rules("check value", findings, cases[i].rule);
        json_decref(findings);
    }
    json_decref(attributes);
    json_decref(check);
    json_decref(other);
    json_decref(foreign);
}

/* A waiver counts for its rule and its token; the finding stays and says why it is waived. */
static void test_waivers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool passes;
    } cases[] = {
        {"[{'rule': 'R3', 'token': '" TOKEN "', 'reason': 'old', 'by': 'SO'}]", true},
        {"[{'rule': 'R4', 'token': '" TOKEN "', 'reason': 'old', 'by': 'SO'}]", false},
        {"[{'rule': 'R3', 'token': '784379787c99d1f6', 'reason': 'old', 'by': 'SO'}]", false},
    };
    json_t *attributes = expected("tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY);
    json_object_set_new(attributes, "CKA_COPYABLE", json_true());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *waivers = parse(cases[i].text);
        json_t *findings =
            judge("tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY, attributes, waivers);
        check_rules("waiver", findings, "R3");
        assert_int_equal(rules_pass(findings), cases[i].passes);
        json_decref(findings);
        json_decref(waivers);
    }
    json_t *silent = parse("[{'rule': 'R3', 'token': '" TOKEN "', 'reason': '', 'by': 'SO'}]");
    const struct rules_subject subject = {
        .template = template_of("canary-v1"), .profile = TEMPLATE_SEALED, .attributes = attributes};
    json_t *findings = NULL;
    assert_int_equal(rules_judge_key(&subject, TOKEN, silent, &findings, NULL), TBS_ERR_MALFORMED);
    assert_null(findings);
    json_decref(silent);
    json_decref(attributes);
}

/* --- Inventories --- */

static json_t *object(const char *id, const char *check)
{
    return json_pack("{s:s, s:s, s:o, s:{s:s, s:s}}", "class", "CKO_SECRET_KEY", "id", id,
                     "attributes", expected("tpk-hmac-sha256-site-only-v1", TEMPLATE_SITE_ONLY),
                     "check", "method", "hmac-empty/16", "value", check);
}

static json_t *entry(const char *id, const char *check)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s}}", "class", "CKO_SECRET_KEY", "id", id,
                     "template", "tpk-hmac-sha256-site-only-v1", "profile", "site-only", "check",
                     "method", "hmac-empty/16", "value", check);
}

static void check_inventory(json_t *objects, json_t *entries, const char *rules, const char *id)
{
    json_t *findings = NULL;
    struct tbs_diag diag;
    if (rules_judge_inventory(objects, entries, TOKEN, NULL, &findings, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    check_rules("inventory", findings, rules);
    if (id)
        assert_string_equal(json_string_value(json_object_get(json_array_get(findings, 0), "id")),
                            id);
    json_decref(findings);
    json_decref(objects);
    json_decref(entries);
}

static void test_inventory(void **state)
{
    (void)state;
    check_inventory(json_pack("[o]", object("a", "01")), json_pack("[o]", entry("a", "01")), "",
                    NULL);
    /* Unknown, missing. */
    check_inventory(json_pack("[o, o]", object("a", "01"), object("ghost", "02")),
                    json_pack("[o]", entry("a", "01")), "R18", "ghost");
    check_inventory(json_pack("[o]", object("a", "01")),
                    json_pack("[o, o]", entry("a", "01"), entry("b", "02")), "R18", "b");
    /* A clone under another name, and two of one id. */
    check_inventory(json_pack("[o, o]", object("a", "01"), object("b", "01")),
                    json_pack("[o, o]", entry("a", "01"), entry("b", "01")), "R13", "b");
    check_inventory(json_pack("[o, o]", object("a", "01"), object("a", "02")),
                    json_pack("[o]", entry("a", "01")), "R13 R12", "a");
    /* Another key of the name. */
    check_inventory(json_pack("[o]", object("a", "02")), json_pack("[o]", entry("a", "01")), "R12",
                    "a");
    json_t *wrong = entry("a", "01"), *objects = json_pack("[o]", object("a", "01"));
    json_object_set_new(wrong, "profile", json_string("loose"));
    json_t *entries = json_pack("[o]", wrong), *findings = NULL;
    assert_int_equal(rules_judge_inventory(objects, entries, TOKEN, NULL, &findings, NULL),
                     TBS_ERR_INVALID);
    assert_null(findings);
    json_decref(objects);
    json_decref(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_rules), cmocka_unit_test(test_own_templates),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_check_values),
        cmocka_unit_test(test_waivers),      cmocka_unit_test(test_inventory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
