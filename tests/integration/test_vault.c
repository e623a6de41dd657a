/* A ceremony's view of real tokens: site A, site B and a vault V. Keys are made on A, go to B and
 * V, are judged as an auditor would, attacked, cloned and destroyed. */
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "templates/rules.h"
#include "vault_world.h"

#define TPK "tpk-hmac-sha256-replicated-v1"

static struct vault *a, *b, *v;
static json_t *tpk_check; /* of tpk-1, once it is made */

/* --- Opening and initialising --- */

static void test_no_such_token(void **state)
{
    (void)state;
    const struct vault_token by_serial = {.module = SOFTHSM_MODULE, .serial = "0123456789abcdef"};
    const struct vault_token no_module = {.module = "/nonexistent.so", .label = "A"};
    struct vault *vault = NULL;
    must_not(TBS_ERR_NOT_FOUND, "no token", vault_open(&by_serial, NULL, &vault, &diag));
    must_not(TBS_ERR_NOT_FOUND, "/nonexistent.so", vault_open(&no_module, NULL, &vault, &diag));
    assert_null(vault);
}

static void test_initialise(void **state)
{
    (void)state;
    a = make_token("site-a", NULL);
    b = make_token("site-b", NULL);
    v = make_token("vault", NULL);
    assert_string_not_equal(vault_serial(a), vault_serial(b));
    assert_true(vault_is_initialised(a));
    json_t *info = NULL;
    must(vault_info(b, &info, &diag));
    assert_string_equal(text_of(info, "label"), "site-b");
    assert_string_equal(text_of(info, "serial"), vault_serial(b));
    assert_int_equal(strlen(text_of(info, "module_sha256")), 64);
    assert_true(json_array_size(json_object_get(info, "mechanisms")) > 20);
    json_decref(info);
    must_not(TBS_ERR_CONFIG, "CKR_PIN_INCORRECT",
             vault_login(a, false, tbs_bytes_str("wrong-pin"), &diag));
    must_not(TBS_ERR_INVALID, "label", vault_init_token(a, "", user_pin(), &diag));
}

/* --- From token to token --- */

static void trust(struct vault *site, const char *id, const char *spki_base64)
{
    json_t *key = NULL, *text = json_string(spki_base64);
    TBS_BUF_AUTO struct tbs_buf spki = octets_of(text);
    login(site);
    /* Not as user. */
    assert_int_not_equal(vault_transport_trust(site, id, tbs_buf_view(&spki), &key, NULL), TBS_OK);
    must(vault_login(site, true, tbs_bytes_str(SOFTHSM_SO_PIN), &diag));
    must_not(TBS_ERR_MALFORMED, "is not RSA",
             vault_transport_trust(site, id, tbs_bytes(spki.data, spki.len - 9), &key, &diag));
    assert_null(key);
    must(vault_transport_trust(site, id, tbs_buf_view(&spki), &key, &diag));
    assert_string_equal(text_of(key, "spki"), spki_base64);
    json_decref(text);
    json_decref(key);
}

static void connect_tokens(struct vault *to, const char *id)
{
    json_t *key = NULL;
    login(to);
    must(vault_transport_make(to, id, &key, &diag));
    assert_string_equal(text_of(json_object_get(key, "check"), "method"), "spki-sha256");
    trust(a, id, text_of(key, "spki"));
    json_decref(key);
    login(to);
    must_not(TBS_ERR_EXISTS, id, vault_transport_make(to, id, &key, &diag));
}

static void restore(struct vault *to, const char *id, const char *transport, const json_t *made)
{
    json_t *key = NULL;
    TBS_BUF_AUTO struct tbs_buf wrapped =
        octets_of(json_object_get(json_object_get(made, "wrapped"), transport));
    login(to);
    must(vault_unwrap(to, TPK, id, transport, OAEP_SHA_1, tbs_buf_view(&wrapped), &key, &diag));
    assert_true(json_equal(json_object_get(key, "check"), json_object_get(made, "check")));
    assert_true(json_is_false(json_object_get(json_object_get(key, "attributes"), "CKA_LOCAL")));
    json_decref(key);
    must_not(TBS_ERR_EXISTS, id,
             vault_unwrap(to, TPK, id, transport, OAEP_SHA_1, tbs_buf_view(&wrapped), &key, &diag));
}

