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
enum want { NO, YES, NONE }; /* NONE: keys of this kind have no such attribute */
enum kind { HMAC, AES, EC_PRIVATE, N_KINDS };

struct flag {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
    enum when when;
    enum want want[N_KINDS];
};

static const struct flag flags[] = {
#define FLAG(type, when, ...)                                                                      \
    {                                                                                              \
        type, #type, when,                                                                         \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
    FLAG(CKA_TOKEN, GIVEN, YES, YES, YES),
    FLAG(CKA_PRIVATE, GIVEN, YES, YES, YES),
    FLAG(CKA_SENSITIVE, GIVEN, YES, YES, YES),
    FLAG(CKA_EXTRACTABLE, GIVEN, NO, NO, NO),
    FLAG(CKA_COPYABLE, GIVEN, NO, NO, NO),
    FLAG(CKA_DESTROYABLE, GIVEN, YES, YES, YES),
    FLAG(CKA_SIGN, GIVEN, YES, NO, YES),
    FLAG(CKA_SIGN_RECOVER, GIVEN, NONE, NONE, NO),
    FLAG(CKA_VERIFY, GIVEN, YES, NO, NONE),
    FLAG(CKA_ENCRYPT, GIVEN, NO, YES, NONE),
    FLAG(CKA_DECRYPT, GIVEN, NO, YES, NO),
    FLAG(CKA_WRAP, GIVEN, NO, NO, NONE),
    FLAG(CKA_UNWRAP, GIVEN, NO, NO, NO),
    FLAG(CKA_DERIVE, GIVEN, NO, NO, NO),
    /* Last: some tokens refuse what follows it. */
    FLAG(CKA_MODIFIABLE, GIVEN, NO, NO, NO),
    FLAG(CKA_LOCAL, COMPUTED, YES, YES, YES),
    FLAG(CKA_ALWAYS_SENSITIVE, COMPUTED, YES, YES, YES),
    FLAG(CKA_NEVER_EXTRACTABLE, COMPUTED, YES, YES, YES),
#undef FLAG
};

#define N_FLAGS (sizeof flags / sizeof *flags)
#define KEY_OCTETS 32

static const struct algorithm {
    enum custody_alg alg;
    enum kind kind;
    CK_KEY_TYPE type;
    CK_MECHANISM_TYPE mechanism, generation;
} algorithms[] = {
    {CUSTODY_HMAC_SHA_1, HMAC, CKK_GENERIC_SECRET, CKM_SHA_1_HMAC, CKM_GENERIC_SECRET_KEY_GEN},
    {CUSTODY_HMAC_SHA_256, HMAC, CKK_GENERIC_SECRET, CKM_SHA256_HMAC, CKM_GENERIC_SECRET_KEY_GEN},
    {CUSTODY_AES_256_GCM, AES, CKK_AES, CKM_AES_GCM, CKM_AES_KEY_GEN},
    {CUSTODY_ECDSA_P_256, EC_PRIVATE, CKK_EC, CKM_ECDSA, CKM_EC_KEY_PAIR_GEN},
};

#define N_ALGORITHMS (sizeof algorithms / sizeof *algorithms)

/* --- Generation --- */

static CK_BBOOL values[] = {[NO] = CK_FALSE, [YES] = CK_TRUE};

struct template
{
    CK_ATTRIBUTE attributes[8 + N_FLAGS];
    CK_ULONG n;
};

static void put(struct template *t, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    t->attributes[t->n++] = (CK_ATTRIBUTE){type, (void *)value, len};
}

static void put_flags(struct template *t, enum kind kind)
{
    for (size_t i = 0; i < N_FLAGS; i++) {
        enum want want = flags[i].want[kind];
        if (flags[i].when == GIVEN && want != NONE)
            put(t, flags[i].type, &values[want], sizeof values[want]);
    }
}

static CK_RV generate_secret(struct p11_token *token, CK_SESSION_HANDLE session,
                             const struct algorithm *a, struct template *t,
                             CK_OBJECT_HANDLE *ret_object)
{
    static const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    static const CK_ULONG value_len = KEY_OCTETS;
    CK_MECHANISM mechanism = {a->generation, NULL, 0};
    put(t, CKA_CLASS, &class, sizeof class);
    put(t, CKA_VALUE_LEN, &value_len, sizeof value_len);
    put_flags(t, a->kind);
    return P11(token, C_GenerateKey, session, &mechanism, t->attributes, t->n, ret_object);
}

/* The public key has the id and the label, too, and is there for all to read. */
static CK_RV generate_pair(struct p11_token *token, CK_SESSION_HANDLE session,
                           const struct algorithm *a, const char *id, const char *label,
                           struct template *private, CK_OBJECT_HANDLE *ret_object)
{
    CK_MECHANISM mechanism = {a->generation, NULL, 0};
    CK_OBJECT_HANDLE public_object;
    struct template public = {0};
    put(&public, CKA_KEY_TYPE, &a->type, sizeof a->type);
    put(&public, CKA_EC_PARAMS, p11_p256, P11_P256_LEN);
    put(&public, CKA_ID, id, strlen(id));
    put(&public, CKA_LABEL, label, strlen(label));
    put(&public, CKA_TOKEN, &values[YES], sizeof values[YES]);
    put(&public, CKA_PRIVATE, &values[NO], sizeof values[NO]);
    put(&public, CKA_VERIFY, &values[YES], sizeof values[YES]);
    put(&public, CKA_MODIFIABLE, &values[NO], sizeof values[NO]);
    put_flags(private, a->kind);
    return P11(token, C_GenerateKeyPair, session, &mechanism, public.attributes, public.n,
               private->attributes, private->n, &public_object, ret_object);
}

CK_RV p11_generate(struct p11_token *token, CK_SESSION_HANDLE session, enum custody_alg alg,
                   const char *id, const char *label, CK_OBJECT_HANDLE *ret_object)
{
    const struct algorithm *a = &algorithms[alg];
    struct template t = {0};
    put(&t, CKA_KEY_TYPE, &a->type, sizeof a->type);
    put(&t, CKA_ALLOWED_MECHANISMS, &a->mechanism, sizeof a->mechanism);
    put(&t, CKA_ID, id, strlen(id));
    put(&t, CKA_LABEL, label, strlen(label));
    return a->kind == EC_PRIVATE ? generate_pair(token, session, a, id, label, &t, ret_object)
                                 : generate_secret(token, session, a, &t, ret_object);
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
    CK_BYTE curve[P11_P256_LEN];
    bool told[N_FLAGS], type_told, value_len_told, curve_told;
};

static enum tbs_err read_attributes(struct p11_token *token, CK_OBJECT_HANDLE object,
                                    const char *id, struct attributes *ret, struct tbs_diag *diag)
{
    struct attributes a = {0};
    CK_ATTRIBUTE template[5 + N_FLAGS] = {
        {CKA_KEY_TYPE, &a.type, sizeof a.type},
        {CKA_VALUE_LEN, &a.value_len, sizeof a.value_len},
        {CKA_ALLOWED_MECHANISMS, a.mechanisms, sizeof a.mechanisms},
        {CKA_LABEL, a.label, sizeof a.label},
        {CKA_EC_PARAMS, a.curve, sizeof a.curve},
    };
    for (size_t i = 0; i < N_FLAGS; i++)
        template[5 + i] = (CK_ATTRIBUTE){flags[i].type, &a.flags[i], sizeof a.flags[i]};
    CK_RV rv = P11(token, C_GetAttributeValue, token->holder, object, template, 5 + N_FLAGS);
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
    a.curve_told = template[4].ulValueLen == sizeof a.curve;
    for (size_t i = 0; i < N_FLAGS; i++)
        a.told[i] = template[5 + i].ulValueLen == sizeof a.flags[i];
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

static enum tbs_err judge_flags(const struct attributes *a, enum kind kind, const char *id,
                                struct tbs_diag *diag)
{
    for (size_t i = 0; i < N_FLAGS; i++) {
        enum want want = flags[i].want[kind];
        if (want == NONE)
            continue;
        if (!a->told[i])
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "key %s is not used: the token does not tell its %s", id,
                            flags[i].name);
        if ((a->flags[i] != CK_FALSE) != (want == YES))
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "key %s is not used: its %s is %s and must be %s; destroy it and "
                            "generate another",
                            id, flags[i].name, want ? "false" : "true", want ? "true" : "false");
    }
    return TBS_OK;
}

