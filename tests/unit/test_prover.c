/* Thirteen ways to set up a token, from careless to proposed, and what comes of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "templates/prover.h"

/* What all keys are unless a configuration says otherwise. */
static const char sound[] =
    "{'CKA_SENSITIVE': true, 'CKA_EXTRACTABLE': false, 'CKA_MODIFIABLE': false,"
    " 'CKA_WRAP_WITH_TRUSTED': false, 'CKA_TRUSTED': false, 'CKA_LOCAL': true,"
    " 'CKA_ALWAYS_SENSITIVE': true, 'CKA_WRAP': false, 'CKA_UNWRAP': false, 'CKA_ENCRYPT': false,"
    " 'CKA_DECRYPT': false, 'CKA_SIGN': false, 'CKA_VERIFY': false, 'CKA_DERIVE': false}";

#define ALL                                                                                        \
    "'CKA_WRAP':1, 'CKA_UNWRAP':1, 'CKA_ENCRYPT':1, 'CKA_DECRYPT':1, 'CKA_SIGN':1, "               \
    "'CKA_VERIFY':1, 'CKA_DERIVE':1, 'CKA_MODIFIABLE':1"
#define KWP "'CKA_ALLOWED_MECHANISMS':['CKM_AES_KEY_WRAP_PAD']"
#define OAEP "'CKA_ALLOWED_MECHANISMS':['CKM_RSA_PKCS_OAEP']"
#define HMAC "'CKA_ALLOWED_MECHANISMS':['CKM_SHA256_HMAC']"
#define BOTH "'CKA_WRAP':1, 'CKA_UNWRAP':1"
#define UNWRAPS                                                                                    \
    "'CKA_UNWRAP_TEMPLATE':{'CKA_SENSITIVE':true, 'CKA_EXTRACTABLE':false, "                       \
    "'CKA_MODIFIABLE':false, 'CKA_WRAP':false, 'CKA_UNWRAP':false, 'CKA_ENCRYPT':false, "          \
    "'CKA_DECRYPT':false, 'CKA_DERIVE':false, 'CKA_SIGN':true, 'CKA_VERIFY':true, " HMAC "}"
#define WRAPS                                                                                      \
    "'CKA_WRAP_TEMPLATE':{'CKA_LOCAL':true, 'CKA_ALWAYS_SENSITIVE':true, "                         \
    "'CKA_WRAP_WITH_TRUSTED':true}"
#define SEALED "'CKA_SIGN':1, " HMAC

