/* In place of the backends where they are compiled out. */
#include "custody/backend.h"
#include "vault/backend.h"

enum tbs_err custody_backend_tpm(const struct custody_ops **ret_ops, struct tbs_diag *diag)
{
    (void)ret_ops;
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                    "this program was built without the custody backend tpm; build it with "
                    "-Dtpm=enabled");
}

static enum tbs_err no_tpm(const struct vault_token *token, struct vault **ret_vault,
                           struct tbs_diag *diag)
{
    (void)token;
    (void)ret_vault;
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                    "this program was built without TPMs; build it with -Dtpm=enabled");
}

const struct vault_ops vault_tpm = {.open = no_tpm};
