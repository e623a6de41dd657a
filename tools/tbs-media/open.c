/* tbs-media open: what receive would have done, from a capture. */
#include <stdio.h>

#include "tools/tbs-media/capture.h"
#include "tools/tbs-media/media.h"
#include "tools/tbs-media/stream.h"
#include "tools/tbs-media/summary.h"

struct open_options {
    struct session_options session;
    struct sound_options sound;
    const char *capture;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct open_options *options = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->session;
        state->child_inputs[1] = &options->sound;
        return 0;
    case ARGP_KEY_ARG:
        if (options->capture)
            argp_error(state, "one capture, not '%s' as well", arg);
        options->capture = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which capture?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse_option,
    .children =
        (const struct argp_child[]){{&session_argp, 0, NULL, 0}, {&sound_argp, 0, NULL, 0}, {0}},
    .args_doc = "CAPTURE.pcap",
    .doc = "Opens a stream of SRTP that was captured before, and writes its sound. Other packets "
           "in the capture are counted and passed over.\v"
           "Example:\n"
           "  tbs-media open --keys bob.keys --cs 1 call.pcap --out heard.wav\n\n"
           "Exit status: 0 sound was written, 1 failed, 2 usage, 4 nothing in the capture could be "
           "authenticated with these keys; then no file is written.",
};

static enum tbs_err take(void *ctx, struct tbs_bytes datagram, struct tbs_diag *diag)
{
    bool authentic;

    return stream_take(ctx, datagram, &authentic, diag);
}

static enum tbs_err open_capture(const struct open_options *options,
                                 const struct tbs_traffic *traffic, struct wav_writer *out,
                                 struct stream_report *ret_report, struct tbs_diag *diag)
{
    struct stream *stream = NULL;
    enum tbs_err err = stream_new(traffic, options->session.payload_type, out, &stream, diag);

    if (!err)
        err = capture_read(options->capture, take, stream, diag);
    if (!err)
        err = stream_finish(stream, diag);
    if (!err)
        *ret_report = stream_report(stream);
    stream_free(stream);
    return err;
}

int cmd_open(int argc, char **argv)
{
    struct open_options options = {0};
    struct session_keys keys SESSION_KEYS_AUTO = {0};
    const struct tbs_traffic *traffic;
    struct stream_report report;
    struct wav_writer *out = NULL;
    struct tbs_diag diag = {0};
    enum tbs_err err;
    int status = EXIT_FAILED;

    argp_parse(&argp, argc, argv, 0, NULL, &options);
    err = load_session(&options.session, &keys, &traffic, &diag);
    if (!err)
        err = wav_create(options.sound.out, options.sound.rate, &out, &diag);
    if (!err)
        err = open_capture(&options, traffic, out, &report, &diag);
    if (err)
        fprintf(stderr, "%s: %s\n", argv[0], diag.text);
    else
        status = summary_end(argv[0], &report, &options.session, out);
    wav_free(out);
    return status;
}
