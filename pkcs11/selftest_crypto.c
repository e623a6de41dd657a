/* The cryptography that the KMS needs, tried with the functions of the service itself. */
#include "selftest_checks.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "mikey/prf.h"

#define KEY_LEN 32

static const char with_hmac_kek[] = "let the KEK be an HMAC key, as it is in the ceremonies";
static const char without_suite_128[] = "leave 128 out of kms.suites";

static const uint8_t known[KEY_LEN] = "a known key, to be thrown away..";

/* --- Generation --- */

static void generate(struct checks *c, enum custody_alg alg, enum selftest_verdict otherwise,
                     const char *advice, struct selftest_finding *f)
{
    struct tbs_diag why = {0};
    c->has[alg] = trial_generate(&c->trial, alg, &c->key[alg], &why) == TBS_OK;
    if (c->has[alg])
        selftest_says(f, SELFTEST_OK, NULL,
                      "made in the token, and its attributes are as asked for");
    else
        selftest_says(f, otherwise, advice, "%s", why.text);
}

static void generate_sha_256(struct checks *c, struct selftest_finding *f)
{
    generate(c, CUSTODY_HMAC_SHA_256, SELFTEST_UNFIT, check_other_token, f);
}

static void generate_sha_1(struct checks *c, struct selftest_finding *f)
{
    generate(c, CUSTODY_HMAC_SHA_1, SELFTEST_CANNOT, without_suite_128, f);
}

static void generate_gcm(struct checks *c, struct selftest_finding *f)
{
    generate(c, CUSTODY_AES_256_GCM, SELFTEST_CANNOT, with_hmac_kek, f);
}

/* --- Known answers --- */

/* A key with the known octets; it lasts as long as the trial's session. */
static CK_RV import(struct checks *c, enum custody_alg alg, struct custody_key *ret_key)
{
    bool aes = alg == CUSTODY_AES_256_GCM;
    struct trial_template t;
    CK_OBJECT_HANDLE object;
    trial_template(&t, aes ? CKK_AES : CKK_GENERIC_SECRET);
    trial_flag(&t, CKA_TOKEN, false);
    trial_flag(&t, CKA_PRIVATE, true);
    trial_flag(&t, CKA_SENSITIVE, true);
    trial_flag(&t, CKA_EXTRACTABLE, false);
    trial_flag(&t, CKA_SIGN, !aes);
    trial_flag(&t, CKA_VERIFY, !aes);
    trial_flag(&t, CKA_ENCRYPT, aes);
    trial_flag(&t, CKA_DECRYPT, aes);
    trial_octets(&t, CKA_VALUE, known, sizeof known);
    CK_RV rv = c->trial.token->f->C_CreateObject(c->trial.session, t.list, t.n, &object);
    if (rv == CKR_OK)
        *ret_key = (struct custody_key){.id = "a known key", .alg = alg, .handle = object};
    return rv;
}

static bool openssl_hmac(enum custody_alg alg, struct tbs_bytes data, uint8_t ret[CUSTODY_MAC_MAX])
{
    const EVP_MD *md = alg == CUSTODY_HMAC_SHA_1 ? EVP_sha1() : EVP_sha256();
    return HMAC(md, known, sizeof known, data.data, data.len, ret, NULL) != NULL;
}

static const char *compare_hmac(struct checks *c, const struct custody_key *key,
                                struct tbs_diag *diag)
{
    static const uint8_t octets[200] = "data";
    static const size_t lens[] = {0, 1, 43, 75, sizeof octets};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        uint8_t mac[CUSTODY_MAC_MAX] = {0}, want[CUSTODY_MAC_MAX] = {0};
        struct tbs_bytes data = tbs_bytes(octets, lens[i]);
        if (p11_hmac(c->service, key, data, mac, diag) != TBS_OK)
            return diag->text;
        if (!openssl_hmac(key->alg, data, want) || memcmp(mac, want, sizeof mac) != 0)
            return "the MAC of a known key is not that of OpenSSL";
    }
    return NULL;
}

static const char *compare_with_itself(struct checks *c, const struct custody_key *key,
                                       struct tbs_diag *diag)
{
    uint8_t mac[3][CUSTODY_MAC_MAX] = {0};
    for (int i = 0; i < 3; i++)
        if (p11_hmac(c->service, key, tbs_bytes_str(i < 2 ? "a" : "b"), mac[i], diag) != TBS_OK)
            return diag->text;
    if (memcmp(mac[0], mac[1], sizeof *mac) != 0 || memcmp(mac[0], mac[2], sizeof *mac) == 0)
        return "the same data gives another MAC, or other data the same";
    return NULL;
}

