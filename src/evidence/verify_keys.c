/* What tokens hold: attributes, check values, inventories. */
#include "evidence/verify_internal.h"

#include <stdio.h>
#include <string.h>

#include "templates/rules.h"

#define NAME_MAX_LEN 200
#define STORAGE "TPM2_ALG_ECC token" /* in every token in a TPM */
#define TRUSTED_TEMPLATE "transport-public-wrap-v1"

static const struct key_template *tpm_template(const char *name)
{
    const struct key_template *template;
    return template_find(name, &template, NULL) == TBS_OK && template_is_of_tpm(template) ? template
                                                                                          : NULL;
}

/* A TPM has both halves in one object. */
static bool is_pair(const char *template)
{
    return !tpm_template(template) && (strstr(template, "ecdsa") || strstr(template, "rsa"));
}

static bool is_trusted(const char *template)
{
    return strcmp(template, TRUSTED_TEMPLATE) == 0;
}

/* --- Attributes --- */

struct subject {
    const char *token, *id, *class;
    const json_t *attributes;
};

static void wrong(struct verifier *v, const struct subject *s, const char *rule,
                  const char *attribute, const char *what)
{
    if (verify_waived(v, rule, s->id, s->token) || verify_waived(v, attribute, s->id, s->token))
        return;
    verify_tell(v, rule, v->line, "key %.64s on token %.64s %s (%s)", s->id, s->token, what,
                attribute);
}

static bool is(const struct subject *s, const char *attribute)
{
    return json_is_true(json_object_get(s->attributes, attribute));
}

static void check_role(struct verifier *v, const struct subject *s)
{
    int roles = is(s, "CKA_WRAP") + is(s, "CKA_UNWRAP") +
                (is(s, "CKA_ENCRYPT") || is(s, "CKA_DECRYPT")) +
                (is(s, "CKA_SIGN") || is(s, "CKA_VERIFY"));
    if (is(s, "CKA_DERIVE"))
        wrong(v, s, "R1", "CKA_DERIVE", "can derive");
    if (roles != 1)
        wrong(v, s, "R1", "CKA_SIGN, CKA_WRAP and others", "has not exactly one role");
}

/* What must be true of every key that stays, whatever its template says. */
static void check_always(struct verifier *v, const struct subject *s)
{
    bool public = strcmp(s->class, "CKO_PUBLIC_KEY") == 0;
    if (public && !is(s, "CKA_TRUSTED"))
        return; /* it protects nothing: its check value is its identity */
    if (!json_is_false(json_object_get(s->attributes, "CKA_MODIFIABLE")))
        wrong(v, s, "R3", "CKA_MODIFIABLE", "can be modified");
    if (json_array_size(json_object_get(s->attributes, "CKA_ALLOWED_MECHANISMS")) == 0)
        wrong(v, s, "R4", "CKA_ALLOWED_MECHANISMS", "has no list of mechanisms");
    check_role(v, s);
    if (public)
        return;
    if (!json_is_false(json_object_get(s->attributes, "CKA_EXTRACTABLE")))
        wrong(v, s, "R5", "CKA_EXTRACTABLE", "can be extracted");
    if (!is(s, "CKA_SENSITIVE"))
        wrong(v, s, "R16", "CKA_SENSITIVE", "can be read");
    if (!is(s, "CKA_PRIVATE"))
        wrong(v, s, "R16", "CKA_PRIVATE", "can be used without a PIN");
}

static void check_template(struct verifier *v, const struct subject *s, const char *name,
                           const char *profile);

/* Of a TPM's object all is in its public area, and its template says all of it. */
static void check_key(struct verifier *v, const struct subject *s, const char *template)
{
    const struct key_template *of_tpm = tpm_template(template);
    if (!of_tpm)
        check_always(v, s);
    else
        check_template(v, s, template,
                       of_tpm->profiles & 1u << TEMPLATE_SITE_ONLY ? "site-only" : "sealed");
}

