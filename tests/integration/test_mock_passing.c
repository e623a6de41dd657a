/* The mock: what no rule is about passes through it, from many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "mock.h"

static CK_BYTE mac[32];
static CK_BYTE result[64], again[64];
static CK_ULONG n_result, n_again;

static void hashes_and_macs_pass(void **state)
{
    (void)state;
    CK_MECHANISM sha = {CKM_SHA256, NULL, 0}, hmac = {CKM_SHA256_HMAC, NULL, 0};
    n_result = n_again = sizeof result;
    assert_int_equal(mock->C_DigestInit(mock_raw.session, &sha), CKR_OK);
    assert_int_equal(mock->C_Digest(mock_raw.session, (CK_BYTE *)"xy", 2, result, &n_result),
                     CKR_OK);
    assert_int_equal(mock->C_DigestInit(mock_raw.session, &sha), CKR_OK);
    assert_int_equal(mock->C_DigestUpdate(mock_raw.session, (CK_BYTE *)"x", 1), CKR_OK);
    assert_int_equal(mock->C_DigestUpdate(mock_raw.session, (CK_BYTE *)"y", 1), CKR_OK);
    assert_int_equal(mock->C_DigestFinal(mock_raw.session, again, &n_again), CKR_OK);
    assert_int_equal(n_result, 32);
    assert_memory_equal(result, again, 32);

    assert_int_equal(mock_sign(&mock_raw, mock_key, mac), CKR_OK);
    assert_int_equal(mock->C_SignInit(mock_raw.session, &hmac, mock_key), CKR_OK);
    assert_int_equal(mock->C_SignUpdate(mock_raw.session, (CK_BYTE *)"x", 1), CKR_OK);
    assert_int_equal(mock->C_SignFinal(mock_raw.session, again, &n_again), CKR_OK);
    assert_memory_equal(mac, again, 32);
    assert_int_equal(mock->C_VerifyInit(mock_raw.session, &hmac, mock_key), CKR_OK);
    assert_int_equal(mock->C_Verify(mock_raw.session, (CK_BYTE *)"x", 1, mac, 32), CKR_OK);
    mac[0] ^= 1;
    assert_int_equal(mock->C_VerifyInit(mock_raw.session, &hmac, mock_key), CKR_OK);
    assert_int_equal(mock->C_VerifyUpdate(mock_raw.session, (CK_BYTE *)"x", 1), CKR_OK);
    assert_int_equal(mock->C_VerifyFinal(mock_raw.session, mac, 32), CKR_SIGNATURE_INVALID);
}

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
static CK_KEY_TYPE aes = CKK_AES;
static CK_BYTE octets[16] = "fifteen octets.";

/* An AES session key of 16 octets. */
static CK_OBJECT_HANDLE make_aes_key(void)
{
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &secret, sizeof secret}, {CKA_KEY_TYPE, &aes, sizeof aes},
        {CKA_TOKEN, &no, sizeof no},         {CKA_EXTRACTABLE, &yes, sizeof yes},
        {CKA_SENSITIVE, &no, sizeof no},     {CKA_DERIVE, &yes, sizeof yes},
        {CKA_VALUE, octets, sizeof octets}};
    assert_int_equal(mock->C_CreateObject(mock_raw.session, template,
                                          sizeof template / sizeof *template, &object),
                     CKR_OK);
    return object;
}

/* Of one block of zeros. */
static void encrypt(CK_OBJECT_HANDLE object, CK_BYTE ret_octets[32])
{
    CK_BYTE zeros[16] = {0};
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    CK_ULONG n = 32;
    assert_int_equal(mock->C_EncryptInit(mock_raw.session, &ecb, object), CKR_OK);
    assert_int_equal(mock->C_Encrypt(mock_raw.session, zeros, sizeof zeros, ret_octets, &n),
                     CKR_OK);
}

