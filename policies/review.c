/* Rules that can never decide, and rules that contradict each other. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policies/internal.h"

#define SENTENCE 512

struct review {
    const struct section *section;
    policy_found_fn *found;
    void *ctx;
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void tell(struct review *r, const char *fmt, ...)
{
    char sentence[SENTENCE];
    va_list args;

    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    r->found(r->ctx, sentence);
    r->n++;
}

static unsigned days_of(const struct rule *rule)
{
    return rule->days ? rule->days : 0x7f;
}

/* Of hours that overlap, only the same ones are told. */
static bool times_cover(const struct rule *a, const struct rule *b)
{
    if (days_of(b) & ~days_of(a))
        return false;
    if (!a->has_hours)
        return true;
    return b->has_hours && a->begin == b->begin && a->end == b->end;
}

static bool has_app(const struct rule *rule, const struct ticket_id *app)
{
    for (size_t i = 0; i < rule->n_apps; i++)
        if (tbs_bytes_equal(rule->apps[i].data, app->data))
            return true;
    return false;
}

static bool applications_cover(const struct rule *a, const struct rule *b)
{
    if (a->n_apps == 0)
        return true;
    for (size_t i = 0; i < b->n_apps; i++)
        if (!has_app(a, &b->apps[i]))
            return false;
    return b->n_apps > 0;
}

/* Whatever `b` matches, `a` matches: false also where that cannot be told. */
static bool covers(const struct rule *a, const struct rule *b)
{
    return (a->roles == 0 || (b->roles != 0 && !(b->roles & ~a->roles))) && !(b->as & ~a->as) &&
           (!a->initiator_allows || b->initiator_allows) && times_cover(a, b) &&
           applications_cover(a, b) && patterns_cover(&a->to, &b->to) &&
           patterns_cover(&a->from, &b->from) && patterns_cover(&a->identities, &b->identities) &&
           patterns_cover(&a->groups, &b->groups);
}

static void review_pair(struct review *r, const struct rule *a, const struct rule *b)
{
    if (a->deny && b->deny)
        tell(r, "%.100s:%u: rule %s is not needed: rule %s (%.100s:%u) denies all that it denies",
             b->file, b->line, b->name, a->name, a->file, a->line);
    else if (a->deny)
        tell(
            r,
            "%.100s:%u: rule %s allows nothing: rule %s (%.100s:%u) denies all that it could allow",
            b->file, b->line, b->name, a->name, a->file, a->line);
    else
        tell(r,
             "%.100s:%u: rule %s never decides: rule %s (%.100s:%u) comes first and allows all "
             "that it could allow",
             b->file, b->line, b->name, a->name, a->file, a->line);
}

/* At most one finding for each rule. */
static void review_rule(struct review *r, size_t at)
{
    const struct rule *b = &r->section->rule[at];

    for (size_t i = 0; i < r->section->n; i++) {
        const struct rule *a = &r->section->rule[i];

        /* What denies wins wherever it stands, what allows only over what follows. */
        if (i != at && (a->deny ? !b->deny || i < at : !b->deny && i < at) && covers(a, b)) {
            review_pair(r, a, b);
            return;
        }
    }
}

static void review_relation(struct review *r, const struct rule *rule)
{
    const unsigned network = ~(1u << ROLE_NONE);
    bool only_users = rule->roles == 1u << ROLE_NONE;
    bool only_functions = rule->roles != 0 && !(rule->roles & ~network);

    if (rule->as == AS_NETWORK && only_users)
        tell(r,
             "%.100s:%u: rule %s matches nobody: role none is no network function; name others "
             "in who.roles",
             rule->file, rule->line, rule->name);
    if (rule->as == AS_RETARGETED && only_functions)
        tell(r,
             "%.100s:%u: rule %s matches nobody: who is retargeted has no role; write as: "
             "[network-function]",
             rule->file, rule->line, rule->name);
}

static void review_section(struct review *r)
{
    for (size_t i = 0; i < r->section->n; i++)
        review_rule(r, i);
}

size_t policy_rules_review(const struct policy_rules *rules, policy_found_fn *found, void *ctx)
{
    struct review r = {.section = &rules->requests, .found = found, .ctx = ctx};

    review_section(&r);
    r.section = &rules->resolves;
    review_section(&r);
    for (size_t i = 0; i < rules->resolves.n; i++)
        review_relation(&r, &rules->resolves.rule[i]);
    if (rules->requests.n == 0)
        tell(&r, "%.200s: there is no rule under requests: nobody gets a ticket",
             rules->file[0].name);
    if (rules->resolves.n == 0)
        tell(&r, "%.200s: there is no rule under resolves: nobody can use a ticket",
             rules->file[0].name);
    return r.n;
}
