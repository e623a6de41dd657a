/* Policies from files: rules in YAML (tbs-policy.yaml(5)), read and checked as a whole, then
 * constant. Each complaint is one sentence with file and line. */
#ifndef TBS_POLICIES_RULES_H
#define TBS_POLICIES_RULES_H

#include <stdio.h>

#include "policies/policy.h"

#define POLICY_FILE_MAX 1048576u /* octets */

struct policy_rules;

/* max_validity: seconds from a request to the latest end of any ticket, whatever the rules grant.
 * TBS_ERR_NOT_FOUND: no such file; TBS_ERR_IO; TBS_ERR_CONFIG: it is wrong; TBS_ERR_NOMEM. */
enum tbs_err policy_rules_load(const char *file, uint32_t max_validity,
                               struct policy_rules **ret_rules, struct tbs_diag *diag);
/* From `text` alone: what it includes is relative to the folder of `file`. */
enum tbs_err policy_rules_read(const char *file, struct tbs_bytes text, uint32_t max_validity,
                               struct policy_rules **ret_rules, struct tbs_diag *diag);
/* The shipped default.yaml, which is part of the program. */
enum tbs_err policy_rules_default(uint32_t max_validity, struct policy_rules **ret_rules,
                                  struct tbs_diag *diag);
void policy_rules_free(struct policy_rules *rules); /* NULL ok */

size_t policy_rules_count(const struct policy_rules *rules);
/* Whether there is a rule of this name at this place. */
bool policy_rules_have(const struct policy_rules *rules, const struct policy_verdict *verdict);

/* As struct policy has them. */
enum tbs_err policy_decide_request(const void *rules, const struct policy_request *request,
                                   struct ticket_policy *ret_granted,
                                   struct policy_verdict *ret_verdict, struct tbs_diag *diag);
enum tbs_err policy_decide_resolve(const void *rules, const struct policy_resolve *resolve,
                                   struct ticket_id *ret_identity,
                                   struct policy_verdict *ret_verdict, struct tbs_diag *diag);

/* Calls `found` with a sentence for each rule that can never decide, or that contradicts
 * another; gives their number. */
typedef void policy_found_fn(void *ctx, const char *sentence);
size_t policy_rules_review(const struct policy_rules *rules, policy_found_fn *found, void *ctx);

/* Prints what is decided, by which rule, and what would change it. */
enum tbs_err policy_explain_request(const struct policy_rules *rules,
                                    const struct policy_request *request, FILE *out,
                                    struct tbs_diag *diag);
enum tbs_err policy_explain_resolve(const struct policy_rules *rules,
                                    const struct policy_resolve *resolve, FILE *out,
                                    struct tbs_diag *diag);

/* Rules in use that can be replaced. */
struct policy_live;

/* Takes the rules over. */
enum tbs_err policy_live_new(struct policy_rules *rules, struct policy_live **ret_live,
                             struct tbs_diag *diag);
/* Decisions that begin from now on are of these rules, which it takes over. The old ones go with
 * the last that holds them. Thread-safe. */
void policy_live_replace(struct policy_live *live, struct policy_rules *rules);
void policy_live_free(struct policy_live *live); /* NULL ok; nothing is held any more */
struct policy policy_of_live(struct policy_live *live);

#endif
