/* How objects come to an end: as an inventory describes them, or by what their key does. */
#include "vault_internal.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"

/* --- Objects --- */

static json_t *announce_object(const json_t *object)
{
    return json_pack("{s:O, s:O}", "id", json_object_get(object, "id"), "class",
                     json_object_get(object, "class"));
}

static enum tbs_err destroy(struct vault *v, CK_OBJECT_HANDLE object, const json_t *description,
                            struct tbs_diag *diag)
{
    return WITNESSED(v, announce_object(description), diag, C_DestroyObject, v->session, object);
}

static enum tbs_err destroy_one(struct vault *v, const json_t *wanted, struct tbs_diag *diag)
{
    struct p11_objects o;
    VAULT_TRY(vault_all(v, &o, diag));
    enum tbs_err err = tbs_fail(diag, TBS_ERR_NOT_FOUND, "token '%s' has no such object %s",
                                v->token.name, json_string_value(json_object_get(wanted, "id")));
    for (size_t i = 0; i < o.n && err == TBS_ERR_NOT_FOUND; i++) {
        json_t *is = vault_describe(v, o.handles[i]);
        if (json_equal(is, wanted))
            err = destroy(v, o.handles[i], is, diag);
        json_decref(is);
    }
    free(o.handles);
    return err;
}

enum tbs_err vault_destroy_objects(struct vault *vault, const json_t *objects,
                                   struct tbs_diag *diag)
{
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

/* --- Keys --- */

/* The key that is to go. */
struct doomed {
    const json_t *check;
    EVP_PKEY *public; /* of a pair */
    struct tbs_bytes pin;
};

static enum tbs_err is_doomed(struct vault *v, CK_OBJECT_CLASS class, CK_OBJECT_HANDLE object,
                              const struct doomed *key, bool *ret_is, struct tbs_diag *diag)
{
    return class == CKO_PRIVATE_KEY ? vault_is_half(v, object, key->public, key->pin, ret_is, diag)
                                    : vault_has_check(v, object, key->check, ret_is, diag);
}

static enum tbs_err destroy_class(struct vault *v, CK_OBJECT_CLASS class, const struct doomed *key,
                                  json_t *destroyed, struct tbs_diag *diag)
{
    struct p11_objects o;
    VAULT_TRY(p11_find_objects(&v->token, class, NULL, &o, diag));
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; i < o.n && err == TBS_OK; i++) {
        bool is = false;
        err = is_doomed(v, class, o.handles[i], key, &is, diag);
        if (!is)
            continue;
        json_t *description = vault_describe(v, o.handles[i]);
        err = destroy(v, o.handles[i], description, diag);
        if (err == TBS_OK)
            json_array_append(destroyed, description);
        json_decref(description);
    }
    free(o.handles);
    return err;
}

/* A key that the token fails to try is no proof of anything. */
static enum tbs_err look_again(struct vault *v, CK_OBJECT_CLASS class, const struct doomed *key,
                               size_t *examined, struct tbs_diag *diag)
{
    struct p11_objects o;
    size_t left = 0;
    VAULT_TRY(p11_find_objects(&v->token, class, NULL, &o, diag));
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; i < o.n && err == TBS_OK; i++) {
        bool is = false;
        err = is_doomed(v, class, o.handles[i], key, &is, diag);
        left += is;
    }
    *examined += o.n;
    free(o.handles);
    if (err == TBS_OK && left > 0)
        err = tbs_fail(diag, TBS_ERR_TOKEN, "token '%s' still has %zu objects of that key",
                       v->token.name, left);
    return err;
}

/* The private half first: while there is a public one, nobody forgets it. */
static const CK_OBJECT_CLASS pair[] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY},
                             secret[] = {CKO_SECRET_KEY};

static enum tbs_err destroy_key(struct vault *v, const struct doomed *key, json_t **ret_done,
                                struct tbs_diag *diag)
{
    const CK_OBJECT_CLASS *classes = key->public ? pair : secret;
    size_t n = key->public ? 2 : 1, examined = 0;
    json_t *destroyed = json_array();
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; err == TBS_OK && i < n; i++)
        err = destroy_class(v, classes[i], key, destroyed, diag);
    for (size_t i = 0; err == TBS_OK && i < n; i++)
        err = look_again(v, classes[i], key, &examined, diag);
    if (err == TBS_OK)
        *ret_done = json_pack("{s:O, s:I, s:i}", "destroyed", destroyed, "examined",
                              (json_int_t)examined, "left", 0);
    json_decref(destroyed);
    return err;
}

static EVP_PKEY *read_public(const json_t *check)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    const char *base64 = json_string_value(json_object_get(check, "spki"));
    if (!base64 || !tbs_base64_decode(tbs_bytes_str(base64), &spki))
        return NULL;
    const unsigned char *at = spki.data;
    return d2i_PUBKEY(NULL, &at, (long)spki.len);
}

enum tbs_err vault_destroy_by_check(struct vault *vault, const json_t *check, struct tbs_bytes pin,
                                    json_t **ret_done, struct tbs_diag *diag)
{
    const char *method = json_string_value(json_object_get(check, "method"));
    struct doomed key = {.check = check, .pin = pin};
    if (!method || (strcmp(method, "aes-256-gcm-block") == 0 && !json_object_get(check, "id")))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a check value has a method, and that of an AES key the id that it had");
    if (strcmp(method, "spki-sha256") == 0 && !(key.public = read_public(check)))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a pair is destroyed by its public key, whole: to find none of its check "
                        "value would prove nothing of its private half");
    enum tbs_err err = destroy_key(vault, &key, ret_done, diag);
    EVP_PKEY_free(key.public);
    return err;
}