static void test_transport(void **state)
{
    (void)state;
    static const struct vault_recipient recipients[] = {{"transport-b", OAEP_SHA_1},
                                                        {"transport-v", OAEP_SHA_1}};
    json_t *made = NULL, *key = NULL;
    connect_tokens(b, "transport-b");
    connect_tokens(v, "transport-v");
    login(a);
    static const struct vault_recipient nobody[] = {{"transport-x", OAEP_SHA_1}},
                                        otherwise[] = {{"transport-b", OAEP_SHA_256}};
    must_not(TBS_ERR_NOT_FOUND, "transport-x",
             vault_generate_replicated(a, TPK, "tpk-1", nobody, 1, &made, &diag));
    must_not(TBS_ERR_INVALID, "stay in one token",
             vault_generate_replicated(a, "tpk-hmac-sha256-site-only-v1", "tpk-1", recipients, 2,
                                       &made, &diag));
    must_not(TBS_ERR_INVALID, "not made to stay", vault_generate(a, TPK, "tpk-1", &key, &diag));
    must_not(TBS_ERR_UNSUPPORTED, "no key template",
             vault_generate(a, "tpk", "tpk-1", &key, &diag));
    /* SoftHSM knows no other hash; that is said, and nothing stays. */
    must_not(TBS_ERR_UNSUPPORTED, "OAEP with SHA-256",
             vault_generate_replicated(a, TPK, "tpk-1", otherwise, 1, &made, &diag));
    assert_null(made);
    assert_null(key);
    must(vault_generate_replicated(a, TPK, "tpk-1", recipients, 2, &made, &diag));
    const json_t *born = json_object_get(made, "born"),
                 *sealed = json_object_get(made, "attributes");
    assert_true(json_is_true(json_object_get(born, "CKA_EXTRACTABLE")));
    assert_true(json_is_false(json_object_get(born, "CKA_TOKEN")));
    assert_true(json_is_false(json_object_get(sealed, "CKA_EXTRACTABLE")));
    must_not(TBS_ERR_EXISTS, "tpk-1",
             vault_generate_replicated(a, TPK, "tpk-1", recipients, 2, &made, &diag));

    /* What is for V does not open in B, and what was changed opens nowhere. */
    TBS_BUF_AUTO struct tbs_buf wrapped =
        octets_of(json_object_get(json_object_get(made, "wrapped"), "transport-v"));
    login(b);
    assert_int_not_equal(vault_unwrap(b, TPK, "tpk-1", "transport-b", OAEP_SHA_1,
                                      tbs_buf_view(&wrapped), &key, NULL),
                         TBS_OK);
    login(v);
    wrapped.data[100] ^= 1;
    assert_int_not_equal(vault_unwrap(v, TPK, "tpk-1", "transport-v", OAEP_SHA_1,
                                      tbs_buf_view(&wrapped), &key, NULL),
                         TBS_OK);
    /* A template of another kind of key does not open it either. */
    wrapped.data[100] ^= 1;
    must_not(TBS_ERR_INVALID, "never 'restored'",
             vault_unwrap(v, "kek-aes-256-gcm-v1", "tpk-1", "transport-v", OAEP_SHA_1,
                          tbs_buf_view(&wrapped), &key, &diag));
    assert_null(key);
    restore(b, "tpk-1", "transport-b", made);
    restore(v, "tpk-1", "transport-v", made);
    must(vault_confirm(b, "tpk-1", json_object_get(made, "check"), &diag));
    tpk_check = json_incref(json_object_get(made, "check"));
    json_decref(made);
}

static struct tbs_buf pkcs8_of(EVP_PKEY *pair)
{
    struct tbs_buf octets = tbs_buf();
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    tbs_put_bytes(&octets, tbs_bytes(der, (size_t)len));
    PKCS8_PRIV_KEY_INFO_free(info);
    OPENSSL_free(der);
    return octets;
}

