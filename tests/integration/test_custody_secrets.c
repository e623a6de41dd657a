/* Stored secrets: both methods, octet by octet, against all that may be done to a blob. */
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

#include "softhsm.h"

#define KEK "kek-2026-01"
static const char owner[] = "sip:alice@example.com", psk[] = "0123456789abcdef";

struct opened {
    struct custody *custody;
    struct custody_session *session;
};

static struct opened open_token(const char *label)
{
    struct opened o = {.custody = softhsm_open(label)};
    assert_int_equal(custody_session_open(o.custody, &o.session, NULL), TBS_OK);
    return o;
}

static void close_token(struct opened *o)
{
    custody_session_close(o->session);
    custody_close(o->custody);
}

static struct tbs_buf wrap(const struct opened *o)
{
    struct tbs_buf blob = tbs_buf();
    struct tbs_diag diag = {0};
    if (custody_wrap_secret(o->session, tbs_bytes_str(owner), tbs_bytes_str(psk), &blob, &diag))
        fail_msg("%s", diag.text);
    return blob;
}

/* A failure must leave no secret behind. */
static enum tbs_err unwrap(const struct opened *o, const char *who, struct tbs_bytes blob)
{
    struct tbs_secret secret = {0};
    struct tbs_diag diag = {0};
    enum tbs_err err = custody_unwrap_secret(o->session, tbs_bytes_str(who), blob, &secret, &diag);
    if (err == TBS_OK)
        assert_true(tbs_secret_equal(tbs_secret_view(&secret), tbs_bytes_str(psk)));
    else
        assert_null(secret.data);
    assert_null(strstr(diag.text, psk));
    tbs_secret_free(&secret);
    return err;
}

/* Every single bit counts: what identifies the KEK and the form fails in its own way, all the
 * rest does not authenticate. */
static void assert_no_bit_may_change(const struct opened *o, struct tbs_buf *blob)
{
    size_t header = 3 + strlen(KEK);
    for (size_t bit = 0; bit < 8 * blob->len; bit++) {
        blob->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum tbs_err err = unwrap(o, owner, tbs_buf_view(blob));
        if (bit / 8 >= header ? err != TBS_ERR_AUTH : err == TBS_OK)
            fail_msg("bit %zu: %s", bit, tbs_err_name(err));
        blob->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    blob->data[3] = 'K';
    assert_int_equal(unwrap(o, owner, tbs_buf_view(blob)), TBS_ERR_NOT_FOUND);
    blob->data[3] = 'k';
    blob->data[1] = blob->data[1] == 1 ? 2 : 1;
    assert_int_not_equal(unwrap(o, owner, tbs_buf_view(blob)), TBS_OK);
    blob->data[1] = blob->data[1] == 1 ? 2 : 1;
    assert_int_equal(unwrap(o, owner, tbs_buf_view(blob)), TBS_OK);
}

static void assert_blob_is_sound(const char *label, uint8_t method, size_t random_len)
{
    struct opened o = open_token(label);
    TBS_BUF_AUTO struct tbs_buf blob = wrap(&o);
    TBS_BUF_AUTO struct tbs_buf second = wrap(&o);
    assert_int_equal(blob.len, 3 + strlen(KEK) + random_len + strlen(psk) + 16);
    assert_int_equal(blob.data[0], 1);
    assert_int_equal(blob.data[1], method);
    assert_int_equal(blob.data[2], strlen(KEK));
    assert_memory_equal(blob.data + 3, KEK, strlen(KEK));
    assert_memory_not_equal(blob.data + 3 + strlen(KEK), second.data + 3 + strlen(KEK), random_len);

    assert_int_equal(unwrap(&o, "sip:bob@example.com", tbs_buf_view(&blob)), TBS_ERR_AUTH);
    assert_int_equal(unwrap(&o, "sip:alice@example.co", tbs_buf_view(&blob)), TBS_ERR_AUTH);
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&blob)), TBS_OK);
    assert_no_bit_may_change(&o, &blob);
    for (size_t len = 0; len < blob.len; len++)
        assert_int_not_equal(unwrap(&o, owner, tbs_bytes(blob.data, len)), TBS_OK);
    tbs_put_u8(&blob, 0);
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&blob)), TBS_ERR_AUTH);
    close_token(&o);
}

static void method_1_is_sound(void **state)
{
    (void)state;
    assert_blob_is_sound("gcm", 1, 12);
}

static void method_2_is_sound(void **state)
{
    (void)state;
    assert_blob_is_sound("hmac", 2, 32 + 12);
}

