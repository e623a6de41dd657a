/* One table says what each attribute is at each stage, another what each template is for. */
#include "templates/templates.h"

#include <string.h>

#include "templates/of_tpm.h"

#define BIT(profile) (1u << TEMPLATE_##profile)
#define PAIR (BIT(PRIVATE) | BIT(PUBLIC))

static const char *const profile_names[TEMPLATE_N_PROFILES] = {
    [TEMPLATE_BORN] = "born",       [TEMPLATE_SITE_ONLY] = "site-only",
    [TEMPLATE_SEALED] = "sealed",   [TEMPLATE_RESTORED] = "restored",
    [TEMPLATE_PRIVATE] = "private", [TEMPLATE_PUBLIC] = "public",
    [TEMPLATE_TRUSTED] = "trusted", [TEMPLATE_VISITING] = "visiting",
};

const char *template_profile_name(enum template_profile profile)
{
    return profile_names[profile];
}

bool template_profile_find(const char *name, enum template_profile *ret_profile)
{
    for (size_t i = 0; i < TEMPLATE_N_PROFILES; i++) {
        if (strcmp(profile_names[i], name) == 0) {
            *ret_profile = (enum template_profile)i;
            return true;
        }
    }
    return false;
}

static const char *const oaep_hashes[] = {[OAEP_SHA_256] = "SHA-256", [OAEP_SHA_1] = "SHA-1"};

const char *oaep_hash_name(enum oaep_hash hash)
{
    return oaep_hashes[hash];
}

bool oaep_hash_find(const char *name, enum oaep_hash *ret_hash)
{
    *ret_hash = strcmp(name, oaep_hashes[OAEP_SHA_1]) == 0 ? OAEP_SHA_1 : OAEP_SHA_256;
    return strcmp(name, oaep_hashes[*ret_hash]) == 0;
}

/* --- Templates --- */

enum role { MAC, CIPHER, SIGNER, OPENER, UNWRAPPER, WRAPPER };

static const struct row {
    struct key_template t;
    enum role role;
    const char *type, *mechanism;
    bool asks_for_pin;
} rows[] = {
#define SECRET(name, custody, check, profiles, role, generation, type, mechanism)                  \
    {                                                                                              \
        {name, custody, generation, check, profiles, 32}, role, type, mechanism, false             \
    }
#define HMAC(name, mechanism)                                                                      \
    SECRET(name, "site-only", "hmac-empty/16", BIT(SITE_ONLY), MAC, "CKM_GENERIC_SECRET_KEY_GEN",  \
           "CKK_GENERIC_SECRET", mechanism)
#define REPLICATED(name)                                                                           \
    SECRET(name, "replicated", "hmac-empty/16", BIT(BORN) | BIT(SEALED) | BIT(RESTORED), MAC,      \
           "CKM_GENERIC_SECRET_KEY_GEN", "CKK_GENERIC_SECRET", "CKM_SHA256_HMAC")
#define EC(name, asks)                                                                             \
    {                                                                                              \
        {name, "site-only", "CKM_EC_KEY_PAIR_GEN", "spki-sha256", PAIR, 0}, SIGNER, "CKK_EC",      \
            "CKM_ECDSA", asks                                                                      \
    }
#define RSA(name, generation, profiles, role)                                                      \
    {                                                                                              \
        {name, "site-only", generation, "spki-sha256", profiles, 0}, role, "CKK_RSA",              \
            "CKM_RSA_PKCS_OAEP", false                                                             \
    }
    HMAC("tpk-hmac-sha256-site-only-v1", "CKM_SHA256_HMAC"),
    HMAC("tpk-hmac-sha1-site-only-v1", "CKM_SHA_1_HMAC"),
    REPLICATED("tpk-hmac-sha256-replicated-v1"),
    HMAC("kek-hmac-sha256-v1", "CKM_SHA256_HMAC"),
    REPLICATED("kek-hmac-sha256-replicated-v1"),
    SECRET("kek-aes-256-gcm-v1", "site-only", "aes-256-gcm-block", BIT(SITE_ONLY), CIPHER,
           "CKM_AES_KEY_GEN", "CKK_AES", "CKM_AES_GCM"),
    REPLICATED("canary-v1"),
    EC("audit-ecdsa-p256-v1", false),
    EC("ceremony-ecdsa-p256-v1", true),
    EC("tls-ecdsa-p256-v1", false),
    RSA("envelope-rsa-3072-v1", "CKM_RSA_PKCS_KEY_PAIR_GEN", PAIR, OPENER),
    RSA("transport-rsa-3072-unwrap-v1", "CKM_RSA_PKCS_KEY_PAIR_GEN", PAIR, UNWRAPPER),
    RSA("transport-public-wrap-v1", NULL, BIT(TRUSTED), WRAPPER),
    {{"escrow-rsa-3072-v1", "escrowed", NULL, "spki-sha256", BIT(VISITING), 0},
     UNWRAPPER,
     "CKK_RSA",
     "CKM_RSA_PKCS_OAEP",
     false},
#undef SECRET
#undef HMAC
#undef REPLICATED
#undef EC
#undef RSA
};