static void ciphers_pass(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE object = make_aes_key();
    CK_BYTE iv[16] = {0};
    CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof iv};
    n_result = n_again = sizeof result;
    assert_int_equal(mock->C_EncryptInit(mock_raw.session, &cbc, object), CKR_OK);
    assert_int_equal(mock->C_EncryptUpdate(mock_raw.session, octets, 16, result, &n_result),
                     CKR_OK);
    assert_int_equal(mock->C_EncryptFinal(mock_raw.session, again, &n_again), CKR_OK);
    assert_int_equal(n_result, 16);
    assert_int_equal(mock->C_DecryptInit(mock_raw.session, &cbc, object), CKR_OK);
    n_again = sizeof again;
    assert_int_equal(mock->C_Decrypt(mock_raw.session, result, 16, again, &n_again), CKR_OK);
    assert_memory_equal(again, octets, 16);
    assert_int_equal(mock->C_DecryptInit(mock_raw.session, &cbc, object), CKR_OK);
    assert_int_equal(mock->C_DecryptUpdate(mock_raw.session, result, 16, again, &n_again), CKR_OK);
    assert_int_equal(mock->C_DecryptFinal(mock_raw.session, again, &n_again), CKR_OK);
}

static void objects_pass(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE object = make_aes_key(), copy, wrapping, unwrapped, derived;
    CK_MECHANISM generate = {CKM_AES_KEY_GEN, NULL, 0}, wrap = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_KEY_DERIVATION_STRING_DATA data = {octets, sizeof octets};
    CK_MECHANISM derive = {CKM_AES_ECB_ENCRYPT_DATA, &data, sizeof data};
    CK_ULONG len = 16, size;
    char label[] = "a label", seen[8] = "";
    CK_ATTRIBUTE name = {CKA_LABEL, label, 7}, read = {CKA_LABEL, seen, 7};
    CK_ATTRIBUTE local = {CKA_TOKEN, &no, sizeof no};
    CK_ATTRIBUTE fresh[] = {{CKA_VALUE_LEN, &len, sizeof len}, {CKA_TOKEN, &no, sizeof no}};
    CK_ATTRIBUTE made[] = {{CKA_CLASS, &secret, sizeof secret},
                           {CKA_KEY_TYPE, &aes, sizeof aes},
                           {CKA_TOKEN, &no, sizeof no},
                           {CKA_VALUE_LEN, &len, sizeof len}};
    assert_int_equal(mock->C_SetAttributeValue(mock_raw.session, object, &name, 1), CKR_OK);
    assert_int_equal(mock->C_CopyObject(mock_raw.session, object, &local, 1, &copy), CKR_OK);
    assert_int_equal(mock->C_GetAttributeValue(mock_raw.session, copy, &read, 1), CKR_OK);
    assert_string_equal(seen, label);
    assert_int_equal(mock->C_GetObjectSize(mock_raw.session, copy, &size), CKR_OK);
    assert_int_equal(mock->C_DestroyObject(mock_raw.session, copy), CKR_OK);
    assert_int_equal(mock->C_DestroyObject(mock_raw.session, copy), CKR_OBJECT_HANDLE_INVALID);

    assert_int_equal(mock->C_GenerateKey(mock_raw.session, &generate, fresh, 2, &wrapping), CKR_OK);
    n_result = sizeof result;
    assert_int_equal(mock->C_WrapKey(mock_raw.session, &wrap, wrapping, object, result, &n_result),
                     CKR_OK);
    assert_int_equal(
        mock->C_UnwrapKey(mock_raw.session, &wrap, wrapping, result, n_result, made, 3, &unwrapped),
        CKR_OK);
    encrypt(object, result);
    encrypt(unwrapped, again);
    assert_memory_equal(result, again, 16);
    assert_int_equal(mock->C_DeriveKey(mock_raw.session, &derive, object, made, 4, &derived),
                     CKR_OK);
    encrypt(derived, again);
    assert_memory_not_equal(result, again, 16);
}

static void key_pairs_pass(void **state)
{
    (void)state;
    CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof p256}, {CKA_TOKEN, &no, sizeof no}};
    CK_ATTRIBUTE private = {CKA_TOKEN, &no, sizeof no};
    CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0}, ecdsa = {CKM_ECDSA, NULL, 0};
    CK_OBJECT_HANDLE verifying, signing;
    n_result = sizeof result;
    assert_int_equal(mock->C_GenerateKeyPair(mock_raw.session, &generate, public, 2, &private, 1,
                                             &verifying, &signing),
                     CKR_OK);
    assert_int_equal(mock->C_SignInit(mock_raw.session, &ecdsa, signing), CKR_OK);
    assert_int_equal(mock->C_Sign(mock_raw.session, mac, 32, result, &n_result), CKR_OK);
    assert_int_equal(mock->C_VerifyInit(mock_raw.session, &ecdsa, verifying), CKR_OK);
    assert_int_equal(mock->C_Verify(mock_raw.session, mac, 32, result, n_result), CKR_OK);
}

