/* Custody over a real token: its keys and their judgement, HMAC, random numbers, health.
 * Opening, stored secrets, remoting and faults have their own programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "custody/primitives.h"
#include "softhsm.h"

/* --- Keys --- */

static void an_empty_token_opens_and_is_degraded(void **state)
{
    (void)state;
    size_t n = 1;
    struct custody *custody = softhsm_open("kms");
    struct custody_session *session;
    struct custody_health health;
    TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
    custody_keys(custody, &n);
    assert_int_equal(n, 0);
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    assert_int_equal(custody_health(session, &health, NULL), TBS_OK);
    assert_int_equal(health.state, CUSTODY_DEGRADED);
    assert_int_equal(
        custody_wrap_secret(session, tbs_bytes_str("alice"), tbs_bytes_str("secret"), &blob, NULL),
        TBS_ERR_NOT_FOUND);
    assert_int_equal(blob.len, 0);
    custody_session_close(session);
    custody_close(custody);
}

static void keys_are_generated_judged_and_found(void **state)
{
    (void)state;
    struct tbs_diag diag = {0};
    struct custody *custody = softhsm_open("kms");
    static const struct {
        enum custody_role role;
        enum custody_alg alg;
        const char *id;
    } wrong[] = {
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "kek-2026-01"},
        {CUSTODY_ROLE_KEK, CUSTODY_HMAC_SHA_256, "tpk-2026-01"},
        {CUSTODY_ROLE_TPK, CUSTODY_AES_256_GCM, "tpk-2026-01"},
        {CUSTODY_ROLE_KEK, CUSTODY_HMAC_SHA_1, "kek-2026-01"},
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-"},
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-A"},
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-a b"},
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256,
         "tpk-3456789012345678901234567890123456789012345678901234567890123"
         "x"},
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, NULL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(
            custody_generate_key(custody, wrong[i].role, wrong[i].alg, wrong[i].id, NULL, &diag),
            TBS_ERR_INVALID);

    static const struct {
        enum custody_role role;
        enum custody_alg alg;
        const char *id;
    } made[] = {
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-2026-02"},
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-2026-01"},
        {CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1, "tpk-2026-03"},
        {CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-2026-01"},
    };
    for (size_t i = 0; i < 4; i++) {
        if (custody_generate_key(custody, made[i].role, made[i].alg, made[i].id, "a label", &diag))
            fail_msg("%s", diag.text);
    }
    assert_int_equal(custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1,
                                          "tpk-2026-01", NULL, &diag),
                     TBS_ERR_EXISTS);
    custody_close(custody);

    custody = softhsm_open("kms");
    size_t n;
    const struct custody_key *keys = custody_keys(custody, &n);
    assert_int_equal(n, 4);
    assert_string_equal(keys[0].id, "kek-2026-01");
    assert_int_equal(keys[0].alg, CUSTODY_AES_256_GCM);
    assert_false(keys[0].has_kcv);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(keys[i].label, "a label");
        assert_true(keys[i].usable && keys[i].sensitive && keys[i].always_sensitive &&
                    keys[i].never_extractable && keys[i].local);
    }
    assert_true(keys[1].has_kcv && keys[2].has_kcv);
    assert_memory_not_equal(keys[1].kcv, keys[2].kcv, CUSTODY_KCV_LEN);
    assert_string_equal(custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256)->id,
                        keys[2].id);
    assert_string_equal(custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1)->id,
                        keys[3].id);
    assert_null(custody_current_key(custody, CUSTODY_ROLE_KEK, CUSTODY_HMAC_SHA_256));
    assert_string_equal(
        custody_find_key(custody, tbs_bytes_str("tpk-2026-01"), CUSTODY_ROLE_TPK)->id, keys[1].id);
    assert_null(custody_find_key(custody, tbs_bytes_str("tpk-2026-01"), CUSTODY_ROLE_KEK));
    assert_null(custody_find_key(custody, tbs_bytes_str("tpk-2026"), CUSTODY_ROLE_TPK));
    custody_close(custody);
}

static void a_key_of_another_process_is_not_overwritten(void **state)
{
    (void)state;
    struct custody *first = softhsm_open("kms"), *second = softhsm_open("kms");
    assert_int_equal(custody_generate_key(first, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1,
                                          "tpk-2025-01", NULL, NULL),
                     TBS_OK);
    assert_int_equal(custody_generate_key(second, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1,
                                          "tpk-2025-01", NULL, NULL),
                     TBS_ERR_EXISTS);
    custody_close(first);
    custody_close(second);
}

