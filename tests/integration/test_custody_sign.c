/* Keys that sign the audit trail: made in the token, for nothing else, believed by strangers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "custody/primitives.h"
#include "softhsm.h"

#define ID "audit-2026-11"
#define WORDS "what is signed"

static void generate(struct custody *custody, enum custody_role role, enum custody_alg alg,
                     const char *id)
{
    struct tbs_diag diag = {0};
    if (custody_generate_key(custody, role, alg, id, NULL, &diag) != TBS_OK)
        fail_msg("%s: %s", id, diag.text);
}

static const struct custody_key *audit_key(const struct custody *custody)
{
    return custody_current_key(custody, CUSTODY_ROLE_AUDIT, CUSTODY_ECDSA_P_256);
}

static void put_octets(const char *name, const struct tbs_buf *octets)
{
    softhsm_put_file(name, octets->data, octets->len, 0600);
}

/* With the openssl command, which knows nothing of the token. */
static int verify_outside(const char *words)
{
    char command[512], text[256];
    softhsm_put_file("words", words, strlen(words), 0600);
    snprintf(command, sizeof command,
             "openssl dgst -sha256 -verify %s -keyform DER -signature %s %s",
             softhsm_path("key.der"), softhsm_path("signature"), softhsm_path("words"));
    return softhsm_run(command, text, sizeof text);
}

static void a_signature_is_verified_from_outside(void **state)
{
    (void)state;
    TBS_BUF_AUTO struct tbs_buf key = tbs_buf(), signature = tbs_buf();
    struct custody *custody = softhsm_open("kms");
    struct custody_session *session;
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    assert_int_equal(
        custody_sign(session, audit_key(custody), tbs_bytes_str(WORDS), &signature, NULL), TBS_OK);
    assert_int_equal(custody_public_key(audit_key(custody), &key, NULL), TBS_OK);
    put_octets("key.der", &key);
    put_octets("signature", &signature);
    assert_int_equal(verify_outside(WORDS), 0);
    assert_int_not_equal(verify_outside(WORDS "."), 0);
    custody_session_close(session);
    custody_close(custody);
}

static void each_key_has_one_role(void **state)
{
    (void)state;
    struct custody *custody = softhsm_open("kms");
    struct custody_session *session;
    const struct custody_key *audit = audit_key(custody);
    const struct custody_key *tpk =
        custody_current_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256);
    struct custody_key forged = *audit;
    TBS_BUF_AUTO struct tbs_buf out = tbs_buf();
    uint8_t mac[CUSTODY_MAC_MAX];
    assert_int_equal(custody_session_open(custody, &session, NULL), TBS_OK);
    assert_int_equal(custody_sign(session, tpk, tbs_bytes_str(WORDS), &out, NULL), TBS_ERR_INVALID);
    assert_int_equal(custody_sign(session, &forged, tbs_bytes_str(WORDS), &out, NULL),
                     TBS_ERR_INVALID);
    assert_int_equal(custody_sign(session, NULL, tbs_bytes_str(WORDS), &out, NULL),
                     TBS_ERR_INVALID);
    assert_int_equal(custody_public_key(tpk, &out, NULL), TBS_ERR_INVALID);
    assert_int_equal(custody_hmac(session, audit, tbs_bytes_str(WORDS), mac, NULL),
                     TBS_ERR_INVALID);
    assert_int_equal(out.len, 0);
    assert_int_equal(custody_generate_key(custody, CUSTODY_ROLE_AUDIT, CUSTODY_HMAC_SHA_256,
                                          "audit-x", NULL, NULL),
                     TBS_ERR_INVALID);
    assert_int_equal(
        custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_ECDSA_P_256, "tpk-x", NULL, NULL),
        TBS_ERR_INVALID);
    assert_int_equal(
        custody_generate_key(custody, CUSTODY_ROLE_AUDIT, CUSTODY_ECDSA_P_256, ID, NULL, NULL),
        TBS_ERR_EXISTS);
    custody_session_close(session);
    custody_close(custody);
}

static CK_RV read_value(const struct raw *raw)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE of[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, (void *)ID, strlen(ID)}};
    CK_BYTE octets[64];
    CK_ATTRIBUTE value = {CKA_VALUE, octets, sizeof octets};
    CK_OBJECT_HANDLE object;
    CK_ULONG n;
    assert_int_equal(raw->f->C_FindObjectsInit(raw->session, of, 2), CKR_OK);
    assert_int_equal(raw->f->C_FindObjects(raw->session, &object, 1, &n), CKR_OK);
    assert_int_equal(raw->f->C_FindObjectsFinal(raw->session), CKR_OK);
    assert_int_equal(n, 1);
    return raw->f->C_GetAttributeValue(raw->session, object, &value, 1);
}