/* What its template says of it at this stage of its life. */
static void check_template(struct verifier *v, const struct subject *s, const char *name,
                           const char *profile)
{
    struct rules_subject subject = {.id = s->id, .attributes = s->attributes, .reopened = true};
    json_t *findings = NULL, *finding;
    size_t i;
    if (!template_profile_find(profile, &subject.profile) ||
        template_find(name, &subject.template, v->diag) != TBS_OK ||
        rules_judge_key(&subject, s->token, NULL, &findings, v->diag) != TBS_OK) {
        verify_tell(v, "template", v->line, "key %.64s cannot be judged by template %.64s as %.20s",
                    s->id, name, profile);
        return;
    }
    json_array_foreach(findings, i, finding)
    {
        if (!verify_waived(v, verify_text(finding, "rule"), s->id, s->token))
            verify_tell(v, verify_text(finding, "rule"), v->line, "key %.64s on token %.64s: %s",
                        s->id, s->token, verify_text(finding, "sentence"));
    }
    json_decref(findings);
}

/* --- Keys that are made --- */

static json_t *objects_of(struct verifier *v, const char *token)
{
    json_t *objects = json_object_get(v->objects, token);
    if (!objects) {
        objects = json_object();
        verify_set(v, v->objects, token, objects);
    }
    return objects;
}

void verify_expect(struct verifier *v, const char *token, const char *class, const char *id)
{
    char name[NAME_MAX_LEN];
    snprintf(name, sizeof name, "%s %.100s", class, id);
    verify_set(v, objects_of(v, token), name, json_true());
}

static const char *secret_class(const char *template)
{
    const struct key_template *of_tpm = tpm_template(template);
    return of_tpm ? template_class(of_tpm, TEMPLATE_SITE_ONLY) : "CKO_SECRET_KEY";
}

/* Transport keys, and those that attest, are made by steps that name no key. */
static const char *template_of(const struct verifier *v, const char *id, const char *named)
{
    const json_t *key = verify_find(json_object_get(v->script, "keys"), id);
    if (key && strcmp(verify_text(key, "role"), "escrow") == 0)
        return TRUSTED_TEMPLATE; /* of its halves only the public one is ever made in a token */
    if (key)
        return verify_text(key, "template");
    bool alone = (strncmp(id, "transport-", 10) == 0 && strncmp(named, "transport-", 10) == 0) ||
                 (strncmp(id, "attest-", 7) == 0 && strncmp(named, "attest-", 7) == 0);
    return alone ? named : NULL;
}

static bool wraps(const struct verifier *v, const char *id)
{
    return strcmp(verify_text(json_object_get(v->keys, id), "role"), "transport") == 0 ||
           verify_is_escrow(v, id);
}

static const struct signed_signer *public_file(const struct verifier *v, const char *id)
{
    char file[NAME_MAX_LEN];
    snprintf(file, sizeof file, "%.64s.pem", id);
    return verify_public_named(v, file);
}

/* At the end: a step that was cut off made another one, whose file is gone. */
void verify_wrapping_keys_end(struct verifier *v)
{
    const char *id;
    json_t *key;
    json_object_foreach(v->keys, id, key)
    {
        const struct signed_signer *public = wraps(v, id) ? public_file(v, id) : NULL;
        if (public && strcmp(public->key, verify_text(key, "value")) != 0)
            verify_tell(v, "check", v->line,
                        "the public half of %.64s in keys/ is %.64s, and in the tokens %.64s", id,
                        public->key, verify_text(key, "value"));
    }
}