static char *spki_of(EVP_PKEY *pair)
{
    unsigned char *der = NULL;
    TBS_BUF_AUTO struct tbs_buf base64 = tbs_buf();
    int len = i2d_PUBKEY(pair, &der);
    tbs_put_base64(&base64, tbs_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return strndup((char *)base64.data, base64.len);
}

static size_t count_objects(struct vault *vault)
{
    json_t *objects = NULL;
    must(vault_inventory(vault, &objects, &diag));
    size_t n = json_array_size(objects);
    json_decref(objects);
    return n;
}

/* The other way of coming back: by a key that no token keeps. */
static void test_escrow(void **state)
{
    (void)state;
    const struct vault_recipient to[] = {{"escrow-1", OAEP_SHA_1}};
    EVP_PKEY *pair = EVP_RSA_gen(3072), *small = EVP_RSA_gen(2048);
    TBS_BUF_AUTO struct tbs_buf pkcs8 = pkcs8_of(pair), short_one = pkcs8_of(small);
    char *spki = spki_of(pair);
    json_t *made = NULL, *key = NULL, *visitor = NULL;
    trust(a, "escrow-1", spki);
    login(a);
    must(vault_generate_replicated(a, TPK, "tpk-escrowed", to, 1, &made, &diag));
    TBS_BUF_AUTO struct tbs_buf wrapped =
        octets_of(json_object_get(json_object_get(made, "wrapped"), "escrow-1"));
    login(v);
    size_t before = count_objects(v);
    must_not(TBS_ERR_MALFORMED, "not RSA of 3072 bits",
             vault_unwrap_escrowed(v, TPK, "tpk-escrowed", tbs_buf_view(&short_one), OAEP_SHA_1,
                                   tbs_buf_view(&wrapped), &key, &visitor, &diag));
    assert_int_not_equal(vault_unwrap_escrowed(v, "kek-aes-256-gcm-v1", "tpk-escrowed",
                                               tbs_buf_view(&pkcs8), OAEP_SHA_1,
                                               tbs_buf_view(&wrapped), &key, &visitor, NULL),
                         TBS_OK);
    wrapped.data[9] ^= 1;
    assert_int_not_equal(vault_unwrap_escrowed(v, TPK, "tpk-escrowed", tbs_buf_view(&pkcs8),
                                               OAEP_SHA_1, tbs_buf_view(&wrapped), &key, &visitor,
                                               NULL),
                         TBS_OK);
    wrapped.data[9] ^= 1;
    assert_null(key);
    assert_int_equal(count_objects(v), before);
    must(vault_unwrap_escrowed(v, TPK, "tpk-escrowed", tbs_buf_view(&pkcs8), OAEP_SHA_1,
                               tbs_buf_view(&wrapped), &key, &visitor, &diag));
    assert_true(json_equal(json_object_get(key, "check"), json_object_get(made, "check")));
    assert_true(json_is_false(json_object_get(visitor, "CKA_TOKEN")));
    assert_true(json_is_false(json_object_get(visitor, "CKA_DECRYPT")));
    assert_int_equal(count_objects(v), before + 1);
    json_t *done = NULL;
    must(vault_destroy_by_check(v, json_object_get(key, "check"), user_pin(), &done, &diag));
    json_decref(done);
    login(a);
    must(vault_destroy_by_check(a, json_object_get(key, "check"), user_pin(), &done, &diag));
    json_decref(done);
    json_decref(made);
    json_decref(key);
    json_decref(visitor);
    EVP_PKEY_free(pair);
    EVP_PKEY_free(small);
    free(spki);
}

static void test_made_to_stay(void **state)
{
    (void)state;
    static const char *const templates[][2] = {
        {"tpk-hmac-sha256-site-only-v1", "tpk-2"},
        {"tpk-hmac-sha1-site-only-v1", "tpk-sha1-3"},
        {"kek-aes-256-gcm-v1", "kek-1"},
        {"kek-hmac-sha256-v1", "kek-2"},
        {"audit-ecdsa-p256-v1", "audit-1"},
        {"ceremony-ecdsa-p256-v1", "ceremony-1"},
        {"tls-ecdsa-p256-v1", "tls-1"},
        {"envelope-rsa-3072-v1", "envelope-1"},
    };
    login(a);
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        json_t *key = NULL;
        must(vault_generate(a, templates[i][0], templates[i][1], &key, &diag));
        must(vault_confirm(a, templates[i][1], json_object_get(key, "check"), &diag));
        must_not(TBS_ERR_AUTH, "is another key",
                 vault_confirm(a, templates[i][1], tpk_check, &diag));
        json_decref(key);
        must_not(TBS_ERR_EXISTS, templates[i][1],
                 vault_generate(a, templates[i][0], templates[i][1], &key, &diag));
    }
}

