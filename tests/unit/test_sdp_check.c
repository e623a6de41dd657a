/* Downgrades of an SDP, each with a reason of its own. RFC 4567 3.1, 4.1.2, 4.1.4, 5.2, 7.1;
 * RFC 4568 7.5; RFC 3264 6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/sdp.h"
#include "tests/support/call.h"

#define HEAD "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define AUDIO "m=audio 4000 RTP/SAVP 96\r\na=rtpmap:96 L16/16000\r\n"
#define VIDEO "m=video 4002 RTP/SAVPF 31\r\n"
#define FLAGS (TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI)

/* A TRANSFER_INIT with this many crypto sessions; it stands for MIKEY wherever one is. */
static struct tbs_buf message(uint8_t n)
{
    struct tbs_buf raw = tbs_buf(), map TBS_BUF_AUTO = tbs_buf();

    for (uint8_t i = 1; i <= n; i++)
        mikey_put_cs(&map, &(struct mikey_cs){.id = i});
    struct mikey_hdr hdr = {.data_type = MIKEY_TRANSFER_INIT,
                            .prf = MIKEY_PRF_HMAC_SHA_256,
                            .n_cs = n,
                            .map_type = MIKEY_MAP_GENERIC_ID,
                            .map_info = tbs_buf_view(&map)};
    struct mikey_writer w = client_write_init(&raw, &hdr, 0);

    mikey_put_v(&w, MIKEY_MAC_HMAC_SHA_256_256);
    assert_int_equal(mikey_written(&raw, NULL), TBS_OK);
    return raw;
}

static struct tbs_buf with_mikey(const char *sdp, int level, uint8_t n_cs)
{
    struct tbs_buf raw TBS_BUF_AUTO = message(n_cs), out;
    struct tbs_diag diag;

    if (tbs_sdp_insert(tbs_bytes_str(sdp), level, tbs_buf_view(&raw), &out, &diag))
        fail_msg("%s", diag.text);
    return out;
}

static void judge(enum tbs_err err, const struct tbs_diag *diag, unsigned long want)
{
    if (want == 0 && err)
        fail_msg("refused: %s", diag->text);
    if (want != 0 && (err != TBS_ERR_DENIED || diag->raw != want || diag->text[0] == '\0'))
        fail_msg("%s with %lu (%s) instead of %s: %s", tbs_err_name(err), diag->raw,
                 tbs_sdp_fault_name((enum tbs_sdp_fault)diag->raw),
                 tbs_sdp_fault_name((enum tbs_sdp_fault)want), diag->text);
}

/* An offer with MIKEY for n_cs crypto sessions at this level. */
static void offer(const char *sdp, int level, uint8_t n_cs, unsigned allow, unsigned long want)
{
    struct tbs_buf with TBS_BUF_AUTO = with_mikey(sdp, level, n_cs);
    struct tbs_diag diag = {0};

    judge(tbs_sdp_check_offer(tbs_buf_view(&with), level, allow, &diag), &diag, want);
}

static void raw_offer(const char *sdp, int level, unsigned long want)
{
    struct tbs_diag diag = {0};

    judge(tbs_sdp_check_offer(tbs_bytes_str(sdp), level, 0, &diag), &diag, want);
}

/* The answer to an offer of audio and video with MIKEY at session level. */
static void answer_raw(struct tbs_bytes answer, unsigned allow, unsigned long want)
{
    struct tbs_buf with TBS_BUF_AUTO = with_mikey(HEAD AUDIO VIDEO, TBS_SDP_SESSION, 4);
    struct tbs_diag diag = {0};

    judge(tbs_sdp_check_answer(tbs_buf_view(&with), answer, TBS_SDP_SESSION, allow, &diag), &diag,
          want);
}

static void answer(const char *sdp, unsigned long want)
{
    struct tbs_buf with TBS_BUF_AUTO = with_mikey(sdp, TBS_SDP_SESSION, 4);

    answer_raw(tbs_buf_view(&with), 0, want);
}

