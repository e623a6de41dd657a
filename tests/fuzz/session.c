/* A session in a file: what is read from it can be written, and read again. */
#include "base/secret.h"
#include "client/tbs.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tbs_session *session, *again;
    struct tbs_secret octets = {0};
    struct tbs_diag diag = {0};

    if (tbs_session_import(tbs_bytes(data, size), &session, &diag)) {
        FUZZ_PROMISE(diag.text[0] != '\0');
        return 0;
    }
    FUZZ_PROMISE(tbs_session_export(session, &octets, NULL) == TBS_OK);
    FUZZ_PROMISE(tbs_session_import(tbs_secret_view(&octets), &again, NULL) == TBS_OK);
    FUZZ_PROMISE(tbs_session_count(session) == tbs_session_count(again));
    tbs_secret_free(&octets);
    tbs_session_free(session);
    tbs_session_free(again);
    return 0;
}
