/* tbs-media: sends and receives sound as SRTP, with keys that a session agreed on. */
#include <srtp2/srtp.h>
#include <stdio.h>
#include <string.h>

#include "tools/tbs-media/media.h"

#define SECURE_HEAP (1u << 20)

const char *argp_program_version = "tbs-media " TBS_VERSION;

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *words, *summary;
} commands[] = {
    {"send", cmd_send, "--keys FILE --cs N --to ADDR:PORT FILE.wav",
     "send a WAV file, as fast as it sounds"},
    {"receive", cmd_receive, "--keys FILE --cs N --listen ADDR:PORT --out FILE.wav",
     "receive until the sender says BYE, and write a WAV file"},
    {"open", cmd_open, "--keys FILE --cs N CAPTURE.pcap --out FILE.wav",
     "open a capture that was made before"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

struct chosen {
    int argc;
    char **argv;
};

/* The list of commands goes between the options and the example. */
static char *help_filter(int key, const char *text, void *input)
{
    char *out = NULL;
    size_t size = 0;
    FILE *f;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC || !text || !(f = open_memstream(&out, &size)))
        return (char *)text;
    fputs("Commands:\n", f);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(f, "  %s %s\n      %s\n", commands[i].name, commands[i].words, commands[i].summary);
    fprintf(f, "\n%s", text);
    fclose(f);
    return out;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct chosen *chosen = state->input;

    (void)arg;
    switch (key) {
    case ARGP_KEY_ARG: /* the command; the words after it are its own */
        chosen->argv = state->argv + state->next - 1;
        chosen->argc = state->argc - state->next + 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse_option,
    .args_doc = "COMMAND [ARGUMENT...]",
    .doc = "Sends and receives sound as SRTP (RFC 3711), with the keys of a session from a "
           "file.\v"
           "Example:\n"
           "  tbs-media receive --keys bob.keys --cs 1 --listen 127.0.0.1:5004 \\\n"
           "      --out heard.wav &\n"
           "  tbs-media send --keys alice.keys --cs 1 --to 127.0.0.1:5004 hello.wav\n\n"
           "tbs-media COMMAND --help tells more about a command.\n"
           "Exit status: 0 done, 1 failed, 2 usage, 4 packets came, but none could be "
           "authenticated: these are not their keys.",
    .help_filter = help_filter,
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static enum tbs_err prepare(struct tbs_diag *diag)
{
    enum tbs_err err = tbs_secret_process_init(SECURE_HEAP, diag);

    if (!err && srtp_init() != srtp_err_status_ok)
        err = tbs_fail(diag, TBS_ERR_CRYPTO, "libsrtp does not start");
    return err;
}

int main(int argc, char **argv)
{
    struct chosen chosen = {0};
    struct tbs_diag diag = {0};
    const struct command *command;
    char name[32];
    int status;

    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &chosen);
    command = find(chosen.argv[0]);
    if (!command) {
        fprintf(stderr, "tbs-media: no command '%s'; tbs-media --help lists them\n",
                chosen.argv[0]);
        return EXIT_USAGE;
    }
    if (prepare(&diag)) {
        fprintf(stderr, "tbs-media: %s\n", diag.text);
        return EXIT_FAILED;
    }
    snprintf(name, sizeof name, "tbs-media %s", command->name);
    chosen.argv[0] = name;
    status = command->run(chosen.argc, chosen.argv);
    srtp_shutdown();
    return status;
}