static enum tbs_err judge_size(const struct attributes *a, enum kind kind, const char *id,
                               struct tbs_diag *diag)
{
    if (kind == EC_PRIVATE)
        return a->curve_told && memcmp(a->curve, p11_p256, sizeof a->curve) == 0
                   ? TBS_OK
                   : tbs_fail(diag, TBS_ERR_CONFIG,
                              "key %s is not used: it is not on P-256, or the token does not tell",
                              id);
    return a->value_len_told && a->value_len == KEY_OCTETS
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CONFIG,
                          "key %s is not used: it has not %d octets, or the token does not tell",
                          id, KEY_OCTETS);
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
                        id, custody_role_name(role), custody_role_algs(role));
    struct custody_key key = {
        .role = role,
        .alg = algorithm->alg,
        /* judge_flags sees these four to be so. */
        .sensitive = true,
        .always_sensitive = true,
        .never_extractable = true,
        .local = true,
        .handle = object,
    };
    err = judge_size(&a, algorithm->kind, id, diag);
    if (err == TBS_OK)
        err = judge_flags(&a, algorithm->kind, id, diag);
    if (err == TBS_OK && algorithm->kind == EC_PRIVATE)
        err = p11_read_point(token, id, key.point, diag);
    if (err != TBS_OK)
        return err;
    snprintf(key.id, sizeof key.id, "%s", id);
    p11_copy_field(a.label, a.label_len, key.label, sizeof key.label);
    *ret_key = key;
    return TBS_OK;
}
