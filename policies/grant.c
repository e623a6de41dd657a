/* What a rule grants of a wish. Nothing here gives more than was asked for, but for what the
 * RFC lets a KMS complete: a validity, a key. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "mikey/protect.h"
#include "policies/read.h"

#define KEY_MIN 16 /* octets, RFC 6043 12.1 */
#define KEY_MAX 32
#define SALT_LEN_MAX 32

/* What a key of n octets is wished with; its octets are never read. */
static const uint8_t zeros[MIKEY_RAND_LEN];

/* --- As it is written --- */

static enum tbs_err read_number(const struct place *place, const char *key, unsigned in,
                                unsigned min, unsigned max, unsigned *number, struct tbs_diag *diag)
{
    char path[64];

    snprintf(path, sizeof path, "grant.%s", key);
    if (place_line(place, path) == 0)
        return TBS_OK;
    if (in < min || in > max)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%s:%u: %s must be a whole number from %u to %u",
                        place->file, place_line(place, path), path, min, max);
    *number = in;
    return TBS_OK;
}

static enum tbs_err read_kinds(const struct place *place, const struct document_grant *in,
                               struct grant *grant, struct tbs_diag *diag)
{
    static const char *const names[] = {"tgk", "tek", "gtgk"};

    if (in->key_types_count > 0)
        grant->kinds = 0;
    for (unsigned i = 0; i < in->key_types_count; i++) {
        unsigned k = 0;

        while (k < 3 && strcmp(in->key_types[i], names[k]) != 0)
            k++;
        if (k == 3)
            return place_wrong(place, "grant.key_types", "of tgk, tek and gtgk", diag);
        grant->kinds |= 1u << k;
    }
    return TBS_OK;
}

static enum tbs_err read_suites(const struct place *place, const struct document_grant *in,
                                struct grant *grant, struct tbs_diag *diag)
{
    if (in->suites_count > 0)
        grant->suite_128 = grant->suite_256 = false;
    for (unsigned i = 0; i < in->suites_count; i++) {
        if (in->suites[i] != 128 && in->suites[i] != 256)
            return place_wrong(place, "grant.suites", "256, 128 or both, such as [256, 128]", diag);
        *(in->suites[i] == 128 ? &grant->suite_128 : &grant->suite_256) = true;
    }
    return TBS_OK;
}

static enum tbs_err read_flag(const struct place *place, const char *key, const char *word,
                              bool may_require, uint16_t flag, struct grant *grant,
                              struct tbs_diag *diag)
{
    if (!word || strcmp(word, "as-wished") == 0)
        return TBS_OK;
    if (strcmp(word, "refused") == 0)
        grant->clear |= flag;
    else if (may_require && strcmp(word, "required") == 0)
        grant->set |= flag;
    else
        return place_wrong(place, key,
                           may_require ? "as-wished, required or refused" : "as-wished or refused",
                           diag);
    return TBS_OK;
}

static enum tbs_err read_flags(const struct place *place, const struct document_grant *in,
                               struct grant *g, struct tbs_diag *diag)
{
    enum tbs_err err = read_flag(place, "grant.forking", in->forking, true, TICKET_I, g, diag);

    if (!err)
        err = read_flag(place, "grant.reuse", in->reuse, false, TICKET_J, g, diag);
    if (!err)
        err =
            read_flag(place, "grant.initiator_keys", in->initiator_keys, false, TICKET_L, g, diag);
    if (!err)
        err =
            read_flag(place, "grant.responder_keys", in->responder_keys, false, TICKET_M, g, diag);
    return err;
}

