#include "tools/kmsd_policy.h"

#include "server/log.h"

static enum tbs_err load(const struct config_kms *c, struct policy_rules **ret_rules,
                         struct tbs_diag *diag)
{
    return c->policy ? policy_rules_load(c->policy, c->max_validity, ret_rules, diag)
                     : policy_rules_default(c->max_validity, ret_rules, diag);
}

/* In the log and, from here on decisions are of these rules, in the audit trail. */
static enum tbs_err tell(const struct config_kms *c, const struct policy_rules *rules,
                         struct audit *audit, struct tbs_diag *diag)
{
    const char *file = c->policy ? c->policy : "built in";
    size_t n = policy_rules_count(rules);

    log_write(LOG_LEVEL_INFO, "policy", LOG_TEXT("file", file), LOG_NUMBER("rules", n));
    if (!audit)
        return TBS_OK;
    json_t *fields =
        json_pack("{s:o,s:I}", "file", audit_text(tbs_bytes_str(file)), "rules", (json_int_t)n);

    return audit_write(audit, "policy", fields, diag);
}

enum tbs_err kmsd_policy_open(const struct config_kms *c, struct policy_live **ret_policy,
                              struct tbs_diag *diag)
{
    struct policy_rules *rules;
    enum tbs_err err = load(c, &rules, diag);

    return err ? err : policy_live_new(rules, ret_policy, diag);
}

enum tbs_err kmsd_policy_tell(struct policy_live *live, const struct config_kms *c,
                              struct audit *audit, struct tbs_diag *diag)
{
    struct policy policy = policy_of_live(live);
    const void *rules = policy.hold(policy.settings);
    enum tbs_err err = tell(c, rules, audit, diag);

    policy.release(policy.settings, rules);
    return err;
}

enum tbs_err kmsd_policy_reload(struct policy_live *live, const struct config_kms *c,
                                struct audit *audit, struct tbs_diag *diag)
{
    struct policy_rules *rules = NULL;
    enum tbs_err err = load(c, &rules, diag);

    if (!err)
        err = tell(c, rules, audit, diag);
    if (err) {
        policy_rules_free(rules);
        log_write(LOG_LEVEL_ERROR, "policy-kept", LOG_TEXT("reason", diag->text));
        return err;
    }
    policy_live_replace(live, rules);
    return TBS_OK;
}
