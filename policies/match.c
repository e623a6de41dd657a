/* Whether a rule matches, and which rule decides. */
#include <string.h>

#include "policies/internal.h"

static bool is_among(const struct rule *rule, const struct ticket_id *app)
{
    for (size_t i = 0; i < rule->n_apps; i++)
        if (tbs_bytes_equal(rule->apps[i].data, app->data))
            return true;
    return false;
}

/* What allows must allow all of a ticket; what denies needs to find only one thing in it. A ticket
 * that names no application is for all of them. */
static bool applications_match(const struct rule *rule, const struct facts *f)
{
    size_t among = 0;

    if (rule->n_apps == 0)
        return true;
    if (f->n_apps == 0)
        return rule->deny || f->is_request; /* a grant then names those of the rule */
    for (size_t i = 0; i < f->ticket->n_apps; i++)
        among += !ticket_is_mark(&f->ticket->apps[i]) && is_among(rule, &f->ticket->apps[i]);
    return rule->deny ? among > 0 : among == f->n_apps;
}

static bool to_matches(const struct rule *rule, const struct facts *f)
{
    size_t matching = 0;

    if (rule->to.n == 0)
        return true;
    for (size_t i = 0; i < f->n_to; i++)
        matching += patterns_match(&rule->to, &f->to[i]);
    return rule->deny ? matching > 0 : matching == f->n_to;
}

static bool hours_match(const struct rule *rule, unsigned minute)
{
    if (!rule->has_hours)
        return true;
    if (rule->begin < rule->end)
        return minute >= rule->begin && minute < rule->end;
    return minute >= rule->begin || minute < rule->end;
}

/* The relations by which a rule can match; another user than those named needs the Initiator's
 * mark, whatever the rule says. */
static bool marks_match(const struct rule *rule, const struct facts *f)
{
    unsigned by = rule->as & f->relation;

    if (f->is_request || rule->deny)
        return true;
    if (by == AS_RETARGETED)
        return ticket_has_mark(f->ticket, TICKET_MARK_RETARGET, "");
    return by != AS_NETWORK || !rule->initiator_allows ||
           ticket_has_mark(f->ticket, TICKET_MARK_ALLOW, f->who->role);
}

static bool identity_matches(const struct rule *rule, const struct facts *f)
{
    for (size_t i = 0; i < f->n_identities; i++)
        if (patterns_match(&rule->identities, &f->identity[i]))
            return true;
    return rule->identities.n == 0;
}

static enum tbs_err group_matches(const struct rule *rule, const struct facts *f, bool *ret_matches,
                                  struct tbs_diag *diag)
{
    bool yes = rule->groups.n == 0;
    enum tbs_err err = TBS_OK;

    for (size_t i = 0; !err && !yes && i < rule->groups.n; i++) {
        const struct pattern *group = &rule->groups.at[i];

        err = f->who->is_member(f->who->ctx, tbs_bytes(group->text, group->len), &yes, diag);
    }
    *ret_matches = yes;
    return err;
}

/* in_group: it is known that the subscriber is in a group of the rule's. */
static enum tbs_err find_misses(const struct rule *rule, const struct facts *f, bool first,
                                bool in_group, unsigned *ret_misses, struct tbs_diag *diag)
{
    unsigned misses = 0;
    enum tbs_err err = TBS_OK;

    if (rule->roles != 0 && !(rule->roles & 1u << f->role))
        misses |= MISS_ROLE;
    if (!f->is_request && !(rule->as & f->relation))
        misses |= MISS_AS;
    if (rule->days != 0 && !(rule->days & 1u << f->day))
        misses |= MISS_DAYS;
    if (!hours_match(rule, f->minute))
        misses |= MISS_HOURS;
    if (!(misses && first)) {
        misses |= marks_match(rule, f) ? 0 : MISS_MARK;
        misses |= applications_match(rule, f) ? 0 : MISS_APPLICATION;
        misses |= to_matches(rule, f) ? 0 : MISS_TO;
        misses |= patterns_match(&rule->from, &f->from) ? 0 : MISS_FROM;
        misses |= identity_matches(rule, f) ? 0 : MISS_IDENTITY;
    }
    /* This one asks the store. */
    if (!in_group && !(misses && first)) {
        err = group_matches(rule, f, &in_group, diag);
        misses |= in_group ? 0 : MISS_GROUP;
    }
    *ret_misses = misses;
    return err;
}

