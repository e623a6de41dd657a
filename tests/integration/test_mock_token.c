/* The mock: rules about the token as a whole, its sessions, handles and PIN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "mock.h"

static struct raw raw, other;
static CK_OBJECT_HANDLE a, b;
static CK_BYTE mac[32], mac_a[32], mac_b[32];

/* Tokens "kms", with keys tpk-a and tpk-b, and "other", with tpk-a. */
static int start(void **state)
{
    (void)state;
    mock_script("%s", "");
    raw = mock_start("kms");
    a = raw_find(&raw, "tpk-a");
    b = raw_find(&raw, "tpk-b");
    other = mock_session("other");
    assert_int_equal(mock_login(&other, SOFTHSM_USER_PIN), CKR_OK);
    assert_int_equal(mock_sign(&raw, a, mac_a), CKR_OK);
    assert_int_equal(mock_sign(&raw, b, mac_b), CKR_OK);
    return 0;
}

static void restart(void)
{
    assert_int_equal(mock->C_Finalize(NULL), CKR_OK);
    raw = mock_start("kms");
}

static CK_RV random_octets(const struct raw *of)
{
    return mock->C_GenerateRandom(of->session, mac, 8);
}

static void check_working(const struct raw *of)
{
    assert_int_equal(mock_state(of), CKS_RW_USER_FUNCTIONS);
    assert_int_equal(mock_sign(of, raw_find(of, "tpk-a"), mac), CKR_OK);
}

/* --- Sessions, login, device, module --- */

