#include "policies/cases.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/secret.h"
#include "mikey/protect.h"
#include "policies/cases_document.h"
#include "policies/read.h"

#define DEFAULT_TIME "2026-06-01T12:00:00Z" /* a Monday */
#define KMS "sip:kms@example.net"

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
    struct policy_subject who = case_subject(r->cases, r->c->request->from, &plain);
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
    struct policy_subject who = case_subject(r->cases, w->by, &plain);
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
