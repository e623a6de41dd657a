/* What a key of ours looks like: one table serves as the template it is generated with and as
 * the judgement of what the token says it holds. Nothing is left to a token's defaults, and an
 * attribute that a token does not tell counts as wrong, unless a quirk of the configuration
 * excuses it; then the key says so.
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
    bool hmac, aes;        /* its value in HMAC keys and in AES keys */
    enum p11_quirk excuse; /* the quirk of a token without it; P11_N_QUIRKS: none */
};

static const struct flag flags[] = {
#define FLAG(type, when, hmac, aes)                                                                \
    {                                                                                              \
        type, #type, when, hmac, aes, P11_N_QUIRKS                                                 \
    }
#define FLAG_OR(type, when, hmac, aes, excuse)                                                     \
    {                                                                                              \
        type, #type, when, hmac, aes, excuse                                                       \
    }
    FLAG(CKA_TOKEN, GIVEN, true, true),
    FLAG(CKA_PRIVATE, GIVEN, true, true),
    FLAG(CKA_SENSITIVE, GIVEN, true, true),
    FLAG(CKA_EXTRACTABLE, GIVEN, false, false),
    FLAG_OR(CKA_COPYABLE, GIVEN, false, false, P11_NO_COPYABLE),
    FLAG_OR(CKA_DESTROYABLE, GIVEN, true, true, P11_NO_DESTROYABLE),
    FLAG(CKA_SIGN, GIVEN, true, false),
    FLAG(CKA_VERIFY, GIVEN, true, false),
    FLAG(CKA_ENCRYPT, GIVEN, false, true),
    FLAG(CKA_DECRYPT, GIVEN, false, true),
    FLAG(CKA_WRAP, GIVEN, false, false),
    FLAG(CKA_UNWRAP, GIVEN, false, false),
    FLAG(CKA_DERIVE, GIVEN, false, false),
    /* Last: some tokens refuse what follows it. */
    FLAG(CKA_MODIFIABLE, GIVEN, false, false),
    FLAG_OR(CKA_LOCAL, COMPUTED, true, true, P11_NO_LOCAL),
    FLAG(CKA_ALWAYS_SENSITIVE, COMPUTED, true, true),
    FLAG(CKA_NEVER_EXTRACTABLE, COMPUTED, true, true),
#undef FLAG
#undef FLAG_OR
};

#define N_FLAGS (sizeof flags / sizeof *flags)
#define KEY_OCTETS 32

static const struct algorithm {
    enum custody_alg alg;
    CK_KEY_TYPE type, hash_type; /* hash_type: see quirk key-type-hmac */
    CK_ULONG hash_octets;
    CK_MECHANISM_TYPE mechanism, generation;
} algorithms[] = {
    {CUSTODY_HMAC_SHA_1, CKK_GENERIC_SECRET, CKK_SHA_1_HMAC, 20, CKM_SHA_1_HMAC,
     CKM_GENERIC_SECRET_KEY_GEN},
    {CUSTODY_HMAC_SHA_256, CKK_GENERIC_SECRET, CKK_SHA256_HMAC, 32, CKM_SHA256_HMAC,
     CKM_GENERIC_SECRET_KEY_GEN},
    {CUSTODY_AES_256_GCM, CKK_AES, CKK_AES, KEY_OCTETS, CKM_AES_GCM, CKM_AES_KEY_GEN},
};

#define N_ALGORITHMS (sizeof algorithms / sizeof *algorithms)

/* Where the token binds no key to one mechanism, the id says which one is meant. */
static enum custody_alg algorithm_of_id(CK_KEY_TYPE type, const char *id)
{
    if (type == CKK_AES)
        return CUSTODY_AES_256_GCM;
    return strncmp(id, "tpk-sha1-", 9) == 0 ? CUSTODY_HMAC_SHA_1 : CUSTODY_HMAC_SHA_256;
}

/* --- Generation --- */

enum tbs_err p11_check_id(const struct p11_token *token, enum custody_alg alg, const char *id,
                          struct tbs_diag *diag)
{
    if (!token->quirks.on[P11_NO_ALLOWED_MECHANISMS] ||
        algorithm_of_id(algorithms[alg].type, id) == alg)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_INVALID,
                    "with quirk %s a key's id says its algorithm: tpk-sha1-... is HMAC-SHA-1, any "
                    "other HMAC key HMAC-SHA-256; %s does not fit",
                    p11_quirk_name(P11_NO_ALLOWED_MECHANISMS), id);
}

