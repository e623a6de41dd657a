/* In place of the backend where it is compiled out. */
#include "custody/backend.h"

enum tbs_err custody_backend_tpm(const struct custody_ops **ret_ops, struct tbs_diag *diag)
{
    (void)ret_ops;
    return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                    "this program was built without the custody backend tpm; build it with "
                    "-Dtpm=enabled");
}