static const struct row {
    const char *what, *keys[3]; /* KEK, TPK, KEK's public half: what differs from `sound` */
    bool stolen;                /* the TPK wrapped by the KEK */
    const char *leaks, *drift, *forgeable;
} rows[] = {
    {"SoftHSM's defaults", {ALL, ALL ", 'CKA_EXTRACTABLE':1"}, false, "TPK", "KEK TPK", "KEK TPK"},
    {"sensitive and extractable, no KEK",
     {NULL, "'CKA_SIGN':1, 'CKA_DECRYPT':1, 'CKA_EXTRACTABLE':1, 'CKA_MODIFIABLE':1"},
     false,
     "TPK",
     "TPK",
     "TPK"},
    {"sensitive, not extractable, modifiable",
     {NULL, "'CKA_SIGN':1, 'CKA_MODIFIABLE':1"},
     false,
     "",
     "TPK",
     "TPK"},
    {"a modifiable KEK that wraps and unwraps",
     {BOTH ", 'CKA_MODIFIABLE':1", "'CKA_SIGN':1"},
     true,
     "TPK",
     "KEK TPK",
     "KEK TPK"},
    {"an immutable KEK, the TPK extractable",
     {BOTH ", " KWP, "'CKA_SIGN':1, 'CKA_EXTRACTABLE':1"},
     true,
     "TPK",
     "TPK",
     "KEK TPK"},
    {"the same, trusted",
     {BOTH ", 'CKA_TRUSTED':1, " KWP,
      "'CKA_SIGN':1, 'CKA_EXTRACTABLE':1, 'CKA_WRAP_WITH_TRUSTED':1"},
     true,
     "TPK",
     "TPK",
     "KEK TPK"},
    {"with an unwrap template",
     {BOTH ", 'CKA_TRUSTED':1, " KWP ", " UNWRAPS,
      SEALED ", 'CKA_EXTRACTABLE':1, 'CKA_WRAP_WITH_TRUSTED':1"},
     true,
     "",
     "",
     "KEK"},
    {"with a wrap template of LOCAL and WRAP_WITH_TRUSTED",
     {BOTH ", 'CKA_TRUSTED':1, " KWP ", " UNWRAPS
           ", 'CKA_WRAP_TEMPLATE':{'CKA_LOCAL':true, 'CKA_WRAP_WITH_TRUSTED':true}",
      SEALED ", 'CKA_EXTRACTABLE':1, 'CKA_WRAP_WITH_TRUSTED':1"},
     true,
     "",
     "",
     "KEK"},
    {"and ALWAYS_SENSITIVE",
     {BOTH ", 'CKA_TRUSTED':1, " KWP ", " UNWRAPS ", " WRAPS,
      SEALED ", 'CKA_EXTRACTABLE':1, 'CKA_WRAP_WITH_TRUSTED':1"},
     true,
     "",
     "",
     ""},
    {"a KEK that also makes CMACs",
     {BOTH ", 'CKA_SIGN':1, 'CKA_TRUSTED':1, "
           "'CKA_ALLOWED_MECHANISMS':['CKM_AES_KEY_WRAP_PAD','CKM_AES_CMAC'], " UNWRAPS ", " WRAPS,
      SEALED},
     true,
     "",
     "KEK",
     "KEK"},
    {"a KEK that only wraps, a sealed TPK",
     {"'CKA_WRAP':1, 'CKA_TRUSTED':1, " KWP ", " WRAPS, SEALED},
     true,
     "",
     "",
     ""},
    {"a KEK that only unwraps", {"'CKA_UNWRAP':1, " KWP ", " UNWRAPS, SEALED}, true, "", "", ""},
    {"from token to token",
     {"'CKA_CLASS':'CKO_PRIVATE_KEY', 'CKA_UNWRAP':1, " OAEP ", " UNWRAPS, SEALED,
      "'CKA_CLASS':'CKO_PUBLIC_KEY', 'CKA_WRAP':1, 'CKA_TRUSTED':1, " OAEP ", " WRAPS},
     true,
     "",
     "",
     "KEK"},
};

static json_t *parse(const char *text)
{
    char json[2048];
    snprintf(json, sizeof json, "%s", text);
    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_error_t error;
    json_t *parsed = json_loads(json, 0, &error);
    if (!parsed)
        fail_msg("%s: %s", json, error.text);
    return parsed;
}

static json_t *attributes_of(const char *differs)
{
    char text[2048];
    snprintf(text, sizeof text, "{%s}", differs);
    json_t *all = parse(sound), *more = parse(text), *value;
    const char *name;
    json_object_foreach(more, name, value)
    {
        if (json_is_integer(value)) /* 1 is short for true */
            json_object_set_new(all, name, json_true());
        else
            json_object_set(all, name, value);
    }
    json_decref(more);
    return all;
}

static json_t *key_entry(const char *name, const char *differs)
{
    return json_pack("{s:s, s:o}", "key", name, "attributes", attributes_of(differs));
}

static void check_names(const char *what, const char *which, const json_t *list, const char *want)
{
    char names[256] = "";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *name = json_is_object(entry) ? json_object_get(entry, "key") : entry;
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? " " : "",
                 json_string_value(name));
    }
    if (strcmp(names, want) != 0)
        fail_msg("%s: %s are '%s', not '%s'", what, which, names, want);
}

static void test_configurations(void **state)
{
    (void)state;
    static const char *const names[] = {"KEK", "TPK", "KEK"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *keys = json_array(), *verdict = NULL;
        json_t *wrapped = parse(rows[i].stolen ? "[['KEK', 'TPK']]" : "[]");
        struct tbs_diag diag;
        for (size_t k = 0; k < 3; k++) {
            if (rows[i].keys[k])
                json_array_append_new(keys, key_entry(names[k], rows[i].keys[k]));
        }
        assert_int_equal(prover_prove(keys, wrapped, &verdict, &diag), TBS_OK);
        check_names(rows[i].what, "leaks", json_object_get(verdict, "leaks"), rows[i].leaks);
        check_names(rows[i].what, "drift", json_object_get(verdict, "drift"), rows[i].drift);
        check_names(rows[i].what, "forgeable", json_object_get(verdict, "forgeable"),
                    rows[i].forgeable);
        json_decref(verdict);
        json_decref(keys);
        json_decref(wrapped);
    }
}

/* Whatever a template says, a key that was unwrapped is not of this token: a KEK that takes only
 * such keys does not take it, though it would give it away. */
