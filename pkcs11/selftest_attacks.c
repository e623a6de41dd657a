/* What a token must refuse to somebody who has its PIN: each a real call on throw-away keys.
 *
 * The functions are called directly, since the service never makes these calls and has no
 * statistics for them. */
#include "selftest_checks.h"

#define WRAPPED_MAX 512

/* --- The keys --- */

static CK_FUNCTION_LIST *functions(const struct checks *c)
{
    return c->trial.token->f;
}

/* The TPK that is attacked: one as ours, or, where the token makes none such, a plain one, so
 * that the operator learns how the token is all the same. */
static CK_OBJECT_HANDLE victim(struct checks *c)
{
    struct trial_template t;
    struct custody_key *key = &c->key[CUSTODY_HMAC_SHA_256];
    if (c->has[CUSTODY_HMAC_SHA_256] || key->handle != CK_INVALID_HANDLE)
        return key->handle;
    CK_OBJECT_HANDLE object;
    trial_template_tpk(&t, true);
    if (trial_make(&c->trial, CKM_GENERIC_SECRET_KEY_GEN, &t, &object) == CKR_OK)
        key->handle = object;
    return key->handle;
}

/* False, and the finding is filled in, where there is no key to attack. */
static bool has_victim(struct checks *c, struct selftest_finding *f)
{
    if (victim(c) != CK_INVALID_HANDLE)
        return true;
    selftest_says(f, SELFTEST_CANNOT, NULL,
                  "not tried: the token makes no key that could be attacked");
    return false;
}

static CK_RV attackers_key(const struct checks *c, bool known, CK_OBJECT_HANDLE *ret_object)
{
    static const uint8_t value[32] = "what the attacker knows as well";
    struct trial_template t;
    trial_template(&t, CKK_AES);
    trial_flag(&t, CKA_TOKEN, false);
    trial_flag(&t, CKA_ENCRYPT, true);
    trial_flag(&t, CKA_DECRYPT, true);
    trial_flag(&t, CKA_WRAP, true);
    trial_flag(&t, CKA_UNWRAP, true);
    if (!known)
        return trial_make(&c->trial, CKM_AES_KEY_GEN, &t, ret_object);
    trial_octets(&t, CKA_VALUE, value, sizeof value);
    return functions(c)->C_CreateObject(c->trial.session, t.list, t.n, ret_object);
}

CK_RV check_attackers_key(const struct checks *c, CK_OBJECT_HANDLE *ret_object)
{
    CK_RV rv = attackers_key(c, true, ret_object);
    return rv == CKR_OK ? rv : attackers_key(c, false, ret_object);
}

/* --- Taking a key out --- */

static void read_value(struct checks *c, struct selftest_finding *f)
{
    const CK_OBJECT_HANDLE keys[] = {victim(c), c->key[CUSTODY_AES_256_GCM].handle};
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    for (size_t i = 0; i < 2 && keys[i] != CK_INVALID_HANDLE; i++) {
        CK_BYTE value[64];
        CK_ATTRIBUTE attribute = {CKA_VALUE, value, sizeof value};
        CK_RV rv = functions(c)->C_GetAttributeValue(c->trial.session, keys[i], &attribute, 1);
        /* Some answer "OK" and give nothing. */
        if (rv == CKR_OK && attribute.ulValueLen == 0)
            rv = CKR_ATTRIBUTE_SENSITIVE;
        check_attempt(&a, "C_GetAttributeValue gives CKA_VALUE", rv);
    }
    check_conclude(&a, f, "anybody who is logged in can read the keys");
}

static const struct wrapping {
    const char *name;
    CK_MECHANISM_TYPE type;
    CK_ULONG iv_len;
} wrappings[] = {
    {"C_WrapKey with CKM_AES_KEY_WRAP", CKM_AES_KEY_WRAP, 0},
    {"C_WrapKey with CKM_AES_KEY_WRAP_PAD", CKM_AES_KEY_WRAP_PAD, 0},
    {"C_WrapKey with CKM_AES_KEY_WRAP_KWP", 0x210bUL, 0},
    {"C_WrapKey with CKM_AES_CBC", CKM_AES_CBC, 16},
    {"C_WrapKey with CKM_AES_CBC_PAD", CKM_AES_CBC_PAD, 16},
    {"C_WrapKey with CKM_AES_ECB", CKM_AES_ECB, 0},
    {"C_WrapKey with CKM_AES_CTR", CKM_AES_CTR, 0},
    {"C_WrapKey with CKM_AES_GCM", CKM_AES_GCM, 0},
};

#define N_WRAPPINGS (sizeof wrappings / sizeof *wrappings)

