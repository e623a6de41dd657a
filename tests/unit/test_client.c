/* libtbs against two whole flows computed by another implementation: both ends write the same
 * octets and come to the same keys (RFC 6043 4.2.1 to 4.2.3, 5.1.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/internal.h"
#include "tests/support/hex.h"

static const char *const flow_names[] = {"plain-256.json", "forking-256.json"};

static uint64_t read_clock(void *ctx)
{
    return *(const uint64_t *)ctx;
}

/* A message of a flow; views `raw`. */
struct step {
    struct tbs_buf raw;
    struct mikey_message m;
    uint64_t t;
};

struct flow {
    json_t *json;
    struct tbs_buf alice_psk, bob_psk;
    struct step request_init, request_resp, transfer_init, resolve_init, resolve_resp,
        transfer_resp;
    uint64_t now;
};

static void load_step(struct flow *f, const char *name, struct step *step)
{
    step->raw = vector_octets(f->json, name);
    assert_int_equal(mikey_decode(tbs_buf_view(&step->raw), &step->m, NULL), TBS_OK);
    step->t = mikey_ts64(mikey_find(&step->m.payloads, MIKEY_T, 0));
}

static void load_flow(const char *name, struct flow *f)
{
    f->json = vector_load(name);
    f->alice_psk = vector_octets(f->json, "alice_psk");
    f->bob_psk = vector_octets(f->json, "bob_psk");
    load_step(f, "request_init", &f->request_init);
    load_step(f, "request_resp", &f->request_resp);
    load_step(f, "transfer_init", &f->transfer_init);
    load_step(f, "resolve_init", &f->resolve_init);
    load_step(f, "resolve_resp", &f->resolve_resp);
    load_step(f, "transfer_resp", &f->transfer_resp);
    f->now = f->transfer_init.t;
}

static void free_flow(struct flow *f)
{
    struct step *const steps[] = {&f->request_init, &f->request_resp, &f->transfer_init,
                                  &f->resolve_init, &f->resolve_resp, &f->transfer_resp};

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        tbs_buf_free(&steps[i]->raw);
    tbs_buf_free(&f->alice_psk);
    tbs_buf_free(&f->bob_psk);
    json_decref(f->json);
}

static struct tbs_credential credential(const struct flow *f, const char *who,
                                        const char *psk_id_name, const struct tbs_buf *psk)
{
    return (struct tbs_credential){.kms = vector_text(f->json, "kms"),
                                   .identity = vector_text(f->json, who),
                                   .psk_id = vector_text(f->json, psk_id_name),
                                   .psk = tbs_buf_view(psk),
                                   .suite = TBS_SUITE_256};
}

static struct tbs_clock clock_of(struct flow *f)
{
    return (struct tbs_clock){read_clock, &f->now};
}

static void ok(enum tbs_err err, const struct tbs_diag *diag)
{
    if (err)
        fail_msg("%s: %s", tbs_err_name(err), diag->text);
}

/* The key that the flow has is longer than its policy's; the PRF's shorter output begins it. */
static void expect_srtp_keys(const struct flow *f, const struct tbs_session *session)
{
    struct tbs_buf key TBS_BUF_AUTO = vector_octets(f->json, "srtp_master_key_cs1");
    struct tbs_buf salt TBS_BUF_AUTO = vector_octets(f->json, "srtp_master_salt_cs1");
    static const uint8_t spi[] = {0, 0, 0, 1};
    struct tbs_traffic traffic;

    assert_int_equal(tbs_session_count(session), 1);
    tbs_session_traffic(session, 0, &traffic);
    assert_int_equal(traffic.cs_id, 1);
    assert_int_equal(traffic.srtp, TBS_SRTP_AES_CM_128_HMAC_SHA1_80);
    assert_int_equal(traffic.master_key.len, 16);
    assert_memory_equal(traffic.master_key.data, key.data, 16);
    assert_true(tbs_bytes_equal(traffic.master_salt, tbs_buf_view(&salt)));
    assert_true(tbs_bytes_equal(traffic.mki, tbs_bytes(spi, sizeof spi)));
    assert_int_equal(tbs_session_csb_id(session), f->transfer_init.m.hdr.csb_id);
}