enum tbs_err grant_read(const struct place *place, const struct document_grant *in,
                        uint32_t max_validity, struct grant *ret_grant, struct tbs_diag *diag)
{
    unsigned validity = max_validity, rekey = 0, bits = KEY_MAX * 8;
    struct grant g = {.max_keys = TICKET_SESSION_KEYS_MAX,
                      .max_responders = TICKET_RESPONDERS_MAX,
                      .kinds = KIND_ALL,
                      .suite_128 = true,
                      .suite_256 = true,
                      .end_to_end = in->end_to_end};
    enum tbs_err err =
        read_number(place, "max_validity", in->max_validity, 60, 31536000, &validity, diag);

    if (!err)
        err = read_number(place, "max_rekey_seconds", in->max_rekey_seconds, 1, 31536000, &rekey,
                          diag);
    if (!err)
        err = read_number(place, "max_keys", in->max_keys, 1, TICKET_SESSION_KEYS_MAX, &g.max_keys,
                          diag);
    if (!err)
        err = read_number(place, "max_key_bits", in->max_key_bits, KEY_MIN * 8, KEY_MAX * 8, &bits,
                          diag);
    if (!err)
        err = read_number(place, "max_responders", in->max_responders, 1, TICKET_RESPONDERS_MAX,
                          &g.max_responders, diag);
    if (!err)
        err = read_kinds(place, in, &g, diag);
    if (!err)
        err = read_suites(place, in, &g, diag);
    if (!err)
        err = read_flags(place, in, &g, diag);
    g.max_validity = validity < max_validity ? validity : max_validity;
    g.max_rekey = rekey;
    g.max_key_len = bits / 8;
    if (!err)
        *ret_grant = g;
    return err;
}

/* --- As it is applied --- */

const char *policy_change_text(enum policy_change change)
{
    static const char *const texts[POLICY_CHANGES] = {
        "the KMS makes the ticket, and only a KMS resolves it (flags D and E)",
        "this KMS instead of another (IDRkms)",
        "the validity ends earlier, or at all (TRe)",
        "fewer keys",
        "keys of another length",
        "an SPI instead of a validity interval of a key",
        "for the rule's applications alone (IDRapp)",
        "no network function may resolve it (IDRapp tbs:end-to-end)",
        "key forking (flag I, and E and F with it)",
        "no reuse (flag J)",
        "no session keys from the Initiator (flag L)",
        "no session keys from the Responder (flag M)",
        "rekeying more often (TRr)",
    };

    for (size_t i = 0; i < POLICY_CHANGES; i++)
        if (change == 1u << i)
            return texts[i];
    return "something else";
}

struct granting {
    const struct rule *rule;
    const struct grant *grant;
    struct ticket_policy *granted;
    unsigned changes;
    struct tbs_diag *diag;
};

static enum tbs_err refuse(const struct granting *g, const char *what)
{
    return tbs_fail(g->diag, TBS_ERR_INVALID, "%s (rule %s, %.120s:%u)", what, g->rule->name,
                    g->rule->file, g->rule->line);
}

/* The end of validity is at most max_validity after now, whatever start is wished: a ticket that
 * is fetched today must not outlive the subscriber by more. */
static enum tbs_err limit_validity(struct granting *g, uint64_t now)
{
    struct ticket_policy *granted = g->granted;
    uint32_t max_validity = g->grant->max_validity;
    uint64_t latest = now + ((uint64_t)max_validity << 32);

    if (granted->has_end && tbs_ntp_diff_seconds(granted->end, now) <= 0)
        return tbs_fail(g->diag, TBS_ERR_INVALID, "the wished validity period is over already");
    if (granted->has_start && tbs_ntp_diff_seconds(granted->start, latest) >= 0)
        return tbs_fail(g->diag, TBS_ERR_INVALID,
                        "the wished validity period starts after the latest end, %u s from now "
                        "(rule %s, kms.max_validity): ask again when it is nearer",
                        max_validity, g->rule->name);
    if (granted->has_end && tbs_ntp_diff_seconds(granted->end, latest) <= 0)
        return TBS_OK;
    granted->has_end = true;
    granted->end = latest;
    g->changes |= POLICY_VALIDITY;
    return TBS_OK;
}

static void limit_rekey(struct granting *g)
{
    uint32_t most = g->grant->max_rekey;

    if (most == 0 || (g->granted->has_rekey && g->granted->rekey_seconds <= most))
        return;
    g->granted->has_rekey = true;
    g->granted->rekey_seconds = most;
    g->changes |= POLICY_REKEY;
}