static void hmac(struct checks *c, enum custody_alg alg, enum selftest_verdict otherwise,
                 const char *advice, struct selftest_finding *f)
{
    struct tbs_diag diag = {0};
    struct custody_key key;
    CK_RV imported = import(c, alg, &key);
    const char *wrong = imported == CKR_OK ? compare_hmac(c, &key, &diag) : NULL;
    if (!wrong && c->has[alg])
        wrong = compare_with_itself(c, &c->key[alg], &diag);
    if (wrong)
        selftest_says(f, otherwise, advice, "%s", wrong);
    else if (imported == CKR_OK)
        selftest_says(f, SELFTEST_OK, NULL, "the same as OpenSSL's with a known key");
    else if (c->has[alg])
        selftest_says(f, SELFTEST_OK, NULL,
                      "consistent; not compared with OpenSSL's, since the token takes no known key "
                      "(%s)",
                      p11_rv_name(imported));
    else
        selftest_says(f, otherwise, advice, "there is no key to try it with");
}

static void hmac_sha_256(struct checks *c, struct selftest_finding *f)
{
    hmac(c, CUSTODY_HMAC_SHA_256, SELFTEST_UNFIT, check_other_token, f);
}

static void hmac_sha_1(struct checks *c, struct selftest_finding *f)
{
    hmac(c, CUSTODY_HMAC_SHA_1, SELFTEST_CANNOT, without_suite_128, f);
}

struct asked {
    void *session;
    const struct custody_key *key;
};

static enum tbs_err ask_token(void *ctx, struct tbs_bytes data, uint8_t ret_mac[MIKEY_HASH_MAX],
                              struct tbs_diag *diag)
{
    const struct asked *asked = ctx;
    return p11_hmac(asked->session, asked->key, data, ret_mac, diag);
}

/* As for a ticket: RFC 6043 A.2.1. */
static void mikey_prf(struct checks *c, struct selftest_finding *f)
{
    static const uint8_t rand[32];
    struct custody_key key;
    struct tbs_diag diag = {0};
    CK_RV imported = import(c, CUSTODY_HMAC_SHA_256, &key);
    if (imported != CKR_OK && !c->has[CUSTODY_HMAC_SHA_256]) {
        selftest_says(f, SELFTEST_UNFIT, check_other_token, "there is no key to try it with");
        return;
    }
    struct mikey_label label =
        mikey_label_ticket(MIKEY_CONST_ENCR, MIKEY_USE_TICKET, tbs_bytes(rand, sizeof rand));
    struct asked asked = {c->service, imported == CKR_OK ? &key : &c->key[CUSTODY_HMAC_SHA_256]};
    struct mikey_inkey there = {.prf = MIKEY_PRF_HMAC_SHA_256, .hmac = ask_token, .ctx = &asked};
    struct mikey_inkey here = {.prf = MIKEY_PRF_HMAC_SHA_256,
                               .key = tbs_bytes(known, sizeof known)};
    TBS_SECRET_AUTO struct tbs_secret got = {0}, want = {0};
    if (mikey_derive(&there, &label, 48, &got, &diag) != TBS_OK ||
        mikey_derive(&here, &label, 48, &want, &diag) != TBS_OK)
        selftest_says(f, SELFTEST_UNFIT, check_other_token, "%s", diag.text);
    else if (imported != CKR_OK)
        selftest_says(f, SELFTEST_OK, NULL, "runs in the token; not compared, as above");
    else if (CRYPTO_memcmp(got.data, want.data, want.len) != 0)
        selftest_says(f, SELFTEST_UNFIT, check_other_token,
                      "keys derived in the token are not those that software derives");
    else
        selftest_says(f, SELFTEST_OK, NULL, "the token derives the same keys as software does");
}

