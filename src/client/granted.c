/* Is the granted Ticket Policy acceptable? RFC 6043 4.2.1.6: MUST be checked before use. */
#include "client/internal.h"

#define SHOWN_FLAGS (TICKET_F | TICKET_G | TICKET_H | TICKET_I | TICKET_J | TICKET_L | TICKET_M)
#define COMPARED_FLAGS (SHOWN_FLAGS | TICKET_D | TICKET_E | TICKET_N | TICKET_O)

struct comparison {
    const struct ticket_policy *wished;
    const struct client_grant *grant;
    const struct tbs_minimum *minimum;
    uint64_t now;
    unsigned changes;
    struct tbs_diag *diag;
};

static bool listed(const struct ticket_id *list, size_t n, const struct ticket_id *id)
{
    for (size_t i = 0; i < n; i++)
        if (tbs_bytes_equal(list[i].data, id->data))
            return true;
    return false;
}

static enum tbs_err denied_id(const struct comparison *c, const struct ticket_id *id,
                              const char *what)
{
    return tbs_fail(c->diag, TBS_ERR_DENIED, "%s: %.*s", what, (int)(id->data.len & 0xFF),
                    (const char *)id->data.data);
}

/* What must never differ. */
static enum tbs_err check_fixed(struct comparison *c)
{
    const struct ticket_policy *w = c->wished, *g = &c->grant->policy;

    if (g->type != w->type || g->subtype != w->subtype || g->version != w->version ||
        g->prf != w->prf)
        return tbs_fail(c->diag, TBS_ERR_DENIED,
                        "the KMS granted ticket type %u.%u.%u with PRF Func %u, not the wished "
                        "%u.%u.%u with %u",
                        g->type, g->subtype, g->version, g->prf, w->type, w->subtype, w->version,
                        w->prf);
    if (g->initiator.data.len > 0 && !tbs_bytes_equal(g->initiator.data, w->initiator.data))
        return denied_id(c, &g->initiator, "the KMS granted a ticket of another Initiator");
    return TBS_OK;
}

static enum tbs_err check_flags(struct comparison *c)
{
    const struct client_grant *g = c->grant;
    size_t n;
    const struct mikey_key *keys = client_session_keys(g, &n);
    unsigned wished = c->wished->flags, granted = g->policy.flags;
    unsigned missing = wished & ~granted & SHOWN_FLAGS & ~c->minimum->without;
    enum tbs_err err = ticket_policy_check(&g->policy, ticket_has_tgk(keys, n), c->diag);

    if (err)
        return err;
    if ((wished ^ granted) & COMPARED_FLAGS)
        c->changes |= TBS_CHANGED_FLAGS;
    if (missing)
        return tbs_fail(c->diag, TBS_ERR_DENIED,
                        "the KMS did not grant the flags%s%s%s%s%s%s%s (RFC 6043 6.10)",
                        missing & TICKET_F ? " F" : "", missing & TICKET_G ? " G" : "",
                        missing & TICKET_H ? " H" : "", missing & TICKET_I ? " I" : "",
                        missing & TICKET_J ? " J" : "", missing & TICKET_L ? " L" : "",
                        missing & TICKET_M ? " M" : "");
    return TBS_OK;
}

/* Whole seconds: that is what TRe carries. */
static enum tbs_err check_validity(struct comparison *c)
{
    const struct ticket_policy *w = c->wished, *g = &c->grant->policy;
    uint32_t minimum = c->minimum->validity_seconds;
    enum tbs_err err = client_check_validity(g, c->now, c->diag);

    if (err)
        return tbs_fail(c->diag, TBS_ERR_DENIED, "the KMS granted a ticket that is not valid now");
    if (g->has_start != w->has_start || g->has_end != w->has_end || g->has_rekey != w->has_rekey ||
        (g->has_end && tbs_ntp_diff_seconds(g->end, w->end) != 0))
        c->changes |= TBS_CHANGED_VALIDITY;
    if (!g->has_end)
        return TBS_OK;
    if (minimum == 0 ? w->has_end && tbs_ntp_diff_seconds(g->end, w->end) < 0
                     : tbs_ntp_diff_seconds(g->end, c->now) < minimum)
        return tbs_fail(c->diag, TBS_ERR_DENIED, "the KMS granted a ticket for %lld seconds only",
                        (long long)tbs_ntp_diff_seconds(g->end, c->now));
    return TBS_OK;
}

/* One responder more, and somebody else could resolve the ticket. */
static enum tbs_err check_responders(struct comparison *c)
{
    const struct ticket_policy *w = c->wished, *g = &c->grant->policy;