static void what_is_as_it_should_be_passes(void **state)
{
    (void)state;
    offer(HEAD AUDIO, TBS_SDP_SESSION, 2, 0, 0);
    offer(HEAD AUDIO VIDEO, TBS_SDP_SESSION, 4, 0, 0);
    offer(HEAD AUDIO VIDEO, 1, 2, 0, 0);
    offer(HEAD "a=key-mgmt:keyp1 abcd\r\n" AUDIO, TBS_SDP_SESSION, 2, 0, 0);
    /* A stream that is off has no port, and nothing to protect (RFC 3264 5.1). */
    offer(HEAD AUDIO "m=video 0 RTP/AVP 31\r\n", TBS_SDP_SESSION, 2, 0, 0);
    answer(HEAD AUDIO VIDEO, 0);
    answer(HEAD AUDIO "m=video 0 RTP/SAVPF 31\r\n", 0);
}

/* RFC 4567 8: the peeling-off attack; 4.1.2: the answer uses what was offered. */
static void key_mgmt_cannot_be_taken_away(void **state)
{
    (void)state;
    raw_offer(HEAD AUDIO, TBS_SDP_SESSION, TBS_SDP_NO_KEY_MGMT);
    raw_offer(HEAD "a=key-mgmt:keyp1 abcd\r\n" AUDIO, TBS_SDP_SESSION, TBS_SDP_OTHER_PROTOCOL);
    answer_raw(tbs_bytes_str(HEAD AUDIO VIDEO), 0, TBS_SDP_NO_KEY_MGMT);
    answer_raw(tbs_bytes_str(HEAD "a=key-mgmt:keyp1 abcd\r\n" AUDIO VIDEO), 0,
               TBS_SDP_OTHER_PROTOCOL);
    answer_raw(tbs_bytes(NULL, 0), 0, TBS_SDP_NO_KEY_MGMT);
    /* KMPIDs are case sensitive (RFC 4567 3). */
    raw_offer(HEAD "a=key-mgmt:MIKEY abcd\r\n" AUDIO, TBS_SDP_SESSION, TBS_SDP_OTHER_PROTOCOL);
}

/* RFC 4567 3.1, 4.1.2: several protocols are alternatives, MIKEY is there once; one is chosen. */
static void mikey_stands_there_once(void **state)
{
    (void)state;
    offer(HEAD "a=key-mgmt:keyp1 abcd\r\n" AUDIO, TBS_SDP_SESSION, 2, 0, 0);
    raw_offer(HEAD "a=key-mgmt:mikey abcd\r\na=key-mgmt:mikey abcd\r\n" AUDIO, TBS_SDP_SESSION,
              TBS_SDP_REPEATED);
    answer(HEAD "a=key-mgmt:keyp1 abcd\r\n" AUDIO VIDEO, TBS_SDP_REPEATED);
}

/* RFC 4567 3.1: what stands at an m line overrides what stands at session level. */
static void key_mgmt_cannot_be_moved(void **state)
{
    (void)state;
    struct tbs_buf at_media TBS_BUF_AUTO = with_mikey(HEAD AUDIO VIDEO, 0, 4);
    struct tbs_buf at_session TBS_BUF_AUTO = with_mikey(HEAD AUDIO VIDEO, TBS_SDP_SESSION, 2);
    struct tbs_diag diag;

    judge(tbs_sdp_check_offer(tbs_buf_view(&at_media), TBS_SDP_SESSION, 0, &diag), &diag,
          TBS_SDP_MOVED);
    judge(tbs_sdp_check_offer(tbs_buf_view(&at_media), 0, 0, &diag), &diag, TBS_SDP_MOVED);
    judge(tbs_sdp_check_offer(tbs_buf_view(&at_session), 0, 0, &diag), &diag, TBS_SDP_MOVED);
    judge(tbs_sdp_check_offer(tbs_buf_view(&at_session), TBS_SDP_SESSION, 0, &diag), &diag,
          TBS_SDP_NOT_COVERED);
    answer_raw(tbs_buf_view(&at_media), 0, TBS_SDP_MOVED);
    /* Another protocol, slipped in below the session's. */
    offer(HEAD AUDIO "a=key-mgmt:keyp1 abcd\r\n" VIDEO, TBS_SDP_SESSION, 4, 0, TBS_SDP_MOVED);
    answer(HEAD AUDIO VIDEO "a=key-mgmt:keyp1 abcd\r\n", TBS_SDP_MOVED);
}