static bool openssl_kbkdf(uint8_t out[32])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MAC, (char *)"HMAC", 0),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)known, sizeof known),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (char *)"label", 5),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (char *)"context", 7),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "KBKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    bool ok = ctx && EVP_KDF_derive(ctx, out, 32, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* The way from an HMAC KEK to the key of a stored secret: counter mode, one round. */
static void counter_kdf(struct checks *c, struct selftest_finding *f)
{
    static const char input[] = "\0\0\0\1label\0context\0\0\1";
    uint8_t got[CUSTODY_MAC_MAX], want[32];
    struct custody_key key;
    struct tbs_diag diag = {0};
    CK_RV imported = import(c, CUSTODY_HMAC_SHA_256, &key);
    if (imported != CKR_OK)
        selftest_says(
            f, SELFTEST_OK, NULL,
            "not compared, since the token takes no known key (%s); it is one HMAC-SHA-256",
            p11_rv_name(imported));
    else if (p11_hmac(c->service, &key, tbs_bytes((const uint8_t *)input, sizeof input), got,
                      &diag) != TBS_OK)
        selftest_says(f, SELFTEST_UNFIT, check_other_token, "%s", diag.text);
    else if (!openssl_kbkdf(want) || memcmp(got, want, sizeof want) != 0)
        selftest_says(f, SELFTEST_UNFIT, check_other_token, "it is not what OpenSSL derives");
    else
        selftest_says(f, SELFTEST_OK, NULL, "the same as OpenSSL's with a known key");
}

/* --- Random --- */

static bool constant(const uint8_t *octets, size_t len)
{
    return memcmp(octets, octets + 1, len - 1) == 0;
}

static void random_numbers(struct checks *c, struct selftest_finding *f)
{
    uint8_t octets[4][64] = {0};
    struct tbs_diag diag = {0};
    for (int i = 0; i < 4; i++)
        if (p11_random(c->service, octets[i], sizeof *octets, &diag) != TBS_OK) {
            selftest_says(f, SELFTEST_UNFIT, check_other_token, "%s", diag.text);
            return;
        }
    for (int i = 0; i < 4; i++)
        for (int part = 0; part < 64; part += 16)
            if (constant(octets[i] + part, 16) ||
                memcmp(octets[i] + part, octets[(i + 1) % 4] + part, 16) == 0) {
                selftest_says(f, SELFTEST_DANGER, check_other_token,
                              "its random octets are constant, repeated or not all written");
                return;
            }
    selftest_says(f, SELFTEST_OK, NULL, "all octets are written, and no two draws are alike");
}

/* --- AES-256-GCM --- */

static const uint8_t iv[CUSTODY_GCM_IV_LEN] = "throw-away!";
#define PLAIN_LEN 64
#define SEALED_LEN (PLAIN_LEN + CUSTODY_GCM_TAG_LEN)
static const uint8_t plain[PLAIN_LEN] = "a secret";

static bool openssl_gcm(uint8_t out[SEALED_LEN])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;
    bool ok =
        ctx && EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), known, iv, NULL) == 1 &&
        EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)"owner", 5) == 1 &&
        EVP_EncryptUpdate(ctx, out, &n, plain, PLAIN_LEN) == 1 &&
        EVP_EncryptFinal_ex(ctx, out + PLAIN_LEN, &n) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CUSTODY_GCM_TAG_LEN, out + PLAIN_LEN) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* NULL: sealed, and opened again. */
static const char *seal_and_open(struct checks *c, const struct custody_key *key,
                                 uint8_t sealed[SEALED_LEN], uint8_t used_iv[CUSTODY_GCM_IV_LEN],
                                 struct tbs_diag *diag)
{
    struct custody_aead aead = {.iv = iv, .aad = tbs_bytes_str("owner"), .made_iv = used_iv};
    uint8_t opened[SEALED_LEN];
    memcpy(used_iv, iv, CUSTODY_GCM_IV_LEN);
    if (p11_seal(c->service, key, &aead, tbs_bytes(plain, PLAIN_LEN), sealed, diag) != TBS_OK)
        return diag->text;
    aead.iv = used_iv;
    if (p11_unseal(c->service, key, &aead, tbs_bytes(sealed, SEALED_LEN), opened, diag) != TBS_OK)
        return diag->text;
    return memcmp(opened, plain, PLAIN_LEN) == 0 ? NULL : "what was sealed opens to something else";
}

