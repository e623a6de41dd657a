#include "policies/cases_document.h"

#include <string.h>

#define CASES_MAX 4096

#define TEXT(key, flags, type, member)                                                             \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 1, 512)
#define TEXTS(key, flags, type, member, max)                                                       \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | (flags), type, member, &text_entry, 0, max)
#define NUMBER(key, type, member) CYAML_FIELD_INT(key, CYAML_FLAG_OPTIONAL, type, member)
#define MAYBE CYAML_FLAG_OPTIONAL

static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 512)};

static const cyaml_schema_field_t subject_fields[] = {
    TEXT("identity", 0, struct subject, identity), TEXT("role", MAYBE, struct subject, role),
    TEXTS("more_identities", MAYBE, struct subject, more_identities, IDENTITIES_MAX),
    TEXTS("groups", MAYBE, struct subject, groups, PATTERNS_MAX), CYAML_FIELD_END};
static const cyaml_schema_value_t subject_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct subject, subject_fields)};

static const cyaml_schema_field_t request_fields[] = {
    TEXT("from", 0, struct wish, from),
    TEXTS("to", 0, struct wish, to, TICKET_RESPONDERS_MAX),
    TEXTS("applications", MAYBE, struct wish, applications, TICKET_APPS_MAX),
    TEXTS("keys", MAYBE, struct wish, keys, TICKET_SESSION_KEYS_MAX),
    TEXTS("flags", MAYBE, struct wish, flags, 4),
    NUMBER("validity", struct wish, validity),
    NUMBER("suite", struct wish, suite),
    NUMBER("rekey_seconds", struct wish, rekey_seconds),
    TEXT("at", MAYBE, struct wish, at),
    CYAML_FIELD_END};
static const cyaml_schema_field_t resolve_fields[] = {
    TEXT("by", 0, struct wish, by),
    TEXT("from", 0, struct wish, from),
    TEXTS("to", 0, struct wish, to, TICKET_RESPONDERS_MAX),
    TEXTS("applications", MAYBE, struct wish, applications, TICKET_APPS_MAX),
    TEXT("at", MAYBE, struct wish, at),
    CYAML_FIELD_END};
static const cyaml_schema_field_t expect_fields[] = {
    TEXT("outcome", 0, struct expectation, outcome),
    TEXT("rule", MAYBE, struct expectation, rule),
    TEXT("identity", MAYBE, struct expectation, identity),
    TEXTS("flags", MAYBE, struct expectation, flags, 4),
    TEXTS("applications", MAYBE, struct expectation, applications, TICKET_APPS_MAX),
    NUMBER("validity", struct expectation, validity),
    NUMBER("keys", struct expectation, keys),
    NUMBER("key_bits", struct expectation, key_bits),
    NUMBER("rekey_seconds", struct expectation, rekey_seconds),
    CYAML_FIELD_BOOL("changed", MAYBE, struct expectation, changed),
    CYAML_FIELD_END};
static const cyaml_schema_field_t case_fields[] = {
    TEXT("name", 0, struct one_case, name),
    CYAML_FIELD_MAPPING_PTR("request", CYAML_FLAG_POINTER | MAYBE, struct one_case, request,
                            request_fields),
    CYAML_FIELD_MAPPING_PTR("resolve", CYAML_FLAG_POINTER | MAYBE, struct one_case, resolve,
                            resolve_fields),
    CYAML_FIELD_MAPPING("expect", CYAML_FLAG_DEFAULT, struct one_case, expect, expect_fields),
    CYAML_FIELD_END};
static const cyaml_schema_value_t case_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct one_case, case_fields)};
const cyaml_schema_field_t cases_fields[] = {
    CYAML_FIELD_INT("version", CYAML_FLAG_DEFAULT, struct cases, version),
    TEXT("policy", 0, struct cases, policy),
    CYAML_FIELD_SEQUENCE("subjects", CYAML_FLAG_POINTER | MAYBE, struct cases, subjects,
                         &subject_entry, 0, CASES_MAX),
    CYAML_FIELD_SEQUENCE("cases", CYAML_FLAG_POINTER, struct cases, cases, &case_entry, 1,
                         CASES_MAX),
    CYAML_FIELD_END};
const cyaml_schema_value_t cases_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct cases, cases_fields)};

/* --- Subjects --- */

static bool same_identity(const char *a, struct tbs_bytes b)
{
    char x[TBS_NAME_MAX + 1], y[TBS_NAME_MAX + 1];

    return tbs_identity_canonical(tbs_bytes_str(a), x, NULL) == TBS_OK &&
           tbs_identity_canonical(b, y, NULL) == TBS_OK && strcmp(x, y) == 0;
}

static enum tbs_err owns(void *ctx, struct tbs_bytes identity, bool *ret_owns,
                         struct tbs_diag *diag)
{
    const struct subject *s = ctx;
    bool yes = same_identity(s->identity, identity);

    (void)diag;
    for (unsigned i = 0; i < s->more_identities_count; i++)
        yes = yes || same_identity(s->more_identities[i], identity);
    *ret_owns = yes;
    return TBS_OK;
}

static enum tbs_err is_member(void *ctx, struct tbs_bytes group, bool *ret_member,
                              struct tbs_diag *diag)
{
    const struct subject *s = ctx;
    bool yes = false;

    (void)diag;
    for (unsigned i = 0; i < s->groups_count; i++)
        yes = yes || same_identity(s->groups[i], group);
    *ret_member = yes;
    return TBS_OK;
}

static enum tbs_err tell(const char *name, policy_name_fn *fn, void *arg, struct tbs_diag *diag)
{
    char canonical[TBS_NAME_MAX + 1];
    enum tbs_err err = tbs_identity_canonical(tbs_bytes_str(name), canonical, diag);

    return err ? err : fn(arg, tbs_bytes_str(canonical));
}

static enum tbs_err each_identity(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *diag)
{
    const struct subject *s = ctx;
    enum tbs_err err = tell(s->identity, fn, arg, diag);

    for (unsigned i = 0; !err && i < s->more_identities_count; i++)
        err = tell(s->more_identities[i], fn, arg, diag);
    return err;
}

static enum tbs_err each_group(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *diag)
{
    const struct subject *s = ctx;
    enum tbs_err err = TBS_OK;

    for (unsigned i = 0; !err && i < s->groups_count; i++)
        err = tell(s->groups[i], fn, arg, diag);
    return err;
}

struct policy_subject case_subject(const struct cases *cases, char *identity, struct subject *plain)
{
    struct subject *s = plain;

    *plain = (struct subject){.identity = identity};
    for (unsigned i = 0; i < cases->subjects_count; i++) {
        bool yes;

        owns(&cases->subjects[i], tbs_bytes_str(identity), &yes, NULL);
        if (yes)
            s = &cases->subjects[i];
    }
    return (struct policy_subject){.ctx = s,
                                   .owns = owns,
                                   .is_member = is_member,
                                   .each_identity = each_identity,
                                   .each_group = each_group,
                                   .identity = {MIKEY_ID_URI, tbs_bytes_str(identity)},
                                   .role = s->role ? s->role : "none"};
}
