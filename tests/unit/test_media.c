/* What tbs-media makes of octets from outside: RTP, RTCP, capture files, and streams that come
 * in another order or go round with their numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "tools/tbs-media/capture.h"
#include "tools/tbs-media/rtp.h"
#include "tools/tbs-media/srtp_context.h"
#include "tools/tbs-media/stream.h"

static char dir[64], wav[80], pcap[80];

static struct rtp_packet packet(uint16_t seq, uint32_t timestamp, struct tbs_bytes payload)
{
    return (struct rtp_packet){96, seq, timestamp, 0xca3032b4, payload};
}

/* --- RTP and RTCP --- */

#define HEADER "\x80\xe0\x12\x34\1\2\3\4\xca\x30\x32\xb4"

static void rtp_is_read_without_what_surrounds_the_payload(void **state)
{
    (void)state;
    static const char full[] = "\xb2\xe0\x12\x34\1\2\3\4\xca\x30\x32\xb4" /* P, X, 2 CSRCs */
                               "CSRCcsrc\xbe\xde\0\1ext.sound\0\0\3";
    struct rtp_packet p;

    assert_true(rtp_parse(tbs_bytes(full, sizeof full - 1), &p));
    assert_int_equal(p.payload_type, 96);
    assert_int_equal(p.seq, 0x1234);
    assert_int_equal(p.timestamp, 0x01020304);
    assert_int_equal(p.ssrc, 0xca3032b4);
    assert_true(tbs_bytes_equal(p.payload, tbs_bytes_str("sound")));
    for (size_t len = 0; len < 12 + 8 + 8; len++)
        assert_false(rtp_parse(tbs_bytes(full, len), &p));
    assert_true(rtp_parse(tbs_bytes(HEADER, 12), &p));
    assert_int_equal(p.payload.len, 0);
}

static void what_is_not_rtp_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *octets;
        size_t len;
    } wrong[] = {
        {"\x40\xe0\x12\x34\1\2\3\4\xca\x30\x32\xb4", 12},        /* version 1 */
        {"\xa0\xe0\x12\x34\1\2\3\4\xca\x30\x32\xb4", 12},        /* padding: 180 octets of none */
        {"\xa0\xe0\x12\x34\1\2\3\4\xca\x30\x32\xb4x\0", 14},     /* padding of 0 octets */
        {"\xa0\xe0\x12\x34\1\2\3\4\xca\x30\x32\xb4x\3", 14},     /* more than there is */
        {"\x90\xe0\x12\x34\1\2\3\4\xca\x30\x32\xb4\0\0\0\1", 16} /* an extension that is cut */
    };
    struct rtp_packet p;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(rtp_parse(tbs_bytes(wrong[i].octets, wrong[i].len), &p));
}

static void a_bye_is_found_in_its_compound(void **state)
{
    (void)state;
    struct rtcp_sender sender = {.ssrc = 0xca3032b4, .cname = "cname"};
    struct tbs_buf b TBS_BUF_AUTO = tbs_buf();

    for (size_t n = 0; n < 6; n++) { /* every length of the last word */
        sender.cname = &"cname"[n];
        tbs_buf_reset(&b);
        rtcp_put_bye(&b, &sender);
        assert_false(b.failed);
        assert_int_equal(b.len % 4, 0);
        assert_true(rtp_is_rtcp(tbs_buf_view(&b)));
        assert_true(rtcp_says_bye(tbs_buf_view(&b), 0xca3032b4));
        assert_false(rtcp_says_bye(tbs_buf_view(&b), 0xca3032b5));
        for (size_t len = 0; len < b.len; len++)
            assert_false(rtcp_says_bye(tbs_bytes(b.data, len), 0xca3032b4));
    }
    tbs_buf_patch_u8(&b, b.len - 8, 0x80); /* BYE of nobody */
    assert_false(rtcp_says_bye(tbs_buf_view(&b), 0xca3032b4));
    assert_false(rtp_is_rtcp(tbs_bytes(HEADER, 12)));
    assert_false(rtp_is_rtcp(tbs_bytes("\x80", 1)));
}

/* --- Streams --- */

static const uint8_t master[46] = "a master key of 32 octets, and...a salt of 14";

static struct tbs_traffic traffic(void)
{
    return (struct tbs_traffic){
        .cs_id = 1,
        .srtp = TBS_SRTP_AES_256_CM_HMAC_SHA1_80,
        .ssrc = 0xca3032b4,
        .master_key = tbs_bytes(master, 32),
        .master_salt = tbs_bytes(master + 32, 14),
        .mki = tbs_bytes("\x01\xff", 2),
    };
}

