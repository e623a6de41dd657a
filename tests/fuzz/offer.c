/* What a Responder reads before it asks the KMS: a TRANSFER_INIT; and the Error that tells why
 * it was refused. */
#include "base/secret.h"
#include "client/tbs.h"
#include "tests/fuzz/fuzz.h"

static uint64_t the_time_of_the_seeds(void *ctx)
{
    (void)ctx;
    return UINT64_C(0xee98eec580000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t psk[32] = "a key that nothing was made with";
    const struct tbs_credential bob = {.kms = "sip:kms@home1.net",
                                       .identity = "sip:bob@home1.net",
                                       .psk_id = "bob-psk-1",
                                       .psk = tbs_bytes(psk, sizeof psk)};
    const struct tbs_acceptance acceptance = {.suite_128 = true};
    struct tbs_clock clock = {the_time_of_the_seeds, NULL};
    struct tbs_bytes message = tbs_bytes(data, size);
    struct tbs_buf error = tbs_buf();
    struct tbs_offer *offer = NULL;
    struct tbs_resolve *resolve = NULL;
    struct tbs_resolved *resolved = NULL;
    struct tbs_diag diag = {0};

    if (tbs_accept(&bob, &acceptance, message, clock, &offer, &diag)) {
        FUZZ_PROMISE(diag.text[0] != '\0');
        if (tbs_refuse(message, &diag, clock, &error, NULL) == TBS_OK)
            tbs_buf_free(&error);
        return 0;
    }
    FUZZ_PROMISE(tbs_resolve_begin(offer, &bob, clock, &resolve, NULL) == TBS_OK);
    /* Nobody can answer what was just asked. */
    FUZZ_PROMISE(tbs_resolve_finish(resolve, message, &resolved, &diag) != TBS_OK);
    tbs_resolve_free(resolve);
    tbs_offer_free(offer);
    return 0;
}