void verify_keygen(struct verifier *v, const json_t *line)
{
    const char *token = verify_text(line, "token"), *id = verify_text(line, "id");
    const char *named = verify_text(line, "template"), *template = template_of(v, id, named);
    const json_t *said = verify_find(json_object_get(v->script, "keys"), id);
    json_t *key = json_object_get(v->keys, id);
    if (!template)
        verify_tell(v, "key", v->line, "the script makes no key %.64s", id);
    else if (strcmp(template, named) != 0)
        verify_tell(v, "template", v->line,
                    "key %.64s was made by template %.64s, and the script says %s", id, named,
                    template);
    if (!key) {
        key = json_pack("{s:s, s:s, s:{}}", "template", named, "role",
                        said                             ? verify_text(said, "role")
                        : strncmp(id, "attest-", 7) == 0 ? "attest"
                                                         : "transport",
                        "wrapped");
        verify_set(v, v->keys, id, key);
    }
    if (wraps(v, id) && !public_file(v, id))
        verify_tell(v, "key", v->line, "the public half of %.64s is not in keys/", id);
    struct subject s = {token, id, is_trusted(named) ? "CKO_PUBLIC_KEY" : "",
                        json_object_get(line, "attributes")};
    check_key(v, &s, named);
    if (tpm_template(named) && strncmp(named, "transport-", 10) == 0)
        return; /* the storage key, which is there since the token was made */
    if (is_trusted(named) || is_pair(named))
        verify_expect(v, token, "CKO_PUBLIC_KEY", id);
    if (!is_trusted(named))
        verify_expect(v, token, is_pair(named) ? "CKO_PRIVATE_KEY" : secret_class(named), id);
}

void verify_judge(struct verifier *v, const json_t *line, const char *template)
{
    const char *id = verify_text(line, "id"), *profile = verify_text(line, "profile");
    struct subject s = {verify_text(line, "token"), id, "", json_object_get(line, "attributes")};
    if (strcmp(verify_text(line, "verdict"), "pass") != 0)
        verify_tell(v, "template", v->line,
                    "key %.64s on token %.64s was not as its template says, by the record's own "
                    "judgement",
                    id, s.token);
    if (strcmp(profile, "trusted") == 0)
        s.class = "CKO_PUBLIC_KEY";
    if (!tpm_template(template))
        check_always(v, &s);
    check_template(v, &s, template, profile);
    if (tpm_template(template))
        verify_name(v, s.token, id, s.attributes);
}

void verify_attr(struct verifier *v, const json_t *line)
{
    const char *id = verify_text(line, "id");
    bool trusted = strcmp(verify_text(line, "profile"), "trusted") == 0;
    struct subject s = {verify_text(line, "token"), id, "", NULL};
    if (!json_is_true(json_object_get(line, "reopened")))
        wrong(v, &s, "R17", "all attributes", "was not read back by a new process");
    verify_judge(v, line,
                 trusted ? TRUSTED_TEMPLATE
                         : verify_text(json_object_get(v->keys, id), "template"));
}

/* --- Check values --- */

void verify_kcv(struct verifier *v, const json_t *line)
{
    const char *id = verify_text(line, "id"), *token = verify_text(line, "token");
    const char *method = verify_text(line, "method"), *value = verify_text(line, "value");
    json_t *key = json_object_get(v->keys, id);
    if (!key) {
        verify_tell(v, "key", v->line, "nothing says how key %.64s came to token %.64s", id, token);
        return;
    }
    if (!verify_text(key, "value")[0]) {
        verify_set(v, key, "method", json_string(method));
        verify_set(v, key, "value", json_string(value));
    } else if (strcmp(verify_text(key, "method"), method) != 0 ||
               strcmp(verify_text(key, "value"), value) != 0) {
        verify_tell(v, "check", v->line,
                    "the check value of key %.64s on token %.64s is %.88s, and elsewhere %s", id,
                    token, value, verify_text(key, "value"));
    }
}

/* --- What is done with them --- */

void verify_unwrap(struct verifier *v, const json_t *line)
{
    const char *id = verify_text(line, "id"), *token = verify_text(line, "token");
    const json_t *key = json_object_get(v->keys, id);
    const char *from = verify_text(line, "from");
    if (!json_object_get(json_object_get(key, "wrapped"), from[0] ? from : token))
        verify_tell(v, "blob", v->line,
                    "key %.64s was unwrapped on token %.64s, and nothing was wrapped to %.64s", id,
                    token, from[0] ? from : "it");
    if (from[0] && strcmp(from, verify_text(v->step, "from")) != 0)
        verify_tell(v, "escrow", v->line, "the script recovers nothing from %.64s here", from);
    verify_expect(v, token, secret_class(verify_text(key, "template")), id);
}

