/* read-back: what a ceremony asks of a new process, and no person. */
#include "ceremony/run.h"
#include "tools/tbs-ceremony/ceremony.h"

static enum tbs_err read_back(const struct options *options, int n, char **words, int *status,
                              struct tbs_diag *diag)
{
    (void)options, (void)n, (void)words, (void)status;
    return run_read_back(diag);
}

const struct command read_back_command = {"read-back", "", 0, 0, read_back, NULL};
