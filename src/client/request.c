/* The Initiator's Ticket Request. RFC 6043 4.2.1, 6.10. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/handover.h"
#include "client/internal.h"

#define SPI_LEN HANDOVER_SPI_LEN

static_assert(TBS_RESPONSE == (int)TICKET_F && TBS_RANDRR == (int)TICKET_G &&
                  TBS_RANDRI == (int)TICKET_H && TBS_FORKING == (int)TICKET_I &&
                  TBS_REUSE == (int)TICKET_J,
              "the public flags are those of the Ticket Policy");
static_assert(TBS_RESPONDERS_MAX == TICKET_RESPONDERS_MAX && TBS_APPS_MAX == TICKET_APPS_MAX &&
                  TBS_KEYS_MAX == TICKET_SESSION_KEYS_MAX,
              "the public limits are those of the Ticket Policy");

/* Key Data is all zeros in a wish, RFC 6043 6.10. */
static const uint8_t zeros[MIKEY_RAND_LEN];

struct tbs_request {
    struct client_exchange x;
    struct tbs_minimum minimum;
    struct tbs_clock clock;
};

static enum tbs_err take_ids(const char *const *texts, size_t n, size_t max, const char *what,
                             struct ticket_id *ids, size_t *ret_n, struct tbs_diag *diag)
{
    if (n > max)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a ticket is for at most %zu %ss; %zu are wished", max,
                        what, n);
    for (size_t i = 0; i < n; i++) {
        enum tbs_err err = client_check_id(texts[i], what, diag);

        if (err)
            return err;
        ids[i] = client_id(texts[i]);
    }
    *ret_n = n;
    return TBS_OK;
}

static enum tbs_err take_key(const struct tbs_key_wish *wish, const struct mikey_suite *suite,
                             const uint8_t *spi, struct mikey_key *ret_key, struct tbs_diag *diag)
{
    size_t len = wish->len ? wish->len : suite->encr_key_len;

    if (wish->kind != TBS_TGK && wish->kind != TBS_TEK && wish->kind != TBS_GTGK)
        return tbs_fail(diag, TBS_ERR_INVALID, "a key of kind %d cannot be wished",
                        (int)wish->kind);
    if (len < CLIENT_KEY_MIN || len > suite->encr_key_len)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a key of %zu octets is wished; suite %s takes %d to %zu (RFC 6043 12.1)",
                        len, suite->name, CLIENT_KEY_MIN, suite->encr_key_len);
    /* The types with a salt follow those without. */
    *ret_key = (struct mikey_key){.type = (uint8_t)(wish->kind + wish->salt),
                                  .kv = MIKEY_KV_SPI,
                                  .key = tbs_bytes(zeros, len),
                                  .spi = tbs_bytes(spi, SPI_LEN)};
    if (wish->salt)
        ret_key->salt = tbs_bytes(zeros, CLIENT_SRTP_SALT_LEN);
    return TBS_OK;
}

/* SPIs that differ: a random base, counted up. Never zero, which is the MPKs'. */
static enum tbs_err make_spis(uint8_t (*spis)[SPI_LEN], size_t n, struct tbs_diag *diag)
{
    uint8_t base[SPI_LEN];
    enum tbs_err err = client_random(base, sizeof base, diag);

    base[0] |= 0x80;
    base[SPI_LEN - 1] &= 0x7F; /* n is at most 30: no carry */
    for (size_t i = 0; i < n; i++) {
        memcpy(spis[i], base, SPI_LEN);
        spis[i][SPI_LEN - 1] = (uint8_t)(spis[i][SPI_LEN - 1] + i);
    }
    return err;
}

static enum tbs_err take_keys(const struct tbs_wish *wish, const struct mikey_suite *suite,
                              uint8_t (*spis)[SPI_LEN], struct ticket_policy *policy,
                              struct tbs_diag *diag)
{
    enum tbs_err err;

    if (wish->n_keys > TBS_KEYS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "%zu keys are wished; a ticket carries at most %d",
                        wish->n_keys, TBS_KEYS_MAX);
    err = make_spis(spis, wish->n_keys, diag);
    for (size_t i = 0; !err && i < wish->n_keys; i++)
        err = take_key(&wish->keys[i], suite, spis[i], &policy->keys[i], diag);
    policy->n_keys = wish->n_keys;
    return err;
}

/* The desired Ticket Policy: by the KMS, resolved by the KMS, of the base type, which this
 * implementation handles at both ends (N and O). */
