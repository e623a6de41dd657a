/* What the vault tells its witness, and how pairs come to an end. */
#include <stdio.h>

#include "vault_world.h"

/* --- The witness --- */

struct seen {
    char calls[512];
    const char *refuse; /* the call that may not be made */
};

static enum tbs_err before(void *ctx, const char *call, json_t *what, struct tbs_diag *d)
{
    struct seen *seen = ctx;
    size_t len = strlen(seen->calls);
    assert_true(json_is_object(what));
    if (seen->refuse && strcmp(call, seen->refuse) == 0)
        return tbs_fail(d, TBS_ERR_DENIED, "the witness says no");
    snprintf(seen->calls + len, sizeof seen->calls - len, "(%s", call);
    return TBS_OK;
}

static enum tbs_err after(void *ctx, const char *call, unsigned long rv, json_t *result,
                          struct tbs_diag *d)
{
    struct seen *seen = ctx;
    size_t len = strlen(seen->calls);
    (void)call, (void)result, (void)d;
    snprintf(seen->calls + len, sizeof seen->calls - len, " %lx) ", rv);
    return TBS_OK;
}

static void test_witness(void **state)
{
    (void)state;
    struct seen seen = {0};
    const struct vault_witness witness = {before, after, &seen};
    struct vault *w = make_token("witnessed", &witness);
    json_t *key = NULL, *objects = NULL;
    assert_string_equal(seen.calls, "(C_InitToken 0) (C_InitPIN 0) ");
    login(w);
    must(vault_transport_make(w, "transport-w", &key, &diag));
    TBS_BUF_AUTO struct tbs_buf spki = octets_of(json_object_get(key, "spki"));
    json_decref(key);
    must(vault_login(w, true, tbs_bytes_str(SOFTHSM_SO_PIN), &diag));
    must(vault_transport_trust(w, "transport-w2", tbs_buf_view(&spki), &key, &diag));
    json_decref(key);
    login(w);
    seen.calls[0] = '\0';
    static const struct vault_recipient self[] = {{"transport-w2", OAEP_SHA_1}};
    must(vault_generate_replicated(w, "canary-v1", "canary-1", self, 1, &key, &diag));
    assert_string_equal(seen.calls,
                        "(C_GenerateKey 0) (C_WrapKey 0) (C_CopyObject 0) (C_DestroyObject 0) ");
    json_decref(key);
    /* What an attempt could have changed is announced, too. */
    seen.calls[0] = '\0';
    json_decref(attack(w, "canary-1"));
    assert_non_null(strstr(seen.calls, "(C_CopyObject 10) (C_SetAttributeValue 1b) "));
    /* Not made: nothing is there. */
    seen.refuse = "C_GenerateKey";
    must_not(TBS_ERR_DENIED, "the witness says no",
             vault_generate(w, "tpk-hmac-sha256-site-only-v1", "tpk-1", &key, &diag));
    must_not(TBS_ERR_NOT_FOUND, "tpk-1", vault_check(w, "tpk-1", &key, &diag));
    /* All that was made goes again, by what the inventory says of it. */
    must(vault_inventory(w, &objects, &diag));
    assert_int_equal(json_array_size(objects), 4);
    must(vault_destroy_objects(w, objects, &diag));
    must_not(TBS_ERR_NOT_FOUND, "no such object", vault_destroy_objects(w, objects, &diag));
    json_decref(objects);
    must(vault_inventory(w, &objects, &diag));
    assert_int_equal(json_array_size(objects), 0);
    json_decref(objects);
    vault_close(w);
}

/* --- Pairs --- */

static struct vault *p;
static json_t *csk, *envelope;

static void run(const char *command, char *said, size_t size)
{
    if (softhsm_run(command, said, size) != 0)
        fail_msg("%s: %s", command, said);
}

static void pkcs11_tool(const char *arguments)
{
    char said[4096];
    if (softhsm_pkcs11_tool("pairs", arguments, said, sizeof said) != 0)
        fail_msg("%s: %s", arguments, said);
}

static void test_pairs_are_made(void **state)
{
    (void)state;
    json_t *key = NULL;
    p = make_token("pairs", NULL);
    login(p);
    must(vault_generate(p, "ceremony-ecdsa-p256-v1", "csk-1", &csk, &diag));
    must(vault_generate(p, "envelope-rsa-3072-v1", "envelope-1", &envelope, &diag));
    must(vault_generate(p, "envelope-rsa-3072-v1", "envelope-2", &key, &diag));
    json_decref(key);
    must(vault_generate(p, "audit-ecdsa-p256-v1", "audit-1", &key, &diag));
    json_decref(key);
    pkcs11_tool("--keypairgen --key-type EC:prime256v1 --id 6c --label loose --usage-sign");
}

