/* The command line of a program of several commands, each with options of its own, as in
 * "tbs request --to sip:bob@example.net". */
#ifndef TBS_TOOLS_COMMAND_LINE_H
#define TBS_TOOLS_COMMAND_LINE_H

#include <stddef.h>

#include "base/error.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is "program name"; returns the exit status */
    const char *summary;
};

struct command_line {
    const char *program;
    const struct command *commands;
    size_t n;
    const char *doc; /* argp's; the list of commands goes after its \v */
    enum tbs_err (*prepare)(struct tbs_diag *diag); /* before the command runs */
};

/* Ends the program with status 2 for what is no command, a usage error, and with 0 for --help and
 * --version (argp_program_version); status 1 when it cannot be prepared. Else the command's. */
int command_line_run(const struct command_line *line, int argc, char **argv);

#endif
