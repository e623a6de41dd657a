/* What a TPM attests, for those who were not there: which TPM it is, and what its keys are. */
#include "vault_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "base/base64.h"
#include "base/hex.h"

#define EK_CERTIFICATE 0x01C00002 /* of the RSA key (TCG EK Credential Profile, 2.2.1.4) */
#define CERTIFICATE_MAX 4096
#define CHUNK 512 /* octets of one TPM2_NV_Read */
#define PCRS 0xFF /* 0 to 7: firmware, its configuration, and the boot loader */

static json_t *base64(struct tbs_bytes octets)
{
    TBS_BUF_AUTO struct tbs_buf text = tbs_buf();
    tbs_put_base64(&text, octets);
    return json_stringn((const char *)text.data, text.len);
}

/* --- Public areas --- */

static enum tbs_err put_area(struct tpm_vault *v, ESYS_TR handle, const char *name, json_t *to,
                             struct tbs_diag *diag)
{
    TPM2B_PUBLIC *public = NULL;
    uint8_t octets[sizeof(TPM2B_PUBLIC)];
    size_t len = 0;
    TSS2_RC rc = Esys_ReadPublic(v->token.esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 &public, NULL, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "reading the public area of the %s key", name);
    bool whole = tpm_marshal_public(public, octets, &len);
    Esys_Free(public);
    return whole && json_object_set_new(to, name, base64(tbs_bytes(octets, len))) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a public area");
}

static enum tbs_err put_parents(struct tpm_vault *v, json_t *to, struct tbs_diag *diag)
{
    ESYS_TR primary = ESYS_TR_NONE;
    VAULT_TRY(tpm_make_primary(&v->token, &primary, diag));
    enum tbs_err err = put_area(v, primary, "primary", to, diag);
    tpm_flush(&v->token, &primary);
    return err != TBS_OK ? err : put_area(v, v->token.storage, "storage", to, diag);
}

/* --- The endorsement key --- */

/* Template L-1 of the TCG EK Credential Profile. */
static enum tbs_err make_ek(struct tpm_vault *v, ESYS_TR *ret_ek, struct tbs_diag *diag)
{
    static const TPM2B_SENSITIVE_CREATE sensitive;
    static const TPM2B_DATA outside;
    static const TPML_PCR_SELECTION pcrs;
    static const TPM2B_PUBLIC template = {
        .publicArea = {
            .type = TPM2_ALG_RSA,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
                                TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
            .authPolicy = {.size = 32, .buffer = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8,
                                                  0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
                                                  0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64,
                                                  0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA}},
            .parameters.rsaDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                                   .keyBits.aes = 128,
                                                   .mode.aes = TPM2_ALG_CFB},
                                     .scheme.scheme = TPM2_ALG_NULL,
                                     .keyBits = 2048},
            .unique.rsa = {.size = 256}}};
    TSS2_RC rc = Esys_CreatePrimary(v->token.esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
                                    ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template, &outside,
                                    &pcrs, ret_ek, NULL, NULL, NULL, NULL);
    return rc == TSS2_RC_SUCCESS ? TBS_OK : tpm_fail(diag, rc, "making the endorsement key");
}

/* What the maker put there; a TPM without one tells so by an error. */
static size_t read_certificate(struct tpm_vault *v, uint8_t *octets)
{
    ESYS_TR index = ESYS_TR_NONE;
    TPM2B_NV_PUBLIC *public = NULL;
    size_t size = 0, len = 0;
    if (Esys_TR_FromTPMPublic(v->token.esys, EK_CERTIFICATE, ESYS_TR_NONE, ESYS_TR_NONE,
                              ESYS_TR_NONE, &index) != TSS2_RC_SUCCESS)
        return 0;
    if (Esys_NV_ReadPublic(v->token.esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public,
                           NULL) == TSS2_RC_SUCCESS)
        size = public->nvPublic.dataSize;
    Esys_Free(public);
    while (len < size && size <= CERTIFICATE_MAX) {
        TPM2B_MAX_NV_BUFFER *part = NULL;
        UINT16 want = (UINT16)(size - len < CHUNK ? size - len : CHUNK);
        if (Esys_NV_Read(v->token.esys, index, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                         want, (UINT16)len, &part) != TSS2_RC_SUCCESS)
            break;
        memcpy(octets + len, part->buffer, part->size);
        len += part->size;
        Esys_Free(part);
    }
    Esys_TR_Close(v->token.esys, &index);
    return len == size ? len : 0;
}

/* Without what fills the index up after it. */
static json_t *certificate(struct tpm_vault *v)
{
    uint8_t octets[CERTIFICATE_MAX];
    const unsigned char *at = octets;
    size_t len = read_certificate(v, octets);
    X509 *x509 = len > 0 ? d2i_X509(NULL, &at, (long)len) : NULL;
    if (!x509)
        return json_null();
    X509_free(x509);
    return base64(tbs_bytes(octets, (size_t)(at - octets)));
}

/* --- Whose the attesting key is --- */

