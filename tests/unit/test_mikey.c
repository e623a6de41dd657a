/* The wire codec and the key schedule: RFC 3830 4.1 and 6, RFC 6043 5.1 and 6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mikey/encode.h"
#include "mikey/kemac.h"
#include "tests/support/hex.h"

static const char *const flows[] = {"plain-256.json", "forking-256.json"};
static const char *const messages[] = {"request_init",  "request_resp", "transfer_init",
                                       "transfer_resp", "resolve_init", "resolve_resp"};

/* RFC 3830 4.1.2 to 4.1.4, RFC 6043 5.1: both PRFs, values others agree on. */
static void prf_gives_the_published_keys(void **state)
{
    (void)state;
    json_t *vectors = vector_load("prf.json"), *v;
    size_t i;

    assert_true(json_array_size(vectors) >= 20);
    json_array_foreach(vectors, i, v)
    {
        TBS_BUF_AUTO struct tbs_buf key = vector_octets(v, "inkey");
        TBS_BUF_AUTO struct tbs_buf text = vector_octets(v, "label");
        TBS_BUF_AUTO struct tbs_buf want = vector_octets(v, "outkey");
        struct tbs_secret got TBS_SECRET_AUTO = {0};
        bool sha1 = strcmp(vector_text(v, "alg"), "PRF-HMAC-SHA-1") == 0;
        struct mikey_inkey inkey = {.prf = sha1 ? MIKEY_PRF_MIKEY_1 : MIKEY_PRF_HMAC_SHA_256,
                                    .key = tbs_buf_view(&key)};
        struct mikey_label label = {.len = text.len};

        memcpy(label.data, text.data, text.len);
        assert_int_equal(mikey_derive(&inkey, &label, want.len, &got, NULL), TBS_OK);
        if (!tbs_bytes_equal(tbs_secret_view(&got), tbs_buf_view(&want)))
            fail_msg("%s: another key", vector_text(v, "name"));
    }
    json_decref(vectors);
}

static void put_again(struct mikey_writer *w, const struct mikey_payload *p)
{
    switch (p->type) {
    case MIKEY_T:
        mikey_put_t(w, p->t.value);
        break;
    case MIKEY_TR:
        mikey_put_tr(w, p->t.role, p->t.ts_type, p->t.value);
        break;
    case MIKEY_IDR:
        mikey_put_idr(w, p->id.role, p->id.id_type, p->id.data);
        break;
    case MIKEY_RANDR:
        mikey_put_randr(w, p->rand.role, p->rand.data);
        break;
    case MIKEY_SP:
        mikey_put_sp(w, p->sp.policy_no, p->sp.prot, p->sp.params);
        break;
    case MIKEY_KEMAC:
        mikey_put_kemac(w, p->kemac.encr, p->kemac.data);
        break;
    case MIKEY_TP:
        mikey_put_tp(w, p->ticket.core);
        break;
    case MIKEY_TICKET:
        mikey_put_ticket(w, p->ticket.core, p->ticket.initiator_data);
        break;
    case MIKEY_V: {
        size_t at = mikey_put_v(w, p->v.alg);

        memcpy(w->buf->data + at, p->v.mac.data, p->v.mac.len);
        break;
    }
    default:
        fail_msg("payload %s is not in these flows", mikey_payload_name(p->type));
    }
}

/* Decoding and writing again gives every octet back. */
static void flows_survive_decoding_and_encoding(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        json_t *flow = vector_load(flows[f]);

        for (size_t m = 0; m < 6; m++) {
            TBS_BUF_AUTO struct tbs_buf raw = vector_octets(flow, messages[m]);
            TBS_BUF_AUTO struct tbs_buf again = tbs_buf();
            struct mikey_message message;
            struct tbs_diag diag = {0};

            if (mikey_decode(tbs_buf_view(&raw), &message, &diag))
                fail_msg("%s %s: %s", flows[f], messages[m], diag.text);
            struct mikey_writer w = mikey_write_message(&again, &message.hdr);

            for (size_t i = 0; i < message.payloads.n; i++)
                put_again(&w, &message.payloads.p[i]);
            assert_int_equal(mikey_written(&again, NULL), TBS_OK);
            assert_true(tbs_bytes_equal(tbs_buf_view(&again), tbs_buf_view(&raw)));
        }
        json_decref(flow);
    }
}

