/* tbs-media send: a WAV file as SRTP, at the pace at which it sounds. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/private_file.h"
#include "tools/tbs-media/media.h"
#include "tools/tbs-media/rtp.h"
#include "tools/tbs-media/srtp_context.h"
#include "tools/tbs-media/udp.h"
#include "tools/tbs-media/wav.h"

#define PACKETS_PER_SECOND 50
#define PACKET_NS (1000000000 / PACKETS_PER_SECOND)
#define RATE_MIN 8000
#define RATE_MAX 32000 /* at more, a packet would not fit an Ethernet frame */
#define FRAMES_MAX (RATE_MAX / PACKETS_PER_SECOND)
#define BYES 3 /* one might be lost */

enum option_key { KEY_TO = 512, KEY_FROM };

struct send_options {
    struct session_options session;
    struct address to, from; /* len 0: not given */
    const char *wav;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct send_options *options = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->session;
        return 0;
    case KEY_TO:
        options->to = option_address(state, "--to", arg);
        return 0;
    case KEY_FROM:
        options->from = option_address(state, "--from", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (options->wav)
            argp_error(state, "one WAV file, not '%s' as well", arg);
        options->wav = arg;
        return 0;
    case ARGP_KEY_END:
        if (!options->wav || options->to.len == 0)
            argp_error(state, "--to and a WAV file are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"to", KEY_TO, "ADDR:PORT", 0, "send there", 1},
            {"from", KEY_FROM, "ADDR:PORT", 0, "send from here (default: as the system chooses)",
             1},
            {0},
        },
    .parser = parse_option,
    .children = (const struct argp_child[]){{&session_argp, 0, NULL, 0}, {0}},
    .args_doc = "FILE.wav",
    .doc = "Sends the sound of a WAV file (one channel, 16 bits, 8000 to 32000 Hz) as L16 in SRTP, "
           "in packets of 20 ms, and then BYE. A crypto session sends once: the file "
           "FILE.csN.sent beside the keys notes it.\v"
           "Example:\n"
           "  tbs-media send --keys alice.keys --cs 1 --to 127.0.0.1:5004 hello.wav\n\n"
           "Exit status: 0 sent, 1 failed, 2 usage.",
};

/* What sends the packets. */
struct sender {
    const struct send_options *options;
    struct wav_reader wav;
    srtp_t srtp;
    int fd;
    struct rtp_packet packet; /* the next one */
    uint64_t packets, octets;
    struct timespec due; /* of the next packet, on the monotonic clock */
};

static enum tbs_err open_sound(struct sender *s, struct tbs_diag *diag)
{
    enum tbs_err err = wav_open(s->options->wav, &s->wav, diag);

    if (!err &&
        (s->wav.rate < RATE_MIN || s->wav.rate > RATE_MAX || s->wav.rate % PACKETS_PER_SECOND != 0))
        err = tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                       "%.180s has %d Hz; %d to %d can be sent, in steps of %d", s->options->wav,
                       s->wav.rate, RATE_MIN, RATE_MAX, PACKETS_PER_SECOND);
    return err;
}

/* Random starts, RFC 3550 5.1; the sequence number in the lower half, so that a loss of the
 * first packets does not mislead about its rounds (RFC 3711 3.3.1). */
static enum tbs_err choose_starts(struct rtp_packet *p, struct tbs_diag *diag)
{
    if (RAND_bytes((unsigned char *)&p->seq, sizeof p->seq) != 1 ||
        RAND_bytes((unsigned char *)&p->timestamp, sizeof p->timestamp) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL has no random octets");
    p->seq &= 0x7fff;
    return TBS_OK;
}

/* Two streams with the same keys and SSRC would have the same key stream (RFC 3711 9.1). */
static enum tbs_err note_use(const struct session_options *session, struct tbs_diag *diag)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s.cs%u.sent", session->keys, session->cs_id);
    enum tbs_err err = len < (int)sizeof path
                           ? private_file_write(path, tbs_bytes(NULL, 0), diag)
                           : tbs_fail(diag, TBS_ERR_LIMIT, "the path of the keys is too long");

    if (err == TBS_ERR_EXISTS)
        return tbs_fail(diag, err,
                        "crypto session %u has sent before, as %.180s notes: a second stream with "
                        "its keys would lay both open; agree on new keys",
                        session->cs_id, path);
    return err;
}

static enum tbs_err set_up(struct sender *s, const struct tbs_traffic *traffic,
                           struct tbs_diag *diag)
{
    const struct send_options *o = s->options;
    enum tbs_err err = open_sound(s, diag);

    s->packet.payload_type = o->session.payload_type;
    s->packet.ssrc = traffic->ssrc;
    if (!err)
        err = choose_starts(&s->packet, diag);
    if (!err)
        err = srtp_context_new(traffic, &s->srtp, diag);
    if (!err)
        err = udp_socket(o->from.len ? &o->from : NULL, &o->to, &s->fd, diag);
    return err ? err : note_use(&o->session, diag);
}

static void wait_for_turn(struct sender *s)
{
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &s->due, NULL) == EINTR)
        ;
    s->due.tv_nsec += PACKET_NS;
    if (s->due.tv_nsec >= 1000000000) {
        s->due.tv_nsec -= 1000000000;
        s->due.tv_sec++;
    }
}