static void initiator(const char *name)
{
    struct flow f = {0};
    struct tbs_diag diag = {0};
    struct tbs_request *request;
    struct tbs_ticket *ticket;
    struct tbs_transfer *transfer;
    struct tbs_session *session;
    struct tbs_minimum minimum = {0};

    load_flow(name, &f);
    struct tbs_credential alice = credential(&f, "alice", "alice_psk_id", &f.alice_psk);
    struct tbs_buf init = tbs_buf();

    tbs_put_bytes(&init, f.request_init.m.raw);
    memset(init.data + init.len - 32, 0, 32);
    ok(client_request_start(&alice, &minimum, &init, clock_of(&f), &request, &diag), &diag);
    assert_true(tbs_bytes_equal(tbs_request_octets(request), f.request_init.m.raw));
    ok(tbs_request_finish(request, f.request_resp.m.raw, &ticket, &diag), &diag);
    ok(tbs_transfer_restore(ticket, f.transfer_init.m.raw, &transfer, &diag), &diag);
    ok(tbs_transfer_finish(transfer, f.transfer_resp.m.raw, &session, &diag), &diag);
    expect_srtp_keys(&f, session);
    assert_true(
        tbs_bytes_equal(tbs_session_peer(session), tbs_bytes_str(vector_text(f.json, "bob"))));
    tbs_session_free(session);
    assert_int_equal(tbs_transfer_finish(transfer, f.transfer_resp.m.raw, &session, &diag),
                     TBS_ERR_REPLAY);
    tbs_transfer_free(transfer);
    tbs_ticket_free(ticket);
    tbs_request_free(request);
    free_flow(&f);
}

static void the_initiator_reproduces_the_flows(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        initiator(flow_names[i]);
}

static struct client_nonces nonces_of(const struct step *step)
{
    struct client_nonces n = {.csb_id = step->m.hdr.csb_id};

    memcpy(n.rand, mikey_rand_data(&step->m.payloads, MIKEY_RANDRR).data, sizeof n.rand);
    return n;
}

static struct tbs_ssrc ssrc_of(const struct step *step)
{
    struct tbs_reader map = tbs_reader(step->m.hdr.map_info);
    struct mikey_cs cs = mikey_next_cs(&map);
    struct tbs_reader data = tbs_reader(cs.session_data);

    return (struct tbs_ssrc){.cs_id = cs.id, .ssrc = tbs_read_u32(&data)};
}

static void responder(const char *name)
{
    struct flow f = {0};
    struct tbs_diag diag = {0};
    struct tbs_acceptance acceptance = {0};
    struct tbs_offer *offer;
    struct tbs_resolve *resolve;
    struct tbs_resolved *resolved;
    struct tbs_session *session;
    struct tbs_buf response;

    load_flow(name, &f);
    struct tbs_credential bob = credential(&f, "bob", "bob_psk_id", &f.bob_psk);
    struct client_nonces nonces = nonces_of(&f.resolve_init);
    struct tbs_ssrc ssrc = ssrc_of(&f.transfer_resp);

    ok(tbs_accept(&bob, &acceptance, f.transfer_init.m.raw, clock_of(&f), &offer, &diag), &diag);
    f.now = f.resolve_init.t;
    ok(client_resolve_begin(offer, &bob, clock_of(&f), &nonces, &resolve, &diag), &diag);
    assert_true(tbs_bytes_equal(tbs_resolve_octets(resolve), f.resolve_init.m.raw));
    ok(tbs_resolve_finish(resolve, f.resolve_resp.m.raw, &resolved, &diag), &diag);
    f.now = f.transfer_resp.t;
    ok(client_answer(offer, resolved, &ssrc, 1, nonces_of(&f.transfer_resp).rand, &response,
                     &session, &diag),
       &diag);
    assert_true(tbs_bytes_equal(tbs_buf_view(&response), f.transfer_resp.m.raw));
    expect_srtp_keys(&f, session);
    assert_true(
        tbs_bytes_equal(tbs_session_peer(session), tbs_bytes_str(vector_text(f.json, "alice"))));
    tbs_session_free(session);
    tbs_buf_free(&response);
    tbs_resolved_free(resolved);
    tbs_resolve_free(resolve);
    tbs_offer_free(offer);
    free_flow(&f);
}

