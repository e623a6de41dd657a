/* tbs-ceremony: key ceremonies, from factory-fresh tokens to production keys. */
#include "tools/tbs-ceremony/ceremony.h"

#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

#define SECURE_HEAP (1u << 20)

const char *argp_program_version = "tbs-ceremony " TBS_VERSION;

static const struct command *const commands[] = {
    &lint_command,  &run_command,    &resume_command, &abort_command,  &state_command,
    &words_command, &script_command, &report_command, &verify_command, &read_back_command};
#define N_COMMANDS (sizeof commands / sizeof *commands)

enum option_key {
    KEY_SCRIPT = 256,
    KEY_SITE,
    KEY_AFTER,
    KEY_MODULE,
    KEY_REGISTRY,
    KEY_SIGNER,
    KEY_KEY,
    KEY_REHEARSE,
    KEY_ANSWERS,
};

struct words {
    struct options options;
    int n;
    char *word[8];
};

static void add(struct argp_state *state, const char **list, size_t *n, const char *arg)
{
    if (*n == OPTION_FILES_MAX)
        argp_error(state, "an option comes at most %d times", OPTION_FILES_MAX);
    list[(*n)++] = arg;
}

static error_t parse_file(int key, char *arg, struct argp_state *state)
{
    struct options *o = &((struct words *)state->input)->options;
    switch (key) {
    case KEY_SCRIPT:
        o->script = arg;
        return 0;
    case KEY_SITE:
        o->site = arg;
        return 0;
    case KEY_AFTER:
        o->after = arg;
        return 0;
    case KEY_MODULE:
        o->module = arg;
        return 0;
    case KEY_REGISTRY:
        o->registry = arg;
        return 0;
    case KEY_SIGNER:
        add(state, o->signers, &o->n_signers, arg);
        return 0;
    case KEY_KEY:
        add(state, o->keys, &o->n_keys, arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct words *w = state->input;
    switch (key) {
    case KEY_REHEARSE:
        w->options.rehearse = true;
        return 0;
    case KEY_ANSWERS:
        if (strcmp(arg, "auto") != 0 && strcmp(arg, "ask") != 0)
            argp_error(state, "--answers is auto or ask");
        w->options.automatic = strcmp(arg, "auto") == 0;
        return 0;
    case 'j':
        w->options.json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (w->n == sizeof w->word / sizeof *w->word)
            argp_error(state, "too many words");
        w->word[w->n++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which command? See --help");
        return 0;
    default:
        return parse_file(key, arg, state);
    }
}

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
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i]->summary)
            fprintf(f, "  %s %s\n      %s\n", commands[i]->name, commands[i]->words,
                    commands[i]->summary);
    fprintf(f, "\n%s", text);
    fclose(f);
    return out;
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"script", KEY_SCRIPT, "FILE", 0, "run: the ceremony.yaml that is performed", 1},
            {"site", KEY_SITE, "FILE", 0, "run: the site.yaml that names tokens and people", 1},
            {"after", KEY_AFTER, "FOLDER", 0,
             "run: of the ceremony before, whose registry and tokens go on", 1},
            {"rehearse", KEY_REHEARSE, NULL, 0,
             "run: with SoftHSM tokens and people made for it, or with --site those of the site; "
             "no "
             "record of it passes for a real one",
             2},
            {"answers", KEY_ANSWERS, "auto|ask", 0,
             "of a rehearsal: given by the program, or asked for (default ask)", 2},
            {"module", KEY_MODULE, "FILE", 0, "of a rehearsal: SoftHSM's PKCS#11 module", 2},
            {"registry", KEY_REGISTRY, "FILE", 0, "state: the registry; it is replaced", 3},
            {"signer", KEY_SIGNER, "FILE", 0,
             "state: the public key, in PEM, of somebody whose signature counts; repeated", 3},
            {"key", KEY_KEY, "FILE", 0,
             "state: the private key, in PEM, of one of the two who sign; twice", 3},
            {"json", 'j', NULL, 0, "lint: print the findings as JSON", 4},
            {0},
        },
    .parser = parse_option,
    .args_doc = "COMMAND [WORD...]",
    .doc = "Performs key ceremonies, with a record that others can verify.\v"
           "Example:\n"
           "  tbs-ceremony lint initialise-and-generate.yaml\n"
           "  tbs-ceremony run --rehearse --answers auto --script initialise-and-generate.yaml "
           "rehearsal-1\n\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 a file is not what it must be, 4 lint found "
           "something, 5 stopped (resume or abort it), 6 aborted, 7 refused (people, script, "
           "program or tokens are not as they must be).",
    .help_filter = help_filter,
};

static int status_of(enum tbs_err err)
{
    switch (err) {
    case TBS_ERR_INVALID:
        return EXIT_USAGE;
    case TBS_ERR_CONFIG:
        return EXIT_CONFIG;
    case TBS_ERR_DENIED:
    case TBS_ERR_AUTH:
        return EXIT_REFUSED;
    default:
        return EXIT_FAILED;
    }
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int run(struct words *w)
{
    struct tbs_diag diag = {0};
    const struct command *c = find(w->word[0]);
    int status = EXIT_OK;
    if (!c) {
        fprintf(stderr, "tbs-ceremony: no command '%s'; tbs-ceremony --help lists them\n",
                w->word[0]);
        return EXIT_USAGE;
    }
    if (w->n - 1 < c->min || w->n - 1 > c->max) {
        fprintf(stderr, "usage: tbs-ceremony %s %s\n", c->name, c->words);
        return EXIT_USAGE;
    }
    enum tbs_err err = tbs_secret_process_init(SECURE_HEAP, &diag);
    if (!err)
        err = c->run(&w->options, w->n - 1, w->word + 1, &status, &diag);
    if (!err && (fflush(stdout) != 0 || ferror(stdout)))
        err = tbs_fail(&diag, TBS_ERR_IO, "standard output did not take all that was written");
    if (!err)
        return status;
    fprintf(stderr, "tbs-ceremony: %s\n", diag.text);
    return status_of(err);
}

int main(int argc, char **argv)
{
    struct words words = {0};
    if (argc > 1 && strcmp(argv[1], verify_command.name) == 0)
        return verify_exec(argv + 1);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &words);
    return run(&words);
}
