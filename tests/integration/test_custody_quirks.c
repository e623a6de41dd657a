/* Quirks: tokens that fall short in one point, refused without the quirk and used with it, and
 * what is then said of their keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "custody/primitives.h"
#include "faulty_module.h"
#include "softhsm.h"

static struct faults *f;

static struct custody_token_config with(const char *const *quirks, size_t n)
{
    struct custody_token_config c = softhsm_config("kms");
    c.module = FAULTY_MODULE;
    c.quirks = quirks;
    c.n_quirks = n;
    return c;
}

static struct custody_token_config plain(void)
{
    return with(NULL, 0);
}

static struct custody *open_token(const struct custody_token_config *c,
                                  struct custody_session **ret_session)
{
    struct custody *custody = NULL;
    struct tbs_diag diag = {0};
    if (softhsm_custody_open(c, &custody, &diag) != TBS_OK ||
        custody_session_open(custody, ret_session, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return custody;
}

static void close_token(struct custody *custody, struct custody_session *session)
{
    custody_session_close(session);
    custody_close(custody);
}

static int no_faults(void **state)
{
    (void)state;
    *f = (struct faults){0};
    return 0;
}

static void refused(const struct custody_token_config *c, const char *must_say)
{
    struct tbs_diag diag;
    enum tbs_err err = softhsm_try_open(c, &diag);
    if (err != TBS_ERR_CONFIG || !strstr(diag.text, must_say))
        fail_msg("%d %s", err, diag.text);
}

/* --- Names --- */

static void unknown_quirks_are_refused_with_the_known_ones(void **state)
{
    (void)state;
    static const char *const wrong[] = {"no-copyble",
                                        "",
                                        "no-copyable=1",
                                        "no-copyable ",
                                        "=",
                                        "No-copyable",
                                        "no-local,no-iv",
                                        "token-iv=",
                                        "serial",
                                        "max-sessions-16",
                                        "serial-only=2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct custody_token_config c = with(&wrong[i], 1);
        struct tbs_diag diag = {0};
        refused(&c, "no-allowed-mechanisms, no-copyable, no-destroyable, no-local, key-type-hmac, "
                    "token-iv, no-read-only-sessions, serial-only, max-sessions=N");
        assert_int_equal(custody_check(&c, &diag), TBS_ERR_CONFIG);
    }
    static const char *const numbers[] = {
        "max-sessions",       "max-sessions=",   "max-sessions=2", "max-sessions=-1",
        "max-sessions=65537", "max-sessions=8x", "max-sessions= 8"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct custody_token_config c = with(&numbers[i], 1);
        refused(&c, "from 3 to 65536");
    }
    assert_int_equal(f->logins, 0);
    struct custody_token_config c = plain();
    assert_int_equal(custody_check(&c, NULL), TBS_OK);
}

static bool first_quirk_needed(struct custody *custody)
{
    struct custody_quirk quirks[CUSTODY_QUIRKS_MAX];
    return custody_quirks(custody, 0, quirks) > 0 && quirks[0].needed;
}

static void quirks_that_are_not_needed_are_told_and_change_nothing(void **state)
{
    (void)state;
    static const char *const quirks[] = {"no-copyable", "no-local", "no-allowed-mechanisms",
                                         "serial-only", "no-copyable"};
    struct custody_token_config c = with(quirks, 5);
    struct custody_session *session;
    struct custody *custody = open_token(&c, &session);
    struct custody_quirk seen[CUSTODY_QUIRKS_MAX];
    size_t n = custody_quirks(custody, 0, seen), n_keys;
    const struct custody_key *keys = custody_keys(custody, &n_keys);
    assert_int_equal(n, 4); /* named twice, listed once */
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(seen[i].name, quirks[i]);
        assert_int_equal(seen[i].can_show, i != 3);
        assert_false(seen[i].needed);
        assert_true(strlen(seen[i].effect) > 0);
    }
    for (size_t i = 0; i < n_keys; i++)
        assert_string_equal(keys[i].unverified, "");
    close_token(custody, session);

    /* What is told wrongly is refused, quirk or not. */
    f->flipped = CKA_COPYABLE;
    refused(&c, "CKA_COPYABLE is true");
    f->flipped = CKA_SENSITIVE;
    refused(&c, "CKA_SENSITIVE is false");
}

/* --- Attributes --- */

static const struct {
    CK_ATTRIBUTE_TYPE type;
    const char *name, *quirk;
} missing[] = {
    {CKA_ALLOWED_MECHANISMS, "CKA_ALLOWED_MECHANISMS", "no-allowed-mechanisms"},
    {CKA_COPYABLE, "CKA_COPYABLE", "no-copyable"},
    {CKA_DESTROYABLE, "CKA_DESTROYABLE", "no-destroyable"},
    {CKA_LOCAL, "CKA_LOCAL", "no-local"},
};

