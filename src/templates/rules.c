/* A key's attributes against its template, and what holds for every key. */
#include "templates/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/public.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/secret.h"

/* --- Findings --- */

struct judge {
    json_t *findings;
    const char *token;
    const json_t *waivers;
    const char *id; /* NULL: not said */
    bool failed;    /* out of memory */
};

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static enum tbs_err check_waivers(const json_t *waivers, struct tbs_diag *diag)
{
    static const char *const fields[] = {"rule", "token", "reason", "by"};
    size_t i;
    const json_t *waiver;
    json_array_foreach(waivers, i, waiver)
    {
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
            if (*text_of(waiver, fields[f]) == '\0')
                return tbs_fail(diag, TBS_ERR_MALFORMED,
                                "waiver %zu does not say its '%s'; it needs rule, token, reason "
                                "and by",
                                i + 1, fields[f]);
        }
    }
    return TBS_OK;
}

static json_t *waived(const struct judge *j, const char *rule)
{
    size_t i;
    const json_t *waiver;
    json_array_foreach(j->waivers, i, waiver)
    {
        if (strcmp(text_of(waiver, "rule"), rule) == 0 &&
            strcmp(text_of(waiver, "token"), j->token) == 0)
            return json_string(text_of(waiver, "reason"));
    }
    return json_null();
}

static void find(struct judge *j, const char *rule, const char *attribute, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void find(struct judge *j, const char *rule, const char *attribute, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    json_t *sentence = json_vsprintf(fmt, args);
    va_end(args);
    json_t *finding = json_pack("{s:s, s:s, s:o, s:o}", "rule", rule, "attribute", attribute,
                                "sentence", sentence, "waived", waived(j, rule));
    if (finding && j->id)
        j->failed |= json_object_set_new(finding, "id", json_string(j->id)) != 0;
    j->failed |= json_array_append_new(j->findings, finding) != 0;
}

static enum tbs_err start(struct judge *j, struct tbs_diag *diag)
{
    enum tbs_err err = check_waivers(j->waivers, diag);
    if (err != TBS_OK)
        return err;
    j->findings = json_array();
    return j->findings ? TBS_OK : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory judging keys");
}

static enum tbs_err finish(struct judge *j, enum tbs_err err, json_t **ret, struct tbs_diag *diag)
{
    if (err == TBS_OK && j->failed)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory judging keys");
    if (err == TBS_OK)
        *ret = j->findings;
    else
        json_decref(j->findings);
    return err;
}

bool rules_pass(const json_t *findings)
{
    size_t i;
    const json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        if (!json_is_string(json_object_get(finding, "waived")))
            return false;
    }
    return json_is_array(findings);
}

/* --- Against the template --- */

static const char *rule_of(const char *attribute)
{
    static const struct {
        const char *attribute, *rule;
    } rules[] = {
        {"CKA_CLASS", "R18"},
        {"CKA_KEY_TYPE", "R18"},
        {"CKA_TOKEN", "R5"},
        {"CKA_EXTRACTABLE", "R5"},
        {"CKA_ALWAYS_SENSITIVE", "R5"},
        {"CKA_NEVER_EXTRACTABLE", "R5"},
        {"CKA_LOCAL", "R8"},
        {"CKA_WRAP_WITH_TRUSTED", "R5"},
        {"CKA_PRIVATE", "R16"},
        {"CKA_SENSITIVE", "R16"},
        {"CKA_MODIFIABLE", "R3"},
        {"CKA_COPYABLE", "R3"},
        {"CKA_DESTROYABLE", "R3"},
        {"CKA_ALLOWED_MECHANISMS", "R4"},
        {"CKA_TRUSTED", "R6"},
        {"CKA_WRAP_TEMPLATE", "R6"},
        {"CKA_UNWRAP_TEMPLATE", "R7"},
        {"CKA_ALWAYS_AUTHENTICATE", "R15"},
        {"type", "R18"},
        {"curve", "R18"},
        {"scheme", "R4"},
        {"hash", "R4"},
        {"symmetric", "R4"},
        {"fixedTPM", "R5"},
        {"fixedParent", "R5"},
        {"encryptedDuplication", "R5"},
        {"sensitiveDataOrigin", "R8"},
        {"userWithAuth", "R16"},
        {"adminWithPolicy", "R16"},
        {"nameAlg", "R21"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(rules[i].attribute, attribute) == 0)
            return rules[i].rule;
    }
    return "R1"; /* what a key is used for */
}

