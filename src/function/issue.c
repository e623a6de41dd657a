/* Modes 3 and 4: the Initiator makes the ticket. RFC 6043 4.1.1, 6.10, appendix A. */
#include <string.h>

#include "client/handover.h"
#include "custody/ticket.h"
#include "function/internal.h"

/* The MPK and the session keys of a ticket, and what else is random in it. */
struct making {
    const struct function *f;
    const struct mikey_suite *suite;
    struct ticket_policy policy;
    uint8_t spis[TBS_KEYS_MAX][HANDOVER_SPI_LEN];
    uint8_t rand[MIKEY_RAND_LEN];
    struct ticket_contents contents;
    struct tbs_diag *diag;
};

static const uint8_t zeros[MIKEY_RAND_LEN], mpk_spi[HANDOVER_SPI_LEN];

static enum tbs_err check_wish(const struct making *m, const struct tbs_wish *wish)
{
    const char *peer = m->f->shared_with;

    if (!peer)
        return TBS_OK;
    if (wish->n_responders != 1 || strcmp(wish->responders[0], peer) != 0)
        return tbs_fail(m->diag, TBS_ERR_INVALID,
                        "a ticket under %s is for %.200s alone, who has that key too", m->f->tpk,
                        peer);
    if (wish->flags & TBS_FORKING)
        return tbs_fail(m->diag, TBS_ERR_INVALID,
                        "key forking needs the KMS (I implies E, RFC 6043 6.10)");
    return TBS_OK;
}

/* The wish, as granted by oneself. */
static enum tbs_err make_policy(struct making *m, const struct tbs_wish *wish, const char *kms)
{
    struct tbs_credential me = {.identity = m->f->identity,
                                .suite =
                                    m->suite == &mikey_suite_256 ? TBS_SUITE_256 : TBS_SUITE_128};
    struct tbs_wish all = *wish;
    struct ticket_policy *p = &m->policy;
    enum tbs_err err;

    all.flags |= TBS_INITIATOR_KEYS; /* NOT D implies L */
    if (all.validity_seconds == 0)
        all.validity_seconds = FUNCTION_VALIDITY;
    err = client_wish_policy(&me, &all, tbs_ntp_now(m->f->clock), m->spis, p, m->diag);
    if (err)
        return err;
    p->flags &= (uint16_t)~TICKET_D;
    if (m->f->shared_with)
        p->flags &= (uint16_t)~TICKET_E;
    if (kms)
        p->kms = (struct ticket_id){.type = MIKEY_ID_URI, .data = tbs_bytes_str(kms)};
    if (p->n_keys == 0 && !p->no_keys) { /* RFC 6043 4.2.1.5: a single TGK */
        memcpy(m->spis[0], "\0\0\0\1", HANDOVER_SPI_LEN);
        p->keys[p->n_keys++] = (struct mikey_key){.type = MIKEY_TGK,
                                                  .kv = MIKEY_KV_SPI,
                                                  .key = tbs_bytes(zeros, m->suite->encr_key_len),
                                                  .spi = tbs_bytes(m->spis[0], HANDOVER_SPI_LEN)};
    }
    return ticket_policy_check(p, ticket_has_tgk(p->keys, p->n_keys), m->diag);
}

static enum tbs_err fill(const struct making *m, struct mikey_key_set *set, struct tbs_bytes view)
{
    return view.len == 0
               ? TBS_OK
               : custody_random(m->f->session, mikey_key_set_octets(set, view), view.len, m->diag);
}

static enum tbs_err make_keys(struct making *m)
{
    struct mikey_key keys[MIKEY_KEYS_MAX] = {{.type = MIKEY_MPK,
                                              .kv = MIKEY_KV_SPI,
                                              .key = tbs_bytes(zeros, m->suite->encr_key_len),
                                              .spi = tbs_bytes(mpk_spi, sizeof mpk_spi)}};
    struct mikey_key_set *set = &m->contents.keys;
    enum tbs_err err;

    memcpy(&keys[1], m->policy.keys, m->policy.n_keys * sizeof *keys);
    err = mikey_key_set_copy(keys, m->policy.n_keys + 1, set, m->diag);
    for (size_t i = 0; !err && i < set->n; i++) {
        err = fill(m, set, set->key[i].key);
        if (!err)
            err = fill(m, set, set->key[i].salt);
    }
    if (!err)
        err = custody_random(m->f->session, m->rand, sizeof m->rand, m->diag);
    m->contents.rand = tbs_bytes(m->rand, sizeof m->rand);
    m->contents.t = tbs_ntp_now(m->f->clock);
    return err;
}

static enum tbs_err make(struct making *m, const struct custody_key *tpk,
                         struct tbs_ticket **ret_ticket)
{
    struct tbs_buf core TBS_BUF_AUTO = tbs_buf();
    struct mikey_key_set keys MIKEY_KEY_SET_AUTO = {0};
    enum tbs_err err = make_keys(m);

    m->policy.n_keys = 0; /* KEMAC SHALL NOT be in the granted policy, RFC 6043 6.10 */
    m->policy.no_keys = false;
    if (!err)
        err = custody_wrap_ticket(m->f->session, tpk, &m->policy, &m->contents, &core, m->diag);
    if (!err)
        err = ticket_initiator_keys(m->policy.prf, m->policy.flags, &m->contents, &keys, m->diag);
    return err ? err
               : client_ticket_new(tbs_buf_view(&core), &keys, m->f->identity, ret_ticket, m->diag);
}

enum tbs_err function_issue(const struct function *function, const struct tbs_wish *wish,
                            const char *kms, struct tbs_ticket **ret_ticket, struct tbs_diag *diag)
{
    struct making m = {.f = function, .diag = diag};
    const struct custody_key *tpk;
    enum tbs_err err = function_tpk(function, &tpk, diag);

    if (err)
        return err;
    m.suite = tpk->alg == CUSTODY_HMAC_SHA_256 ? &mikey_suite_256 : &mikey_suite_128;
    err = check_wish(&m, wish);
    if (!err)
        err = make_policy(&m, wish, kms);
    if (!err)
        err = make(&m, tpk, ret_ticket);
    ticket_contents_free(&m.contents);
    return err;
}