/* --- Judgement --- */

static json_t *entry(const char *class, const char *id, const char *template, const char *profile)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "class", class, "id", id, "template", template,
                     "profile", profile);
}

static void expect_pair(json_t *expected, const char *id, const char *template)
{
    json_array_append_new(expected, entry("CKO_PRIVATE_KEY", id, template, "private"));
    json_array_append_new(expected, entry("CKO_PUBLIC_KEY", id, template, "public"));
}

static json_t *expected_on_a(void)
{
    json_t *all =
        json_pack("[o, o, o, o, o, o, o]", entry("CKO_SECRET_KEY", "tpk-1", TPK, "sealed"),
                  entry("CKO_SECRET_KEY", "tpk-2", "tpk-hmac-sha256-site-only-v1", "site-only"),
                  entry("CKO_SECRET_KEY", "tpk-sha1-3", "tpk-hmac-sha1-site-only-v1", "site-only"),
                  entry("CKO_SECRET_KEY", "kek-1", "kek-aes-256-gcm-v1", "site-only"),
                  entry("CKO_SECRET_KEY", "kek-2", "kek-hmac-sha256-v1", "site-only"),
                  entry("CKO_PUBLIC_KEY", "transport-b", "transport-public-wrap-v1", "trusted"),
                  entry("CKO_PUBLIC_KEY", "transport-v", "transport-public-wrap-v1", "trusted"));
    expect_pair(all, "audit-1", "audit-ecdsa-p256-v1");
    expect_pair(all, "ceremony-1", "ceremony-ecdsa-p256-v1");
    expect_pair(all, "tls-1", "tls-ecdsa-p256-v1");
    expect_pair(all, "envelope-1", "envelope-rsa-3072-v1");
    json_object_set(json_array_get(all, 0), "check", tpk_check);
    return all;
}

static json_t *expected_elsewhere(const char *transport)
{
    json_t *all = json_pack("[o]", entry("CKO_SECRET_KEY", "tpk-1", TPK, "restored"));
    expect_pair(all, transport, "transport-rsa-3072-unwrap-v1");
    json_object_set(json_array_get(all, 0), "check", tpk_check);
    return all;
}

/* Opened anew, as another program would. *ret: the rules that are broken, in a line. */
static void judge(struct vault *vault, json_t *expected, char *ret, size_t size)
{
    const struct vault_token token = {.module = SOFTHSM_MODULE, .serial = vault_serial(vault)};
    struct vault *again = NULL;
    json_t *objects = NULL, *findings = NULL;
    vault_logout(vault);
    must(vault_open(&token, NULL, &again, &diag));
    login(again);
    must(vault_inventory(again, &objects, &diag));
    must(rules_judge_inventory(objects, expected, token.serial, NULL, &findings, &diag));
    *ret = '\0';
    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *f = json_array_get(findings, i);
        size_t len = strlen(ret);
        snprintf(ret + len, size - len, "%s %s: %s\n", text_of(f, "rule"), text_of(f, "id"),
                 text_of(f, "sentence"));
    }
    vault_close(again);
    json_decref(objects);
    json_decref(findings);
    json_decref(expected);
}

