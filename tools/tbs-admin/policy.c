/* tbs-admin policy: policies are read, tried and explained before a KMS uses them. */
#include <string.h>

#include "base/clock.h"
#include "kms/subject.h"
#include "policies/cases.h"
#include "tools/tbs-admin/admin.h"

/* Where no configuration says anything else: its default. */
#define MAX_VALIDITY 86400

static void print_finding(void *ctx, const char *sentence)
{
    (void)ctx;
    printf("%s\n", sentence);
}

static enum tbs_err policy_check(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct policy_rules *rules;
    enum tbs_err err = policy_rules_load(words[0], MAX_VALIDITY, &rules, diag);

    (void)n;
    if (err)
        return err;
    size_t findings = policy_rules_review(rules, print_finding, NULL);

    if (findings == 0)
        printf("%s is fine: %zu rules\n", words[0], policy_rules_count(rules));
    a->status = findings ? EXIT_REMARKS : EXIT_OK;
    policy_rules_free(rules);
    return TBS_OK;
}

static enum tbs_err policy_test(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct policy_cases_result result = {0};
    enum tbs_err err = policy_cases_run(words[0], MAX_VALIDITY, stdout, &result, diag);

    (void)n;
    if (err)
        return err;
    printf("%zu cases, %zu failed\n", result.cases, result.failed);
    a->status = result.failed ? EXIT_FAILED : EXIT_OK;
    return TBS_OK;
}

/* --- explain: the store says who somebody is --- */

static enum tbs_err find_person(struct admin *a, const char *identity, uint64_t now,
                                struct kms_subject *person, struct policy_subject *ret_subject,
                                struct tbs_diag *diag)
{
    struct store_subscriber found;
    enum tbs_err err = admin_store(a, STORE_READ_ONLY, diag);

    if (!err)
        err = store_identity_owner(a->store, admin_text(identity), &found, diag);
    if (!err)
        err = kms_subject_load(a->store, found.id, tbs_unix_from_ntp(now), person, diag);
    if (err)
        return err;
    *ret_subject =
        kms_subject_asked(person, (struct ticket_id){MIKEY_ID_URI, admin_text(identity)});
    return TBS_OK;
}

static enum tbs_err wish_of(int n, char **responders, struct ticket_policy *ret_wish,
                            uint64_t *ret_now, struct tbs_diag *diag)
{
    struct ticket_policy wish = policy_plain_wish();

    for (int i = 0; i < n; i++)
        wish.responders[wish.n_responders++] =
            (struct ticket_id){MIKEY_ID_URI, admin_text(responders[i])};
    for (size_t i = 0; i < admin_options.n_applications; i++)
        wish.apps[wish.n_apps++] =
            (struct ticket_id){MIKEY_ID_URI, admin_text(admin_options.applications[i])};
    *ret_wish = wish;
    *ret_now = tbs_ntp_now(tbs_clock_system());
    if (!admin_options.at || policy_time_read(admin_options.at, ret_now))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_INVALID,
                    "--at takes a time in UTC such as 2026-12-31T18:00:00Z, not '%.40s'",
                    admin_options.at);
}

/* The rules of FILE, or with "-" those that the KMS of the configuration has. */
static enum tbs_err load(struct admin *a, const char *file, struct policy_rules **ret_rules,
                         struct tbs_diag *diag)
{
    enum tbs_err err = admin_config(a, diag);

    if (err)
        return err;
    const struct config_kms *kms = &a->config->kms;

    if (strcmp(file, "-") != 0)
        return policy_rules_load(file, kms->max_validity, ret_rules, diag);
    return kms->policy ? policy_rules_load(kms->policy, kms->max_validity, ret_rules, diag)
                       : policy_rules_default(kms->max_validity, ret_rules, diag);
}

static enum tbs_err explain_request(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct policy_rules *rules = NULL;
    struct ticket_policy wish;
    struct policy_subject who;
    struct kms_subject person KMS_SUBJECT_AUTO = {0};
    struct policy_request request = {.initiator = &who, .desired = &wish};
    enum tbs_err err = wish_of(n - 2, words + 2, &wish, &request.now, diag);

    if (!err)
        err = load(a, words[0], &rules, diag);
    if (!err)
        err = find_person(a, words[1], request.now, &person, &who, diag);
    if (!err) {
        request.kms = (struct ticket_id){MIKEY_ID_URI, admin_text(a->config->kms.identity)};
        err = policy_explain_request(rules, &request, stdout, diag);
    }
    policy_rules_free(rules);
    return err;
}

static enum tbs_err explain_resolve(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct policy_rules *rules = NULL;
    struct ticket_policy ticket;
    struct policy_subject who;
    struct kms_subject person KMS_SUBJECT_AUTO = {0};
    struct policy_resolve resolve = {.responder = &who, .ticket = &ticket};
    enum tbs_err err = wish_of(n - 3, words + 3, &ticket, &resolve.now, diag);

    if (!err)
        err = load(a, words[0], &rules, diag);
    if (!err)
        err = find_person(a, words[1], resolve.now, &person, &who, diag);
    if (!err) {
        ticket.initiator = (struct ticket_id){MIKEY_ID_URI, admin_text(words[2])};
        err = policy_explain_resolve(rules, &resolve, stdout, diag);
    }
    policy_rules_free(rules);
    return err;
}

const struct admin_command admin_policy_commands[] = {
    {"policy", "check", "FILE", 1, 1, policy_check,
     "find mistakes in a policy, with file and line"},
    {"policy", "test", "FILE", 1, 1, policy_test, "run a file of cases against its policy"},
    {"policy", "explain-request", "FILE|- WHO RESPONDER...", 3, 18, explain_request,
     "what a request of WHO would get, by which rule, and what would change it"},
    {"policy", "explain-resolve", "FILE|- WHO INITIATOR RESPONDER...", 4, 19, explain_resolve,
     "whether WHO may resolve a ticket of INITIATOR's for these, by which rule, and what would "
     "change it"},
    {0},
};