#define N_MISSING (sizeof missing / sizeof *missing)

/* Also for a new key, whose template leaves the attribute out. */
static void a_token_without_an_attribute_needs_its_quirk(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MISSING; i++) {
        struct custody_token_config c = plain();
        struct custody_session *session;
        struct tbs_diag diag = {0};
        char id[32];
        f->unknown = missing[i].type;
        refused(&c, missing[i].quirk);
        f->unknown = 0;
        struct custody *custody = open_token(&c, &session);
        f->unknown = missing[i].type;
        assert_int_equal(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256,
                                              "tpk-new", NULL, &diag),
                         TBS_ERR_CONFIG);
        assert_non_null(strstr(diag.text, missing[i].quirk));
        close_token(custody, session);
        c = with(&missing[(i + 1) % N_MISSING].quirk, 1); /* another quirk is no help */
        refused(&c, missing[i].quirk);

        c = with(&missing[i].quirk, 1);
        custody = open_token(&c, &session);
        snprintf(id, sizeof id, "tpk-new-%zu", i);
        if (custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, id, NULL, &diag))
            fail_msg("%s", diag.text);
        size_t n;
        const struct custody_key *keys = custody_keys(custody, &n);
        assert_int_equal(n, 4);
        for (size_t k = 0; k < n; k++) {
            assert_string_equal(keys[k].unverified, missing[i].name);
            assert_true(keys[k].usable);
            assert_int_equal(keys[k].local, missing[i].type != CKA_LOCAL);
        }
        assert_true(first_quirk_needed(custody));
        close_token(custody, session);
        softhsm_destroy("kms", id);
    }
}

static void without_allowed_mechanisms_the_id_says_the_algorithm(void **state)
{
    (void)state;
    static const char *const quirk = "no-allowed-mechanisms";
    struct custody_token_config c = with(&quirk, 1);
    struct custody_session *session;
    struct tbs_diag diag = {0};
    f->unknown = CKA_ALLOWED_MECHANISMS;
    struct custody *custody = open_token(&c, &session);
    struct tbs_bytes sha1 = tbs_bytes_str("tpk-sha1-2026-01"), kek = tbs_bytes_str("kek-2026-01");
    assert_int_equal(custody_find_key(custody, sha1, CUSTODY_ROLE_TPK)->alg, CUSTODY_HMAC_SHA_1);
    assert_int_equal(custody_find_key(custody, kek, CUSTODY_ROLE_KEK)->alg, CUSTODY_AES_256_GCM);
    assert_int_equal(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1,
                                          "tpk-2027-01", NULL, &diag),
                     TBS_ERR_INVALID);
    assert_int_equal(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256,
                                          "tpk-sha1-2027-01", NULL, &diag),
                     TBS_ERR_INVALID);
    assert_non_null(strstr(diag.text, "tpk-sha1-..."));
    close_token(custody, session);
}

/* The quirk is for a list that is not told, not for one that is longer than what is read. */
static void a_long_list_of_mechanisms_is_no_missing_one(void **state)
{
    (void)state;
    static const char *const quirk = "no-allowed-mechanisms";
    static CK_MECHANISM_TYPE many[] = {CKM_SHA256_HMAC, CKM_SHA_1_HMAC,  CKM_SHA224_HMAC,
                                       CKM_SHA384_HMAC, CKM_SHA512_HMAC, CKM_MD5_HMAC,
                                       CKM_AES_ECB,     CKM_AES_CBC,     CKM_AES_GCM};
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG len = 32;
    CK_ATTRIBUTE template[] = {{CKA_ID, (void *)"tpk-many", 8},
                               {CKA_TOKEN, &yes, 1},
                               {CKA_VALUE_LEN, &len, sizeof len},
                               {CKA_ALLOWED_MECHANISMS, many, sizeof many}};
    CK_MECHANISM generation = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE object;
    struct custody_token_config c = with(&quirk, 1);
    struct raw raw = raw_open("kms");
    assert_int_equal(raw.f->C_GenerateKey(raw.session, &generation, template, 4, &object), CKR_OK);
    refused(&c, "(HMAC-SHA-1 or HMAC-SHA-256, one mechanism)");
    assert_int_equal(raw.f->C_DestroyObject(raw.session, object), CKR_OK);
    raw_close(&raw);
}

/* It is told, but false: as by tokens that never set it. */
static void a_local_that_is_never_set_needs_its_quirk(void **state)
{
    (void)state;
    static const char *const quirk = "no-local";
    struct custody_token_config c = plain();
    f->flipped = CKA_LOCAL;
    refused(&c, "no-local");
    c = with(&quirk, 1);
    struct custody_session *session;
    struct custody *custody = open_token(&c, &session);
    assert_false(custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256)->local);
    close_token(custody, session);
}

