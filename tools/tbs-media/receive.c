/* tbs-media receive: sound from SRTP, as it arrives. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/tbs-media/capture.h"
#include "tools/tbs-media/media.h"
#include "tools/tbs-media/stream.h"
#include "tools/tbs-media/summary.h"
#include "tools/tbs-media/udp.h"

#define IDLE 10 /* seconds */

enum option_key { KEY_LISTEN = 512, KEY_IDLE, KEY_SAVE };

struct receive_options {
    struct session_options session;
    struct sound_options sound;
    struct address listen; /* len 0: not given */
    int idle;
    const char *save;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct receive_options *options = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->session;
        state->child_inputs[1] = &options->sound;
        return 0;
    case KEY_LISTEN:
        options->listen = option_address(state, "--listen", arg);
        return 0;
    case KEY_IDLE:
        options->idle = option_number(state, "--idle", arg, 1, 3600);
        return 0;
    case KEY_SAVE:
        options->save = arg;
        return 0;
    case ARGP_KEY_END:
        if (options->listen.len == 0)
            argp_error(state, "--listen is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"listen", KEY_LISTEN, "ADDR:PORT", 0,
             "receive here; port 0: one that is free, which is printed", 1},
            {"idle", KEY_IDLE, "SECONDS", 0,
             "stop when nothing authentic came for so long (default 10)", 1},
            {"save", KEY_SAVE, "FILE.pcap", 0, "keep what arrives, still protected", 1},
            {0},
        },
    .parser = parse_option,
    .children =
        (const struct argp_child[]){{&session_argp, 0, NULL, 0}, {&sound_argp, 0, NULL, 0}, {0}},
    .doc = "Receives a stream of SRTP and writes its sound, until the sender says BYE, nothing "
           "comes any more, or a signal (INT, TERM) asks to stop.\v"
           "Example:\n"
           "  tbs-media receive --keys bob.keys --cs 1 --listen 127.0.0.1:5004 \\\n"
           "      --out heard.wav --save call.pcap\n\n"
           "Exit status: 0 sound was written, 1 failed, 2 usage, 4 packets came, but none could be "
           "authenticated with these keys; then no file is written.",
};

/* What takes the datagrams. */
struct receiver {
    const struct receive_options *options;
    sigset_t waiting; /* the signal mask while we wait, and only then signals come */
    struct address here;
    int fd;
    struct stream *stream;
    struct capture *capture; /* NULL without --save */
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static void catch_signals(sigset_t *ret_waiting)
{
    struct sigaction action = {.sa_handler = stop};
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, ret_waiting);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static enum tbs_err start(struct receiver *r, struct tbs_diag *diag)
{
    char text[ADDRESS_TEXT];
    enum tbs_err err = udp_socket(&r->options->listen, NULL, &r->fd, diag);

    r->here.len = sizeof r->here.any;
    if (!err && getsockname(r->fd, (struct sockaddr *)&r->here.any, &r->here.len) != 0)
        err = tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                           "cannot read a socket's own address: %s", strerror(errno));
    if (!err && r->options->save)
        err = capture_create(r->options->save, &r->capture, diag);
    if (err)
        return err;
    address_format((const struct sockaddr *)&r->here.any, text, sizeof text);
    fprintf(stderr, "listening on %s\n", text);
    return TBS_OK;
}

static enum tbs_err take_one(struct receiver *r, bool *ret_authentic, struct tbs_diag *diag)
{
    static uint8_t octets[DATAGRAM_MAX];
    struct address from = {.len = sizeof from.any};
    ssize_t n = recvfrom(r->fd, octets, sizeof octets, MSG_DONTWAIT, (struct sockaddr *)&from.any,
                         &from.len);
    struct tbs_bytes datagram = tbs_bytes(octets, n > 0 ? (size_t)n : 0);
    enum tbs_err err = TBS_OK;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return TBS_OK;
    if (n < 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot receive: %s",
                            strerror(errno));
    if (r->capture)
        err = capture_add(r->capture, &from, &r->here, datagram, diag);
    return err ? err : stream_take(r->stream, datagram, ret_authentic, diag);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum tbs_err listen_on(struct receiver *r, struct tbs_diag *diag)
{
    struct pollfd poll = {.fd = r->fd, .events = POLLIN};
    int64_t idle = r->options->idle * 1000, end = now_ms() + idle, left;
    enum tbs_err err = TBS_OK;

    while (!err && !stopped && !stream_report(r->stream).bye && (left = end - now_ms()) > 0) {
        struct timespec timeout = {left / 1000, left % 1000 * 1000000};
        bool authentic = false;

        if (ppoll(&poll, 1, &timeout, &r->waiting) == 1)
            err = take_one(r, &authentic, diag);
        if (authentic)
            end = now_ms() + idle;
    }
    if (!err)
        err = stream_finish(r->stream, diag);
    return !err && r->capture ? capture_finish(r->capture, diag) : err;
}

static enum tbs_err receive(struct receiver *r, const struct tbs_traffic *traffic,
                            struct wav_writer *out, struct stream_report *ret_report,
                            struct tbs_diag *diag)
{
    enum tbs_err err = stream_new(traffic, r->options->session.payload_type, out, &r->stream, diag);

    if (!err)
        err = start(r, diag);
    if (!err)
        err = listen_on(r, diag);
    if (!err)
        *ret_report = stream_report(r->stream);
    stream_free(r->stream);
    capture_free(r->capture);
    if (r->fd >= 0)
        close(r->fd);
    return err;
}

int cmd_receive(int argc, char **argv)
{
    struct receive_options options = {.idle = IDLE};
    struct receiver receiver = {.options = &options, .fd = -1};
    struct session_keys keys SESSION_KEYS_AUTO = {0};
    const struct tbs_traffic *traffic;
    struct stream_report report;
    struct wav_writer *out = NULL;
    struct tbs_diag diag = {0};
    enum tbs_err err;
    int status = EXIT_FAILED;

    argp_parse(&argp, argc, argv, 0, NULL, &options);
    catch_signals(&receiver.waiting);
    err = load_session(&options.session, &keys, &traffic, &diag);
    if (!err)
        err = wav_create(options.sound.out, options.sound.rate, &out, &diag);
    if (!err)
        err = receive(&receiver, traffic, out, &report, &diag);
    if (err)
        fprintf(stderr, "%s: %s\n", argv[0], diag.text);
    else
        status = summary_end(argv[0], &report, &options.session, out);
    wav_free(out);
    return status;
}
