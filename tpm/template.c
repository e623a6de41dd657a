/* Public areas (TPM 2.0 Library, part 2, 12.2): what we ask for, and what alone we accept. */
#include "tpm.h"

#include <stdio.h>
#include <string.h>

/* noDA: a wrong PIN is no attempt against the TPM's lockout. Otherwise a power cut would count as
 * one, since the TPM cannot know what was tried before it, and any program of the host could lock
 * the service out. So the PIN must be long. */
#define COMMON                                                                                     \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |            \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA)

static const struct {
    TPMA_OBJECT bit;
    const char *name;
} attributes[] = {
    {TPMA_OBJECT_FIXEDTPM, "fixedTPM"},
    {TPMA_OBJECT_STCLEAR, "stClear"},
    {TPMA_OBJECT_FIXEDPARENT, "fixedParent"},
    {TPMA_OBJECT_SENSITIVEDATAORIGIN, "sensitiveDataOrigin"},
    {TPMA_OBJECT_USERWITHAUTH, "userWithAuth"},
    {TPMA_OBJECT_ADMINWITHPOLICY, "adminWithPolicy"},
    {TPMA_OBJECT_NODA, "noDA"},
    {TPMA_OBJECT_ENCRYPTEDDUPLICATION, "encryptedDuplication"},
    {TPMA_OBJECT_RESTRICTED, "restricted"},
    {TPMA_OBJECT_DECRYPT, "decrypt"},
    {TPMA_OBJECT_SIGN_ENCRYPT, "sign"},
};

#define N_ATTRIBUTES (sizeof attributes / sizeof *attributes)

static void storage_template(TPM2B_PUBLIC *ret_public)
{
    *ret_public = (TPM2B_PUBLIC){
        .publicArea = {.type = TPM2_ALG_ECC,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = COMMON | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
                       .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                                              .keyBits.aes = 128,
                                                              .mode.aes = TPM2_ALG_CFB},
                                                .scheme.scheme = TPM2_ALG_NULL,
                                                .curveID = TPM2_ECC_NIST_P256,
                                                .kdf.scheme = TPM2_ALG_NULL}}};
}

void tpm_primary_template(TPM2B_PUBLIC *ret_public)
{
    storage_template(ret_public);
}

/* As authPolicy stands what ties the id, and who may get a copy, to the Name (attest/public.h). */
static enum tbs_err bind(const struct tpm_blob *blob, TPM2B_PUBLIC *public, struct tbs_diag *diag)
{
    TPM2B_DIGEST *policy = &public->publicArea.authPolicy;
    policy->size = ATTEST_DIGEST_LEN;
    return attest_key_policy(blob->id, blob->parents, blob->n_parents, policy->buffer, diag);
}

static enum tbs_err bind_id(const char *id, TPM2B_PUBLIC *public, struct tbs_diag *diag)
{
    public->publicArea.authPolicy.size = ATTEST_DIGEST_LEN;
    return attest_id_policy(id, public->publicArea.authPolicy.buffer, diag);
}

enum tbs_err tpm_storage_template(TPM2B_PUBLIC *ret_public, struct tbs_diag *diag)
{
    storage_template(ret_public);
    return bind_id(TPM_TOKEN_FILE, ret_public, diag);
}

static void signing_key(TPMT_PUBLIC *area)
{
    area->type = TPM2_ALG_ECC;
    area->parameters.eccDetail = (TPMS_ECC_PARMS){
        .symmetric.algorithm = TPM2_ALG_NULL,
        .scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
        .curveID = TPM2_ECC_NIST_P256,
        .kdf.scheme = TPM2_ALG_NULL};
}

static void hmac_key(TPMT_PUBLIC *area, TPMI_ALG_HASH hash)
{
    area->type = TPM2_ALG_KEYEDHASH;
    area->parameters.keyedHashDetail.scheme =
        (TPMT_KEYEDHASH_SCHEME){.scheme = TPM2_ALG_HMAC, .details.hmac.hashAlg = hash};
}

enum tbs_err tpm_attest_template(const char *id, TPM2B_PUBLIC *ret_public, struct tbs_diag *diag)
{
    TPM2B_PUBLIC public = {.publicArea = {.nameAlg = TPM2_ALG_SHA256,
                                          .objectAttributes = COMMON | TPMA_OBJECT_RESTRICTED |
                                                              TPMA_OBJECT_SIGN_ENCRYPT}};
    signing_key(&public.publicArea);
    enum tbs_err err = bind_id(id, &public, diag);
    if (err == TBS_OK)
        *ret_public = public;
    return err;
}

enum tbs_err tpm_key_template(const struct tpm_blob *blob, enum custody_alg alg,
                              TPM2B_PUBLIC *ret_public, struct tbs_diag *diag)
{
    TPM2B_PUBLIC public = {.publicArea = {.nameAlg = TPM2_ALG_SHA256,
                                          .objectAttributes = COMMON | TPMA_OBJECT_SIGN_ENCRYPT}};
    if (alg == CUSTODY_AES_256_GCM)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "a TPM has no AES-GCM; make an HMAC key (--alg hmac) instead of %s",
                        blob->id);
    if (alg == CUSTODY_ECDSA_P_256)
        signing_key(&public.publicArea);
    else
        hmac_key(&public.publicArea, alg == CUSTODY_HMAC_SHA_1 ? TPM2_ALG_SHA1 : TPM2_ALG_SHA256);
    if (blob->n_parents > 0)
    public.publicArea.objectAttributes &= ~(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT);
    enum tbs_err err = bind(blob, &public, diag);
    if (err == TBS_OK)
        *ret_public = public;
    return err;
}