/* RFC 4567 5.2: RTP/AVP says that there is no protection, whatever stands at session level. */
static void srtp_cannot_become_rtp(void **state)
{
    (void)state;
    static const char *const transports[] = {"RTP/AVP",     "RTP/AVPF", "udp",
                                             "TCP/RTP/AVP", "rtp/savp", ""};
    char sdp[400];

    for (size_t i = 0; i < sizeof transports / sizeof *transports; i++) {
        snprintf(sdp, sizeof sdp, HEAD AUDIO "m=video 4002 %s 31\r\n", transports[i]);
        offer(sdp, TBS_SDP_SESSION, 4, TBS_SDP_ALLOW_CLEAR | TBS_SDP_ALLOW_OTHER_KEYS,
              TBS_SDP_CLEAR);
        answer(sdp, TBS_SDP_CLEAR);
    }
    offer(HEAD "m=audio 4000\r\n", TBS_SDP_SESSION, 2, 0, TBS_SDP_CLEAR);
    /* RFC 3264 6.1: the answer's transport is the offer's. */
    answer(HEAD AUDIO "m=video 4002 RTP/SAVP 31\r\n", TBS_SDP_PROFILE);
}

/* RFC 4567 7.1: two crypto sessions for each m line; the message's MAC protects which. */
static void each_stream_has_keys(void **state)
{
    (void)state;
    const char *mixed = HEAD AUDIO "m=video 4002 RTP/AVP 31\r\n";

    offer(mixed, TBS_SDP_SESSION, 2, 0, TBS_SDP_NOT_COVERED);
    offer(mixed, TBS_SDP_SESSION, 2, TBS_SDP_ALLOW_CLEAR, 0);
    offer(mixed, 0, 2, 0, 0); /* RFC 4567 5.2: the message is for the audio only */
    offer(HEAD AUDIO VIDEO, TBS_SDP_SESSION, 2, TBS_SDP_ALLOW_CLEAR, TBS_SDP_NOT_COVERED);
}

/* RFC 4568 7.5: never both in an answer; in an offer the key of a=crypto is for all to read. */
static void no_other_keys_come_beside_mikey(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum tbs_sdp_fault fault;
    } keys[] = {
        {"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
         TBS_SDP_CRYPTO},
        {"a=fingerprint:sha-256 12:DF:3E:5D:49:6B:19:E5", TBS_SDP_DTLS},
        {"k=clear:secret", TBS_SDP_OTHER_KEYS},
        {"a=zrtp-hash:1.10 fe30efd02423cb05", TBS_SDP_OTHER_KEYS},
        {"a=pcfg:1 t=1", TBS_SDP_OTHER_KEYS},
        {"a=acfg:1 t=1", TBS_SDP_OTHER_KEYS},
    };
    char sdp[500];

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(sdp, sizeof sdp, HEAD AUDIO "%s\r\n" VIDEO, keys[i].line);
        offer(sdp, TBS_SDP_SESSION, 4, 0, keys[i].fault);
        offer(sdp, TBS_SDP_SESSION, 4, TBS_SDP_ALLOW_OTHER_KEYS, 0);
        answer(sdp, keys[i].fault);
        snprintf(sdp, sizeof sdp, HEAD "%s\r\n" AUDIO VIDEO, keys[i].line);
        offer(sdp, TBS_SDP_SESSION, 4, 0, keys[i].fault);
        answer(sdp, keys[i].fault);
    }
    snprintf(sdp, sizeof sdp, HEAD AUDIO "m=video 4002 UDP/TLS/RTP/SAVPF 31\r\n");
    offer(sdp, TBS_SDP_SESSION, 4, TBS_SDP_ALLOW_OTHER_KEYS, TBS_SDP_DTLS);
    answer(sdp, TBS_SDP_DTLS);
}

