#include "trial.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define LABEL "tbs-kms token trial"
#define ID_PREFIX "test-"

/* --- Throw-away keys and their end --- */

static void make_id(char ret_id[TRIAL_ID_MAX])
{
    uint64_t octets = 0;
    RAND_bytes((unsigned char *)&octets, sizeof octets);
    snprintf(ret_id, TRIAL_ID_MAX, ID_PREFIX "%016llx", (unsigned long long)octets);
}

static bool begins(const CK_ATTRIBUTE *a, const char *text)
{
    return a->ulValueLen != CK_UNAVAILABLE_INFORMATION && a->ulValueLen >= strlen(text) &&
           memcmp(a->pValue, text, strlen(text)) == 0;
}

static bool is_throw_away(const struct trial *t, CK_OBJECT_HANDLE object)
{
    CK_BYTE id[TRIAL_ID_MAX] = {0}, label[sizeof LABEL] = {0};
    CK_ATTRIBUTE told[] = {{CKA_ID, id, sizeof id}, {CKA_LABEL, label, sizeof label}};
    return t->token->f->C_GetAttributeValue(t->session, object, told, 2) == CKR_OK &&
           begins(&told[0], ID_PREFIX) && begins(&told[1], LABEL);
}

/* Up to max of them. */
static CK_RV find_some(const struct trial *t, CK_OBJECT_HANDLE *found, size_t max, size_t *ret_n)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}};
    CK_OBJECT_HANDLE object;
    CK_ULONG n = 0;
    size_t kept = 0;
    CK_RV rv = t->token->f->C_FindObjectsInit(t->session, template, 1);
    if (rv != CKR_OK)
        return rv;
    do {
        rv = t->token->f->C_FindObjects(t->session, &object, 1, &n);
        if (rv == CKR_OK && n == 1 && is_throw_away(t, object))
            found[kept++] = object;
    } while (rv == CKR_OK && n == 1 && kept < max);
    t->token->f->C_FindObjectsFinal(t->session);
    *ret_n = kept;
    return rv;
}

static enum tbs_err remove_all(struct trial *t, size_t *ret_n, struct tbs_diag *diag)
{
    CK_OBJECT_HANDLE found[64];
    size_t n, removed = 0;
    do {
        CK_RV rv = find_some(t, found, sizeof found / sizeof *found, &n);
        for (size_t i = 0; i < n && rv == CKR_OK; i++, removed++)
            rv = t->token->f->C_DestroyObject(t->session, found[i]);
        if (rv != CKR_OK)
            return p11_fail(diag, rv,
                            "removing the throw-away keys of token '%s' (label '" LABEL "')",
                            t->token->name);
    } while (n > 0);
    *ret_n = removed;
    return TBS_OK;
}

/* --- Opening and closing --- */

static void close_token(struct trial *t)
{
    if (t->session != CK_INVALID_HANDLE)
        t->token->f->C_CloseSession(t->session);
    t->ops->close(t->token);
    pin_keeper_free(&t->pin);
}

enum tbs_err trial_open(const struct custody_token_config *config, struct trial *ret_trial,
                        size_t *ret_leftovers, struct tbs_diag *diag)
{
    struct trial *t = ret_trial;
    void *token;
    *t = (struct trial){.pin = {.source = config->pin_source,
                                .tcti = config->tcti,
                                .records = config->pin_records}};
    struct custody_opening opening = {config, &t->pin, t->stats};
    enum tbs_err err = custody_backend_pkcs11(&t->ops, diag);
    if (err == TBS_OK)
        err = t->ops->prepare(config, diag);
    if (err == TBS_OK)
        err = pin_prepare(&t->pin, diag);
    if (err == TBS_OK)
        err = t->ops->open(&opening, &token, diag);
    if (err != TBS_OK)
        return err;
    t->token = token;
    err = p11_open_handle(t->token, true, &t->session, diag);
    if (err == TBS_OK)
        err = remove_all(t, ret_leftovers, diag);
    if (err != TBS_OK)
        close_token(t);
    return err;
}

/* In another session: the one before may be in any state. */
enum tbs_err trial_close(struct trial *t, struct tbs_diag *diag)
{
    size_t n;
    t->token->f->C_CloseSession(t->session);
    t->session = CK_INVALID_HANDLE;
    enum tbs_err err = p11_open_handle(t->token, true, &t->session, diag);
    if (err == TBS_OK)
        err = remove_all(t, &n, diag);
    close_token(t);
    return err;
}