static void forms_that_are_not_ours_are_told_apart(void **state)
{
    (void)state;
    struct opened o = open_token("gcm");
    TBS_BUF_AUTO struct tbs_buf blob = wrap(&o);
    TBS_BUF_AUTO struct tbs_buf out = tbs_buf();
    static uint8_t large[CUSTODY_SECRET_MAX + 1];
    struct tbs_bytes who = tbs_bytes_str(owner);
    assert_int_equal(unwrap(&o, owner, tbs_bytes(NULL, 0)), TBS_ERR_MALFORMED);
    assert_int_equal(unwrap(&o, "", tbs_buf_view(&blob)), TBS_ERR_INVALID);
    blob.data[0] = 2;
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&blob)), TBS_ERR_UNSUPPORTED);
    blob.data[0] = 1, blob.data[1] = 4;
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&blob)), TBS_ERR_UNSUPPORTED);
    blob.data[1] = 1, blob.data[2] = 0;
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&blob)), TBS_ERR_MALFORMED);
    blob.data[2] = 255;
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&blob)), TBS_ERR_MALFORMED);

    assert_int_equal(
        custody_wrap_secret(o.session, tbs_bytes(NULL, 0), tbs_bytes_str(psk), &out, NULL),
        TBS_ERR_INVALID);
    assert_int_equal(custody_wrap_secret(o.session, who, tbs_bytes(NULL, 0), &out, NULL),
                     TBS_ERR_INVALID);
    assert_int_equal(
        custody_wrap_secret(o.session, who, tbs_bytes(large, sizeof large), &out, NULL),
        TBS_ERR_LIMIT);
    assert_int_equal(custody_wrap_secret(o.session, tbs_bytes(large, CUSTODY_OWNER_MAX + 1),
                                         tbs_bytes_str(psk), &out, NULL),
                     TBS_ERR_LIMIT);
    assert_int_equal(out.len, 0);
    close_token(&o);
}

static void the_largest_and_smallest_come_back(void **state)
{
    (void)state;
    static uint8_t large[CUSTODY_SECRET_MAX];
    static const char *const labels[] = {"gcm", "hmac"};
    memset(large, 0x5a, sizeof large);
    for (size_t i = 0; i < 2; i++) {
        struct opened o = open_token(labels[i]);
        for (size_t len = 1; len <= sizeof large; len += sizeof large - 1) {
            TBS_BUF_AUTO struct tbs_buf blob = tbs_buf();
            TBS_SECRET_AUTO struct tbs_secret secret = {0};
            struct tbs_bytes who = tbs_bytes(large, len < CUSTODY_OWNER_MAX ? len : 1024);
            assert_int_equal(
                custody_wrap_secret(o.session, who, tbs_bytes(large, len), &blob, NULL), TBS_OK);
            assert_int_equal(
                custody_unwrap_secret(o.session, who, tbs_buf_view(&blob), &secret, NULL), TBS_OK);
            assert_true(tbs_secret_equal(tbs_secret_view(&secret), tbs_bytes(large, len)));
        }
        close_token(&o);
    }
}

/* A newer KEK takes over, of whichever algorithm; what the older ones protected still opens; an
 * older one that comes later does not take over; a blob names its KEK, so that it does not open on
 * another token. */
static void keks_rotate_and_stay_apart(void **state)
{
    (void)state;
    struct opened o = open_token("hmac");
    TBS_BUF_AUTO struct tbs_buf old = wrap(&o);
    assert_int_equal(custody_generate_key(o.custody, CUSTODY_ROLE_KEK, CUSTODY_HMAC_SHA_256,
                                          "kek-2026-02", NULL, NULL),
                     TBS_OK);
    TBS_BUF_AUTO struct tbs_buf new = wrap(&o);
    assert_memory_equal(new.data + 3, "kek-2026-02", 11);
    assert_int_equal(new.data[1], 2);
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&old)), TBS_OK);

    assert_int_equal(custody_generate_key(o.custody, CUSTODY_ROLE_KEK, CUSTODY_AES_256_GCM,
                                          "kek-2026-03", NULL, NULL),
                     TBS_OK);
    TBS_BUF_AUTO struct tbs_buf gcm = wrap(&o);
    assert_memory_equal(gcm.data + 3, "kek-2026-03", 11);
    assert_int_equal(gcm.data[1], 1);
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&new)), TBS_OK);
    assert_int_equal(unwrap(&o, owner, tbs_buf_view(&gcm)), TBS_OK);
    assert_int_equal(custody_generate_key(o.custody, CUSTODY_ROLE_KEK, CUSTODY_HMAC_SHA_256,
                                          "kek-2025-12", NULL, NULL),
                     TBS_OK);
    assert_string_equal(custody_current_kek(o.custody)->id, "kek-2026-03");

    struct opened other = open_token("gcm");
    assert_int_equal(unwrap(&other, owner, tbs_buf_view(&new)), TBS_ERR_NOT_FOUND);
    assert_int_equal(unwrap(&other, owner, tbs_buf_view(&old)), TBS_ERR_AUTH); /* same id */
    close_token(&other);
    close_token(&o);
}

/* --- The documented octets, read by other hands --- */

