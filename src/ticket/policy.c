#include "ticket/policy.h"

#include <string.h>

#include "base/clock.h"
#include "mikey/protect.h"

static enum tbs_err take_time(const struct mikey_payload *p, struct ticket_policy *policy,
                              struct tbs_diag *diag)
{
    if (p->t.ts_type == MIKEY_TS_COUNTER && p->t.role != MIKEY_TRI)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "TR at offset %zu of the Ticket Policy is a counter, not a time",
                        p->offset);
    switch (p->t.role) {
    case MIKEY_TRS:
        policy->has_start = true;
        policy->start = mikey_ts64(p);
        return TBS_OK;
    case MIKEY_TRE:
        policy->has_end = true;
        policy->end = mikey_ts64(p);
        return TBS_OK;
    case MIKEY_TRR:
        if (p->t.ts_type != MIKEY_TS_NTP_UTC_32)
            return tbs_fail(diag, TBS_ERR_INVALID,
                            "TRr at offset %zu has TS Type %u; a rekeying interval is NTP-UTC-32 "
                            "(RFC 6043 6.10)",
                            p->offset, p->t.ts_type);
        policy->has_rekey = true;
        policy->rekey_seconds = (uint32_t)p->t.value;
        return TBS_OK;
    default:
        return TBS_OK; /* unexpected payloads SHOULD be ignored, RFC 6043 6.10 */
    }
}

static enum tbs_err add_id(struct ticket_id *list, size_t max, size_t *n,
                           const struct ticket_id *id, const char *what, struct tbs_diag *diag)
{
    if (id->data.len == 0)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the Ticket Policy has an empty identity among its %s", what);
    if (*n == max)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the Ticket Policy names more than %zu %s", max, what);
    list[(*n)++] = *id;
    return TBS_OK;
}

static enum tbs_err take_id(const struct mikey_payload *p, struct ticket_policy *policy,
                            struct tbs_diag *diag)
{
    struct ticket_id id = {.type = p->id.id_type, .data = p->id.data};

    switch (p->id.role) {
    case MIKEY_IDRKMS:
        policy->kms = id;
        return TBS_OK;
    case MIKEY_IDRI:
        policy->initiator = id;
        return TBS_OK;
    case MIKEY_IDRAPP:
        return add_id(policy->apps, TICKET_APPS_MAX, &policy->n_apps, &id, "applications", diag);
    case MIKEY_IDRR:
        return add_id(policy->responders, TICKET_RESPONDERS_MAX, &policy->n_responders, &id,
                      "responders", diag);
    default:
        return TBS_OK;
    }
}

static enum tbs_err take_wish(const struct mikey_payload *p, struct ticket_policy *policy,
                              struct tbs_diag *diag)
{
    struct mikey_key keys[MIKEY_KEYS_MAX];
    size_t n;

    if (p->kemac.encr != MIKEY_ENCR_NULL || p->kemac.mac_alg != MIKEY_MAC_NULL)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the KEMAC of the Ticket Policy is not NULL encrypted and NULL "
                        "authenticated (RFC 6043 6.10)");
    policy->no_keys = p->kemac.data.len == 0;
    if (policy->no_keys)
        return TBS_OK;
    enum tbs_err err = mikey_decode_keys(p->kemac.data, keys, &n, diag);

    if (err)
        return err;
    if (n > TICKET_SESSION_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the Ticket Policy asks for %zu keys, more than %d", n,
                        TICKET_SESSION_KEYS_MAX);
    for (size_t i = 0; i < n; i++)
        policy->keys[i] = keys[i];
    policy->n_keys = n;
    return TBS_OK;
}

static enum tbs_err take(const struct mikey_payload *p, struct ticket_policy *policy,
                         struct tbs_diag *diag)
{
    switch (p->type) {
    case MIKEY_IDR:
        return take_id(p, policy, diag);
    case MIKEY_TR:
        return take_time(p, policy, diag);
    case MIKEY_KEMAC:
        return take_wish(p, policy, diag);
    default:
        return TBS_OK;
    }
}

enum tbs_err ticket_policy_decode(const struct mikey_payload *payload,
                                  struct ticket_policy *ret_policy, struct tbs_diag *diag)
{
    struct mikey_payloads list;
    struct ticket_policy policy = {
        .type = payload->ticket.type,
        .subtype = payload->ticket.subtype,
        .version = payload->ticket.version,
        .prf = payload->ticket.prf,
        .flags = payload->ticket.flags,
    };
    enum tbs_err err =
        mikey_decode_chain(payload->ticket.tp_data, payload->offset + 10, &list, diag);

    for (size_t i = 0; !err && i < list.n; i++)
        err = take(&list.p[i], &policy, diag);
    if (!err && policy.n_responders == 0)
        err = tbs_fail(diag, TBS_ERR_INVALID,
                       "the Ticket Policy names no responder (IDRr, RFC 6043 6.10)");
    if (!err)
        *ret_policy = policy;
    return err;
}