enum tbs_err rule_misses(const struct rule *rule, const struct facts *facts, unsigned *ret_misses,
                         struct tbs_diag *diag)
{
    return find_misses(rule, facts, false, false, ret_misses, diag);
}

/* While candidates are looked at. The first rule that denies wins, else the first that allows. */
struct search {
    const struct section *section;
    const struct facts *facts;
    uint32_t deny, allow; /* positions; UINT32_MAX: none yet */
    bool by_group;        /* what is looked at was found by a group of the subscriber's */
    struct tbs_diag *diag;
};

static enum tbs_err look_at(struct search *s, uint32_t at)
{
    const struct rule *rule = &s->section->rule[at];
    uint32_t *best = rule->deny ? &s->deny : &s->allow;
    unsigned misses;

    if (at >= *best || (!rule->deny && s->deny != UINT32_MAX))
        return TBS_OK;
    enum tbs_err err = find_misses(rule, s->facts, true, s->by_group, &misses, s->diag);

    if (!err && misses == 0)
        *best = at;
    return err;
}

static enum tbs_err look_up(struct search *s, char tag, const char *text, size_t len)
{
    const struct index *index = &s->section->index;
    const struct index_entry *e = index_find(index, tag, text, len);
    enum tbs_err err = TBS_OK;

    for (uint32_t i = 0; !err && e && i < e->n; i++)
        err = look_at(s, index->list[e->first + i]);
    return err;
}

static enum tbs_err look_up_name(struct search *s, char tag, const struct name *name)
{
    if (!name->known)
        return TBS_OK;
    enum tbs_err err = look_up(s, tag, name->text, name->len);

    return err ? err : look_up(s, (char)(tag - TAG_HOST), name->host, name->host_len);
}

static enum tbs_err look_up_group(void *arg, struct tbs_bytes name)
{
    struct search *s = arg;

    s->by_group = true;
    return look_up(s, TAG_GROUP, (const char *)name.data, name.len);
}

static enum tbs_err look_up_all(struct search *s)
{
    const struct facts *f = s->facts;
    const struct index *index = &s->section->index;
    enum tbs_err err = TBS_OK;

    for (uint32_t i = 0; !err && i < index->n_general; i++)
        err = look_at(s, index->general[i]);
    for (size_t i = 0; !err && i < f->n_to; i++)
        err = look_up_name(s, TAG_TO, &f->to[i]);
    if (!err)
        err = look_up_name(s, TAG_FROM, &f->from);
    for (size_t i = 0; !err && i < f->n_identities; i++)
        err = look_up_name(s, TAG_WHO, &f->identity[i]);
    if (!err && f->role < ROLES)
        err = look_up(s, TAG_ROLE, policy_role_names[f->role], strlen(policy_role_names[f->role]));
    if (!err && index->by_group)
        err = f->who->each_group(f->who->ctx, look_up_group, s, s->diag);
    return err;
}

enum tbs_err section_decide(const struct section *section, const struct facts *facts,
                            const struct rule **ret_rule, struct tbs_diag *diag)
{
    struct search s = {
        .section = section, .facts = facts, .deny = UINT32_MAX, .allow = UINT32_MAX, .diag = diag};
    enum tbs_err err = look_up_all(&s);
    uint32_t at = s.deny != UINT32_MAX ? s.deny : s.allow;

    if (!err)
        *ret_rule = at != UINT32_MAX ? &section->rule[at] : NULL;
    return err;
}