/* The two ends of one. */
struct ends {
    srtp_t sender;
    struct wav_writer *out;
    struct stream *stream;
};

static int start_stream(void **state)
{
    static struct ends ends;
    struct tbs_traffic t = traffic();

    *state = &ends;
    return srtp_context_new(&t, &ends.sender, NULL) || wav_create(wav, 8000, &ends.out, NULL) ||
           stream_new(&t, 96, ends.out, &ends.stream, NULL);
}

static int stop_stream(void **state)
{
    struct ends *ends = *state;

    srtp_dealloc(ends->sender);
    stream_free(ends->stream);
    wav_free(ends->out);
    return 0;
}

/* A protected packet with one frame, whose value is `frame`. */
static struct tbs_buf protected_frame(struct ends *ends, uint16_t seq, uint32_t timestamp,
                                      uint16_t frame)
{
    uint8_t payload[2] = {(uint8_t)(frame >> 8), (uint8_t)frame};
    struct rtp_packet p = packet(seq, timestamp, tbs_bytes(payload, 2));
    struct tbs_buf b = tbs_buf();
    int len;

    rtp_put(&b, &p);
    len = (int)b.len;
    tbs_put_zeros(&b, SRTP_MAX_TRAILER_LEN);
    assert_int_equal(srtp_protect_mki(ends->sender, b.data, &len, true, 0), srtp_err_status_ok);
    b.len = (size_t)len;
    return b;
}

static bool take(struct ends *ends, struct tbs_bytes datagram)
{
    bool authentic = false;

    assert_int_equal(stream_take(ends->stream, datagram, &authentic, NULL), TBS_OK);
    return authentic;
}

static void send_frame(struct ends *ends, uint16_t seq, uint32_t timestamp, uint16_t frame)
{
    struct tbs_buf b TBS_BUF_AUTO = protected_frame(ends, seq, timestamp, frame);

    assert_true(take(ends, tbs_buf_view(&b)));
}

static void assert_heard(struct ends *ends, const short *frames, size_t n)
{
    struct wav_reader reader;
    short heard[16];
    size_t n_heard;

    assert_int_equal(stream_finish(ends->stream, NULL), TBS_OK);
    assert_int_equal(wav_finish(ends->out, NULL), TBS_OK);
    assert_int_equal(wav_open(wav, &reader, NULL), TBS_OK);
    assert_int_equal(reader.rate, 8000);
    assert_int_equal(wav_read(&reader, heard, 16, &n_heard, NULL), TBS_OK);
    wav_close(&reader);
    assert_int_equal(n_heard, n);
    assert_memory_equal(heard, frames, n * sizeof *frames);
}

static void numbers_go_round_out_of_order(void **state)
{
    struct ends *ends = *state;
    struct tbs_buf b[6];
    static const int order[] = {1, 0, 3, 2, 5, 4};

    for (uint16_t i = 0; i < 6; i++) /* both numbers pass zero at the fourth */
        b[i] = protected_frame(ends, (uint16_t)(65533 + i), 0xfffffffdu + i, (uint16_t)(i + 1));
    for (size_t i = 0; i < 6; i++)
        assert_true(take(ends, tbs_buf_view(&b[order[i]])));
    for (size_t i = 0; i < 6; i++) {
        assert_false(take(ends, tbs_buf_view(&b[i])));
        tbs_buf_free(&b[i]);
    }
    assert_heard(ends, (short[]){1, 2, 3, 4, 5, 6}, 6);
    struct stream_report r = stream_report(ends->stream);
    assert_int_equal(r.packets, 6);
    assert_int_equal(r.octets, 12);
    assert_int_equal(r.lost, 0);
    assert_int_equal(r.replayed, 6);
}

static void silence_stands_for_what_is_missing(void **state)
{
    struct ends *ends = *state;

    send_frame(ends, 10, 100, 1);
    send_frame(ends, 12, 102, 2); /* 11 is lost */
    send_frame(ends, 13, 105, 3); /* nobody spoke for two frames */
    assert_heard(ends, (short[]){1, 0, 2, 0, 0, 3}, 6);
    struct stream_report r = stream_report(ends->stream);
    assert_int_equal(r.packets, 3);
    assert_int_equal(r.lost, 1);
}

static void time_does_not_go_back(void **state)
{
    struct ends *ends = *state;

    send_frame(ends, 10, 100, 1);
    send_frame(ends, 11, 99, 2);
    send_frame(ends, 12, 101, 3);
    assert_heard(ends, (short[]){1, 3}, 2);
    assert_int_equal(stream_report(ends->stream).other, 1);
}