static CK_RV wrap(const struct checks *c, const struct wrapping *w, CK_OBJECT_HANDLE with,
                  CK_OBJECT_HANDLE key, CK_BYTE out[WRAPPED_MAX], CK_ULONG *ret_len)
{
    CK_BYTE iv[16] = {0};
    CK_AES_CTR_PARAMS ctr = {.counter_bits = 128};
    CK_GCM_PARAMS gcm = {.iv_ptr = iv, .iv_len = 12, .iv_bits = 96, .tag_bits = 128};
    CK_MECHANISM mechanism = {w->type, w->iv_len > 0 ? iv : NULL, w->iv_len};
    if (w->type == CKM_AES_CTR)
        mechanism = (CK_MECHANISM){w->type, &ctr, sizeof ctr};
    if (w->type == CKM_AES_GCM)
        mechanism = (CK_MECHANISM){w->type, &gcm, sizeof gcm};
    *ret_len = WRAPPED_MAX;
    return functions(c)->C_WrapKey(c->trial.session, &mechanism, with, key, out, ret_len);
}

static void wrap_out(struct checks *c, struct selftest_finding *f)
{
    const CK_OBJECT_HANDLE keys[] = {victim(c), c->key[CUSTODY_AES_256_GCM].handle};
    struct check_attempts a = {0};
    CK_OBJECT_HANDLE with;
    CK_BYTE out[WRAPPED_MAX];
    CK_ULONG len;
    if (!has_victim(c, f))
        return;
    CK_RV rv = check_attackers_key(c, &with);
    if (rv != CKR_OK) {
        selftest_says(f, SELFTEST_REFUSED, NULL, "the token makes no key that could wrap: %s",
                      p11_rv_name(rv));
        return;
    }
    for (size_t k = 0; k < 2 && keys[k] != CK_INVALID_HANDLE; k++)
        for (size_t i = 0; i < N_WRAPPINGS; i++)
            check_attempt(&a, wrappings[i].name, wrap(c, &wrappings[i], with, keys[k], out, &len));
    check_conclude(
        &a, f,
        "the token wraps keys that are not extractable, under a key that the attacker knows");
}

/* --- Copies --- */

static CK_RV copy(const struct checks *c, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, bool value)
{
    CK_BBOOL flag = value;
    CK_ATTRIBUTE change = {type, &flag, sizeof flag};
    CK_OBJECT_HANDLE twin;
    return functions(c)->C_CopyObject(c->trial.session, key, &change, type ? 1 : 0, &twin);
}

static void copy_extractable(struct checks *c, struct selftest_finding *f)
{
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    check_attempt(&a, "C_CopyObject with CKA_EXTRACTABLE",
                  copy(c, victim(c), CKA_EXTRACTABLE, true));
    check_attempt(&a, "C_CopyObject without CKA_SENSITIVE",
                  copy(c, victim(c), CKA_SENSITIVE, false));
    check_conclude(&a, f, "a copy can be taken out of the token");
}

static void copy_other_use(struct checks *c, struct selftest_finding *f)
{
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    check_attempt(&a, "C_CopyObject with CKA_DERIVE", copy(c, victim(c), CKA_DERIVE, true));
    check_attempt(&a, "C_CopyObject with CKA_ENCRYPT", copy(c, victim(c), CKA_ENCRYPT, true));
    check_attempt(&a, "C_CopyObject with CKA_WRAP", copy(c, victim(c), CKA_WRAP, true));
    check_attempt(&a, "C_CopyObject with CKA_MODIFIABLE", copy(c, victim(c), CKA_MODIFIABLE, true));
    check_conclude(&a, f, "a copy can be used for more than the key");
}

static void copy_ghost(struct checks *c, struct selftest_finding *f)
{
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    check_attempt(&a, "C_CopyObject of the key as it is", copy(c, victim(c), 0, false));
    check_attempt(&a, "C_CopyObject for the session", copy(c, victim(c), CKA_TOKEN, false));
    check_conclude(&a, f, "a copy outlives the destruction of the key");
}

/* --- Changes --- */

static CK_RV change(const struct checks *c, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type,
                    bool value)
{
    CK_BBOOL flag = value, told = !value;
    CK_ATTRIBUTE want = {type, &flag, sizeof flag}, got = {type, &told, sizeof told};
    CK_RV rv = functions(c)->C_SetAttributeValue(c->trial.session, key, &want, 1);
    if (rv != CKR_OK)
        return rv;
    rv = functions(c)->C_GetAttributeValue(c->trial.session, key, &got, 1);
    return rv == CKR_OK && told != flag ? CKR_ATTRIBUTE_READ_ONLY : rv; /* heard, not heeded */
}

static void set_extractable(struct checks *c, struct selftest_finding *f)
{
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    check_attempt(&a, "C_SetAttributeValue of CKA_EXTRACTABLE",
                  change(c, victim(c), CKA_EXTRACTABLE, true));
    check_attempt(&a, "C_SetAttributeValue of CKA_SENSITIVE",
                  change(c, victim(c), CKA_SENSITIVE, false));
    check_conclude(&a, f, "a key that was safe can be made one that is not");
}

