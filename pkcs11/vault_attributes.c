/* Attributes by their names in PKCS#11, to a token and from it. */
#include "vault_internal.h"

#include <string.h>

#include "base/hex.h"

#ifndef CKA_COPYABLE
#define CKA_COPYABLE 0x171UL
#endif
#ifndef CKA_DESTROYABLE
#define CKA_DESTROYABLE 0x172UL
#endif

#define INNER_MAX 32 /* attributes of a template in an attribute */
#define INNER_VALUE_MAX 64
#define MECHANISMS_MAX 16

struct name {
    CK_ULONG value;
    const char *name;
};

#define NAME(value)                                                                                \
    {                                                                                              \
        value, #value                                                                              \
    }
static const struct name classes[] = {NAME(CKO_DATA), NAME(CKO_CERTIFICATE), NAME(CKO_PUBLIC_KEY),
                                      NAME(CKO_PRIVATE_KEY), NAME(CKO_SECRET_KEY)};
static const struct name types[] = {NAME(CKK_GENERIC_SECRET), NAME(CKK_AES), NAME(CKK_RSA),
                                    NAME(CKK_EC)};
static const struct name mechanisms[] = {
    NAME(CKM_SHA256_HMAC), NAME(CKM_SHA_1_HMAC),          NAME(CKM_AES_GCM),
    NAME(CKM_ECDSA),       NAME(CKM_RSA_PKCS_OAEP),       NAME(CKM_GENERIC_SECRET_KEY_GEN),
    NAME(CKM_AES_KEY_GEN), NAME(CKM_EC_KEY_PAIR_GEN),     NAME(CKM_RSA_PKCS_KEY_PAIR_GEN),
    NAME(CKM_RSA_PKCS),    NAME(CKM_RSA_X_509),           NAME(CKM_AES_ECB),
    NAME(CKM_AES_CBC),     NAME(CKM_AES_CBC_PAD),         NAME(CKM_AES_CTR),
    NAME(CKM_AES_CMAC),    NAME(CKM_AES_KEY_WRAP),        NAME(CKM_AES_KEY_WRAP_PAD),
    NAME(CKM_SHA512_HMAC), NAME(CKM_AES_ECB_ENCRYPT_DATA)};
#undef NAME

/* Which classes of keys have the flag (2.40, 4.7 to 4.10). */
enum { SECRET = 1, PRIVATE = 2, PUBLIC = 4, ALL = 7 };
static const struct flag {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
    int classes;
} flags[] = {
#define FLAG(type, classes)                                                                        \
    {                                                                                              \
        type, #type, classes                                                                       \
    }
    FLAG(CKA_TOKEN, ALL),
    FLAG(CKA_PRIVATE, ALL),
    FLAG(CKA_SENSITIVE, SECRET | PRIVATE),
    FLAG(CKA_EXTRACTABLE, SECRET | PRIVATE),
    FLAG(CKA_ALWAYS_SENSITIVE, SECRET | PRIVATE),
    FLAG(CKA_NEVER_EXTRACTABLE, SECRET | PRIVATE),
    FLAG(CKA_LOCAL, ALL),
    FLAG(CKA_MODIFIABLE, ALL),
    FLAG(CKA_COPYABLE, ALL),
    FLAG(CKA_DESTROYABLE, ALL),
    FLAG(CKA_ENCRYPT, SECRET | PUBLIC),
    FLAG(CKA_DECRYPT, SECRET | PRIVATE),
    FLAG(CKA_SIGN, SECRET | PRIVATE),
    FLAG(CKA_SIGN_RECOVER, PRIVATE),
    FLAG(CKA_VERIFY, SECRET | PUBLIC),
    FLAG(CKA_VERIFY_RECOVER, PUBLIC),
    FLAG(CKA_WRAP, SECRET | PUBLIC),
    FLAG(CKA_UNWRAP, SECRET | PRIVATE),
    FLAG(CKA_DERIVE, ALL),
    FLAG(CKA_TRUSTED, SECRET | PUBLIC),
    FLAG(CKA_WRAP_WITH_TRUSTED, SECRET | PRIVATE),
    FLAG(CKA_ALWAYS_AUTHENTICATE, PRIVATE),
#undef FLAG
};

#define N_OF(table) (sizeof table / sizeof *table)

/* --- To a token --- */

void vault_put(struct attribute_list *t, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    t->list[t->n++] = (CK_ATTRIBUTE){type, (void *)value, len};
}

static const struct name *by_name(const struct name *table, size_t n, const json_t *name)
{
    for (size_t i = 0; i < n && json_is_string(name); i++) {
        if (strcmp(table[i].name, json_string_value(name)) == 0)
            return &table[i];
    }
    return NULL;
}