/* A message cut anywhere does not decode, and the sentence says where. */
static void every_truncation_is_malformed(void **state)
{
    (void)state;
    json_t *flow = vector_load("forking-256.json");

    for (size_t m = 0; m < 6; m++) {
        TBS_BUF_AUTO struct tbs_buf raw = vector_octets(flow, messages[m]);
        struct mikey_message message;

        for (size_t len = 0; len < raw.len; len++) {
            struct tbs_diag diag = {0};
            uint8_t *cut = test_malloc(len + 1); /* so that a read beyond is seen */

            memcpy(cut, raw.data, len);
            assert_int_equal(mikey_decode(tbs_bytes(cut, len), &message, &diag), TBS_ERR_MALFORMED);
            assert_true(diag.text[0] != '\0');
            test_free(cut);
        }
    }
    json_decref(flow);
}

/* RFC 6043 5.4: a HDR that can be answered to is there as a whole or not at all, whatever the
 * output held before, and with it the payloads before the one that is wrong. */
static void a_failure_tells_how_far_decoding_came(void **state)
{
    (void)state;
    json_t *flow = vector_load("plain-256.json");
    TBS_BUF_AUTO struct tbs_buf raw = vector_octets(flow, "request_init");
    static const struct mikey_hdr zeros;
    struct mikey_message whole, cut;

    assert_int_equal(mikey_decode(tbs_buf_view(&raw), &whole, NULL), TBS_OK);
    for (size_t len = 0; len < raw.len; len++) {
        cut = whole;
        assert_int_equal(mikey_decode(tbs_bytes(raw.data, len), &cut, NULL), TBS_ERR_MALFORMED);
        bool has_hdr = len >= 10;

        assert_int_equal(cut.hdr.version, has_hdr ? MIKEY_VERSION : 0);
        assert_int_equal(cut.hdr.data_type, has_hdr ? whole.hdr.data_type : 0);
        assert_int_equal(cut.hdr.prf, has_hdr ? whole.hdr.prf : 0);
        assert_int_equal(cut.hdr.csb_id, has_hdr ? whole.hdr.csb_id : 0);
        for (size_t i = 0; i < cut.payloads.n; i++)
            assert_true(tbs_bytes_equal(cut.payloads.p[i].whole, whole.payloads.p[i].whole));
        const struct mikey_payload *wrong = &whole.payloads.p[cut.payloads.n];

        assert_true(cut.payloads.n < whole.payloads.n && len < wrong->offset + wrong->whole.len);
    }
    raw.data[0] = 2;
    cut = whole;
    assert_int_equal(mikey_decode(tbs_buf_view(&raw), &cut, NULL), TBS_ERR_MALFORMED);
    assert_memory_equal(&cut.hdr, &zeros, sizeof zeros);
    static const uint8_t endless[MIKEY_MESSAGE_MAX + 1] = {MIKEY_VERSION};

    cut = whole;
    assert_int_equal(mikey_decode(tbs_bytes(endless, sizeof endless), &cut, NULL), TBS_ERR_LIMIT);
    assert_int_equal(cut.hdr.version, 0);
    assert_int_equal(cut.payloads.n, 0);
    json_decref(flow);
}

static void octets_after_the_last_payload_are_malformed(void **state)
{
    (void)state;
    json_t *flow = vector_load("plain-256.json");
    TBS_BUF_AUTO struct tbs_buf raw = vector_octets(flow, "request_init");
    struct mikey_message message;
    struct tbs_diag diag;

    tbs_put_u8(&raw, 0);
    assert_int_equal(mikey_decode(tbs_buf_view(&raw), &message, &diag), TBS_ERR_MALFORMED);
    assert_non_null(strstr(diag.text, "follow the last payload"));
    json_decref(flow);
}

