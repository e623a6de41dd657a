#include "tools/tbs-admin/pin_shares.h"

#include <stdio.h>

#include "custody/pin.h"
#include "shares/pins.h"
#include "shares/shares.h"

#define TRIES 3

/* Of the set that was typed before: its first share says how many it takes. */
static enum tbs_err check_fits(const struct share *shares, size_t n, const struct share *next,
                               struct tbs_diag *diag)
{
    if (n > 0 && (next->id != shares[0].id || next->threshold != shares[0].threshold))
        return tbs_fail(diag, TBS_ERR_INVALID, "this share is of set %u, the first one of set %u",
                        next->id, shares[0].id);
    for (size_t i = 0; i < n; i++)
        if (next->index == shares[i].index)
            return tbs_fail(diag, TBS_ERR_INVALID, "share %u is there already", next->index + 1);
    return TBS_OK;
}

static enum tbs_err type_once(const struct share *shares, size_t n, struct share *ret_share,
                              struct tbs_diag *diag)
{
    struct tbs_secret words TBS_SECRET_AUTO = {0};
    struct share share = {0};
    char what[80];

    if (n == 0)
        snprintf(what, sizeof what, "a custodian's share");
    else
        snprintf(what, sizeof what, "another custodian's share (%zu of %u)", n + 1,
                 shares[0].threshold);
    enum tbs_err err = pin_read_words(what, "prompt", &words, diag);

    if (!err)
        err = share_read_words(tbs_secret_view(&words), &share, diag);
    if (!err)
        err = check_fits(shares, n, &share, diag);
    if (err)
        share_free(&share);
    else
        *ret_share = share;
    return err;
}

static enum tbs_err type_share(const struct share *shares, size_t n, struct share *ret_share,
                               struct tbs_diag *diag)
{
    for (unsigned tries = 1;; tries++) {
        enum tbs_err err = type_once(shares, n, ret_share, diag);
        bool slip = err == TBS_ERR_MALFORMED || err == TBS_ERR_INVALID || err == TBS_ERR_CONFIG;

        if (!slip || tries == TRIES)
            return err;
        fprintf(stderr, "Not taken: %s.\n", diag->text);
    }
}

enum tbs_err pin_from_shares(struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    struct tbs_secret secret TBS_SECRET_AUTO = {0};
    struct share shares[SHARES_MAX] = {0};
    size_t n = 0;
    enum tbs_err err;

    do
        err = type_share(shares, n, &shares[n], diag);
    while (!err && ++n < shares[0].threshold);
    if (!err)
        err = shares_combine(shares, n, tbs_bytes(NULL, 0), &secret, diag);
    if (!err)
        err = shares_derive_pin(&secret, false, ret_pin, diag);
    for (size_t i = 0; i < SHARES_MAX; i++)
        share_free(&shares[i]);
    return err;
}