static void from_outside_the_private_key_is_sealed(void **state)
{
    (void)state;
    char arguments[256], text[4096];
    struct raw raw = raw_open("kms");
    assert_int_equal(read_value(&raw), CKR_ATTRIBUTE_SENSITIVE);
    raw_close(&raw);
    snprintf(arguments, sizeof arguments, "--derive --mechanism ECDH1-DERIVE --id %s -i %s -o %s",
             softhsm_hex(ID), softhsm_path("key.der"), softhsm_path("derived"));
    assert_int_not_equal(softhsm_pkcs11_tool("kms", arguments, text, sizeof text), 0);
    assert_int_equal(softhsm_pkcs11_tool("kms", "--list-objects --type privkey", text, sizeof text),
                     0);
    assert_non_null(strstr(text, "sensitive, always sensitive, never extractable, local"));
    assert_null(strstr(text, "derive"));
}

/* A pair made by somebody else's rules, under an id of ours. */
static void a_key_pair_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *how, *id, *must_say;
    } made[] = {
        {"--key-type EC:prime256v1 --sensitive", "audit-x", "CKA_ALLOWED_MECHANISMS"},
        {"--key-type EC:secp384r1 --sensitive --allowed-mechanisms ECDSA", "audit-x",
         "not on P-256"},
        {"--key-type EC:prime256v1 --sensitive --allowed-mechanisms ECDSA", "audit-x",
         "CKA_COPYABLE is true"},
        {"--key-type EC:prime256v1 --sensitive --allowed-mechanisms ECDSA", "tpk-x",
         "those of a TPK"},
        {"--key-type EC:prime256v1 --sensitive", "other-x", NULL}, /* not ours */
    };
    struct custody_token_config c = softhsm_config("kms");
    char arguments[256], text[4096];
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        struct tbs_diag diag;
        snprintf(arguments, sizeof arguments, "--keypairgen %s --id %s", made[i].how,
                 softhsm_hex(made[i].id));
        if (softhsm_pkcs11_tool("kms", arguments, text, sizeof text) != 0)
            fail_msg("%s", text);
        enum tbs_err err = softhsm_try_open(&c, &diag);
        for (int t = 0; t < 2; t++) {
            snprintf(arguments, sizeof arguments, "--delete-object --type %s --id %s",
                     t ? "pubkey" : "privkey", softhsm_hex(made[i].id));
            assert_int_equal(softhsm_pkcs11_tool("kms", arguments, text, sizeof text), 0);
        }
        if (!made[i].must_say)
            assert_int_equal(err, TBS_OK);
        else if (err != TBS_ERR_CONFIG || !strstr(diag.text, made[i].must_say))
            fail_msg("%s: %d %s", made[i].how, err, diag.text);
    }
}

/* The public key is a public object: another one in its place is found out. */
static void another_public_key_is_found_out(void **state)
{
    (void)state;
    char command[1024], text[4096], arguments[512];
    struct custody_token_config c = softhsm_config("kms");
    struct tbs_diag diag;
    snprintf(command, sizeof command,
             "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out %s && "
             "openssl pkey -in %s -pubout -outform DER -out %s",
             softhsm_path("other.pem"), softhsm_path("other.pem"), softhsm_path("other.der"));
    assert_int_equal(softhsm_run(command, text, sizeof text), 0);
    snprintf(arguments, sizeof arguments, "--delete-object --type pubkey --id %s", softhsm_hex(ID));
    assert_int_equal(softhsm_pkcs11_tool("kms", arguments, text, sizeof text), 0);
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "0 public keys"));
    snprintf(arguments, sizeof arguments, "--write-object %s --type pubkey --id %s",
             softhsm_path("other.der"), softhsm_hex(ID));
    if (softhsm_pkcs11_tool("kms", arguments, text, sizeof text) != 0)
        fail_msg("%s", text);
    assert_int_equal(softhsm_try_open(&c, &diag), TBS_ERR_AUTH);
    assert_non_null(strstr(diag.text, "does not sign for its public key"));
}

static int set_up(void **state)
{
    if (softhsm_setup(state) != 0)
        return -1;
    softhsm_make_token("kms");
    struct custody *custody = softhsm_open("kms");
    generate(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, "tpk-2026-11");
    generate(custody, CUSTODY_ROLE_AUDIT, CUSTODY_ECDSA_P_256, ID);
    custody_close(custody);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_verified_from_outside),
        cmocka_unit_test(each_key_has_one_role),
        cmocka_unit_test(from_outside_the_private_key_is_sealed),
        cmocka_unit_test(a_key_pair_that_does_not_fit_is_refused),
        cmocka_unit_test(another_public_key_is_found_out),
    };
    alarm(120);
    return cmocka_run_group_tests_name("custody-sign", tests, set_up, softhsm_teardown);
}
