/* The trail's thread: signs checkpoints, and writes down what becomes of the tokens. */
#include "audit/internal.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/hex.h"

#define SECOND_NS 1000000000u
#define SIGN_NS 2000000000u

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* --- Checkpoints --- */

static enum tbs_err sign_head(struct audit *audit, const struct audit_head *head,
                              json_t **ret_fields, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf signature = tbs_buf(), text = tbs_buf();
    char octets[AUDIT_SIGNED_MAX], hex[AUDIT_HEX_LEN + 1];
    const struct custody_key *key =
        custody_current_key(audit->config.custody, CUSTODY_ROLE_AUDIT, CUSTODY_ECDSA_P_256);
    if (!key)
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE, "no token holds an audit key now");
    audit_signed_text(head, octets);
    custody_session_deadline(audit->session, now_ns() + SIGN_NS);
    enum tbs_err err = custody_sign(audit->session, key, tbs_bytes_str(octets), &signature, diag);
    if (err != TBS_OK)
        return err;
    tbs_put_base64(&text, tbs_buf_view(&signature));
    tbs_hex(tbs_bytes(head->hash, sizeof head->hash), hex);
    *ret_fields = json_pack("{s:I,s:s,s:s,s:s%}", "covers", (json_int_t)head->seq, "head", hex,
                            "key", key->id, "signature", (const char *)text.data, text.len);
    return TBS_OK;
}

/* The token is asked without the lock: it may be slow, and lines are written meanwhile. */
static enum tbs_err make_checkpoint(struct audit *audit, struct tbs_diag *diag)
{
    json_t *fields = NULL;
    pthread_mutex_lock(&audit->lock);
    struct audit_head head = audit->file.head;
    pthread_mutex_unlock(&audit->lock);
    enum tbs_err err = sign_head(audit, &head, &fields, diag);
    if (err != TBS_OK)
        return err;
    pthread_mutex_lock(&audit->lock);
    if (audit->file.head.seq - head.seq < AUDIT_LAG_MAX / 2) {
        err = audit_file_append(&audit->file, "checkpoint", fields, diag);
        /* A checkpoint that follows what it covers needs no other. */
        if (err == TBS_OK)
            audit->signed_seq = audit->file.head.seq == head.seq + 1 ? head.seq + 1 : head.seq;
    } else {
        json_decref(fields);
        err = tbs_fail(diag, TBS_ERR_UNAVAILABLE, "the token signs too slowly");
    }
    uint64_t seq = audit->file.head.seq;
    pthread_mutex_unlock(&audit->lock);
    return err == TBS_OK ? audit_sync_to(audit, seq, diag) : err;
}

static void checkpoint(struct audit *audit)
{
    struct tbs_diag why = {0};
    bool made = make_checkpoint(audit, &why) == TBS_OK;
    audit->signed_ns = now_ns();
    audit->pausing = !made;
    pthread_mutex_lock(&audit->lock);
    audit->stats.checkpoints += made;
    audit->stats.failed_checkpoints += !made;
    pthread_mutex_unlock(&audit->lock);
}

static bool is_due(struct audit *audit)
{
    const struct audit_config *c = &audit->config;
    pthread_mutex_lock(&audit->lock);
    bool waiting = audit->file.head.seq > audit->signed_seq;
    bool enough = audit_wants_checkpoint(audit);
    bool last = audit->stopping && (c->every_records > 0 || c->every_seconds > 0);
    pthread_mutex_unlock(&audit->lock);
    uint64_t since = now_ns() - audit->signed_ns;
    bool late = c->every_seconds > 0 && since >= c->every_seconds * (uint64_t)SECOND_NS;
    if (audit->pausing && since < SECOND_NS)
        return false;
    return waiting && (enough || late || last);
}

/* --- Tokens --- */

static void write_token(struct audit *audit, const struct custody_token_status *s)
{
    audit_write(audit, "token",
                json_pack("{s:s,s:s,s:s,s:i}", "token", s->name, "state",
                          custody_state_name(s->state), "reason", s->why.text, "openings",
                          (int)s->openings),
                NULL);
}

/* `openings` counts the times that a token was opened, with a login. */
static void watch_tokens(struct audit *audit)
{
    struct custody *custody = audit->config.custody;
    for (size_t i = 0; i < custody_token_count(custody); i++) {
        struct token_seen *seen = &audit->seen[i];
        struct custody_token_status s;
        custody_token_status(custody, i, &s);
        if (audit->seen_once && s.state == seen->state && s.openings == seen->openings)
            continue;
        *seen = (struct token_seen){s.state, s.openings};
        write_token(audit, &s);
    }
    audit->seen_once = true;
}

/* --- The thread --- */

/* Lines that others have added; and, after a failure, whether the file can be written again. */
static void look(struct audit *audit)
{
    pthread_mutex_lock(&audit->lock);
    struct tbs_diag why = {0};
    enum tbs_err err = audit_file_look(&audit->file, &why);
    if (err == TBS_OK && audit->lost > 0)
        err = audit_file_append(&audit->file, "resumed",
                                json_pack("{s:I}", "lost", (json_int_t)audit->lost), &why);
    if (err == TBS_OK)
        audit->lost = 0;
    audit->why = why;
    pthread_mutex_unlock(&audit->lock);
}

static bool wait_a_second(struct audit *audit)
{
    uint64_t until = now_ns() + SECOND_NS;
    const struct timespec at = {.tv_sec = (time_t)(until / SECOND_NS),
                                .tv_nsec = (long)(until % SECOND_NS)};
    pthread_mutex_lock(&audit->lock);
    if (!audit->stopping)
        pthread_cond_timedwait(&audit->wake, &audit->lock, &at);
    bool stopping = audit->stopping;
    pthread_mutex_unlock(&audit->lock);
    return !stopping;
}

static void *watch(void *arg)
{
    struct audit *audit = arg;
    bool go_on;
    do {
        go_on = wait_a_second(audit);
        look(audit);
        watch_tokens(audit);
        if (is_due(audit))
            checkpoint(audit);
    } while (go_on);
    return NULL;
}

enum tbs_err audit_start(struct audit *audit, struct tbs_diag *diag)
{
    enum tbs_err err = custody_session_open(audit->config.custody, &audit->session, diag);
    if (err != TBS_OK)
        return err;
    audit->signed_ns = now_ns();
    audit->started = pthread_create(&audit->thread, NULL, watch, audit) == 0;
    return audit->started
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_NOMEM, "cannot start a thread for the audit trail");
}

void audit_stop(struct audit *audit)
{
    pthread_mutex_lock(&audit->lock);
    audit->stopping = true;
    pthread_cond_signal(&audit->wake);
    pthread_mutex_unlock(&audit->lock);
    if (audit->started)
        pthread_join(audit->thread, NULL);
    custody_session_close(audit->session);
}
