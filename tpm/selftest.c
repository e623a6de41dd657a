/* What a TPM must do for the KMS, in order, with the functions of the service itself. */
#include "selftest_checks.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

const char tpm_check_other[] = "use another TPM";
static const char without_suite_128[] = "leave 128 out of kms.suites";
static const char without_checkpoints[] = "leave audit.every_records and audit.every_seconds out";
static const char with_hmac_kek[] = "make the KEK with 'keys generate kek --alg hmac'";

/* --- The TPM and the way to it --- */

/* Four letters in each property. */
static bool property(struct tpm_token *token, TPM2_PT what, uint32_t *ret_value)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    TSS2_RC rc = TPM_CALL(token, GetCapability, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                          TPM2_CAP_TPM_PROPERTIES, what, 1, &more, &data);
    bool found = rc == TSS2_RC_SUCCESS && data->data.tpmProperties.count == 1 &&
                 data->data.tpmProperties.tpmProperty[0].property == what;
    if (found)
        *ret_value = data->data.tpmProperties.tpmProperty[0].value;
    Esys_Free(data);
    return found;
}

static void name_tpm(struct tpm_checks *c, struct selftest_finding *f)
{
    uint32_t maker = 0, major = 0, revision = 0;
    struct tpm_token *token = c->trial.token;
    if (!property(token, TPM2_PT_MANUFACTURER, &maker) ||
        !property(token, TPM2_PT_FIRMWARE_VERSION_1, &major) ||
        !property(token, TPM2_PT_REVISION, &revision)) {
        selftest_says(f, SELFTEST_UNFIT, tpm_check_other, "it does not say what it is");
        return;
    }
    char letters[5] = {(char)(maker >> 24), (char)(maker >> 16), (char)(maker >> 8), (char)maker};
    for (size_t i = 0; i < 4; i++)
        if (letters[i] < ' ' || letters[i] > '~')
            letters[i] = ' ';
    selftest_says(f, SELFTEST_OK, NULL, "made by '%s', firmware %u.%u, specification %u.%02u",
                  letters, major >> 16, major & 0xFFFF, revision / 100, revision % 100);
}

static void find_manager(struct tpm_checks *c, struct selftest_finding *f)
{
    if (tpm_is_alone(c->trial.config->tcti))
        selftest_says(f, SELFTEST_REMARK, "take device:/dev/tpmrm0 or tabrmd: for tcti",
                      "none: one program at a time has the TPM, and tbs-admin waits while the "
                      "daemon runs");
    else
        selftest_says(f, SELFTEST_OK, NULL, "%s", c->trial.config->tcti);
}

static void judge_bus(struct tpm_checks *c, struct selftest_finding *f)
{
    if (c->trial.config->plain_bus)
        selftest_says(f, SELFTEST_REMARK, "leave plain_bus out, unless nobody can get at the bus",
                      "PIN, requests and answers cross it in the clear");
    else
        selftest_says(f, SELFTEST_OK, NULL,
                      "a session is salted with the storage key; what is secret is encrypted, and "
                      "the PIN is proved, not sent");
}

/* --- Keys --- */

static void generate(struct tpm_checks *c, enum custody_alg alg, enum selftest_verdict otherwise,
                     const char *advice, struct selftest_finding *f)
{
    struct tbs_diag why = {0};
    c->has[alg] = tpm_trial_generate(&c->trial, alg, &c->key[alg], &why) == TBS_OK;
    if (c->has[alg])
        selftest_says(f, SELFTEST_OK, NULL, "made in the TPM, and its attributes are as asked for");
    else
        selftest_says(f, otherwise, advice, "%s", why.text);
}

static void generate_sha_256(struct tpm_checks *c, struct selftest_finding *f)
{
    generate(c, CUSTODY_HMAC_SHA_256, SELFTEST_UNFIT, tpm_check_other, f);
}

static void generate_sha_1(struct tpm_checks *c, struct selftest_finding *f)
{
    generate(c, CUSTODY_HMAC_SHA_1, SELFTEST_CANNOT, without_suite_128, f);
}

static void generate_ecdsa(struct tpm_checks *c, struct selftest_finding *f)
{
    generate(c, CUSTODY_ECDSA_P_256, SELFTEST_CANNOT, without_checkpoints, f);
}

