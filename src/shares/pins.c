#include "shares/pins.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/hex.h"

#define MAC_LEN 32

enum tbs_err shares_derive_pin(const struct tbs_secret *secret, bool so, struct tbs_secret *ret_pin,
                               struct tbs_diag *diag)
{
    static const char *const labels[] = {"tbs-kms PIN of the user",
                                         "tbs-kms PIN of the security officer"};
    const struct tbs_bytes label = tbs_bytes_str(labels[so]);
    TBS_SECRET_AUTO struct tbs_secret mac = {0}, hex = {0};
    enum tbs_err err = tbs_secret_alloc(MAC_LEN, &mac, diag);
    if (err == TBS_OK)
        err = tbs_secret_alloc(SHARES_PIN_LEN + 1, &hex, diag);
    if (err != TBS_OK)
        return err;
    if (!HMAC(EVP_sha256(), secret->data, (int)secret->len, label.data, label.len, mac.data, NULL))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "HMAC failed in the crypto library");
    tbs_hex(tbs_bytes(mac.data, SHARES_PIN_LEN / 2), (char *)hex.data);
    return tbs_secret_copy(tbs_bytes(hex.data, SHARES_PIN_LEN), ret_pin, diag);
}