static void test_judged(void **state)
{
    (void)state;
    char found[4096];
    judge(a, expected_on_a(), found, sizeof found);
    assert_string_equal(found, "");
    judge(b, expected_elsewhere("transport-b"), found, sizeof found);
    assert_string_equal(found, "");
    judge(v, expected_elsewhere("transport-v"), found, sizeof found);
    assert_string_equal(found, "");
}

/* --- Attacks --- */

static void all_refused(struct vault *vault, const char *id)
{
    json_t *attempts = attack(vault, id), *one;
    size_t i;
    json_array_foreach(attempts, i, one)
    {
        if (!json_is_true(json_object_get(one, "refused")))
            fail_msg("%s: %s was let pass", id, text_of(one, "name"));
    }
    json_decref(attempts);
}

static const char *answer_to(const json_t *attempts, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach(attempts, i, one)
    {
        if (strcmp(text_of(one, "name"), name) == 0)
            return text_of(one, "rv");
    }
    fail_msg("nobody tried to %s", name);
    return NULL;
}

static void test_attacks(void **state)
{
    (void)state;
    static const char *const on_a[] = {"tpk-1",      "tpk-2",   "tpk-sha1-3", "kek-1",     "kek-2",
                                       "ceremony-1", "audit-1", "tls-1",      "envelope-1"};
    for (size_t i = 0; i < sizeof on_a / sizeof *on_a; i++)
        all_refused(a, on_a[i]);
    all_refused(a, "transport-b");
    all_refused(b, "transport-b");
    all_refused(b, "tpk-1");
    all_refused(v, "tpk-1");
    json_t *attempts = attack(a, "transport-v");
    assert_string_equal(answer_to(attempts, "wrap a key of a known value"),
                        "CKR_KEY_NOT_WRAPPABLE");
    json_decref(attempts);
    attempts = attack(b, "transport-b");
    assert_string_equal(answer_to(attempts, "unwrap a readable key"), "CKR_TEMPLATE_INCONSISTENT");
    assert_string_equal(answer_to(attempts, "decrypt by CKM_RSA_PKCS_OAEP"),
                        "CKR_KEY_FUNCTION_NOT_PERMITTED");
    json_decref(attempts);
    attempts = attack(a, "tpk-1");
    assert_string_equal(answer_to(attempts, "wrap by CKM_AES_KEY_WRAP"), "CKR_KEY_UNEXTRACTABLE");
    assert_string_equal(answer_to(attempts, "set CKA_DERIVE"), "CKR_ACTION_PROHIBITED");
    json_decref(attempts);
    must_not(TBS_ERR_NOT_FOUND, "tpk-9", vault_attack(a, "tpk-9", &attempts, &diag));
}

/* A key as others make them: what works against it is told. */
static void test_attacks_pass(void **state)
{
    (void)state;
    vault_logout(v);
    struct raw raw = raw_open("vault");
    CK_MECHANISM make = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG len = 32;
    CK_OBJECT_HANDLE object;
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, &yes, sizeof yes},     {CKA_PRIVATE, &yes, sizeof yes},
                        {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &yes, sizeof yes},
                        {CKA_SIGN, &yes, sizeof yes},      {CKA_ID, (void *)"loose", 5},
                        {CKA_VALUE_LEN, &len, sizeof len}};
    assert_int_equal(raw.f->C_GenerateKey(raw.session, &make, t, 7, &object), CKR_OK);
    raw_close(&raw);
    json_t *attempts = attack(v, "loose"), *done = NULL, *check = NULL;
    assert_string_equal(answer_to(attempts, "wrap by CKM_AES_KEY_WRAP"), "CKR_OK");
    assert_string_equal(answer_to(attempts, "set CKA_DERIVE"), "CKR_OK");
    assert_string_equal(answer_to(attempts, "read CKA_VALUE"), "CKR_ATTRIBUTE_SENSITIVE");
    json_decref(attempts);
    must(vault_check(v, "loose", &check, &diag));
    must(vault_destroy_by_check(v, check, user_pin(), &done, &diag));
    assert_int_equal(json_array_size(json_object_get(done, "destroyed")), 1);
    json_decref(check);
    json_decref(done);
}

/* --- Ghosts and clones --- */

