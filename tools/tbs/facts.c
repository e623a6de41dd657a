#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "flow.h"
#include "names.h"
#include "text.h"
#include "ticket/ticket.h"

#define ID_SHOWN 64 /* octets of an identity in a diagram */

/* Adds safe text of the wire. */
static void put_text(FILE *out, struct tbs_bytes octets)
{
    struct tbs_bytes head =
        tbs_bytes_slice(octets, 0, octets.len < ID_SHOWN ? octets.len : ID_SHOWN);
    char *safe = text_safe(head);

    fputs(safe ? safe : "?", out);
    if (head.len < octets.len)
        fputs("…", out);
    free(safe);
}

static void put_responders(FILE *out, const struct ticket_policy *policy)
{
    for (size_t i = 0; i < policy->n_responders; i++) {
        fputs(i ? ", " : "", out);
        put_text(out, policy->responders[i].data);
    }
}

static void put_flags(FILE *out, uint16_t flags)
{
    fputs("flags", out);
    for (unsigned i = 0; i < NAME_FLAGS; i++)
        if (flags & TICKET_D >> i)
            fprintf(out, " %s", name_flags[i].letter);
}

/* A fact is what a function writes; nothing written is no fact. */
typedef void (*fact_fn)(FILE *out, const struct mikey_message *m);

static enum tbs_err add_fact(struct flow_step *step, fact_fn write, const struct mikey_message *m,
                             struct tbs_diag *diag)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    write(out, m);
    if (fclose(out) != 0) {
        free(text);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    }
    if (size > 0)
        step->fact[step->n_facts++] = text;
    else
        free(text);
    return TBS_OK;
}

static const struct mikey_payload *find_policy(const struct mikey_message *m,
                                               struct ticket_policy *policy)
{
    const struct mikey_payload *p = mikey_find(&m->payloads, MIKEY_TP, 0);

    if (!p)
        p = mikey_find(&m->payloads, MIKEY_TICKET, 0);
    return p && ticket_policy_decode(p, policy, NULL) == TBS_OK ? p : NULL;
}

/* The parties that the message itself names. */
static void write_parties(FILE *out, const struct mikey_message *m)
{
    struct tbs_bytes i = mikey_id_data(&m->payloads, MIKEY_IDRI);
    struct tbs_bytes r = mikey_id_data(&m->payloads, MIKEY_IDRR);

    put_text(out, i);
    if (i.len > 0 && r.len > 0)
        fputs(" to ", out);
    put_text(out, r);
}

static void write_wish(FILE *out, const struct mikey_message *m)
{
    struct ticket_policy policy;

    if (!find_policy(m, &policy))
        return;
    fputs("wants a ticket for ", out);
    put_responders(out, &policy);
}

static void write_ticket(FILE *out, const struct mikey_message *m)
{
    struct ticket_policy policy;
    const struct mikey_payload *ticket = find_policy(m, &policy);
    struct tbs_bytes tpk;

    if (!ticket)
        return;
    fputs("ticket for ", out);
    put_responders(out, &policy);
    if (policy.type == TICKET_TYPE_MIKEY_BASE && ticket_tpk_id(ticket, &tpk, NULL) == TBS_OK) {
        fputs(" under ", out);
        put_text(out, tpk);
    }
}

static void write_flags(FILE *out, const struct mikey_message *m)
{
    struct ticket_policy policy;

    if (!find_policy(m, &policy))
        return;
    put_flags(out, policy.flags);
    if (policy.flags & TICKET_K)
        fputs(" (the KMS changed the wish)", out);
}

static void write_end(FILE *out, const struct mikey_message *m)
{
    struct ticket_policy policy;
    char end[TEXT_TIME_MAX];

    if (!find_policy(m, &policy) || !policy.has_end)
        return;
    text_time(policy.end, end);
    fprintf(out, "valid until %.19s UTC", end);
}

