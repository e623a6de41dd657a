/* The keys on a token: list, generate, destroy. Searching takes time in proportion to all
 * objects on some tokens, so it is done once at open and after a change. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 65536     /* of a class on one token, foreign ones included */
#define FOREIGN_ID_MAX 256 /* a longer id is not looked at: it cannot be ours */

/* --- Searching --- */

static bool add_object(struct p11_objects *o, CK_OBJECT_HANDLE handle)
{
    if (o->n == o->cap) {
        size_t cap = o->cap > 0 ? 2 * o->cap : 64;
        CK_OBJECT_HANDLE *handles = reallocarray(o->handles, cap, sizeof *handles);
        if (!handles)
            return false;
        o->handles = handles;
        o->cap = cap;
    }
    o->handles[o->n++] = handle;
    return true;
}

static enum tbs_err collect(struct p11_token *token, struct p11_objects *o, struct tbs_diag *diag)
{
    CK_OBJECT_HANDLE chunk[64];
    CK_ULONG n;
    do {
        CK_RV rv = P11(token, C_FindObjects, token->holder, chunk, 64, &n);
        if (rv != CKR_OK)
            return p11_fail(diag, rv, "finding keys on token '%s'", token->name);
        if (o->n + n > KEYS_MAX)
            return tbs_fail(diag, TBS_ERR_LIMIT, "token '%s' holds more than %d keys", token->name,
                            KEYS_MAX);
        for (CK_ULONG i = 0; i < n; i++) {
            if (!add_object(o, chunk[i]))
                return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys");
        }
    } while (n > 0);
    return TBS_OK;
}

enum tbs_err p11_find(struct p11_token *token, CK_ATTRIBUTE *template, CK_ULONG n,
                      struct p11_objects *ret, struct tbs_diag *diag)
{
    struct p11_objects o = {0};
    CK_RV rv = P11(token, C_FindObjectsInit, token->holder, template, n);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "finding keys on token '%s'", token->name);
    enum tbs_err err = collect(token, &o, diag);
    P11(token, C_FindObjectsFinal, token->holder);
    if (err != TBS_OK) {
        free(o.handles);
        return err;
    }
    *ret = o;
    return TBS_OK;
}

enum tbs_err p11_find_objects(struct p11_token *token, CK_OBJECT_CLASS class, const char *id,
                              struct p11_objects *ret, struct tbs_diag *diag)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_ID, (void *)id, id ? strlen(id) : 0},
    };
    return p11_find(token, template, id ? 3 : 2, ret, diag);
}

/* --- Listing --- */

/* An empty id for a key whose id is too long to be one of ours, or is not told. */
static enum tbs_err read_id(struct p11_token *token, CK_OBJECT_HANDLE object,
                            uint8_t octets[FOREIGN_ID_MAX], struct tbs_bytes *ret_id,
                            struct tbs_diag *diag)
{
    CK_ATTRIBUTE id = {CKA_ID, octets, FOREIGN_ID_MAX};
    CK_RV rv = P11(token, C_GetAttributeValue, token->holder, object, &id, 1);
    if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL && rv != CKR_ATTRIBUTE_TYPE_INVALID)
        return p11_fail(diag, rv, "reading the id of a key on token '%s'", token->name);
    bool have = rv == CKR_OK && id.ulValueLen <= FOREIGN_ID_MAX;
    *ret_id = tbs_bytes(octets, have ? id.ulValueLen : 0);
    return TBS_OK;
}

static enum tbs_err add_key(struct custody_key_list *list, const struct custody_key *key,
                            struct tbs_diag *diag)
{
    if (list->n == CUSTODY_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the token holds more than %d keys of this service",
                        CUSTODY_KEYS_MAX);
    struct custody_key *keys = reallocarray(list->keys, list->n + 1, sizeof *keys);
    if (!keys)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys");
    keys[list->n++] = *key;
    list->keys = keys;
    return TBS_OK;
}

static enum tbs_err add_if_ours(struct p11_token *token, CK_OBJECT_HANDLE object,
                                struct custody_key_list *list, struct tbs_diag *diag)
{
    uint8_t octets[FOREIGN_ID_MAX];
    struct tbs_bytes id;
    enum custody_role role;
    bool valid;
    enum tbs_err err = read_id(token, object, octets, &id, diag);
    if (err != TBS_OK || !custody_id_role(id, &role, &valid))
        return err;
    if (!valid)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "a key on token '%s' has an id that begins with %s and then is not one "
                        "(a-z 0-9 - . _, at most %d octets); destroy it or name it anew",
                        token->name, custody_role_prefix(role), CUSTODY_KEY_ID_MAX);
    char text[CUSTODY_KEY_ID_MAX + 1];
    memcpy(text, id.data, id.len);
    text[id.len] = '\0';
    struct custody_key key;
    err = p11_judge_key(token, object, text, role, &key, diag);
    return err != TBS_OK ? err : add_key(list, &key, diag);
}

static enum tbs_err list_class(struct p11_token *token, CK_OBJECT_CLASS class,
                               struct custody_key_list *list, struct tbs_diag *diag)
{
    struct p11_objects o;
    enum tbs_err err = p11_find_objects(token, class, NULL, &o, diag);
    if (err != TBS_OK)
        return err;
    for (size_t i = 0; i < o.n && err == TBS_OK; i++)
        err = add_if_ours(token, o.handles[i], list, diag);
    free(o.handles);
    return err;
}