static bool is_given(const struct p11_token *token, const struct flag *flag)
{
    return flag->when == GIVEN && (flag->excuse == P11_N_QUIRKS || !token->quirks.on[flag->excuse]);
}

CK_RV p11_generate(const struct p11_token *token, CK_SESSION_HANDLE session, enum custody_alg alg,
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
        {CKA_ID, (void *)id, strlen(id)},
        {CKA_LABEL, (void *)label, strlen(label)},
    };
    CK_ULONG n = 5;
    if (!token->quirks.on[P11_NO_ALLOWED_MECHANISMS])
        template[n++] = (CK_ATTRIBUTE){CKA_ALLOWED_MECHANISMS, &a.mechanism, sizeof a.mechanism};
    for (size_t i = 0; i < N_FLAGS; i++) {
        bool value = alg == CUSTODY_AES_256_GCM ? flags[i].aes : flags[i].hmac;
        if (is_given(token, &flags[i]))
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
    bool told[N_FLAGS], type_told, value_len_told, mechanisms_told;
};

/* Also true of what is longer than our buffer. */
static bool tells(struct p11_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    CK_ATTRIBUTE a = {type, NULL, 0};
    return P11(token, C_GetAttributeValue, token->holder, object, &a, 1) == CKR_OK &&
           a.ulValueLen != CK_UNAVAILABLE_INFORMATION;
}

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
    a.mechanisms_told = template[2].ulValueLen != CK_UNAVAILABLE_INFORMATION ||
                        tells(token, object, CKA_ALLOWED_MECHANISMS);
    if (template[2].ulValueLen <= sizeof a.mechanisms)
        a.n_mechanisms = template[2].ulValueLen / sizeof *a.mechanisms;
    if (template[3].ulValueLen <= sizeof a.label)
        a.label_len = template[3].ulValueLen;
    for (size_t i = 0; i < N_FLAGS; i++)
        a.told[i] = template[4 + i].ulValueLen == sizeof a.flags[i];
    *ret = a;
    return TBS_OK;
}

/* One key before its judge, and what the judgement finds. */
struct judgement {
    struct p11_token *token;
    struct attributes a;
    const struct algorithm *algorithm;
    struct custody_key key;
};

/* Whether the configuration excuses that the token falls short of this attribute. */
static bool excused(struct judgement *j, enum p11_quirk quirk, const char *attribute)
{
    if (quirk == P11_N_QUIRKS || !p11_excused(j->token, quirk))
        return false;
    size_t len = strlen(j->key.unverified);
    snprintf(j->key.unverified + len, sizeof j->key.unverified - len, "%s%s", len > 0 ? ", " : "",
             attribute);
    return true;
}

static enum tbs_err not_told(const struct judgement *j, const char *attribute, enum p11_quirk quirk,
                             struct tbs_diag *diag)
{
    if (quirk == P11_N_QUIRKS)
        return tbs_fail(diag, TBS_ERR_CONFIG, "key %s is not used: the token does not tell its %s",
                        j->key.id, attribute);
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s is not used: the token does not tell its %s; for a token that has no "
                    "such attribute there is quirk %s",
                    j->key.id, attribute, p11_quirk_name(quirk));
}

static enum tbs_err wrong_algorithm(const struct judgement *j, struct tbs_diag *diag)
{
    bool tpk = j->key.role == CUSTODY_ROLE_TPK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s is not used: its CKA_KEY_TYPE and CKA_ALLOWED_MECHANISMS are not "
                    "those of a %s (%s, one mechanism)",
                    j->key.id, tpk ? "TPK" : "KEK",
                    tpk ? "HMAC-SHA-1 or HMAC-SHA-256" : "AES-GCM or HMAC-SHA-256");
}

