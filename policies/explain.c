/* Why a decision is what it is, and what would change it. */
#include <stdio.h>
#include <string.h>

#include "policies/internal.h"

static const struct {
    enum condition miss;
    const char *requests, *resolves;
} conditions[] = {
    {MISS_ROLE, "the requester had the role", "the responder had the role"},
    {MISS_AS, "", "the responder were"},
    {MISS_MARK, "", "the Initiator allowed it in the ticket with IDRapp"},
    {MISS_DAYS, "the day (UTC) were among the rule's", "the day (UTC) were among the rule's"},
    {MISS_HOURS, "it were within the rule's hours (UTC)", "it were within the rule's hours (UTC)"},
    {MISS_APPLICATION, "the wished applications (IDRapp) were among the rule's",
     "the ticket's applications (IDRapp) were among the rule's"},
    {MISS_TO, "each responder (IDRr) matched the rule's 'to'",
     "each responder that the ticket names matched the rule's 'to'"},
    {MISS_FROM, "", "the ticket's Initiator matched the rule's 'from'"},
    {MISS_IDENTITY, "the requester had an identity of who.identities",
     "the responder had an identity of who.identities"},
    {MISS_GROUP, "the requester were in a group of who.groups now",
     "the responder were in a group of who.groups now"},
};
#define CONDITIONS (sizeof conditions / sizeof *conditions)

static void print_words(FILE *out, unsigned bits, const char *const *words, unsigned n)
{
    const char *between = " ";

    for (unsigned i = 0; i < n; i++)
        if (bits & 1u << i) {
            fprintf(out, "%s%s", between, words[i]);
            between = " or ";
        }
}

static void print_misses(FILE *out, const struct facts *f, const struct rule *rule, unsigned misses)
{
    const char *between = "";

    for (size_t i = 0; i < CONDITIONS; i++) {
        if (!(misses & conditions[i].miss))
            continue;
        fprintf(out, "%s%s", between,
                f->is_request ? conditions[i].requests : conditions[i].resolves);
        if (conditions[i].miss == MISS_MARK)
            fprintf(out, " " TICKET_MARK_ALLOW "%s",
                    rule->as & f->relation & AS_NETWORK ? f->who->role : "retarget");
        if (conditions[i].miss == MISS_ROLE)
            print_words(out, rule->roles, policy_role_names, ROLES);
        if (conditions[i].miss == MISS_AS)
            print_words(out, rule->as, policy_relation_names, RELATIONS);
        between = ", and ";
    }
}

static unsigned count(unsigned bits)
{
    unsigned n = 0;

    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

static void print_rule(FILE *out, const struct rule *rule)
{
    fprintf(out, "  rule %s (%s:%u)", rule->name, rule->file, rule->line);
}

/* Of the rules that would have changed the outcome, those that lack least. */
static enum tbs_err print_others(FILE *out, const struct section *s, const struct facts *f,
                                 const struct rule *decided, struct tbs_diag *diag)
{
    unsigned least = CONDITIONS + 1, misses;
    bool allowed = decided && !decided->deny;

    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < s->n; i++) {
            const struct rule *rule = &s->rule[i];
            enum tbs_err err = rule_misses(rule, f, &misses, diag);

            if (err)
                return err;
            if (misses == 0 || rule->deny != allowed)
                continue;
            if (pass == 0) {
                least = count(misses) < least ? count(misses) : least;
            } else if (count(misses) == least) {
                print_rule(out, rule);
                fprintf(out, " would %s it if ", rule->deny ? "deny" : "allow");
                print_misses(out, f, rule, misses);
                fprintf(out, "\n");
            }
        }
    return TBS_OK;
}

/* Rules that match, too, but do not decide. */
static enum tbs_err print_beaten(FILE *out, const struct section *s, const struct facts *f,
                                 const struct rule *decided, struct tbs_diag *diag)
{
    unsigned misses;

    for (size_t i = 0; i < s->n; i++) {
        const struct rule *rule = &s->rule[i];
        enum tbs_err err = rule_misses(rule, f, &misses, diag);

        if (err)
            return err;
        if (rule == decided || misses != 0)
            continue;
        print_rule(out, rule);
        fprintf(out, " matches, too, and would %s it without the one that decided\n",
                rule->deny ? "deny" : "allow");
    }
    return TBS_OK;
}

static enum tbs_err print_all(FILE *out, const struct section *s, const struct facts *f,
                              const struct policy_verdict *verdict, enum tbs_err decision,
                              const char *reason, struct tbs_diag *diag)
{
    const struct rule *rule = NULL;

    for (size_t i = 0; verdict->rule && i < s->n; i++)
        if (strcmp(s->rule[i].name, verdict->rule) == 0)
            rule = &s->rule[i];
    fprintf(out, "%s",
            decision == TBS_OK           ? "granted"
            : decision == TBS_ERR_DENIED ? "denied"
                                         : "refused");
    if (rule)
        fprintf(out, " by rule %s (%s:%u)\n", rule->name, rule->file, rule->line);
    else
        fprintf(out, ": no rule decides\n");
    if (decision)
        fprintf(out, "  %s\n", reason);
    for (unsigned i = 0; i < POLICY_CHANGES; i++)
        if (verdict->changes & 1u << i)
            fprintf(out, "  changed (K): %s\n", policy_change_text(1u << i));
    fprintf(out, "What would change it:\n");
    if (decision == TBS_ERR_DENIED && decide_end_to_end(f)) {
        fprintf(out, "  a ticket without the mark " TICKET_MARK_END_TO_END "\n");
        return TBS_OK;
    }
    enum tbs_err err = print_beaten(out, s, f, rule, diag);

    return err ? err : print_others(out, s, f, rule, diag);
}

static bool is_a_decision(enum tbs_err err)
{
    return err == TBS_OK || err == TBS_ERR_DENIED || err == TBS_ERR_INVALID ||
           err == TBS_ERR_UNSUPPORTED;
}

enum tbs_err policy_explain_request(const struct policy_rules *rules,
                                    const struct policy_request *request, FILE *out,
                                    struct tbs_diag *diag)
{
    struct ticket_policy granted;
    struct policy_verdict verdict;
    struct tbs_diag why = {0};
    struct facts facts;
    enum tbs_err decision = policy_decide_request(rules, request, &granted, &verdict, &why);
    enum tbs_err err = facts_of_request(&rules->requests, request, &facts, diag);

    if (!is_a_decision(decision))
        return tbs_fail(diag, decision, "%s", why.text);
    return err ? err : print_all(out, &rules->requests, &facts, &verdict, decision, why.text, diag);
}

enum tbs_err policy_explain_resolve(const struct policy_rules *rules,
                                    const struct policy_resolve *resolve, FILE *out,
                                    struct tbs_diag *diag)
{
    struct ticket_id identity;
    struct policy_verdict verdict;
    struct tbs_diag why = {0};
    struct facts facts;
    enum tbs_err decision = policy_decide_resolve(rules, resolve, &identity, &verdict, &why);
    enum tbs_err err = facts_of_resolve(&rules->resolves, resolve, &facts, diag);

    if (!is_a_decision(decision))
        return tbs_fail(diag, decision, "%s", why.text);
    if (!err) {
        fprintf(out, "the responder is");
        print_words(out, facts.relation, policy_relation_names, RELATIONS);
        fprintf(out, ", its role %s\n", resolve->responder->role);
        err = print_all(out, &rules->resolves, &facts, &verdict, decision, why.text, diag);
    }
    return err;
}