CK_MECHANISM_TYPE vault_mechanism(const char *name)
{
    for (size_t i = 0; i < N_OF(mechanisms); i++) {
        if (strcmp(mechanisms[i].name, name) == 0)
            return mechanisms[i].value;
    }
    return CK_UNAVAILABLE_INFORMATION;
}

static bool put_named(struct attribute_list *t, CK_ATTRIBUTE_TYPE type, const struct name *value)
{
    if (value)
        vault_put(t, type, &value->value, sizeof value->value);
    return value != NULL;
}

static bool put_flag(struct attribute_list *t, const char *name, const json_t *value)
{
    static const CK_BBOOL values[] = {CK_FALSE, CK_TRUE};
    for (size_t i = 0; i < N_OF(flags) && json_is_boolean(value); i++) {
        if (strcmp(flags[i].name, name) != 0)
            continue;
        vault_put(t, flags[i].type, &values[json_is_true(value)], sizeof(CK_BBOOL));
        return true;
    }
    return false;
}

static bool put_one(struct attribute_list *t, const char *name, const json_t *value)
{
    if (strcmp(name, "CKA_CLASS") == 0)
        return put_named(t, CKA_CLASS, by_name(classes, N_OF(classes), value));
    if (strcmp(name, "CKA_KEY_TYPE") == 0)
        return put_named(t, CKA_KEY_TYPE, by_name(types, N_OF(types), value));
    if (strcmp(name, "CKA_ALLOWED_MECHANISMS") == 0) /* templates name one */
        return json_array_size(value) == 1 &&
               put_named(t, CKA_ALLOWED_MECHANISMS,
                         by_name(mechanisms, N_OF(mechanisms), json_array_get(value, 0)));
    return put_flag(t, name, value);
}

static bool put_inner(struct attribute_list *t, struct attribute_list *inner,
                      CK_ATTRIBUTE_TYPE type, const json_t *attributes)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)attributes, name, value)
    {
        if (!put_one(inner, name, value))
            return false;
    }
    vault_put(t, type, inner->list, inner->n * sizeof *inner->list);
    return true;
}

static bool put_any(struct attribute_list *t, struct attribute_list *inner, const char *name,
                    const json_t *value)
{
    if (strcmp(name, "CKA_WRAP_TEMPLATE") == 0)
        return put_inner(t, inner, CKA_WRAP_TEMPLATE, value);
    if (strcmp(name, "CKA_UNWRAP_TEMPLATE") == 0)
        return put_inner(t, inner, CKA_UNWRAP_TEMPLATE, value);
    return put_one(t, name, value);
}

static bool is_unknown(const struct vault *v, const char *attribute)
{
    static const struct {
        enum p11_quirk quirk;
        const char *attribute;
    } unknown[] = {{P11_NO_ALLOWED_MECHANISMS, "CKA_ALLOWED_MECHANISMS"},
                   {P11_NO_COPYABLE, "CKA_COPYABLE"},
                   {P11_NO_DESTROYABLE, "CKA_DESTROYABLE"}};
    for (size_t i = 0; i < N_OF(unknown); i++) {
        if (v->token.quirks.on[unknown[i].quirk] && strcmp(unknown[i].attribute, attribute) == 0)
            return true;
    }
    return false;
}

enum tbs_err vault_put_given(const struct vault *v, struct attribute_list *t,
                             struct attribute_list *inner, const struct key_template *template,
                             enum template_profile profile, struct tbs_diag *diag)
{
    json_t *given = NULL, *value;
    const char *name;
    enum tbs_err err = template_given(template, profile, &given, diag);
    if (err != TBS_OK)
        return err;
    json_object_foreach(given, name, value)
    {
        if (!is_unknown(v, name) && !put_any(t, inner, name, value))
            err = tbs_fail(diag, TBS_ERR_UNSUPPORTED, "key template %s: cannot ask a token for %s",
                           template->name, name);
    }
    json_decref(given);
    return err;
}

/* --- From a token --- */

bool vault_read(struct vault *v, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *value,
                CK_ULONG size, CK_ULONG *ret_len)
{
    CK_ATTRIBUTE a = {type, value, size};
    if (v->token.f->C_GetAttributeValue(v->session, object, &a, 1) != CKR_OK ||
        a.ulValueLen == CK_UNAVAILABLE_INFORMATION || a.ulValueLen > size)
        return false;
    *ret_len = a.ulValueLen;
    return true;
}

static json_t *name_of(const struct name *table, size_t n, const void *octets)
{
    CK_ULONG value;
    memcpy(&value, octets, sizeof value);
    for (size_t i = 0; i < n; i++) {
        if (table[i].value == value)
            return json_string(table[i].name);
    }
    return json_sprintf("0x%lx", value);
}

json_t *vault_text(const uint8_t *octets, size_t len)
{
    char hex[2 * VAULT_TEXT_MAX + 1];
    bool printable = true;
    for (size_t i = 0; i < len; i++)
        printable &= octets[i] >= 0x20 && octets[i] != 0x7f;
    json_t *text = printable ? json_stringn((const char *)octets, len) : NULL;
    if (text)
        return text;
    tbs_hex(tbs_bytes(octets, len), hex);
    return json_sprintf("0x%s", hex);
}

