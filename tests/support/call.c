#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/rand.h>

#include "tests/support/call.h"

static const struct tbs_key_wish one_tgk = {.kind = TBS_TGK};

static uint64_t read_clock(void *ctx)
{
    return *(const uint64_t *)ctx;
}

struct tbs_clock call_clock(struct call *call)
{
    return (struct tbs_clock){read_clock, &call->now};
}

struct tbs_credential call_credential(const char *identity, bool suite_128)
{
    static const uint8_t psk[32] = "a key that no KMS has";

    return (struct tbs_credential){.kms = "sip:kms@example.net",
                                   .identity = identity,
                                   .psk_id = "psk",
                                   .psk = tbs_bytes(psk, sizeof psk),
                                   .suite = suite_128 ? TBS_SUITE_128 : TBS_SUITE_256};
}

static void ok(enum tbs_err err, const struct call *call)
{
    if (err)
        fail_msg("%s: %s", tbs_err_name(err), call->diag.text);
}

static void random_octets(void *octets, size_t len)
{
    assert_int_equal(RAND_bytes(octets, (int)len), 1);
}

/* A set of keys, filled at random; MPKs come first. */
static void make_keys(const struct call_wish *wish, const struct mikey_suite *suite, size_t n_mpks,
                      struct mikey_key_set *set)
{
    static const uint8_t zeros[32];
    struct mikey_key keys[MIKEY_KEYS_MAX];
    uint8_t spis[MIKEY_KEYS_MAX][4] = {0};
    size_t n = 0;

    for (; n < n_mpks; n++)
        keys[n] =
            (struct mikey_key){.type = MIKEY_MPK, .key = tbs_bytes(zeros, suite->encr_key_len)};
    for (size_t i = 0; i < wish->n_keys; i++, n++) {
        const struct tbs_key_wish *k = &wish->keys[i];

        keys[n] = (struct mikey_key){.type = (uint8_t)(k->kind + k->salt),
                                     .key = tbs_bytes(zeros, k->len ? k->len : suite->encr_key_len),
                                     .salt = tbs_bytes(zeros, k->salt ? 14 : 0)};
        spis[n][3] = (uint8_t)(i + 1);
    }
    for (size_t i = 0; i < n; i++) {
        keys[i].kv = MIKEY_KV_SPI;
        keys[i].spi = tbs_bytes(spis[i], 4);
    }
    assert_int_equal(mikey_key_set_copy(keys, n, set, NULL), TBS_OK);
    for (size_t i = 0; i < n; i++) {
        random_octets(mikey_key_set_octets(set, set->key[i].key), set->key[i].key.len);
        if (set->key[i].salt.len > 0)
            random_octets(mikey_key_set_octets(set, set->key[i].salt), 14);
    }
}

/* As a KMS does in RESOLVE_RESP (RFC 6043 5.1.1). */
static void fork_keys(const struct mikey_key_set *from, uint8_t prf, struct tbs_bytes rand,
                      struct mikey_key_set *set)
{
    struct ticket_modifier modifier = {tbs_bytes_str(CALL_BOB), rand};
    struct tbs_secret mpkr TBS_SECRET_AUTO = {0};

    assert_int_equal(mikey_key_set_copy(from->key, from->n, set, NULL), TBS_OK);
    assert_int_equal(ticket_fork_mpkr(prf, from->key[1].key, modifier, &mpkr, NULL), TBS_OK);
    memcpy(mikey_key_set_octets(set, set->key[1].key), mpkr.data, mpkr.len);
    assert_int_equal(ticket_fork_tgks(prf, set, 2, modifier, NULL), TBS_OK);
}

static void put_core(const struct call_wish *wish, const struct mikey_suite *suite,
                     struct tbs_buf *core)
{
    struct ticket_policy p = {
        .type = TICKET_TYPE_MIKEY_BASE,
        .subtype = TICKET_SUBTYPE,
        .version = TICKET_VERSION,
        .prf = (uint8_t)suite->prf,
        .flags = (uint16_t)(wish->flags | TICKET_D | TICKET_E | TICKET_N | TICKET_O),
        .initiator = client_id(CALL_ALICE),
        .has_rekey = true,
        .rekey_seconds = 1800,
        .n_responders = 1,
        .responders = {client_id(CALL_BOB)},
    };

    ticket_policy_put(core, &p);
    mikey_put_len16(core, tbs_bytes_str("no KMS opens this"));
}