static void tell_gcm(struct tpm_checks *c, struct selftest_finding *f)
{
    (void)c;
    selftest_says(f, SELFTEST_CANNOT, with_hmac_kek, "no TPM has it");
}

enum tbs_err tpm_check_known_key(struct tpm_checks *c, enum custody_alg alg,
                                 struct tpm_blob *ret_blob, struct tbs_diag *diag)
{
    static const TPM2B_DATA outside;
    static const TPML_PCR_SELECTION pcrs;
    struct tpm_token *token = c->trial.token;
    TPM2B_SENSITIVE_CREATE known = {
        .sensitive = {.userAuth = token->pin, .data.size = sizeof TPM_CHECK_KNOWN - 1}};
    struct tpm_blob blob = {.id = "tpk-known"};
    TPM2B_PRIVATE *private = NULL;
    TPM2B_PUBLIC template, *public = NULL;
    memcpy(known.sensitive.data.buffer, TPM_CHECK_KNOWN, known.sensitive.data.size);
    enum tbs_err err = tpm_key_template(blob.id, alg, &template, diag);
    if (err != TBS_OK)
        return err;
    template.publicArea.objectAttributes &= ~TPMA_OBJECT_SENSITIVEDATAORIGIN;
    tpm_unload_keys(token);
    TSS2_RC rc = TPM_CALL(token, Create, token->storage, tpm_session(token, true, true),
                          ESYS_TR_NONE, ESYS_TR_NONE, &known, &template, &outside, &pcrs, &private,
                          &public, NULL, NULL, NULL);
    OPENSSL_cleanse(&known, sizeof known);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "making a key with known octets");
    blob.private = *private;
    blob.public = *public;
    Esys_Free(private);
    Esys_Free(public);
    *ret_blob = blob;
    return TBS_OK;
}

/* --- HMAC --- */

static bool openssl_hmac(enum custody_alg alg, struct tbs_bytes data, uint8_t ret[CUSTODY_MAC_MAX])
{
    const EVP_MD *md = alg == CUSTODY_HMAC_SHA_1 ? EVP_sha1() : EVP_sha256();
    return HMAC(md, TPM_CHECK_KNOWN, sizeof TPM_CHECK_KNOWN - 1, data.data, data.len, ret, NULL) !=
           NULL;
}

static const char *compare(struct tpm_checks *c, const struct custody_key *key,
                           struct tbs_diag *diag)
{
    static const uint8_t octets[200] = "data";
    static const size_t lens[] = {0, 1, 43, 75, sizeof octets};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        uint8_t mac[CUSTODY_MAC_MAX] = {0}, want[CUSTODY_MAC_MAX] = {0};
        struct tbs_bytes data = tbs_bytes(octets, lens[i]);
        if (tpm_hmac(c->trial.token, key, data, mac, diag) != TBS_OK)
            return diag->text;
        if (!openssl_hmac(key->alg, data, want) || memcmp(mac, want, sizeof mac) != 0)
            return "the MAC of a known key is not that of OpenSSL";
    }
    return NULL;
}

static void hmac(struct tpm_checks *c, enum custody_alg alg, enum selftest_verdict otherwise,
                 const char *advice, struct selftest_finding *f)
{
    struct tbs_diag diag = {0};
    struct tpm_blob blob;
    struct custody_key key = {.id = "tpk-known", .alg = alg, .handle = c->trial.token->n_keys};
    enum tbs_err err = tpm_check_known_key(c, alg, &blob, &diag);
    if (err == TBS_OK)
        err = tpm_keep_key(c->trial.token, &blob, &diag);
    const char *wrong = err == TBS_OK ? compare(c, &key, &diag) : diag.text;
    if (wrong)
        selftest_says(f, otherwise, advice, "%s", wrong);
    else
        selftest_says(f, SELFTEST_OK, NULL, "the same as OpenSSL's with a known key");
}

static void hmac_sha_256(struct tpm_checks *c, struct selftest_finding *f)
{
    hmac(c, CUSTODY_HMAC_SHA_256, SELFTEST_UNFIT, tpm_check_other, f);
}

static void hmac_sha_1(struct tpm_checks *c, struct selftest_finding *f)
{
    hmac(c, CUSTODY_HMAC_SHA_1, SELFTEST_CANNOT, without_suite_128, f);
}