/* Another program's view, and the raw call that must be refused. */
static void from_outside_each_key_is_sealed(void **state)
{
    (void)state;
    char text[8192];
    unsigned sealed = 0;
    assert_int_equal(softhsm_pkcs11_tool("kms", "--list-objects --type secrkey", text, sizeof text),
                     0);
    for (char *at = text;
         (at = strstr(at, "sensitive, always sensitive, never extractable, local")); at++)
        sealed++;
    unsigned keys = 0;
    for (char *at = text; (at = strstr(at, "Secret Key Object")); at++)
        keys++;
    assert_int_equal(keys, 5);
    assert_int_equal(sealed, keys);

    struct raw raw = raw_open("kms");
    static const char *const ids[] = {"tpk-2026-01", "tpk-2026-02", "tpk-2026-03", "kek-2026-01"};
    for (size_t i = 0; i < 4; i++) {
        CK_BYTE value[64];
        CK_ATTRIBUTE read = {CKA_VALUE, value, sizeof value};
        CK_OBJECT_HANDLE key = raw_find(&raw, ids[i]);
        assert_int_equal(raw.f->C_GetAttributeValue(raw.session, key, &read, 1),
                         CKR_ATTRIBUTE_SENSITIVE);
        CK_BBOOL yes = CK_TRUE;
        CK_ATTRIBUTE change = {CKA_DERIVE, &yes, sizeof yes};
        assert_int_not_equal(raw.f->C_SetAttributeValue(raw.session, key, &change, 1), CKR_OK);
        CK_OBJECT_HANDLE copy;
        assert_int_not_equal(raw.f->C_CopyObject(raw.session, key, NULL, 0, &copy), CKR_OK);
        CK_MECHANISM other = {CKM_SHA512_HMAC, NULL, 0};
        assert_int_not_equal(raw.f->C_SignInit(raw.session, &other, key), CKR_OK);
    }
    raw_close(&raw);

    char arguments[256];
    snprintf(arguments, sizeof arguments, "--read-object --type secrkey --id %s",
             softhsm_hex("tpk-2026-01"));
    softhsm_pkcs11_tool("kms", arguments, text, sizeof text);
    assert_non_null(strstr(text, "CKR_ATTRIBUTE_SENSITIVE"));
}

static void assert_same_mac_as_pkcs11_tool(struct custody_session *session,
                                           const struct custody_key *key, const char *mechanism,
                                           struct tbs_bytes data)
{
    char arguments[512], text[2048];
    uint8_t mac[CUSTODY_MAC_MAX] = {0}, other[64];
    softhsm_put_file("data", data.data, data.len, 0600);
    snprintf(arguments, sizeof arguments, "--sign -m %s --id %s --input-file %s --output-file %s",
             mechanism, softhsm_hex(key->id), softhsm_path("data"), softhsm_path("mac"));
    if (softhsm_pkcs11_tool("kms", arguments, text, sizeof text) != 0)
        fail_msg("%s", text);
    FILE *f = fopen(softhsm_path("mac"), "r");
    assert_non_null(f);
    size_t n = fread(other, 1, sizeof other, f);
    fclose(f);
    assert_int_equal(n, custody_mac_len(key->alg));
    assert_int_equal(custody_hmac(session, key, data, mac, NULL), TBS_OK);
    assert_memory_equal(mac, other, n);
}

static void hmac_is_the_tokens_and_for_tpks_only(void **state)
{
    (void)state;
    struct custody *custody = softhsm_open("kms");
    struct custody_session *session;
    uint8_t mac[CUSTODY_MAC_MAX];
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    const struct custody_key *kek =
        custody_current_key(custody, CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM);
    struct custody_key forged = {.id = "tpk-2026-01", .role = CUSTODY_ROLE_TPK};
    assert_int_equal(custody_hmac(session, kek, tbs_bytes_str("x"), mac, NULL), TBS_ERR_INVALID);
    assert_int_equal(custody_hmac(session, &forged, tbs_bytes_str("x"), mac, NULL),
                     TBS_ERR_INVALID);
    assert_int_equal(custody_hmac(session, NULL, tbs_bytes_str("x"), mac, NULL), TBS_ERR_INVALID);

    const struct custody_key *sha256 =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    const struct custody_key *sha1 =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1);
    struct tbs_bytes data = tbs_bytes_str("MIKEY-TICKET PRF input");
    assert_same_mac_as_pkcs11_tool(session, sha256, "SHA256-HMAC", data);
    assert_same_mac_as_pkcs11_tool(session, sha1, "SHA-1-HMAC", data);

    /* A 20-octet MAC leaves the rest alone; the check value is that of the empty message. */
    memset(mac, 0xaa, sizeof mac);
    assert_int_equal(custody_hmac(session, sha1, tbs_bytes(NULL, 0), mac, NULL), TBS_OK);
    assert_int_equal(mac[20], 0xaa);
    assert_memory_equal(mac, sha1->kcv, CUSTODY_KCV_LEN);
    custody_session_close(session);
    custody_close(custody);
}

