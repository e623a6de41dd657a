/* The two decisions. RFC 6043 4.2.1.4, 4.2.3.4. */
#include "policies/internal.h"

static enum tbs_err check_initiator(const struct policy_request *r, struct tbs_diag *diag)
{
    const struct ticket_id *wished = &r->desired->initiator;
    bool owns = true;

    if (wished->data.len == 0)
        return TBS_OK;
    enum tbs_err err = r->initiator->owns(r->initiator->ctx, wished->data, &owns, diag);

    if (!err && !owns)
        err = tbs_fail(diag, TBS_ERR_DENIED,
                       "the Ticket Policy names an Initiator (IDRi) that is not the requester");
    return err;
}

static void name_rule(struct policy_verdict *verdict, const struct rule *rule)
{
    *verdict = (struct policy_verdict){0};
    if (rule)
        *verdict =
            (struct policy_verdict){.rule = rule->name, .file = rule->file, .line = rule->line};
}

static enum tbs_err denied(const struct rule *rule, const char *what, struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_DENIED, "%s is denied (rule %s, %.150s:%u)", what, rule->name,
                    rule->file, rule->line);
}

enum tbs_err policy_decide_request(const void *rules, const struct policy_request *r,
                                   struct ticket_policy *ret_granted,
                                   struct policy_verdict *ret_verdict, struct tbs_diag *diag)
{
    const struct section *section = &((const struct policy_rules *)rules)->requests;
    const struct rule *rule = NULL;
    struct facts facts;

    name_rule(ret_verdict, NULL);
    enum tbs_err err = check_initiator(r, diag);

    if (!err)
        err = facts_of_request(section, r, &facts, diag);
    if (!err)
        err = section_decide(section, &facts, &rule, diag);
    name_rule(ret_verdict, rule);
    if (err)
        return err;
    if (!rule)
        return tbs_fail(diag, TBS_ERR_DENIED, "no rule of the policy allows this request");
    return rule->deny ? denied(rule, "this request", diag)
                      : grant_apply(rule, r, ret_granted, &ret_verdict->changes, diag);
}

bool decide_end_to_end(const struct facts *f)
{
    return !f->is_request && f->role != ROLE_NONE &&
           ticket_has_mark(f->ticket, TICKET_MARK_END_TO_END, "");
}

static enum tbs_err check_end_to_end(const struct facts *f, struct tbs_diag *diag)
{
    if (!decide_end_to_end(f))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_DENIED,
                    "the ticket is end to end (IDRapp " TICKET_MARK_END_TO_END
                    "): no network function, such as this %s, may resolve it",
                    f->who->role);
}

static enum tbs_err not_allowed(const struct facts *f, struct tbs_diag *diag)
{
    if (f->relation & (AS_RETARGETED | AS_NETWORK))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the ticket names neither this responder nor a group it is a member of, "
                        "and no rule of the policy allows it all the same");
    return tbs_fail(diag, TBS_ERR_DENIED, "no rule of the policy allows this responder");
}

enum tbs_err policy_decide_resolve(const void *rules, const struct policy_resolve *r,
                                   struct ticket_id *ret_identity,
                                   struct policy_verdict *ret_verdict, struct tbs_diag *diag)
{
    const struct section *section = &((const struct policy_rules *)rules)->resolves;
    const struct rule *rule = NULL;
    struct facts facts;

    name_rule(ret_verdict, NULL);
    enum tbs_err err = facts_of_resolve(section, r, &facts, diag);

    if (!err)
        err = check_end_to_end(&facts, diag);
    if (!err)
        err = section_decide(section, &facts, &rule, diag);
    name_rule(ret_verdict, rule);
    if (err)
        return err;
    if (!rule)
        return not_allowed(&facts, diag);
    if (rule->deny)
        return denied(rule, "this responder", diag);
    *ret_identity = rule->as & facts.relation & AS_NAMED ? facts.named : r->responder->identity;
    return TBS_OK;
}
