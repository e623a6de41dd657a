/* What is on a token. */
#include "vault_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- Finding --- */

enum tbs_err vault_find(struct vault *v, CK_OBJECT_CLASS class, const char *id,
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

enum tbs_err vault_none(struct vault *v, CK_OBJECT_CLASS class, const char *id,
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

static json_t *text_attribute(struct vault *v, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    uint8_t octets[VAULT_TEXT_MAX];
    CK_ULONG len;
    bool told = vault_read(v, object, type, octets, sizeof octets, &len);
    return vault_text(octets, told ? len : 0);
}

json_t *vault_describe(struct vault *v, CK_OBJECT_HANDLE object)
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

enum tbs_err vault_all(struct vault *v, struct p11_objects *ret, struct tbs_diag *diag)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {{CKA_TOKEN, &yes, sizeof yes}};
    return p11_find(&v->token, template, 1, ret, diag);
}

enum tbs_err vault_inventory(struct vault *vault, json_t **ret_objects, struct tbs_diag *diag)
{
    struct p11_objects o;
    json_t *list = json_array();
    VAULT_TRY(vault_all(vault, &o, diag));
    for (size_t i = 0; i < o.n; i++)
        json_array_append_new(list, vault_describe(vault, o.handles[i]));
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
