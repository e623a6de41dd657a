#include "tools/common/command_line.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

enum { FAILED = 1, USAGE = 2 };

struct chosen {
    const struct command_line *line;
    int argc;
    char **argv;
};

/* --- Finding --- */

static const struct command *find(const struct command_line *line, const char *name)
{
    for (size_t i = 0; i < line->n; i++)
        if (strcmp(line->commands[i].name, name) == 0)
            return &line->commands[i];
    return NULL;
}

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

static const struct command *nearest(const struct command_line *line, const char *name)
{
    const struct command *best = &line->commands[0];

    for (size_t i = 1; i < line->n; i++)
        if (distance(name, line->commands[i].name) < distance(name, best->name))
            best = &line->commands[i];
    return best;
}

/* --- argp --- */

/* The list of commands goes between the options and the example. */
static char *help_filter(int key, const char *text, void *input)
{
    const struct command_line *line = ((struct chosen *)input)->line;
    char *out = NULL;
    size_t size = 0;
    FILE *f;

    if (key != ARGP_KEY_HELP_POST_DOC || !text || !(f = open_memstream(&out, &size)))
        return (char *)text;
    fputs("Commands:\n", f);
    for (size_t i = 0; i < line->n; i++)
        fprintf(f, "  %-14s %s\n", line->commands[i].name, line->commands[i].summary);
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

int command_line_run(const struct command_line *line, int argc, char **argv)
{
    const struct argp argp = {.parser = parse_option,
                              .args_doc = "COMMAND [ARGUMENT...]",
                              .doc = line->doc,
                              .help_filter = help_filter};
    struct chosen chosen = {.line = line};
    struct tbs_diag diag = {0};
    char name[64];

    argp_err_exit_status = USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &chosen);
    const struct command *command = find(line, chosen.argv[0]);

    if (!command) {
        fprintf(stderr, "%s: no command '%s'; did you mean '%s'? %s --help lists them\n",
                line->program, chosen.argv[0], nearest(line, chosen.argv[0])->name, line->program);
        return USAGE;
    }
    if (line->prepare(&diag)) {
        fprintf(stderr, "%s: %s\n", line->program, diag.text);
        return FAILED;
    }
    snprintf(name, sizeof name, "%s %s", line->program, command->name);
    chosen.argv[0] = name;
    return command->run(chosen.argc, chosen.argv);
}