static void set_other_use(struct checks *c, struct selftest_finding *f)
{
    CK_OBJECT_HANDLE kek = c->key[CUSTODY_AES_256_GCM].handle;
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    check_attempt(&a, "C_SetAttributeValue of CKA_DERIVE", change(c, victim(c), CKA_DERIVE, true));
    check_attempt(&a, "C_SetAttributeValue of CKA_ENCRYPT",
                  change(c, victim(c), CKA_ENCRYPT, true));
    check_attempt(&a, "C_SetAttributeValue of CKA_WRAP", change(c, victim(c), CKA_WRAP, true));
    check_attempt(&a, "C_SetAttributeValue of CKA_MODIFIABLE",
                  change(c, victim(c), CKA_MODIFIABLE, true));
    if (kek != CK_INVALID_HANDLE) {
        check_attempt(&a, "C_SetAttributeValue of CKA_WRAP of a KEK",
                      change(c, kek, CKA_WRAP, true));
        check_attempt(&a, "C_SetAttributeValue of CKA_SIGN of a KEK",
                      change(c, kek, CKA_SIGN, true));
    }
    check_conclude(&a, f, "a key can be given another use than it was made for");
}

/* --- Other uses --- */

static CK_RV derive(const struct checks *c, CK_OBJECT_HANDLE base, CK_MECHANISM mechanism)
{
    struct trial_template t;
    CK_OBJECT_HANDLE child;
    trial_template(&t, CKK_GENERIC_SECRET);
    t.len = 16;
    trial_flag(&t, CKA_TOKEN, false);
    trial_flag(&t, CKA_SENSITIVE, false);
    trial_flag(&t, CKA_EXTRACTABLE, true);
    trial_octets(&t, CKA_VALUE_LEN, &t.len, sizeof t.len);
    return functions(c)->C_DeriveKey(c->trial.session, &mechanism, base, t.list, t.n, &child);
}

static void derive_from(struct checks *c, struct selftest_finding *f)
{
    CK_OBJECT_HANDLE kek = c->key[CUSTODY_AES_256_GCM].handle;
    CK_BYTE block[16] = {0};
    CK_KEY_DERIVATION_STRING_DATA data = {block, sizeof block};
    CK_ULONG bit = 0;
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    const struct {
        const char *how;
        CK_OBJECT_HANDLE base;
        CK_MECHANISM mechanism;
    } ways[] = {
        {"C_DeriveKey with CKM_CONCATENATE_BASE_AND_DATA",
         victim(c),
         {CKM_CONCATENATE_BASE_AND_DATA, &data, sizeof data}},
        {"C_DeriveKey with CKM_CONCATENATE_DATA_AND_BASE",
         victim(c),
         {CKM_CONCATENATE_DATA_AND_BASE, &data, sizeof data}},
        {"C_DeriveKey with CKM_XOR_BASE_AND_DATA",
         victim(c),
         {CKM_XOR_BASE_AND_DATA, &data, sizeof data}},
        {"C_DeriveKey with CKM_EXTRACT_KEY_FROM_KEY",
         victim(c),
         {CKM_EXTRACT_KEY_FROM_KEY, &bit, sizeof bit}},
        {"C_DeriveKey with CKM_SHA256_KEY_DERIVATION",
         victim(c),
         {CKM_SHA256_KEY_DERIVATION, NULL, 0}},
        {"C_DeriveKey with CKM_AES_ECB_ENCRYPT_DATA",
         kek,
         {CKM_AES_ECB_ENCRYPT_DATA, &data, sizeof data}},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (ways[i].base != CK_INVALID_HANDLE)
            check_attempt(&a, ways[i].how, derive(c, ways[i].base, ways[i].mechanism));
    check_conclude(&a, f, "what was derived can be read, and parts of the key with it");
}

/* A new session for each, since an operation that begins stays active. */
static CK_RV in_new_session(const struct checks *c, CK_OBJECT_HANDLE key, CK_MECHANISM mechanism,
                            CK_RV (*begin)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE))
{
    CK_SESSION_HANDLE session;
    struct tbs_diag diag = {0};
    if (p11_open_handle(c->trial.token, false, &session, &diag) != TBS_OK)
        return diag.raw;
    CK_RV rv = begin(session, &mechanism, key);
    functions(c)->C_CloseSession(session);
    return rv;
}

static CK_MECHANISM plain(CK_MECHANISM_TYPE type)
{
    return (CK_MECHANISM){type, NULL, 0};
}

