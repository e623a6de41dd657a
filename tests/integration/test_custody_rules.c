/* Custody with rules, on a real token: what they refuse is not used, and what they let is used as
 * long as they let it. The clock is the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "custody/primitives.h"
#include "custody/rules.h"
#include "softhsm.h"

#define START 1780000000
#define PROTECT_UNTIL (START + 1000)
#define PROCESS_UNTIL (START + 2000)
#define N 4

enum { AUDIT_1, KEK_A, KEK_H, TPK_1 }; /* sorted by id */
static const struct {
    const char *id;
    enum custody_role role;
    enum custody_alg alg;
} keys[N] = {
    {"audit-1", CUSTODY_ROLE_AUDIT, CUSTODY_ECDSA_P_256},
    {"kek-a", CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM},
    {"kek-h", CUSTODY_ROLE_KEK, CUSTODY_HMAC_SHA_256},
    {"tpk-1", CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256},
};

static struct custody_fact facts[N + 1]; /* as they are; tests change copies of them */
static char serial[CUSTODY_SERIAL_MAX + 1];
static _Atomic time_t now;

static uint64_t ntp_now(void *ctx)
{
    (void)ctx;
    return tbs_ntp_from_unix(now);
}

/* --- The tokens --- */

static enum tbs_err try_rules(const struct custody_fact *list, size_t n, bool open_compromised,
                              struct custody **ret_custody, struct tbs_diag *diag)
{
    const struct custody_token_config token = softhsm_config("kms");
    const struct custody_rules rules = {list, n, open_compromised};
    const struct custody_config config = {
        .tokens = &token, .n_tokens = 1, .rules = &rules, .clock = {.ntp_now = ntp_now}};
    return custody_open(&config, ret_custody, diag);
}

static struct custody *open_rules(const struct custody_fact *list, size_t n, bool open_compromised)
{
    struct tbs_diag diag = {0};
    struct custody *custody = NULL;
    if (try_rules(list, n, open_compromised, &custody, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return custody;
}

static struct custody_fact fact_of(struct custody *custody, size_t i)
{
    struct custody_fact fact = {
        .role = keys[i].role,
        .alg = keys[i].alg,
        .state = CUSTODY_KEY_ACTIVE,
        .not_before = START,
        .protect_until = PROTECT_UNTIL,
        .process_until = PROCESS_UNTIL,
        .n_holders = 1,
    };
    strcpy(fact.id, keys[i].id);
    strcpy(fact.holders[0].serial, serial);
    const struct custody_key *key =
        custody_find_key(custody, tbs_bytes_str(keys[i].id), keys[i].role);
    assert_non_null(key);
    assert_true(custody_check_value(custody, key, fact.check, &fact.check_len));
    return fact;
}

static int make_keys(void **state)
{
    struct custody_token_status status;
    struct custody_standing standing;
    struct tbs_diag diag = {0};
    if (softhsm_setup(state) != 0)
        return 1;
    softhsm_make_token("kms");
    struct custody *custody = softhsm_open("kms");
    custody_token_status(custody, 0, &status);
    strcpy(serial, status.serial);
    assert_int_equal(strlen(serial), 16);
    for (size_t i = 0; i < N; i++) {
        if (custody_generate_key(custody, keys[i].role, keys[i].alg, keys[i].id, NULL, &diag) !=
            TBS_OK)
            fail_msg("%s", diag.text);
        facts[i] = fact_of(custody, i);
        assert_false(custody_standing(custody, keys[i].id, &standing));
    }
    const struct custody_rules rules = {facts, N, false};
    assert_int_equal(custody_set_rules(custody, &rules, &diag), TBS_ERR_INVALID);
    custody_close(custody);
    return 0;
}

static int start_clock(void **state)
{
    (void)state;
    now = START;
    return 0;
}

/* --- Refused --- */

static void is_refused(const struct custody_fact *list, size_t n, size_t i, const char *why)
{
    struct custody *custody = open_rules(list, n, true);
    struct custody_session *session;
    struct custody_standing standing;
    struct custody_health health;
    struct tbs_diag diag;
    struct tbs_buf out TBS_BUF_AUTO = tbs_buf();
    assert_int_equal(custody_session_open(custody, &session, &diag), TBS_OK);
    assert_true(custody_standing(custody, keys[i].id, &standing));
    if (standing.refused.code != TBS_ERR_CONFIG || !strstr(standing.refused.text, why))
        fail_msg("%s: %s", keys[i].id, standing.refused.text);
    assert_null(custody_current_key(custody, keys[i].role, keys[i].alg));
    custody_known_health(custody, &health);
    assert_int_equal(health.state, CUSTODY_DEGRADED);
    const struct custody_key *key =
        custody_find_key(custody, tbs_bytes_str(keys[i].id), keys[i].role);
    if (keys[i].role == CUSTODY_ROLE_AUDIT)
        assert_int_not_equal(custody_sign(session, key, tbs_bytes_str("x"), &out, &diag), TBS_OK);
    custody_session_close(session);
    custody_close(custody);
}

static void keys_that_the_rules_do_not_name_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < N; i++) {
        struct custody_fact list[N];
        memcpy(list, facts, sizeof list);
        memmove(&list[i], &list[i + 1], (N - 1 - i) * sizeof *list);
        is_refused(list, N - 1, i, "does not name it");
        memcpy(list, facts, sizeof list);
        strcpy(list[i].holders[0].serial, "0123456789abcdef");
        is_refused(list, N, i, "does not name this token");
        list[i] = facts[i];
        list[i].check[0] ^= 1;
        is_refused(list, N, i, "another key");
        list[i].check[0] ^= 1;
        list[i].check[list[i].check_len - 1] ^= 1;
        is_refused(list, N, i, "another key");
        list[i] = facts[i];
        list[i].state = CUSTODY_KEY_DESTROYED;
        is_refused(list, N, i, "was destroyed");
    }
    struct custody_fact list[N];
    memcpy(list, facts, sizeof list);
    list[TPK_1].alg = CUSTODY_HMAC_SHA_1;
    is_refused(list, N, TPK_1, "does not name it");
}

