/* run, resume, abort. */
#include <stdio.h>

#include "ceremony/run.h"
#include "tools/tbs-ceremony/ceremony.h"

static int status_of(enum run_end end)
{
    static const int statuses[] = {
        [RUN_DONE] = EXIT_OK, [RUN_STOPPED] = EXIT_STOPPED, [RUN_ABORTED] = EXIT_ABORTED};
    return statuses[end];
}

static enum tbs_err run(const struct options *options, int n, char **words, int *status,
                        struct tbs_diag *diag)
{
    (void)n;
    const struct run_options with = {.script = options->script,
                                     .site = options->site,
                                     .after = options->after,
                                     .module = options->module,
                                     .rehearse = options->rehearse,
                                     .automatic = options->automatic};
    enum run_end end = RUN_DONE;
    if (!with.script)
        return tbs_fail(diag, TBS_ERR_INVALID, "run needs --script");
    if (!with.rehearse && !with.site)
        return tbs_fail(diag, TBS_ERR_INVALID, "run needs --site, or --rehearse");
    if (with.site && with.module)
        return tbs_fail(diag, TBS_ERR_INVALID, "--site names the modules; drop --module");
    if (!with.rehearse && (with.automatic || with.module))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "--answers auto and --module are for rehearsals only");
    enum tbs_err err = run_new(words[0], &with, &end, diag);
    *status = status_of(end);
    return err;
}

static enum tbs_err resume(const struct options *options, int n, char **words, int *status,
                           struct tbs_diag *diag)
{
    (void)n;
    enum run_end end = RUN_DONE;
    enum tbs_err err = run_resume(words[0], options->automatic, &end, diag);
    *status = status_of(end);
    return err;
}

static enum tbs_err abort_it(const struct options *options, int n, char **words, int *status,
                             struct tbs_diag *diag)
{
    (void)n;
    enum run_end end = RUN_ABORTED;
    enum tbs_err err = run_abort(words[0], options->automatic, &end, diag);
    *status = status_of(end);
    return err;
}

const struct command run_command = {
    "run", "FOLDER", 1, 1, run, "performs a ceremony; its record goes into this new folder"};
const struct command resume_command = {
    "resume", "FOLDER", 1, 1, resume, "goes on with a ceremony that was stopped or cut off"};
const struct command abort_command = {
    "abort", "FOLDER", 1, 1, abort_it, "cleans up after the step at hand and closes the record"};
