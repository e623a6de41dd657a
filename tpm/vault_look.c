/* What is in the folder of a TPM's token: its objects, and how they come to an end. */
#include "vault_internal.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/hex.h"

#define SUFFIX ".json"

/* --- One object --- */

enum tbs_err tpm_object_read(struct tpm_vault *v, struct tpm_object *o, struct tbs_diag *diag)
{
    TPM2B_PUBLIC *public = NULL;
    TPM2B_NAME *name = NULL;
    uint8_t must[ATTEST_NAME_LEN];
    size_t len = 0;
    TSS2_RC rc = TPM_CALL(&v->token, ReadPublic, o->handle, tpm_session_beside(&v->token),
                          ESYS_TR_NONE, ESYS_TR_NONE, &public, &name, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "reading the public area of key %s", o->blob.id);
    bool whole = tpm_marshal_public(public, o->octets, &len);
    o->area = tbs_bytes(o->octets, len);
    enum tbs_err err = attest_name(o->area, must, diag);
    if (err == TBS_OK && (!whole || !tbs_bytes_equal(tbs_bytes(name->name, name->size),
                                                     tbs_bytes(must, sizeof must))))
        err =
            tbs_fail(diag, TBS_ERR_TOKEN,
                     "the TPM gives key %s a Name that is not that of its public area", o->blob.id);
    Esys_Free(public);
    Esys_Free(name);
    return err;
}

enum tbs_err tpm_object_try(struct tpm_vault *v, const struct tpm_blob *blob,
                            struct tpm_object *ret_object, struct tbs_diag *diag)
{
    ret_object->blob = *blob;
    enum tbs_err err = tpm_load(&v->token, v->token.storage, tpm_session(&v->token, true, true),
                                blob, &ret_object->handle, diag);
    if (err != TBS_OK)
        return err;
    err = tpm_object_read(v, ret_object, diag);
    if (err != TBS_OK)
        tpm_object_drop(v, ret_object);
    return err;
}

enum tbs_err tpm_object_load(struct tpm_vault *v, const char *id, struct tpm_object *ret_object,
                             struct tbs_diag *diag)
{
    struct tpm_blob blob;
    VAULT_TRY(tpm_vault_use(v, diag));
    enum tbs_err err = tpm_blob_read(v->dir, id, &blob, diag);
    if (err == TBS_ERR_NOT_FOUND)
        return tbs_fail(diag, err, "token '%s' has no key %s", v->token.name, id);
    return err != TBS_OK ? err : tpm_object_try(v, &blob, ret_object, diag);
}

void tpm_object_drop(struct tpm_vault *v, struct tpm_object *object)
{
    tpm_flush(&v->token, &object->handle);
}

/* --- Telling --- */