static void sessions_become_invalid(void **state)
{
    (void)state;
    assert_int_equal(mock_count("sessions.now"), 2);
    mock_script("token kms: sessions invalidate\n");
    assert_int_equal(random_octets(&raw), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(mock_count("sessions.now"), 1);
    check_working(&other);
    raw = mock_session("kms"); /* the line still stands, but happened once */
    assert_int_equal(random_octets(&raw), CKR_OK);
    /* They were closed in the token, too: the login went with the last. */
    assert_int_equal(mock_state(&raw), CKS_RW_PUBLIC_SESSION);
    mock_script("sessions invalidate\n");
    assert_int_equal(random_octets(&raw), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(random_octets(&other), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(mock_count("sessions.now"), 0);
}

static void a_login_is_lost(void **state)
{
    (void)state;
    mock_script("token kms: logout\n");
    assert_int_equal(mock_state(&raw), CKS_RW_PUBLIC_SESSION);
    assert_int_not_equal(mock_sign(&raw, a, mac), CKR_OK);
    check_working(&other);
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_OK);
    check_working(&raw);
}

static CK_ULONG slots_present(CK_BBOOL present)
{
    CK_ULONG n;
    assert_int_equal(mock->C_GetSlotList(present, NULL, &n), CKR_OK);
    return n;
}

static void a_device_is_removed_and_comes_back(void **state)
{
    (void)state;
    CK_SESSION_HANDLE session;
    CK_TOKEN_INFO info;
    CK_SLOT_INFO slot;
    CK_ULONG present = slots_present(CK_TRUE), all = slots_present(CK_FALSE);
    assert_int_equal(mock->C_GetSlotInfo(raw.slot, &slot), CKR_OK);
    assert_true((slot.flags & CKF_TOKEN_PRESENT) != 0);

    mock_script("token kms: device removed\n");
    assert_int_equal(random_octets(&raw), CKR_DEVICE_REMOVED);
    assert_int_equal(mock->C_CloseSession(raw.session), CKR_DEVICE_REMOVED);
    assert_int_equal(mock->C_OpenSession(raw.slot, CKF_SERIAL_SESSION, NULL, NULL, &session),
                     CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(mock->C_GetTokenInfo(raw.slot, &info), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(mock->C_GetSlotInfo(raw.slot, &slot), CKR_OK);
    assert_int_equal(slot.flags & CKF_TOKEN_PRESENT, 0);
    assert_int_equal(slots_present(CK_TRUE), present - 1);
    assert_int_equal(slots_present(CK_FALSE), all);
    assert_int_equal(mock_count("sessions.now"), 1);
    check_working(&other);

    mock_script("%s", "");
    assert_int_equal(slots_present(CK_TRUE), present);
    assert_int_equal(random_octets(&raw), CKR_SESSION_HANDLE_INVALID);
    raw = mock_session("kms");
    assert_int_equal(mock_state(&raw), CKS_RW_PUBLIC_SESSION);
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_OK);
    check_working(&raw);
    mock_script("device removed\n");
    assert_int_equal(slots_present(CK_TRUE), 0);
    assert_int_equal(random_octets(&other), CKR_DEVICE_REMOVED);
}

static void a_dead_module_lives_after_a_new_start(void **state)
{
    (void)state;
    CK_INFO info;
    mock_script("module dead CKR_CRYPTOKI_NOT_INITIALIZED\n");
    assert_int_equal(random_octets(&raw), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(mock->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(mock->C_Finalize(NULL), CKR_OK);
    assert_int_equal(mock->C_Initialize(NULL), CKR_OK);
    assert_int_equal(mock->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
    mock_script("%s", "");
    assert_int_equal(mock->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
    restart();
    check_working(&raw);
    mock_script("module dead CKR_GENERAL_ERROR\n");
    assert_int_equal(random_octets(&raw), CKR_GENERAL_ERROR);
}

static void sessions_are_limited(void **state)
{
    (void)state;
    struct raw more;
    CK_SESSION_HANDLE session;
    mock_script("token kms: sessions max 2\n");
    more = mock_session("kms");
    assert_int_equal(mock->C_OpenSession(raw.slot, CKF_SERIAL_SESSION, NULL, NULL, &session),
                     CKR_SESSION_COUNT);
    assert_int_equal(mock->C_CloseSession(more.session), CKR_OK);
    more = mock_session("kms");
    mock_session("other");
    mock_session("other");
    assert_int_equal(mock_count("sessions.now"), 5);
    assert_int_equal(mock->C_CloseAllSessions(other.slot), CKR_OK);
    assert_int_equal(mock_count("sessions.now"), 2);
    assert_int_equal(mock_count("sessions.most"), 5);
    assert_int_equal(random_octets(&other), CKR_SESSION_HANDLE_INVALID);
    check_working(&more);
}

/* --- Numbers that change --- */

static void slot_ids_move(void **state)
{
    (void)state;
    CK_TOKEN_INFO info;
    CK_SESSION_INFO session;
    mock_script("slot shift 5\n");
    assert_int_equal(mock->C_GetTokenInfo(raw.slot, &info), CKR_SLOT_ID_INVALID);
    assert_int_equal(raw_slot(mock, "kms"), raw.slot + 5);
    assert_int_equal(mock->C_GetSessionInfo(raw.session, &session), CKR_OK);
    assert_int_equal(session.slotID, raw.slot + 5);
    check_working(&raw);
    struct raw new = mock_session("kms");
    check_working(&new);
}

static void object_handles_move_at_a_new_start(void **state)
{
    (void)state;
    mock_script("handles shift\n");
    assert_int_equal(mock_sign(&raw, a, mac), CKR_OK);
    restart();
    CK_OBJECT_HANDLE moved = raw_find(&raw, "tpk-a");
    assert_int_not_equal(moved, a);
    assert_int_equal(mock_sign(&raw, a, mac), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(mock_sign(&raw, moved, mac), CKR_OK);
    assert_memory_equal(mac, mac_a, sizeof mac);
    assert_int_equal(mock->C_GetObjectSize(raw.session, a, &(CK_ULONG){0}),
                     CKR_OBJECT_HANDLE_INVALID);
}

static void object_handles_move_when_the_device_is_back(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE others = raw_find(&other, "tpk-a");
    mock_script("device removed\n");
    assert_int_equal(random_octets(&raw), CKR_DEVICE_REMOVED);
    mock_script("token kms: handles shift\n");
    raw = mock_session("kms");
    other = mock_session("other");
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_OK);
    assert_int_equal(mock_login(&other, SOFTHSM_USER_PIN), CKR_OK);
    assert_in_range(raw_find(&other, "tpk-a") - others, 0, 1000); /* SoftHSM counts on */
    assert_true(raw_find(&raw, "tpk-a") - a > 1000);
    assert_int_equal(mock_sign(&raw, a, mac), CKR_OBJECT_HANDLE_INVALID);
}

/* With stale handles alone, and after a search. */
static void a_stale_handle_names_another_key(void **state)
{
    (void)state;
    mock_script("handles swap tpk-a tpk-b\n");
    assert_int_equal(mock_sign(&raw, a, mac), CKR_OK);
    assert_memory_equal(mac, mac_a, sizeof mac); /* not before a new start */
    restart();
    assert_int_equal(mock_sign(&raw, a, mac), CKR_OK);
    assert_memory_equal(mac, mac_b, sizeof mac);
    assert_int_equal(raw_find(&raw, "tpk-a"), b);
    assert_int_equal(raw_find(&raw, "tpk-b"), a);
    assert_int_equal(mock_sign(&raw, b, mac), CKR_OK);
    assert_memory_equal(mac, mac_a, sizeof mac);

    mock_script("device removed\n"); /* and back */
    assert_int_equal(random_octets(&raw), CKR_DEVICE_REMOVED);
    mock_script("handles swap tpk-b tpk-a\n");
    raw = mock_session("kms");
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_OK);
    assert_int_equal(mock_sign(&raw, a, mac), CKR_OK);
    assert_memory_equal(mac, mac_a, sizeof mac);
    mock_script("%s", "");
    restart();
    assert_int_equal(mock_sign(&raw, raw_find(&raw, "tpk-b"), mac), CKR_OK);
    assert_memory_equal(mac, mac_b, sizeof mac);
}

/* --- The PIN --- */

static CK_FLAGS flags_of(const struct raw *of)
{
    CK_TOKEN_INFO info;
    assert_int_equal(mock->C_GetTokenInfo(of->slot, &info), CKR_OK);
    return info.flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED |
                         CKF_PROTECTED_AUTHENTICATION_PATH);
}

static void a_pin_locks(void **state)
{
    (void)state;
    unsigned long wrong = mock_count("login.CKR_PIN_INCORRECT"), ok = mock_count("login.CKR_OK");
    unsigned long locked = mock_count("login.CKR_PIN_LOCKED");
    mock_script("token kms: pin lock after 3\nlogout\n");
    assert_int_equal(mock_login(&raw, "wrong"), CKR_PIN_INCORRECT);
    assert_int_equal(flags_of(&raw), CKF_USER_PIN_COUNT_LOW);
    assert_int_equal(mock_login(&raw, "wrong"), CKR_PIN_INCORRECT);
    assert_int_equal(flags_of(&raw), CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY);
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_OK); /* counts from the start */
    assert_int_equal(flags_of(&raw), 0);
    assert_int_equal(mock->C_Logout(raw.session), CKR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(mock_login(&raw, "wrong"), CKR_PIN_INCORRECT);
    assert_int_equal(flags_of(&raw), CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_LOCKED);
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_PIN_LOCKED);
    assert_int_equal(mock_login(&other, SOFTHSM_USER_PIN), CKR_OK);
    assert_int_equal(mock_count("login.CKR_PIN_INCORRECT"), wrong + 5);
    assert_int_equal(mock_count("login.CKR_PIN_LOCKED"), locked + 1);
    assert_int_equal(mock_count("login.CKR_OK"), ok + 2);
    mock_script("%s", "");
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_OK);
    assert_int_equal(mock_login(&raw, SOFTHSM_USER_PIN), CKR_USER_ALREADY_LOGGED_IN);
}

static void a_token_can_have_a_pin_pad(void **state)
{
    (void)state;
    unsigned long without = mock_count("login.without-pin");
    mock_script("logout\ntoken kms: login flags COUNT_LOW|PROTECTED_AUTH\n");
    assert_int_equal(flags_of(&raw), CKF_USER_PIN_COUNT_LOW | CKF_PROTECTED_AUTHENTICATION_PATH);
    assert_int_equal(flags_of(&other), 0);
    assert_int_equal(mock->C_Login(raw.session, CKU_USER, NULL, 0), CKR_ARGUMENTS_BAD);
    mock_script("pin pad wrong\n");
    assert_int_equal(mock->C_Login(raw.session, CKU_USER, NULL, 0), CKR_PIN_INCORRECT);
    mock_script("pin pad " SOFTHSM_USER_PIN "\n");
    assert_int_equal(mock->C_Login(raw.session, CKU_USER, NULL, 0), CKR_OK);
    check_working(&raw);
    assert_int_equal(mock_count("login.without-pin"), without + 3);
    mock_script("login flags FINAL_TRY|LOCKED\n");
    assert_int_equal(flags_of(&other), CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED);
}

/* --- One token of several --- */

static void rules_can_be_for_one_token(void **state)
{
    (void)state;
    mock_script("token kms: fail C_GenerateRandom CKR_DEVICE_ERROR\n"
                "token other: no CKM_SHA256_HMAC\n");
    assert_int_equal(random_octets(&raw), CKR_DEVICE_ERROR);
    assert_int_equal(random_octets(&other), CKR_OK);
    assert_int_equal(mock_sign(&raw, a, mac), CKR_OK);
    assert_int_equal(mock_sign(&other, raw_find(&other, "tpk-a"), mac), CKR_MECHANISM_INVALID);
    mock_script("token no such: fail * CKR_DEVICE_ERROR\n");
    assert_int_equal(random_octets(&raw), CKR_OK);
}

/* --- Custody on the mock, through p11-kit --- */

static void custody_meets_what_the_script_says(void **state)
{
    (void)state;
    struct custody_token_config config = softhsm_config("kms");
    struct custody *custody = NULL;
    struct custody_session *session = NULL;
    struct tbs_diag diag = {0};
    uint8_t octets[8];
    config.module = mock_module;
    mock_script("fail C_Login CKR_DEVICE_REMOVED\n");
    assert_int_equal(softhsm_try_open(&config, &diag), TBS_ERR_UNAVAILABLE);
    assert_int_equal(diag.raw, CKR_DEVICE_REMOVED);
    mock_script("%s", "");
    if (softhsm_custody_open(&config, &custody, &diag) ||
        custody_session_open(custody, &session, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    mock_script("fail C_GenerateRandom CKR_DEVICE_ERROR times 1\n"); /* a second try succeeds */
    assert_int_equal(custody_random(session, octets, sizeof octets, &diag), TBS_OK);
    mock_script("fail C_GenerateRandom CKR_DEVICE_ERROR\n");
    assert_int_equal(custody_random(session, octets, sizeof octets, &diag), TBS_ERR_UNAVAILABLE);
    assert_int_equal(diag.raw, CKR_DEVICE_ERROR);
    custody_session_close(session);
    custody_close(custody);
    assert_int_equal(mock_count("sessions.now"), 0);
}

static int set_up(void **state)
{
    if (softhsm_setup(state) != 0)
        return -1;
    softhsm_make_token("kms");
    softhsm_make_token("other");
    mock_add_key("kms", "tpk-a");
    mock_add_key("kms", "tpk-b");
    mock_add_key("other", "tpk-a");
    mock_setup();
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, mock_one_stop)
    const struct CMUnitTest tests[] = {
        TEST(sessions_become_invalid),
        TEST(a_login_is_lost),
        TEST(a_device_is_removed_and_comes_back),
        TEST(a_dead_module_lives_after_a_new_start),
        TEST(sessions_are_limited),
        TEST(slot_ids_move),
        TEST(object_handles_move_at_a_new_start),
        TEST(object_handles_move_when_the_device_is_back),
        TEST(a_stale_handle_names_another_key),
        TEST(a_pin_locks),
        TEST(a_token_can_have_a_pin_pad),
        TEST(rules_can_be_for_one_token),
        cmocka_unit_test(custody_meets_what_the_script_says),
    };
    alarm(60);
    return cmocka_run_group_tests_name("mock-token", tests, set_up, softhsm_teardown);
}
