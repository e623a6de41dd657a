/* Custody with several tokens, on the mock: replicas, failover, routing, and tokens that are not
 * there. "one" and "two" hold the same keys; "other" holds other keys under the same ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "custody/primitives.h"
#include "custody/ticket.h"
#include "mikey/encode.h"
#include "mock.h"

static struct custody *custody;
static struct custody_session *session;

/* --- Making tokens --- */

static void make_key(const char *token, enum custody_role role, enum custody_alg alg,
                     const char *id)
{
    struct custody *alone = softhsm_open(token);
    struct tbs_diag diag = {0};
    if (custody_generate_key(alone, role, alg, id, NULL, &diag))
        fail_msg("%s", diag.text);
    custody_close(alone);
}

static void make_token(const char *label)
{
    softhsm_make_token(label);
    make_key(label, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-2026-01");
    make_key(label, CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-2026-01");
}

static size_t replace(char *text, size_t len, const char *old, const char *new)
{
    size_t n = 0;
    for (char *at; (at = memmem(text, len, old, strlen(old))); n++)
        memcpy(at, new, strlen(new));
    return n;
}

/* SoftHSM has no cloning; its files can be copied, and given another label and serial number of
 * the same length. Needs to be the first token made, and with nothing open. */
static void make_replica(const char *label, const char *serial, const char *new_label)
{
    char command[512], path[256], text[16384];
    snprintf(command, sizeof command, "cd %s && d=$(ls) && cp -a $d replica && echo",
             softhsm_path("tokens"));
    assert_int_equal(softhsm_run(command, text, sizeof text), 0);
    snprintf(path, sizeof path, "%s/replica/token.object", softhsm_path("tokens"));
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text, file);
    assert_in_range(len, 1, sizeof text - 1);
    assert_int_equal(replace(text, len, label, new_label), 1);
    assert_int_equal(replace(text, len, serial, "0123456789abcdef"), 1);
    rewind(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void serial_of(const char *label, char ret_serial[17])
{
    CK_TOKEN_INFO info;
    struct raw raw = raw_open(label);
    assert_int_equal(raw.f->C_GetTokenInfo(raw.slot, &info), CKR_OK);
    memcpy(ret_serial, info.serialNumber, 16);
    ret_serial[16] = '\0';
    raw_close(&raw);
}

/* --- A custody with two of them --- */

static enum tbs_err try_open_two(const char *a, const char *b, bool start_down,
                                 struct tbs_diag *diag)
{
    char uri[2][64];
    const char *labels[] = {a, b};
    struct custody_token_config tokens[2];
    for (size_t i = 0; i < 2; i++) {
        snprintf(uri[i], sizeof uri[i], "pkcs11:token=%s", labels[i]);
        tokens[i] = (struct custody_token_config){.backend = "pkcs11",
                                                  .module = mock_module,
                                                  .uri = uri[i],
                                                  .pin_source = softhsm_user_pin};
    }
    struct custody_config config = {
        .tokens = tokens, .n_tokens = 2, .stall_ms = 1000, .start_down = start_down};
    *diag = (struct tbs_diag){0};
    return custody_open(&config, &custody, diag);
}

static void open_two(const char *a, const char *b)
{
    struct tbs_diag diag;
    if (try_open_two(a, b, false, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
}

static const struct custody_key *key(const char *id)
{
    const struct custody_key *found =
        custody_find_key(custody, tbs_bytes_str(id), CUSTODY_ROLE_TPK);
    assert_non_null(found);
    return found;
}

static enum tbs_err mac(const char *id, uint8_t ret_mac[CUSTODY_MAC_MAX])
{
    return custody_hmac(session, key(id), tbs_bytes_str("data"), ret_mac, NULL);
}

static struct custody_token_status status(size_t i)
{
    struct custody_token_status s;
    custody_token_status(custody, i, &s);
    return s;
}

static void await_state(size_t i, enum custody_state state)
{
    for (int tries = 0; tries < 300 && status(i).state != state; tries++)
        usleep(10000);
    assert_int_equal(status(i).state, state);
}

static int close_two(void **state)
{
    (void)state;
    mock_script("%s", "");
    custody_session_close(session);
    custody_close(custody);
    session = NULL;
    custody = NULL;
    return 0;
}

/* --- Keys --- */

static void a_key_on_two_tokens_is_one_key(void **state)
{
    (void)state;
    size_t n;
    open_two("one", "two");
    const struct custody_key *keys = custody_keys(custody, &n);
    assert_int_equal(n, 2);
    assert_string_equal(keys[0].id, "kek-2026-01");
    assert_string_equal(keys[1].id, "tpk-2026-01");
    assert_int_equal(status(0).state, CUSTODY_UP);
    assert_int_equal(status(1).state, CUSTODY_UP);
}

static void two_keys_of_one_id_are_refused(void **state)
{
    (void)state;
    struct tbs_diag diag;
    assert_int_equal(try_open_two("one", "other", true, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "on token 'other' is another key"));
    assert_int_equal(try_open_two("aes", "one", true, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "key kek-2026-01 on token 'one' is another key"));
    assert_null(custody);
}

static void keys_are_asked_where_they_are(void **state)
{
    (void)state;
    uint8_t a[CUSTODY_MAC_MAX], b[CUSTODY_MAC_MAX];
    make_key("one", CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-of-one");
    make_key("two", CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-of-two");
    open_two("one", "two");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mac("tpk-of-one", a), TBS_OK);
        assert_int_equal(mac("tpk-of-two", b), TBS_OK);
        assert_memory_not_equal(a, b, sizeof a);
    }
    assert_int_equal(status(0).failures, 0);
    assert_int_equal(status(1).failures, 0);
    mock_script("token one: device removed\n");
    assert_int_equal(mac("tpk-of-one", a), TBS_ERR_UNAVAILABLE);
    assert_int_equal(mac("tpk-of-two", b), TBS_OK);
}

/* The number of the one slot becomes the other's, while sessions are to be opened anew. */
static void a_handle_never_meets_another_token(void **state)
{
    (void)state;
    uint8_t one[CUSTODY_MAC_MAX], two[CUSTODY_MAC_MAX], now[CUSTODY_MAC_MAX];
    CK_SLOT_ID slots[2];
    open_two("one", "two");
    for (size_t i = 0; i < 2; i++)
        slots[i] = raw_slot(mock, i == 0 ? "one" : "two");
    assert_int_equal(mac("tpk-of-one", one), TBS_OK);
    assert_int_equal(mac("tpk-of-two", two), TBS_OK);
    bool up = slots[0] > slots[1];
    mock_script("slot shift %lu\nsessions invalidate\n",
                up ? slots[0] - slots[1] : slots[1] - slots[0]);
    for (int i = 0; i < 20; i++) {
        if (mac("tpk-of-one", now) == TBS_OK)
            assert_memory_equal(now, one, sizeof now);
        if (mac("tpk-of-two", now) == TBS_OK)
            assert_memory_equal(now, two, sizeof now);
    }
    await_state(0, CUSTODY_UP);
    await_state(1, CUSTODY_UP);
    assert_int_equal(mac("tpk-of-one", now), TBS_OK);
    assert_memory_equal(now, one, sizeof now);
}

/* --- Failover --- */

static void a_failing_token_is_replaced_within_the_call(void **state)
{
    (void)state;
    uint8_t before[CUSTODY_MAC_MAX], after[CUSTODY_MAC_MAX];
    TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
    struct tbs_bytes who = tbs_bytes_str("alice");
    open_two("one", "two");
    assert_int_equal(mac("tpk-2026-01", before), TBS_OK);
    assert_int_equal(custody_wrap_secret(session, who, tbs_bytes_str("secret"), &blob, NULL),
                     TBS_OK);
    static const char *const outages[] = {"one: fail * CKR_DEVICE_ERROR",
                                          "two: device removed",
                                          "one: fail C_Sign CKR_FUNCTION_FAILED",
                                          "two: fail C_Decrypt CKR_GENERAL_ERROR",
                                          "one: sessions max 0",
                                          "two: no CKM_SHA256_HMAC"};
    for (size_t i = 0; i < sizeof outages / sizeof *outages; i++) {
        mock_script("token %s\n", outages[i]);
        for (int k = 0; k < 10; k++) {
            TBS_SECRET_AUTO struct tbs_secret secret = {0};
            assert_int_equal(mac("tpk-2026-01", after), TBS_OK);
            assert_memory_equal(before, after, sizeof before);
            assert_int_equal(
                custody_unwrap_secret(session, who, tbs_buf_view(&blob), &secret, NULL), TBS_OK);
        }
        mock_script("%s", "");
        custody_look_again(custody);
        await_state(0, CUSTODY_UP);
        await_state(1, CUSTODY_UP);
    }
}

static void *mac_of_its_own(void *ret_err)
{
    struct custody_session *own;
    uint8_t octets[CUSTODY_MAC_MAX];
    enum tbs_err *err = ret_err;
    *err = custody_session_open(custody, &own, NULL);
    if (*err == TBS_OK)
        *err = custody_hmac(own, key("tpk-2026-01"), tbs_bytes_str("x"), octets, NULL);
    custody_session_close(own);
    return NULL;
}

/* One thread's call hangs in "one" from now on. */
static pthread_t hang_in_one(enum tbs_err *ret_err)
{
    pthread_t thread;
    mock_script("token one: hang C_Sign\n");
    assert_int_equal(pthread_create(&thread, NULL, mac_of_its_own, ret_err), 0);
    for (int tries = 0; tries < 300 && mock_count("hanging.now") == 0; tries++)
        usleep(10000);
    assert_int_equal(mock_count("hanging.now"), 1);
    return thread;
}

static void the_least_busy_token_is_asked(void **state)
{
    (void)state;
    uint8_t octets[CUSTODY_MAC_MAX];
    enum tbs_err err;
    open_two("one", "two");
    pthread_t thread = hang_in_one(&err);
    uint64_t before = status(0).calls;
    for (int i = 0; i < 20; i++)
        assert_int_equal(mac("tpk-2026-01", octets), TBS_OK);
    assert_int_equal(status(0).calls, before);
    mock_script("%s", "");
    pthread_join(thread, NULL);
    assert_int_equal(err, TBS_OK);
}

static void a_token_whose_calls_hang_gets_no_more(void **state)
{
    (void)state;
    enum tbs_err err;
    open_two("one", "two");
    pthread_t thread = hang_in_one(&err);
    await_state(0, CUSTODY_DOWN);
    assert_int_equal(status(0).stalled, 1);
    assert_int_equal(status(1).state, CUSTODY_UP);
    mock_script("%s", "");
    pthread_join(thread, NULL);
    assert_int_equal(err, TBS_OK);
    await_state(0, CUSTODY_UP);
}

/* The examination hangs before any call does. */
static void a_token_whose_examination_hangs_gets_no_more(void **state)
{
    (void)state;
    uint8_t octets[CUSTODY_MAC_MAX];
    open_two("one", "two");
    mock_script("token one: hang *\n");
    custody_look_again(custody);
    await_state(0, CUSTODY_DOWN);
    assert_non_null(strstr(status(0).why.text, "hangs"));
    for (int i = 0; i < 20; i++)
        assert_int_equal(mac("tpk-2026-01", octets), TBS_OK);
    mock_script("%s", "");
    await_state(0, CUSTODY_UP);
}

/* --- Tokens that are not there --- */

static void one_of_two_is_enough_to_start(void **state)
{
    (void)state;
    uint8_t octets[CUSTODY_MAC_MAX];
    struct custody_health health;
    mock_script("token one: device removed\n");
    open_two("one", "two");
    assert_int_equal(status(0).state, CUSTODY_DOWN);
    assert_int_equal(mac("tpk-2026-01", octets), TBS_OK);
    custody_known_health(custody, &health);
    assert_int_equal(health.state, CUSTODY_DEGRADED);
    mock_script("%s", "");
    await_state(0, CUSTODY_UP);
    mock_script("token two: device removed\n");
    assert_int_equal(mac("tpk-2026-01", octets), TBS_OK);
}

static void none_of_two_is_enough_only_where_that_is_said(void **state)
{
    (void)state;
    uint8_t octets[CUSTODY_MAC_MAX];
    struct tbs_diag diag;
    mock_script("device removed\n");
    assert_int_equal(try_open_two("one", "two", false, &diag), TBS_ERR_NOT_FOUND);
    assert_int_equal(try_open_two("one", "two", true, &diag), TBS_OK);
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    assert_int_equal(custody_random(session, octets, 8, &diag), TBS_ERR_UNAVAILABLE);
    mock_script("%s", "");
    await_state(0, CUSTODY_UP);
    await_state(1, CUSTODY_UP);
    assert_int_equal(mac("tpk-2026-01", octets), TBS_OK);
}

static void a_module_that_died_is_loaded_anew_for_both(void **state)
{
    (void)state;
    uint8_t octets[CUSTODY_MAC_MAX];
    open_two("one", "two");
    mock_script("module dead CKR_CRYPTOKI_NOT_INITIALIZED\n");
    assert_int_equal(mac("tpk-2026-01", octets), TBS_ERR_UNAVAILABLE);
    mock_script("%s", "");
    await_state(0, CUSTODY_UP);
    await_state(1, CUSTODY_UP);
    assert_int_equal(mac("tpk-2026-01", octets), TBS_OK);
}

static const uint8_t octets[32] = {7, 1, 1};

/* A TICKET payload under a TPK. */
static void make_ticket(const char *tpk_id, struct tbs_buf *chain)
{
    const struct ticket_policy policy = {
        .type = TICKET_TYPE_MIKEY_BASE,
        .subtype = TICKET_SUBTYPE,
        .version = TICKET_VERSION,
        .prf = MIKEY_PRF_HMAC_SHA_256,
        .flags = TICKET_D | TICKET_E,
        .kms = {MIKEY_ID_URI, tbs_bytes_str("sip:kms@example.net")},
        .n_responders = 1,
        .responders = {{MIKEY_ID_URI, tbs_bytes_str("sip:bob@example.net")}},
    };
    const struct mikey_key mpk = {.type = MIKEY_MPK, .key = tbs_bytes(octets, 32)};
    TICKET_CONTENTS_AUTO struct ticket_contents contents = {.t = 1, .rand = tbs_bytes(octets, 16)};
    TBS_BUF_AUTO struct tbs_buf core = tbs_buf();
    struct mikey_writer w = mikey_write_chain(chain);
    assert_int_equal(mikey_key_set_copy(&mpk, 1, &contents.keys, NULL), TBS_OK);
    assert_int_equal(custody_wrap_ticket(session, key(tpk_id), &policy, &contents, &core, NULL),
                     TBS_OK);
    mikey_put_ticket(&w, tbs_buf_view(&core), tbs_bytes(NULL, 0));
}

/* What both answer, a ticket and a stored secret. */
static enum tbs_err open_both(const struct tbs_buf *chain, const struct tbs_buf *blob,
                              struct tbs_diag ret_diag[2])
{
    TICKET_CONTENTS_AUTO struct ticket_contents contents = {0};
    TBS_SECRET_AUTO struct tbs_secret secret = {0};
    struct mikey_payloads payloads;
    memset(ret_diag, 0, 2 * sizeof *ret_diag);
    assert_int_equal(mikey_decode_chain(tbs_buf_view(chain), 0, &payloads, NULL), TBS_OK);
    enum tbs_err err = custody_unwrap_ticket(session, mikey_find(&payloads, MIKEY_TICKET, 0),
                                             &contents, &ret_diag[0]);
    assert_int_equal(custody_unwrap_secret(session, tbs_bytes_str("alice"), tbs_buf_view(blob),
                                           &secret, &ret_diag[1]),
                     err);
    return err;
}

static void rename_key(struct tbs_buf *octets_with_id, const char *id, const char *new_id)
{
    assert_int_equal(replace((char *)octets_with_id->data, octets_with_id->len, id, new_id), 1);
}

/* Its keys are what nobody knows: "not there" is said only when all tokens were read. */
static void keys_of_a_token_that_was_never_up_are_waited_for(void **state)
{
    (void)state;
    struct tbs_diag why[2];
    TBS_BUF_AUTO struct tbs_buf ticket = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
    make_key("two", CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-late");
    make_key("two", CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-late");
    open_two("one", "two");
    make_ticket("tpk-late", &ticket);
    assert_int_equal(
        custody_wrap_secret(session, tbs_bytes_str("alice"), tbs_bytes(octets, 32), &blob, NULL),
        TBS_OK);
    assert_int_equal(open_both(&ticket, &blob, why), TBS_OK);
    close_two(state);

    mock_script("token two: device removed\n");
    open_two("one", "two");
    assert_int_equal(open_both(&ticket, &blob, why), TBS_ERR_UNAVAILABLE);
    assert_non_null(strstr(why[0].text, "token 'pkcs11:token=two' has not been up"));
    assert_non_null(strstr(why[1].text, "token 'pkcs11:token=two' has not been up"));
    mock_script("%s", "");
    await_state(1, CUSTODY_UP);
    assert_int_equal(open_both(&ticket, &blob, why), TBS_OK);
    mock_script("token two: device removed\n");
    assert_int_equal(open_both(&ticket, &blob, why), TBS_ERR_UNAVAILABLE);
    rename_key(&ticket, "tpk-late", "tpk-none");
    rename_key(&blob, "kek-late", "kek-none");
    assert_int_equal(open_both(&ticket, &blob, why), TBS_ERR_NOT_FOUND);
}

static int set_up(void **state)
{
    char serial[17];
    if (softhsm_setup(state) != 0)
        return -1;
    make_token("one");
    serial_of("one", serial);
    make_replica("one", serial, "two");
    make_token("other");
    softhsm_make_token("aes");
    make_key("aes", CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM, "kek-2026-01");
    mock_setup();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_key_on_two_tokens_is_one_key, close_two),
        cmocka_unit_test_teardown(two_keys_of_one_id_are_refused, close_two),
        cmocka_unit_test_teardown(a_failing_token_is_replaced_within_the_call, close_two),
        cmocka_unit_test_teardown(the_least_busy_token_is_asked, close_two),
        cmocka_unit_test_teardown(a_token_whose_calls_hang_gets_no_more, close_two),
        cmocka_unit_test_teardown(a_token_whose_examination_hangs_gets_no_more, close_two),
        cmocka_unit_test_teardown(one_of_two_is_enough_to_start, close_two),
        cmocka_unit_test_teardown(none_of_two_is_enough_only_where_that_is_said, close_two),
        cmocka_unit_test_teardown(a_module_that_died_is_loaded_anew_for_both, close_two),
        cmocka_unit_test_teardown(keys_are_asked_where_they_are, close_two),
        cmocka_unit_test_teardown(a_handle_never_meets_another_token, close_two),
        cmocka_unit_test_teardown(keys_of_a_token_that_was_never_up_are_waited_for, close_two),
    };
    alarm(120);
    return cmocka_run_group_tests_name("custody-tokens", tests, set_up, softhsm_teardown);
}
