/* Shared by the commands of tbs-ceremony. */
#ifndef TBS_TOOLS_CEREMONY_H
#define TBS_TOOLS_CEREMONY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum exit_code {
    EXIT_OK,
    EXIT_FAILED,
    EXIT_USAGE,
    EXIT_CONFIG,
    EXIT_FINDINGS,
    EXIT_STOPPED,
    EXIT_ABORTED,
    EXIT_REFUSED,
};

#define OPTION_FILES_MAX 16

struct options {
    const char *script, *site, *after, *module, *registry;
    const char *signers[OPTION_FILES_MAX], *keys[OPTION_FILES_MAX];
    size_t n_signers, n_keys;
    bool rehearse, automatic, json;
};

struct command {
    const char *name, *words;
    int min, max; /* of words after the name */
    /* *status is EXIT_OK, and counts when nothing failed. */
    enum tbs_err (*run)(const struct options *options, int n, char **words, int *status,
                        struct tbs_diag *diag);
    const char *summary; /* NULL: for no person */
};

extern const struct command lint_command, run_command, resume_command, abort_command, state_command,
    words_command, pin_command, script_command, report_command, verify_command, read_back_command;

/* Becomes the verifier, with argv[0] for its name; comes back only when there is none. */
int verify_exec(char **argv);

#endif