static void judge_attribute(struct judge *j, const char *name, const json_t *want, const json_t *is)
{
    if (!is || json_is_null(is)) {
        find(j, "R19", name, "the token does not tell %s", name);
        return;
    }
    if (json_equal(is, want))
        return;
    char *must = json_dumps(want, JSON_COMPACT | JSON_ENCODE_ANY);
    char *found = json_dumps(is, JSON_COMPACT | JSON_ENCODE_ANY);
    find(j, rule_of(name), name, "%s is %.200s and must be %.200s", name, found ? found : "",
         must ? must : "");
    free(must);
    free(found);
}

static enum tbs_err judge_template(struct judge *j, const struct rules_subject *s,
                                   struct tbs_diag *diag)
{
    json_t *expected = NULL, *want;
    const char *name;
    enum tbs_err err = template_expected(s->template, s->profile, &expected, diag);
    if (err != TBS_OK)
        return err;
    json_object_foreach(expected, name, want)
        judge_attribute(j, name, want, json_object_get(s->attributes, name));
    json_decref(expected);
    return TBS_OK;
}

/* --- Of a TPM's objects --- */

static bool has_parents(const json_t *parents, uint8_t (*names)[ATTEST_NAME_LEN])
{
    size_t i;
    const json_t *parent;
    json_array_foreach(parents, i, parent)
    {
        const char *hex = json_string_value(parent);
        if (!hex || i == ATTEST_PARENTS_MAX || !tbs_unhex(hex, names[i], ATTEST_NAME_LEN))
            return false;
    }
    return true;
}

/* The id, and "parents", the Names of those who may get a copy, are bound in. */
static void judge_policy(struct judge *j, const struct rules_subject *s)
{
    const json_t *parents = json_object_get(s->attributes, "parents");
    uint8_t names[ATTEST_PARENTS_MAX][ATTEST_NAME_LEN], policy[ATTEST_DIGEST_LEN];
    char hex[2 * ATTEST_DIGEST_LEN + 1] = "";
    bool copied = strcmp(s->template->custody, "site-only") != 0;
    const char *id = template_stored_id(s->template, s->id ? s->id : "");
    if (copied != (json_array_size(parents) > 0))
        find(j, "R22", "authPolicy", "keys of template %s may %s", s->template->name,
             copied ? "be copied to somebody" : "not be copied");
    if (has_parents(parents, names) &&
        attest_key_policy(id, names, json_array_size(parents), policy, NULL) == TBS_OK)
        tbs_hex(tbs_bytes(policy, sizeof policy), hex);
    if (strcmp(hex, text_of(s->attributes, "authPolicy")) != 0)
        find(j, "R22", "authPolicy", "the Name binds another id than %.64s, or other parents", id);
}

/* All but "parents" follows from the public area. */
static void judge_area(struct judge *j, const struct rules_subject *s)
{
    TBS_BUF_AUTO struct tbs_buf area = tbs_buf();
    json_t *is = NULL, *told = json_copy((json_t *)s->attributes);
    json_object_del(told, "parents");
    if (!tbs_base64_decode(tbs_bytes_str(text_of(told, "public")), &area) ||
        attest_attributes(tbs_buf_view(&area), &is, NULL) != TBS_OK)
        find(j, "R21", "public", "what is told is no public area");
    else if (!json_equal(is, told))
        find(j, "R21", "name", "the Name or an attribute is not that of the public area");
    json_decref(is);
    json_decref(told);
}

/* --- Of every key --- */

static bool is(const json_t *attributes, const char *name, bool value)
{
    const json_t *a = json_object_get(attributes, name);
    return json_is_boolean(a) && json_is_true(a) == value;
}