void verify_attack(struct verifier *v, const json_t *line)
{
    size_t i;
    json_t *attempt;
    const json_t *attempts = json_object_get(line, "attempts");
    if (json_array_size(attempts) == 0)
        verify_tell(v, "attack", v->line, "nothing was tried against key %.64s",
                    verify_text(line, "id"));
    json_array_foreach(attempts, i, attempt)
    {
        if (!json_is_true(json_object_get(attempt, "refused")))
            verify_tell(v, "attack", v->line, "token %.64s let somebody %.60s on key %.64s",
                        verify_text(line, "token"), verify_text(attempt, "name"),
                        verify_text(line, "id"));
    }
}

void verify_destroy(struct verifier *v, const json_t *line)
{
    static const char *const classes[] = {"CKO_SECRET_KEY", "CKO_PRIVATE_KEY", "CKO_PUBLIC_KEY",
                                          "TPM2_ALG_KEYEDHASH", "TPM2_ALG_ECC"};
    const char *id = verify_text(line, "id"), *token = verify_text(line, "token");
    const json_t *left = json_object_get(json_object_get(line, "absence"), "left");
    if (!json_is_integer(left) || json_integer_value(left) != 0)
        verify_tell(v, "destroy", v->line,
                    "key %.64s was destroyed on token %.64s, and is still there", id, token);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        char name[NAME_MAX_LEN];
        snprintf(name, sizeof name, "%s %.100s", classes[i], id);
        json_object_del(objects_of(v, token), name);
    }
}

/* --- Inventories --- */

static void check_identity(struct verifier *v, const char *token, const json_t *object)
{
    const json_t *check = json_object_get(object, "check");
    const char *own = verify_text(object, "id"), *id;
    json_t *key;
    json_object_foreach(v->keys, id, key)
    {
        bool same = verify_text(check, "value")[0] &&
                    strcmp(verify_text(check, "value"), verify_text(key, "value")) == 0 &&
                    strcmp(verify_text(check, "method"), verify_text(key, "method")) == 0;
        if (same && strcmp(id, own) != 0)
            verify_tell(v, "clone", v->line, "object %.64s on token %.64s is a clone of key %s",
                        own, token, id);
        if (!same && strcmp(id, own) == 0 && json_is_object(check))
            verify_tell(v, "check", v->line,
                        "the check value of key %s on token %.64s is %.88s, and elsewhere %s", id,
                        token, verify_text(check, "value"), verify_text(key, "value"));
    }
}

static void check_object(struct verifier *v, const char *token, const json_t *expected,
                         json_t *seen, const json_t *object)
{
    char name[NAME_MAX_LEN];
    const char *id = verify_text(object, "id"), *class = verify_text(object, "class");
    struct subject s = {token, id, class, json_object_get(object, "attributes")};
    snprintf(name, sizeof name, "%.60s %.100s", class, id);
    if (json_object_get(seen, name))
        verify_tell(v, "clone", v->line, "key %.64s is twice on token %.64s", id, token);
    verify_set(v, seen, name, json_true());
    check_identity(v, token, object);
    if (!json_object_get(expected, name))
        verify_tell(v, "unknown-object", v->line,
                    "token %.64s holds an object that nobody knows: %.60s, id %.64s, label %.64s",
                    token, class, id, verify_text(object, "label"));
    else
        check_key(v, &s,
                  strcmp(name, STORAGE) == 0
                      ? "transport-storage-p256-tpm-v1"
                      : verify_text(json_object_get(v->keys, id), "template"));
}

void verify_inventory(struct verifier *v, const json_t *line)
{
    const char *token = verify_text(line, "token"), *name;
    json_t *expected = objects_of(v, token), *seen = json_object(), *object, *value;
    size_t i;
    json_array_foreach(json_object_get(line, "objects"), i, object)
    {
        check_object(v, token, expected, seen, object);
    }
    json_object_foreach(expected, name, value)
    {
        if (!json_object_get(seen, name))
            verify_tell(v, "missing-object", v->line, "token %.64s does not hold %.160s", token,
                        name);
    }
    json_decref(seen);
}