/* --- Keys that are not what their ids say --- */

struct planted {
    const char *id;
    CK_BBOOL extractable, sensitive, modifiable, wrap;
    CK_MECHANISM_TYPE mechanism;
    const char *must_say; /* NULL: the token opens all the same */
};

static CK_OBJECT_HANDLE plant(const struct raw *raw, const struct planted *p, bool known_value)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG len = 32;
    CK_MECHANISM_TYPE mechanism = p->mechanism;
    CK_BYTE value[32] = {1};
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_ID, (void *)p->id, strlen(p->id)},
        {CKA_ALLOWED_MECHANISMS, &mechanism, sizeof mechanism},
        {CKA_TOKEN, &yes, 1},
        {CKA_PRIVATE, &yes, 1},
        {CKA_SENSITIVE, (void *)&p->sensitive, 1},
        {CKA_EXTRACTABLE, (void *)&p->extractable, 1},
        {CKA_COPYABLE, &no, 1},
        {CKA_SIGN, &yes, 1},
        {CKA_VERIFY, &yes, 1},
        {CKA_ENCRYPT, &no, 1},
        {CKA_DECRYPT, &no, 1},
        {CKA_WRAP, (void *)&p->wrap, 1},
        {CKA_UNWRAP, &no, 1},
        {CKA_DERIVE, &no, 1},
        {known_value ? CKA_VALUE : CKA_VALUE_LEN, known_value ? (void *)value : &len,
         known_value ? sizeof value : sizeof len},
        {CKA_MODIFIABLE, (void *)&p->modifiable, 1},
    };
    CK_ULONG n = sizeof template / sizeof *template;
    CK_MECHANISM generation = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE object;
    CK_RV rv = known_value ? raw->f->C_CreateObject(raw->session, template, n, &object)
                           : raw->f->C_GenerateKey(raw->session, &generation, template, n, &object);
    assert_int_equal(rv, CKR_OK);
    return object;
}

static void assert_judged(const struct raw *raw, const struct planted *p, bool known_value)
{
    struct tbs_diag diag;
    struct custody_token_config c = softhsm_config("kms");
    CK_OBJECT_HANDLE object = plant(raw, p, known_value);
    enum tbs_err err = softhsm_try_open(&c, &diag);
    assert_int_equal(raw->f->C_DestroyObject(raw->session, object), CKR_OK);
    if (!p->must_say)
        assert_int_equal(err, TBS_OK);
    else if (err != TBS_ERR_CONFIG || !strstr(diag.text, p->must_say))
        fail_msg("%s: %d %s", p->id, err, diag.text);
}

static void keys_that_do_not_fit_their_role_are_refused(void **state)
{
    (void)state;
    static const struct planted planted[] = {
        {"tpk-x", 1, 1, 0, 0, CKM_SHA256_HMAC, "CKA_EXTRACTABLE is true"},
        {"tpk-x", 0, 0, 0, 0, CKM_SHA256_HMAC, "CKA_SENSITIVE is false"},
        {"tpk-x", 0, 1, 1, 0, CKM_SHA256_HMAC, "CKA_MODIFIABLE is true"},
        {"tpk-x", 0, 1, 0, 1, CKM_SHA256_HMAC, "CKA_WRAP is true"},
        {"tpk-x", 0, 1, 0, 0, CKM_SHA512_HMAC, "CKA_ALLOWED_MECHANISMS"},
        {"kek-x", 0, 1, 0, 0, CKM_SHA_1_HMAC, "CKA_ALLOWED_MECHANISMS"},
        {"tpk-X", 0, 1, 0, 0, CKM_SHA256_HMAC, "has an id that begins with"},
        {"tpk-2026-01", 0, 1, 0, 0, CKM_SHA256_HMAC, "two keys with the id tpk-2026-01"},
        {"other-x", 1, 0, 1, 1, CKM_SHA512_HMAC, NULL}, /* not ours */
        {"tpk-x", 0, 1, 0, 0, CKM_SHA256_HMAC, NULL},   /* fits */
    };
    static const struct planted known = {
        "tpk-x", 0, 1, 0, 0, CKM_SHA256_HMAC, "CKA_LOCAL is false"};
    struct raw raw = raw_open("kms");
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++)
        assert_judged(&raw, &planted[i], false);
    assert_judged(&raw, &known, true);
    raw_close(&raw);
}

/* --- Sessions, health, processes --- */

