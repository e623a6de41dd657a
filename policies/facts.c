/* What is known about one decision, gathered before the rules are asked. */
#include <string.h>

#include "base/clock.h"
#include "policies/internal.h"

static enum tbs_err add_identity(void *arg, struct tbs_bytes name)
{
    struct facts *f = arg;

    if (f->n_identities == IDENTITIES_MAX)
        return TBS_ERR_LIMIT;
    name_of_canonical(name, &f->identity[f->n_identities++]);
    return TBS_OK;
}

static enum tbs_err take_identities(const struct section *s, struct facts *f, struct tbs_diag *diag)
{
    f->n_identities = 0;
    if (!s->needs_identities)
        return TBS_OK;
    enum tbs_err err = f->who->each_identity(f->who->ctx, add_identity, f, diag);

    if (err == TBS_ERR_LIMIT)
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "the subscriber has more than %u identities, too many for rules about them",
                        IDENTITIES_MAX);
    return err;
}

/* One whose role this program does not know is some network function, and matches no role. */
static unsigned role_number(const char *role)
{
    unsigned i = 0;

    while (i < ROLES && strcmp(role, policy_role_names[i]) != 0)
        i++;
    return i;
}

static void take_ticket(struct facts *f, const struct ticket_policy *ticket, uint64_t now)
{
    time_t seconds = tbs_unix_from_ntp(now);

    f->ticket = ticket;
    f->n_apps = 0;
    for (size_t i = 0; i < ticket->n_apps; i++)
        f->n_apps += !ticket_is_mark(&ticket->apps[i]);
    f->n_to = ticket->n_responders;
    for (size_t i = 0; i < ticket->n_responders; i++)
        name_of(ticket->responders[i].data, &f->to[i]);
    /* 1970 began on a Thursday; the clock's range begins in 1968. */
    int64_t day = (int64_t)seconds / 86400 - ((int64_t)seconds % 86400 < 0);
    f->day = (unsigned)(((day + 4) % 7 + 7) % 7);
    f->minute = (unsigned)(((int64_t)seconds - day * 86400) / 60);
}

enum tbs_err facts_of_request(const struct section *s, const struct policy_request *r,
                              struct facts *f, struct tbs_diag *diag)
{
    f->who = r->initiator;
    f->role = role_number(r->initiator->role);
    f->is_request = true;
    f->relation = 0;
    f->from.known = false;
    take_ticket(f, r->desired, r->now);
    return take_identities(s, f, diag);
}

static enum tbs_err take_relation(struct facts *f, struct tbs_diag *diag)
{
    const struct policy_subject *who = f->who;
    enum tbs_err err = TBS_OK;

    f->relation = 0;
    for (size_t i = 0; !err && i < f->n_to; i++) {
        const struct ticket_id *named = &f->ticket->responders[i];
        bool yes = false;

        err = who->owns(who->ctx, named->data, &yes, diag);
        if (!err && yes && !(f->relation & AS_NAMED)) {
            f->relation |= AS_NAMED;
            f->named = *named;
        } else if (!err && !yes && !(f->relation & AS_MEMBER)) {
            err = who->is_member(who->ctx, named->data, &yes, diag);
            f->relation |= !err && yes ? AS_MEMBER : 0;
        }
    }
    if (f->relation == 0)
        f->relation = f->role == ROLE_NONE ? AS_RETARGETED : AS_NETWORK;
    return err;
}

enum tbs_err facts_of_resolve(const struct section *s, const struct policy_resolve *r,
                              struct facts *f, struct tbs_diag *diag)
{
    f->who = r->responder;
    f->role = role_number(r->responder->role);
    f->is_request = false;
    take_ticket(f, r->ticket, r->now);
    name_of(r->ticket->initiator.data, &f->from);
    enum tbs_err err = take_identities(s, f, diag);

    return err ? err : take_relation(f, diag);
}
