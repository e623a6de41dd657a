/* A stored secret as it comes out of the database, up to the search for its KEK: this custody
 * has no token, so no KEK is ever found. */
#include "custody/internal.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct custody custody = {0};
    struct custody_session session = {.custody = &custody};
    struct tbs_secret secret = {0};
    struct tbs_diag diag = {0};
    enum tbs_err err = custody_unwrap_secret(&session, tbs_bytes_str("sip:alice@example.net"),
                                             tbs_bytes(data, len), &secret, &diag);

    FUZZ_PROMISE(err == TBS_ERR_MALFORMED || err == TBS_ERR_UNSUPPORTED ||
                 err == TBS_ERR_NOT_FOUND);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    FUZZ_PROMISE(!secret.data && secret.len == 0 && session.calls == 0);
    return 0;
}