/* --- States and periods --- */

/* One secret under each kind of KEK; every state and time is tried on it. */
static struct tbs_buf blob;
static const char owner[] = "alice", secret[] = "a key of alice's";

static enum tbs_err wrap(struct custody *custody)
{
    struct custody_session *session;
    struct tbs_buf out TBS_BUF_AUTO = tbs_buf();
    struct tbs_diag diag;
    assert_int_equal(custody_session_open(custody, &session, &diag), TBS_OK);
    enum tbs_err err =
        custody_wrap_secret(session, tbs_bytes_str(owner), tbs_bytes_str(secret), &out, &diag);
    if (err == TBS_OK) {
        tbs_buf_reset(&blob);
        tbs_put_bytes(&blob, tbs_buf_view(&out));
    }
    custody_session_close(session);
    return err;
}

static enum tbs_err unwrap(struct custody *custody)
{
    struct custody_session *session;
    struct tbs_secret out TBS_SECRET_AUTO = {0};
    struct tbs_diag diag;
    assert_int_equal(custody_session_open(custody, &session, &diag), TBS_OK);
    enum tbs_err err =
        custody_unwrap_secret(session, tbs_bytes_str(owner), tbs_buf_view(&blob), &out, &diag);
    if (err == TBS_OK)
        assert_memory_equal(out.data, secret, sizeof secret - 1);
    custody_session_close(session);
    return err;
}

static enum tbs_err sign(struct custody *custody)
{
    struct custody_session *session;
    struct tbs_buf out TBS_BUF_AUTO = tbs_buf();
    struct tbs_diag diag;
    const struct custody_key *key =
        custody_find_key(custody, tbs_bytes_str("audit-1"), CUSTODY_ROLE_AUDIT);
    assert_int_equal(custody_session_open(custody, &session, &diag), TBS_OK);
    enum tbs_err err = custody_sign(session, key, tbs_bytes_str("x"), &out, &diag);
    custody_session_close(session);
    return err;
}

struct use {
    enum custody_key_state state;
    time_t at;
    bool open_compromised, protects, processes;
};

static const struct use uses[] = {
    {CUSTODY_KEY_PRE_ACTIVE, START, true, false, false},
    {CUSTODY_KEY_ACTIVE, START - 1, true, false, true},
    {CUSTODY_KEY_ACTIVE, START, true, true, true},
    {CUSTODY_KEY_ACTIVE, PROTECT_UNTIL - 1, true, true, true},
    {CUSTODY_KEY_ACTIVE, PROTECT_UNTIL, true, false, true},
    {CUSTODY_KEY_ACTIVE, PROCESS_UNTIL - 1, true, false, true},
    {CUSTODY_KEY_ACTIVE, PROCESS_UNTIL, true, false, false},
    {CUSTODY_KEY_DEACTIVATED, START, true, false, true},
    {CUSTODY_KEY_DEACTIVATED, PROCESS_UNTIL, true, false, false},
    {CUSTODY_KEY_COMPROMISED, START, false, false, false},
    {CUSTODY_KEY_COMPROMISED, START, true, false, true},
    {CUSTODY_KEY_COMPROMISED, PROCESS_UNTIL, true, false, false},
};

