/* Keys of an attacker's that are made to pass for ours: the token refuses to make them, or the
 * service recognises them. */
#include "selftest_checks.h"

/* What the service says of an object that claims to be a TPK. */
static void judge_planted(struct checks *c, CK_OBJECT_HANDLE object, const char *meaning,
                          struct selftest_finding *f)
{
    struct custody_key key;
    struct tbs_diag why = {0};
    enum tbs_err err = trial_judge(&c->trial, CUSTODY_HMAC_SHA_256, object, &key, &why);
    if (err == TBS_OK)
        selftest_says(f, SELFTEST_DANGER, check_unusable, "it passes for a key of the KMS: %s",
                      meaning);
    else if (err == TBS_ERR_CONFIG)
        selftest_says(f, SELFTEST_REFUSED, NULL, "the token makes it, the KMS recognises it: %s",
                      why.text);
    else
        selftest_says(f, SELFTEST_UNFIT, check_unusable,
                      "the token makes it, and cannot say what it is: %s", why.text);
}

static const uint8_t planted_value[32] = "known to everybody who reads it";

static CK_RV create_planted(struct checks *c, struct trial_template *t,
                            CK_OBJECT_HANDLE *ret_object)
{
    trial_octets(t, CKA_VALUE, planted_value, sizeof planted_value);
    return c->trial.token->f->C_CreateObject(c->trial.session, t->list, t->n, ret_object);
}

static CK_RV wrap_and_unwrap(struct checks *c, CK_MECHANISM mechanism, CK_OBJECT_HANDLE object,
                             struct trial_template *t, CK_OBJECT_HANDLE *ret_object)
{
    CK_OBJECT_HANDLE with;
    CK_BYTE wrapped[256];
    CK_ULONG len = sizeof wrapped;
    CK_FUNCTION_LIST *p = c->trial.token->f;
    CK_RV rv = check_attackers_key(c, &with);
    if (rv == CKR_OK)
        rv = p->C_WrapKey(c->trial.session, &mechanism, with, object, wrapped, &len);
    if (rv != CKR_OK)
        return rv;
    return p->C_UnwrapKey(c->trial.session, &mechanism, with, wrapped, len, t->list, t->n,
                          ret_object);
}

/* A key that holds the planted value is wrapped, and comes back as one of ours. */
static CK_RV unwrap_planted(struct checks *c, struct trial_template *t,
                            CK_OBJECT_HANDLE *ret_object)
{
    CK_BYTE iv[16] = {0};
    struct trial_template source;
    CK_OBJECT_HANDLE object;
    trial_template(&source, CKK_GENERIC_SECRET);
    trial_flag(&source, CKA_TOKEN, false);
    trial_flag(&source, CKA_EXTRACTABLE, true);
    trial_octets(&source, CKA_VALUE, planted_value, sizeof planted_value);
    CK_RV rv = c->trial.token->f->C_CreateObject(c->trial.session, source.list, source.n, &object);
    if (rv != CKR_OK)
        return rv;
    rv = wrap_and_unwrap(c, (CK_MECHANISM){CKM_AES_KEY_WRAP, NULL, 0}, object, t, ret_object);
    return rv == CKR_OK ? rv
                        : wrap_and_unwrap(c, (CK_MECHANISM){CKM_AES_CBC, iv, sizeof iv}, object, t,
                                          ret_object);
}

static CK_RV generate_extractable(struct checks *c, struct trial_template *t,
                                  CK_OBJECT_HANDLE *ret_object)
{
    trial_flag(t, CKA_EXTRACTABLE, true);
    return trial_make(&c->trial, CKM_GENERIC_SECRET_KEY_GEN, t, ret_object);
}

/* Wrapped out while it was extractable, and then made to look as if it never was. */
static CK_RV generate_and_hide(struct checks *c, struct trial_template *t,
                               CK_OBJECT_HANDLE *ret_object)
{
    static const CK_ATTRIBUTE_TYPE flags[] = {CKA_EXTRACTABLE, CKA_MODIFIABLE};
    trial_flag(t, CKA_MODIFIABLE, true);
    trial_flag(t, CKA_EXTRACTABLE, true);
    CK_RV rv = trial_make(&c->trial, CKM_GENERIC_SECRET_KEY_GEN, t, ret_object);
    for (size_t i = 0; i < 2 && rv == CKR_OK; i++) {
        CK_BBOOL no = CK_FALSE;
        CK_ATTRIBUTE off = {flags[i], &no, sizeof no};
        CK_RV set = c->trial.token->f->C_SetAttributeValue(c->trial.session, *ret_object, &off, 1);
        rv = flags[i] == CKA_EXTRACTABLE ? set : CKR_OK;
    }
    return rv;
}

/* First the whole disguise, then without what some tokens do not know. */
static void plant(struct checks *c, struct selftest_finding *f, const char *meaning,
                  CK_RV (*make)(struct checks *, struct trial_template *, CK_OBJECT_HANDLE *))
{
    struct check_attempts a = {0};
    for (int bare = 0; bare < 2; bare++) {
        struct trial_template t;
        CK_OBJECT_HANDLE object;
        trial_template_tpk(&t, bare);
        CK_RV rv = make(c, &t, &object);
        if (rv == CKR_OK) {
            judge_planted(c, object, meaning, f);
            return;
        }
        check_attempt(&a, "", rv);
    }
    check_conclude(&a, f, meaning);
}

static void plant_created(struct checks *c, struct selftest_finding *f)
{
    plant(c, f, "tickets could be made under a key that the attacker knows", create_planted);
}

static void plant_unwrapped(struct checks *c, struct selftest_finding *f)
{
    plant(c, f, "tickets could be made under a key that the attacker knows", unwrap_planted);
}

static void plant_extractable(struct checks *c, struct selftest_finding *f)
{
    plant(c, f, "it can be taken out again", generate_extractable);
}

static void plant_hidden(struct checks *c, struct selftest_finding *f)
{
    plant(c, f, "it may have been taken out before", generate_and_hide);
}

const struct check checks_planted[] = {
    {"plant a known key", plant_created},
    {"plant a wrapped key", plant_unwrapped},
    {"plant an extractable key", plant_extractable},
    {"hide that it was extractable", plant_hidden},
    {0},
};