static void judge_roles(struct judge *j, const json_t *a)
{
    bool wraps = is(a, "CKA_WRAP", true), unwraps = is(a, "CKA_UNWRAP", true);
    if (wraps && unwraps)
        find(j, "R2", "CKA_UNWRAP",
             "the key wraps and unwraps: what it wraps can be unwrapped "
             "with other attributes");
    if ((wraps || unwraps) && (is(a, "CKA_SIGN", true) || is(a, "CKA_VERIFY", true)))
        find(j, "R9", "CKA_SIGN",
             "the key makes MACs or signatures and wraps or unwraps: its "
             "MACs can be parts of wrapped keys");
}

/* Those that a well-moded token never lets meet. */
static void judge_pairs(struct judge *j, const json_t *a)
{
    static const struct {
        const char *one;
        bool one_is;
        const char *other;
        bool other_is;
    } pairs[] = {
        {"CKA_WRAP", true, "CKA_DECRYPT", true},
        {"CKA_UNWRAP", true, "CKA_ENCRYPT", true},
        {"CKA_WRAP", true, "CKA_SENSITIVE", false},
        {"CKA_WRAP", true, "CKA_ALWAYS_SENSITIVE", false},
        {"CKA_SENSITIVE", false, "CKA_EXTRACTABLE", false},
        {"CKA_SENSITIVE", false, "CKA_ALWAYS_SENSITIVE", true},
        {"CKA_EXTRACTABLE", true, "CKA_NEVER_EXTRACTABLE", true},
        {"CKA_ENCRYPT", true, "CKA_SIGN", true},
        {"CKA_ENCRYPT", true, "CKA_VERIFY", true},
        {"CKA_DECRYPT", true, "CKA_SIGN", true},
        {"CKA_DECRYPT", true, "CKA_VERIFY", true},
        {"CKA_ENCRYPT", true, "CKA_WRAP", true},
        {"CKA_DECRYPT", true, "CKA_UNWRAP", true},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (is(a, pairs[i].one, pairs[i].one_is) && is(a, pairs[i].other, pairs[i].other_is))
            find(j, "pair", pairs[i].other, "%s is %s and %s is %s, which must not meet",
                 pairs[i].one, pairs[i].one_is ? "true" : "false", pairs[i].other,
                 pairs[i].other_is ? "true" : "false");
    }
}

static void judge_mechanisms(struct judge *j, const json_t *attributes)
{
    static const char *const parts[] = {"EXTRACT_KEY", "XOR_BASE", "CONCATENATE", "ENCRYPT_DATA",
                                        "RSA_X_509",   "_ECB",     "_DES"};
    size_t i;
    const json_t *mechanism;
    json_array_foreach(json_object_get(attributes, "CKA_ALLOWED_MECHANISMS"), i, mechanism)
    {
        const char *name = json_string_value(mechanism);
        for (size_t p = 0; name && p < sizeof parts / sizeof *parts; p++) {
            if (strstr(name, parts[p]))
                find(j, "R14", "CKA_ALLOWED_MECHANISMS", "the key may be used with %.60s", name);
        }
    }
}

static void judge_check(struct judge *j, const struct rules_subject *s)
{
    const char *method = s->template->check_method;
    if (s->check && strcmp(text_of(s->check, "method"), method) != 0)
        find(j, "R10", "check", "the check value is of method '%.40s' and must be of '%s'",
             text_of(s->check, "method"), method);
    /* A sealed block is another each time; the token opens it to compare. */
    if (s->check && s->registered && strcmp(method, "aes-256-gcm-block") != 0 &&
        !json_equal(s->check, s->registered))
        find(j, "R12", "check", "the check value is %.70s and the registry has %.70s",
             text_of(s->check, "value"), text_of(s->registered, "value"));
}

static enum tbs_err judge_key(struct judge *j, const struct rules_subject *s, struct tbs_diag *diag)
{
    enum tbs_err err = judge_template(j, s, diag);
    if (err != TBS_OK)
        return err;
    judge_roles(j, s->attributes);
    judge_pairs(j, s->attributes);
    judge_mechanisms(j, s->attributes);
    judge_check(j, s);
    if (template_is_of_tpm(s->template)) {
        judge_area(j, s);
        judge_policy(j, s);
    }
    if (!s->reopened && s->profile != TEMPLATE_BORN && s->profile != TEMPLATE_VISITING)
        find(j, "R17", "", "the attributes were read in the session that made the key");
    return TBS_OK;
}