json_t *vault_mechanism_name(CK_MECHANISM_TYPE type)
{
    return name_of(mechanisms, N_OF(mechanisms), &type);
}

json_t *vault_class_name(CK_OBJECT_CLASS class)
{
    return name_of(classes, N_OF(classes), &class);
}

static json_t *mechanism_list(const uint8_t *octets, CK_ULONG len)
{
    json_t *list = json_array();
    for (CK_ULONG at = 0; at + sizeof(CK_ULONG) <= len; at += sizeof(CK_ULONG))
        json_array_append_new(list, name_of(mechanisms, N_OF(mechanisms), octets + at));
    return list;
}

/* Null for what cannot be said in JSON. */
static json_t *value_of(CK_ATTRIBUTE_TYPE type, const void *octets, CK_ULONG len)
{
    if (type == CKA_ALLOWED_MECHANISMS)
        return mechanism_list(octets, len);
    if (type == CKA_CLASS && len == sizeof(CK_ULONG))
        return name_of(classes, N_OF(classes), octets);
    if (type == CKA_KEY_TYPE && len == sizeof(CK_ULONG))
        return name_of(types, N_OF(types), octets);
    return len == sizeof(CK_BBOOL) ? json_boolean(*(const CK_BBOOL *)octets) : json_null();
}

static json_t *read_json(struct vault *v, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    uint8_t octets[MECHANISMS_MAX * sizeof(CK_ULONG)];
    CK_ULONG len;
    return vault_read(v, object, type, octets, sizeof octets, &len) ? value_of(type, octets, len)
                                                                    : json_null();
}

static const char *inner_name(CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < N_OF(flags); i++) {
        if (flags[i].type == type)
            return flags[i].name;
    }
    return type == CKA_CLASS                ? "CKA_CLASS"
           : type == CKA_KEY_TYPE           ? "CKA_KEY_TYPE"
           : type == CKA_ALLOWED_MECHANISMS ? "CKA_ALLOWED_MECHANISMS"
                                            : "another attribute";
}

/* Three calls: how many attributes, how long each is, and their values (2.40, 5.7). */
static json_t *read_template(struct vault *v, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    CK_ATTRIBUTE inner[INNER_MAX] = {0};
    uint8_t values[INNER_MAX][INNER_VALUE_MAX];
    CK_ULONG len;
    if (!vault_read(v, object, type, inner, sizeof inner, &len))
        return json_null();
    size_t n = len / sizeof *inner;
    for (size_t i = 0; i < n; i++) {
        if (inner[i].ulValueLen > INNER_VALUE_MAX)
            return json_null();
        inner[i].pValue = values[i];
    }
    if (!vault_read(v, object, type, inner, n * sizeof *inner, &len))
        return json_null();
    json_t *all = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(all, inner_name(inner[i].type),
                            value_of(inner[i].type, inner[i].pValue, inner[i].ulValueLen));
    return all;
}

static int class_bit(CK_OBJECT_CLASS class)
{
    switch (class) {
    case CKO_SECRET_KEY:
        return SECRET;
    case CKO_PRIVATE_KEY:
        return PRIVATE;
    default:
        return class == CKO_PUBLIC_KEY ? PUBLIC : 0;
    }
}

json_t *vault_attributes(struct vault *v, CK_OBJECT_HANDLE object)
{
    json_t *all = json_object();
    CK_OBJECT_CLASS class = CK_UNAVAILABLE_INFORMATION;
    CK_ULONG len;
    vault_read(v, object, CKA_CLASS, &class, sizeof class, &len);
    json_object_set_new(all, "CKA_CLASS", vault_class_name(class));
    for (size_t i = 0; i < N_OF(flags); i++) {
        if ((flags[i].classes & class_bit(class)) != 0)
            json_object_set_new(all, flags[i].name, read_json(v, object, flags[i].type));
    }
    if (class_bit(class) == 0)
        return all;
    json_object_set_new(all, "CKA_KEY_TYPE", read_json(v, object, CKA_KEY_TYPE));
    json_object_set_new(all, "CKA_ALLOWED_MECHANISMS",
                        read_json(v, object, CKA_ALLOWED_MECHANISMS));
    if (json_is_true(json_object_get(all, "CKA_WRAP")))
        json_object_set_new(all, "CKA_WRAP_TEMPLATE", read_template(v, object, CKA_WRAP_TEMPLATE));
    if (json_is_true(json_object_get(all, "CKA_UNWRAP")))
        json_object_set_new(all, "CKA_UNWRAP_TEMPLATE",
                            read_template(v, object, CKA_UNWRAP_TEMPLATE));
    return all;
}