static void put_id(struct mikey_writer *w, uint8_t role, const struct ticket_id *id)
{
    if (id->data.len > 0)
        mikey_put_idr(w, role, id->type, id->data);
}

static void put_wish(struct mikey_writer *w, const struct ticket_policy *policy)
{
    struct tbs_buf keys TBS_BUF_AUTO = tbs_buf();
    struct mikey_writer kw = mikey_write_keys(&keys);

    if (policy->n_keys == 0 && !policy->no_keys)
        return;
    for (size_t i = 0; i < policy->n_keys; i++)
        mikey_put_key(&kw, &policy->keys[i]);
    mikey_put_kemac(w, MIKEY_ENCR_NULL, tbs_buf_view(&keys));
    w->buf->failed |= keys.failed;
}

void ticket_policy_put(struct tbs_buf *core, const struct ticket_policy *policy)
{
    struct tbs_buf data TBS_BUF_AUTO = tbs_buf();
    struct mikey_writer w = mikey_write_chain(&data);

    put_id(&w, MIKEY_IDRKMS, &policy->kms);
    put_id(&w, MIKEY_IDRI, &policy->initiator);
    /* Validity needs no fractions of seconds (RFC 6043 6.3). */
    if (policy->has_start)
        mikey_put_tr(&w, MIKEY_TRS, MIKEY_TS_NTP_UTC_32, policy->start >> 32);
    if (policy->has_end)
        mikey_put_tr(&w, MIKEY_TRE, MIKEY_TS_NTP_UTC_32, policy->end >> 32);
    if (policy->has_rekey)
        mikey_put_tr(&w, MIKEY_TRR, MIKEY_TS_NTP_UTC_32, policy->rekey_seconds);
    put_wish(&w, policy);
    for (size_t i = 0; i < policy->n_apps; i++)
        put_id(&w, MIKEY_IDRAPP, &policy->apps[i]);
    for (size_t i = 0; i < policy->n_responders; i++)
        put_id(&w, MIKEY_IDRR, &policy->responders[i]);
    mikey_put_ticket_policy(core, policy->type, policy->subtype, policy->version, policy->prf,
                            policy->flags, tbs_buf_view(&data));
    core->failed |= data.failed;
}

bool ticket_has_tgk(const struct mikey_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (keys[i].type == MIKEY_TGK || keys[i].type == MIKEY_TGK_SALT)
            return true;
    return false;
}

enum tbs_err ticket_policy_check(const struct ticket_policy *policy, bool has_tgk,
                                 struct tbs_diag *diag)
{
    const uint16_t f = policy->flags;
    const struct {
        bool broken;
        const char *rule;
    } rules[] = {
        {!(f & TICKET_D) && !(f & TICKET_L), "NOT D implies L"},
        {(f & TICKET_G) && !(f & TICKET_F), "G implies F"},
        {!(f & TICKET_G) && !(f & TICKET_H), "NOT G implies H"},
        {(f & TICKET_I) && !(f & TICKET_E), "I implies E"},
        {(f & TICKET_K) && !(f & TICKET_D), "K implies D"},
        {(f & TICKET_M) && !(f & TICKET_F), "M implies F"},
        {(f & TICKET_I) && has_tgk && !(f & TICKET_F), "I with a TGK implies F"},
    };

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].broken)
            return tbs_fail(diag, TBS_ERR_INVALID,
                            "the flags of the Ticket Policy break the rule \"%s\" (RFC 6043 "
                            "6.10)",
                            rules[i].rule);
    if (policy->has_start && policy->has_end &&
        tbs_ntp_diff_seconds(policy->end, policy->start) <= 0)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "the Ticket Policy's validity period ends before it starts");
    return TBS_OK;
}

bool ticket_is_mark(const struct ticket_id *app)
{
    struct tbs_bytes mark = tbs_bytes_str(TICKET_MARK);

    return tbs_bytes_equal(tbs_bytes_slice(app->data, 0, mark.len), mark);
}

bool ticket_has_mark(const struct ticket_policy *policy, const char *mark, const char *rest)
{
    size_t len = strlen(mark);

    for (size_t i = 0; i < policy->n_apps; i++) {
        struct tbs_bytes app = policy->apps[i].data;

        if (app.len >= len && memcmp(app.data, mark, len) == 0 &&
            tbs_bytes_equal(tbs_bytes_slice(app, len, app.len - len), tbs_bytes_str(rest)))
            return true;
    }
    return false;
}

bool ticket_policy_valid_at(const struct ticket_policy *policy, uint64_t now)
{
    return !(policy->has_start && tbs_ntp_diff_seconds(now, policy->start) < 0) &&
           !(policy->has_end && tbs_ntp_diff_seconds(now, policy->end) > 0);
}