static void test_ghost(void **state)
{
    (void)state;
    char found[4096];
    json_t *objects = NULL, *ghost = NULL;
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    CK_OBJECT_HANDLE object;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},
                        {CKA_TOKEN, &yes, sizeof yes},
                        {CKA_LABEL, (void *)"ghost", 5}};
    vault_logout(b);
    struct raw raw = raw_open("site-b");
    assert_int_equal(raw.f->C_CreateObject(raw.session, t, 3, &object), CKR_OK);
    raw_close(&raw);
    judge(b, expected_elsewhere("transport-b"), found, sizeof found);
    assert_string_equal(found, "R18 : nobody knows this object of class CKO_DATA\n");
    /* It goes by what the inventory says of it. */
    login(b);
    must(vault_inventory(b, &objects, &diag));
    for (size_t i = 0; i < json_array_size(objects); i++) {
        if (strcmp(text_of(json_array_get(objects, i), "label"), "ghost") == 0)
            ghost = json_pack("[O]", json_array_get(objects, i));
    }
    must(vault_destroy_objects(b, ghost, &diag));
    json_decref(ghost);
    json_decref(objects);
    /* And what is not there any more. */
    json_t *expected = expected_elsewhere("transport-b");
    json_array_append_new(expected, entry("CKO_SECRET_KEY", "tpk-9", TPK, "restored"));
    judge(b, expected, found, sizeof found);
    assert_string_equal(found, "R18 tpk-9: the object of class CKO_SECRET_KEY is not there\n");
}

static void test_clone(void **state)
{
    (void)state;
    char found[4096];
    json_t *done = NULL, *aes = NULL;
    struct raw raw = raw_open("site-a");
    CK_OBJECT_HANDLE clone;
    CK_ATTRIBUTE nothing;
    /* A foreign key that gives no check value is none of them. */
    CK_MECHANISM make = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG len = 32;
    CK_ATTRIBUTE mute[] = {{CKA_TOKEN, &yes, sizeof yes},
                           {CKA_SIGN, &no, sizeof no},
                           {CKA_ID, (void *)"\xff\x01", 2},
                           {CKA_VALUE_LEN, &len, sizeof len}};
    assert_int_equal(raw.f->C_GenerateKey(raw.session, &make, mute, 4, &clone), CKR_OK);
    CK_RV rv = raw.f->C_CopyObject(raw.session, raw_find(&raw, "tpk-1"), &nothing, 0, &clone);
    assert_int_equal(rv, CKR_OK);
    raw_close(&raw);
    judge(a, expected_on_a(), found, sizeof found);
    assert_non_null(strstr(found, "R18 0xff01: nobody knows this object of class CKO_SECRET_KEY"));
    assert_non_null(strstr(found, "R13 tpk-1: two objects have the id tpk-1"));
    assert_non_null(strstr(found, "R13 tpk-1: it is the same key as tpk-1: a clone"));

    login(a);
    must(vault_destroy_by_check(a, tpk_check, user_pin(), &done, &diag));
    assert_int_equal(json_array_size(json_object_get(done, "destroyed")), 2);
    assert_int_equal(json_integer_value(json_object_get(done, "examined")), 5);
    json_decref(done);
    must(vault_destroy_by_check(a, tpk_check, user_pin(), &done, &diag));
    assert_int_equal(json_array_size(json_object_get(done, "destroyed")), 0);
    json_decref(done);
    /* The other sites have it still. */
    login(b);
    must(vault_confirm(b, "tpk-1", tpk_check, &diag));

    login(a);
    must(vault_check(a, "kek-1", &aes, &diag));
    must_not(TBS_ERR_INVALID, "the id that it had",
             vault_destroy_by_check(a, aes, user_pin(), &done, &diag));
    json_object_set_new(aes, "id", json_string("kek-1"));
    must(vault_destroy_by_check(a, aes, user_pin(), &done, &diag));
    assert_int_equal(json_array_size(json_object_get(done, "destroyed")), 1);
    assert_int_equal(json_integer_value(json_object_get(done, "examined")), 4);
    json_decref(aes);
    json_decref(done);
}

