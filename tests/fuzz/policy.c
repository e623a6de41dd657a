/* A policy file: whatever is in it, it is refused with a sentence, or gives rules that decide. */
#include <string.h>

#include "base/clock.h"
#include "policies/rules.h"
#include "tests/fuzz/fuzz.h"

static enum tbs_err yes(void *ctx, struct tbs_bytes name, bool *ret, struct tbs_diag *diag)
{
    (void)ctx, (void)name, (void)diag;
    *ret = true;
    return TBS_OK;
}

static enum tbs_err each(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *diag)
{
    (void)diag;
    return fn(arg, tbs_bytes_str(ctx));
}

static void count(void *ctx, const char *sentence)
{
    FUZZ_PROMISE(strlen(sentence) > 0);
    ++*(size_t *)ctx;
}

static void decide(const struct policy_rules *rules)
{
    static char alice[] = "sip:alice@example.net";
    const struct ticket_id id = {MIKEY_ID_URI, tbs_bytes_str(alice)};
    const struct policy_subject who = {alice, yes, yes, each, each, id, "recorder"};
    struct ticket_policy wish = {.prf = 1, .initiator = id, .responders = {id}, .n_responders = 1};
    const struct policy_request request = {&who, &wish, id, tbs_ntp_from_unix(1767225600)};
    const struct policy_resolve resolve = {&who, &wish, request.now};
    struct ticket_policy granted;
    struct ticket_id identity;
    struct policy_verdict verdict;
    struct tbs_diag diag = {0};
    enum tbs_err err = policy_decide_request(rules, &request, &granted, &verdict, &diag);

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    FUZZ_PROMISE(!verdict.rule || policy_rules_have(rules, &verdict));
    FUZZ_PROMISE(err || granted.n_keys > 0);
    err = policy_decide_resolve(rules, &resolve, &identity, &verdict, &diag);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    FUZZ_PROMISE(!verdict.rule || policy_rules_have(rules, &verdict));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_rules *rules = NULL;
    struct tbs_diag diag = {0};
    size_t findings = 0;
    /* Nothing is beside it that could be included. */
    enum tbs_err err =
        policy_rules_read("/nowhere/p.yaml", tbs_bytes(data, size), 86400, &rules, &diag);

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    FUZZ_PROMISE(!err == (rules != NULL));
    if (err)
        return 0;
    decide(rules);
    FUZZ_PROMISE(policy_rules_review(rules, count, &findings) == findings);
    policy_rules_free(rules);
    return 0;
}