static void an_unknown_payload_is_named_with_its_offset(void **state)
{
    (void)state;
    const uint8_t octets[] = {1, 11, 99, 1, 0, 0, 0, 1, 0, 1, 0, 0};
    struct mikey_message message;
    struct tbs_diag diag;

    assert_int_equal(mikey_decode(tbs_bytes(octets, sizeof octets), &message, &diag),
                     TBS_ERR_MALFORMED);
    assert_non_null(strstr(diag.text, "payload type 99 at offset 10"));
}

/* A long chain of small payloads ends at a stated bound. */
static void a_chain_without_end_is_refused(void **state)
{
    (void)state;
    TBS_BUF_AUTO struct tbs_buf raw = tbs_buf();
    struct mikey_hdr hdr = {.data_type = MIKEY_ERROR, .map_type = MIKEY_MAP_EMPTY};
    struct mikey_writer w = mikey_write_message(&raw, &hdr);
    struct mikey_message message;
    struct tbs_diag diag;

    for (int i = 0; i <= MIKEY_PAYLOADS_MAX; i++)
        mikey_put_err(&w, 0);
    assert_int_equal(mikey_decode(tbs_buf_view(&raw), &message, &diag), TBS_ERR_MALFORMED);
    assert_non_null(strstr(diag.text, "payloads follow one another"));
}

/* Payloads that the PSK flows above do not use. */
static void the_other_payloads_survive_too(void **state)
{
    (void)state;
    TBS_BUF_AUTO struct tbs_buf raw = tbs_buf();
    struct mikey_hdr hdr = {
        .data_type = MIKEY_REQUEST_INIT_PK, .prf = 1, .csb_id = 7, .map_type = MIKEY_MAP_EMPTY};
    uint8_t hash[32] = {9};
    struct mikey_writer w = mikey_write_message(&raw, &hdr);
    struct mikey_message m;

    mikey_put_cert(&w, 1, tbs_bytes_str("certificate"));
    mikey_put_chash(&w, 2, tbs_bytes(hash, 32));
    mikey_put_pke(&w, 2, tbs_bytes_str("envelope"));
    mikey_put_rand(&w, tbs_bytes_str("rand"));
    mikey_put_err(&w, MIKEY_E_INVALID_TICKET);
    mikey_put_general_ext(&w, 1, tbs_bytes_str("extension"));
    mikey_put_sign(&w, 1, tbs_bytes_str("signature"));
    assert_int_equal(mikey_written(&raw, NULL), TBS_OK);
    assert_int_equal(mikey_decode(tbs_buf_view(&raw), &m, NULL), TBS_OK);
    assert_int_equal(m.payloads.n, 7);
    assert_true(tbs_bytes_equal(mikey_find(&m.payloads, MIKEY_CERT, 0)->id.data,
                                tbs_bytes_str("certificate")));
    assert_true(
        tbs_bytes_equal(mikey_find(&m.payloads, MIKEY_CHASH, 0)->chash.hash, tbs_bytes(hash, 32)));
    assert_int_equal(mikey_find(&m.payloads, MIKEY_PKE, 0)->pke.cache, 2);
    assert_true(tbs_bytes_equal(mikey_find(&m.payloads, MIKEY_PKE, 0)->pke.data,
                                tbs_bytes_str("envelope")));
    assert_int_equal(mikey_find(&m.payloads, MIKEY_ERR, 0)->err.no, 14);
    assert_true(tbs_bytes_equal(mikey_find(&m.payloads, MIKEY_GENERAL_EXT, 0)->ext.data,
                                tbs_bytes_str("extension")));
    assert_int_equal(m.payloads.p[6].sign.type, 1);
    assert_true(tbs_bytes_equal(m.payloads.p[6].sign.signature, tbs_bytes_str("signature")));
}

