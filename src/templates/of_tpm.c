/* Templates for a TPM's objects: which bits of TPMA_OBJECT they have, and no other. */
#include "templates/of_tpm.h"

#include <string.h>

#define SITE_ONLY (1u << TEMPLATE_SITE_ONLY)
#define REPLICATED (1u << TEMPLATE_SEALED | 1u << TEMPLATE_RESTORED)

/* What signs says what: digests of anybody's making, or only what the TPM made itself. */
enum role { SIGNS, ATTESTS, STORES };

static const struct row {
    struct key_template t;
    enum role role;
    const char *type, *scheme, *hash;
} rows[] = {
#define ROW(name, custody, check, profiles, octets, role, type, scheme, hash)                      \
    {                                                                                              \
        {name, custody, "TPM2_Create", check, profiles, octets}, role, type, scheme, hash          \
    }
#define HMAC(name, custody, profiles, hash)                                                        \
    ROW(name, custody, "hmac-empty/16", profiles, 32, SIGNS, "TPM2_ALG_KEYEDHASH",                 \
        "TPM2_ALG_HMAC", hash)
#define ECC(name, role, scheme, hash)                                                              \
    ROW(name, "site-only", "spki-sha256", SITE_ONLY, 0, role, "TPM2_ALG_ECC", scheme, hash)
    HMAC("tpk-hmac-sha256-tpm-v1", "site-only", SITE_ONLY, "TPM2_ALG_SHA256"),
    HMAC("tpk-hmac-sha1-tpm-v1", "site-only", SITE_ONLY, "TPM2_ALG_SHA1"),
    HMAC("kek-hmac-sha256-tpm-v1", "site-only", SITE_ONLY, "TPM2_ALG_SHA256"),
    HMAC("tpk-hmac-sha256-tpm-replicated-v1", "replicated", REPLICATED, "TPM2_ALG_SHA256"),
    HMAC("kek-hmac-sha256-tpm-replicated-v1", "replicated", REPLICATED, "TPM2_ALG_SHA256"),
    HMAC("canary-hmac-sha256-tpm-replicated-v1", "replicated", REPLICATED, "TPM2_ALG_SHA256"),
    HMAC("canary-hmac-sha256-tpm-v1", "site-only", SITE_ONLY, "TPM2_ALG_SHA256"),
    ECC("audit-ecdsa-p256-tpm-v1", SIGNS, "TPM2_ALG_ECDSA", "TPM2_ALG_SHA256"),
    ECC("ceremony-ecdsa-p256-tpm-v1", SIGNS, "TPM2_ALG_ECDSA", "TPM2_ALG_SHA256"),
    ECC("attest-ecdsa-p256-tpm-v1", ATTESTS, "TPM2_ALG_ECDSA", "TPM2_ALG_SHA256"),
    ECC("transport-storage-p256-tpm-v1", STORES, "TPM2_ALG_NULL", "TPM2_ALG_NULL"),
#undef ROW
#undef HMAC
#undef ECC
};

#define N_ROWS (sizeof rows / sizeof *rows)

const struct key_template *template_of_tpm_at(size_t i)
{
    return i < N_ROWS ? &rows[i].t : NULL;
}

bool template_is_of_tpm(const struct key_template *template)
{
    return template->generation && strcmp(template->generation, "TPM2_Create") == 0;
}

const char *template_of_tpm_type(const struct key_template *template)
{
    return ((const struct row *)template)->type;
}

/* noDA: a wrong PIN is no attempt against the TPM's lockout, so that no program of the host can
 * lock the service out (docs/tokens/tpm.md). */
json_t *template_of_tpm_expected(const struct key_template *template, enum template_profile profile)
{
    const struct row *row = (const struct row *)template;
    bool stays = profile == TEMPLATE_SITE_ONLY, stores = row->role == STORES;
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "type",
        row->type, "nameAlg", "TPM2_ALG_SHA256", "scheme", row->scheme, "hash", row->hash,
        "symmetric", stores ? "TPM2_ALG_AES" : "TPM2_ALG_NULL", "fixedTPM", stays, "fixedParent",
        stays, "stClear", false, "sensitiveDataOrigin", true, "userWithAuth", true,
        "adminWithPolicy", false, "noDA", true, "encryptedDuplication", false, "restricted",
        row->role != SIGNS, "decrypt", stores, "sign", !stores);
    if (all && strcmp(row->type, "TPM2_ALG_ECC") == 0 &&
        json_object_set_new(all, "curve", json_string("TPM2_ECC_NIST_P256")) != 0) {
        json_decref(all);
        return NULL;
    }
    return all;
}