enum tbs_err client_wish_policy(const struct tbs_credential *c, const struct tbs_wish *wish,
                                uint64_t now, uint8_t (*spis)[SPI_LEN],
                                struct ticket_policy *ret_policy, struct tbs_diag *diag)
{
    const struct mikey_suite *suite = client_suite(c->suite);
    struct ticket_policy p = {
        .type = TICKET_TYPE_MIKEY_BASE,
        .subtype = TICKET_SUBTYPE,
        .version = TICKET_VERSION,
        .prf = (uint8_t)suite->prf,
        .flags = (uint16_t)(wish->flags | TICKET_D | TICKET_E | TICKET_N | TICKET_O),
        .initiator = client_id(c->identity),
        .has_end = wish->validity_seconds > 0,
        .end = now + ((uint64_t)wish->validity_seconds << 32),
        .no_keys = wish->no_keys,
    };
    enum tbs_err err;

    if (wish->flags & ~(unsigned)CLIENT_FLAGS)
        return tbs_fail(diag, TBS_ERR_INVALID, "the flags %#x of the wish are not all known",
                        wish->flags);
    if (wish->no_keys &&
        (wish->n_keys > 0 || !(wish->flags & (TBS_INITIATOR_KEYS | TBS_RESPONDER_KEYS))))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a ticket without session keys takes no wish for keys, and one of the "
                        "flags L and M (RFC 6043 8)");
    if (wish->responder_resolves)
        p.flags &= (uint16_t)~TICKET_E;
    if (wish->n_responders == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "the wish names no responder");
    err = take_ids(wish->responders, wish->n_responders, TBS_RESPONDERS_MAX, "responder",
                   p.responders, &p.n_responders, diag);
    if (!err)
        err = take_ids(wish->apps, wish->n_apps, TBS_APPS_MAX, "application", p.apps, &p.n_apps,
                       diag);
    if (!err)
        err = take_keys(wish, suite, spis, &p, diag);
    if (!err) /* the KMS's own choice is usually a TGK */
        err = ticket_policy_check(
            &p, (p.n_keys == 0 && !p.no_keys) || ticket_has_tgk(p.keys, p.n_keys), diag);
    if (!err)
        *ret_policy = p;
    return err;
}

static enum tbs_err write_init(const struct tbs_credential *c, const struct ticket_policy *policy,
                               uint64_t t, struct tbs_buf *init, struct tbs_diag *diag)
{
    struct client_nonces nonces;
    struct ticket_id me = client_id(c->identity), kms = client_id(c->kms);
    const struct mikey_suite *suite = client_suite(c->suite);
    struct tbs_buf tp TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = client_random(&nonces, sizeof nonces, diag);

    if (err)
        return err;
    struct mikey_hdr hdr = {.data_type = MIKEY_REQUEST_INIT_PSK,
                            .v = true,
                            .prf = (uint8_t)suite->prf,
                            .csb_id = nonces.csb_id,
                            .map_type = MIKEY_MAP_EMPTY};
    struct mikey_writer w = client_write_init(init, &hdr, t);

    mikey_put_randr(&w, MIKEY_RANDRI, tbs_bytes(nonces.rand, sizeof nonces.rand));
    mikey_put_idr(&w, MIKEY_IDRI, me.type, me.data);
    mikey_put_idr(&w, MIKEY_IDRKMS, kms.type, kms.data);
    ticket_policy_put(&tp, policy);
    mikey_put_tp(&w, tbs_buf_view(&tp));
    mikey_put_idr(&w, MIKEY_IDRPSK, MIKEY_ID_BYTE_STRING, tbs_bytes_str(c->psk_id));
    mikey_put_v(&w, suite->mac);
    init->failed |= tp.failed;
    return TBS_OK;
}

enum tbs_err client_request_start(const struct tbs_credential *credential,
                                  const struct tbs_minimum *minimum, struct tbs_buf *init,
                                  struct tbs_clock clock, struct tbs_request **ret_request,
                                  struct tbs_diag *diag)
{
    struct tbs_request *r = calloc(1, sizeof *r);
    enum tbs_err err;

    if (!r)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    r->minimum = *minimum;
    r->clock = clock;
    err = client_exchange_start(credential, init, &r->x, diag);
    if (err)
        free(r);
    else
        *ret_request = r;
    return err;
}

enum tbs_err tbs_request_begin(const struct tbs_credential *credential, const struct tbs_wish *wish,
                               struct tbs_clock clock, struct tbs_request **ret_request,
                               struct tbs_diag *diag)
{
    struct tbs_buf init TBS_BUF_AUTO = tbs_buf();
    uint8_t spis[TBS_KEYS_MAX][SPI_LEN];
    uint64_t now = tbs_ntp_now(clock);
    struct ticket_policy policy;
    enum tbs_err err = client_check_credential(credential, diag);

    if (!err)
        err = client_wish_policy(credential, wish, now, spis, &policy, diag);
    if (!err)
        err = write_init(credential, &policy, now, &init, diag);
    if (!err)
        err = client_request_start(credential, &wish->minimum, &init, clock, ret_request, diag);
    return err;
}

struct tbs_bytes tbs_request_octets(const struct tbs_request *request)
{
    return tbs_buf_view(&request->x.init);
}