/* All keys in that state; `kek` is the one whose blob is tried, the other one is not named. */
static void is_used_so(const struct use *u, size_t kek)
{
    struct custody_fact list[N - 1];
    struct custody_standing standing;
    struct tbs_diag diag = {0};
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        if (i != KEK_A && i != KEK_H)
            list[n++] = facts[i];
        else if (i == kek)
            list[n++] = facts[i];
    }
    for (size_t i = 0; i < n; i++)
        list[i].state = u->state;
    now = u->at;
    struct custody *custody = open_rules(list, n, u->open_compromised);
    enum tbs_err may = u->protects ? TBS_OK : TBS_ERR_DENIED;
    assert_int_equal(wrap(custody), may);
    assert_int_equal(sign(custody), may);
    assert_int_equal(unwrap(custody), u->processes ? TBS_OK : TBS_ERR_DENIED);
    assert_true(custody_standing(custody, keys[kek].id, &standing));
    assert_int_equal(standing.protects, u->protects);
    assert_int_equal(standing.processes, u->processes);
    const struct custody_key *tpk =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    assert_int_equal(tpk != NULL, u->protects);
    if (!tpk) {
        assert_int_equal(custody_why_none(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, &diag),
                         TBS_ERR_DENIED);
        assert_non_null(strstr(diag.text, "tpk-1"));
    }
    custody_close(custody);
}

static void states_and_periods_say_what_keys_do(void **state)
{
    (void)state;
    static const struct use fresh = {CUSTODY_KEY_ACTIVE, START, false, true, true};
    blob = tbs_buf();
    for (size_t kek = KEK_A; kek <= KEK_H; kek++) {
        struct custody_fact list[N];
        memcpy(list, facts, sizeof list);
        list[kek == KEK_A ? KEK_H : KEK_A].state = CUSTODY_KEY_DEACTIVATED;
        now = START;
        struct custody *custody = open_rules(list, N, false);
        assert_int_equal(wrap(custody), TBS_OK);
        custody_close(custody);
        is_used_so(&fresh, kek);
        for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
            is_used_so(&uses[i], kek);
    }
    tbs_buf_free(&blob);
}

/* --- Changes while it runs --- */

static void await_current(struct custody *custody, const char *id)
{
    const struct custody_key *key = NULL;
    for (int i = 0; i < 200; i++) {
        key = custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
        if (key && strcmp(key->id, id) == 0)
            return;
        usleep(20000);
    }
    fail_msg("%s instead of %s", key ? key->id : "none", id);
}

static void new_rules_bring_a_new_key_and_retire_the_old(void **state)
{
    (void)state;
    struct tbs_diag diag;
    struct custody_fact list[N + 1];
    struct custody_standing standing;
    struct custody *custody = open_rules(facts, N, false);
    assert_int_equal(
        custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-2", NULL, &diag),
        TBS_OK);
    assert_true(custody_standing(custody, "tpk-2", &standing));
    assert_false(standing.named);
    await_current(custody, "tpk-1");

    memcpy(list, facts, N * sizeof *list);
    list[N] = list[TPK_1];
    strcpy(list[N].id, "tpk-2");
    size_t len;
    assert_true(custody_check_value(
        custody, custody_find_key(custody, tbs_bytes_str("tpk-2"), CUSTODY_ROLE_TPK), list[N].check,
        &len));
    list[N].not_before = START + 10;
    struct custody_rules rules = {list, N + 1, false};
    assert_int_equal(custody_set_rules(custody, &rules, &diag), TBS_OK);
    for (int i = 0; i < 200 && custody_standing(custody, "tpk-2", &standing); i++) {
        if (standing.refused.code == TBS_OK)
            break;
        usleep(20000);
    }
    assert_int_equal(standing.refused.code, TBS_OK);
    await_current(custody, "tpk-1");
    now = START + 10;
    await_current(custody, "tpk-2");
    list[N].state = CUSTODY_KEY_COMPROMISED;
    assert_int_equal(custody_set_rules(custody, &rules, &diag), TBS_OK);
    assert_string_equal(custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256)->id,
                        "tpk-1");
    custody_close(custody);
    softhsm_destroy("kms", "tpk-2");
}

/* --- How a token came to a key --- */

struct birth {
    enum custody_origin origin;
    bool known_value, extractable_once, copyable, trusted, right_check;
    const char *must_say; /* NULL: it is used */
};

