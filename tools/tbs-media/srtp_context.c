#include "tools/tbs-media/srtp_context.h"

#include <string.h>

static void set_profile(enum tbs_srtp srtp, srtp_crypto_policy_t *policy)
{
    if (srtp == TBS_SRTP_AES_256_CM_HMAC_SHA1_80)
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(policy);
    else
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(policy);
}

enum tbs_err srtp_context_new(const struct tbs_traffic *traffic, srtp_t *ret_context,
                              struct tbs_diag *diag)
{
    struct tbs_secret key TBS_SECRET_AUTO = {0};
    size_t key_len = traffic->master_key.len, salt_len = traffic->master_salt.len;
    enum tbs_err err = tbs_secret_alloc(key_len + salt_len, &key, diag);
    srtp_master_key_t master = {
        .key = key.data,
        .mki_id = (unsigned char *)traffic->mki.data,
        .mki_size = (unsigned)traffic->mki.len,
    };
    srtp_master_key_t *masters[] = {&master};
    srtp_policy_t policy = {
        .ssrc = {.type = ssrc_specific, .value = traffic->ssrc},
        .keys = masters,
        .num_master_keys = 1,
    };
    srtp_err_status_t status;

    if (err)
        return err;
    memcpy(key.data, traffic->master_key.data, key_len);
    memcpy(key.data + key_len, traffic->master_salt.data, salt_len);
    set_profile(traffic->srtp, &policy.rtp);
    set_profile(traffic->srtp, &policy.rtcp);
    status = srtp_create(ret_context, &policy);
    if (status != srtp_err_status_ok)
        return tbs_fail_raw(diag, TBS_ERR_CRYPTO, status,
                            "libsrtp does not take the keys of crypto session %u (status %d)",
                            traffic->cs_id, (int)status);
    return TBS_OK;
}
