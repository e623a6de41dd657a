/* A message and everything in it that the KMS reads before, or without, knowing a right key:
 * payloads, the crypto sessions of a GENERIC-ID map, Ticket Policies, the TPK's id, Initiator
 * Data, and what MACs cover. */
#include <string.h>

#include "mikey/verification.h"
#include "tests/fuzz/fuzz.h"
#include "ticket/ticket.h"

#define PATTERN 0xA5

/* A key that made nothing of what comes in. */
static const uint8_t wrong_key[MIKEY_INKEY_BLOCK] = "no message was made with this";

static void check_chain(const struct mikey_message *m)
{
    const uint8_t *end = m->raw.data + m->raw.len, *at = m->hdr.map_info.data;

    FUZZ_PROMISE(fuzz_is_inside(m->hdr.map_info, m->raw));
    at += m->hdr.map_info.len;
    for (size_t i = 0; i < m->payloads.n; i++) {
        const struct mikey_payload *p = &m->payloads.p[i];

        FUZZ_PROMISE(p->whole.data == at && p->offset == (size_t)(at - m->raw.data));
        at += p->whole.len;
    }
    FUZZ_PROMISE(at == end);
}

static void check_sessions(const struct mikey_hdr *hdr)
{
    struct tbs_reader r = tbs_reader(hdr->map_info);

    if (hdr->map_type != MIKEY_MAP_GENERIC_ID)
        return;
    for (unsigned i = 0; i < hdr->n_cs; i++) {
        struct mikey_cs cs = mikey_next_cs(&r);

        FUZZ_PROMISE(fuzz_is_inside(cs.policies, hdr->map_info) &&
                     fuzz_is_inside(cs.session_data, hdr->map_info) &&
                     fuzz_is_inside(cs.spi, hdr->map_info));
    }
    FUZZ_PROMISE(!r.failed && tbs_reader_left(&r) == 0);
}

/* Written as TP into a message: false when it does not fit into one any more. */
static bool put_policy(const struct ticket_policy *policy, struct tbs_buf *message)
{
    struct tbs_buf core TBS_BUF_AUTO = tbs_buf();
    struct mikey_hdr hdr = {.data_type = MIKEY_REQUEST_INIT_PSK, .map_type = MIKEY_MAP_EMPTY};
    struct mikey_writer w = mikey_write_message(message, &hdr);

    ticket_policy_put(&core, policy);
    mikey_put_tp(&w, tbs_buf_view(&core));
    message->failed |= core.failed;
    return mikey_written(message, NULL) == TBS_OK;
}

/* A policy that was understood can be written, is understood again, and then is the same. */
static void check_round_trip(const struct ticket_policy *policy)
{
    struct tbs_buf first TBS_BUF_AUTO = tbs_buf(), second TBS_BUF_AUTO = tbs_buf();
    struct mikey_message m;
    struct ticket_policy again;

    if (!put_policy(policy, &first))
        return;
    FUZZ_PROMISE(mikey_decode(tbs_buf_view(&first), &m, NULL) == TBS_OK);
    FUZZ_PROMISE(ticket_policy_decode(&m.payloads.p[0], &again, NULL) == TBS_OK);
    FUZZ_PROMISE(put_policy(&again, &second));
    FUZZ_PROMISE(tbs_bytes_equal(tbs_buf_view(&first), tbs_buf_view(&second)));
}

static void check_policy(const struct mikey_payload *p)
{
    struct ticket_policy policy;
    struct tbs_diag diag = {0};

    memset(&policy, PATTERN, sizeof policy);
    enum tbs_err err = ticket_policy_decode(p, &policy, &diag);

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err) {
        FUZZ_PROMISE(fuzz_is_untouched(&policy, sizeof policy, PATTERN));
        return;
    }
    FUZZ_PROMISE(policy.n_keys <= TICKET_SESSION_KEYS_MAX && policy.n_apps <= TICKET_APPS_MAX);
    FUZZ_PROMISE(policy.n_responders >= 1 && policy.n_responders <= TICKET_RESPONDERS_MAX);
    err = ticket_policy_check(&policy, ticket_has_tgk(policy.keys, policy.n_keys), &diag);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    check_round_trip(&policy);
}

static void check_ticket(const struct mikey_payload *p)
{
    struct tbs_bytes tpk_id, vi = ticket_initiator_data_vi(p);
    struct ticket_contents contents = {0};
    const struct mikey_suite *suite = mikey_suite_of_prf(p->ticket.prf);
    struct mikey_inkey tpk = {.prf = p->ticket.prf, .key = tbs_bytes(wrong_key, sizeof wrong_key)};
    struct tbs_diag diag = {0};

    FUZZ_PROMISE(fuzz_is_inside(vi, p->ticket.initiator_data));
    if (ticket_tpk_id(p, &tpk_id, NULL) == TBS_OK)
        FUZZ_PROMISE(fuzz_is_inside(tpk_id, p->ticket.ticket_data));
    if (!suite)
        return;
    FUZZ_PROMISE(ticket_open(p, &tpk, &contents, &diag) != TBS_OK && diag.text[0]);
    FUZZ_PROMISE(ticket_initiator_data_check(p, suite, tpk.key, &diag) != TBS_OK && diag.text[0]);
}

static void check_mac(const struct mikey_message *m)
{
    struct mikey_keys keys MIKEY_KEYS_AUTO = {0};
    const struct mikey_suite *suite = mikey_suite_of_prf(m->hdr.prf);
    struct tbs_diag diag = {0};

    if (!suite)
        return;
    struct mikey_inkey inkey = {.prf = suite->prf, .key = tbs_bytes(wrong_key, sizeof wrong_key)};
    struct mikey_context context = {
        .usage = MIKEY_USE_INIT,
        .csb_id = m->hdr.csb_id,
        .randri = mikey_rand_data(&m->payloads, MIKEY_RANDRI),
        .randrr = mikey_rand_data(&m->payloads, MIKEY_RANDRR),
    };
    struct mikey_followed_by ids = {mikey_id_data(&m->payloads, MIKEY_IDRI),
                                    mikey_id_data(&m->payloads, MIKEY_IDRKMS)};

    FUZZ_PROMISE(mikey_derive_auth(suite, &inkey, &context, &keys, NULL) == TBS_OK);
    FUZZ_PROMISE(mikey_verify(m, suite, &keys, ids, &diag) != TBS_OK && diag.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct mikey_message m;
    struct tbs_diag diag = {0};
    enum tbs_err err = mikey_decode(tbs_bytes(data, len), &m, &diag);

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err)
        return 0;
    check_chain(&m);
    check_sessions(&m.hdr);
    check_mac(&m);
    for (size_t i = 0; i < m.payloads.n; i++) {
        const struct mikey_payload *p = &m.payloads.p[i];

        if (p->type == MIKEY_TP || p->type == MIKEY_TICKET)
            check_policy(p);
        if (p->type == MIKEY_TICKET)
            check_ticket(p);
    }
    return 0;
}