static CK_OBJECT_HANDLE plant(const struct raw *raw, const struct birth *b)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BBOOL copyable = b->copyable, trusted = b->trusted, extractable = b->extractable_once;
    CK_ULONG len = 32;
    CK_MECHANISM_TYPE mechanism = CKM_SHA256_HMAC;
    CK_BYTE value[32] = {7};
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_ID, (void *)"tpk-r", 5},
        {CKA_ALLOWED_MECHANISMS, &mechanism, sizeof mechanism},
        {CKA_TOKEN, extractable ? &no : &yes, 1},
        {CKA_PRIVATE, &yes, 1},
        {CKA_SENSITIVE, &yes, 1},
        {CKA_EXTRACTABLE, &extractable, 1},
        {CKA_WRAP_WITH_TRUSTED, &trusted, 1},
        {CKA_COPYABLE, &copyable, 1},
        {CKA_SIGN, &yes, 1},
        {CKA_VERIFY, &yes, 1},
        {CKA_ENCRYPT, &no, 1},
        {CKA_DECRYPT, &no, 1},
        {CKA_WRAP, &no, 1},
        {CKA_UNWRAP, &no, 1},
        {CKA_DERIVE, &no, 1},
        {b->known_value ? CKA_VALUE : CKA_VALUE_LEN, b->known_value ? (void *)value : &len,
         b->known_value ? sizeof value : sizeof len},
        {CKA_MODIFIABLE, extractable ? &yes : &no, 1},
    };
    CK_ATTRIBUTE sealed[] = {
        {CKA_TOKEN, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}, {CKA_MODIFIABLE, &no, 1}};
    CK_ULONG n = sizeof template / sizeof *template;
    CK_MECHANISM generation = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE born, object;
    CK_RV rv = b->known_value
                   ? raw->f->C_CreateObject(raw->session, template, n, &born)
                   : raw->f->C_GenerateKey(raw->session, &generation, template, n, &born);
    assert_int_equal(rv, CKR_OK);
    if (!b->extractable_once)
        return born;
    assert_int_equal(raw->f->C_CopyObject(raw->session, born, sealed, 3, &object), CKR_OK);
    assert_int_equal(raw->f->C_DestroyObject(raw->session, born), CKR_OK);
    return object;
}

static void check_of(const struct raw *raw, CK_OBJECT_HANDLE object, uint8_t *ret_check)
{
    CK_MECHANISM mac = {CKM_SHA256_HMAC, NULL, 0};
    CK_BYTE none = 0, out[32];
    CK_ULONG len = sizeof out;
    assert_int_equal(raw->f->C_SignInit(raw->session, &mac, object), CKR_OK);
    assert_int_equal(raw->f->C_Sign(raw->session, &none, 0, out, &len), CKR_OK);
    memcpy(ret_check, out, CUSTODY_KCV_LEN);
}

static void origin_is_judged(const struct birth *b)
{
    struct tbs_diag diag = {0};
    struct custody *custody = NULL;
    struct custody_standing standing = {0};
    struct raw raw = raw_open("kms");
    CK_OBJECT_HANDLE object = plant(&raw, b);
    struct custody_fact list[N + 1];
    memcpy(list, facts, N * sizeof *list);
    list[N] = list[TPK_1];
    strcpy(list[N].id, "tpk-r");
    list[N].holders[0].origin = b->origin;
    list[N].check_len = CUSTODY_KCV_LEN; /* both lengths of an HMAC's check value are tried */
    if (b->right_check)
        check_of(&raw, object, list[N].check);
    enum tbs_err err = try_rules(list, N + 1, false, &custody, &diag);
    if (err == TBS_OK) {
        assert_true(custody_standing(custody, "tpk-r", &standing));
        diag = standing.refused;
        if (diag.code == TBS_OK)
            await_current(custody, "tpk-r");
        custody_close(custody);
    }
    assert_int_equal(raw.f->C_DestroyObject(raw.session, object), CKR_OK);
    raw_close(&raw);
    if (b->must_say ? !strstr(diag.text, b->must_say) : diag.code != TBS_OK)
        fail_msg("%s: %s", b->must_say ? b->must_say : "used", diag.text);
}

