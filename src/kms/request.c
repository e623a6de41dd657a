/* Ticket Request: policy, keys, ticket, answer. RFC 6043 4.2.1.4, 4.2.1.5. */
#include <string.h>

#include "kms/internal.h"

#define TP_DATA_MAX 32768 /* octets: the ticket made of it and 32 long keys fit one answer */

#define SPI_LEN 4 /* octets of the SPIs that are chosen here */

static const uint8_t mpk_spi[SPI_LEN]; /* MPKs use SPI 0x00000000 */
static const uint8_t blank[MIKEY_RAND_LEN];

/* The ticket types, and the PRF that fits what protects the answer. */
static bool check_type(struct kms_exchange *x, const struct ticket_policy *p, struct kms_failure *f)
{
    const struct mikey_suite *suite = mikey_suite_of_prf(p->prf);
    const struct kms_config *c = &x->worker->kms->config;

    if (p->type != TICKET_TYPE_MIKEY_BASE || p->subtype != TICKET_SUBTYPE ||
        p->version != TICKET_VERSION) {
        tbs_fail(&f->diag, TBS_ERR_UNSUPPORTED,
                 "ticket type %u, subtype %u, version %u is not served here", p->type, p->subtype,
                 p->version);
        return kms_fails(f, KMS_UNSUPPORTED, MIKEY_E_INVALID_TICKET);
    }
    if (!suite || !(suite == &mikey_suite_256 ? c->suite_256 : c->suite_128) ||
        suite->encr_key_len > x->suite->encr_key_len) {
        tbs_fail(&f->diag, TBS_ERR_UNSUPPORTED,
                 "PRF Func %u of the Ticket Policy is not offered here, or its keys are longer "
                 "than those of the message (RFC 6043 12.1)",
                 p->prf);
        return kms_fails(f, KMS_UNSUPPORTED, MIKEY_E_INVALID_PRF);
    }
    return true;
}

/* The Ticket Policy that is asked for, if it obeys the rules. */
static bool read_policy(struct kms_exchange *x, struct ticket_policy *ret_desired,
                        struct kms_failure *f)
{
    const struct mikey_payload *tp = mikey_find(&x->m.payloads, MIKEY_TP, 0);
    enum tbs_err err;