static enum tbs_err put_hash(json_t *to, const char *name, const TPM2B_DIGEST *octets,
                             struct tbs_diag *diag)
{
    uint8_t hash[ATTEST_DIGEST_LEN];
    char hex[2 * sizeof hash + 1];
    if (EVP_Digest(octets->buffer, octets->size, hash, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do SHA-256");
    tbs_hex(tbs_bytes(hash, sizeof hash), hex);
    return json_object_set_new(to, name, json_string(hex)) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a challenge");
}

/* The endorsement key decrypts only with a policy: whoever may use its hierarchy. */
static TSS2_RC start_policy(struct tpm_vault *v, ESYS_TR *ret_session)
{
    static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    static const TPM2B_NONCE no_nonce;
    static const TPM2B_DIGEST no_cp_hash;
    TSS2_RC rc = Esys_StartAuthSession(v->token.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none,
                                       TPM2_ALG_SHA256, ret_session);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_PolicySecret(v->token.esys, ESYS_TR_RH_ENDORSEMENT, *ret_session,
                               ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_nonce, &no_cp_hash,
                               &no_nonce, 0, NULL, NULL);
    return rc;
}

struct credential {
    TPM2B_ID_OBJECT *object;
    TPM2B_ENCRYPTED_SECRET *key;
    TPM2B_DIGEST *answer;
};

static TSS2_RC activate(struct tpm_vault *v, ESYS_TR ek, const struct tpm_object *ak,
                        const TPM2B_DIGEST *challenge, struct credential *c)
{
    TPM2B_NAME name = {.size = ATTEST_NAME_LEN};
    ESYS_TR policy = ESYS_TR_NONE;
    if (attest_name(ak->area, name.name, NULL) != TBS_OK)
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    TSS2_RC rc = Esys_MakeCredential(v->token.esys, ek, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                     challenge, &name, &c->object, &c->key);
    if (rc == TSS2_RC_SUCCESS)
        rc = start_policy(v, &policy);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_ActivateCredential(v->token.esys, ak->handle, ek,
                                     tpm_session(&v->token, false, false), policy, ESYS_TR_NONE,
                                     c->object, c->key, &c->answer);
    tpm_flush(&v->token, &policy);
    return rc;
}

/* A challenge that the endorsement key decrypts only for an object of the attesting key's Name in
 * the same TPM. */
static enum tbs_err bind(struct tpm_vault *v, ESYS_TR ek, const struct tpm_object *ak, json_t *to,
                         struct tbs_diag *diag)
{
    TPM2B_DIGEST challenge = {.size = ATTEST_DIGEST_LEN};
    struct credential c = {0};
    if (RAND_bytes(challenge.buffer, challenge.size) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL gives no random octets");
    TSS2_RC rc = activate(v, ek, ak, &challenge, &c);
    enum tbs_err err = rc == TSS2_RC_SUCCESS
                           ? TBS_OK
                           : tpm_fail(diag, rc, "binding the attesting key to the endorsement key");
    if (err == TBS_OK)
        err = put_hash(to, "challenge_sha256", &challenge, diag);
    if (err == TBS_OK)
        err = put_hash(to, "answer_sha256", c.answer, diag);
    if (err == TBS_OK) {
        json_object_set_new(to, "credential",
                            base64(tbs_bytes(c.object->credential, c.object->size)));
        json_object_set_new(to, "encrypted", base64(tbs_bytes(c.key->secret, c.key->size)));
    }
    Esys_Free(c.object);
    Esys_Free(c.key);
    Esys_Free(c.answer);
    OPENSSL_cleanse(&challenge, sizeof challenge);
    return err;
}

static enum tbs_err describe(struct tpm_vault *v, const char *id, json_t *to, struct tbs_diag *diag)
{
    struct tpm_object ak;
    ESYS_TR ek = ESYS_TR_NONE;
    VAULT_TRY(put_parents(v, to, diag));
    VAULT_TRY(make_ek(v, &ek, diag));
    enum tbs_err err = put_area(v, ek, "ek", to, diag);
    if (err == TBS_OK)
        err = tpm_object_load(v, id, &ak, diag);
    if (err == TBS_OK) {
        json_object_set_new(to, "ak", base64(ak.area));
        err = bind(v, ek, &ak, to, diag);
        tpm_object_drop(v, &ak);
    }
    tpm_flush(&v->token, &ek);
    return err;
}

enum tbs_err tpm_vault_identify(struct vault *base, const char *id, json_t **ret_key,
                                struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    json_t *key = NULL, *identity = json_object();
    enum tbs_err err = tpm_vault_generate(base, "attest-ecdsa-p256-tpm-v1", id, &key, diag);
    if (err == TBS_OK)
        err = describe(v, id, identity, diag);
    if (err == TBS_OK && (json_object_set_new(identity, "ek_certificate", certificate(v)) != 0 ||
                          json_object_set(key, "identity", identity) != 0))
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a TPM's identity");
    json_decref(identity);
    if (err == TBS_OK)
        *ret_key = key;
    else
        json_decref(key);
    return err;
}

/* --- Attesting --- */

static enum tbs_err put_attested(const TPM2B_ATTEST *attested, const TPMT_SIGNATURE *signature,
                                 json_t **ret, struct tbs_diag *diag)
{
    uint8_t octets[sizeof *signature];
    size_t len = 0;
    if (Tss2_MU_TPMT_SIGNATURE_Marshal(signature, octets, sizeof octets, &len) != TSS2_RC_SUCCESS)
        return tbs_fail(diag, TBS_ERR_TOKEN, "the TPM gave what is no signature");
    *ret = json_pack("{s:o, s:o}", "attested",
                     base64(tbs_bytes(attested->attestationData, attested->size)), "signature",
                     base64(tbs_bytes(octets, len)));
    return *ret ? TBS_OK : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for an attestation");
}

static const TPMT_SIG_SCHEME own = {.scheme = TPM2_ALG_NULL};

static TPM2B_DATA qualifying(const uint8_t data[ATTEST_DIGEST_LEN])
{
    TPM2B_DATA q = {.size = ATTEST_DIGEST_LEN};
    memcpy(q.buffer, data, ATTEST_DIGEST_LEN);
    return q;
}

enum tbs_err tpm_vault_certify(struct vault *base, const char *by, const char *id,
                               const uint8_t data[ATTEST_DIGEST_LEN], json_t **ret_attested,
                               struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    const TPM2B_DATA q = qualifying(data);
    struct tpm_object ak, key;
    TPM2B_ATTEST *attested = NULL;
    TPMT_SIGNATURE *signature = NULL;
    VAULT_TRY(tpm_object_load(v, by, &ak, diag));
    enum tbs_err err = tpm_object_load(v, id, &key, diag);
    if (err == TBS_OK) {
        TSS2_RC rc =
            Esys_Certify(v->token.esys, key.handle, ak.handle, tpm_session(&v->token, false, false),
                         ESYS_TR_PASSWORD, ESYS_TR_NONE, &q, &own, &attested, &signature);
        err = rc == TSS2_RC_SUCCESS ? put_attested(attested, signature, ret_attested, diag)
                                    : tpm_fail(diag, rc, "certifying key %s", id);
        tpm_object_drop(v, &key);
    }
    tpm_object_drop(v, &ak);
    Esys_Free(attested);
    Esys_Free(signature);
    return err;
}

static enum tbs_err put_pcrs(struct tpm_vault *v, const TPML_PCR_SELECTION *which, json_t *to,
                             struct tbs_diag *diag)
{
    TPML_DIGEST *values = NULL;
    json_t *pcrs = json_object();
    TSS2_RC rc = Esys_PCR_Read(v->token.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, which, NULL,
                               NULL, &values);
    for (UINT32 i = 0; rc == TSS2_RC_SUCCESS && i < values->count; i++) {
        char name[4], hex[2 * sizeof values->digests[i].buffer + 1];
        snprintf(name, sizeof name, "%u", (unsigned)i & 0xFF);
        tbs_hex(tbs_bytes(values->digests[i].buffer, values->digests[i].size), hex);
        json_object_set_new(pcrs, name, json_string(hex));
    }
    Esys_Free(values);
    if (rc == TSS2_RC_SUCCESS && json_object_set_new(to, "pcrs", pcrs) == 0)
        return TBS_OK;
    return rc == TSS2_RC_SUCCESS ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for PCRs")
                                 : tpm_fail(diag, rc, "reading PCRs");
}

enum tbs_err tpm_vault_quote(struct vault *base, const char *by,
                             const uint8_t data[ATTEST_DIGEST_LEN], json_t **ret_attested,
                             struct tbs_diag *diag)
{
    static const TPML_PCR_SELECTION which = {
        .count = 1,
        .pcrSelections = {{.hash = TPM2_ALG_SHA256, .sizeofSelect = 3, .pcrSelect = {PCRS}}}};
    struct tpm_vault *v = tpm_vault(base);
    const TPM2B_DATA q = qualifying(data);
    struct tpm_object ak;
    TPM2B_ATTEST *attested = NULL;
    TPMT_SIGNATURE *signature = NULL;
    json_t *quote = NULL;
    VAULT_TRY(tpm_object_load(v, by, &ak, diag));
    TSS2_RC rc = Esys_Quote(v->token.esys, ak.handle, tpm_session(&v->token, false, false),
                            ESYS_TR_NONE, ESYS_TR_NONE, &q, &own, &which, &attested, &signature);
    tpm_object_drop(v, &ak);
    enum tbs_err err = rc == TSS2_RC_SUCCESS ? put_attested(attested, signature, &quote, diag)
                                             : tpm_fail(diag, rc, "quoting PCRs");
    Esys_Free(attested);
    Esys_Free(signature);
    if (err == TBS_OK)
        err = put_pcrs(v, &which, quote, diag);
    if (err == TBS_OK)
        *ret_attested = quote;
    else
        json_decref(quote);
    return err;
}
