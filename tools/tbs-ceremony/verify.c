/* verify: the verifier, which is a program of its own, so that it has no code of tokens. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/tbs-ceremony/ceremony.h"

#define PROGRAM "tbs-ceremony-verify"

/* The one beside this program, and not another that is installed, too. */
static void exec_beside(char **argv)
{
    char path[PATH_MAX + sizeof PROGRAM];
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);
    char *slash = len > 0 ? memrchr(path, '/', (size_t)len) : NULL;
    if (!slash)
        return;
    memcpy(slash + 1, PROGRAM, sizeof PROGRAM);
    execv(path, argv);
}

int verify_exec(char **argv)
{
    static char name[] = PROGRAM;
    argv[0] = name;
    exec_beside(argv);
    execvp(PROGRAM, argv);
    fprintf(stderr, "tbs-ceremony: " PROGRAM " is neither beside this program nor in $PATH: %s\n",
            strerror(errno));
    return EXIT_FAILED;
}

static enum tbs_err misplaced(const struct options *options, int n, char **words, int *status,
                              struct tbs_diag *diag)
{
    (void)options, (void)n, (void)words, (void)status;
    return tbs_fail(diag, TBS_ERR_INVALID,
                    "verify comes first, and its options, which are those of " PROGRAM
                    ", after it");
}

const struct command verify_command = {
    "verify", "FOLDER...", 0,
    INT_MAX,  misplaced,   "judges ceremonies by what they left; options are those of " PROGRAM};
