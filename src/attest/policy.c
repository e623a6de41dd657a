/* Policies that are bound into a Name, computed as the TPM does. */
#include <openssl/evp.h>
#include <string.h>

#include "attest/public.h"
#include "base/secret.h"

enum { CC_POLICY_OR = 0x171, CC_POLICY_DUPLICATION_SELECT = 0x188 };

static enum tbs_err digest(const struct tbs_buf *octets, uint8_t ret[ATTEST_DIGEST_LEN],
                           struct tbs_diag *diag)
{
    return !octets->failed &&
                   EVP_Digest(octets->data, octets->len, ret, NULL, EVP_sha256(), NULL) == 1
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do SHA-256");
}

enum tbs_err attest_id_policy(const char *id, uint8_t ret_policy[ATTEST_DIGEST_LEN],
                              struct tbs_diag *diag)
{
    static const char purpose[] = "tbs-kms key in a TPM"; /* with its NUL */
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf();
    tbs_put_bytes(&octets, tbs_bytes(purpose, sizeof purpose));
    tbs_put_bytes(&octets, tbs_bytes_str(id));
    return digest(&octets, ret_policy, diag);
}

enum tbs_err attest_select_policy(const uint8_t parent[ATTEST_NAME_LEN],
                                  uint8_t ret_policy[ATTEST_DIGEST_LEN], struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf();
    tbs_put_zeros(&octets, ATTEST_DIGEST_LEN);
    tbs_put_u32(&octets, CC_POLICY_DUPLICATION_SELECT);
    tbs_put_bytes(&octets, tbs_bytes(parent, ATTEST_NAME_LEN));
    tbs_put_u8(&octets, 0); /* includeObject: the Name depends on the policy */
    return digest(&octets, ret_policy, diag);
}

enum tbs_err attest_key_policy(const char *id, const uint8_t (*parents)[ATTEST_NAME_LEN], size_t n,
                               uint8_t ret_policy[ATTEST_DIGEST_LEN], struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf();
    uint8_t branch[ATTEST_DIGEST_LEN];
    if (n == 0)
        return attest_id_policy(id, ret_policy, diag);
    if (n > ATTEST_PARENTS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a TPM's key goes to at most %d others",
                        ATTEST_PARENTS_MAX);
    enum tbs_err err = attest_id_policy(id, branch, diag);
    tbs_put_zeros(&octets, ATTEST_DIGEST_LEN);
    tbs_put_u32(&octets, CC_POLICY_OR);
    tbs_put_bytes(&octets, tbs_bytes(branch, sizeof branch));
    for (size_t i = 0; err == TBS_OK && i < n; i++) {
        err = attest_select_policy(parents[i], branch, diag);
        tbs_put_bytes(&octets, tbs_bytes(branch, sizeof branch));
    }
    return err != TBS_OK ? err : digest(&octets, ret_policy, diag);
}
