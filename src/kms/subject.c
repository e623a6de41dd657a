#include "kms/subject.h"

#include <string.h>

/* --- From the store --- */

static enum tbs_err take(void *ctx, enum store_fact fact, const char *text)
{
    struct kms_subject *subject = ctx;

    if (fact == STORE_FACT_ROLE)
        subject->role = text;
    else
        tbs_put_bytes(fact == STORE_FACT_GROUP ? &subject->groups : &subject->identities,
                      tbs_bytes(text, strlen(text) + 1));
    return TBS_OK;
}

enum tbs_err kms_subject_load(struct store *store, int64_t subscriber_id, time_t now,
                              struct kms_subject *ret_subject, struct tbs_diag *diag)
{
    struct kms_subject subject = {.identities = tbs_buf(), .groups = tbs_buf()};
    enum tbs_err err = store_facts(store, subscriber_id, now, take, &subject, diag);

    if (!err && (subject.identities.failed || subject.groups.failed))
        err = tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the groups of a subscriber");
    if (err)
        kms_subject_free(&subject);
    else
        *ret_subject = subject;
    return err;
}

void kms_subject_free(struct kms_subject *subject)
{
    tbs_buf_free(&subject->identities);
    tbs_buf_free(&subject->groups);
}

/* --- Asked --- */

static enum tbs_err each(const struct tbs_buf *names, policy_name_fn *fn, void *arg)
{
    enum tbs_err err = TBS_OK;

    for (size_t at = 0; !err && at < names->len;) {
        struct tbs_bytes name = tbs_bytes_str((const char *)names->data + at);

        err = fn(arg, name);
        at += name.len + 1;
    }
    return err;
}

/* What the store cannot even hold is nobody's name. */
static enum tbs_err has(const struct tbs_buf *names, struct tbs_bytes name, bool *ret_has,
                        struct tbs_diag *diag)
{
    struct store_identity wanted;
    enum tbs_err err = store_identity_canonical(name, &wanted, diag);

    *ret_has = false;
    if (err)
        return err == TBS_ERR_MALFORMED || err == TBS_ERR_LIMIT ? TBS_OK : err;
    for (size_t at = 0; !*ret_has && at < names->len;) {
        const char *one = (const char *)names->data + at;

        *ret_has = strcmp(one, wanted.uri) == 0;
        at += strlen(one) + 1;
    }
    return TBS_OK;
}

static enum tbs_err owns(void *ctx, struct tbs_bytes identity, bool *ret_owns,
                         struct tbs_diag *diag)
{
    const struct kms_subject *subject = ctx;

    return has(&subject->identities, identity, ret_owns, diag);
}

static enum tbs_err is_member(void *ctx, struct tbs_bytes group, bool *ret_member,
                              struct tbs_diag *diag)
{
    const struct kms_subject *subject = ctx;

    return has(&subject->groups, group, ret_member, diag);
}

static enum tbs_err each_identity(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *diag)
{
    const struct kms_subject *subject = ctx;

    (void)diag;
    return each(&subject->identities, fn, arg);
}

static enum tbs_err each_group(void *ctx, policy_name_fn *fn, void *arg, struct tbs_diag *diag)
{
    const struct kms_subject *subject = ctx;

    (void)diag;
    return each(&subject->groups, fn, arg);
}

struct policy_subject kms_subject_asked(struct kms_subject *subject, struct ticket_id identity)
{
    return (struct policy_subject){.ctx = subject,
                                   .owns = owns,
                                   .is_member = is_member,
                                   .each_identity = each_identity,
                                   .each_group = each_group,
                                   .identity = identity,
                                   .role = subject->role};
}