static enum tbs_err judge_algorithm(struct judgement *j, struct tbs_diag *diag)
{
    static const char allowed[] = "CKA_ALLOWED_MECHANISMS";
    const struct attributes *a = &j->a;
    CK_MECHANISM_TYPE mechanism = a->mechanisms[0];
    if (!a->mechanisms_told) {
        if (!excused(j, P11_NO_ALLOWED_MECHANISMS, allowed))
            return not_told(j, allowed, P11_NO_ALLOWED_MECHANISMS, diag);
        mechanism = algorithms[algorithm_of_id(a->type, j->key.id)].mechanism;
    } else if (a->n_mechanisms != 1) {
        return wrong_algorithm(j, diag);
    }
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        if (algorithms[i].mechanism == mechanism &&
            (algorithms[i].type == a->type || algorithms[i].hash_type == a->type))
            j->algorithm = &algorithms[i];
    }
    if (!j->algorithm || !a->type_told || !custody_role_takes(j->key.role, j->algorithm->alg))
        return wrong_algorithm(j, diag);
    j->key.alg = j->algorithm->alg;
    return TBS_OK;
}

static enum tbs_err judge_length(struct judgement *j, struct tbs_diag *diag)
{
    CK_ULONG octets = KEY_OCTETS;
    if (j->a.type != j->algorithm->type) {
        if (!p11_excused(j->token, P11_KEY_TYPE_HMAC))
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "key %s is not used: its CKA_KEY_TYPE is not CKK_GENERIC_SECRET but "
                            "that of its hash; for a token that makes HMAC keys so there is quirk "
                            "%s",
                            j->key.id, p11_quirk_name(P11_KEY_TYPE_HMAC));
        octets = j->algorithm->hash_octets;
    }
    if (j->a.value_len_told && j->a.value_len == octets)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s is not used: it has not %lu octets, or the token does not tell",
                    j->key.id, octets);
}

/* A wrong CKA_LOCAL is excused, too: its quirk is for tokens that never set it. */
static enum tbs_err judge_flag(struct judgement *j, size_t i, struct tbs_diag *diag)
{
    const struct flag *flag = &flags[i];
    bool want = j->algorithm->alg == CUSTODY_AES_256_GCM ? flag->aes : flag->hmac;
    if (j->a.told[i] && (j->a.flags[i] != CK_FALSE) == want)
        return TBS_OK;
    if ((!j->a.told[i] || flag->excuse == P11_NO_LOCAL) && excused(j, flag->excuse, flag->name))
        return TBS_OK;
    if (!j->a.told[i])
        return not_told(j, flag->name, flag->excuse, diag);
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s is not used: its %s is %s and must be %s; destroy it and generate "
                    "another%s",
                    j->key.id, flag->name, want ? "false" : "true", want ? "true" : "false",
                    flag->excuse == P11_NO_LOCAL ? ", or use quirk no-local if the token tells "
                                                   "this of every key"
                                                 : "");
}

static bool is_set(const struct attributes *a, CK_ATTRIBUTE_TYPE type)
{
    size_t i = 0;
    while (flags[i].type != type)
        i++;
    return a->told[i] && a->flags[i] != CK_FALSE;
}

enum tbs_err p11_judge_key(struct p11_token *token, CK_OBJECT_HANDLE object, const char *id,
                           enum custody_role role, struct custody_key *ret_key,
                           struct tbs_diag *diag)
{
    struct judgement j = {.token = token, .key = {.role = role, .handle = object}};
    snprintf(j.key.id, sizeof j.key.id, "%s", id);
    enum tbs_err err = read_attributes(token, object, id, &j.a, diag);
    if (err == TBS_OK)
        err = judge_algorithm(&j, diag);
    if (err == TBS_OK)
        err = judge_length(&j, diag);
    for (size_t i = 0; i < N_FLAGS && err == TBS_OK; i++)
        err = judge_flag(&j, i, diag);
    if (err != TBS_OK)
        return err;

    j.key.sensitive = is_set(&j.a, CKA_SENSITIVE);
    j.key.always_sensitive = is_set(&j.a, CKA_ALWAYS_SENSITIVE);
    j.key.never_extractable = is_set(&j.a, CKA_NEVER_EXTRACTABLE);
    j.key.local = is_set(&j.a, CKA_LOCAL);
    j.key.token_iv = j.key.alg == CUSTODY_AES_256_GCM && p11_excused(token, P11_TOKEN_IV);
    p11_copy_field(j.a.label, j.a.label_len, j.key.label, sizeof j.key.label);
    *ret_key = j.key;
    return TBS_OK;
}
