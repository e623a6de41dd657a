/* tbs-media: sends and receives sound as SRTP, with keys that a session agreed on. */
#include <srtp2/srtp.h>

#include "tools/common/command_line.h"
#include "tools/tbs-media/media.h"

#define SECURE_HEAP (1u << 20)

const char *argp_program_version = "tbs-media " TBS_VERSION;

static const struct command commands[] = {
    {"send", cmd_send, "send a WAV file, as fast as it sounds"},
    {"receive", cmd_receive, "receive until the sender says BYE, and write a WAV file"},
    {"open", cmd_open, "open a capture that was made before"},
};

static enum tbs_err prepare(struct tbs_diag *diag)
{
    enum tbs_err err = tbs_secret_process_init(SECURE_HEAP, diag);

    if (!err && srtp_init() != srtp_err_status_ok)
        err = tbs_fail(diag, TBS_ERR_CRYPTO, "libsrtp does not start");
    return err;
}

static const struct command_line line = {
    .program = "tbs-media",
    .commands = commands,
    .n = sizeof commands / sizeof *commands,
    .doc = "Sends and receives sound as SRTP (RFC 3711), with the keys of a session from a "
           "file.\v"
           "Example:\n"
           "  tbs-media receive --keys bob.keys --cs 1 --listen 127.0.0.1:5004 \\\n"
           "      --out heard.wav &\n"
           "  tbs-media send --keys alice.keys --cs 1 --to 127.0.0.1:5004 hello.wav\n\n"
           "tbs-media COMMAND --help tells more about a command.\n"
           "Exit status: 0 done, 1 failed, 2 usage, 4 packets came, but none could be "
           "authenticated: these are not their keys.",
    .prepare = prepare,
};

int main(int argc, char **argv)
{
    int status = command_line_run(&line, argc, argv);

    srtp_shutdown();
    return status;
}