/* RFC 3264 6: the same m lines in the same order. */
static void an_answer_has_the_streams_of_the_offer(void **state)
{
    (void)state;
    answer(HEAD AUDIO, TBS_SDP_MEDIA);
    answer(HEAD AUDIO VIDEO "m=audio 4 RTP/SAVP 0\r\n", TBS_SDP_MEDIA);
    answer(HEAD "m=video 4000 RTP/SAVP 96\r\n" VIDEO, TBS_SDP_MEDIA);
}

static void what_cannot_be_judged_is_refused(void **state)
{
    (void)state;
    struct tbs_buf many TBS_BUF_AUTO = tbs_buf();
    struct tbs_diag diag;

    tbs_put_bytes(&many, tbs_bytes_str(HEAD "a=key-mgmt:mikey AAAA\r\n"));
    assert_int_equal(tbs_sdp_check_offer(tbs_buf_view(&many), TBS_SDP_SESSION, 0, &diag),
                     TBS_ERR_MALFORMED);
    assert_int_equal(tbs_sdp_check_offer(tbs_buf_view(&many), 0, 0, &diag), TBS_ERR_NOT_FOUND);
    for (int i = 0; i <= TBS_SDP_MEDIA_MAX; i++)
        tbs_put_bytes(&many, tbs_bytes_str("m=audio 1 RTP/SAVP 0\r\n"));
    assert_int_equal(tbs_sdp_check_offer(tbs_buf_view(&many), TBS_SDP_SESSION, 0, &diag),
                     TBS_ERR_LIMIT);
}

/* RFC 4567 4.1.4: the whole list, in its order, even of one protocol, is under the MAC. */
static void accept(const char *in_message, const char *in_sdp, enum tbs_err want)
{
    const struct tbs_key_wish tgk = {.kind = TBS_TGK};
    const struct call_wish wish = {.flags = FLAGS, .keys = &tgk, .n_keys = 1};
    const struct tbs_crypto_session cs = {.id = 1};
    struct tbs_credential bob = call_credential(CALL_BOB, false);
    struct tbs_acceptance acceptance = {.sdp_ids = in_sdp};
    struct tbs_transfer *transfer;
    struct tbs_offer *o = NULL;
    struct call call;

    call_tickets(&call, &wish);
    assert_int_equal(tbs_transfer_begin(call.ticket, CALL_BOB, &cs, 1, in_message,
                                        call_clock(&call), &transfer, &call.diag),
                     TBS_OK);
    assert_int_equal(tbs_accept(&bob, &acceptance, tbs_transfer_octets(transfer), call_clock(&call),
                                &o, &call.diag),
                     want);
    tbs_offer_free(o);
    tbs_transfer_free(transfer);
    call_free(&call);
}

static void the_list_of_protocols_is_protected(void **state)
{
    (void)state;
    accept("mikey", "mikey", TBS_OK);
    accept("mikey;keyp1", "mikey;keyp1", TBS_OK);
    accept("mikey;keyp1", "mikey", TBS_ERR_AUTH);       /* peeled off */
    accept("mikey", "mikey;keyp1", TBS_ERR_AUTH);       /* added */
    accept("mikey;keyp1", "keyp1;mikey", TBS_ERR_AUTH); /* another order */
    accept(NULL, "mikey", TBS_ERR_AUTH);                /* left out */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_as_it_should_be_passes),
        cmocka_unit_test(key_mgmt_cannot_be_taken_away),
        cmocka_unit_test(mikey_stands_there_once),
        cmocka_unit_test(key_mgmt_cannot_be_moved),
        cmocka_unit_test(srtp_cannot_become_rtp),
        cmocka_unit_test(each_stream_has_keys),
        cmocka_unit_test(no_other_keys_come_beside_mikey),
        cmocka_unit_test(an_answer_has_the_streams_of_the_offer),
        cmocka_unit_test(what_cannot_be_judged_is_refused),
        cmocka_unit_test(the_list_of_protocols_is_protected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
