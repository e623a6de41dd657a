/* What is on a token: its objects, and how they come to an end. */
#include "vault_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- Finding --- */

enum tbs_err vault_find(struct p11_vault *v, CK_OBJECT_CLASS class, const char *id,
                        CK_OBJECT_HANDLE *ret_object, struct tbs_diag *diag)
{
    struct p11_objects o;
    VAULT_TRY(p11_find_objects(&v->token, class, id, &o, diag));
    enum tbs_err err = TBS_OK;
    if (o.n == 0)
        err = tbs_fail(diag, TBS_ERR_NOT_FOUND, "token '%s' has no key %s", v->token.name, id);
    else if (o.n > 1)
        err = tbs_fail(diag, TBS_ERR_CONFIG, "token '%s' has %zu keys of the id %s", v->token.name,
                       o.n, id);
    else
        *ret_object = o.handles[0];
    free(o.handles);
    return err;
}

enum tbs_err vault_none(struct p11_vault *v, CK_OBJECT_CLASS class, const char *id,
                        struct tbs_diag *diag)
{
    struct p11_objects o;
    VAULT_TRY(p11_find_objects(&v->token, class, id, &o, diag));
    size_t n = o.n;
    free(o.handles);
    return n == 0 ? TBS_OK
                  : tbs_fail(diag, TBS_ERR_EXISTS, "token '%s' has a key %s already", v->token.name,
                             id);
}

/* --- Inventories --- */

static json_t *text_attribute(struct p11_vault *v, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    uint8_t octets[VAULT_TEXT_MAX];
    CK_ULONG len;
    bool told = vault_read(v, object, type, octets, sizeof octets, &len);
    return vault_text(octets, told ? len : 0);
}

static json_t *describe(struct p11_vault *v, CK_OBJECT_HANDLE object)
{
    CK_ULONG class = CK_UNAVAILABLE_INFORMATION, len;
    vault_read(v, object, CKA_CLASS, &class, sizeof class, &len);
    json_t *check = NULL;
    CK_ULONG type = CK_UNAVAILABLE_INFORMATION;
    vault_read(v, object, CKA_KEY_TYPE, &type, sizeof type, &len);
    /* An inventory is to be the same each time, and a sealed block is not. */
    if ((class == CKO_SECRET_KEY && type != CKK_AES) || class == CKO_PUBLIC_KEY)
        vault_check_object(v, object, &check, NULL);
    return json_pack("{s:o, s:o, s:o, s:o, s:o*}", "class", vault_class_name(class), "id",
                     text_attribute(v, object, CKA_ID), "label",
                     text_attribute(v, object, CKA_LABEL), "attributes",
                     vault_attributes(v, object), "check", check);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* By their texts, so that two lists of the same objects are the same. */
static json_t *sorted(const json_t *objects)
{
    size_t n = json_array_size(objects);
    char **texts = calloc(n + 1, sizeof *texts);
    json_t *list = json_array();
    for (size_t i = 0; texts && i < n; i++)
        texts[i] = json_dumps(json_array_get(objects, i), JSON_COMPACT | JSON_SORT_KEYS);
    if (texts)
        qsort(texts, n, sizeof *texts, by_text);
    for (size_t i = 0; texts && i < n; i++) {
        json_array_append_new(list, json_loads(texts[i], 0, NULL));
        free(texts[i]);
    }
    free(texts);
    return list;
}

static enum tbs_err all_objects(struct p11_vault *v, struct p11_objects *ret, struct tbs_diag *diag)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {{CKA_TOKEN, &yes, sizeof yes}};
    return p11_find(&v->token, template, 1, ret, diag);
}

enum tbs_err p11_vault_inventory(struct vault *base, json_t **ret_objects, struct tbs_diag *diag)
{
    struct p11_vault *vault = p11_vault(base);
    struct p11_objects o;
    json_t *list = json_array();
    VAULT_TRY(all_objects(vault, &o, diag));
    for (size_t i = 0; i < o.n; i++)
        json_array_append_new(list, describe(vault, o.handles[i]));
    bool whole = list && json_array_size(list) == o.n;
    free(o.handles);
    json_t *in_order = whole ? sorted(list) : NULL;
    json_decref(list);
    if (!in_order || json_array_size(in_order) != o.n) {
        json_decref(in_order);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing objects");
    }
    *ret_objects = in_order;
    return TBS_OK;
}