static void what_the_real_module_refuses_stays_refused(void **state)
{
    (void)state;
    CK_SLOT_ID slots[8];
    CK_ULONG n = 1;
    CK_TOKEN_INFO info;
    n_result = sizeof result;
    assert_int_equal(mock->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    assert_int_equal(mock->C_GetTokenInfo(mock_raw.slot + 1, &info), CKR_SLOT_ID_INVALID);
    assert_int_equal(mock->C_GetSlotList(CK_TRUE, slots, &n), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(mock->C_GetSlotList(CK_TRUE, slots, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(mock->C_CloseSession(mock_raw.session + 1), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(mock_sign(&mock_raw, mock_key + 1000, mac), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(mock->C_GetOperationState(mock_raw.session, result, &n_result),
                     CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(mock->C_WaitForSlotEvent(CKF_DONT_BLOCK, slots, NULL), CKR_NO_EVENT);
    assert_int_equal(mock->C_WaitForSlotEvent(0, slots, NULL), CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(mock->C_Finalize(NULL), CKR_OK);
    assert_int_equal(mock->C_GenerateRandom(mock_raw.session, mac, 8),
                     CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(mock->C_Initialize(NULL), CKR_OK);
}

/* --- Threads --- */

#define THREADS 3

static const char *const turmoil[] = {
    "sessions invalidate\n",
    "delay C_SignInit 1\n",
    "logout\n",
    "device removed\n",
    "fail C_OpenSession CKR_DEVICE_ERROR every 2\n",
    "hang C_Sign\n",
    "handles shift\n",
    "",
};

static _Atomic bool over;

static CK_RV find_and_sign(const struct raw *own, CK_BYTE ret_mac[32])
{
    CK_ATTRIBUTE id = {CKA_ID, (char[]){"tpk-a"}, 5};
    CK_OBJECT_HANDLE object;
    CK_ULONG n = 0;
    CK_RV rv = mock->C_FindObjectsInit(own->session, &id, 1);
    if (rv == CKR_OK)
        rv = mock->C_FindObjects(own->session, &object, 1, &n);
    if (rv == CKR_OK)
        rv = mock->C_FindObjectsFinal(own->session);
    return rv == CKR_OK && n == 1 ? mock_sign(own, object, ret_mac) : CKR_CANCEL;
}

/* A client that goes on whatever happens; a MAC that the mock grants is right. */
static void *client(void *expected)
{
    while (!over) {
        struct raw own = {.f = mock};
        CK_BYTE got[32] = {0};
        if (mock->C_OpenSession(mock_raw.slot, CKF_SERIAL_SESSION, NULL, NULL, &own.session) !=
            CKR_OK)
            continue;
        mock_login(&own, SOFTHSM_USER_PIN);
        if (find_and_sign(&own, got) == CKR_OK && memcmp(got, expected, sizeof got) != 0)
            return expected;
        mock->C_CloseSession(own.session);
    }
    return NULL;
}

static void threads_and_scripts_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    CK_BYTE expected[32];
    assert_int_equal(mock_sign(&mock_raw, mock_key, expected), CKR_OK);
    unsigned long scripts = mock_count("scripts.read"), signs = mock_count("C_Sign");
    over = false;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, client, expected), 0);
    for (unsigned i = 0; i < 200; i++) {
        mock_script("%s", turmoil[i % (sizeof turmoil / sizeof *turmoil)]);
        usleep(3000);
    }
    mock_script("%s", "");
    over = true;
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_true(mock_count("scripts.read") - scripts > 20);
    assert_true(mock_count("C_Sign") - signs > 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, mock_one_start, mock_one_stop)
    const struct CMUnitTest tests[] = {
        TEST(hashes_and_macs_pass),
        TEST(ciphers_pass),
        TEST(objects_pass),
        TEST(key_pairs_pass),
        TEST(what_the_real_module_refuses_stays_refused),
        TEST(threads_and_scripts_do_not_disturb_each_other),
    };
    alarm(60);
    return cmocka_run_group_tests_name("mock-passing", tests, mock_one_setup, softhsm_teardown);
}