static void keys_from_elsewhere_need_rules_that_say_so(void **state)
{
    (void)state;
    static const struct birth births[] = {
        {CUSTODY_MADE_HERE, true, false, false, false, true, "CKA_LOCAL is false"},
        {CUSTODY_REPLICATED, true, false, false, true, true, "CKA_LOCAL is false"},
        {CUSTODY_RESTORED, true, false, true, false, true, "CKA_COPYABLE is true"},
        {CUSTODY_RESTORED, true, false, false, false, false, "another key"},
        {CUSTODY_RESTORED, true, false, false, false, true, NULL},
        {CUSTODY_MADE_HERE, false, true, true, true, true, "CKA_COPYABLE is true"},
        {CUSTODY_MADE_HERE, false, false, true, true, true, "CKA_COPYABLE is true"},
        {CUSTODY_REPLICATED, false, true, true, false, true, "CKA_WRAP_WITH_TRUSTED"},
        {CUSTODY_REPLICATED, false, true, true, true, false, "another key"},
        {CUSTODY_REPLICATED, false, true, true, true, true, NULL},
        {CUSTODY_MADE_HERE, false, false, false, false, true, NULL},
    };
    for (size_t i = 0; i < sizeof births / sizeof *births; i++)
        origin_is_judged(&births[i]);
}

/* --- Two tokens --- */

static void serial_of(const char *label, char *ret_serial)
{
    struct custody_token_status status;
    struct custody *custody = softhsm_open(label);
    custody_token_status(custody, 0, &status);
    strcpy(ret_serial, status.serial);
    custody_close(custody);
}

/* The same key on two tokens, of which the rules name only the second: that one alone is asked. */
static void a_key_is_used_only_where_the_rules_name_it(void **state)
{
    (void)state;
    static const struct birth restored = {.origin = CUSTODY_RESTORED, .known_value = true};
    struct custody_token_config tokens[2];
    struct custody_standing standing;
    struct custody_token_status status[2];
    struct custody_fact list[N + 1];
    struct tbs_diag diag;
    struct custody *custody = NULL;
    softhsm_make_token("second");
    memcpy(list, facts, N * sizeof *list);
    list[N] = list[TPK_1];
    strcpy(list[N].id, "tpk-r");
    list[N].check_len = CUSTODY_KCV_LEN;
    list[N].holders[0].origin = CUSTODY_RESTORED;
    serial_of("second", list[N].holders[0].serial);
    struct raw first = raw_open("kms"), second = raw_open("second");
    CK_OBJECT_HANDLE object = plant(&first, &(struct birth){.origin = CUSTODY_MADE_HERE});
    check_of(&second, plant(&second, &restored), list[N].check);

    tokens[0] = tokens[1] = softhsm_config("kms");
    tokens[1].uri = "pkcs11:token=second";
    const struct custody_rules rules = {list, N + 1, false};
    const struct custody_config config = {
        .tokens = tokens, .n_tokens = 2, .rules = &rules, .clock = {.ntp_now = ntp_now}};
    if (custody_open(&config, &custody, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    assert_true(custody_standing(custody, "tpk-r", &standing));
    assert_non_null(strstr(standing.refused.text, "on token 'kms' is refused"));
    assert_true(custody_holds(custody, "tpk-r", 0) && custody_holds(custody, "tpk-r", 1));
    assert_false(custody_lacks(custody, "tpk-r", 0));
    assert_true(custody_lacks(custody, "tpk-1", 1));
    await_current(custody, "tpk-r");
    custody_token_status(custody, 1, &status[0]);
    struct custody_session *session;
    uint8_t mac[CUSTODY_MAC_MAX];
    assert_int_equal(custody_session_open(custody, &session, &diag), TBS_OK);
    for (int i = 0; i < 8; i++)
        assert_int_equal(
            custody_hmac(session,
                         custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256),
                         tbs_bytes(NULL, 0), mac, &diag),
            TBS_OK);
    assert_memory_equal(mac, list[N].check, CUSTODY_KCV_LEN);
    custody_token_status(custody, 1, &status[1]);
    assert_int_equal(status[1].calls - status[0].calls, 8);
    custody_session_close(session);
    custody_close(custody);
    assert_int_equal(first.f->C_DestroyObject(first.session, object), CKR_OK);
    raw_close(&first);
    raw_close(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keys_that_the_rules_do_not_name_are_refused, start_clock),
        cmocka_unit_test_setup(states_and_periods_say_what_keys_do, start_clock),
        cmocka_unit_test_setup(new_rules_bring_a_new_key_and_retire_the_old, start_clock),
        cmocka_unit_test_setup(keys_from_elsewhere_need_rules_that_say_so, start_clock),
        cmocka_unit_test_setup(a_key_is_used_only_where_the_rules_name_it, start_clock),
    };
    return cmocka_run_group_tests(tests, make_keys, softhsm_teardown);
}