static void gcm(struct checks *c, struct selftest_finding *f)
{
    uint8_t sealed[SEALED_LEN], used_iv[CUSTODY_GCM_IV_LEN], want[SEALED_LEN];
    struct custody_key key;
    struct tbs_diag diag = {0};
    /* Under an IV of the token's nothing can be compared. */
    bool makes_ivs = c->has[CUSTODY_AES_256_GCM] && c->key[CUSTODY_AES_256_GCM].token_iv;
    CK_RV imported = makes_ivs ? CKR_FUNCTION_NOT_SUPPORTED : import(c, CUSTODY_AES_256_GCM, &key);
    const char *wrong = imported == CKR_OK ? seal_and_open(c, &key, sealed, used_iv, &diag) : NULL;
    if (!wrong && imported == CKR_OK &&
        (!openssl_gcm(want) || memcmp(sealed, want, SEALED_LEN) != 0))
        wrong = "what a known key seals is not what OpenSSL seals";
    if (!wrong && c->has[CUSTODY_AES_256_GCM])
        wrong = seal_and_open(c, &c->key[CUSTODY_AES_256_GCM], sealed, used_iv, &diag);
    if (wrong)
        selftest_says(f, SELFTEST_CANNOT, with_hmac_kek, "%s", wrong);
    else if (imported == CKR_OK)
        selftest_says(f, SELFTEST_OK, NULL, "the same as OpenSSL's with a known key, AAD included");
    else if (c->has[CUSTODY_AES_256_GCM])
        selftest_says(f, SELFTEST_OK, NULL,
                      "opens what it sealed; not compared with OpenSSL's, since the token takes no "
                      "known key (%s)",
                      p11_rv_name(imported));
    else
        selftest_says(f, SELFTEST_CANNOT, with_hmac_kek, "there is no key to try it with");
}

/* The first that is opened all the same; NULL: none. ret_rv: how the token refused. */
static const char *opened_all_the_same(struct checks *c, uint8_t sealed[SEALED_LEN],
                                       const uint8_t *used_iv, CK_RV *ret_rv)
{
    static const struct {
        const char *what, *aad;
        size_t changed; /* octet */
    } changes[] = {{"a wrong tag", "owner", SEALED_LEN - 1},
                   {"a changed ciphertext", "owner", 0},
                   {"another owner", "other", SEALED_LEN}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t blob[SEALED_LEN + 1] = {0}, out[SEALED_LEN];
        struct custody_aead aead = {.iv = used_iv, .aad = tbs_bytes_str(changes[i].aad)};
        struct tbs_diag diag = {0};
        memcpy(blob, sealed, SEALED_LEN);
        blob[changes[i].changed] ^= 1;
        if (p11_unseal(c->service, &c->key[CUSTODY_AES_256_GCM], &aead, tbs_bytes(blob, SEALED_LEN),
                       out, &diag) == TBS_OK)
            return changes[i].what;
        *ret_rv = diag.raw;
    }
    return NULL;
}

static void wrong_tag(struct checks *c, struct selftest_finding *f)
{
    uint8_t sealed[SEALED_LEN], used_iv[CUSTODY_GCM_IV_LEN];
    struct tbs_diag diag = {0};
    CK_RV rv = CKR_OK;
    const char *wrong = c->has[CUSTODY_AES_256_GCM]
                            ? seal_and_open(c, &c->key[CUSTODY_AES_256_GCM], sealed, used_iv, &diag)
                            : "there is no key to try it with";
    if (wrong) {
        selftest_says(f, SELFTEST_CANNOT, with_hmac_kek, "%s", wrong);
        return;
    }
    wrong = opened_all_the_same(c, sealed, used_iv, &rv);
    if (wrong)
        selftest_says(f, SELFTEST_DANGER, with_hmac_kek,
                      "the token opens %s: stored secrets could be changed or swapped", wrong);
    else if (rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED || rv == CKR_DEVICE_ERROR)
        selftest_says(f, SELFTEST_OK, NULL,
                      "refused, but with %s, which says no more than that; the KMS then makes sure "
                      "that the key works",
                      p11_rv_name(rv));
    else
        selftest_says(f, SELFTEST_OK, NULL, "refused with %s", p11_rv_name(rv));
}

const struct check checks_crypto[] = {
    {"key for HMAC-SHA-256", generate_sha_256},
    {"key for HMAC-SHA-1", generate_sha_1},
    {"key for AES-256-GCM", generate_gcm},
    {"HMAC-SHA-256", hmac_sha_256},
    {"HMAC-SHA-1", hmac_sha_1},
    {"MIKEY's PRF", mikey_prf},
    {"SP 800-108 derivation", counter_kdf},
    {"AES-256-GCM", gcm},
    {"AES-256-GCM, wrong tag", wrong_tag},
    {"random numbers", random_numbers},
    {0},
};