/* --- Signatures, and what others see --- */

static void test_sign(void **state)
{
    (void)state;
    static const char text[] = "tbs-kms ceremony 1 7 abc";
    TBS_BUF_AUTO struct tbs_buf signature = tbs_buf();
    char command[1024], said[2048];
    login(a);
    must_not(TBS_ERR_CONFIG, "CKR_PIN_INCORRECT",
             vault_sign(a, "ceremony-1", tbs_bytes_str("wrong-pin"), tbs_bytes_str(text),
                        &signature, &diag));
    assert_int_equal(signature.len, 0);
    login(a);
    must(vault_sign(a, "ceremony-1", user_pin(), tbs_bytes_str(text), &signature, &diag));
    softhsm_put_file("signature", signature.data, signature.len, 0600);
    softhsm_put_file("text", text, strlen(text), 0600);
    snprintf(command, sizeof command, "--read-object --type pubkey --id %s -o %s",
             softhsm_hex("ceremony-1"), softhsm_path("pub.der"));
    assert_int_equal(softhsm_pkcs11_tool("site-a", command, said, sizeof said), 0);
    snprintf(command, sizeof command,
             "openssl dgst -sha256 -keyform DER -verify %s -signature %s %s",
             softhsm_path("pub.der"), softhsm_path("signature"), softhsm_path("text"));
    assert_int_equal(softhsm_run(command, said, sizeof said), 0);

    json_t *check = NULL;
    must(vault_check(a, "ceremony-1", &check, &diag));
    snprintf(command, sizeof command, "sha256sum %s", softhsm_path("pub.der"));
    assert_int_equal(softhsm_run(command, said, sizeof said), 0);
    assert_memory_equal(said, text_of(check, "value"), 64);
    json_decref(check);
}

/* pkcs11-tool computes the check value itself, and sees the same attributes. */
static void test_seen_by_others(void **state)
{
    (void)state;
    char command[1024], said[8192];
    softhsm_put_file("empty", "", 0, 0600);
    snprintf(command, sizeof command,
             "--sign -m SHA256-HMAC --id %s --input-file %s --output-file %s", softhsm_hex("tpk-1"),
             softhsm_path("empty"), softhsm_path("mac"));
    assert_int_equal(softhsm_pkcs11_tool("vault", command, said, sizeof said), 0);
    snprintf(command, sizeof command, "head -c 16 %s | od -An -tx1 | tr -d ' \\n'",
             softhsm_path("mac"));
    assert_int_equal(softhsm_run(command, said, sizeof said), 0);
    assert_string_equal(said, text_of(tpk_check, "value"));

    assert_int_equal(softhsm_pkcs11_tool("site-a", "-O --type secrkey", said, sizeof said), 0);
    const char *at = strstr(said, "tpk-2");
    assert_non_null(at);
    assert_non_null(strstr(at, "Usage:      verify\n"));
    assert_non_null(strstr(at, "sensitive, always sensitive, never extractable, local"));
    assert_int_equal(softhsm_pkcs11_tool("vault", "-O --type secrkey", said, sizeof said), 0);
    assert_non_null(strstr(said, "tpk-1"));
    assert_null(strstr(said, "local"));
}

static int close_all(void **state)
{
    vault_close(a);
    vault_close(b);
    vault_close(v);
    json_decref(tpk_check);
    return softhsm_teardown(state);
}

int main(void)
{
    /* Each goes on from the one before. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_such_token),  cmocka_unit_test(test_initialise),
        cmocka_unit_test(test_transport),      cmocka_unit_test(test_made_to_stay),
        cmocka_unit_test(test_judged),         cmocka_unit_test(test_attacks),
        cmocka_unit_test(test_judged), /* nothing was changed */
        cmocka_unit_test(test_attacks_pass),   cmocka_unit_test(test_ghost),
        cmocka_unit_test(test_clone),          cmocka_unit_test(test_sign),
        cmocka_unit_test(test_seen_by_others), cmocka_unit_test(test_escrow),
    };
    return cmocka_run_group_tests(tests, softhsm_setup, close_all);
}
