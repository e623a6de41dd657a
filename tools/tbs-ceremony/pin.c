/* pin: for the KMS of a site. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "ceremony/run.h"
#include "tools/tbs-ceremony/ceremony.h"

/* Past stdio, whose buffer nobody wipes. */
static enum tbs_err put(struct tbs_bytes pin, struct tbs_diag *diag)
{
    ssize_t n;
    do
        n = write(STDOUT_FILENO, pin.data, pin.len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)pin.len
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_IO, "standard output did not take the PIN: %s",
                          n < 0 ? strerror(errno) : "it is full");
}

static enum tbs_err pin(const struct options *options, int n, char **words, int *status,
                        struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret pin = {0};
    (void)n, (void)status;
    if (isatty(STDOUT_FILENO))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "no PIN is shown at a terminal: let a program take it, such as "
                        "| systemd-creds encrypt --name=pin - FILE");
    enum tbs_err err = run_hand_over(words[0], words[1], options->automatic, &pin, diag);
    return err == TBS_OK ? put(tbs_secret_view(&pin), diag) : err;
}

const struct command pin_command = {
    "pin", "FOLDER TOKEN",
    2,     2,
    pin,   "rebuilds a token's user PIN from shares, for the KMS, on standard output"};