#define N_ROWS (sizeof rows / sizeof *rows)

const struct key_template *template_at(size_t i)
{
    return i < N_ROWS ? &rows[i].t : NULL;
}

enum tbs_err template_find(const char *name, const struct key_template **ret_template,
                           struct tbs_diag *diag)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strcmp(rows[i].t.name, name) == 0) {
            *ret_template = &rows[i].t;
            return TBS_OK;
        }
    }
    const struct key_template *of_tpm;
    for (size_t i = 0; (of_tpm = template_of_tpm_at(i)); i++) {
        if (strcmp(of_tpm->name, name) == 0) {
            *ret_template = of_tpm;
            return TBS_OK;
        }
    }
    return tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is no key template '%.60s'", name);
}

const char *template_stored_id(const struct key_template *template, const char *id)
{
    bool storage = template_is_of_tpm(template) && strncmp(template->name, "transport-", 10) == 0;
    return storage ? "token" : id;
}

const char *template_rule_of_model(const char *model)
{
    if (strstr(model, "SoftHSM"))
        return "softhsm";
    return strncmp(model, "SW ", 3) == 0 ? "swtpm" : NULL;
}

/* --- Attributes --- */

/* A column each for born, site-only, sealed, restored, private, public, visiting, trusted: T true,
 * F false,
 * - no such attribute or all the same, R by the template's role, ! what asks for a PIN. In lower
 * case: expected, but not given to the token, which has it from the born key. */
static const struct attribute {
    const char *name;
    char at[TEMPLATE_N_PROFILES + 1];
    bool computed;
} attributes[] = {
    {"CKA_TOKEN", "FTTTTTFT", false},
    {"CKA_PRIVATE", "TTtTTFTF", false},
    {"CKA_SENSITIVE", "TTtTT-T-", false},
    {"CKA_EXTRACTABLE", "TFFFF-F-", false},
    {"CKA_WRAP_WITH_TRUSTED", "T-t-----", false},
    {"CKA_TRUSTED", "ffff-f-T", false},
    {"CKA_SIGN", "RRrRR-R-", false},
    {"CKA_SIGN_RECOVER", "----F-F-", false},
    {"CKA_VERIFY", "RRrR-R-R", false},
    {"CKA_VERIFY_RECOVER", "-----F-F", false},
    {"CKA_ENCRYPT", "RRrR-F-F", false},
    {"CKA_DECRYPT", "RRrRR-R-", false},
    {"CKA_WRAP", "FFfF-F-R", false},
    {"CKA_UNWRAP", "FFfFR-R-", false},
    {"CKA_DERIVE", "FFfFF-F-", false},
    {"CKA_ALWAYS_AUTHENTICATE", "----!-!-", false},
    {"CKA_COPYABLE", "TF-FFFFF", false},
    {"CKA_DESTROYABLE", "TTtTTTTT", false},
    {"CKA_MODIFIABLE", "TFFFFFFF", false}, /* last of what is given */
    {"CKA_LOCAL", "tttfttff", true},
    {"CKA_ALWAYS_SENSITIVE", "tttft-f-", true},
    {"CKA_NEVER_EXTRACTABLE", "ftfft-f-", true},
};

#define N_ATTRIBUTES (sizeof attributes / sizeof *attributes)

static const char *class_of(enum template_profile profile)
{
    if (profile == TEMPLATE_PRIVATE || profile == TEMPLATE_VISITING)
        return "CKO_PRIVATE_KEY";
    return profile == TEMPLATE_PUBLIC || profile == TEMPLATE_TRUSTED ? "CKO_PUBLIC_KEY"
                                                                     : "CKO_SECRET_KEY";
}

const char *template_class(const struct key_template *template, enum template_profile profile)
{
    return template_is_of_tpm(template) ? template_of_tpm_type(template) : class_of(profile);
}