static json_t *announce_object(const json_t *object)
{
    return json_pack("{s:O, s:O}", "id", json_object_get(object, "id"), "class",
                     json_object_get(object, "class"));
}

static enum tbs_err destroy(struct p11_vault *v, CK_OBJECT_HANDLE object, const json_t *description,
                            struct tbs_diag *diag)
{
    return WITNESSED(v, announce_object(description), diag, C_DestroyObject, v->session, object);
}

static enum tbs_err destroy_one(struct p11_vault *v, const json_t *wanted, struct tbs_diag *diag)
{
    struct p11_objects o;
    VAULT_TRY(all_objects(v, &o, diag));
    enum tbs_err err = tbs_fail(diag, TBS_ERR_NOT_FOUND, "token '%s' has no such object %s",
                                v->token.name, json_string_value(json_object_get(wanted, "id")));
    for (size_t i = 0; i < o.n && err == TBS_ERR_NOT_FOUND; i++) {
        json_t *is = describe(v, o.handles[i]);
        if (json_equal(is, wanted))
            err = destroy(v, o.handles[i], is, diag);
        json_decref(is);
    }
    free(o.handles);
    return err;
}

enum tbs_err p11_vault_destroy_objects(struct vault *base, const json_t *objects,
                                       struct tbs_diag *diag)
{
    struct p11_vault *vault = p11_vault(base);
    enum tbs_err err = TBS_OK;
    size_t i;
    const json_t *object;
    json_array_foreach(objects, i, object)
    {
        enum tbs_err one = destroy_one(vault, object, diag);
        err = err != TBS_OK ? err : one;
    }
    return err;
}

/* --- The end --- */

static enum tbs_err secret_keys(struct p11_vault *v, struct p11_objects *ret, struct tbs_diag *diag)
{
    return p11_find_objects(&v->token, CKO_SECRET_KEY, NULL, ret, diag);
}

static enum tbs_err destroy_same(struct p11_vault *v, const json_t *check, json_t *destroyed,
                                 struct tbs_diag *diag)
{
    struct p11_objects o;
    enum tbs_err err = secret_keys(v, &o, diag);
    if (err != TBS_OK)
        return err;
    for (size_t i = 0; i < o.n && err == TBS_OK; i++) {
        bool same = false;
        err = vault_has_check(v, o.handles[i], check, &same, diag);
        if (!same)
            continue;
        json_t *is = describe(v, o.handles[i]);
        err = destroy(v, o.handles[i], is, diag);
        if (err == TBS_OK)
            json_array_append(destroyed, is);
        json_decref(is);
    }
    free(o.handles);
    return err;
}

/* A key that the token fails to try is no proof of anything. */
static enum tbs_err look_again(struct p11_vault *v, const json_t *check, size_t *ret_examined,
                               struct tbs_diag *diag)
{
    struct p11_objects o;
    size_t left = 0;
    enum tbs_err err = secret_keys(v, &o, diag);
    if (err != TBS_OK)
        return err;
    for (size_t i = 0; i < o.n && err == TBS_OK; i++) {
        bool same = false;
        err = vault_has_check(v, o.handles[i], check, &same, diag);
        left += same;
    }
    free(o.handles);
    if (err == TBS_OK && left > 0)
        err = tbs_fail(diag, TBS_ERR_TOKEN, "token '%s' still has %zu keys of that check value",
                       v->token.name, left);
    if (err == TBS_OK)
        *ret_examined = o.n;
    return err;
}

enum tbs_err p11_vault_destroy_by_check(struct vault *base, const json_t *check, json_t **ret_done,
                                        struct tbs_diag *diag)
{
    struct p11_vault *vault = p11_vault(base);
    const char *method = json_string_value(json_object_get(check, "method"));
    if (!method || (strcmp(method, "aes-256-gcm-block") == 0 && !json_object_get(check, "id")))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a check value has a method, and that of an AES key the id that it had");
    if (strcmp(method, "spki-sha256") == 0)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "only secret keys are destroyed by their check value; to find none of a "
                        "pair would prove nothing");
    json_t *destroyed = json_array();
    size_t examined = 0;
    enum tbs_err err = destroy_same(vault, check, destroyed, diag);
    if (err == TBS_OK)
        err = look_again(vault, check, &examined, diag);
    if (err == TBS_OK)
        *ret_done = json_pack("{s:O, s:I, s:i}", "destroyed", destroyed, "examined",
                              (json_int_t)examined, "left", 0);
    json_decref(destroyed);
    return err;
}