/* --- Keys as ours --- */

static const struct {
    const char *id;
    enum custody_role role;
} names[] = {
    [CUSTODY_HMAC_SHA_1] = {"tpk-sha1-test", CUSTODY_ROLE_TPK},
    [CUSTODY_HMAC_SHA_256] = {"tpk-test", CUSTODY_ROLE_TPK},
    [CUSTODY_AES_256_GCM] = {"kek-test", CUSTODY_ROLE_KEK},
};

enum tbs_err trial_judge(struct trial *t, enum custody_alg alg, CK_OBJECT_HANDLE object,
                         struct custody_key *ret_key, struct tbs_diag *diag)
{
    return p11_judge_key(t->token, object, names[alg].id, names[alg].role, ret_key, diag);
}

enum tbs_err trial_generate(struct trial *t, enum custody_alg alg, struct custody_key *ret_key,
                            struct tbs_diag *diag)
{
    char id[TRIAL_ID_MAX];
    CK_OBJECT_HANDLE object;
    make_id(id);
    CK_RV rv = p11_generate(t->token, t->session, alg, id, LABEL, &object);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "generating %s", custody_alg_name(alg));
    return trial_judge(t, alg, object, ret_key, diag);
}

/* --- Other keys --- */

void trial_octets(struct trial_template *t, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    CK_ATTRIBUTE attribute = {type, (void *)value, len};
    CK_ULONG i = 0;
    while (i < t->n && t->list[i].type != type)
        i++;
    t->list[i] = attribute;
    if (i < t->n)
        return;
    t->n++;
    if (i > 0 && t->list[i - 1].type == CKA_MODIFIABLE) {
        t->list[i] = t->list[i - 1];
        t->list[i - 1] = attribute;
    }
}

void trial_flag(struct trial_template *t, CK_ATTRIBUTE_TYPE type, bool value)
{
    static const CK_BBOOL values[] = {CK_FALSE, CK_TRUE};
    trial_octets(t, type, &values[value], sizeof(CK_BBOOL));
}

void trial_template(struct trial_template *ret, CK_KEY_TYPE type)
{
    *ret = (struct trial_template){.class = CKO_SECRET_KEY, .type = type, .len = 32};
    make_id(ret->id);
    trial_octets(ret, CKA_CLASS, &ret->class, sizeof ret->class);
    trial_octets(ret, CKA_KEY_TYPE, &ret->type, sizeof ret->type);
    trial_octets(ret, CKA_ID, ret->id, strlen(ret->id));
    trial_octets(ret, CKA_LABEL, LABEL, strlen(LABEL));
}

void trial_template_tpk(struct trial_template *ret, bool plain)
{
    trial_template(ret, CKK_GENERIC_SECRET);
    trial_flag(ret, CKA_TOKEN, true);
    trial_flag(ret, CKA_PRIVATE, true);
    trial_flag(ret, CKA_SENSITIVE, true);
    trial_flag(ret, CKA_EXTRACTABLE, false);
    trial_flag(ret, CKA_SIGN, true);
    trial_flag(ret, CKA_VERIFY, true);
    trial_flag(ret, CKA_ENCRYPT, false);
    trial_flag(ret, CKA_DECRYPT, false);
    trial_flag(ret, CKA_WRAP, false);
    trial_flag(ret, CKA_UNWRAP, false);
    trial_flag(ret, CKA_DERIVE, false);
    trial_flag(ret, CKA_MODIFIABLE, false);
    if (plain)
        return;
    ret->mechanism = CKM_SHA256_HMAC;
    trial_octets(ret, CKA_ALLOWED_MECHANISMS, &ret->mechanism, sizeof ret->mechanism);
    trial_flag(ret, CKA_COPYABLE, false);
    trial_flag(ret, CKA_DESTROYABLE, true);
}

CK_RV trial_make(const struct trial *trial, CK_MECHANISM_TYPE generation, struct trial_template *t,
                 CK_OBJECT_HANDLE *ret_object)
{
    CK_MECHANISM mechanism = {generation, NULL, 0};
    trial_octets(t, CKA_VALUE_LEN, &t->len, sizeof t->len);
    return trial->token->f->C_GenerateKey(trial->session, &mechanism, t->list, t->n, ret_object);
}
