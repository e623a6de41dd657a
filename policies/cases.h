/* Files of cases: requests and resolves with the outcome that is expected of a policy
 * (tbs-policy.yaml(5)). */
#ifndef TBS_POLICIES_CASES_H
#define TBS_POLICIES_CASES_H

#include "policies/rules.h"

struct policy_cases_result {
    size_t cases, failed;
};

/* Runs all cases of the file against the policy that it names, with max_validity as
 * policy_rules_load has it. Each that fails is printed with what was expected, what came, and why.
 * Errors as policy_rules_load; a case that fails is none. */
enum tbs_err policy_cases_run(const char *file, uint32_t max_validity, FILE *out,
                              struct policy_cases_result *ret_result, struct tbs_diag *diag);

/* The wish with which nothing but the responders is asked for, in suite 256: flags D E F G H. */
struct ticket_policy policy_plain_wish(void);
/* True when the text is a time in UTC such as 2026-12-31T18:00:00Z. */
bool policy_time_read(const char *text, uint64_t *ret_ntp);

#endif