enum tbs_err tpm_object_spki(struct tbs_bytes area, struct tbs_buf *ret_spki, struct tbs_diag *diag)
{
    struct attest_public public;
    EVP_PKEY *key = NULL;
    unsigned char *der = NULL;
    VAULT_TRY(attest_public_read(area, &public, diag));
    VAULT_TRY(attest_public_key(&public, &key, diag));
    int len = i2d_PUBKEY(key, &der);
    EVP_PKEY_free(key);
    if (len <= 0)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL cannot write a public key");
    tbs_put_bytes(ret_spki, tbs_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return ret_spki->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a public key")
                            : TBS_OK;
}

static enum tbs_err check_pair(const struct tpm_object *o, json_t **ret_check,
                               struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf();
    uint8_t hash[ATTEST_DIGEST_LEN];
    char hex[2 * sizeof hash + 1];
    VAULT_TRY(tpm_object_spki(o->area, &spki, diag));
    if (EVP_Digest(spki.data, spki.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do SHA-256");
    tbs_hex(tbs_bytes(hash, sizeof hash), hex);
    *ret_check = json_pack("{s:s, s:s}", "method", "spki-sha256", "value", hex);
    return TBS_OK;
}

enum { CHECK_LEN = 16 };

static enum tbs_err check_object(struct tpm_vault *v, const struct tpm_object *o,
                                 json_t **ret_check, struct tbs_diag *diag)
{
    static const TPM2B_MAX_BUFFER nothing;
    const TPMT_PUBLIC *public = &o->blob.public.publicArea;
    uint8_t mac[CUSTODY_MAC_MAX];
    char hex[2 * CHECK_LEN + 1];
    if (public->type != TPM2_ALG_KEYEDHASH)
        return check_pair(o, ret_check, diag);
    bool sha_1 = public->parameters.keyedHashDetail.scheme.details.hmac.hashAlg == TPM2_ALG_SHA1;
    VAULT_TRY(
        tpm_hmac_with(&v->token, o->handle, o->blob.id, &nothing, sha_1 ? 20 : 32, mac, diag));
    tbs_hex(tbs_bytes(mac, CHECK_LEN), hex);
    *ret_check = json_pack("{s:s, s:s}", "method", "hmac-empty/16", "value", hex);
    return TBS_OK;
}

/* "parents" is the file's word; the judge holds it against the Name. */
static enum tbs_err attributes_of(const struct tpm_object *o, json_t **ret, struct tbs_diag *diag)
{
    VAULT_TRY(attest_attributes(o->area, ret, diag));
    if (o->blob.n_parents > 0)
        json_object_set_new(*ret, "parents", tpm_parents(&o->blob));
    return TBS_OK;
}

enum tbs_err tpm_object_tell(struct tpm_vault *v, const struct tpm_object *object, json_t **ret_key,
                             struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf spki = tbs_buf(), text = tbs_buf();
    json_t *attributes = NULL, *check = NULL;
    enum tbs_err err = attributes_of(object, &attributes, diag);
    if (err == TBS_OK)
        err = check_object(v, object, &check, diag);
    if (err == TBS_OK && object->blob.public.publicArea.type == TPM2_ALG_ECC)
        err = tpm_object_spki(object->area, &spki, diag);
    tbs_put_base64(&text, tbs_buf_view(&spki));
    json_t *key =
        err == TBS_OK ? json_pack("{s:O, s:O}", "attributes", attributes, "check", check) : NULL;
    if (key && spki.len > 0)
        json_object_set_new(key, "spki", json_stringn((const char *)text.data, text.len));
    json_decref(attributes);
    json_decref(check);
    if (err == TBS_OK && !key)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory describing a key");
    if (err == TBS_OK)
        *ret_key = key;
    return err;
}

/* --- The folder --- */

/* False: the file is none of a key's. */
static bool id_of(const char *name, char ret_id[CUSTODY_KEY_ID_MAX + 1])
{
    size_t len = strlen(name), suffix = strlen(SUFFIX);
    if (len <= suffix || len - suffix > CUSTODY_KEY_ID_MAX ||
        strcmp(name + len - suffix, SUFFIX) != 0)
        return false;
    snprintf(ret_id, CUSTODY_KEY_ID_MAX + 1, "%.*s", (int)(len - suffix), name);
    return true;
}

static int is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* In order; all files but that of the token itself. */
static enum tbs_err each_file(struct tpm_vault *v,
                              enum tbs_err (*found)(struct tpm_vault *v, const char *name,
                                                    void *ctx, struct tbs_diag *diag),
                              void *ctx, struct tbs_diag *diag)
{
    struct dirent **entries;
    int n = scandir(v->dir, &entries, is_entry, alphasort);
    enum tbs_err err = TBS_OK;
    if (n < 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot read %.200s: %s",
                            v->dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (err == TBS_OK && strcmp(entries[i]->d_name, TPM_TOKEN_FILE SUFFIX) != 0)
            err = found(v, entries[i]->d_name, ctx, diag);
        free(entries[i]);
    }
    free(entries);
    return err;
}

static enum tbs_err erase_one(struct tpm_vault *v, const char *name, void *ctx,
                              struct tbs_diag *diag)
{
    (void)ctx;
    return tpm_file_remove(v->dir, name, diag);
}

/* The token's own file goes last, so that a cut in between is seen. */
enum tbs_err tpm_vault_erase(struct tpm_vault *v, struct tbs_diag *diag)
{
    enum tbs_err err = each_file(v, erase_one, NULL, diag);
    return err != TBS_OK ? err : tpm_blob_remove(v->dir, TPM_TOKEN_FILE, diag);
}

enum tbs_err tpm_vault_none(struct tpm_vault *v, const char *id, struct tbs_diag *diag)
{
    struct tpm_blob blob;
    enum tbs_err err = tpm_blob_read(v->dir, id, &blob, NULL);
    return err == TBS_ERR_NOT_FOUND
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_EXISTS, "token '%s' has a key %s already", v->token.name,
                          id);
}

/* --- Inventories --- */

/* What is no key that this TPM takes is an object of class "file", which nobody expects. */
static enum tbs_err describe(struct tpm_vault *v, const char *name, json_t **ret_description,
                             struct tbs_diag *diag)
{
    struct tpm_object o;
    char id[CUSTODY_KEY_ID_MAX + 1];
    json_t *key = NULL;
    enum tbs_err err = id_of(name, id) ? tpm_object_load(v, id, &o, diag) : TBS_ERR_CONFIG;
    if (err == TBS_OK) {
        err = tpm_object_tell(v, &o, &key, diag);
        tpm_object_drop(v, &o);
    }
    if (err != TBS_OK && err != TBS_ERR_CONFIG)
        return err;
    const json_t *attributes = json_object_get(key, "attributes");
    json_t *is =
        key ? json_pack("{s:O, s:s, s:s, s:O, s:O}", "class", json_object_get(attributes, "type"),
                        "id", id, "label", o.blob.label, "attributes", attributes, "check",
                        json_object_get(key, "check"))
            : json_pack("{s:s, s:s, s:s, s:{}}", "class", "file", "id", name, "label", "",
                        "attributes");
    json_decref(key);
    if (!is)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory describing a key");
    *ret_description = is;
    return TBS_OK;
}

static enum tbs_err list_one(struct tpm_vault *v, const char *name, void *list,
                             struct tbs_diag *diag)
{
    json_t *is;
    enum tbs_err err = describe(v, name, &is, diag);
    return err == TBS_OK && json_array_append_new(list, is) != 0
               ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys")
               : err;
}

/* First of all, and as a private key without a check value: what it is, its Name says. */
static enum tbs_err list_storage(struct tpm_vault *v, json_t *list, struct tbs_diag *diag)
{
    struct tpm_object o;
    json_t *attributes = NULL;
    VAULT_TRY(tpm_vault_storage(v, &o, diag));
    VAULT_TRY(attributes_of(&o, &attributes, diag));
    json_t *is = json_pack("{s:s, s:s, s:s, s:o}", "class", "TPM2_ALG_ECC", "id", TPM_TOKEN_FILE,
                           "label", o.blob.label, "attributes", attributes);
    return json_array_append_new(list, is) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys");
}

enum tbs_err tpm_vault_inventory(struct vault *base, json_t **ret_objects, struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    VAULT_TRY(tpm_vault_use(v, diag));
    json_t *list = json_array();
    enum tbs_err err = list ? list_storage(v, list, diag)
                            : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing keys");
    if (err == TBS_OK)
        err = each_file(v, list_one, list, diag);
    if (err == TBS_OK)
        *ret_objects = list;
    else
        json_decref(list);
    return err;
}

/* --- Check values --- */

enum tbs_err tpm_vault_check(struct vault *base, const char *id, json_t **ret_check,
                             struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    struct tpm_object o;
    VAULT_TRY(tpm_object_load(v, id, &o, diag));
    enum tbs_err err = check_object(v, &o, ret_check, diag);
    tpm_object_drop(v, &o);
    return err;
}

enum tbs_err tpm_vault_confirm(struct vault *base, const char *id, const json_t *check,
                               struct tbs_diag *diag)
{
    json_t *is;
    VAULT_TRY(tpm_vault_check(base, id, &is, diag));
    bool same = json_equal(is, check);
    json_decref(is);
    return same ? TBS_OK
                : tbs_fail(diag, TBS_ERR_AUTH, "key %s on token '%s' has another check value", id,
                           tpm_vault(base)->token.name);
}

/* --- The end --- */

static enum tbs_err remove_file(struct tpm_vault *v, const json_t *object, const char *name,
                                struct tbs_diag *diag)
{
    return TPM_WITNESSED(v, "unlink",
                         json_pack("{s:O, s:O}", "id", json_object_get(object, "id"), "class",
                                   json_object_get(object, "class")),
                         diag, tpm_file_remove(v->dir, name, why));
}

struct hunt {
    const json_t *wanted; /* a description, or a check value */
    bool by_check, look_only;
    json_t *found;
    size_t examined;
};

static enum tbs_err hunt_one(struct tpm_vault *v, const char *name, void *ctx,
                             struct tbs_diag *diag)
{
    struct hunt *h = ctx;
    json_t *is;
    VAULT_TRY(describe(v, name, &is, diag));
    const json_t *check = json_object_get(is, "check");
    bool same =
        h->by_check
            ? json_equal(json_object_get(check, "method"), json_object_get(h->wanted, "method")) &&
                  json_equal(json_object_get(check, "value"), json_object_get(h->wanted, "value"))
            : json_equal(is, h->wanted);
    h->examined += check != NULL;
    enum tbs_err err = same && !h->look_only ? remove_file(v, is, name, diag) : TBS_OK;
    if (err == TBS_OK && same)
        json_array_append(h->found, is);
    json_decref(is);
    return err;
}

enum tbs_err tpm_vault_destroy_objects(struct vault *base, const json_t *objects,
                                       struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    enum tbs_err err = TBS_OK;
    size_t i;
    const json_t *object;
    json_array_foreach(objects, i, object)
    {
        struct hunt h = {.wanted = object, .found = json_array()};
        enum tbs_err one = each_file(v, hunt_one, &h, diag);
        if (one == TBS_OK && json_array_size(h.found) == 0)
            one = tbs_fail(diag, TBS_ERR_NOT_FOUND, "token '%s' has no such object %s",
                           v->token.name, json_string_value(json_object_get(object, "id")));
        json_decref(h.found);
        err = err != TBS_OK ? err : one;
    }
    return err;
}

/* A file that the TPM does not take is no key of it, and so none that is looked for. */
enum tbs_err tpm_vault_destroy_by_check(struct vault *base, const json_t *check,
                                        struct tbs_bytes pin, json_t **ret_done,
                                        struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    (void)pin; /* each command is authorised anyway */
    struct hunt first = {.wanted = check, .by_check = true, .found = json_array()};
    struct hunt again = {
        .wanted = check, .by_check = true, .look_only = true, .found = json_array()};
    enum tbs_err err = json_object_get(check, "method")
                           ? TBS_OK
                           : tbs_fail(diag, TBS_ERR_INVALID, "a check value has a method");
    if (err == TBS_OK)
        err = each_file(v, hunt_one, &first, diag);
    if (err == TBS_OK)
        err = each_file(v, hunt_one, &again, diag);
    if (err == TBS_OK && json_array_size(again.found) > 0)
        err = tbs_fail(diag, TBS_ERR_TOKEN, "token '%s' still has %zu keys of that check value",
                       v->token.name, json_array_size(again.found));
    if (err == TBS_OK)
        *ret_done = json_pack("{s:O, s:I, s:i}", "destroyed", first.found, "examined",
                              (json_int_t)again.examined, "left", 0);
    json_decref(first.found);
    json_decref(again.found);
    return err;
}
