/* After a ceremony: a KMS gets the PIN that it logs in with, of a token whose PINs are in shares.
 */
#include <stdlib.h>
#include <string.h>

#include "ceremony/internal.h"

static enum tbs_err find_token(struct run *run, const char *name, struct run_token **ret_token,
                               struct tbs_diag *diag)
{
    struct run_token *token = token_of(run, name);
    if (!token)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "this ceremony has no token %.60s", name);
    if (shares_in_doubt(run, token, false))
        return tbs_fail(diag, TBS_ERR_DENIED,
                        "a step that set the PIN of token %s was cut off: a ceremony that logs in "
                        "to it must find out first which shares are right",
                        name);
    if (!shares_set(run, token, false))
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "the user's PIN of token %s is not in shares",
                        name);
    *ret_token = token;
    return TBS_OK;
}

static enum tbs_err hand_over(struct run *run, const char *folder, const char *name, bool automatic,
                              struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    struct run_token *token = NULL;
    TRY(run_load(run, folder, diag));
    TRY(run_closing_state(folder, &run->state, diag));
    run->rehearsal = json_object_get(run->state, "rehearsal") != NULL;
    if (automatic && !run->rehearsal)
        return tbs_fail(diag, TBS_ERR_INVALID, "--answers auto is for rehearsals only");
    TRY(find_token(run, name, &token, diag));
    TRY(console_open(automatic, true, &run->console, diag));
    TRY(shares_pin(run, token, false, diag));
    *ret_pin = token->user;
    token->user = (struct tbs_secret){0};
    return TBS_OK;
}

enum tbs_err run_hand_over(const char *folder, const char *token, bool automatic,
                           struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return run_no_memory(diag);
    run->off_record = true;
    enum tbs_err err = hand_over(run, folder, token, automatic, ret_pin, diag);
    run_free(run);
    return err;
}
