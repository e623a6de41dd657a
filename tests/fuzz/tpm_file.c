/* A key file of the TPM backend, and its public area before the judge. In service the TPM stands
 * between the two, and gives the area back only where the private one belongs to it. */
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tests/fuzz/fuzz.h"
#include "tpm/tpm.h"

/* A key's Name binds its id: no octets make a key under two of them. */
static const char *const ids[] = {"tpk-1", "tpk-sha1-1", "kek-1", "audit-1"};

static bool is_printable(const char *label, size_t size)
{
    size_t len = strnlen(label, size);
    for (size_t i = 0; i < len; i++)
        if (label[i] < ' ' || label[i] > '~')
            return false;
    return len < size;
}

/* What was read is written again, and read as the same. */
static void marshals(const struct tpm_blob *blob)
{
    uint8_t first[sizeof(TPM2B_PUBLIC)], second[sizeof(TPM2B_PUBLIC)];
    uint8_t private[sizeof(TPM2B_PRIVATE)];
    TPM2B_PUBLIC again = {0};
    size_t n = 0, m = 0, at = 0, n_private = 0;
    FUZZ_PROMISE(tpm_marshal_public(&blob->public, first, &n) && n <= sizeof first);
    FUZZ_PROMISE(Tss2_MU_TPMT_PUBLIC_Unmarshal(first, n, &at, &again.publicArea) ==
                     TSS2_RC_SUCCESS &&
                 at == n);
    FUZZ_PROMISE(tpm_marshal_public(&again, second, &m) && n == m && memcmp(first, second, n) == 0);
    FUZZ_PROMISE(Tss2_MU_TPM2B_PRIVATE_Marshal(&blob->private, private, sizeof private,
                                               &n_private) == TSS2_RC_SUCCESS);
}

static void judge(struct tpm_blob *blob)
{
    size_t good = 0;
    struct tbs_diag diag = {0};
    enum tbs_err err = tpm_judge_storage(&blob->public, &diag);
    FUZZ_PROMISE(err == TBS_OK || err == TBS_ERR_CONFIG);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    good += err == TBS_OK;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct custody_key key;
        memset(&key, 0xa5, sizeof key);
        diag = (struct tbs_diag){0};
        snprintf(blob->id, sizeof blob->id, "%s", ids[i]);
        err = tpm_judge_key(blob, &blob->public, &key, &diag);
        FUZZ_PROMISE(err == TBS_OK || err == TBS_ERR_CONFIG);
        FUZZ_PROMISE(fuzz_is_explained(err, &diag));
        if (err == TBS_OK)
            FUZZ_PROMISE(strcmp(key.id, ids[i]) == 0 && strcmp(key.label, blob->label) == 0 &&
                         custody_role_takes(key.role, key.alg));
        else
            FUZZ_PROMISE(fuzz_is_untouched(&key, sizeof key, 0xa5));
        good += err == TBS_OK;
    }
    FUZZ_PROMISE(good <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tpm_blob blob, before;
    struct tbs_diag diag = {0};
    memset(&blob, 0xa5, sizeof blob);
    snprintf(blob.id, sizeof blob.id, "%s", ids[0]);
    memcpy(&before, &blob, sizeof before);
    enum tbs_err err = tpm_blob_parse("tpk-1.json", tbs_bytes(data, len), &blob, &diag);

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err != TBS_OK) {
        FUZZ_PROMISE(err == TBS_ERR_CONFIG && memcmp(&blob, &before, sizeof blob) == 0);
        return 0;
    }
    FUZZ_PROMISE(strcmp(blob.id, ids[0]) == 0 && is_printable(blob.label, sizeof blob.label));
    marshals(&blob);
    judge(&blob);
    return 0;
}