static void the_responder_reproduces_the_flows(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        responder(flow_names[i]);
}

/* No octet of TRANSFER_INIT can be changed, or left out, unnoticed until the keys are there. */
static bool is_refused(const struct flow *f, struct tbs_bytes transfer_init)
{
    struct tbs_credential bob = credential(f, "bob", "bob_psk_id", &f->bob_psk);
    struct tbs_acceptance acceptance = {0};
    struct client_nonces nonces = nonces_of(&f->resolve_init);
    struct tbs_offer *offer;
    struct tbs_resolve *resolve;
    struct tbs_resolved *resolved;
    struct flow timed = {.now = f->now};
    bool refused = true;

    if (tbs_accept(&bob, &acceptance, transfer_init, clock_of(&timed), &offer, NULL))
        return true;
    timed.now = f->resolve_init.t;
    assert_int_equal(client_resolve_begin(offer, &bob, clock_of(&timed), &nonces, &resolve, NULL),
                     TBS_OK);
    /* The KMS refuses a changed ticket; here its true answer must not fit either. */
    if (tbs_resolve_finish(resolve, f->resolve_resp.m.raw, &resolved, NULL) == TBS_OK) {
        refused = false;
        tbs_resolved_free(resolved);
    }
    tbs_resolve_free(resolve);
    tbs_offer_free(offer);
    return refused;
}

static void no_bit_of_an_offer_can_be_changed(void **state)
{
    (void)state;
    struct flow f = {0};

    load_flow("forking-256.json", &f);
    assert_false(is_refused(&f, f.transfer_init.m.raw));
    for (size_t i = 0; i < f.transfer_init.raw.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            f.transfer_init.raw.data[i] ^= (uint8_t)(1 << bit);
            if (!is_refused(&f, tbs_buf_view(&f.transfer_init.raw)))
                fail_msg("bit %d of octet %zu was changed unnoticed", bit, i);
            f.transfer_init.raw.data[i] ^= (uint8_t)(1 << bit);
        }
        if (!is_refused(&f, tbs_bytes(f.transfer_init.raw.data, i)))
            fail_msg("cut to %zu octets unnoticed", i);
    }
    free_flow(&f);
}

static void no_bit_of_an_answer_can_be_changed(void **state)
{
    (void)state;
    struct flow f = {0};
    struct tbs_diag diag = {0};
    struct tbs_request *request;
    struct tbs_ticket *ticket;
    struct tbs_transfer *transfer;
    struct tbs_session *session;
    struct tbs_minimum minimum = {0};

    load_flow("forking-256.json", &f);
    struct tbs_credential alice = credential(&f, "alice", "alice_psk_id", &f.alice_psk);
    struct tbs_buf init = tbs_buf(), *resp = &f.transfer_resp.raw;

    tbs_put_bytes(&init, f.request_init.m.raw);
    memset(init.data + init.len - 32, 0, 32);
    ok(client_request_start(&alice, &minimum, &init, clock_of(&f), &request, &diag), &diag);
    ok(tbs_request_finish(request, f.request_resp.m.raw, &ticket, &diag), &diag);
    ok(tbs_transfer_restore(ticket, f.transfer_init.m.raw, &transfer, &diag), &diag);
    for (size_t i = 0; i < resp->len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            resp->data[i] ^= (uint8_t)(1 << bit);
            if (tbs_transfer_finish(transfer, tbs_buf_view(resp), &session, NULL) == TBS_OK)
                fail_msg("bit %d of octet %zu was changed unnoticed", bit, i);
            resp->data[i] ^= (uint8_t)(1 << bit);
        }
        assert_int_not_equal(
            tbs_transfer_finish(transfer, tbs_bytes(resp->data, i), &session, NULL), TBS_OK);
    }
    ok(tbs_transfer_finish(transfer, tbs_buf_view(resp), &session, &diag), &diag);
    tbs_session_free(session);
    tbs_transfer_free(transfer);
    tbs_ticket_free(ticket);
    tbs_request_free(request);
    free_flow(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_initiator_reproduces_the_flows),
        cmocka_unit_test(the_responder_reproduces_the_flows),
        cmocka_unit_test(no_bit_of_an_offer_can_be_changed),
        cmocka_unit_test(no_bit_of_an_answer_can_be_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