/* RFC 3830 6.13 and 6.14: every key type with SPI and with an interval. */
static void key_data_survive(void **state)
{
    (void)state;
    TBS_BUF_AUTO struct tbs_buf data = tbs_buf();
    struct mikey_writer w = mikey_write_keys(&data);
    struct mikey_key keys[MIKEY_KEYS_MAX];
    size_t n = 0;

    for (uint8_t type = 0; type <= MIKEY_MPK; type++) {
        struct mikey_key key = {.type = type,
                                .kv = MIKEY_KV_SPI,
                                .key = tbs_bytes_str("key"),
                                .salt = tbs_bytes_str("salt"),
                                .spi = tbs_bytes_str("spi1")};

        mikey_put_key(&w, &key);
    }
    mikey_put_key(&w, &(struct mikey_key){.type = MIKEY_TEK,
                                          .kv = MIKEY_KV_INTERVAL,
                                          .key = tbs_bytes_str("k"),
                                          .valid_from = tbs_bytes_str("a"),
                                          .valid_to = tbs_bytes_str("bc")});
    assert_int_equal(mikey_decode_keys(tbs_buf_view(&data), keys, &n, NULL), TBS_OK);
    assert_int_equal(n, 8);
    assert_int_equal(keys[0].salt.len, 0);
    assert_true(tbs_bytes_equal(keys[5].salt, tbs_bytes_str("salt")));
    assert_true(tbs_bytes_equal(keys[6].spi, tbs_bytes_str("spi1")));
    assert_true(tbs_bytes_equal(keys[7].valid_to, tbs_bytes_str("bc")));
    for (size_t len = 0; len < data.len; len++)
        assert_int_equal(mikey_decode_keys(tbs_bytes(data.data, len), keys, &n, NULL),
                         TBS_ERR_MALFORMED);
}

/* RFC 6043 6.1.1, and no octets that SRTP Session Data cannot have. */
static void generic_id_maps_survive(void **state)
{
    (void)state;
    TBS_BUF_AUTO struct tbs_buf map = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf raw = tbs_buf();
    struct mikey_cs cs = {.id = 3,
                          .s = true,
                          .policies = tbs_bytes_str("\1\2"),
                          .session_data = tbs_bytes_str("ssrcroc!sq"),
                          .spi = tbs_bytes_str("spi")};
    struct mikey_message m;

    mikey_put_cs(&map, &cs);
    struct mikey_hdr hdr = {.data_type = MIKEY_TRANSFER_INIT,
                            .n_cs = 1,
                            .v = true,
                            .map_type = MIKEY_MAP_GENERIC_ID,
                            .map_info = tbs_buf_view(&map)};

    mikey_write_message(&raw, &hdr);
    assert_int_equal(mikey_decode(tbs_buf_view(&raw), &m, NULL), TBS_OK);
    struct tbs_reader r = tbs_reader(m.hdr.map_info);
    struct mikey_cs got = mikey_next_cs(&r);

    assert_true(m.hdr.v && got.s && got.id == 3);
    assert_true(tbs_bytes_equal(got.policies, cs.policies));
    assert_true(tbs_bytes_equal(got.session_data, cs.session_data));
    assert_true(tbs_bytes_equal(got.spi, cs.spi));
    tbs_buf_patch_u8(&raw, 12, 2); /* S off, yet ten octets of Session Data */
    assert_int_equal(mikey_decode(tbs_buf_view(&raw), &m, NULL), TBS_ERR_MALFORMED);
}

/* RFC 3830 6.6, RFC 6043 6.3: where 64 bits are needed. */
static void short_timestamps_are_padded(void **state)
{
    (void)state;
    struct mikey_payload t = {.t = {.ts_type = MIKEY_TS_COUNTER, .value = 0x01020304}};

    assert_int_equal(mikey_ts64(&t), 0x0000000001020304);
    t.t.ts_type = MIKEY_TS_NTP_UTC_32;
    assert_int_equal(mikey_ts64(&t), 0x0102030400000000);
    t.t.ts_type = MIKEY_TS_NTP_UTC;
    t.t.value = 0x0102030405060708;
    assert_int_equal(mikey_ts64(&t), 0x0102030405060708);
}

