#include "policies/cases.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/secret.h"
#include "mikey/protect.h"
#include "policies/internal.h"
#include "policies/read.h"

#define CASES_MAX 4096
#define DEFAULT_TIME "2026-06-01T12:00:00Z" /* a Monday */
#define KMS "sip:kms@example.net"

/* --- As they are written --- */

struct subject {
    char *identity, *role, **more_identities, **groups;
    unsigned more_identities_count, groups_count;
};

struct wish {
    char *from, *by, **to, **applications, **keys, **flags, *at;
    unsigned to_count, applications_count, keys_count, flags_count;
    unsigned validity, suite, rekey_seconds;
};

struct expectation {
    char *outcome, *rule, *identity, **flags, **applications;
    unsigned flags_count, applications_count, validity, keys, key_bits, rekey_seconds;
    bool changed;
};

struct one_case {
    char *name;
    struct wish *request, *resolve;
    struct expectation expect;
};

struct cases {
    unsigned version, subjects_count, cases_count;
    char *policy;
    struct subject *subjects;
    struct one_case *cases;
};

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
static const cyaml_schema_field_t cases_fields[] = {
    CYAML_FIELD_INT("version", CYAML_FLAG_DEFAULT, struct cases, version),
    TEXT("policy", 0, struct cases, policy),
    CYAML_FIELD_SEQUENCE("subjects", CYAML_FLAG_POINTER | MAYBE, struct cases, subjects,
                         &subject_entry, 0, CASES_MAX),
    CYAML_FIELD_SEQUENCE("cases", CYAML_FLAG_POINTER, struct cases, cases, &case_entry, 1,
                         CASES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t cases_schema = {
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

/* The subject with this identity; one that is not listed has nothing but it. */
static struct policy_subject subject_of(const struct cases *cases, char *identity,
                                        struct subject *plain)
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

/* --- One case --- */

static const struct {
    const char *name;
    uint16_t flag;
} flags[] = {{"forking", TICKET_I},
             {"reuse", TICKET_J},
             {"initiator-keys", TICKET_L},
             {"responder-keys", TICKET_M}};
#define FLAGS (sizeof flags / sizeof *flags)

static const struct {
    const char *name;
    uint8_t type;
} kinds[] = {{"tgk", MIKEY_TGK}, {"tek", MIKEY_TEK}, {"gtgk", MIKEY_GTGK}};

struct running {
    const char *file;
    const struct tbs_yaml_keys *keys;
    const struct cases *cases;
    const struct policy_rules *rules;
    const struct one_case *c;
    size_t n;
    FILE *out;
    struct tbs_diag *diag;
};

static enum tbs_err wrong(const struct running *r, const char *key, const char *need)
{
    struct place place = {.file = r->file, .keys = r->keys, .section = "cases", .n = r->n};

    return place_wrong(&place, key, need, r->diag);
}

struct ticket_policy policy_plain_wish(void)
{
    return (struct ticket_policy){.type = TICKET_TYPE_MIKEY_BASE,
                                  .subtype = 1,
                                  .version = 1,
                                  .prf = MIKEY_PRF_HMAC_SHA_256,
                                  .flags = TICKET_D | TICKET_E | TICKET_F | TICKET_G | TICKET_H};
}

bool policy_time_read(const char *text, uint64_t *ret_ntp)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

    if (!end || *end)
        return false;
    *ret_ntp = tbs_ntp_from_unix(timegm(&tm));
    return true;
}

static enum tbs_err read_flags(const struct running *r, const char *key, char **in, unsigned n,
                               uint16_t *ret_flags)
{
    for (unsigned i = 0; i < n; i++) {
        size_t k = 0;

        while (k < FLAGS && strcmp(in[i], flags[k].name) != 0)
            k++;
        if (k == FLAGS)
            return wrong(r, key, "of forking, reuse, initiator-keys and responder-keys");
        *ret_flags |= flags[k].flag;
    }
    return TBS_OK;
}

/* Such as tgk-256. */
static enum tbs_err read_key(const struct running *r, const char *text, struct mikey_key *ret_key)
{
    static const uint8_t zeros[32];
    const char *dash = strchr(text, '-');
    unsigned long bits = dash ? strtoul(dash + 1, NULL, 10) : 0;
    size_t len = dash ? (size_t)(dash - text) : strlen(text);

    for (size_t k = 0; bits <= 256 && bits % 8 == 0 && k < 3; k++)
        if (strlen(kinds[k].name) == len && strncmp(text, kinds[k].name, len) == 0) {
            *ret_key = (struct mikey_key){.type = kinds[k].type,
                                          .key = tbs_bytes(zeros, (size_t)bits / 8)};
            return TBS_OK;
        }
    return wrong(r, "request.keys", "of tgk, tek and gtgk, with the bits, such as tgk-256");
}

static enum tbs_err read_names(const struct running *r, const struct wish *w,
                               struct ticket_policy *p)
{
    if (w->to_count == 0)
        return wrong(r, r->c->request ? "request.to" : "resolve.to", "a list of responders");
    for (unsigned i = 0; i < w->to_count; i++)
        p->responders[p->n_responders++] =
            (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(w->to[i])};
    for (unsigned i = 0; i < w->applications_count; i++)
        p->apps[p->n_apps++] = (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(w->applications[i])};
    return TBS_OK;
}

static enum tbs_err read_wish(const struct running *r, const struct wish *w,
                              struct ticket_policy *p, uint64_t *ret_now)
{
    if (!policy_time_read(w->at ? w->at : DEFAULT_TIME, ret_now))
        return wrong(r, r->c->request ? "request.at" : "resolve.at",
                     "a time in UTC such as " DEFAULT_TIME);
    if (w->suite != 0 && w->suite != 128 && w->suite != 256)
        return wrong(r, "request.suite", "128 or 256");
    *p = policy_plain_wish();
    if (w->suite == 128)
        p->prf = MIKEY_PRF_MIKEY_1;
    if (w->validity > 0) {
        p->has_end = true;
        p->end = *ret_now + ((uint64_t)w->validity << 32);
    }
    p->has_rekey = w->rekey_seconds > 0;
    p->rekey_seconds = w->rekey_seconds;
    enum tbs_err err = read_flags(r, "request.flags", w->flags, w->flags_count, &p->flags);

    for (unsigned i = 0; !err && i < w->keys_count; i++)
        err = read_key(r, w->keys[i], &p->keys[p->n_keys++]);
    return err ? err : read_names(r, w, p);
}

static const char *outcome_of(enum tbs_err decision)
{
    return decision == TBS_OK ? "granted" : decision == TBS_ERR_DENIED ? "denied" : "refused";
}

/* True when something is not as expected; prints it. */
static bool differs(const struct running *r, const char *what, const char *expected,
                    const char *got)
{
    if (strcmp(expected, got) == 0)
        return false;
    fprintf(r->out, "FAILED  %s: %s is %s, expected %s\n", r->c->name, what, got, expected);
    return true;
}

static bool number_differs(const struct running *r, const char *key, unsigned expected,
                           uint64_t got)
{
    struct place place = {.file = r->file, .keys = r->keys, .section = "cases", .n = r->n};
    char path[64], a[24], b[24];

    snprintf(path, sizeof path, "expect.%s", key);
    if (place_line(&place, path) == 0)
        return false;
    snprintf(a, sizeof a, "%u", expected);
    snprintf(b, sizeof b, "%llu", (unsigned long long)got);
    return differs(r, key, a, b);
}

static bool outcome_differs(const struct running *r, enum tbs_err decision,
                            const struct policy_verdict *verdict)
{
    const struct expectation *e = &r->c->expect;

    return differs(r, "the outcome", e->outcome, outcome_of(decision)) ||
           (e->rule && differs(r, "the rule", e->rule, verdict->rule ? verdict->rule : "none"));
}

static bool apps_differ(const struct running *r, const struct ticket_policy *g)
{
    const struct expectation *e = &r->c->expect;
    char expected[1024] = "", got[1024] = "";

    for (unsigned i = 0; i < e->applications_count; i++)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s ",
                 e->applications[i]);
    for (size_t i = 0; i < g->n_apps; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", (int)g->apps[i].data.len,
                 (const char *)g->apps[i].data.data);
    return e->applications && differs(r, "the list of applications", expected, got);
}

static enum tbs_err grant_differs(const struct running *r, const struct ticket_policy *g,
                                  uint64_t now, bool *ret_differs)
{
    const struct expectation *e = &r->c->expect;
    const uint16_t all = TICKET_I | TICKET_J | TICKET_L | TICKET_M;
    uint16_t wanted = 0;
    enum tbs_err err = read_flags(r, "expect.flags", e->flags, e->flags_count, &wanted);
    char a[16], b[16];

    snprintf(a, sizeof a, "%04x", wanted);
    snprintf(b, sizeof b, "%04x", g->flags & all);
    *ret_differs =
        number_differs(r, "changed", e->changed, (g->flags & TICKET_K) != 0) ||
        number_differs(r, "validity", e->validity, (uint64_t)tbs_ntp_diff_seconds(g->end, now)) ||
        number_differs(r, "keys", e->keys, g->n_keys) ||
        number_differs(r, "key_bits", e->key_bits, g->keys[0].key.len * 8) ||
        number_differs(r, "rekey_seconds", e->rekey_seconds, g->rekey_seconds) ||
        (e->flags && differs(r, "the flags", a, b)) || apps_differ(r, g);
    return err;
}

static enum tbs_err run_request(const struct running *r, bool *ret_failed)
{
    struct ticket_policy wish, granted = {0};
    struct policy_verdict verdict;
    struct subject plain;
    struct policy_subject who = subject_of(r->cases, r->c->request->from, &plain);
    struct policy_request request = {
        .initiator = &who, .desired = &wish, .kms = {MIKEY_ID_URI, tbs_bytes_str(KMS)}};
    enum tbs_err err = read_wish(r, r->c->request, &wish, &request.now);

    if (err)
        return err;
    enum tbs_err decision = policy_decide_request(r->rules, &request, &granted, &verdict, r->diag);

    *ret_failed = outcome_differs(r, decision, &verdict);
    if (!*ret_failed && decision == TBS_OK)
        err = grant_differs(r, &granted, request.now, ret_failed);
    return err || !*ret_failed ? err : policy_explain_request(r->rules, &request, r->out, r->diag);
}

static enum tbs_err run_resolve(const struct running *r, bool *ret_failed)
{
    const struct wish *w = r->c->resolve;
    struct ticket_policy ticket;
    struct ticket_id identity = {0};
    struct policy_verdict verdict;
    struct subject plain;
    struct policy_subject who = subject_of(r->cases, w->by, &plain);
    struct policy_resolve resolve = {.responder = &who, .ticket = &ticket};
    enum tbs_err err = read_wish(r, w, &ticket, &resolve.now);
    char got[TBS_NAME_MAX + 1];

    if (err)
        return err;
    ticket.initiator = (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(w->from)};
    enum tbs_err decision = policy_decide_resolve(r->rules, &resolve, &identity, &verdict, r->diag);

    *ret_failed = outcome_differs(r, decision, &verdict);
    snprintf(got, sizeof got, "%.*s", (int)identity.data.len,
             identity.data.data ? (const char *)identity.data.data : "");
    if (!*ret_failed && decision == TBS_OK && r->c->expect.identity)
        *ret_failed = differs(r, "the identity (IDRr)", r->c->expect.identity, got);
    return *ret_failed ? policy_explain_resolve(r->rules, &resolve, r->out, r->diag) : TBS_OK;
}

static enum tbs_err run_case(const struct running *r, bool *ret_failed)
{
    static const char *const outcomes[] = {"granted", "denied", "refused"};
    size_t i = 0;

    if (!r->c->request == !r->c->resolve)
        return wrong(r, "name", "followed by a request or a resolve, and not by both");
    while (i < 3 && strcmp(r->c->expect.outcome, outcomes[i]) != 0)
        i++;
    if (i == 3)
        return wrong(r, "expect.outcome", "granted, denied or refused");
    return r->c->request ? run_request(r, ret_failed) : run_resolve(r, ret_failed);
}

/* --- The file --- */

static enum tbs_err run_all(struct running *r, struct policy_cases_result *ret_result)
{
    struct policy_cases_result result = {0};

    for (r->n = 0; r->n < r->cases->cases_count; r->n++) {
        bool failed = false;

        r->c = &r->cases->cases[r->n];
        enum tbs_err err = run_case(r, &failed);

        if (err)
            return err;
        result.cases++;
        result.failed += failed;
    }
    *ret_result = result;
    return TBS_OK;
}

static enum tbs_err run_file(struct running *r, uint32_t max_validity,
                             struct policy_cases_result *ret_result)
{
    char folder[PATH_MAX], path[2 * PATH_MAX];
    struct policy_rules *rules;

    if (r->cases->version != 1)
        return tbs_fail(r->diag, TBS_ERR_CONFIG, "%s:%zu: version must be 1", r->file,
                        tbs_yaml_keys_line(r->keys, "version"));
    snprintf(folder, sizeof folder, "%s", r->file);
    snprintf(path, sizeof path, "%s/%s", dirname(folder), r->cases->policy);
    enum tbs_err err = policy_rules_load(r->cases->policy[0] == '/' ? r->cases->policy : path,
                                         max_validity, &rules, r->diag);

    if (err)
        return err;
    r->rules = rules;
    err = run_all(r, ret_result);
    policy_rules_free(rules);
    return err;
}

enum tbs_err policy_cases_run(const char *file, uint32_t max_validity, FILE *out,
                              struct policy_cases_result *ret_result, struct tbs_diag *diag)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    struct tbs_yaml_keys *keys = NULL;
    struct cases *cases = NULL;
    char key[YAML_KEY_MAX];

    text.limit = 2 * POLICY_FILE_MAX;
    enum tbs_err err = tbs_yaml_read_file("file of cases", file, POLICY_FILE_MAX, &text, diag);

    if (!err)
        err = tbs_yaml_keys_new(file, tbs_buf_view(&text), &keys, diag);
    if (!err)
        err = tbs_yaml_keys_check(keys, cases_fields, diag);
    if (!err)
        err = tbs_yaml_fill(file, tbs_buf_view(&text), &cases_schema, (cyaml_data_t **)&cases, key,
                            diag);
    if (!err) {
        struct running r = {.file = file, .keys = keys, .cases = cases, .out = out, .diag = diag};

        err = run_file(&r, max_validity, ret_result);
    }
    tbs_yaml_free(&cases_schema, cases);
    tbs_yaml_keys_free(keys);
    return err;
}
