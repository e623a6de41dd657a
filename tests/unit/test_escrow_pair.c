/* The private half of an escrow key: sealed under a share key, opened by it and by openssl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "ceremony/escrow_pair.h"

static struct tbs_secret share_key(uint8_t first)
{
    struct tbs_secret key = {0};
    assert_int_equal(tbs_secret_alloc(ESCROW_SECRET_LEN, &key, NULL), TBS_OK);
    for (size_t i = 0; i < key.len; i++)
        key.data[i] = (uint8_t)(first + i);
    return key;
}

static void test_sealed(void **state)
{
    (void)state;
    TBS_SECRET_AUTO struct tbs_secret key = share_key(1), other = share_key(2), pkcs8 = {0},
                                      again = {0};
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf(), sealed = tbs_buf(), anew = tbs_buf();
    struct tbs_diag diag = {0};
    assert_int_equal(escrow_pair_make(&key, &spki, &sealed, &diag), TBS_OK);
    assert_int_equal(
        escrow_pair_open(&key, tbs_buf_view(&sealed), tbs_buf_view(&spki), &pkcs8, &diag), TBS_OK);
    assert_int_equal(
        escrow_pair_open(&other, tbs_buf_view(&sealed), tbs_buf_view(&spki), &again, &diag),
        TBS_ERR_AUTH);
    assert_non_null(strstr(diag.text, "do not open the escrow key"));
    assert_null(again.data);
    assert_int_equal(escrow_pair_seal(&other, tbs_secret_view(&pkcs8), &anew, &diag), TBS_OK);
    assert_int_equal(
        escrow_pair_open(&other, tbs_buf_view(&anew), tbs_buf_view(&spki), &again, &diag), TBS_OK);
    assert_true(tbs_secret_equal(tbs_secret_view(&pkcs8), tbs_secret_view(&again)));
}

/* One that somebody put in the other's place, under the same share key. */
static void test_another(void **state)
{
    (void)state;
    TBS_SECRET_AUTO struct tbs_secret key = share_key(1), pkcs8 = {0};
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf(), sealed = tbs_buf(), spki2 = tbs_buf(),
                                sealed2 = tbs_buf();
    assert_int_equal(escrow_pair_make(&key, &spki, &sealed, NULL), TBS_OK);
    assert_int_equal(escrow_pair_make(&key, &spki2, &sealed2, NULL), TBS_OK);
    assert_int_equal(
        escrow_pair_open(&key, tbs_buf_view(&sealed2), tbs_buf_view(&spki), &pkcs8, NULL),
        TBS_ERR_AUTH);
    sealed.data[sealed.len / 2] ^= 1;
    assert_int_equal(
        escrow_pair_open(&key, tbs_buf_view(&sealed), tbs_buf_view(&spki), &pkcs8, NULL),
        TBS_ERR_AUTH);
    assert_int_equal(escrow_pair_open(&key, tbs_bytes(NULL, 0), tbs_buf_view(&spki), &pkcs8, NULL),
                     TBS_ERR_AUTH);
}

/* Without any program of this project. */
static void test_openssl(void **state)
{
    (void)state;
    TBS_SECRET_AUTO struct tbs_secret key = share_key(1);
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf(), sealed = tbs_buf();
    char name[] = "/tmp/tbs-test.XXXXXX", hex[2 * ESCROW_SECRET_LEN + 1], command[300];
    uint8_t got[4096];
    assert_int_equal(escrow_pair_make(&key, &spki, &sealed, NULL), TBS_OK);
    tbs_hex(tbs_secret_view(&key), hex);
    int fd = mkstemp(name);
    assert_int_equal(write(fd, sealed.data, sealed.len), sealed.len);
    close(fd);
    snprintf(command, sizeof command, "openssl pkey -in %s -passin pass:%s -pubout -outform DER",
             name, hex);
    FILE *out = popen(command, "r");
    size_t len = fread(got, 1, sizeof got, out);
    assert_int_equal(pclose(out), 0);
    unlink(name);
    assert_true(tbs_bytes_equal(tbs_bytes(got, len), tbs_buf_view(&spki)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_another),
        cmocka_unit_test(test_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