static bool is_for(enum role role, const char *usage)
{
    static const char *const uses[][3] = {
        [MAC] = {"CKA_SIGN", "CKA_VERIFY"},    [CIPHER] = {"CKA_ENCRYPT", "CKA_DECRYPT"},
        [SIGNER] = {"CKA_SIGN", "CKA_VERIFY"}, [OPENER] = {"CKA_DECRYPT"},
        [UNWRAPPER] = {"CKA_UNWRAP"},          [WRAPPER] = {"CKA_WRAP"},
    };
    for (size_t i = 0; i < 3 && uses[role][i]; i++) {
        if (strcmp(uses[role][i], usage) == 0)
            return true;
    }
    return false;
}

static bool value_at(const struct row *row, const struct attribute *a, char mark)
{
    if (mark == 'R' || mark == 'r')
        return is_for(row->role, a->name);
    return mark == '!' ? row->asks_for_pin : mark == 'T' || mark == 't';
}

/* What a restored key is bound to by the key that unwraps it. The token wants to hear all of it
 * again, or adds it, as its maker understood the standard. */
static json_t *unwrap_template(void)
{
    const struct key_template *canary;
    json_t *given = NULL;
    if (template_find("canary-v1", &canary, NULL) != TBS_OK ||
        template_given(canary, TEMPLATE_RESTORED, &given, NULL) != TBS_OK)
        return NULL;
    json_object_del(given, "CKA_TOKEN");
    json_object_del(given, "CKA_DESTROYABLE");
    return given;
}

/* Only what was made in that token, was never readable, and does not derive. */
static json_t *wrap_template(void)
{
    return json_pack("{s:b, s:b, s:b, s:s, s:b}", "CKA_LOCAL", 1, "CKA_ALWAYS_SENSITIVE", 1,
                     "CKA_WRAP_WITH_TRUSTED", 1, "CKA_KEY_TYPE", "CKK_GENERIC_SECRET", "CKA_DERIVE",
                     0);
}

static int put_others(json_t *all, const struct row *row, enum template_profile profile)
{
    int failed = 0;
    if (profile != TEMPLATE_PUBLIC)
        failed |=
            json_object_set_new(all, "CKA_ALLOWED_MECHANISMS", json_pack("[s]", row->mechanism));
    if (row->role == UNWRAPPER && profile != TEMPLATE_PUBLIC)
        failed |= json_object_set_new(all, "CKA_UNWRAP_TEMPLATE", unwrap_template());
    if (row->role == WRAPPER)
        failed |= json_object_set_new(all, "CKA_WRAP_TEMPLATE", wrap_template());
    return failed;
}

static json_t *build(const struct row *row, enum template_profile profile, bool given)
{
    bool copied = given && profile == TEMPLATE_SEALED;
    json_t *all = json_object();
    int failed = 0;
    if (!copied) {
        failed |= json_object_set_new(all, "CKA_CLASS", json_string(class_of(profile)));
        failed |= json_object_set_new(all, "CKA_KEY_TYPE", json_string(row->type));
        failed |= put_others(all, row, profile);
    }
    for (size_t i = 0; i < N_ATTRIBUTES; i++) {
        const struct attribute *a = &attributes[i];
        char mark = a->at[profile];
        bool told = mark >= 'a' && mark <= 'z';
        if (mark == '-' || (given && (told || a->computed)))
            continue;
        failed |= json_object_set_new(all, a->name, json_boolean(value_at(row, a, mark)));
    }
    if (failed == 0)
        return all;
    json_decref(all);
    return NULL;
}

static enum tbs_err attributes_of(const struct key_template *template,
                                  enum template_profile profile, bool given, json_t **ret,
                                  struct tbs_diag *diag)
{
    const struct row *row = (const struct row *)template; /* unless it is of a TPM */
    if (profile >= TEMPLATE_N_PROFILES || (template->profiles & 1u << profile) == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a key of template %s is never '%s'", template->name,
                        profile < TEMPLATE_N_PROFILES ? profile_names[profile] : "?");
    json_t *all = template_is_of_tpm(template) ? template_of_tpm_expected(template, profile)
                                               : build(row, profile, given);
    if (!all)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for key template %s", template->name);
    *ret = all;
    return TBS_OK;
}

enum tbs_err template_given(const struct key_template *template, enum template_profile profile,
                            json_t **ret_attributes, struct tbs_diag *diag)
{
    return attributes_of(template, profile, true, ret_attributes, diag);
}

enum tbs_err template_expected(const struct key_template *template, enum template_profile profile,
                               json_t **ret_attributes, struct tbs_diag *diag)
{
    return attributes_of(template, profile, false, ret_attributes, diag);
}
