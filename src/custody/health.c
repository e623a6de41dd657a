/* What can be said of the tokens. */
#include "custody/internal.h"

#include <string.h>

#define HEALTH_NS 2000000000u /* how long custody_health waits for the tokens */

const char *custody_state_name(enum custody_state state)
{
    switch (state) {
    case CUSTODY_UP:
        return "up";
    case CUSTODY_DEGRADED:
        return "degraded";
    case CUSTODY_DOWN:
        return "down";
    case CUSTODY_LOCKED:
        return "locked";
    }
    return "unknown state";
}

size_t custody_token_count(const struct custody *custody)
{
    return custody->n_tokens;
}

void custody_token_status(struct custody *custody, size_t i,
                          struct custody_token_status *ret_status)
{
    struct custody_token *t = &custody->tokens[i];
    pthread_mutex_lock(&t->lock);
    *ret_status = (struct custody_token_status){
        .state = t->state,
        .why = t->why,
        .seconds = (custody_now_ns() - t->since_ns) / 1000000000u,
        .probe_us = t->probe_us,
        .openings = t->openings,
        .stalled = t->stalled,
        .calls = t->calls,
        .failures = t->failures,
    };
    memcpy(ret_status->name, t->name, sizeof t->name);
    memcpy(ret_status->serial, t->serial, sizeof t->serial);
    /* Its watcher cannot say so. */
    if (t->state == CUSTODY_UP && custody_token_examination_hangs(t)) {
        ret_status->state = CUSTODY_DOWN;
        tbs_fail(&ret_status->why, TBS_ERR_UNAVAILABLE,
                 "an examination of token '%s' hangs; it gets no calls until that comes back",
                 t->name);
    }
    pthread_mutex_unlock(&t->lock);
}

void custody_known_health(struct custody *custody, struct custody_health *ret_health)
{
    size_t up = 0, locked = 0;
    struct custody_health h = {.state = CUSTODY_UP};
    for (size_t i = 0; i < custody->n_tokens; i++) {
        struct custody_token_status s;
        custody_token_status(custody, i, &s);
        up += s.state == CUSTODY_UP;
        locked += s.state == CUSTODY_LOCKED;
        if (s.state != CUSTODY_UP && h.why.code == TBS_OK)
            h.why = s.why;
    }
    if (up == 0) {
        h.state = locked > 0 ? CUSTODY_LOCKED : CUSTODY_DOWN;
    } else {
        struct tbs_diag gaps;
        custody_directory_gaps(custody, &gaps);
        if (gaps.code != TBS_OK)
            h.why = gaps;
        if (h.why.code != TBS_OK)
            h.state = CUSTODY_DEGRADED;
    }
    *ret_health = h;
}

enum tbs_err custody_health(struct custody_session *session, struct custody_health *ret_health,
                            struct tbs_diag *diag)
{
    struct custody *custody = session->custody;
    enum tbs_err err = custody_in_its_process(custody, diag);
    if (err != TBS_OK)
        return err;
    uint64_t tickets[CUSTODY_TOKENS_MAX], until = custody_now_ns() + HEALTH_NS;
    for (size_t i = 0; i < custody->n_tokens; i++)
        tickets[i] = custody_token_ask(&custody->tokens[i], CUSTODY_RETRY_SAME);
    for (size_t i = 0; i < custody->n_tokens; i++)
        custody_token_await(&custody->tokens[i], tickets[i], until);
    custody_known_health(custody, ret_health);
    return TBS_OK;
}