static unsigned kind_of(uint8_t type)
{
    switch (type) {
    case MIKEY_TGK:
    case MIKEY_TGK_SALT:
        return KIND_TGK;
    case MIKEY_TEK:
    case MIKEY_TEK_SALT:
        return KIND_TEK;
    case MIKEY_GTGK:
    case MIKEY_GTGK_SALT:
        return KIND_GTGK;
    default:
        return 0;
    }
}

/* Of each key, also of one that is not granted: whether a wish is in order does not depend on the
 * rule. */
static enum tbs_err check_key(const struct granting *g, const struct mikey_key *key,
                              const struct mikey_suite *suite)
{
    const char *type = mikey_key_type_name(key->type);

    if (kind_of(key->type) == 0)
        return tbs_fail(g->diag, TBS_ERR_INVALID,
                        "a key of type %s cannot be asked for (RFC 6043 6.10)", type);
    if (key->key.len != 0 && (key->key.len < KEY_MIN || key->key.len > suite->encr_key_len))
        return tbs_fail(g->diag, TBS_ERR_INVALID,
                        "a %s of %zu octets was asked for; suite %s grants 16 to %zu (RFC 6043 "
                        "12.1)",
                        type, key->key.len, suite->name, suite->encr_key_len);
    if (key->salt.len > SALT_LEN_MAX)
        return tbs_fail(g->diag, TBS_ERR_INVALID, "a salt of %zu octets was asked for; at most %d",
                        key->salt.len, SALT_LEN_MAX);
    return TBS_OK;
}

static void limit_key(struct granting *g, struct mikey_key *key, size_t most)
{
    if (key->key.len == 0 || key->key.len > most) {
        key->key = tbs_bytes(zeros, most);
        g->changes |= POLICY_KEY_LENGTH;
    }
    /* Every key carries an SPI: an interval is not granted. */
    if (key->kv == MIKEY_KV_INTERVAL)
        g->changes |= POLICY_KEY_INTERVAL;
}

/* Of the wished keys the first ones, up to the rule's number, and of these the ones of its kinds:
 * in this order, so that a rule of fewer kinds grants no key that one of more kinds would not. */
static void limit_keys(struct granting *g)
{
    struct ticket_policy *granted = g->granted;
    size_t n = 0;

    for (size_t i = 0; i < granted->n_keys && i < g->grant->max_keys; i++)
        if (kind_of(granted->keys[i].type) & g->grant->kinds)
            granted->keys[n++] = granted->keys[i];
    if (n < granted->n_keys)
        g->changes |= POLICY_KEY_COUNT;
    granted->n_keys = n;
}

/* Without a wish, a single TGK (RECOMMENDED, RFC 6043 4.2.1.5), or the kind that the rule grants;
 * none where the ends are to supply them, and may. */
static enum tbs_err grant_keys(struct granting *g)
{
    struct ticket_policy *granted = g->granted;
    const struct mikey_suite *suite = mikey_suite_of_prf(granted->prf);
    unsigned kinds = g->grant->kinds;
    size_t wished = granted->n_keys;

    if (!suite)
        return tbs_fail(g->diag, TBS_ERR_UNSUPPORTED, "PRF Func %u is unknown", granted->prf);
    for (size_t i = 0; i < wished; i++) {
        enum tbs_err err = check_key(g, &granted->keys[i], suite);

        if (err)
            return err;
    }
    if (!(suite == &mikey_suite_256 ? g->grant->suite_256 : g->grant->suite_128))
        return refuse(g, suite == &mikey_suite_256 ? "suite 256 is not granted"
                                                   : "suite 128 is not granted");
    size_t most =
        g->grant->max_key_len < suite->encr_key_len ? g->grant->max_key_len : suite->encr_key_len;

    if (granted->no_keys && !(granted->flags & (TICKET_L | TICKET_M)))
        return refuse(g,
                      "no session key is wished, and neither end may supply one (flags L and M)");
    if (granted->no_keys)
        return TBS_OK;
    limit_keys(g);
    if (wished > 0 && granted->n_keys == 0)
        return refuse(g, "no key of a wished type is granted");
    for (size_t i = 0; i < granted->n_keys; i++)
        limit_key(g, &granted->keys[i], most);
    if (wished == 0)
        granted->keys[granted->n_keys++] =
            (struct mikey_key){.type = kinds & KIND_TGK   ? MIKEY_TGK
                                       : kinds & KIND_TEK ? MIKEY_TEK
                                                          : MIKEY_GTGK,
                               .key = tbs_bytes(zeros, most)};
    return TBS_OK;
}

