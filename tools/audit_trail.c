#include "tools/audit_trail.h"

#include <time.h>

#include "base/clock.h"
#include "server/metrics.h"

enum tbs_err audit_trail_open(const struct config_audit *c, struct custody *custody,
                              struct audit **ret_audit, struct tbs_diag *diag)
{
    struct audit_config config = {
        .file = c->file,
        .max_size = c->max_size,
        .sync = c->sync == CONFIG_SYNC_LINE ? AUDIT_SYNC_LINE : AUDIT_SYNC_CHECKPOINT,
        .on_error = c->on_error == CONFIG_CONTINUE ? AUDIT_CONTINUE : AUDIT_REFUSE,
        .every_records = custody ? c->every_records : 0,
        .every_seconds = custody ? c->every_seconds : 0,
        .custody = custody,
    };

    return c->file ? audit_open(&config, ret_audit, diag) : TBS_OK;
}

/* --- Decisions --- */

/* Without fractions: a validity has none. */
static json_t *time_text(uint64_t ntp)
{
    time_t seconds = tbs_unix_from_ntp(ntp);
    char text[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *responders_of(const struct ticket_policy *p)
{
    json_t *list = json_array();

    for (size_t i = 0; i < p->n_responders; i++)
        json_array_append_new(list, audit_text(p->responders[i].data));
    return list;
}

static void put_policy(json_t *fields, const struct ticket_policy *p)
{
    json_object_set_new(fields, "responders", responders_of(p));
    json_object_set_new(fields, "flags", json_sprintf("%04x", p->flags));
    json_object_set_new(fields, "prf", json_integer(p->prf));
    if (p->initiator.data.len > 0)
        json_object_set_new(fields, "initiator", audit_text(p->initiator.data));
    if (p->has_start)
        json_object_set_new(fields, "valid_from", time_text(p->start));
    if (p->has_end)
        json_object_set_new(fields, "valid_to", time_text(p->end));
}

static json_t *fields_of(const struct kms_decision *d)
{
    json_t *fields = json_object();

    json_object_set_new(fields, "outcome", json_string(kms_outcome_name(d->outcome)));
    json_object_set_new(fields, "subscriber", audit_text(tbs_bytes_str(d->subscriber)));
    json_object_set_new(fields, "psk", audit_text(tbs_bytes_str(d->psk_id)));
    json_object_set_new(fields, "identity", audit_text(d->identity));
    if (d->reason[0])
        json_object_set_new(fields, "reason", audit_text(tbs_bytes_str(d->reason)));
    if (d->has_policy)
        put_policy(fields, &d->policy);
    if (d->verdict.rule)
        json_object_set_new(
            fields, "rule",
            json_sprintf("%s (%s:%u)", d->verdict.rule, d->verdict.file, d->verdict.line));
    if (d->tpk_id.len > 0)
        json_object_set_new(fields, "tpk", audit_text(d->tpk_id));
    if (d->ticket.len > 0) {
        char name[AUDIT_NAME_MAX];

        audit_name(d->ticket, name);
        json_object_set_new(fields, "ticket", json_string(name));
    }
    return fields;
}

static enum tbs_err record(void *ctx, const struct kms_decision *decision, struct tbs_diag *diag)
{
    return audit_write(ctx, decision->is_request ? "request" : "resolve", fields_of(decision),
                       diag);
}

struct kms_audit audit_trail_of_kms(struct audit *audit)
{
    return (struct kms_audit){.record = audit ? record : NULL, .ctx = audit};
}

/* --- The rest --- */

json_t *audit_trail_keys(struct custody *custody)
{
    size_t n;
    const struct custody_key *keys = custody_keys(custody, &n);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(keys[i].id));
    return list;
}

static void number(struct tbs_buf *text, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    metrics_printf(text, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
                   (unsigned long long)value);
}

void audit_trail_metrics(struct audit *audit, struct tbs_buf *text)
{
    struct audit_stats s;

    if (!audit)
        return;
    audit_stats(audit, &s);
    number(text, "tbs_audit_lines_total", "counter", "Lines written to the audit trail.", s.lines);
    number(text, "tbs_audit_failures_total", "counter",
           "Lines that the audit trail could not take.", s.failures);
    number(text, "tbs_audit_checkpoints_total", "counter", "Checkpoints signed.", s.checkpoints);
    number(text, "tbs_audit_failed_checkpoints_total", "counter",
           "Checkpoints that could not be made.", s.failed_checkpoints);
    number(text, "tbs_audit_sequence", "gauge", "The number of the last line.", s.seq);
    number(text, "tbs_audit_unsigned_lines", "gauge", "Lines that no checkpoint covers yet.",
           s.unsigned_lines);
}
