/* What a key of ours looks like: one table serves as the template it is generated with and as
 * the judgement of what the token says it holds. Nothing is left to a token's defaults, and an
 * attribute that a token does not tell counts as wrong, unless a quirk of the configuration
 * excuses it; then the key says so.
 *
 * CKA_MODIFIABLE=false is what keeps the usage flags as they are; the computed attributes keep
 * out keys that were ever outside, such as a known value planted with C_CreateObject. Of secret
 * keys that a signed key registry says were replicated from this token, or restored to it, less can
 * be asked; then the check value, which custody compares with the registry's, tells them from
 * others. */
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
    enum p11_quirk excuse; /* the quirk of a token without it; P11_N_QUIRKS: none */
    unsigned free_for;     /* origins, as bits, that say nothing of it */
    enum want want[N_KINDS];
};

#define REPLICATED (1u << CUSTODY_REPLICATED)
#define RESTORED (1u << CUSTODY_RESTORED)

/* A sealed copy of a replicated key cannot be made less copyable than it was born on some tokens,
 * SoftHSM among them. */
static const struct flag flags[] = {
#define ROW(type, name, origins, excuse, when, ...)                                                \
    {                                                                                              \
        type, name, when, excuse, origins,                                                         \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define FLAG(type, ...) ROW(type, #type, 0, P11_N_QUIRKS, __VA_ARGS__)
#define FLAG_OR(excuse, type, ...) ROW(type, #type, 0, excuse, __VA_ARGS__)
#define FLAG_FREE(origins, excuse, type, ...) ROW(type, #type, origins, excuse, __VA_ARGS__)
    FLAG(CKA_TOKEN, GIVEN, YES, YES, YES),
    FLAG(CKA_PRIVATE, GIVEN, YES, YES, YES),
    FLAG(CKA_SENSITIVE, GIVEN, YES, YES, YES),
    FLAG(CKA_EXTRACTABLE, GIVEN, NO, NO, NO),
    FLAG_FREE(REPLICATED, P11_NO_COPYABLE, CKA_COPYABLE, GIVEN, NO, NO, NO),
    FLAG_OR(P11_NO_DESTROYABLE, CKA_DESTROYABLE, GIVEN, YES, YES, YES),
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
    FLAG_FREE(RESTORED, P11_NO_LOCAL, CKA_LOCAL, COMPUTED, YES, YES, YES),
    FLAG_FREE(RESTORED, P11_N_QUIRKS, CKA_ALWAYS_SENSITIVE, COMPUTED, YES, YES, YES),
    FLAG_FREE(RESTORED | REPLICATED, P11_N_QUIRKS, CKA_NEVER_EXTRACTABLE, COMPUTED, YES, YES, YES),
#undef ROW
#undef FLAG
#undef FLAG_OR
#undef FLAG_FREE
};

#define N_FLAGS (sizeof flags / sizeof *flags)
#define KEY_OCTETS 32

static const struct algorithm {
    enum custody_alg alg;
    enum kind kind;
    CK_KEY_TYPE type, hash_type; /* hash_type: see quirk key-type-hmac */
    CK_ULONG hash_octets;
    CK_MECHANISM_TYPE mechanism, generation;
} algorithms[] = {
    {CUSTODY_HMAC_SHA_1, HMAC, CKK_GENERIC_SECRET, CKK_SHA_1_HMAC, 20, CKM_SHA_1_HMAC,
     CKM_GENERIC_SECRET_KEY_GEN},
    {CUSTODY_HMAC_SHA_256, HMAC, CKK_GENERIC_SECRET, CKK_SHA256_HMAC, 32, CKM_SHA256_HMAC,
     CKM_GENERIC_SECRET_KEY_GEN},
    {CUSTODY_AES_256_GCM, AES, CKK_AES, CKK_AES, KEY_OCTETS, CKM_AES_GCM, CKM_AES_KEY_GEN},
    {CUSTODY_ECDSA_P_256, EC_PRIVATE, CKK_EC, CKK_EC, 0, CKM_ECDSA, CKM_EC_KEY_PAIR_GEN},
};

#define N_ALGORITHMS (sizeof algorithms / sizeof *algorithms)

/* Where the token binds no key to one mechanism, the id says which one is meant. */
static enum custody_alg algorithm_of_id(CK_KEY_TYPE type, const char *id)
{
    if (type == CKK_AES)
        return CUSTODY_AES_256_GCM;
    if (type == CKK_EC)
        return CUSTODY_ECDSA_P_256;
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

static void put_flags(const struct p11_token *token, struct template *t, enum kind kind)
{
    for (size_t i = 0; i < N_FLAGS; i++) {
        enum want want = flags[i].want[kind];
        if (is_given(token, &flags[i]) && want != NONE)
            put(t, flags[i].type, &values[want], sizeof values[want]);
    }
}

static CK_RV generate_secret(const struct p11_token *token, CK_SESSION_HANDLE session,
                             const struct algorithm *a, struct template *t,
                             CK_OBJECT_HANDLE *ret_object)
{
    static const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    static const CK_ULONG value_len = KEY_OCTETS;
    CK_MECHANISM mechanism = {a->generation, NULL, 0};
    put(t, CKA_CLASS, &class, sizeof class);
    put(t, CKA_VALUE_LEN, &value_len, sizeof value_len);
    put_flags(token, t, a->kind);
    return P11(token, C_GenerateKey, session, &mechanism, t->attributes, t->n, ret_object);
}

/* The public key has the id and the label, too, and is there for all to read. */
static CK_RV generate_pair(const struct p11_token *token, CK_SESSION_HANDLE session,
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
    put_flags(token, private, a->kind);
    return P11(token, C_GenerateKeyPair, session, &mechanism, public.attributes, public.n,
               private->attributes, private->n, &public_object, ret_object);
}

CK_RV p11_generate(const struct p11_token *token, CK_SESSION_HANDLE session, enum custody_alg alg,
                   const char *id, const char *label, CK_OBJECT_HANDLE *ret_object)
{
    const struct algorithm *a = &algorithms[alg];
    struct template t = {0};
    put(&t, CKA_KEY_TYPE, &a->type, sizeof a->type);
    if (!token->quirks.on[P11_NO_ALLOWED_MECHANISMS])
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
    bool told[N_FLAGS], type_told, value_len_told, curve_told, mechanisms_told;
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
    a.mechanisms_told = template[2].ulValueLen != CK_UNAVAILABLE_INFORMATION ||
                        tells(token, object, CKA_ALLOWED_MECHANISMS);
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

/* One key before its judge, and what the judgement finds. */
struct judgement {
    struct p11_token *token;
    struct attributes a;
    const struct algorithm *algorithm;
    enum custody_origin origin;
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
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s is not used: its CKA_KEY_TYPE and CKA_ALLOWED_MECHANISMS are not "
                    "those of a %s (%s, one mechanism)",
                    j->key.id, custody_role_name(j->key.role), custody_role_algs(j->key.role));
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

static enum tbs_err judge_curve(const struct judgement *j, struct tbs_diag *diag)
{
    if (j->a.curve_told && memcmp(j->a.curve, p11_p256, sizeof j->a.curve) == 0)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s is not used: it is not on P-256, or the token does not tell",
                    j->key.id);
}

static enum tbs_err judge_length(struct judgement *j, struct tbs_diag *diag)
{
    CK_ULONG octets = KEY_OCTETS;
    if (j->algorithm->kind == EC_PRIVATE)
        return judge_curve(j, diag);
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
    /* SoftHSM does not tell the length of what it unwrapped. The check value, which must be the
     * registry's, is that of a key whose length was seen where it was made. */
    if (j->origin == CUSTODY_RESTORED && (!j->a.value_len_told || j->a.value_len == 0))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s is not used: it has not %lu octets, or the token does not tell",
                    j->key.id, octets);
}

/* What else than a new key would help. */
static const char *remedy(const struct judgement *j, const struct flag *flag)
{
    bool may_be_free = flag->free_for != 0 && j->algorithm->kind != EC_PRIVATE;
    if (flag->excuse == P11_NO_LOCAL)
        return may_be_free ? ", or use quirk no-local if the token tells this of every key; only a "
                             "key registry can say that it was restored to this token"
                           : ", or use quirk no-local if the token tells this of every key";
    return may_be_free ? "; only a key registry can say that it was replicated or restored" : "";
}

/* A wrong CKA_LOCAL is excused, too: its quirk is for tokens that never set it. */
static enum tbs_err judge_flag(struct judgement *j, size_t i, struct tbs_diag *diag)
{
    const struct flag *flag = &flags[i];
    bool want = flag->want[j->algorithm->kind] == YES;
    if (flag->want[j->algorithm->kind] == NONE || (flag->free_for & 1u << j->origin))
        return TBS_OK;
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
                    remedy(j, flag));
}

/* While it was extractable only keys that the security officer trusts could wrap it. */
static enum tbs_err judge_birth(const struct judgement *j, struct tbs_diag *diag)
{
    CK_BBOOL trusted = CK_FALSE;
    CK_ATTRIBUTE a = {CKA_WRAP_WITH_TRUSTED, &trusted, sizeof trusted};
    if (j->origin != CUSTODY_REPLICATED ||
        (P11(j->token, C_GetAttributeValue, j->token->holder, j->key.handle, &a, 1) == CKR_OK &&
         trusted != CK_FALSE))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "key %s is not used: it was replicated, and its CKA_WRAP_WITH_TRUSTED is not "
                    "true; generate another",
                    j->key.id);
}

/* Key pairs are never replicated. */
static enum custody_origin origin_of(const struct p11_token *token, const struct judgement *j)
{
    char serial[CUSTODY_TOKEN_SERIAL_MAX + 1];
    if (!token->origin || j->algorithm->kind == EC_PRIVATE)
        return CUSTODY_MADE_HERE;
    p11_copy_field(token->info.serialNumber, sizeof token->info.serialNumber, serial,
                   sizeof serial);
    return token->origin(token->origin_ctx, j->key.id, serial);
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
    if (err == TBS_OK) {
        j.origin = origin_of(token, &j);
        err = judge_length(&j, diag);
    }
    for (size_t i = 0; i < N_FLAGS && err == TBS_OK; i++)
        err = judge_flag(&j, i, diag);
    if (err == TBS_OK)
        err = judge_birth(&j, diag);
    if (err == TBS_OK && j.algorithm->kind == EC_PRIVATE)
        err = p11_read_point(token, id, j.key.point, diag);
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