static void limit_flags(struct granting *g)
{
    static const struct {
        uint16_t flag;
        unsigned change;
    } flags[] = {{TICKET_I, POLICY_FORKING},
                 {TICKET_J, POLICY_REUSE},
                 {TICKET_L, POLICY_INITIATOR_KEYS},
                 {TICKET_M, POLICY_RESPONDER_KEYS}};
    uint16_t *f = &g->granted->flags, before = *f;

    *f = (uint16_t)((*f | g->grant->set) & ~g->grant->clear);
    if (g->grant->set & TICKET_I) /* RFC 6043 6.10: I implies E, and F with a TGK */
        *f |= TICKET_E | TICKET_F;
    if ((before ^ *f) & TICKET_F)
        g->changes |= POLICY_FORKING;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if ((before ^ *f) & flags[i].flag)
            g->changes |= flags[i].change;
}

static enum tbs_err add_app(struct granting *g, const struct ticket_id *app)
{
    if (g->granted->n_apps == TICKET_APPS_MAX)
        return refuse(g, "the Ticket Policy has no room for what the rule adds to IDRapp");
    g->granted->apps[g->granted->n_apps++] = *app;
    return TBS_OK;
}

/* A ticket that names no application is for all; this rule grants only some. */
static enum tbs_err limit_applications(struct granting *g)
{
    const struct ticket_id mark = {MIKEY_ID_URI, tbs_bytes_str(TICKET_MARK_END_TO_END)};
    size_t wished = 0;
    enum tbs_err err = TBS_OK;

    for (size_t i = 0; i < g->granted->n_apps; i++)
        wished += !ticket_is_mark(&g->granted->apps[i]);
    for (size_t i = 0; wished == 0 && !err && i < g->rule->n_apps; i++) {
        err = add_app(g, &g->rule->apps[i]);
        g->changes |= POLICY_APPLICATIONS;
    }
    if (!err && g->grant->end_to_end && !ticket_has_mark(g->granted, TICKET_MARK_END_TO_END, "")) {
        err = add_app(g, &mark);
        g->changes |= POLICY_END_TO_END;
    }
    return err;
}

/* What this KMS always grants alike. */
static void complete(struct granting *g, const struct policy_request *r)
{
    struct ticket_policy *granted = g->granted;

    /* This KMS makes the ticket, and only a KMS can resolve it, or who has its TPK. */
    uint16_t fixed = (uint16_t)(r->responder_resolves ? TICKET_D : TICKET_D | TICKET_E);

    if ((granted->flags & fixed) != fixed) {
        granted->flags |= fixed;
        g->changes |= POLICY_TICKET_KIND;
    }
    if (granted->kms.data.len > 0 && !tbs_bytes_equal(granted->kms.data, r->kms.data))
        g->changes |= POLICY_KMS;
    granted->kms = r->kms;
    if (granted->initiator.data.len == 0)
        granted->initiator = r->initiator->identity;
}

enum tbs_err grant_apply(const struct rule *rule, const struct policy_request *request,
                         struct ticket_policy *ret_granted, unsigned *ret_changes,
                         struct tbs_diag *diag)
{
    struct ticket_policy granted = *request->desired;
    struct granting g = {rule, &rule->grant, &granted, 0, diag};
    enum tbs_err err = TBS_OK;

    if (granted.n_responders > rule->grant.max_responders)
        err = refuse(&g, "so many responders are not granted");
    complete(&g, request);
    if (!err)
        err = limit_validity(&g, request->now);
    limit_rekey(&g);
    limit_flags(&g);
    if (!err)
        err = limit_applications(&g);
    if (!err)
        err = grant_keys(&g);
    if (err)
        return err;
    granted.flags |= g.changes ? TICKET_K : 0;
    *ret_changes = g.changes;
    *ret_granted = granted;
    return TBS_OK;
}