static void random_octets_differ_and_calls_are_counted(void **state)
{
    (void)state;
    struct custody *custody = softhsm_open("kms");
    struct custody_session *session, *other;
    uint8_t a[32], b[32];
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    assert_int_equal(custody_session_open(custody, &other, NULL), TBS_OK);
    assert_int_equal(custody_random(session, a, sizeof a, NULL), TBS_OK);
    assert_int_equal(custody_random(session, b, sizeof b, NULL), TBS_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(custody_token_calls(session), 2);
    assert_int_equal(custody_token_calls(other), 0);
    custody_session_close(session);
    custody_session_close(other);
    custody_session_close(NULL);
    custody_close(custody);
    custody_close(NULL);
}

/* A login that is gone comes back by itself, with other handles for the same keys. */
static void a_lost_login_is_mended(void **state)
{
    (void)state;
    struct custody *custody = softhsm_open("kms");
    struct custody_session *session;
    struct custody_health health;
    struct tbs_diag diag = {0};
    uint8_t before[CUSTODY_MAC_MAX], after[CUSTODY_MAC_MAX];
    const struct custody_key *tpk =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    assert_int_equal(custody_health(session, &health, NULL), TBS_OK);
    assert_int_equal(health.state, CUSTODY_UP);
    assert_int_equal(health.why.code, TBS_OK);
    assert_int_equal(custody_hmac(session, tpk, tbs_bytes_str("x"), before, NULL), TBS_OK);

    for (int i = 0; i < 3; i++) {
        struct raw raw = raw_open("kms"); /* somebody in this process logs out */
        assert_int_equal(raw.f->C_Logout(raw.session), CKR_OK);
        raw_close(&raw);
        if (i > 0 && custody_hmac(session, tpk, tbs_bytes_str("x"), after, &diag) != TBS_OK)
            fail_msg("%s", diag.text);
        if (i > 0)
            assert_memory_equal(after, before, sizeof before);
        assert_int_equal(custody_health(session, &health, NULL), TBS_OK);
        assert_int_equal(health.state, CUSTODY_UP);
    }
    custody_session_close(session);
    custody_close(custody);
}

static void a_forked_child_gets_nothing(void **state)
{
    (void)state;
    struct custody *custody = softhsm_open("kms");
    struct custody_session *session, *inherited;
    uint8_t octets[16];
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    pid_t child = fork();
    if (child == 0) {
        bool refused = custody_random(session, octets, sizeof octets, NULL) == TBS_ERR_INVALID &&
                       custody_session_open(custody, &inherited, NULL) == TBS_ERR_INVALID;
        custody_session_close(session);
        custody_close(custody);
        _exit(refused ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(custody_random(session, octets, sizeof octets, NULL), TBS_OK);
    custody_session_close(session);
    custody_close(custody);
}

static void *work(void *arg)
{
    struct custody *custody = arg;
    struct custody_session *session;
    const struct custody_key *tpk =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    uint8_t first[CUSTODY_MAC_MAX], mac[CUSTODY_MAC_MAX];
    if (custody_session_open(custody, &session, NULL) != TBS_OK)
        return (void *)"cannot open a session";
    const char *failed = NULL;
    for (unsigned i = 0; i < 200 && !failed; i++) {
        if (custody_hmac(session, tpk, tbs_bytes_str("same"), i == 0 ? first : mac, NULL) != TBS_OK)
            failed = "HMAC failed";
        else if (i > 0 && memcmp(first, mac, sizeof mac) != 0)
            failed = "HMAC differs";
    }
    custody_session_close(session);
    return (void *)failed;
}

static void threads_with_a_session_each_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct custody *custody = softhsm_open("kms");
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, custody), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        if (failed)
            fail_msg("%s", (char *)failed);
    }
    custody_close(custody);
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
        cmocka_unit_test(an_empty_token_opens_and_is_degraded),
        cmocka_unit_test(keys_are_generated_judged_and_found),
        cmocka_unit_test(a_key_of_another_process_is_not_overwritten),
        cmocka_unit_test(from_outside_each_key_is_sealed),
        cmocka_unit_test(hmac_is_the_tokens_and_for_tpks_only),
        cmocka_unit_test(keys_that_do_not_fit_their_role_are_refused),
        cmocka_unit_test(random_octets_differ_and_calls_are_counted),
        cmocka_unit_test(a_lost_login_is_mended),
        cmocka_unit_test(a_forked_child_gets_nothing),
        cmocka_unit_test(threads_with_a_session_each_do_not_disturb_each_other),
    };
    alarm(120);
    return cmocka_run_group_tests_name("custody", tests, set_up, softhsm_teardown);
}
