/* A key registry: one that is read is written again to the same octets, and is what it says. */
#include <string.h>

#include "base/secret.h"
#include "registry/registry.h"
#include "tests/fuzz/fuzz.h"

static void check_written(const struct registry *r)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    struct registry again;
    bool signed_by[SIGNED_SIGNERS_MAX];
    const struct signed_signers nobody = {0};

    FUZZ_PROMISE(registry_write(r, &text, NULL) == TBS_OK);
    FUZZ_PROMISE(registry_read(tbs_buf_view(&text), &again, NULL) == TBS_OK);
    FUZZ_PROMISE(again.n == r->n && again.sequence == r->sequence);
    for (size_t i = 0; i < r->n; i++) {
        FUZZ_PROMISE(memcmp(&again.keys[i], &r->keys[i], sizeof *r->keys) == 0);
        FUZZ_PROMISE(registry_find(r, tbs_bytes_str(r->keys[i].id)) == &r->keys[i]);
    }
    FUZZ_PROMISE(registry_follows(r, r, NULL) == TBS_OK);
    FUZZ_PROMISE(registry_verify(r, &nobody, 1, signed_by, NULL) == TBS_ERR_AUTH);
    registry_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct registry r;
    struct tbs_diag diag = {0};
    enum tbs_err err = registry_read(tbs_bytes(data, size), &r, &diag);

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err)
        return 0;
    check_written(&r);
    registry_free(&r);
    return 0;
}