/* --- The rest --- */

static void sign(struct tpm_checks *c, struct selftest_finding *f)
{
    const struct custody_key *key = &c->key[CUSTODY_ECDSA_P_256];
    struct tbs_diag why = {0};
    if (!c->has[CUSTODY_ECDSA_P_256])
        selftest_says(f, SELFTEST_CANNOT, NULL, "there is no key for it");
    else if (custody_sign_check(c->trial.ops, c->trial.token, key, key->point, "test", &why) !=
             TBS_OK)
        selftest_says(f, SELFTEST_CANNOT, without_checkpoints, "%s", why.text);
    else
        selftest_says(f, SELFTEST_OK, NULL, "OpenSSL verifies it");
}

static void random_numbers(struct tpm_checks *c, struct selftest_finding *f)
{
    uint8_t octets[2][64];
    struct tbs_diag why = {0};
    for (size_t i = 0; i < 2; i++)
        if (tpm_random(c->trial.token, octets[i], sizeof octets[i], &why) != TBS_OK) {
            selftest_says(f, SELFTEST_UNFIT, tpm_check_other, "%s", why.text);
            return;
        }
    if (memcmp(octets[0], octets[1], sizeof octets[0]) == 0)
        selftest_says(f, SELFTEST_DANGER, tpm_check_other, "the same octets twice");
    else
        selftest_says(f, SELFTEST_OK, NULL, "two times 64 octets, which differ");
}

/* More keys than have room at a time. */
static void keys_in_turn(struct tpm_checks *c, struct selftest_finding *f)
{
    uint8_t mac[CUSTODY_MAC_MAX];
    struct tbs_diag why = {0};
    size_t n = 0;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < c->trial.token->n_keys; i++) {
            struct tpm_blob *blob = &c->trial.token->keys[i].blob;
            struct custody_key key = {.handle = i, .alg = CUSTODY_HMAC_SHA_256};
            if (blob->public.publicArea.type != TPM2_ALG_KEYEDHASH)
                continue;
            snprintf(key.id, sizeof key.id, "%s", blob->id);
            if (blob->public.publicArea.parameters.keyedHashDetail.scheme.details.hmac.hashAlg ==
                TPM2_ALG_SHA1)
                key.alg = CUSTODY_HMAC_SHA_1;
            if (tpm_hmac(c->trial.token, &key, tbs_bytes_str("data"), mac, &why) != TBS_OK) {
                selftest_says(f, SELFTEST_UNFIT, tpm_check_other, "%s", why.text);
                return;
            }
            n++;
        }
    selftest_says(f, SELFTEST_OK, NULL, "%zu MACs with %zu keys, of which %d have room at a time",
                  n, n / 3, TPM_LOADED_MAX);
}

const struct tpm_check tpm_checks_use[] = {
    {"the TPM", name_tpm},
    {"resource manager", find_manager},
    {"the bus", judge_bus},
    {"key for HMAC-SHA-256", generate_sha_256},
    {"key for HMAC-SHA-1", generate_sha_1},
    {"key for ECDSA on P-256", generate_ecdsa},
    {"AES-256-GCM", tell_gcm},
    {"HMAC-SHA-256", hmac_sha_256},
    {"HMAC-SHA-1", hmac_sha_1},
    {"ECDSA on P-256", sign},
    {"keys in turn", keys_in_turn},
    {"random numbers", random_numbers},
    {0},
};

/* --- The run --- */

static void run_all(struct tpm_checks *c, const struct tpm_check *check)
{
    for (; check->name && !*c->test->stop; check++) {
        struct selftest_finding finding = {.check = check->name};
        check->run(c, &finding);
        c->test->tell(c->test->ctx, &finding);
    }
}

enum tbs_err tpm_selftest_run(const struct custody_token_config *config,
                              const struct selftest *test, struct tbs_diag *diag)
{
    struct tpm_checks c = {.test = test};
    enum tbs_err err = tpm_trial_open(config, &c.trial, diag);
    if (err != TBS_OK)
        return err;
    run_all(&c, tpm_checks_use);
    run_all(&c, tpm_checks_attacks);
    tpm_trial_close(&c.trial);
    return TBS_OK;
}
