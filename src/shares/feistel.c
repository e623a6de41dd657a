#include "shares/internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define ROUNDS 4
#define ITERATIONS 10000
#define HALF_MAX (SHARES_SECRET_MAX / 2)
#define PASSPHRASE_MAX 256

/* f = PBKDF2-HMAC-SHA256(round || passphrase, salt || right). */
static bool round_function(unsigned round, struct tbs_bytes passphrase, const struct share *p,
                           const uint8_t *right, size_t half, uint8_t *ret_f)
{
    uint8_t password[1 + PASSPHRASE_MAX], salt[8 + HALF_MAX];
    size_t len = 0;
    password[0] = (uint8_t)round;
    if (passphrase.len > 0)
        memcpy(password + 1, passphrase.data, passphrase.len);
    if (!p->extendable) {
        memcpy(salt, "shamir", 6);
        salt[6] = (uint8_t)(p->id >> 8);
        salt[7] = (uint8_t)p->id;
        len = 8;
    }
    memcpy(salt + len, right, half);
    bool ok = PKCS5_PBKDF2_HMAC((const char *)password, (int)passphrase.len + 1, salt,
                                (int)(len + half), (ITERATIONS << p->exponent) / ROUNDS,
                                EVP_sha256(), (int)half, ret_f) == 1;
    OPENSSL_cleanse(password, sizeof password);
    OPENSSL_cleanse(salt, sizeof salt);
    return ok;
}

enum tbs_err feistel(struct tbs_secret *octets, struct tbs_bytes passphrase,
                     const struct share *parameters, bool encrypt, struct tbs_diag *diag)
{
    size_t half = octets->len / 2;
    uint8_t f[HALF_MAX], swap[HALF_MAX], *left = octets->data, *right = octets->data + half;
    bool ok = true;
    if (passphrase.len > PASSPHRASE_MAX || half > HALF_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a passphrase is longer than %d octets",
                        PASSPHRASE_MAX);
    for (unsigned i = 0; ok && i < ROUNDS; i++) {
        ok = round_function(encrypt ? i : ROUNDS - 1 - i, passphrase, parameters, right, half, f);
        memcpy(swap, left, half);
        memcpy(left, right, half);
        for (size_t k = 0; k < half; k++)
            right[k] = swap[k] ^ f[k];
    }
    memcpy(swap, left, half);
    memcpy(left, right, half);
    memcpy(right, swap, half);
    OPENSSL_cleanse(f, sizeof f);
    OPENSSL_cleanse(swap, sizeof swap);
    return ok ? TBS_OK : tbs_fail(diag, TBS_ERR_CRYPTO, "PBKDF2 failed in the crypto library");
}