/* Compares with the wish, which is in the REQUEST_INIT. */
static enum tbs_err check_granted(const struct tbs_request *request, struct client_grant *g,
                                  struct tbs_diag *diag)
{
    struct mikey_message init;
    struct ticket_policy wished;
    enum tbs_err err = mikey_decode(tbs_buf_view(&request->x.init), &init, diag);

    if (!err)
        err = ticket_policy_decode(mikey_find(&init.payloads, MIKEY_TP, 0), &wished, diag);
    if (!err)
        err = client_check_granted(&wished, g, &request->minimum, tbs_ntp_now(request->clock),
                                   &g->changes, diag);
    if (err)
        return err;
    const struct mikey_payload *me = mikey_find(&init.payloads, MIKEY_IDR, MIKEY_IDRI);

    g->who_type = me->id.id_type;
    tbs_put_bytes(&g->who, me->id.data);
    return g->who.failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory") : TBS_OK;
}

enum tbs_err tbs_request_finish(struct tbs_request *request, struct tbs_bytes response,
                                struct tbs_ticket **ret_ticket, struct tbs_diag *diag)
{
    struct mikey_message m;
    struct mikey_key_set keys MIKEY_KEY_SET_AUTO = {0};
    enum tbs_err err =
        client_exchange_open(&request->x, response, MIKEY_REQUEST_RESP, &m, &keys, diag);

    if (err)
        return err;
    const struct mikey_payload *ticket = mikey_find(&m.payloads, MIKEY_TICKET, 0);

    if (!ticket || ticket->ticket.initiator_data.len > 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "the REQUEST_RESP has no TICKET, or one with Initiator Data");
    struct tbs_ticket *t = calloc(1, sizeof *t);

    if (!t)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    err = client_grant_new(ticket->ticket.core, &keys, &t->g, diag);
    if (!err)
        err = check_granted(request, &t->g, diag);
    if (err)
        tbs_ticket_free(t);
    else
        *ret_ticket = t;
    return err;
}

void tbs_request_free(struct tbs_request *request)
{
    if (!request)
        return;
    client_exchange_free(&request->x);
    free(request);
}

enum tbs_err client_ticket_new(struct tbs_bytes core, struct mikey_key_set *keys,
                               const char *initiator, struct tbs_ticket **ret_ticket,
                               struct tbs_diag *diag)
{
    struct tbs_ticket *t = calloc(1, sizeof *t);
    struct ticket_id id = client_id(initiator);
    enum tbs_err err;

    if (!t) {
        mikey_key_set_free(keys);
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    }
    err = client_grant_new(core, keys, &t->g, diag);
    if (!err) {
        t->g.who_type = id.type;
        tbs_put_bytes(&t->g.who, id.data);
        if (t->g.who.failed)
            err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    }
    if (err)
        tbs_ticket_free(t);
    else
        *ret_ticket = t;
    return err;
}

void tbs_ticket_info(const struct tbs_ticket *ticket, struct tbs_ticket_info *ret_info)
{
    const struct ticket_policy *p = &ticket->g.policy;

    *ret_info = (struct tbs_ticket_info){
        .suite = ticket->g.suite == &mikey_suite_256 ? TBS_SUITE_256 : TBS_SUITE_128,
        .flags = p->flags & CLIENT_FLAGS,
        .changes = ticket->g.changes,
        .initiator = tbs_buf_view(&ticket->g.who),
        .kms = p->kms.data,
        .has_start = p->has_start,
        .has_end = p->has_end,
        .has_rekey = p->has_rekey,
        .start = p->start,
        .end = p->end,
        .rekey_seconds = p->rekey_seconds,
        .n_responders = p->n_responders,
        .used = ticket->g.used,
    };
    client_session_keys(&ticket->g, &ret_info->n_keys);
    for (size_t i = 0; i < p->n_responders; i++)
        ret_info->responders[i] = p->responders[i].data;
}

enum tbs_err tbs_ticket_export(const struct tbs_ticket *ticket, struct tbs_secret *ret_octets,
                               struct tbs_diag *diag)
{
    return client_grant_export(&ticket->g, CLIENT_GRANT_TICKET, ret_octets, diag);
}

enum tbs_err tbs_ticket_import(struct tbs_bytes octets, struct tbs_ticket **ret_ticket,
                               struct tbs_diag *diag)
{
    struct tbs_ticket *t = calloc(1, sizeof *t);
    enum tbs_err err;

    if (!t)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    err = client_grant_import(octets, CLIENT_GRANT_TICKET, &t->g, diag);
    if (err)
        free(t);
    else
        *ret_ticket = t;
    return err;
}

void tbs_ticket_free(struct tbs_ticket *ticket)
{
    if (!ticket)
        return;
    client_grant_free(&ticket->g);
    mikey_key_set_free(&ticket->supply);
    free(ticket);
}