static void keys_of_their_hashs_type_need_their_quirk(void **state)
{
    (void)state;
    static const char *const quirk = "key-type-hmac";
    struct custody_token_config c = plain();
    softhsm_destroy("kms", "tpk-sha1-2026-01"); /* its type would be another */
    softhsm_destroy("kms", "kek-2026-01");
    f->key_type = CKK_SHA256_HMAC;
    refused(&c, "key-type-hmac");
    c = with(&quirk, 1);
    struct custody_session *session;
    struct custody *custody = open_token(&c, &session);
    assert_true(first_quirk_needed(custody));
    close_token(custody, session);
    f->key_type = CKK_SHA_1_HMAC; /* does not go with the mechanism */
    refused(&c, "CKA_KEY_TYPE");
}

/* --- IVs --- */

static void a_token_that_makes_ivs_is_not_used_without_its_quirk(void **state)
{
    (void)state;
    static const char *const quirk = "token-iv";
    struct custody_token_config c = plain();
    f->makes_ivs = true;
    refused(&c, "token-iv");
    f->makes_ivs = false; /* and nothing may be sealed under an IV of zeros */
    c = with(&quirk, 1);
    refused(&c, "take quirk token-iv away");
}

static enum tbs_err unwrap(struct custody_session *session, const char *owner,
                           const struct tbs_buf *blob)
{
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    enum tbs_err err =
        custody_unwrap_secret(session, tbs_bytes_str(owner), tbs_buf_view(blob), &secret, NULL);
    if (err == TBS_OK)
        assert_true(tbs_secret_equal(tbs_secret_view(&secret), tbs_bytes_str("secret")));
    return err;
}

/* Read by other hands: the IV is not among what it authenticates. */
static void assert_as_described(const struct tbs_buf *blob, size_t iv)
{
    TBS_BUF_AUTO struct tbs_buf aad = tbs_buf();
    tbs_put_bytes(&aad, tbs_bytes(blob->data, iv));
    tbs_put_bytes(&aad, tbs_bytes_str("alice"));
    struct raw raw = raw_open("kms");
    CK_GCM_PARAMS params = {blob->data + iv, 12, 96, aad.data, aad.len, 128};
    CK_MECHANISM gcm = {CKM_AES_GCM, &params, sizeof params};
    uint8_t plain[64];
    CK_ULONG len = sizeof plain;
    assert_int_equal(raw.f->C_DecryptInit(raw.session, &gcm, raw_find(&raw, "kek-2026-01")),
                     CKR_OK);
    assert_int_equal(
        raw.f->C_Decrypt(raw.session, blob->data + iv + 12, blob->len - iv - 12, plain, &len),
        CKR_OK);
    raw_close(&raw);
    assert_int_equal(len, 6);
    assert_memory_equal(plain, "secret", 6);
}