/* --- Judging --- */

static enum tbs_err check_attributes(const char *id, TPMA_OBJECT is, TPMA_OBJECT must,
                                     struct tbs_diag *diag)
{
    for (size_t i = 0; i < N_ATTRIBUTES; i++)
        if ((is ^ must) & attributes[i].bit)
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "key %s is not used: its attribute %s is %s; make a new one", id,
                            attributes[i].name, is & attributes[i].bit ? "set" : "clear");
    return is == must ? TBS_OK
                      : tbs_fail(diag, TBS_ERR_CONFIG,
                                 "key %s is not used: it has attributes that nobody knows (0x%x)",
                                 id, (unsigned)is);
}

/* What TPM2B_DIGEST-like structures hold beyond their size does not count, so compare octets as
 * the TPM hashes them. */
static bool are_equal(const TPM2B_PUBLIC *a, const TPM2B_PUBLIC *b)
{
    uint8_t x[sizeof(TPM2B_PUBLIC)], y[sizeof(TPM2B_PUBLIC)];
    size_t n = 0, m = 0;
    return tpm_marshal_public(a, x, &n) && tpm_marshal_public(b, y, &m) && n == m &&
           memcmp(x, y, n) == 0;
}

enum tbs_err tpm_judge_public(const char *id, const TPM2B_PUBLIC *is, TPM2B_PUBLIC *must,
                              struct tbs_diag *diag)
{
    enum tbs_err err = check_attributes(id, is->publicArea.objectAttributes,
                                        must->publicArea.objectAttributes, diag);
    if (err != TBS_OK)
        return err;
    if (is->publicArea.type == must->publicArea.type)
        must->publicArea.unique = is->publicArea.unique;
    if (memcmp(&is->publicArea.authPolicy.buffer, &must->publicArea.authPolicy.buffer,
               must->publicArea.authPolicy.size) != 0 ||
        is->publicArea.authPolicy.size != must->publicArea.authPolicy.size)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "key %s is not used: it was made under another id; give its file the name "
                        "it had",
                        id);
    return are_equal(is, must)
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CONFIG,
                          "key %s is not used: its type or algorithm is not what a key of this "
                          "service has",
                          id);
}

static bool alg_of(const TPMT_PUBLIC *area, enum custody_alg *ret_alg)
{
    const TPMT_KEYEDHASH_SCHEME *scheme = &area->parameters.keyedHashDetail.scheme;
    if (area->type == TPM2_ALG_ECC)
        *ret_alg = CUSTODY_ECDSA_P_256;
    else if (area->type != TPM2_ALG_KEYEDHASH || scheme->scheme != TPM2_ALG_HMAC)
        return false;
    else
        *ret_alg = scheme->details.hmac.hashAlg == TPM2_ALG_SHA1 ? CUSTODY_HMAC_SHA_1
                                                                 : CUSTODY_HMAC_SHA_256;
    return true;
}

static enum tbs_err put_point(const char *id, const TPMS_ECC_POINT *at, uint8_t *point,
                              struct tbs_diag *diag)
{
    enum { HALF = (CUSTODY_POINT_LEN - 1) / 2 };
    if (at->x.size > HALF || at->y.size > HALF)
        return tbs_fail(diag, TBS_ERR_CONFIG, "key %s is not used: its point is not on P-256", id);
    point[0] = 4;
    memcpy(point + 1 + HALF - at->x.size, at->x.buffer, at->x.size);
    memcpy(point + 1 + 2 * HALF - at->y.size, at->y.buffer, at->y.size);
    return TBS_OK;
}

enum tbs_err tpm_judge_key(const struct tpm_blob *blob, const TPM2B_PUBLIC *public,
                           struct custody_key *ret_key, struct tbs_diag *diag)
{
    struct custody_key key = {0};
    bool valid = false;
    TPM2B_PUBLIC must;
    if (!custody_id_role(tbs_bytes_str(blob->id), &key.role, &valid) || !valid)
        return tbs_fail(diag, TBS_ERR_CONFIG, "'%s' is not a key's id", blob->id);
    if (!alg_of(&public->publicArea, &key.alg) || !custody_role_takes(key.role, key.alg))
        return tbs_fail(diag, TBS_ERR_CONFIG, "key %s is not used: a %s does %s", blob->id,
                        custody_role_name(key.role), custody_role_algs(key.role));
    enum tbs_err err = tpm_key_template(blob, key.alg, &must, diag);
    if (err == TBS_OK)
        err = tpm_judge_public(blob->id, public, &must, diag);
    if (err == TBS_OK && key.alg == CUSTODY_ECDSA_P_256)
        err = put_point(blob->id, &public->publicArea.unique.ecc, key.point, diag);
    if (err != TBS_OK)
        return err;
    /* No command gives a private area in the clear, and fixedTPM and fixedParent, with a parent
     * that has both, say that none ever leaves this TPM. One that has neither goes to the parents
     * that its Name binds, or came so. */
    key.sensitive = key.always_sensitive = true;
    key.never_extractable = key.local = blob->n_parents == 0;
    snprintf(key.id, sizeof key.id, "%s", blob->id);
    snprintf(key.label, sizeof key.label, "%s", blob->label);
    *ret_key = key;
    return TBS_OK;
}

enum tbs_err tpm_judge_storage(const TPM2B_PUBLIC *public, struct tbs_diag *diag)
{
    TPM2B_PUBLIC must;
    enum tbs_err err = tpm_storage_template(&must, diag);
    return err != TBS_OK ? err : tpm_judge_public(TPM_TOKEN_FILE, public, &must, diag);
}