enum tbs_err p11_list_keys(void *token_, struct custody_key_list *ret_list, struct tbs_diag *diag)
{
    struct p11_token *token = token_;
    P11_IN_TURN(token);
    struct custody_key_list list = {0};
    enum tbs_err err = list_class(token, CKO_SECRET_KEY, &list, diag);
    if (err == TBS_OK)
        err = list_class(token, CKO_PRIVATE_KEY, &list, diag);
    if (err != TBS_OK) {
        free(list.keys);
        return err;
    }
    *ret_list = list;
    return TBS_OK;
}

/* --- Changing --- */

/* All that a key of ours may consist of. */
static const CK_OBJECT_CLASS classes[] = {CKO_SECRET_KEY, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};

#define N_CLASSES (sizeof classes / sizeof *classes)

/* Asks the token, not the list of keys: another process may have been quicker. */
static enum tbs_err check_free(struct p11_token *token, const char *id, struct tbs_diag *diag)
{
    for (size_t c = 0; c < N_CLASSES; c++) {
        struct p11_objects o;
        enum tbs_err err = p11_find_objects(token, classes[c], id, &o, diag);
        if (err != TBS_OK)
            return err;
        free(o.handles);
        if (o.n > 0)
            return tbs_fail(diag, TBS_ERR_EXISTS, "token '%s' has a key %s already", token->name,
                            id);
    }
    return TBS_OK;
}

/* One object of each class at most: whoever made a second may still need it. */
static enum tbs_err destroy_objects(struct p11_token *token, CK_SESSION_HANDLE session,
                                    const char *id, size_t *ret_n, struct tbs_diag *diag)
{
    for (size_t c = 0; c < N_CLASSES; c++) {
        struct p11_objects o;
        enum tbs_err err = p11_find_objects(token, classes[c], id, &o, diag);
        if (err != TBS_OK)
            return err;
        CK_OBJECT_HANDLE object = o.n == 1 ? o.handles[0] : CK_INVALID_HANDLE;
        free(o.handles);
        if (o.n > 1)
            return tbs_fail(diag, TBS_ERR_NOT_FOUND, "token '%s' holds %zu keys %s, not one",
                            token->name, o.n, id);
        CK_RV rv = o.n == 1 ? P11(token, C_DestroyObject, session, object) : CKR_OK;
        if (rv != CKR_OK)
            return p11_fail(diag, rv, "destroying key %s", id);
        *ret_n += o.n;
    }
    return TBS_OK;
}

/* NSS softokn answers CKR_GENERAL_ERROR to an attribute that it does not know. */
static enum tbs_err not_generated(const struct p11_token *token, CK_RV rv, enum custody_alg alg,
                                  const char *id, struct tbs_diag *diag)
{
    if (rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_GENERAL_ERROR)
        return p11_fail(diag, rv, "generating %s for %s on token '%s'", id, custody_alg_name(alg),
                        token->name);
    return tbs_fail_raw(diag, p11_rv_err(rv), rv,
                        "generating %s: token '%s' answered %s; if it does not know one of "
                        "CKA_ALLOWED_MECHANISMS, CKA_COPYABLE and CKA_DESTROYABLE, there are "
                        "quirks no-allowed-mechanisms, no-copyable and no-destroyable",
                        id, token->name, p11_rv_name(rv));
}

static enum tbs_err generate(struct p11_token *token, CK_SESSION_HANDLE session,
                             enum custody_role role, enum custody_alg alg, const char *id,
                             const char *label, struct custody_key *ret_key, struct tbs_diag *diag)
{
    CK_OBJECT_HANDLE object;
    CK_RV rv = p11_generate(token, session, alg, id, label ? label : "", &object);
    if (rv != CKR_OK)
        return not_generated(token, rv, alg, id, diag);
    struct custody_key key;
    enum tbs_err err = p11_judge_key(token, object, id, role, &key, diag);
    if (err == TBS_OK && key.alg != alg)
        err = tbs_fail(diag, TBS_ERR_CONFIG, "token '%s' made %s for %s instead of %s", token->name,
                       id, custody_alg_name(key.alg), custody_alg_name(alg));
    if (err == TBS_OK)
        *ret_key = key;
    else if (destroy_objects(token, session, id, &(size_t){0}, NULL) != TBS_OK)
        return tbs_fail(diag, err,
                        "new key %s is not as asked for and could not be destroyed; "
                        "destroy it by hand",
                        id);
    return err;
}

enum tbs_err p11_generate_key(void *token_, enum custody_role role, enum custody_alg alg,
                              const char *id, const char *label, struct custody_key *ret_key,
                              struct tbs_diag *diag)
{
    struct p11_token *token = token_;
    P11_IN_TURN(token);
    CK_SESSION_HANDLE session;
    enum tbs_err err = p11_check_id(token, alg, id, diag);
    if (err == TBS_OK)
        err = check_free(token, id, diag);
    if (err == TBS_OK)
        err = p11_open_handle(token, true, &session, diag);
    if (err != TBS_OK)
        return err;
    err = generate(token, session, role, alg, id, label, ret_key, diag);
    P11(token, C_CloseSession, session);
    return err;
}

enum tbs_err p11_destroy_key(void *token_, const struct custody_key *key, struct tbs_diag *diag)
{
    struct p11_token *token = token_;
    P11_IN_TURN(token);
    CK_SESSION_HANDLE session;
    size_t n = 0;
    enum tbs_err err = p11_open_handle(token, true, &session, diag);
    if (err != TBS_OK)
        return err;
    err = destroy_objects(token, session, key->id, &n, diag);
    P11(token, C_CloseSession, session);
    return err == TBS_OK && n == 0 ? tbs_fail(diag, TBS_ERR_NOT_FOUND, "token '%s' holds no key %s",
                                              token->name, key->id)
                                   : err;
}