/* Octets as custody.h describes them; every bit counts; and blobs from before stay readable. */
static void secrets_are_sealed_under_the_tokens_iv(void **state)
{
    (void)state;
    static const char *const quirk = "token-iv";
    struct custody_token_config c = plain();
    struct custody_session *session;
    struct custody *custody = open_token(&c, &session);
    TBS_BUF_AUTO struct tbs_buf before = tbs_buf(), blob = tbs_buf(), other = tbs_buf();
    struct tbs_bytes owner = tbs_bytes_str("alice"), secret = tbs_bytes_str("secret");
    assert_int_equal(custody_wrap_secret(session, owner, secret, &before, NULL), TBS_OK);
    close_token(custody, session);

    f->makes_ivs = true;
    c = with(&quirk, 1);
    custody = open_token(&c, &session);
    assert_int_equal(custody_wrap_secret(session, owner, secret, &blob, NULL), TBS_OK);
    assert_int_equal(custody_wrap_secret(session, owner, secret, &other, NULL), TBS_OK);
    size_t iv = 3 + strlen("kek-2026-01");
    assert_int_equal(blob.len, iv + 12 + secret.len + 16);
    assert_int_equal(before.data[1], 1);
    assert_int_equal(blob.data[1], 3);
    assert_memory_not_equal(blob.data + iv, other.data + iv, 12);
    assert_as_described(&blob, iv);
    assert_int_equal(unwrap(session, "alice", &before), TBS_OK);
    assert_int_equal(unwrap(session, "alice", &blob), TBS_OK);
    assert_int_equal(unwrap(session, "bob", &blob), TBS_ERR_AUTH);
    for (size_t bit = 8; bit < 8 * blob.len; bit++) {
        blob.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (unwrap(session, "alice", &blob) == TBS_OK)
            fail_msg("bit %zu may change", bit);
        blob.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    close_token(custody, session);
}

/* --- Sessions --- */

static void a_token_without_read_only_sessions_needs_its_quirk(void **state)
{
    (void)state;
    static const char *const quirk = "no-read-only-sessions";
    struct custody_token_config c = plain();
    struct custody_session *session;
    uint8_t octets[8];
    f->refuses_read_only = true;
    refused(&c, quirk);
    c = with(&quirk, 1);
    struct custody *custody = open_token(&c, &session);
    assert_int_equal(custody_random(session, octets, sizeof octets, NULL), TBS_OK);
    close_token(custody, session);
    assert_int_equal(f->sessions, 0);
}

static void no_more_sessions_are_opened_than_allowed(void **state)
{
    (void)state;
    static const char *const quirk = "max-sessions=5";
    struct custody_token_config c = with(&quirk, 1);
    struct custody_session *first, *second, *third = NULL;
    struct tbs_diag diag = {0};
    struct custody *custody = open_token(&c, &first);
    assert_int_equal(custody_session_open(custody, &second, &diag), TBS_OK);
    assert_int_equal(f->sessions, 4); /* these, the login's and custody's own */
    assert_int_equal(custody_session_open(custody, &third, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "max-sessions=5"));
    assert_null(third);
    custody_session_close(second);
    assert_int_equal(custody_session_open(custody, &second, &diag), TBS_OK);
    custody_session_close(second);
    close_token(custody, first);
    assert_int_equal(f->sessions, 0);
}

static void *sign(void *custody)
{
    struct custody_session *session;
    const struct custody_key *tpk =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    uint8_t mac[CUSTODY_MAC_MAX];
    if (custody_session_open(custody, &session, NULL) != TBS_OK)
        return (void *)"cannot open a session";
    enum tbs_err err = TBS_OK;
    for (unsigned i = 0; i < 20 && err == TBS_OK; i++)
        err = custody_hmac(session, tpk, tbs_bytes_str("x"), mac, NULL);
    custody_session_close(session);
    return err == TBS_OK ? NULL : (void *)"HMAC failed";
}

static unsigned signs_at_once(const struct custody_token_config *c)
{
    struct custody_session *session;
    struct custody *custody = open_token(c, &session);
    pthread_t threads[4];
    f->slow = true;
    f->signing_most = 0;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign, custody), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    close_token(custody, session);
    return f->signing_most;
}

static void a_serial_token_gets_one_call_at_a_time(void **state)
{
    (void)state;
    static const char *const quirk = "serial-only";
    struct custody_token_config c = plain();
    assert_in_range(signs_at_once(&c), 2, 4); /* else the test shows nothing */
    c = with(&quirk, 1);
    assert_int_equal(signs_at_once(&c), 1);
}

static int set_up(void **state)
{
    static const struct {
        enum custody_role role;
        enum custody_alg alg;
        const char *id;
    } keys[] = {
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-2026-01"},
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1, "tpk-sha1-2026-01"},
        {CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-2026-01"},
    };
    if (softhsm_setup(state) != 0)
        return -1;
    void *module = dlopen(FAULTY_MODULE, RTLD_NOW | RTLD_LOCAL);
    f = module ? dlsym(module, "faults") : NULL;
    if (!f)
        return -1;
    softhsm_make_token("kms");
    struct custody *custody = softhsm_open("kms");
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; i < 3 && err == TBS_OK; i++)
        err = custody_generate_key(custody, keys[i].role, keys[i].alg, keys[i].id, NULL, NULL);
    custody_close(custody);
    return err;
}

#define TEST(name) cmocka_unit_test_setup(name, no_faults)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unknown_quirks_are_refused_with_the_known_ones),
        TEST(quirks_that_are_not_needed_are_told_and_change_nothing),
        TEST(a_token_without_an_attribute_needs_its_quirk),
        TEST(without_allowed_mechanisms_the_id_says_the_algorithm),
        TEST(a_long_list_of_mechanisms_is_no_missing_one),
        TEST(a_local_that_is_never_set_needs_its_quirk),
        TEST(a_token_that_makes_ivs_is_not_used_without_its_quirk),
        TEST(secrets_are_sealed_under_the_tokens_iv),
        TEST(a_token_without_read_only_sessions_needs_its_quirk),
        TEST(no_more_sessions_are_opened_than_allowed),
        TEST(a_serial_token_gets_one_call_at_a_time),
        TEST(keys_of_their_hashs_type_need_their_quirk),
    };
    alarm(90);
    return cmocka_run_group_tests_name("custody-quirks", tests, set_up, softhsm_teardown);
}
