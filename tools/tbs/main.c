#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "commands.h"

#define SECURE_HEAP (1u << 20)

const char *argp_program_version = "tbs " TBS_VERSION;

static const struct tbs_command commands[] = {
    {"request", cmd_request, "ask the KMS for a ticket"},
    {"offer", cmd_offer, "put a ticket into an SDP offer"},
    {"resolve", cmd_resolve, "ask the KMS for the keys of an offer's ticket"},
    {"answer", cmd_answer, "answer an offer, and get the session's keys"},
    {"finish", cmd_finish, "take the answer, and get the session's keys"},
    {"update", cmd_update, "change keys or streams of a session in mid-call"},
    {"update-answer", cmd_update_answer, "answer the other side's update, and get the new keys"},
    {"update-finish", cmd_update_finish, "take the answer to an update, and get the new keys"},
    {"inspect", cmd_inspect, "show MIKEY messages field by field"},
    {"ladder", cmd_ladder, "draw captured exchanges as a sequence diagram"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

struct chosen {
    int argc;
    char **argv;
};

/* The steps that turn one word into the other (Levenshtein); words longer than the row are
 * cut, which only makes a bad guess worse. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32], n = strnlen(b, 31);

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static const struct tbs_command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static const struct tbs_command *nearest(const char *name)
{
    const struct tbs_command *best = &commands[0];

    for (size_t i = 1; i < COMMANDS; i++)
        if (distance(name, commands[i].name) < distance(name, best->name))
            best = &commands[i];
    return best;
}

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
        fprintf(f, "  %-14s %s\n", commands[i].name, commands[i].summary);
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
    .doc = "Speaks and explains MIKEY-TICKET (RFC 6043).\v"
           "Example of a call:\n"
           "  tbs request --account alice.json --to sip:bob@example.net --out bob.ticket\n"
           "  tbs offer   --ticket bob.ticket --to sip:bob@example.net --sdp my.sdp "
           "--out offer.sdp\n"
           "  tbs resolve --account bob.json --offer offer.sdp --out call.resolved\n"
           "  tbs answer  --account bob.json --offer offer.sdp --resolved call.resolved "
           "--sdp my.sdp --out answer.sdp --keys bob.keys\n"
           "  tbs finish  --ticket bob.ticket --offer offer.sdp --answer answer.sdp "
           "--keys alice.keys\n\n"
           "tbs COMMAND --help tells more about a command.\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 refused, 4 the KMS does not answer.",
    .help_filter = help_filter,
};

int main(int argc, char **argv)
{
    struct chosen chosen = {0};
    const struct tbs_command *command;
    struct tbs_diag diag = {0};
    char name[32];

    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &chosen);
    command = find(chosen.argv[0]);
    if (!command) {
        fprintf(stderr, "tbs: no command '%s'; did you mean '%s'? tbs --help lists them\n",
                chosen.argv[0], nearest(chosen.argv[0])->name);
        return EXIT_USAGE;
    }
    if (tbs_secret_process_init(SECURE_HEAP, &diag)) {
        fprintf(stderr, "tbs: %s\n", diag.text);
        return EXIT_FAILED;
    }
    snprintf(name, sizeof name, "tbs %s", command->name);
    chosen.argv[0] = name;
    return command->run(chosen.argc, chosen.argv);
}