/* RFC 3830 6.2 and 6.13: what a length field cannot say is an error, not a cut. */
static void a_field_too_long_for_its_length_fails(void **state)
{
    (void)state;
    static const uint8_t octets[UINT16_MAX + 1];
    TBS_BUF_AUTO struct tbs_buf buf = tbs_buf();

    for (size_t over = 0; over < 2; over++) {
        enum tbs_err wanted = over ? TBS_ERR_LIMIT : TBS_OK;
        struct mikey_key key = {.kv = MIKEY_KV_SPI, .spi = tbs_bytes(octets, UINT8_MAX + over)};
        struct mikey_writer w = mikey_write_keys(&buf);

        mikey_put_key(&w, &key);
        assert_int_equal(mikey_written(&buf, NULL), wanted);
        tbs_buf_reset(&buf);
        w = mikey_write_chain(&buf);
        mikey_put_randr(&w, MIKEY_RANDRI, tbs_bytes(octets, UINT8_MAX + over));
        assert_int_equal(mikey_written(&buf, NULL), wanted);
        tbs_buf_reset(&buf);
        mikey_put_len16(&buf, tbs_bytes(octets, UINT16_MAX + over));
        assert_int_equal(buf.failed, over);
        tbs_buf_reset(&buf);
        tbs_put_bytes(&buf, tbs_bytes(octets, UINT16_MAX));
        tbs_put_zeros(&buf, 1 + over); /* a message of 65536 octets, and one more */
        assert_int_equal(mikey_written(&buf, NULL), wanted);
        tbs_buf_reset(&buf);
    }
}

/* RFC 3830 4.2.3 and 4.2.4, RFC 6043 12.1: not NULL, and not an algorithm of the other suite. */
static void a_kemac_of_another_algorithm_is_not_opened(void **state)
{
    (void)state;
    static const uint8_t refused[][2] = {{MIKEY_ENCR_NULL, MIKEY_MAC_NULL},
                                         {MIKEY_ENCR_AES_CM_128, MIKEY_MAC_NULL},
                                         {MIKEY_ENCR_AES_KW_128, MIKEY_MAC_NULL},
                                         {MIKEY_ENCR_AES_CM_256, MIKEY_MAC_HMAC_SHA_256_256}};
    struct mikey_keys keys = {0};
    struct mikey_key_set set;

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct mikey_payload kemac = {
            .kemac = {.encr = refused[i][0], .mac_alg = refused[i][1], .data = tbs_bytes("x", 1)}};

        assert_int_equal(mikey_open_kemac(&kemac, &mikey_suite_256, &keys, 1, 1, &set, NULL),
                         TBS_ERR_UNSUPPORTED);
    }
}

/* RFC 6043 5.1.1: an identity longer than we take is an error, not a cut. */
static void fork_labels_refuse_long_identities(void **state)
{
    (void)state;
    static const uint8_t id[MIKEY_ID_MAX + 1];
    struct mikey_label label;

    assert_int_equal(mikey_label_fork(MIKEY_CONST_FORK_TGK, tbs_bytes(id, sizeof id),
                                      tbs_bytes(id, 255), &label, NULL),
                     TBS_ERR_LIMIT);
    assert_int_equal(mikey_label_fork(MIKEY_CONST_FORK_TGK, tbs_bytes(id, MIKEY_ID_MAX),
                                      tbs_bytes(id, 255), &label, NULL),
                     TBS_OK);
    assert_true(label.len <= MIKEY_LABEL_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prf_gives_the_published_keys),
        cmocka_unit_test(flows_survive_decoding_and_encoding),
        cmocka_unit_test(every_truncation_is_malformed),
        cmocka_unit_test(a_failure_tells_how_far_decoding_came),
        cmocka_unit_test(octets_after_the_last_payload_are_malformed),
        cmocka_unit_test(an_unknown_payload_is_named_with_its_offset),
        cmocka_unit_test(a_chain_without_end_is_refused),
        cmocka_unit_test(the_other_payloads_survive_too),
        cmocka_unit_test(key_data_survive),
        cmocka_unit_test(generic_id_maps_survive),
        cmocka_unit_test(short_timestamps_are_padded),
        cmocka_unit_test(a_field_too_long_for_its_length_fails),
        cmocka_unit_test(a_kemac_of_another_algorithm_is_not_opened),
        cmocka_unit_test(fork_labels_refuse_long_identities),
    };

    return cmocka_run_group_tests_name("mikey", tests, NULL, NULL);
}
