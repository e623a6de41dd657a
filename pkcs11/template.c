/* What a key of ours looks like: one table serves as the template it is generated with and as
 * the judgement of what the token says it holds. Nothing is left to a token's defaults, and an
 * attribute that a token does not tell counts as wrong.
 *
 * CKA_MODIFIABLE=false is what keeps the usage flags as they are; the computed attributes keep
 * out keys that were ever outside, such as a known value planted with C_CreateObject. */
#include "call.h"

#include <stdio.h>
#include <string.h>

enum when { GIVEN, COMPUTED };

struct flag {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
    enum when when;
    bool hmac, aes; /* its value in HMAC keys and in AES keys */
};

static const struct flag flags[] = {
#define FLAG(type, when, hmac, aes)                                                                \
    {                                                                                              \
        type, #type, when, hmac, aes                                                               \
    }
    FLAG(CKA_TOKEN, GIVEN, true, true),
    FLAG(CKA_PRIVATE, GIVEN, true, true),
    FLAG(CKA_SENSITIVE, GIVEN, true, true),
    FLAG(CKA_EXTRACTABLE, GIVEN, false, false),
    FLAG(CKA_COPYABLE, GIVEN, false, false),
    FLAG(CKA_DESTROYABLE, GIVEN, true, true),
    FLAG(CKA_SIGN, GIVEN, true, false),
    FLAG(CKA_VERIFY, GIVEN, true, false),
    FLAG(CKA_ENCRYPT, GIVEN, false, true),
    FLAG(CKA_DECRYPT, GIVEN, false, true),
    FLAG(CKA_WRAP, GIVEN, false, false),
    FLAG(CKA_UNWRAP, GIVEN, false, false),
    FLAG(CKA_DERIVE, GIVEN, false, false),
    /* Last: some tokens refuse what follows it. */
    FLAG(CKA_MODIFIABLE, GIVEN, false, false),
    FLAG(CKA_LOCAL, COMPUTED, true, true),
    FLAG(CKA_ALWAYS_SENSITIVE, COMPUTED, true, true),
    FLAG(CKA_NEVER_EXTRACTABLE, COMPUTED, true, true),
#undef FLAG
};

#define N_FLAGS (sizeof flags / sizeof *flags)
#define KEY_OCTETS 32

static const struct algorithm {
    enum custody_alg alg;
    CK_KEY_TYPE type;
    CK_MECHANISM_TYPE mechanism, generation;
} algorithms[] = {
    {CUSTODY_HMAC_SHA_1, CKK_GENERIC_SECRET, CKM_SHA_1_HMAC, CKM_GENERIC_SECRET_KEY_GEN},
    {CUSTODY_HMAC_SHA_256, CKK_GENERIC_SECRET, CKM_SHA256_HMAC, CKM_GENERIC_SECRET_KEY_GEN},
    {CUSTODY_AES_256_GCM, CKK_AES, CKM_AES_GCM, CKM_AES_KEY_GEN},
};

#define N_ALGORITHMS (sizeof algorithms / sizeof *algorithms)

/* --- Generation --- */

CK_RV p11_generate(struct p11_token *token, CK_SESSION_HANDLE session, enum custody_alg alg,
                   const char *id, const char *label, CK_OBJECT_HANDLE *ret_object)
{
    static CK_BBOOL values[] = {CK_FALSE, CK_TRUE};
    struct algorithm a = algorithms[alg];
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ULONG value_len = KEY_OCTETS;
    CK_ATTRIBUTE template[6 + N_FLAGS] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_KEY_TYPE, &a.type, sizeof a.type},
        {CKA_VALUE_LEN, &value_len, sizeof value_len},
        {CKA_ALLOWED_MECHANISMS, &a.mechanism, sizeof a.mechanism},
        {CKA_ID, (void *)id, strlen(id)},
        {CKA_LABEL, (void *)label, strlen(label)},
    };
    CK_ULONG n = 6;
    for (size_t i = 0; i < N_FLAGS; i++) {
        bool value = alg == CUSTODY_AES_256_GCM ? flags[i].aes : flags[i].hmac;
        if (flags[i].when == GIVEN)
            template[n++] = (CK_ATTRIBUTE){flags[i].type, &values[value], sizeof(CK_BBOOL)};
    }
    CK_MECHANISM mechanism = {a.generation, NULL, 0};
    return P11(token, C_GenerateKey, session, &mechanism, template, n, ret_object);
}

/* --- Judgement --- */

