/* What a TPM says of its keys and what it attests, as the verifier of ceremonies reads it. */
#include <openssl/evp.h>
#include <string.h>

#include "attest/attest.h"
#include "base/hex.h"
#include "tests/fuzz/fuzz.h"

/* Told as attributes, and under one Name. */
static void tell(struct tbs_bytes area)
{
    json_t *attributes = NULL, *again = NULL;
    uint8_t name[ATTEST_NAME_LEN];
    char hex[2 * ATTEST_NAME_LEN + 1];
    FUZZ_PROMISE(attest_attributes(area, &attributes, NULL) == TBS_OK);
    FUZZ_PROMISE(attest_attributes(area, &again, NULL) == TBS_OK && json_equal(attributes, again));
    FUZZ_PROMISE(attest_name(area, name, NULL) == TBS_OK);
    tbs_hex(tbs_bytes(name, sizeof name), hex);
    FUZZ_PROMISE(strcmp(json_string_value(json_object_get(attributes, "name")), hex) == 0);
    json_decref(attributes);
    json_decref(again);
}

static void read_public(struct tbs_bytes area)
{
    struct attest_public public;
    struct tbs_diag diag = {0};
    EVP_PKEY *key = NULL;
    memset(&public, 0xa5, sizeof public);
    enum tbs_err err = attest_public_read(area, &public, &diag);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err != TBS_OK) {
        json_t *attributes = NULL;
        FUZZ_PROMISE(err == TBS_ERR_MALFORMED);
        FUZZ_PROMISE(fuzz_is_untouched(&public, sizeof public, 0xa5));
        FUZZ_PROMISE(attest_attributes(area, &attributes, &diag) != TBS_OK && !attributes);
        return;
    }
    FUZZ_PROMISE(fuzz_is_inside(public.policy, area) && fuzz_is_inside(public.unique, area) &&
                 fuzz_is_inside(public.y, area));
    tell(area);
    diag = (struct tbs_diag){0};
    err = attest_public_key(&public, &key, &diag);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag) && (err == TBS_OK) == (key != NULL));
    /* What nobody signed does not verify, whatever the key is. */
    FUZZ_PROMISE(attest_verify(area, area, &public, &diag) != TBS_OK);
    EVP_PKEY_free(key);
}

static void read_attest(struct tbs_bytes octets)
{
    struct attest a;
    struct tbs_diag diag = {0};
    memset(&a, 0xa5, sizeof a);
    enum tbs_err err = attest_read(octets, &a, &diag);
    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err != TBS_OK) {
        FUZZ_PROMISE(err == TBS_ERR_MALFORMED && fuzz_is_untouched(&a, sizeof a, 0xa5));
        return;
    }
    FUZZ_PROMISE(fuzz_is_inside(a.signer, octets) && fuzz_is_inside(a.extra, octets) &&
                 fuzz_is_inside(a.name, octets) && fuzz_is_inside(a.qualified_name, octets) &&
                 fuzz_is_inside(a.digest, octets));
    FUZZ_PROMISE(a.type == ATTEST_CERTIFY ? a.name.len == ATTEST_NAME_LEN
                                          : a.digest.len == ATTEST_DIGEST_LEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    /* Views of no longer than they are: a read beyond is one beyond the allocation. */
    uint8_t *own = malloc(len + !len);
    if (!own)
        return 0;
    memcpy(own, data, len);
    read_public(tbs_bytes(own, len));
    read_attest(tbs_bytes(own, len));
    free(own);
    return 0;
}