    for (size_t i = 0; i < g->n_responders; i++)
        if (!listed(w->responders, w->n_responders, &g->responders[i]))
            return denied_id(c, &g->responders[i], "the KMS added a responder");
    for (size_t i = 0; i < w->n_responders; i++) {
        if (listed(g->responders, g->n_responders, &w->responders[i]))
            continue;
        c->changes |= TBS_CHANGED_RESPONDERS;
        if (!c->minimum->fewer_responders)
            return denied_id(c, &w->responders[i], "the KMS left out a responder");
    }
    return TBS_OK;
}

static size_t applications(const struct ticket_policy *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_apps; i++)
        n += !ticket_is_mark(&p->apps[i]);
    return n;
}

/* The KMS may add a mark that keeps network functions out, and applications where all were
 * wished; a mark that lets somebody in is the Initiator's alone to set. */
static bool is_narrower(const struct ticket_policy *w, size_t wished, const struct ticket_id *app)
{
    if (listed(w->apps, w->n_apps, app))
        return true;
    if (ticket_is_mark(app))
        return tbs_bytes_equal(app->data, tbs_bytes_str(TICKET_MARK_END_TO_END));
    return wished == 0;
}

static enum tbs_err check_apps(struct comparison *c)
{
    const struct ticket_policy *w = c->wished, *g = &c->grant->policy;

    size_t wished = applications(w);

    if (wished > 0 && applications(g) == 0)
        return tbs_fail(c->diag, TBS_ERR_DENIED,
                        "the KMS granted a ticket for all applications, not for the wished ones");
    if (ticket_has_mark(w, TICKET_MARK_END_TO_END, "") &&
        !ticket_has_mark(g, TICKET_MARK_END_TO_END, ""))
        return tbs_fail(c->diag, TBS_ERR_DENIED,
                        "the KMS left out " TICKET_MARK_END_TO_END
                        ": network functions could resolve the ticket");
    for (size_t i = 0; i < g->n_apps; i++)
        if (!is_narrower(w, wished, &g->apps[i]))
            return denied_id(c, &g->apps[i], "the KMS named an application that was not wished");
    if (g->n_apps != w->n_apps)
        c->changes |= TBS_CHANGED_APPS;
    return TBS_OK;
}

static enum tbs_err check_key(struct comparison *c, size_t i, const struct mikey_key *granted)
{
    const struct mikey_key *wished = &c->wished->keys[i];
    size_t least = c->minimum->key_len ? c->minimum->key_len : wished->key.len;

    if (granted->type != wished->type)
        return tbs_fail(c->diag, TBS_ERR_DENIED, "key %zu is a %s, not the wished %s", i + 1,
                        mikey_key_type_name(granted->type), mikey_key_type_name(wished->type));
    if (granted->key.len < least)
        return tbs_fail(c->diag, TBS_ERR_DENIED, "key %zu has %zu octets, fewer than %zu", i + 1,
                        granted->key.len, least);
    if (granted->key.len != wished->key.len || granted->salt.len != wished->salt.len ||
        !tbs_bytes_equal(granted->spi, wished->spi))
        c->changes |= TBS_CHANGED_KEYS;
    return TBS_OK;
}

static enum tbs_err check_keys(struct comparison *c)
{
    size_t n, n_wished = c->wished->n_keys;
    const struct mikey_key *keys = client_session_keys(c->grant, &n);

    if (n_wished == 0 && !c->wished->no_keys)
        return TBS_OK;
    if (n != n_wished)
        return tbs_fail(c->diag, TBS_ERR_DENIED, "the KMS granted %zu keys, not the wished %zu", n,
                        n_wished);
    for (size_t i = 0; i < n; i++) {
        enum tbs_err err = check_key(c, i, &keys[i]);

        if (err)
            return err;
    }
    return TBS_OK;
}

enum tbs_err client_check_granted(const struct ticket_policy *wished,
                                  const struct client_grant *granted,
                                  const struct tbs_minimum *minimum, uint64_t now,
                                  unsigned *ret_changes, struct tbs_diag *diag)
{
    struct comparison c = {
        .wished = wished, .grant = granted, .minimum = minimum, .now = now, .diag = diag};
    enum tbs_err (*const checks[])(struct comparison *) = {
        check_fixed, check_flags, check_validity, check_responders, check_apps, check_keys};

    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        enum tbs_err err = checks[i](&c);

        if (err)
            return err;
    }
    if (c.changes == 0 && (granted->policy.flags & TICKET_K))
        c.changes = TBS_CHANGED_OTHER;
    *ret_changes = c.changes;
    return TBS_OK;
}

const char *tbs_change_name(enum tbs_change change)
{
    switch (change) {
    case TBS_CHANGED_FLAGS:
        return "flags";
    case TBS_CHANGED_VALIDITY:
        return "validity";
    case TBS_CHANGED_RESPONDERS:
        return "responders";
    case TBS_CHANGED_APPS:
        return "applications";
    case TBS_CHANGED_KEYS:
        return "keys";
    case TBS_CHANGED_OTHER:
        return "other";
    }
    return "unknown change";
}