    if (!tp) {
        tbs_fail(&f->diag, TBS_ERR_MALFORMED, "the REQUEST_INIT has no TP payload");
        return kms_fails(f, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
    }
    if (tp->ticket.tp_data.len > TP_DATA_MAX) {
        tbs_fail(&f->diag, TBS_ERR_LIMIT,
                 "the Ticket Policy has %zu octets of TP Data, more than %d",
                 tp->ticket.tp_data.len, TP_DATA_MAX);
        return kms_fails(f, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    }
    err = ticket_policy_decode(tp, ret_desired, &f->diag);
    if (err == TBS_ERR_MALFORMED)
        return kms_fails(f, KMS_MALFORMED, MIKEY_E_UNSPECIFIED);
    if (err)
        return kms_fails(f, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    ret_desired->flags &= (uint16_t)~TICKET_K; /* ignored by the KMS, RFC 6043 6.10 */
    if (!check_type(x, ret_desired, f))
        return false;
    if (ticket_policy_check(ret_desired, ticket_has_tgk(ret_desired->keys, ret_desired->n_keys),
                            &f->diag))
        return kms_fails(f, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    return true;
}

static bool decide(struct kms_exchange *x, const struct ticket_policy *desired,
                   struct ticket_policy *granted, struct kms_failure *f)
{
    const struct kms *kms = x->worker->kms;
    struct kms_subject subject KMS_SUBJECT_AUTO = {0};
    struct policy_subject initiator;
    struct policy_request request = {
        .initiator = &initiator,
        .desired = desired,
        .kms = {.type = MIKEY_ID_URI, .data = tbs_bytes_str(kms->identity)},
        .now = x->now,
        .responder_resolves = kms_function_tpk(x, desired) != NULL,
    };
    enum tbs_err err = kms_subject_load(x->worker->store, x->credential.subscriber_id,
                                        tbs_unix_from_ntp(x->now), &subject, &f->diag);

    if (!err) {
        initiator = kms_subject_asked(&subject, x->identity);
        err =
            kms->policy.decide_request(x->rules, &request, granted, &x->decision.verdict, &f->diag);
    }

    if (err == TBS_ERR_DENIED)
        return kms_fails(f, KMS_DENIED, MIKEY_E_UNSPECIFIED);
    if (err)
        return kms_fails(f, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    /* What is granted obeys the rules, too: a TGK may have been added. */
    if (ticket_policy_check(granted, ticket_has_tgk(granted->keys, granted->n_keys), &f->diag))
        return kms_fails(f, KMS_POLICY, MIKEY_E_INVALID_TPPAR);
    return true;
}

/* The random octets of one ticket, asked of the token in one call: with hardware it is the calls
 * that cost. */
struct draw {
    struct tbs_secret octets;
    size_t used;
};

static enum tbs_err draw(struct kms_exchange *x, const struct ticket_policy *granted,
                         struct draw *ret_draw, struct tbs_diag *diag)
{
    size_t len = MIKEY_RAND_LEN + mikey_suite_of_prf(granted->prf)->encr_key_len;

    for (size_t i = 0; i < granted->n_keys; i++)
        len += SPI_LEN + granted->keys[i].key.len + granted->keys[i].salt.len;
    enum tbs_err err = tbs_secret_alloc(len, &ret_draw->octets, diag);

    return err ? err : custody_random(x->worker->session, ret_draw->octets.data, len, diag);
}

static void take(struct draw *d, uint8_t *out, size_t len)
{
    if (len > 0)
        memcpy(out, d->octets.data + d->used, len);
    d->used += len;
}

static bool spi_taken(const struct mikey_key *keys, size_t n, struct tbs_bytes spi)
{
    for (size_t i = 0; i < n; i++)
        if (tbs_bytes_equal(keys[i].spi, spi))
            return true;
    return false;
}

static bool all_zero(struct tbs_bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        if (b.data[i] != 0)
            return false;
    return true;
}

/* Every key carries an SPI (RFC 6043 6.2.1): the wished one, or, where that is all zeros or
 * taken, four octets that no other key has. */
static enum tbs_err choose_spis(struct kms_exchange *x, struct draw *d, struct mikey_key *keys,
                                size_t n, uint8_t (*room)[SPI_LEN], uint16_t *flags,
                                struct tbs_diag *diag)
{
    for (size_t i = 1; i < n; i++) {
        enum tbs_err err = TBS_OK;

        if (keys[i].kv == MIKEY_KV_SPI && !all_zero(keys[i].spi)) {
            if (!spi_taken(keys, i, keys[i].spi))
                continue;
            *flags |= TICKET_K;
        }
        take(d, room[i], SPI_LEN);
        keys[i].spi = tbs_bytes(room[i], SPI_LEN);
        keys[i].kv = MIKEY_KV_SPI;
        while (!err && spi_taken(keys, i, keys[i].spi))
            err = custody_random(x->worker->session, room[i], SPI_LEN, diag);
        if (err)
            return err;
    }
    return TBS_OK;
}

/* MPK and session keys, in secure memory. */
static enum tbs_err make_keys(struct kms_exchange *x, struct draw *d, struct ticket_policy *granted,
                              struct mikey_key_set *ret_set, struct tbs_diag *diag)
{
    struct mikey_key keys[MIKEY_KEYS_MAX] = {{
        .type = MIKEY_MPK,
        .kv = MIKEY_KV_SPI,
        .key = tbs_bytes(blank, mikey_suite_of_prf(granted->prf)->encr_key_len),
        .spi = tbs_bytes(mpk_spi, sizeof mpk_spi),
    }};
    uint8_t spis[MIKEY_KEYS_MAX][SPI_LEN];
    struct mikey_key_set set = {0};
    size_t n = granted->n_keys + 1;
    enum tbs_err err;

    memcpy(&keys[1], granted->keys, granted->n_keys * sizeof *keys);
    err = choose_spis(x, d, keys, n, spis, &granted->flags, diag);
    if (!err)
        err = mikey_key_set_copy(keys, n, &set, diag);
    if (err)
        return err;
    for (size_t i = 0; i < set.n; i++) {
        const struct mikey_key *k = &set.key[i];

        take(d, mikey_key_set_octets(&set, k->key), k->key.len);
        if (k->salt.len > 0)
            take(d, mikey_key_set_octets(&set, k->salt), k->salt.len);
    }
    *ret_set = set;
    return TBS_OK;
}

static enum tbs_err make_contents(struct kms_exchange *x, struct ticket_policy *granted,
                                  uint8_t rand[MIKEY_RAND_LEN], struct ticket_contents *contents,
                                  struct tbs_diag *diag)
{
    struct draw d = {0};
    enum tbs_err err = draw(x, granted, &d, diag);

    if (!err) {
        take(&d, rand, MIKEY_RAND_LEN);
        contents->rand = tbs_bytes(rand, MIKEY_RAND_LEN);
        err = make_keys(x, &d, granted, &contents->keys, diag);
    }
    tbs_secret_free(&d.octets);
    return err;
}

static enum tbs_err make_ticket(struct kms_exchange *x, struct ticket_policy *granted,
                                struct ticket_contents *contents, struct tbs_buf *core,
                                struct tbs_diag *diag)
{
    enum custody_alg alg =
        granted->prf == MIKEY_PRF_MIKEY_1 ? CUSTODY_HMAC_SHA_1 : CUSTODY_HMAC_SHA_256;
    const struct custody_key *tpk =
        granted->flags & TICKET_E ? custody_current_key(x->worker->custody, CUSTODY_ROLE_TPK, alg)
                                  : kms_function_tpk(x, granted);

    if (!tpk)
        return custody_why_none(x->worker->custody, CUSTODY_ROLE_TPK, alg, diag);
    x->decision.tpk_id = tbs_bytes_str(tpk->id);
    granted->n_keys = 0; /* KEMAC SHALL NOT be in the granted policy, RFC 6043 6.10 */
    granted->no_keys = false;
    contents->t = kms_fresh_t(x->worker->kms);
    return custody_wrap_ticket(x->worker->session, tpk, granted, contents, core, diag);
}

static bool respond(struct kms_exchange *x, const struct mikey_key_set *set, struct tbs_bytes core,
                    struct tbs_buf *body, struct kms_failure *f)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    uint64_t t = kms_fresh_t(x->worker->kms);

    if (!kms_response_keys(x, &keys, f))
        return false;
    struct mikey_writer w = kms_begin_response(x, MIKEY_REQUEST_RESP, body, t);

    kms_put_idrkms(x, &w);
    mikey_put_ticket(&w, core, tbs_bytes(NULL, 0));
    if (mikey_put_sealed(&w, x->suite, &keys, x->m.hdr.csb_id, t, set, &f->diag))
        return kms_fails(f, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    return kms_end_response(x, &w, &keys, f);
}

static void note(struct kms_exchange *x, const struct ticket_policy *policy)
{
    x->decision.has_policy = true;
    x->decision.policy = *policy;
}

bool kms_ticket_request(struct kms_exchange *x, struct tbs_buf *body, struct kms_failure *failure)
{
    struct ticket_policy desired, granted;
    struct ticket_contents contents TICKET_CONTENTS_AUTO = {0};
    struct mikey_key_set set MIKEY_KEY_SET_AUTO = {0};
    uint8_t rand[MIKEY_RAND_LEN];
    struct tbs_diag *diag = &failure->diag;

    if (!read_policy(x, &desired, failure))
        return false;
    note(x, &desired);
    if (!decide(x, &desired, &granted, failure))
        return false;
    if (make_contents(x, &granted, rand, &contents, diag) ||
        make_ticket(x, &granted, &contents, &x->core, diag) ||
        ticket_initiator_keys(granted.prf, granted.flags, &contents, &set, diag))
        return kms_fails(failure, KMS_UNAVAILABLE, MIKEY_E_UNSPECIFIED);
    note(x, &granted);
    x->decision.ticket = tbs_buf_view(&x->core);
    return respond(x, &set, x->decision.ticket, body, failure);
}
