#include "audit/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"

#define NAME_OCTETS 16

/* --- Values --- */

json_t *audit_text(struct tbs_bytes octets)
{
    json_t *text = json_stringn(octets.len > 0 ? (const char *)octets.data : "", octets.len);
    if (text)
        return text;
    char *hex = malloc(2 * octets.len + 1);
    if (!hex)
        return NULL;
    tbs_hex(octets, hex);
    text = json_pack("{s:s}", "hex", hex);
    free(hex);
    return text;
}

void audit_name(struct tbs_bytes octets, char ret_name[AUDIT_NAME_MAX])
{
    uint8_t hash[AUDIT_HASH_LEN];
    audit_hash(octets, hash);
    tbs_hex(tbs_bytes(hash, NAME_OCTETS), ret_name);
}

/* --- Writing --- */

bool audit_wants_checkpoint(const struct audit *audit)
{
    uint64_t n = audit->file.head.seq - audit->signed_seq;
    return audit->config.every_records > 0 && n >= audit->config.every_records;
}

static enum tbs_err append_locked(struct audit *audit, const char *event, json_t *fields,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    if (audit->lost > 0)
        err = audit_file_append(&audit->file, "resumed",
                                json_pack("{s:I}", "lost", (json_int_t)audit->lost), diag);
    if (err != TBS_OK) {
        json_decref(fields);
        return err;
    }
    audit->lost = 0;
    return audit_file_append(&audit->file, event, fields, diag);
}

static enum tbs_err write_locked(struct audit *audit, const char *event, json_t *fields,
                                 struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    enum tbs_err err = append_locked(audit, event, fields, &why);
    if (err == TBS_OK) {
        audit->stats.lines++;
        audit->why = (struct tbs_diag){0};
        if (audit_wants_checkpoint(audit))
            pthread_cond_signal(&audit->wake);
        return TBS_OK;
    }
    audit->lost++;
    audit->stats.failures++;
    audit->why = why;
    return tbs_fail_raw(diag, err, why.raw, "%s", why.text);
}

/* The first that comes syncs for all whose lines are in the file by then. */
enum tbs_err audit_sync_to(struct audit *audit, uint64_t seq, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    pthread_mutex_lock(&audit->sync_lock);
    if (audit->synced_seq < seq) {
        pthread_mutex_lock(&audit->lock);
        uint64_t written = audit->file.head.seq;
        int fd = audit->file.fd >= 0 ? dup(audit->file.fd) : -1;
        pthread_mutex_unlock(&audit->lock);
        if (fd >= 0 && fdatasync(fd) == 0)
            audit->synced_seq = written;
        else
            err =
                tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                             "the audit trail cannot be written to the disk: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    pthread_mutex_unlock(&audit->sync_lock);
    return err;
}

enum tbs_err audit_write(struct audit *audit, const char *event, json_t *fields,
                         struct tbs_diag *diag)
{
    struct tbs_diag why = {0};
    pthread_mutex_lock(&audit->lock);
    enum tbs_err err = write_locked(audit, event, fields, &why);
    uint64_t seq = audit->file.head.seq;
    pthread_mutex_unlock(&audit->lock);
    if (err == TBS_OK && audit->config.sync == AUDIT_SYNC_LINE)
        err = audit_sync_to(audit, seq, &why);
    if (err == TBS_OK || audit->config.on_error == AUDIT_CONTINUE)
        return TBS_OK;
    return tbs_fail_raw(diag, err, why.raw, "%s", why.text);
}

enum tbs_err audit_health(struct audit *audit, struct tbs_diag *diag)
{
    pthread_mutex_lock(&audit->lock);
    struct tbs_diag why = audit->why;
    pthread_mutex_unlock(&audit->lock);
    if (why.code == TBS_OK || audit->config.on_error == AUDIT_CONTINUE)
        return TBS_OK;
    return tbs_fail_raw(diag, TBS_ERR_UNAVAILABLE, why.raw, "nothing is answered: %s", why.text);
}

void audit_stats(struct audit *audit, struct audit_stats *ret_stats)
{
    pthread_mutex_lock(&audit->lock);
    *ret_stats = audit->stats;
    ret_stats->seq = audit->file.head.seq;
    ret_stats->unsigned_lines = audit->file.head.seq - audit->signed_seq;
    pthread_mutex_unlock(&audit->lock);
}

/* --- Opening --- */

static enum tbs_err check_key(const struct audit_config *c, struct tbs_diag *diag)
{
    struct custody_health health;
    if (c->every_records == 0 && c->every_seconds == 0)
        return TBS_OK;
    if (!c->custody)
        return tbs_fail(diag, TBS_ERR_INVALID, "checkpoints of an audit trail need a custody");
    custody_known_health(c->custody, &health);
    if (custody_current_key(c->custody, CUSTODY_ROLE_AUDIT, CUSTODY_ECDSA_P_256) ||
        health.state == CUSTODY_DOWN || health.state == CUSTODY_LOCKED)
        return TBS_OK;
    return tbs_fail(
        diag, TBS_ERR_CONFIG,
        "the audit trail is to have checkpoints, but no token holds an audit key: let a "
        "ceremony make one, or leave audit.every_records and "
        "audit.every_seconds out");
}

enum tbs_err audit_open(const struct audit_config *config, struct audit **ret_audit,
                        struct tbs_diag *diag)
{
    enum tbs_err err = check_key(config, diag);
    if (err != TBS_OK)
        return err;
    struct audit *audit = calloc(1, sizeof *audit);
    if (!audit)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the audit trail");
    audit->config = *config;
    audit->file.fd = -1;
    pthread_mutex_init(&audit->lock, NULL);
    pthread_mutex_init(&audit->sync_lock, NULL);
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&audit->wake, &steady);
    pthread_condattr_destroy(&steady);
    err = audit_file_open(&audit->file, config->file, (off_t)config->max_size, diag);
    /* What was before may be signed or not: it is covered once more. */
    audit->signed_seq = audit->file.head.seq > 0 ? audit->file.head.seq - 1 : 0;
    if (err == TBS_OK && config->custody)
        err = audit_start(audit, diag);
    if (err == TBS_OK)
        *ret_audit = audit;
    else
        audit_close(audit);
    return err;
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    audit_stop(audit);
    audit_file_close(&audit->file);
    pthread_cond_destroy(&audit->wake);
    pthread_mutex_destroy(&audit->lock);
    pthread_mutex_destroy(&audit->sync_lock);
    free(audit);
}