struct attributes {
    CK_BBOOL flags[N_FLAGS];
    CK_KEY_TYPE type;
    CK_ULONG value_len;
    CK_MECHANISM_TYPE mechanisms[8];
    CK_ULONG n_mechanisms;
    CK_BYTE label[CUSTODY_KEY_LABEL_MAX];
    CK_ULONG label_len;
    bool told[N_FLAGS], type_told, value_len_told;
};

static enum tbs_err read_attributes(struct p11_token *token, CK_OBJECT_HANDLE object,
                                    const char *id, struct attributes *ret, struct tbs_diag *diag)
{
    struct attributes a = {0};
    CK_ATTRIBUTE template[4 + N_FLAGS] = {
        {CKA_KEY_TYPE, &a.type, sizeof a.type},
        {CKA_VALUE_LEN, &a.value_len, sizeof a.value_len},
        {CKA_ALLOWED_MECHANISMS, a.mechanisms, sizeof a.mechanisms},
        {CKA_LABEL, a.label, sizeof a.label},
    };
    for (size_t i = 0; i < N_FLAGS; i++)
        template[4 + i] = (CK_ATTRIBUTE){flags[i].type, &a.flags[i], sizeof a.flags[i]};
    CK_RV rv = P11(token, C_GetAttributeValue, token->holder, object, template, 4 + N_FLAGS);
    /* These three concern single attributes, whose lengths then say "unavailable". */
    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE &&
        rv != CKR_BUFFER_TOO_SMALL)
        return p11_fail(diag, rv, "reading the attributes of %s", id);

    a.type_told = template[0].ulValueLen == sizeof a.type;
    a.value_len_told = template[1].ulValueLen == sizeof a.value_len;
    if (template[2].ulValueLen <= sizeof a.mechanisms)
        a.n_mechanisms = template[2].ulValueLen / sizeof *a.mechanisms;
    if (template[3].ulValueLen <= sizeof a.label)
        a.label_len = template[3].ulValueLen;
    for (size_t i = 0; i < N_FLAGS; i++)
        a.told[i] = template[4 + i].ulValueLen == sizeof a.flags[i];
    *ret = a;
    return TBS_OK;
}

static const struct algorithm *find_algorithm(const struct attributes *a)
{
    if (!a->type_told || a->n_mechanisms != 1)
        return NULL;
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        if (algorithms[i].type == a->type && algorithms[i].mechanism == a->mechanisms[0])
            return &algorithms[i];
    }
    return NULL;
}

static enum tbs_err judge_flags(const struct attributes *a, enum custody_alg alg, const char *id,
                                struct tbs_diag *diag)
{
    for (size_t i = 0; i < N_FLAGS; i++) {
        bool want = alg == CUSTODY_AES_256_GCM ? flags[i].aes : flags[i].hmac;
        if (!a->told[i])
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "key %s is not used: the token does not tell its %s", id,
                            flags[i].name);
        if ((a->flags[i] != CK_FALSE) != want)
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "key %s is not used: its %s is %s and must be %s; destroy it and "
                            "generate another",
                            id, flags[i].name, want ? "false" : "true", want ? "true" : "false");
    }
    return TBS_OK;
}

enum tbs_err p11_judge_key(struct p11_token *token, CK_OBJECT_HANDLE object, const char *id,
                           enum custody_role role, struct custody_key *ret_key,
                           struct tbs_diag *diag)
{
    struct attributes a;
    enum tbs_err err = read_attributes(token, object, id, &a, diag);
    if (err != TBS_OK)
        return err;
    const struct algorithm *algorithm = find_algorithm(&a);
    if (!algorithm || !custody_role_takes(role, algorithm->alg))
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "key %s is not used: its CKA_KEY_TYPE and CKA_ALLOWED_MECHANISMS are not "
                        "those of a %s (%s, one mechanism)",
                        id, role == CUSTODY_ROLE_TPK ? "TPK" : "KEK",
                        role == CUSTODY_ROLE_TPK ? "HMAC-SHA-1 or HMAC-SHA-256"
                                                 : "AES-GCM or HMAC-SHA-256");
    if (!a.value_len_told || a.value_len != KEY_OCTETS)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "key %s is not used: it has not %d octets, or the token does not tell", id,
                        KEY_OCTETS);
    err = judge_flags(&a, algorithm->alg, id, diag);
    if (err != TBS_OK)
        return err;

    struct custody_key key = {
        .role = role,
        .alg = algorithm->alg,
        /* judge_flags has seen these four to be so. */
        .sensitive = true,
        .always_sensitive = true,
        .never_extractable = true,
        .local = true,
        .handle = object,
    };
    snprintf(key.id, sizeof key.id, "%s", id);
    p11_copy_field(a.label, a.label_len, key.label, sizeof key.label);
    *ret_key = key;
    return TBS_OK;
}