static void call_tickets_of(struct call *call, const struct call_wish *wish)
{
    const struct mikey_suite *suite = wish->suite_128 ? &mikey_suite_128 : &mikey_suite_256;
    bool forking = wish->flags & TBS_FORKING;
    struct mikey_key_set alices = {0}, bobs = {0};
    struct tbs_buf core TBS_BUF_AUTO = tbs_buf();
    uint8_t rand[32];

    random_octets(rand, sizeof rand);
    put_core(wish, suite, &core);
    make_keys(wish, suite, forking ? 2 : 1, &alices);
    if (forking)
        fork_keys(&alices, (uint8_t)suite->prf, tbs_bytes(rand, sizeof rand), &bobs);
    else
        assert_int_equal(mikey_key_set_copy(alices.key, alices.n, &bobs, NULL), TBS_OK);
    call->ticket = calloc(1, sizeof *call->ticket);
    call->resolved = calloc(1, sizeof *call->resolved);
    ok(client_grant_new(tbs_buf_view(&core), &alices, &call->ticket->g, &call->diag), call);
    ok(client_grant_new(tbs_buf_view(&core), &bobs, &call->resolved->g, &call->diag), call);
    call->ticket->g.who_type = call->resolved->g.who_type = MIKEY_ID_URI;
    tbs_put_bytes(&call->ticket->g.who, tbs_bytes_str(CALL_ALICE));
    if (forking) {
        tbs_put_bytes(&call->resolved->g.who, tbs_bytes_str(CALL_BOB));
        tbs_put_bytes(&call->resolved->g.rand, tbs_bytes(rand, sizeof rand));
    }
}

void call_tickets(struct call *call, const struct call_wish *wish)
{
    *call =
        (struct call){.now = tbs_ntp_from_unix(1800000000), .init = tbs_buf(), .resp = tbs_buf()};
    call_tickets_of(call, wish);
}

static enum tbs_err answer(struct call *call, struct tbs_offer *offer)
{
    enum tbs_err err = call->bob_supplies
                           ? tbs_offer_supply(offer, call->bobs, call->n_bobs, &call->diag)
                           : TBS_OK;

    call->now += UINT64_C(1) << 30;
    return err ? err
               : tbs_answer(offer, call->resolved, NULL, 0, &call->resp, &call->bob, &call->diag);
}

static enum tbs_err finish(struct call *call, struct tbs_transfer *transfer)
{
    return call->resp.len > 0
               ? tbs_transfer_finish(transfer, tbs_buf_view(&call->resp), &call->alice, &call->diag)
               : tbs_transfer_session(transfer, &call->alice, &call->diag);
}

enum tbs_err call_try(struct call *call)
{
    bool suite_128 = call->ticket->g.suite == &mikey_suite_128;
    struct tbs_credential bob = call_credential(CALL_BOB, suite_128);
    struct tbs_acceptance acceptance = {.sdp_ids = "mikey"};
    struct tbs_crypto_session sessions[] = {{.id = 1, .has_ssrc = true, .ssrc = 0xA11CE},
                                            {.id = 2}};
    struct tbs_transfer *transfer = NULL;
    struct tbs_offer *offer = NULL;
    enum tbs_err err = tbs_transfer_begin(call->ticket, CALL_BOB, sessions, 2, "mikey",
                                          call_clock(call), &transfer, &call->diag);

    if (!err) {
        tbs_put_bytes(&call->init, tbs_transfer_octets(transfer));
        err = tbs_accept(&bob, &acceptance, tbs_buf_view(&call->init), call_clock(call), &offer,
                         &call->diag);
    }
    if (!err)
        err = answer(call, offer);
    if (!err)
        err = finish(call, transfer);
    tbs_offer_free(offer);
    tbs_transfer_free(transfer);
    call->now += UINT64_C(10) << 32;
    return err;
}

void call_connect(struct call *call)
{
    ok(call_try(call), call);
}

void call_make(struct call *call, unsigned flags)
{
    struct call_wish wish = {.flags = flags, .keys = &one_tgk, .n_keys = 1};

    call_tickets(call, &wish);
    call_connect(call);
}

void call_free(struct call *call)
{
    tbs_session_free(call->alice);
    tbs_session_free(call->bob);
    tbs_ticket_free(call->ticket);
    tbs_resolved_free(call->resolved);
    tbs_buf_free(&call->init);
    tbs_buf_free(&call->resp);
}

bool call_agree(const struct tbs_session *a, const struct tbs_session *b)
{
    if (tbs_session_count(a) != tbs_session_count(b) ||
        tbs_session_csb_id(a) != tbs_session_csb_id(b))
        return false;
    for (size_t i = 0; i < tbs_session_count(a); i++) {
        struct tbs_traffic x, y;

        tbs_session_traffic(a, i, &x);
        tbs_session_traffic(b, i, &y);
        if (x.cs_id != y.cs_id || x.srtp != y.srtp || x.ssrc != y.ssrc ||
            !tbs_bytes_equal(x.mki, y.mki) || !tbs_bytes_equal(x.master_key, y.master_key) ||
            !tbs_bytes_equal(x.master_salt, y.master_salt))
            return false;
    }
    return true;
}