static void other_use(struct checks *c, struct selftest_finding *f)
{
    const CK_FUNCTION_LIST *p = functions(c);
    CK_OBJECT_HANDLE kek = c->key[CUSTODY_AES_256_GCM].handle, tpk = victim(c);
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    check_attempt(&a, "C_EncryptInit with a TPK",
                  in_new_session(c, tpk, plain(CKM_AES_ECB), p->C_EncryptInit));
    check_attempt(&a, "C_DecryptInit with a TPK",
                  in_new_session(c, tpk, plain(CKM_AES_ECB), p->C_DecryptInit));
    if (kek != CK_INVALID_HANDLE) {
        check_attempt(&a, "C_SignInit with a KEK and CKM_AES_CMAC",
                      in_new_session(c, kek, plain(CKM_AES_CMAC), p->C_SignInit));
        check_attempt(&a, "C_SignInit with a KEK and CKM_SHA256_HMAC",
                      in_new_session(c, kek, plain(CKM_SHA256_HMAC), p->C_SignInit));
    }
    check_conclude(&a, f, "the use that a key was made for is not enforced");
}

/* Each of them harmless by itself, and a reason to look closer. */
static void other_mechanism(struct checks *c, struct selftest_finding *f)
{
    const CK_FUNCTION_LIST *p = functions(c);
    CK_OBJECT_HANDLE kek = c->key[CUSTODY_AES_256_GCM].handle;
    struct check_attempts a = {0};
    if (!has_victim(c, f))
        return;
    check_attempt(&a, "a TPK does CKM_SHA_1_HMAC",
                  in_new_session(c, victim(c), plain(CKM_SHA_1_HMAC), p->C_SignInit));
    if (kek != CK_INVALID_HANDLE)
        check_attempt(&a, "a KEK does CKM_AES_ECB",
                      in_new_session(c, kek, plain(CKM_AES_ECB), p->C_DecryptInit));
    check_conclude(&a, f, "");
    if (a.passed)
        selftest_says(f, SELFTEST_REMARK,
                      "let nothing but the KMS use this token, so that no key is used in two ways",
                      "%s as well: the token does not enforce CKA_ALLOWED_MECHANISMS", a.passed);
}

/* A KEK that wraps and decrypts gives away whatever it wraps. */
static void wrap_with_kek(struct checks *c, struct selftest_finding *f)
{
    CK_OBJECT_HANDLE kek = c->key[CUSTODY_AES_256_GCM].handle, prey;
    struct check_attempts a = {0};
    CK_BYTE out[WRAPPED_MAX];
    CK_ULONG len;
    if (kek == CK_INVALID_HANDLE) {
        selftest_says(f, SELFTEST_REFUSED, NULL, "the token makes no AES key for a KEK");
        return;
    }
    CK_RV rv = check_attackers_key(c, &prey);
    if (rv != CKR_OK) {
        selftest_says(f, SELFTEST_REFUSED, NULL, "the token makes no key that could be wrapped: %s",
                      p11_rv_name(rv));
        return;
    }
    for (size_t i = 0; i < N_WRAPPINGS; i++)
        check_attempt(&a, wrappings[i].name, wrap(c, &wrappings[i], kek, prey, out, &len));
    check_conclude(&a, f, "a KEK wraps keys, and so can open them for the attacker");
}

/* --- Reported only --- */

static void digest(struct checks *c, struct selftest_finding *f)
{
    CK_SESSION_HANDLE session;
    struct tbs_diag diag = {0};
    CK_MECHANISM mechanism = plain(CKM_SHA256);
    if (!has_victim(c, f))
        return;
    if (p11_open_handle(c->trial.token, false, &session, &diag) != TBS_OK) {
        selftest_says(f, SELFTEST_UNFIT, NULL, "%s", diag.text);
        return;
    }
    CK_RV rv = functions(c)->C_DigestInit(session, &mechanism);
    if (rv == CKR_OK)
        rv = functions(c)->C_DigestKey(session, victim(c));
    functions(c)->C_CloseSession(session);
    if (rv == CKR_OK)
        selftest_says(
            f, SELFTEST_REMARK,
            "nothing, while keys are made in the token: 256 random bits are not guessed",
            "C_DigestKey gives the hash of a sensitive key, with which a guess of the key "
            "could be confirmed");
    else
        selftest_says(f, SELFTEST_REFUSED, NULL, "%s", p11_rv_name(rv));
}

const struct check checks_attacks[] = {
    {"read a key", read_value},
    {"wrap a key out", wrap_out},
    {"copy a key, extractable", copy_extractable},
    {"copy a key, other use", copy_other_use},
    {"copy a key, to keep it", copy_ghost},
    {"make a key extractable", set_extractable},
    {"change a key's use", set_other_use},
    {"derive from a key", derive_from},
    {"use a key otherwise", other_use},
    {"use another mechanism", other_mechanism},
    {"wrap with a KEK", wrap_with_kek},
    {"hash a key", digest},
    {0},
};