enum tbs_err rules_judge_key(const struct rules_subject *subject, const char *token,
                             const json_t *waivers, json_t **ret_findings, struct tbs_diag *diag)
{
    struct judge j = {.token = token, .waivers = waivers};
    enum tbs_err err = start(&j, diag);
    if (err == TBS_OK)
        err = judge_key(&j, subject, diag);
    return finish(&j, err, ret_findings, diag);
}

/* --- Inventories --- */

static bool same_field(const json_t *a, const json_t *b, const char *name)
{
    return strcmp(text_of(a, name), text_of(b, name)) == 0;
}

static bool same_object(const json_t *a, const json_t *b)
{
    return same_field(a, b, "class") && same_field(a, b, "id");
}

static const json_t *entry_for(const json_t *list, const json_t *object)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        if (same_object(entry, object))
            return entry;
    }
    return NULL;
}

static enum tbs_err judge_entry(struct judge *j, const json_t *object, const json_t *entry,
                                struct tbs_diag *diag)
{
    struct rules_subject s = {
        .id = text_of(object, "id"),
        .attributes = json_object_get(object, "attributes"),
        .check = json_object_get(object, "check"),
        .registered = json_object_get(entry, "check"),
        .reopened = true,
    };
    enum tbs_err err = template_find(text_of(entry, "template"), &s.template, diag);
    if (err == TBS_OK && !template_profile_find(text_of(entry, "profile"), &s.profile))
        err = tbs_fail(diag, TBS_ERR_INVALID, "there is no profile '%.40s' of keys",
                       text_of(entry, "profile"));
    return err == TBS_OK ? judge_key(j, &s, diag) : err;
}

static void judge_twins(struct judge *j, const json_t *objects, size_t at)
{
    const json_t *object = json_array_get(objects, at);
    const json_t *check = json_object_get(object, "check");
    for (size_t i = 0; i < at; i++) {
        const json_t *other = json_array_get(objects, i);
        if (!same_field(object, other, "class"))
            continue;
        if (same_field(object, other, "id"))
            find(j, "R13", "CKA_ID", "two objects have the id %.64s", text_of(object, "id"));
        if (check && json_equal(check, json_object_get(other, "check")))
            find(j, "R13", "check", "it is the same key as %.64s: a clone", text_of(other, "id"));
    }
}

static enum tbs_err judge_objects(struct judge *j, const json_t *objects, const json_t *expected,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    for (size_t i = 0; i < json_array_size(objects) && err == TBS_OK; i++) {
        const json_t *object = json_array_get(objects, i);
        const json_t *entry = entry_for(expected, object);
        j->id = text_of(object, "id");
        judge_twins(j, objects, i);
        if (entry)
            err = judge_entry(j, object, entry, diag);
        else
            find(j, "R18", "CKA_ID", "nobody knows this object of class %.40s",
                 text_of(object, "class"));
    }
    return err;
}

static void judge_missing(struct judge *j, const json_t *objects, const json_t *expected)
{
    for (size_t i = 0; i < json_array_size(expected); i++) {
        const json_t *entry = json_array_get(expected, i);
        j->id = text_of(entry, "id");
        if (!entry_for(objects, entry))
            find(j, "R18", "CKA_ID", "the object of class %.40s is not there",
                 text_of(entry, "class"));
    }
}

enum tbs_err rules_judge_inventory(const json_t *objects, const json_t *expected, const char *token,
                                   const json_t *waivers, json_t **ret_findings,
                                   struct tbs_diag *diag)
{
    struct judge j = {.token = token, .waivers = waivers};
    enum tbs_err err = start(&j, diag);
    if (err == TBS_OK)
        err = judge_objects(&j, objects, expected, diag);
    if (err == TBS_OK)
        judge_missing(&j, objects, expected);
    return finish(&j, err, ret_findings, diag);
}
