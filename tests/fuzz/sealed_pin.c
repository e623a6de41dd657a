/* The file of a sealed PIN. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tpm/sealed.h"

/* What only a signer can have made: the fuzzer has no key, but those of the corpus. */
static void is_whole(const struct sealed_pin *sealed)
{
    TPM2B_PUBLIC template;
    FUZZ_PROMISE(sealed->authority_len > 0 && sealed->authority_len <= SEALED_AUTHORITY_MAX);
    FUZZ_PROMISE(sealed_template(sealed, &template) &&
                 sealed->public.publicArea.objectAttributes ==
                     template.publicArea.objectAttributes &&
                 memcmp(&sealed->public.publicArea.authPolicy, &template.publicArea.authPolicy,
                        2 + SEALED_DIGEST_LEN) == 0);
    FUZZ_PROMISE(sealed->n_policies <= SEALED_PIN_POLICIES_MAX);
}

static void signed_states(struct sealed_pin *sealed)
{
    struct sealed_pin again = *sealed;
    for (size_t i = 0; i < sealed->n_policies; i++) {
        struct sealed_policy policy = sealed->policies[i];
        struct sealed_pin_pcrs nearest;
        TPMT_SIGNATURE signature;
        char names[POLICY_NAMES_MAX];
        uint32_t differ = 1;
        struct tbs_bytes octets = tbs_bytes(policy.signature, policy.signature_len);
        FUZZ_PROMISE(authority_signature(octets, &signature));
        FUZZ_PROMISE(sealed_pin_approve(&again, &policy.pcrs, octets, true, NULL) == TBS_OK);
        FUZZ_PROMISE(sealed_pin_nearest(sealed, &policy.pcrs, &nearest, &differ) && differ == 0);
        policy_names(policy.pcrs.chosen, names);
        FUZZ_PROMISE(strlen(names) < sizeof names - 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct sealed_pin sealed;
    struct tbs_diag diag = {0};
    memset(&sealed, 0xa5, sizeof sealed);
    enum tbs_err err = sealed_parse("user.sealed", tbs_bytes(data, len), &sealed, &diag);

    FUZZ_PROMISE(fuzz_is_explained(err, &diag));
    if (err != TBS_OK) {
        FUZZ_PROMISE(err == TBS_ERR_CONFIG && fuzz_is_untouched(&sealed, sizeof sealed, 0xa5));
        return 0;
    }
    is_whole(&sealed);
    signed_states(&sealed);
    return 0;
}