static void sound_has_an_end(void **state)
{
    struct ends *ends = *state;
    struct tbs_diag diag = {0};

    send_frame(ends, 10, 100, 1);
    send_frame(ends, 11, 100 + (1u << 27), 2);
    assert_int_equal(stream_finish(ends->stream, &diag), TBS_ERR_LIMIT);
    assert_non_null(strstr(diag.text, "longer than"));
}

static void what_is_not_of_the_stream_is_counted(void **state)
{
    struct ends *ends = *state;
    struct tbs_buf b TBS_BUF_AUTO = protected_frame(ends, 10, 100, 1);

    for (size_t len = 0; len < b.len; len++)
        assert_false(take(ends, tbs_bytes(b.data, len)));
    for (size_t i = 0; i < b.len; i++) {
        b.data[i] ^= 1;
        assert_false(take(ends, tbs_buf_view(&b)));
        b.data[i] ^= 1;
    }
    struct stream_report r = stream_report(ends->stream);
    assert_false(r.authentic);
    assert_int_equal(r.authentication_failures + r.other, 2 * b.len);
    assert_true(r.authentication_failures > b.len);
    assert_true(take(ends, tbs_buf_view(&b)));
    assert_heard(ends, (short[]){1}, 1);
}

/* --- Captures --- */

static struct tbs_buf found;

static enum tbs_err keep(void *ctx, struct tbs_bytes datagram, struct tbs_diag *diag)
{
    (void)ctx, (void)diag;
    tbs_put_bytes(&found, datagram);
    tbs_put_u8(&found, '.');
    return TBS_OK;
}

static void put_le32(FILE *f, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        fputc((int)(v >> 8 * i & 0xff), f);
}

/* A file with one frame, of which `len` octets were kept. */
static void write_pcap(uint32_t link, const char *frame, size_t len, size_t whole)
{
    FILE *f = fopen(pcap, "w");

    assert_non_null(f);
    put_le32(f, 0xa1b2c3d4);
    put_le32(f, 4 << 16 | 2);
    put_le32(f, 0);
    put_le32(f, 0);
    put_le32(f, 65535);
    put_le32(f, link);
    put_le32(f, 0);
    put_le32(f, 0);
    put_le32(f, (uint32_t)len);
    put_le32(f, (uint32_t)whole);
    fwrite(frame, 1, len, f);
    assert_int_equal(fclose(f), 0);
}

static void assert_found(const char *want)
{
    found = tbs_buf();
    assert_int_equal(capture_read(pcap, keep, NULL, NULL), TBS_OK);
    if (!tbs_bytes_equal(tbs_buf_view(&found), tbs_bytes_str(want)))
        fail_msg("found '%.*s', not '%s'", (int)found.len, (const char *)found.data, want);
    tbs_buf_free(&found);
}

static void assert_unreadable(enum tbs_err want, const char *sentence)
{
    struct tbs_diag diag = {0};

    assert_int_equal(capture_read(pcap, keep, NULL, &diag), want);
    if (!strstr(diag.text, sentence))
        fail_msg("'%s' instead of '%s'", diag.text, sentence);
}

#define IPV4(total, fragment, protocol)                                                            \
    "\x45\0\0" total "\0\0" fragment "\x40" protocol "\0\0\x7f\0\0\1\x7f\0\0\1"
#define UDP(len) "\x9c\x40\x13\x8c\0" len "\0\0"
#define ETHERNET "\2\2\2\2\2\2\4\4\4\4\4\4\x08\0"
#define FINE IPV4("\x21", "\0\0", "\x11") UDP("\x0d") "sound"