static void write_sessions(FILE *out, const struct mikey_message *m)
{
    if (m->hdr.n_cs > 0)
        fprintf(out, "%u crypto session%s", m->hdr.n_cs, m->hdr.n_cs == 1 ? "" : "s");
}

static void write_keys(FILE *out, const struct mikey_message *m)
{
    const struct mikey_payload *kemac = mikey_find(&m->payloads, MIKEY_KEMAC, 0);
    bool forked = mikey_find(&m->payloads, MIKEY_RANDR, MIKEY_RANDRKMS) != NULL;

    if (kemac)
        fprintf(out, "%skeys, %s", forked ? "forked " : "", name_encr(kemac->kemac.encr));
}

static void write_errors(FILE *out, const struct mikey_message *m)
{
    for (size_t i = 0, n = 0; i < m->payloads.n; i++)
        if (m->payloads.p[i].type == MIKEY_ERR)
            fprintf(out, "%s%s", n++ ? ", " : "", mikey_error_name(m->payloads.p[i].err.no));
}

static const struct telling {
    enum flow_kind kind;
    fact_fn fact[FLOW_FACTS_MAX];
} tellings[] = {
    [MIKEY_ERROR] = {FLOW_ERROR, {write_errors}},
    [MIKEY_REQUEST_INIT_PSK] = {FLOW_REQUEST, {write_parties, write_wish, write_flags}},
    [MIKEY_REQUEST_INIT_PK] = {FLOW_REQUEST, {write_parties, write_wish, write_flags}},
    [MIKEY_REQUEST_RESP] = {FLOW_REQUEST, {write_ticket, write_flags, write_end, write_keys}},
    [MIKEY_TRANSFER_INIT] = {FLOW_TRANSFER,
                             {write_parties, write_ticket, write_flags, write_sessions}},
    [MIKEY_TRANSFER_RESP] = {FLOW_TRANSFER, {write_parties, write_sessions, write_keys}},
    [MIKEY_RESOLVE_INIT_PSK] = {FLOW_RESOLVE, {write_parties, write_ticket, write_flags}},
    [MIKEY_RESOLVE_INIT_PK] = {FLOW_RESOLVE, {write_parties, write_ticket, write_flags}},
    [MIKEY_RESOLVE_RESP] = {FLOW_RESOLVE, {write_parties, write_keys}},
};

static enum tbs_err set_title(struct flow_step *step, const char *name, bool in_sdp,
                              struct tbs_diag *diag)
{
    if (asprintf(&step->title, "%s%s", name, in_sdp ? " in SDP" : "") < 0) {
        step->title = NULL;
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    }
    return TBS_OK;
}

static enum tbs_err describe_malformed(const char *sentence, bool in_sdp, struct flow_step *step,
                                       struct tbs_diag *diag)
{
    step->kind = FLOW_ERROR;
    step->fact[0] = text_safe(tbs_bytes_str(sentence));
    if (!step->fact[0])
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    step->n_facts = 1;
    return set_title(step, "malformed message", in_sdp, diag);
}

enum tbs_err flow_describe(struct tbs_bytes message, bool in_sdp, struct flow_step *step,
                           struct tbs_diag *diag)
{
    static const struct telling other = {FLOW_OTHER, {write_parties}};
    struct mikey_message m;
    struct tbs_diag why = {0};
    const struct telling *telling = &other;
    enum tbs_err err = TBS_OK;

    if (mikey_decode(message, &m, &why))
        return describe_malformed(why.text, in_sdp, step, diag);
    if (m.hdr.data_type < sizeof tellings / sizeof *tellings && tellings[m.hdr.data_type].fact[0])
        telling = &tellings[m.hdr.data_type];
    step->kind = telling->kind;
    for (size_t i = 0; !err && i < FLOW_FACTS_MAX && telling->fact[i]; i++)
        err = add_fact(step, telling->fact[i], &m, diag);
    return err ? err : set_title(step, mikey_data_type_name(m.hdr.data_type), in_sdp, diag);
}
