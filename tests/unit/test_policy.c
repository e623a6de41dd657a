/* The policy language: each mistake with its line, each condition and each limit, and what must
 * hold for whatever rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "mikey/protect.h"
#include "policies/cases.h"
#include "policies/internal.h"

#define DAY 86400u
#define ALICE "sip:alice@a.example"
#define BOB "sip:bob@b.example"

static struct tbs_diag diag;

/* --- Mistakes --- */

static struct policy_rules *rules_of(const char *text)
{
    struct policy_rules *rules = NULL;

    if (policy_rules_read("p.yaml", tbs_bytes_str(text), DAY, &rules, &diag) != TBS_OK)
        fail_msg("%s", diag.text);
    return rules;
}

static void mistakes_are_told_with_their_line(void **state)
{
    (void)state;
#define RULE "version: 1\nrequests:\n- name: r\n  effect: allow\n"
#define RESOLVE "version: 1\nresolves:\n- name: r\n  effect: allow\n  as: [network-function]\n"
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"", "p.yaml:1:"},
        {"version: 1\nrequests: [", "p.yaml:3: this is not valid YAML"},
        {"requests: []", "p.yaml:1: the file lacks the required key 'version'"},
        {"version: 2", "p.yaml:1: version must be 1"},
        {"\nversion: 1\nrules: []", "p.yaml:3: unknown key 'rules'"},
        {"version: 1\nrequests:\n- name: r", "p.yaml:3: requests lacks the required key 'effect'"},
        {"version: 1\nrequests:\n- name: r\n  effect: permit",
         "p.yaml:4: effect must be allow or deny"},
        {"version: 1\nrequests:\n- name: r\n  effect: deny\n  grant: {max_keys: 1}",
         "p.yaml:5: grant must be left out"},
        {RULE "  who: [x]", "p.yaml:5: 'who' must be a section"},
        {RULE "  who:\n    roles: [none, recordr]",
         "p.yaml:6: 'recordr' in who.roles is not known"},
        {RULE "  who:\n    roles: [none, none]", "stands there twice"},
        {RULE "  who:\n    identities:\n    - '*'\n    - alice",
         "p.yaml:8: 'alice' is no pattern; *, an identity"},
        {RULE "  who: {groups: ['*@x.example']}", "p.yaml:5: '*@x.example' is no URI of a group"},
        {RULE "  to: ['*@']", "p.yaml:5: '*@' is no pattern"},
        {RULE "  to: ['sip:*@x.example']", "p.yaml:5: 'sip:*@x.example' is no pattern"},
        {RULE "  to: ['*@*.']", "is no pattern"},
        {RULE "  to: ['sip:*@x.example*']", "is no pattern"},
        {RULE "  to: ['tel:+*']", "is no pattern"},
        {RULE "  to: ['tel:30*']", "is no pattern"},
        {RULE "  days: [monday]", "p.yaml:5: 'monday' in days is not known; there are: sun, mon"},
        {RULE "  hours: 8-18", "p.yaml:5: hours must be two different times in UTC"},
        {RULE "  hours: '08:00-24:01'", "hours must be"},
        {RULE "  hours: '08:60-10:00'", "hours must be"},
        {RULE "  hours: '08:00-08:00'", "hours must be"},
        {RULE "  hours: '08:00-18:00 '", "hours must be"},
        {RULE "  applications: ['tbs:allow:retarget']", "p.yaml:5: applications must be"},
        {RULE "  as: [named]", "p.yaml:5: unknown key 'as'"},
        {RULE "  grant:\n    max_validity: 59",
         "p.yaml:6: grant.max_validity must be a whole number from 60 to 31536000"},
        {RULE "  grant:\n    max_validity: 0", "p.yaml:6: grant.max_validity"},
        {RULE "  grant:\n    max_keys: 31", "p.yaml:6: grant.max_keys"},
        {RULE "  grant:\n    max_key_bits: 64", "p.yaml:6: grant.max_key_bits"},
        {RULE "  grant:\n    max_keys: 1x", "p.yaml:6: 'max_keys' must be a whole number"},
        {RULE "  grant:\n    suites: [257]", "p.yaml:6: grant.suites must be 256, 128 or both"},
        {RULE "  grant:\n    key_types: [mpk]", "p.yaml:6: grant.key_types must be of tgk"},
        {RULE "  grant:\n    forking: yes", "p.yaml:6: grant.forking must be as-wished, required"},
        {RULE "  grant:\n    reuse: required",
         "p.yaml:6: grant.reuse must be as-wished or refused"},
        {RULE "- name: r\n  effect: deny", "p.yaml:5: a rule 'r' is at p.yaml:3 already"},
        {"version: 1\nresolves:\n- name: r\n  effect: allow",
         "p.yaml:3: rule 'r' lacks the required key 'as'"},
        {RESOLVE "  grant: {max_keys: 1}", "p.yaml:6: unknown key 'grant'"},
        {RESOLVE "  initiator_allows: 1", "p.yaml:6: 'initiator_allows' must be true or false"},
        {"version: 1\nresolves:\n- name: r\n  effect: allow\n  as: [named]\n"
         "  initiator_allows: true",
         "p.yaml:6: initiator_allows must be in a rule that allows"},
        {"version: 1\nlimits:\n  requests_per_minute: 0",
         "p.yaml:3: limits.requests_per_minute must be a whole number from 1 to 1000000"},
        {"version: 1\nlimits: {requests: 1}", "p.yaml:2: unknown key 'requests'"},
        {"version: 1\ninclude: [/nowhere/x.yaml]",
         "p.yaml:2: it includes /nowhere/x.yaml, which cannot be read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct policy_rules *rules = NULL;

        diag = (struct tbs_diag){0};
        if (policy_rules_read("p.yaml", tbs_bytes_str(cases[i].text), DAY, &rules, &diag) !=
            TBS_ERR_CONFIG)
            fail_msg("entry %zu was let in: %s", i, cases[i].text);
        if (!strstr(diag.text, cases[i].said))
            fail_msg("entry %zu: '%s' is not in '%s'", i, cases[i].said, diag.text);
        assert_null(rules);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void files_include_files_once(void **state)
{
    (void)state;
    char dir[] = "/tmp/tbs-policy.XXXXXX", a[64], b[64];
    struct policy_rules *rules = NULL;

    assert_non_null(mkdtemp(dir));
    snprintf(a, sizeof a, "%s/a.yaml", dir);
    snprintf(b, sizeof b, "%s/b.yaml", dir);
    write_file(a, "version: 1\ninclude: [b.yaml]\n");
    assert_int_equal(policy_rules_load(a, DAY, &rules, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "a.yaml:2: it includes"));
    write_file(b, "version: 1\nrequests:\n- {name: s, effect: allow}\n");
    assert_int_equal(policy_rules_load(a, DAY, &rules, &diag), TBS_OK);
    assert_int_equal(policy_rules_count(rules), 1);
    policy_rules_free(rules);
    write_file(b, "version: 1\ninclude: [a.yaml]\n");
    assert_int_equal(policy_rules_load(a, DAY, &rules, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "a second time"));
    unlink(a);
    assert_int_equal(policy_rules_load(a, DAY, &rules, &diag), TBS_ERR_NOT_FOUND);
    unlink(b);
    rmdir(dir);
}

/* --- Subjects --- */

struct person {
    const char *identities[3], *groups[3];
    const char *role;
    unsigned asked; /* how often the directory was asked */
    bool broken;
};

static enum tbs_err ask(struct person *p, struct tbs_diag *why)
{
    p->asked++;
    return p->broken ? tbs_fail(why, TBS_ERR_IO, "the directory is broken") : TBS_OK;
}

static bool has(const char *const list[3], struct tbs_bytes name)
{
    for (size_t i = 0; i < 3 && list[i]; i++)
        if (tbs_bytes_equal(tbs_bytes_str(list[i]), name))
            return true;
    return false;
}

static enum tbs_err owns(void *ctx, struct tbs_bytes name, bool *ret, struct tbs_diag *why)
{
    *ret = has(((struct person *)ctx)->identities, name);
    return ask(ctx, why);
}

static enum tbs_err is_member(void *ctx, struct tbs_bytes name, bool *ret, struct tbs_diag *why)
{
    *ret = has(((struct person *)ctx)->groups, name);
    return ask(ctx, why);
}

static enum tbs_err each(struct person *p, const char *const list[3], policy_name_fn *fn, void *arg,
                         struct tbs_diag *why)
{
    enum tbs_err err = ask(p, why);

    for (size_t i = 0; !err && i < 3 && list[i]; i++)
        err = fn(arg, tbs_bytes_str(list[i]));
    return err;
}

static enum tbs_err each_identity(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *why)
{
    return each(ctx, ((struct person *)ctx)->identities, fn, arg, why);
}

static enum tbs_err each_group(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *why)
{
    return each(ctx, ((struct person *)ctx)->groups, fn, arg, why);
}

static struct policy_subject subject(struct person *p)
{
    return (struct policy_subject){.ctx = p,
                                   .owns = owns,
                                   .is_member = is_member,
                                   .each_identity = each_identity,
                                   .each_group = each_group,
                                   .identity = {MIKEY_ID_URI, tbs_bytes_str(p->identities[0])},
                                   .role = p->role ? p->role : "none"};
}

static uint64_t at(const char *text)
{
    uint64_t now = 0;

    assert_true(policy_time_read(text, &now));
    return now;
}

#define MONDAY "2026-06-01T12:00:00Z"

static struct ticket_policy wish_for(const char *to)
{
    struct ticket_policy wish = policy_plain_wish();

    wish.responders[wish.n_responders++] = (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(to)};
    return wish;
}

static enum tbs_err request_at(const struct policy_rules *rules, struct person *p,
                               const struct ticket_policy *wish, const char *time,
                               struct ticket_policy *granted, struct policy_verdict *verdict)
{
    struct policy_subject who = subject(p);
    struct policy_request request = {.initiator = &who,
                                     .desired = wish,
                                     .kms = {MIKEY_ID_URI, tbs_bytes_str("sip:kms@a.example")},
                                     .now = at(time)};

    diag = (struct tbs_diag){0};
    return policy_decide_request(rules, &request, granted, verdict, &diag);
}

/* What the one rule, with these conditions, says to alice's request for bob. */
static enum tbs_err asks(const char *conditions, struct person *p, const char *to, const char *time)
{
    char text[1024];

    snprintf(text, sizeof text, "version: 1\nrequests:\n- {name: r, effect: allow, %s}\n",
             conditions);
    struct policy_rules *rules = rules_of(text);
    struct ticket_policy wish = wish_for(to), granted;
    struct policy_verdict verdict;
    enum tbs_err err = request_at(rules, p, &wish, time, &granted, &verdict);

    policy_rules_free(rules);
    return err;
}

static void conditions_of_requests(void **state)
{
    (void)state;
    struct person alice = {.identities = {ALICE, "tel:+4930123"}, .groups = {"sip:g@a.example"}};
    struct person rec = {.identities = {ALICE}, .role = "recorder"};
    static const struct {
        const char *conditions, *to, *time;
        bool allowed;
    } cases[] = {
        {"", BOB, MONDAY, true},
        {"who: {identities: ['SIP:alice@A.example']}", BOB, MONDAY, true},
        {"who: {identities: ['sip:Alice@a.example']}", BOB, MONDAY, false},
        {"who: {identities: ['*@a.example']}", BOB, MONDAY, true},
        {"who: {identities: ['*@*.a.example']}", BOB, MONDAY, false},
        {"who: {identities: ['*@*.example']}", BOB, MONDAY, true},
        {"who: {identities: ['tel:+4930*']}", BOB, MONDAY, true},
        {"who: {identities: ['tel:+4931*']}", BOB, MONDAY, false},
        {"who: {identities: ['tel:+49-30-123']}", BOB, MONDAY, true},
        {"who: {groups: ['sip:g@a.example']}", BOB, MONDAY, true},
        {"who: {groups: ['sip:h@a.example']}", BOB, MONDAY, false},
        {"who: {groups: ['sip:h@a.example', 'sip:g@a.example']}", BOB, MONDAY, true},
        {"who: {groups: ['sip:g@a.example'], identities: ['*@b.example']}", BOB, MONDAY, false},
        {"who: {roles: [none]}", BOB, MONDAY, true},
        {"who: {roles: [recorder]}", BOB, MONDAY, false},
        {"to: ['*@b.example']", BOB, MONDAY, true},
        {"to: ['*@b.example']", "sips:bob@b.example:5061;transport=tls", MONDAY, true},
        {"to: ['*@b.example']", "sip:b.example", MONDAY, true},
        {"to: ['*@b.example']", "sip:bob@xb.example", MONDAY, false},
        {"to: ['*@b.example']", "sip:b.example@c.example", MONDAY, false},
        {"to: ['*@*.b.example']", "sip:bob@x.b.example", MONDAY, true},
        {"to: ['sip:%62ob@b.example']", BOB, MONDAY, true},
        {"to: ['*']", "?", MONDAY, true},
        {"to: ['*@b.example']", "?", MONDAY, false},
        {"days: [mon]", BOB, MONDAY, true},
        {"days: [sun, tue]", BOB, MONDAY, false},
        {"days: [thu]", BOB, "1970-01-01T23:59:59Z", true},
        {"days: [sun]", BOB, "2026-05-31T00:00:00Z", true},
        {"hours: '12:00-12:01'", BOB, MONDAY, true},
        {"hours: '08:00-12:00'", BOB, MONDAY, false},
        {"hours: '22:00-12:01'", BOB, MONDAY, true},
        {"hours: '22:00-12:00'", BOB, MONDAY, false},
        {"hours: '00:00-24:00'", BOB, "2026-06-01T23:59:59Z", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char all[512];
        enum tbs_err wanted = cases[i].allowed ? TBS_OK : TBS_ERR_DENIED;

        snprintf(all, sizeof all, "%s", cases[i].conditions[0] ? cases[i].conditions : "to: ['*']");
        if (asks(all, &alice, cases[i].to, cases[i].time) != wanted)
            fail_msg("entry %zu, %s: not as expected: %s", i, all, diag.text);
    }
    assert_int_equal(asks("who: {roles: [recorder]}", &rec, BOB, MONDAY), TBS_OK);
    rec.role = "something new";
    assert_int_equal(asks("who: {roles: [none]}", &rec, BOB, MONDAY), TBS_ERR_DENIED);
    alice.broken = true;
    assert_int_equal(asks("who: {identities: ['*']}", &alice, BOB, MONDAY), TBS_ERR_IO);
    assert_int_equal(asks("who: {groups: ['sip:g@a.example']}", &alice, BOB, MONDAY), TBS_ERR_IO);
}

/* What the one rule, with these conditions, says to a resolve of alice's ticket for bob. */
static bool may_resolve(const char *conditions, const char *role, const char *app)
{
    char text[1024];
    struct person carol = {.identities = {"sip:carol@c.example"}, .role = role};
    struct policy_subject who = subject(&carol);
    struct ticket_policy ticket = wish_for(BOB);
    struct policy_resolve resolve = {.responder = &who, .ticket = &ticket, .now = at(MONDAY)};
    struct policy_verdict verdict;
    struct ticket_id identity;

    ticket.initiator = (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(ALICE)};
    if (app)
        ticket.apps[ticket.n_apps++] = (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(app)};
    snprintf(text, sizeof text, "version: 1\nresolves:\n- {name: r, effect: allow, %s}\n",
             conditions);
    struct policy_rules *rules = rules_of(text);
    enum tbs_err err = policy_decide_resolve(rules, &resolve, &identity, &verdict, &diag);

    assert_true(err == TBS_OK || err == TBS_ERR_DENIED);
    if (err == TBS_OK)
        assert_true(tbs_bytes_equal(identity.data, tbs_bytes_str("sip:carol@c.example")));
    policy_rules_free(rules);
    return err == TBS_OK;
}

static void conditions_of_resolves(void **state)
{
    (void)state;
    static const char retarget[] = TICKET_MARK_RETARGET, closed[] = TICKET_MARK_END_TO_END;
#define NETWORK "as: [network-function]"
    static const struct {
        const char *conditions, *role, *app;
        bool allowed;
    } cases[] = {
        {"as: [named, member]", "none", retarget, false},
        {"as: [retargeted]", "none", NULL, false},
        {"as: [retargeted]", "none", retarget, true},
        {"as: [retargeted]", "none", "tbs:allow:retargeted", false},
        {"as: [retargeted]", "recorder", retarget, false},
        {"as: [retargeted], applications: [voice]", "none", retarget, false},
        {NETWORK, "none", retarget, false},
        {NETWORK, "recorder", NULL, true},
        {NETWORK, "recorder", closed, false},
        {NETWORK, "something new", closed, false},
        {NETWORK ", initiator_allows: true", "recorder", NULL, false},
        {NETWORK ", initiator_allows: true", "recorder", "tbs:allow:recorder", true},
        {NETWORK ", initiator_allows: true", "focus", "tbs:allow:recorder", false},
        {NETWORK ", initiator_allows: true", "recorder", "tbs:allow:recorder2", false},
        {NETWORK ", applications: [voice]", "recorder", NULL, false},
        {NETWORK ", applications: [voice]", "recorder", "voice", true},
        {NETWORK ", applications: [voice]", "recorder", "text", false},
        {NETWORK ", from: ['*@a.example']", "recorder", NULL, true},
        {NETWORK ", from: ['*@c.example']", "recorder", NULL, false},
        {NETWORK ", to: ['*@b.example']", "recorder", NULL, true},
        {NETWORK ", to: ['*@c.example']", "recorder", NULL, false},
        {NETWORK ", who: {roles: [focus]}", "recorder", NULL, false},
        {NETWORK ", days: [tue]", "recorder", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (may_resolve(cases[i].conditions, cases[i].role, cases[i].app) != cases[i].allowed)
            fail_msg("entry %zu, %s: not as expected", i, cases[i].conditions);
}

/* What allows must allow all that a ticket names; what denies needs one thing of it. */
static void several_responders(void **state)
{
    (void)state;
    struct person alice = {.identities = {ALICE}};
    struct ticket_policy wish = wish_for(BOB), granted;
    struct policy_verdict verdict;

    wish.responders[wish.n_responders++] =
        (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str("sip:carol@c.example")};
    struct policy_rules *rules =
        rules_of("version: 1\nrequests:\n- {name: b, effect: allow, to: ['*@b.example']}\n");

    assert_int_equal(request_at(rules, &alice, &wish, MONDAY, &granted, &verdict), TBS_ERR_DENIED);
    assert_null(verdict.rule);
    policy_rules_free(rules);
    rules = rules_of("version: 1\nrequests:\n- {name: all, effect: allow}\n"
                     "- {name: c, effect: deny, to: ['sip:carol@c.example']}\n");
    assert_int_equal(request_at(rules, &alice, &wish, MONDAY, &granted, &verdict), TBS_ERR_DENIED);
    assert_string_equal(verdict.rule, "c");
    assert_int_equal(verdict.line, 4);
    assert_true(policy_rules_have(rules, &verdict));
    wish.n_responders = 1;
    assert_int_equal(request_at(rules, &alice, &wish, MONDAY, &granted, &verdict), TBS_OK);
    policy_rules_free(rules);
}

/* IDRapp: RFC 6043 6.10: none means all. */
static void applications_are_narrowed(void **state)
{
    (void)state;
    struct person alice = {.identities = {ALICE}};
    struct ticket_policy wish = wish_for(BOB), granted;
    struct policy_verdict verdict;
    struct policy_rules *rules = rules_of(
        "version: 1\nrequests:\n- {name: r, effect: allow, applications: [voice, text]}\n");

    assert_int_equal(request_at(rules, &alice, &wish, MONDAY, &granted, &verdict), TBS_OK);
    assert_int_equal(granted.n_apps, 2);
    assert_true(verdict.changes & POLICY_APPLICATIONS);
    assert_true(granted.flags & TICKET_K);
    wish.apps[wish.n_apps++] = (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str("text")};
    wish.apps[wish.n_apps++] =
        (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(TICKET_MARK_RETARGET)};
    assert_int_equal(request_at(rules, &alice, &wish, MONDAY, &granted, &verdict), TBS_OK);
    assert_int_equal(granted.n_apps, 2);
    assert_false(verdict.changes & POLICY_APPLICATIONS);
    wish.apps[wish.n_apps++] = (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str("video")};
    assert_int_equal(request_at(rules, &alice, &wish, MONDAY, &granted, &verdict), TBS_ERR_DENIED);
    policy_rules_free(rules);
}

/* --- Whatever the rules --- */

static uint32_t seed;

static uint32_t any(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static const char *const patterns[] = {"*",        "*@a.example",  "*@*.example",
                                       ALICE,      "*@b.example",  "sip:bob@b.example",
                                       "tel:+49*", "*@*.b.example"};
static const char *const group_names[] = {"sip:g@a.example", "sip:h@a.example"};
static const char *const role_names[] = {"none", "recorder", "focus"};

/* Conditions that a rule may have, by chance. */
static int put_conditions(char *out, size_t max, bool resolve)
{
    int n = snprintf(out, max, "to: ['%s']", patterns[any(8)]);

    if (any(3) == 0)
        n += snprintf(out + n, max - (size_t)n, ", who: {identities: ['%s']}", patterns[any(8)]);
    else if (any(3) == 0)
        n += snprintf(out + n, max - (size_t)n, ", who: {groups: ['%s']}", group_names[any(2)]);
    else if (any(3) == 0)
        n += snprintf(out + n, max - (size_t)n, ", who: {roles: [%s]}", role_names[any(3)]);
    if (any(4) == 0)
        n += snprintf(out + n, max - (size_t)n, ", days: [%s]", any(2) ? "mon" : "tue");
    if (any(4) == 0)
        n += snprintf(out + n, max - (size_t)n, ", hours: '%s'",
                      any(2) ? "08:00-18:00" : "18:00-08:00");
    if (any(4) == 0)
        n += snprintf(out + n, max - (size_t)n, ", applications: [%s]", any(2) ? "voice" : "text");
    if (resolve && any(3) == 0)
        n += snprintf(out + n, max - (size_t)n, ", from: ['%s']", patterns[any(8)]);
    return n;
}

static void put_rules(char *out, size_t max, bool resolve, unsigned n, const char *last)
{
    int len = snprintf(out, max, "version: 1\n%s:\n", resolve ? "resolves" : "requests");

    for (unsigned i = 0; i < n; i++) {
        bool deny = any(4) == 0;

        len += snprintf(out + len, max - (size_t)len, "- {name: r%u, effect: %s, ", i,
                        deny ? "deny" : "allow");
        if (resolve)
            len += snprintf(out + len, max - (size_t)len, "as: [%s], ",
                            any(2)   ? "named, member"
                            : any(2) ? "network-function"
                                     : "named, retargeted");
        len += put_conditions(out + len, max - (size_t)len, resolve);
        len += snprintf(out + len, max - (size_t)len, "}\n");
    }
    snprintf(out + len, max - (size_t)len, "%s", last);
}

static void anybody(struct person *p, struct ticket_policy *ticket)
{
    static const char *const ids[] = {ALICE, BOB, "tel:+4930123", "sip:x@y.b.example"};
    static const char *const apps[] = {"voice", "text", TICKET_MARK_RETARGET,
                                       TICKET_MARK_END_TO_END, TICKET_MARK_ALLOW "recorder"};

    *p = (struct person){.identities = {ids[any(4)]}, .role = role_names[any(3)]};
    for (unsigned i = 0; i < any(3); i++)
        p->groups[i] = group_names[i];
    *ticket = wish_for(any(4) ? ids[any(4)] : group_names[any(2)]);
    if (any(2))
        ticket->responders[ticket->n_responders++] =
            (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(ids[any(4)])};
    for (unsigned i = 0; i < any(3); i++)
        ticket->apps[ticket->n_apps++] =
            (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(apps[any(5)])};
    ticket->initiator = (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str(ids[any(4)])};
}

static enum tbs_err decide(const struct policy_rules *rules, bool is_resolve, struct person *p,
                           struct ticket_policy *ticket, const char *time,
                           struct policy_verdict *verdict)
{
    struct policy_subject who = subject(p);
    struct policy_resolve resolve = {.responder = &who, .ticket = ticket, .now = at(time)};
    struct ticket_policy granted;
    struct ticket_id identity;

    if (is_resolve)
        return policy_decide_resolve(rules, &resolve, &identity, verdict, &diag);
    ticket->initiator.data.len = 0;
    return request_at(rules, p, ticket, time, &granted, verdict);
}

/* The explanation names the verdict's rule, which is there. */
static void check_explanation(const struct policy_rules *rules, bool is_resolve, struct person *p,
                              const struct ticket_policy *ticket, const char *time,
                              const struct policy_verdict *verdict)
{
    struct policy_subject who = subject(p);
    struct policy_resolve resolve = {.responder = &who, .ticket = ticket, .now = at(time)};
    struct policy_request request = {.initiator = &who, .desired = ticket, .now = at(time)};
    char *text = NULL, named[128];
    size_t len;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    assert_int_equal(is_resolve ? policy_explain_resolve(rules, &resolve, out, &diag)
                                : policy_explain_request(rules, &request, out, &diag),
                     TBS_OK);
    fclose(out);
    if (verdict->rule) {
        assert_true(policy_rules_have(rules, verdict));
        snprintf(named, sizeof named, " by rule %s (p.yaml:%u)\n", verdict->rule, verdict->line);
    } else {
        snprintf(named, sizeof named, ": no rule decides\n");
    }
    if (!strstr(text, named))
        fail_msg("'%s' is not in '%s'", named, text);
    for (const char *at_rule = text; (at_rule = strstr(at_rule, "\n  rule r"));) {
        struct policy_verdict other = {.file = "p.yaml"};
        char name[32];
        unsigned line;

        assert_int_equal(sscanf(at_rule, "\n  rule %31s (p.yaml:%u)", name, &line), 2);
        other.rule = name;
        other.line = line;
        assert_true(policy_rules_have(rules, &other));
        at_rule++;
    }
    free(text);
}

/* Who finds rules by the index finds the same as who looks at all of them. */
static void check_index(const struct policy_rules *rules, bool is_resolve, struct person *p,
                        const struct ticket_policy *ticket, const char *time)
{
    const struct section *s = is_resolve ? &rules->resolves : &rules->requests;
    struct policy_subject who = subject(p);
    struct policy_resolve resolve = {.responder = &who, .ticket = ticket, .now = at(time)};
    struct policy_request request = {.initiator = &who, .desired = ticket, .now = at(time)};
    const struct rule *found = NULL, *deny = NULL, *allow = NULL;
    static struct facts facts;

    assert_int_equal(is_resolve ? facts_of_resolve(s, &resolve, &facts, &diag)
                                : facts_of_request(s, &request, &facts, &diag),
                     TBS_OK);
    assert_int_equal(section_decide(s, &facts, &found, &diag), TBS_OK);
    for (size_t i = s->n; i-- > 0;) {
        unsigned misses;

        assert_int_equal(rule_misses(&s->rule[i], &facts, &misses, &diag), TBS_OK);
        if (misses == 0)
            *(s->rule[i].deny ? &deny : &allow) = &s->rule[i];
    }
    assert_ptr_equal(found, deny ? deny : allow);
}

static const char *const times[] = {MONDAY, "2026-06-02T20:00:00Z", "2026-06-06T01:00:00Z"};

/* Adding a rule that denies never opens a way, wherever it stands. */
static void what_denies_never_opens(void **state)
{
    (void)state;
    char text[16384], deny[1024];
    unsigned allowed = 0, closed = 0;

    for (seed = 1; seed < 60000000u; seed += 173773u) {
        uint32_t begin = seed;
        bool is_resolve = begin & 1;

        put_rules(text, sizeof text, is_resolve, 6, "");
        struct policy_rules *before = rules_of(text);

        int len = snprintf(deny, sizeof deny, "- {name: d, effect: deny, ");
        len += put_conditions(deny + len, sizeof deny - (size_t)len, is_resolve);
        snprintf(deny + len, sizeof deny - (size_t)len, "}\n");
        seed = begin;
        put_rules(text, sizeof text, is_resolve, 6, deny);
        struct policy_rules *after = rules_of(text);

        for (unsigned i = 0; i < 20; i++) {
            struct person p;
            struct ticket_policy ticket;
            struct policy_verdict verdict, verdict_after;
            const char *time = times[any(3)];

            anybody(&p, &ticket);
            enum tbs_err was = decide(before, is_resolve, &p, &ticket, time, &verdict);
            enum tbs_err is = decide(after, is_resolve, &p, &ticket, time, &verdict_after);

            if (was != TBS_OK && is == TBS_OK)
                fail_msg("%s opens a way", deny);
            allowed += was == TBS_OK;
            closed += was == TBS_OK && is != TBS_OK;
            check_explanation(before, is_resolve, &p, &ticket, time, &verdict);
            check_explanation(after, is_resolve, &p, &ticket, time, &verdict_after);
            check_index(after, is_resolve, &p, &ticket, time);
        }
        seed = begin;
        policy_rules_free(before);
        policy_rules_free(after);
    }
    assert_true(allowed > 300); /* or nothing was tried */
    assert_true(closed > 30);
}

/* Two grants, the second with a limit more. */
static const struct {
    const char *wide, *narrow;
} limits[] = {
    {"max_validity: 7200", "max_validity: 60"},
    {"max_keys: 8", "max_keys: 2"},
    {"max_key_bits: 256", "max_key_bits: 128"},
    {"key_types: [tgk, tek, gtgk]", "key_types: [tek]"},
    {"suites: [128, 256]", "suites: [256]"},
    {"reuse: as-wished", "reuse: refused"},
    {"initiator_keys: as-wished", "initiator_keys: refused"},
    {"responder_keys: as-wished", "responder_keys: refused"},
    {"forking: as-wished", "forking: required"},
    {"max_rekey_seconds: 3600", "max_rekey_seconds: 60"},
    {"max_responders: 2", "max_responders: 1"},
    {"end_to_end: false", "end_to_end: true"},
};
#define LIMITS (sizeof limits / sizeof *limits)

static struct policy_rules *grant_of(unsigned narrow)
{
    char text[2048];
    int len = snprintf(text, sizeof text,
                       "version: 1\nrequests:\n- name: r\n  effect: allow\n  grant:\n");

    for (size_t i = 0; i < LIMITS; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "    %s\n",
                        narrow & 1u << i ? limits[i].narrow : limits[i].wide);
    return rules_of(text);
}

/* Nothing of `n` is more than in `w`. */
static void check_narrower(const struct ticket_policy *n, const struct ticket_policy *w)
{
    const uint16_t gives = TICKET_J | TICKET_L | TICKET_M;

    assert_true(tbs_ntp_diff_seconds(n->end, w->end) <= 0);
    assert_true(n->n_keys <= w->n_keys);
    assert_false(n->flags & ~w->flags & gives);
    assert_false(~n->flags & w->flags & TICKET_I); /* forking keeps others out */
    assert_true(n->rekey_seconds <= w->rekey_seconds);
    assert_int_equal(n->n_responders, w->n_responders);
    for (size_t i = 0, k = 0; i < n->n_keys; i++, k++) { /* its keys are some of the other's */
        while (k < w->n_keys && w->keys[k].type != n->keys[i].type)
            k++;
        assert_true(k < w->n_keys && n->keys[i].key.len <= w->keys[k].key.len);
    }
    for (size_t i = 0; i < w->n_apps; i++)
        assert_true(tbs_bytes_equal(n->apps[i].data, w->apps[i].data));
    for (size_t i = w->n_apps; i < n->n_apps; i++)
        assert_true(tbs_bytes_equal(n->apps[i].data, tbs_bytes_str(TICKET_MARK_END_TO_END)));
}

static struct ticket_policy any_wish(void)
{
    static const uint8_t types[] = {MIKEY_TGK, MIKEY_TEK, MIKEY_GTGK, MIKEY_TGK_SALT};
    static const uint8_t zeros[32];
    static const uint16_t flags[] = {TICKET_I, TICKET_J, TICKET_L, TICKET_M};
    struct ticket_policy wish = wish_for(BOB);

    for (unsigned i = 0; i < 4; i++)
        wish.flags |= any(2) ? flags[i] : 0;
    if (any(3) == 0)
        wish.prf = MIKEY_PRF_MIKEY_1;
    if (any(2))
        wish.responders[wish.n_responders++] =
            (struct ticket_id){MIKEY_ID_URI, tbs_bytes_str("sip:c@c.example")};
    wish.has_end = true;
    wish.end = at(MONDAY) + ((uint64_t)(1 + any(10000)) << 32);
    wish.has_rekey = any(2);
    wish.rekey_seconds = wish.has_rekey ? 1 + any(10000) : 0;
    wish.n_keys = 1 + any(12);
    for (size_t i = 0; i < wish.n_keys; i++)
        wish.keys[i] = (struct mikey_key){.type = types[any(4)],
                                          .key = tbs_bytes(zeros, any(2)   ? 16
                                                                  : any(2) ? 32
                                                                           : 0)};
    return wish;
}

static void a_narrower_grant_never_widens(void **state)
{
    (void)state;
    struct person alice = {.identities = {ALICE}};
    unsigned both = 0, fewer = 0;

    seed = 7;
    for (unsigned round = 0; round < 400; round++) {
        unsigned some = any(1u << LIMITS), more = some | any(1u << LIMITS);
        struct policy_rules *wide = grant_of(some), *narrow = grant_of(more);

        for (unsigned i = 0; i < 30; i++) {
            struct ticket_policy wish = any_wish(), w, n;
            struct policy_verdict vw, vn;
            enum tbs_err is_wide = request_at(wide, &alice, &wish, MONDAY, &w, &vw);
            enum tbs_err is_narrow = request_at(narrow, &alice, &wish, MONDAY, &n, &vn);

            if (is_wide != TBS_OK)
                assert_int_not_equal(is_narrow, TBS_OK);
            if (is_wide == TBS_OK && is_narrow == TBS_OK) {
                check_narrower(&n, &w);
                check_narrower(&w, &w);
                both++;
            }
            fewer += is_wide == TBS_OK && is_narrow != TBS_OK;
            if (is_narrow == TBS_OK) /* K says whether anything was changed */
                assert_int_equal((n.flags & TICKET_K) != 0, vn.changes != 0);
        }
        policy_rules_free(wide);
        policy_rules_free(narrow);
    }
    assert_true(both > 500);
    assert_true(fewer > 100);
}

/* --- Findings --- */

static void keep_finding(void *ctx, const char *sentence)
{
    snprintf(ctx, 600, "%s", sentence);
}

static void rules_that_never_decide_are_found(void **state)
{
    (void)state;
#define OK_RESOLVE "resolves:\n- {name: ok, effect: allow, as: [named]}\n"
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"- {name: a, effect: allow}\n- {name: b, effect: allow, to: [" BOB "]}\n",
         "p.yaml:4: rule b never decides: rule a (p.yaml:3) comes first"},
        {"- {name: b, effect: allow, to: [" BOB "]}\n- {name: a, effect: allow}\n", NULL},
        {"- {name: b, effect: allow, to: ['*@x.b.example']}\n"
         "- {name: d, effect: deny, to: ['*@*.b.example']}\n",
         "rule b allows nothing: rule d (p.yaml:4) denies all"},
        {"- {name: a, effect: allow}\n- {name: d, effect: deny, who: {roles: [focus]}}\n"
         "- {name: e, effect: deny, who: {roles: [focus]}, days: [mon]}\n",
         "rule e is not needed: rule d"},
        {"- {name: a, effect: allow, hours: '08:00-18:00'}\n- {name: b, effect: allow}\n", NULL},
        {"- {name: a, effect: allow, applications: [x]}\n- {name: b, effect: allow}\n", NULL},
        {"- {name: a, effect: allow, who: {groups: [" BOB "]}}\n"
         "- {name: b, effect: allow, who: {groups: [" BOB "], roles: [none]}}\n",
         "rule b never decides"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024], said[600] = "";

        snprintf(text, sizeof text, "version: 1\nrequests:\n%s" OK_RESOLVE, cases[i].text);
        struct policy_rules *rules = rules_of(text);

        assert_int_equal(policy_rules_review(rules, keep_finding, said), cases[i].said != NULL);
        if (cases[i].said && !strstr(said, cases[i].said))
            fail_msg("entry %zu: '%s' is not in '%s'", i, cases[i].said, said);
        policy_rules_free(rules);
    }
    char said[600] = "";
    struct policy_rules *rules = rules_of("version: 1\n");

    assert_int_equal(policy_rules_review(rules, keep_finding, said), 2);
    assert_non_null(strstr(said, "nobody can use a ticket"));
    policy_rules_free(rules);
    rules = rules_of("version: 1\nrequests:\n- {name: a, effect: allow}\nresolves:\n"
                     "- {name: n, effect: allow, as: [network-function], who: {roles: [none]}}\n"
                     "- {name: r, effect: allow, as: [retargeted], who: {roles: [focus]}}\n");
    assert_int_equal(policy_rules_review(rules, keep_finding, said), 2);
    policy_rules_free(rules);
}

/* --- Limits --- */

static void each_subscriber_has_a_limit(void **state)
{
    (void)state;
    struct policy_live *live;

    assert_int_equal(
        policy_live_new(rules_of("version: 1\nlimits: {requests_per_minute: 2}\n"), &live, &diag),
        TBS_OK);
    struct policy policy = policy_of_live(live);
    const void *rules = policy.hold(policy.settings);
    const uint64_t now = at(MONDAY), later = at("2026-06-01T12:01:00Z");

#define ASKS(who, is_request, time)                                                                \
    policy.limit(policy.settings, rules, who, is_request, time, &diag)
    assert_int_equal(ASKS(ALICE, true, now), TBS_OK);
    assert_int_equal(ASKS(ALICE, true, now), TBS_OK);
    assert_int_equal(ASKS(ALICE, true, now), TBS_ERR_DENIED);
    assert_non_null(strstr(diag.text, "its 2 requests of this minute"));
    assert_int_equal(ASKS(BOB, true, now), TBS_OK);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(ASKS(ALICE, false, now), TBS_OK);
    assert_int_equal(ASKS(ALICE, true, now), TBS_ERR_DENIED);
    assert_int_equal(ASKS(ALICE, true, later), TBS_OK);
    policy.release(policy.settings, rules);
    /* Other rules do not begin to count again. */
    policy_live_replace(live, rules_of("version: 1\nlimits: {requests_per_minute: 1}\n"));
    rules = policy.hold(policy.settings);
    assert_int_equal(ASKS(ALICE, true, later), TBS_ERR_DENIED);
    policy.release(policy.settings, rules);
    policy_live_free(live);
}

/* --- Replacing --- */

static _Atomic bool done;
static _Atomic unsigned decided;

static void *keep_asking(void *arg)
{
    struct policy policy = policy_of_live(arg);
    struct person alice = {.identities = {ALICE}};
    struct ticket_policy wish = wish_for(BOB), granted;
    struct policy_subject who = subject(&alice);
    struct policy_request request = {.initiator = &who, .desired = &wish, .now = 0};
    struct policy_verdict verdict;

    while (!done) {
        const void *rules = policy.hold(policy.settings);

        if (policy.decide_request(rules, &request, &granted, &verdict, NULL) != TBS_OK ||
            !policy_rules_have(rules, &verdict))
            abort();
        policy.release(policy.settings, rules);
        decided++;
    }
    return NULL;
}

static void rules_are_replaced_while_they_are_asked(void **state)
{
    (void)state;
    static const char *const texts[] = {"version: 1\nrequests:\n- {name: a, effect: allow}\n",
                                        "version: 1\nrequests:\n\n- {name: b, effect: allow}\n"};
    struct policy_live *live;
    pthread_t threads[2];

    assert_int_equal(policy_live_new(rules_of(texts[0]), &live, &diag), TBS_OK);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_asking, live), 0);
    for (unsigned i = 0; i < 300 || decided < 1000; i++)
        policy_live_replace(live, rules_of(texts[i % 2]));
    done = true;
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    policy_live_free(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_told_with_their_line),
        cmocka_unit_test(files_include_files_once),
        cmocka_unit_test(conditions_of_requests),
        cmocka_unit_test(conditions_of_resolves),
        cmocka_unit_test(several_responders),
        cmocka_unit_test(applications_are_narrowed),
        cmocka_unit_test(what_denies_never_opens),
        cmocka_unit_test(a_narrower_grant_never_widens),
        cmocka_unit_test(rules_that_never_decide_are_found),
        cmocka_unit_test(each_subscriber_has_a_limit),
        cmocka_unit_test(rules_are_replaced_while_they_are_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