static bool plain_gcm_open(const uint8_t *key, const uint8_t *iv, struct tbs_bytes aad,
                           struct tbs_bytes sealed, uint8_t *out)
{
    int n, len = (int)sealed.len - 16;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, iv, NULL) == 1 &&
              EVP_DecryptUpdate(ctx, NULL, &n, aad.data, (int)aad.len) == 1 &&
              EVP_DecryptUpdate(ctx, out, &n, sealed.data, len) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(sealed.data + len)) &&
              EVP_DecryptFinal_ex(ctx, out + len, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* The key of a method 2 blob: one HMAC by pkcs11-tool over the KDF's input. */
static void derive_with_pkcs11_tool(const uint8_t *salt, uint8_t ret_key[32])
{
    char arguments[512], text[2048];
    TBS_BUF_AUTO struct tbs_buf input = tbs_buf();
    tbs_put_u32(&input, 1);
    tbs_put_bytes(&input, tbs_bytes_str("tbs-kms stored secret"));
    tbs_put_u8(&input, 0);
    tbs_put_bytes(&input, tbs_bytes(salt, 32));
    tbs_put_u32(&input, 256);
    softhsm_put_file("input", input.data, input.len, 0600);
    snprintf(arguments, sizeof arguments,
             "--sign -m SHA256-HMAC --id %s --input-file %s --output-file %s", softhsm_hex(KEK),
             softhsm_path("input"), softhsm_path("mac"));
    if (softhsm_pkcs11_tool("hmac", arguments, text, sizeof text) != 0)
        fail_msg("%s", text);
    FILE *f = fopen(softhsm_path("mac"), "r");
    assert_non_null(f);
    assert_int_equal(fread(ret_key, 1, 32, f), 32);
    fclose(f);
}

static void method_2_is_what_its_description_says(void **state)
{
    (void)state;
    struct opened o = open_token("hmac");
    TBS_BUF_AUTO struct tbs_buf blob = wrap(&o);
    close_token(&o);
    size_t salt = 3 + strlen(KEK), iv = salt + 32, text = iv + 12;
    uint8_t key[32], plain[sizeof psk];
    derive_with_pkcs11_tool(blob.data + salt, key);
    TBS_BUF_AUTO struct tbs_buf aad = tbs_buf();
    tbs_put_bytes(&aad, tbs_bytes(blob.data, text));
    tbs_put_bytes(&aad, tbs_bytes_str(owner));
    assert_true(plain_gcm_open(key, blob.data + iv, tbs_buf_view(&aad),
                               tbs_bytes(blob.data + text, blob.len - text), plain));
    assert_memory_equal(plain, psk, strlen(psk));
}

static void method_1_is_what_its_description_says(void **state)
{
    (void)state;
    struct opened o = open_token("gcm");
    TBS_BUF_AUTO struct tbs_buf blob = wrap(&o);
    close_token(&o);
    size_t iv = 3 + strlen(KEK), text = iv + 12;
    TBS_BUF_AUTO struct tbs_buf aad = tbs_buf();
    tbs_put_bytes(&aad, tbs_bytes(blob.data, text));
    tbs_put_bytes(&aad, tbs_bytes_str(owner));

    struct raw raw = raw_open("gcm");
    CK_GCM_PARAMS params = {blob.data + iv, 12, 96, aad.data, aad.len, 128};
    CK_MECHANISM gcm = {CKM_AES_GCM, &params, sizeof params};
    uint8_t plain[64];
    CK_ULONG len = sizeof plain;
    assert_int_equal(raw.f->C_DecryptInit(raw.session, &gcm, raw_find(&raw, KEK)), CKR_OK);
    assert_int_equal(raw.f->C_Decrypt(raw.session, blob.data + text, blob.len - text, plain, &len),
                     CKR_OK);
    raw_close(&raw);
    assert_int_equal(len, strlen(psk));
    assert_memory_equal(plain, psk, len);
}

static int set_up(void **state)
{
    if (softhsm_setup(state) != 0)
        return -1;
    static const struct {
        const char *label;
        enum custody_alg alg;
    } tokens[] = {{"gcm", CUSTODY_AES_256_GCM}, {"hmac", CUSTODY_HMAC_SHA_256}};
    for (size_t i = 0; i < 2; i++) {
        softhsm_make_token(tokens[i].label);
        struct custody *custody = softhsm_open(tokens[i].label);
        enum tbs_err err =
            custody_generate_key(custody, CUSTODY_ROLE_KEK, tokens[i].alg, KEK, NULL, NULL);
        custody_close(custody);
        if (err != TBS_OK)
            return -1;
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_that_are_not_ours_are_told_apart),
        cmocka_unit_test(method_1_is_sound),
        cmocka_unit_test(method_2_is_sound),
        cmocka_unit_test(the_largest_and_smallest_come_back),
        cmocka_unit_test(method_1_is_what_its_description_says),
        cmocka_unit_test(method_2_is_what_its_description_says),
        cmocka_unit_test(keks_rotate_and_stay_apart),
    };
    alarm(120);
    return cmocka_run_group_tests_name("custody-secrets", tests, set_up, softhsm_teardown);
}