/* Protects b in place and sends it when its time has come. */
static enum tbs_err send_protected(struct sender *s,
                                   srtp_err_status_t (*how)(srtp_t, void *, int *, unsigned use_mki,
                                                            unsigned index),
                                   struct tbs_buf *b, struct tbs_diag *diag)
{
    int len = (int)b->len;
    srtp_err_status_t status;

    tbs_put_zeros(b, SRTP_MAX_TRAILER_LEN + 4); /* 4: the index of SRTCP */
    if (b->failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    status = how(s->srtp, b->data, &len, true, 0);
    if (status != srtp_err_status_ok)
        return tbs_fail_raw(diag, TBS_ERR_CRYPTO, status,
                            "libsrtp does not protect a packet (status %d)", (int)status);
    wait_for_turn(s);
    if (send(s->fd, b->data, (size_t)len, 0) == len)
        return TBS_OK;
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot send: %s%s",
                        strerror(errno), errno == ECONNREFUSED ? " (nobody receives there)" : "");
}

static enum tbs_err send_frames(struct sender *s, const short *frames, size_t n,
                                struct tbs_diag *diag)
{
    struct tbs_buf payload TBS_BUF_AUTO = tbs_buf(), b TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err;

    for (size_t i = 0; i < n; i++)
        tbs_put_u16(&payload, (uint16_t)frames[i]);
    s->packet.payload = tbs_buf_view(&payload);
    rtp_put(&b, &s->packet);
    b.failed |= payload.failed;
    err = send_protected(s, srtp_protect_mki, &b, diag);
    s->packet.payload = tbs_bytes(NULL, 0);
    s->packet.seq++;
    s->packet.timestamp += (uint32_t)n;
    s->packets++;
    s->octets += 2 * n;
    return err;
}

static enum tbs_err send_sound(struct sender *s, struct tbs_diag *diag)
{
    short frames[FRAMES_MAX];
    size_t n = 0;
    enum tbs_err err;

    do {
        err = wav_read(&s->wav, frames, (size_t)(s->wav.rate / PACKETS_PER_SECOND), &n, diag);
        if (!err && n > 0)
            err = send_frames(s, frames, n, diag);
    } while (!err && n > 0);
    if (!err && s->packets == 0)
        err = tbs_fail(diag, TBS_ERR_INVALID, "%.180s holds no sound", s->options->wav);
    return err;
}

static enum tbs_err send_bye(struct sender *s, const char *cname, struct tbs_diag *diag)
{
    struct tbs_buf b TBS_BUF_AUTO = tbs_buf();
    struct rtcp_sender sender = {
        .ssrc = s->packet.ssrc,
        .cname = cname,
        .ntp = tbs_ntp_now(tbs_clock_system()),
        .timestamp = s->packet.timestamp,
        .packets = (uint32_t)s->packets,
        .octets = (uint32_t)s->octets,
    };

    rtcp_put_bye(&b, &sender);
    return send_protected(s, srtp_protect_rtcp_mki, &b, diag);
}

/* A receiver may leave at the first one, so that the others find nobody. */
static enum tbs_err send_byes(struct sender *s, struct tbs_diag *diag)
{
    unsigned char random[12]; /* RFC 7022 4.2 */
    char cname[2 * sizeof random + 1];
    enum tbs_err err = TBS_OK;

    if (RAND_bytes(random, sizeof random) != 1 ||
        OPENSSL_buf2hexstr_ex(cname, sizeof cname, NULL, random, sizeof random, '\0') != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL has no random octets");
    for (int i = 0; !err && i < BYES; i++) {
        err = send_bye(s, cname, diag);
        if (i > 0 && err == TBS_ERR_IO && diag->raw == ECONNREFUSED)
            err = TBS_OK;
    }
    return err;
}

static enum tbs_err send_all(struct sender *s, const struct tbs_traffic *traffic,
                             struct tbs_diag *diag)
{
    enum tbs_err err = set_up(s, traffic, diag);

    clock_gettime(CLOCK_MONOTONIC, &s->due);
    if (!err)
        err = send_sound(s, diag);
    if (!err)
        err = send_byes(s, diag);
    wav_close(&s->wav);
    if (s->srtp)
        srtp_dealloc(s->srtp);
    if (s->fd >= 0)
        close(s->fd);
    return err;
}

static bool print_summary(const struct sender *s)
{
    return printf(s->options->session.json ? "{\"packets\":%" PRIu64 ",\"octets\":%" PRIu64 "}\n"
                                           : "%" PRIu64 " packets, %" PRIu64
                                             " octets of sound sent\n",
                  s->packets, s->octets) > 0 &&
           fflush(stdout) == 0;
}

int cmd_send(int argc, char **argv)
{
    struct send_options options = {0};
    struct sender sender = {.options = &options, .fd = -1};
    struct session_keys keys SESSION_KEYS_AUTO = {0};
    const struct tbs_traffic *traffic;
    struct tbs_diag diag = {0};
    enum tbs_err err;

    argp_parse(&argp, argc, argv, 0, NULL, &options);
    err = load_session(&options.session, &keys, &traffic, &diag);
    if (!err)
        err = send_all(&sender, traffic, &diag);
    if (!err && !print_summary(&sender))
        err = tbs_fail(&diag, TBS_ERR_IO, "cannot write to standard output");
    if (!err)
        return EXIT_OK;
    fprintf(stderr, "%s: %s\n", argv[0], diag.text);
    return EXIT_FAILED;
}