static void datagrams_are_found_in_captures(void **state)
{
    (void)state;
    static const struct {
        uint32_t link;
        const char *frame;
        size_t len;
        const char *found;
    } cases[] = {
        {101, FINE, sizeof FINE - 1, "sound."},
        {228, FINE, sizeof FINE - 1, "sound."},
        {1, ETHERNET FINE "padding", sizeof ETHERNET FINE "padding" - 1, "sound."},
        {113, "0123456789abcdef" FINE, 16 + sizeof FINE - 1, "sound."},
        {276, "0123456789abcdef0123" FINE, 20 + sizeof FINE - 1, "sound."},
        {101, "\x46\0\0\x25\0\0\0\0\x40\x11\0\0\x7f\0\0\1\x7f\0\0\1\1\1\1\1" UDP("\x0d") "sound",
         24 + 8 + 5, "sound."},
        {101,
         "\x60\0\0\0\0\x0d\x11\x40"
         "0123456789abcdef0123456789abcdef" UDP("\x0d") "sound",
         40 + 8 + 5, "sound."},
        {101,
         "\x60\0\0\0\0\x0d\x2c\x40"
         "0123456789abcdef0123456789abcdef" UDP("\x0d") "sound",
         40 + 8 + 5, ""},                                                  /* fragment header */
        {101, FINE, sizeof FINE - 2, ""},                                  /* IP says more */
        {101, IPV4("\x21", "\x20\0", "\x11") UDP("\x0d") "sound", 33, ""}, /* first fragment */
        {101, IPV4("\x21", "\0\1", "\x11") UDP("\x0d") "sound", 33, ""},   /* another one */
        {101, IPV4("\x21", "\0\0", "\x06") UDP("\x0d") "sound", 33, ""},   /* TCP */
        {101, IPV4("\x21", "\0\0", "\x11") UDP("\x0e") "sound", 33, ""},   /* UDP says more */
        {101, IPV4("\x21", "\0\0", "\x11") UDP("\x07") "sound", 33, ""},   /* or less than itself */
        {101, IPV4("\x13", "\0\0", "\x11") UDP("\x0d") "sound", 33, ""},   /* so does IP */
        {101, IPV4("\x21", "\0\0", "\x11") UDP("\x08") "sound", 33, "."},
        {101, "\x15", 1, ""},
        {101, "", 0, ""},
        {1, ETHERNET, sizeof ETHERNET - 1, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_pcap(cases[i].link, cases[i].frame, cases[i].len, cases[i].len);
        assert_found(cases[i].found);
    }
}

static void captures_that_cannot_be_read_are_refused(void **state)
{
    (void)state;
    write_pcap(101, FINE, 20, 33);
    assert_unreadable(TBS_ERR_UNSUPPORTED, "cut packets");
    write_pcap(105, FINE, 33, 33);
    assert_unreadable(TBS_ERR_UNSUPPORTED, "link type 105");
    write_pcap(101, FINE, 33, 33);
    assert_int_equal(truncate(pcap, 24 + 16 + 20), 0);
    assert_unreadable(TBS_ERR_MALFORMED, "truncated");
    assert_int_equal(truncate(pcap, 10), 0);
    assert_unreadable(TBS_ERR_IO, "cannot read the capture");
    unlink(pcap);
    assert_unreadable(TBS_ERR_IO, "No such file");
}

static void what_is_saved_is_found_again(void **state)
{
    (void)state;
    static const char *const addresses[][2] = {{"192.0.2.1:5004", "192.0.2.2:5006"},
                                               {"[2001:db8::1]:5004", "[2001:db8::2]:5006"}};

    for (size_t i = 0; i < 2; i++) {
        struct address from, to;
        struct capture *capture;

        assert_int_equal(address_parse(addresses[i][0], &from, NULL), TBS_OK);
        assert_int_equal(address_parse(addresses[i][1], &to, NULL), TBS_OK);
        assert_int_equal(capture_create(pcap, &capture, NULL), TBS_OK);
        assert_int_equal(capture_add(capture, &from, &to, tbs_bytes_str("sound"), NULL), TBS_OK);
        assert_int_equal(capture_add(capture, &from, &to, tbs_bytes_str(""), NULL), TBS_OK);
        assert_int_equal(capture_finish(capture, NULL), TBS_OK);
        capture_free(capture);
        assert_found("sound..");
    }
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/tbs-media-XXXXXX");
    if (!mkdtemp(dir) || srtp_init() != srtp_err_status_ok)
        return -1;
    snprintf(wav, sizeof wav, "%s/sound.wav", dir);
    snprintf(pcap, sizeof pcap, "%s/call.pcap", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(wav);
    unlink(pcap);
    srtp_shutdown();
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtp_is_read_without_what_surrounds_the_payload),
        cmocka_unit_test(what_is_not_rtp_is_refused),
        cmocka_unit_test(a_bye_is_found_in_its_compound),
        cmocka_unit_test_setup_teardown(numbers_go_round_out_of_order, start_stream, stop_stream),
        cmocka_unit_test_setup_teardown(silence_stands_for_what_is_missing, start_stream,
                                        stop_stream),
        cmocka_unit_test_setup_teardown(time_does_not_go_back, start_stream, stop_stream),
        cmocka_unit_test_setup_teardown(sound_has_an_end, start_stream, stop_stream),
        cmocka_unit_test_setup_teardown(what_is_not_of_the_stream_is_counted, start_stream,
                                        stop_stream),
        cmocka_unit_test(datagrams_are_found_in_captures),
        cmocka_unit_test(captures_that_cannot_be_read_are_refused),
        cmocka_unit_test(what_is_saved_is_found_again),
    };
    alarm(20);
    return cmocka_run_group_tests_name("media", tests, make_dir, remove_dir);
}