/* {"method", "value", "spki"} of the pair, by other programs. */
static json_t *told_by_others(const char *id)
{
    char command[512], base64[1024], hash[128];
    snprintf(command, sizeof command, "--read-object --type pubkey --id %s -o %s", id,
             softhsm_path("spki"));
    pkcs11_tool(command);
    snprintf(command, sizeof command, "base64 -w0 %s", softhsm_path("spki"));
    run(command, base64, sizeof base64);
    snprintf(command, sizeof command, "sha256sum %s | head -c 64", softhsm_path("spki"));
    run(command, hash, sizeof hash);
    return json_pack("{s:s, s:s, s:s}", "method", "spki-sha256", "value", hash, "spki", base64);
}

/* Another private half, under another id. */
static void clone_private(const char *label)
{
    struct raw raw = raw_open("pairs");
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE of[] = {{CKA_CLASS, &class, sizeof class},
                         {CKA_LABEL, (void *)label, strlen(label)}};
    CK_ATTRIBUTE other[] = {{CKA_ID, (void *)"zz", 2}};
    CK_OBJECT_HANDLE object, clone;
    CK_ULONG n;
    assert_int_equal(raw.f->C_FindObjectsInit(raw.session, of, 2), CKR_OK);
    assert_int_equal(raw.f->C_FindObjects(raw.session, &object, 1, &n), CKR_OK);
    assert_int_equal(n, 1);
    raw.f->C_FindObjectsFinal(raw.session);
    assert_int_equal(raw.f->C_CopyObject(raw.session, object, other, 1, &clone), CKR_OK);
    raw_close(&raw);
}

static void expect_destroyed(const json_t *check, size_t destroyed, int examined)
{
    json_t *done = NULL;
    login(p);
    must(vault_destroy_by_check(p, check, user_pin(), &done, &diag));
    assert_int_equal(json_array_size(json_object_get(done, "destroyed")), destroyed);
    assert_int_equal(json_integer_value(json_object_get(done, "examined")), examined);
    json_decref(done);
}

static size_t objects_left(void)
{
    json_t *objects = NULL;
    login(p);
    must(vault_inventory(p, &objects, &diag));
    size_t n = json_array_size(objects);
    json_decref(objects);
    return n;
}

static void test_a_clone_goes_too(void **state)
{
    (void)state;
    json_t *check = told_by_others("6c");
    vault_logout(p);
    clone_private("loose");
    assert_int_equal(objects_left(), 11);
    expect_destroyed(check, 3, 8);
    expect_destroyed(check, 0, 8);
    json_decref(check);
}

static json_t *whole(const json_t *key)
{
    json_t *check = json_deep_copy(json_object_get(key, "check"));
    json_object_set(check, "spki", json_object_get(key, "spki"));
    return check;
}

/* A key that asks for the PIN at each use tells without it no more than that it is there. */
static void test_not_without_a_pin(void **state)
{
    (void)state;
    json_t *check = whole(csk), *done = NULL;
    login(p);
    must_not(TBS_ERR_CONFIG, "CKR_PIN_INCORRECT",
             vault_destroy_by_check(p, check, tbs_bytes_str("wrong-pin"), &done, &diag));
    assert_int_equal(objects_left(), 8);
    expect_destroyed(check, 2, 6);
    json_decref(check);
}

static void test_rsa(void **state)
{
    (void)state;
    json_t *check = whole(envelope), *done = NULL;
    expect_destroyed(check, 2, 4);
    json_object_del(check, "spki");
    must_not(TBS_ERR_INVALID, "by its public key",
             vault_destroy_by_check(p, check, user_pin(), &done, &diag));
    json_object_set_new(check, "spki", json_string("AAAA"));
    must_not(TBS_ERR_INVALID, "by its public key",
             vault_destroy_by_check(p, check, user_pin(), &done, &diag));
    json_decref(check);
}

static int close_all(void **state)
{
    vault_close(p);
    json_decref(csk);
    json_decref(envelope);
    return softhsm_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_witness),
        cmocka_unit_test(test_pairs_are_made),
        cmocka_unit_test(test_a_clone_goes_too),
        cmocka_unit_test(test_not_without_a_pin),
        cmocka_unit_test(test_rsa),
    };
    return cmocka_run_group_tests(tests, softhsm_setup, close_all);
}