static void test_restored_is_not_local(void **state)
{
    (void)state;
    static const char *const takes[] = {"'CKA_LOCAL':true", "'CKA_WRAP_WITH_TRUSTED':true"};
    static const char *const leaks[] = {"", "TPK"};
    for (size_t i = 0; i < 2; i++) {
        char giver[512];
        snprintf(giver, sizeof giver,
                 "'CKA_WRAP':1, 'CKA_DECRYPT':1, 'CKA_TRUSTED':1, "
                 "'CKA_ALLOWED_MECHANISMS':['CKM_AES_CBC'], 'CKA_WRAP_TEMPLATE':{%s}",
                 takes[i]);
        json_t *keys = json_pack(
            "[o, o, o]",
            key_entry("IN", "'CKA_UNWRAP':1, " KWP ", 'CKA_UNWRAP_TEMPLATE':{'CKA_LOCAL':true, "
                            "'CKA_SENSITIVE':true, 'CKA_EXTRACTABLE':true, "
                            "'CKA_WRAP_WITH_TRUSTED':true, 'CKA_MODIFIABLE':false, " HMAC "}"),
            key_entry("OUT", giver), key_entry("TPK", SEALED));
        json_t *wrapped = parse("[['IN', 'TPK']]"), *verdict = NULL;
        assert_int_equal(prover_prove(keys, wrapped, &verdict, NULL), TBS_OK);
        check_names(takes[i], "leaks", json_object_get(verdict, "leaks"), leaks[i]);
        json_decref(verdict);
        json_decref(keys);
        json_decref(wrapped);
    }
}

/* What nobody says is taken for the worst. */
static void test_unsaid(void **state)
{
    (void)state;
    json_t *keys = parse(
        "[{'key': 'TPK', 'attributes': {'CKA_SENSITIVE': null, 'CKA_WRAP_WITH_TRUSTED': true}}]");
    json_t *verdict = NULL;
    assert_int_equal(prover_prove(keys, NULL, &verdict, NULL), TBS_OK);
    check_names("nothing said", "leaks", json_object_get(verdict, "leaks"), "TPK");
    const json_t *leak = json_array_get(json_object_get(verdict, "leaks"), 0);
    assert_string_equal(json_string_value(json_object_get(leak, "how")),
                        "TPK has a CKA_VALUE that can be read");
    json_decref(verdict);
    json_decref(keys);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[{'attributes': {}}]",
        "[{'key': 'A'}]",
        "[{'key': 'A', 'attributes': {'CKA_ALLOWED_MECHANISMS': [1]}}]",
        "[{'key': 'A', 'attributes': {'CKA_UNWRAP_TEMPLATE': {'CKA_ALLOWED_MECHANISMS': [1]}}}]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *keys = parse(texts[i]), *verdict = NULL;
        assert_int_equal(prover_prove(keys, NULL, &verdict, NULL), TBS_ERR_MALFORMED);
        assert_null(verdict);
        json_decref(keys);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    json_t *keys = json_array(), *verdict = NULL;
    for (int i = 0; i < 40; i++)
        json_array_append_new(
            keys, json_pack("{s:o, s:{}}", "key", json_sprintf("k%d", i), "attributes"));
    assert_int_equal(prover_prove(keys, NULL, &verdict, NULL), TBS_ERR_LIMIT);
    json_decref(keys);
}

/* All that the project has, on one token: nothing gets out and no key gets a second role. Wrapped
 * keys can be forged for a public transport key, so they are signed. */
static void test_own_templates(void **state)
{
    (void)state;
    const struct key_template *all[32];
    size_t n = 0;
    json_t *verdict = NULL;
    while (template_at(n)) {
        all[n] = template_at(n);
        n++;
    }
    assert_int_equal(prover_prove_templates(all, n, &verdict, NULL), TBS_OK);
    check_names("own templates", "leaks", json_object_get(verdict, "leaks"), "");
    check_names("own templates", "drift", json_object_get(verdict, "drift"), "");
    const json_t *forgeable = json_object_get(verdict, "forgeable");
    assert_string_equal(json_string_value(json_array_get(forgeable, 0)),
                        "transport-rsa-3072-unwrap-v1");
    assert_string_equal(json_string_value(json_array_get(forgeable, 1)), "escrow-rsa-3072-v1");
    json_decref(verdict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configurations), cmocka_unit_test(test_restored_is_not_local),
        cmocka_unit_test(test_unsaid),         cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_too_many),       cmocka_unit_test(test_own_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
