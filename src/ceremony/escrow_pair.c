#include "ceremony/escrow_pair.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/hex.h"

#define RSA_BITS 3072

static enum tbs_err passphrase_of(const struct tbs_secret *share_key, struct tbs_secret *ret,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = tbs_secret_alloc(2 * share_key->len + 1, ret, diag);
    if (err == TBS_OK)
        tbs_hex(tbs_secret_view(share_key), (char *)ret->data);
    return err;
}

static enum tbs_err seal(const struct tbs_secret *share_key, EVP_PKEY *pair, struct tbs_buf *sealed,
                         struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret passphrase = {0};
    enum tbs_err err = passphrase_of(share_key, &passphrase, diag);
    if (err != TBS_OK)
        return err;
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long len = 0;
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, pair, EVP_aes_256_cbc(), (char *)passphrase.data,
                                             (int)passphrase.len - 1, NULL, NULL) == 1)
        len = BIO_get_mem_data(bio, &text);
    if (len > 0)
        tbs_put_bytes(sealed, tbs_bytes(text, (size_t)len));
    BIO_free(bio);
    return len > 0 && !sealed->failed
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library cannot seal the escrow key");
}

static bool put_spki(EVP_PKEY *pair, struct tbs_buf *spki)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pair, &der);
    if (len > 0)
        tbs_put_bytes(spki, tbs_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return len > 0 && !spki->failed;
}

enum tbs_err escrow_pair_make(const struct tbs_secret *share_key, struct tbs_buf *spki,
                              struct tbs_buf *sealed, struct tbs_diag *diag)
{
    EVP_PKEY *pair = EVP_RSA_gen(RSA_BITS);
    enum tbs_err err = pair && put_spki(pair, spki)
                           ? seal(share_key, pair, sealed, diag)
                           : tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library makes no RSA pair");
    EVP_PKEY_free(pair);
    return err;
}

enum tbs_err escrow_pair_seal(const struct tbs_secret *share_key, struct tbs_bytes pkcs8,
                              struct tbs_buf *sealed, struct tbs_diag *diag)
{
    const unsigned char *at = pkcs8.data;
    EVP_PKEY *pair = d2i_AutoPrivateKey(NULL, &at, (long)pkcs8.len);
    enum tbs_err err = pair ? seal(share_key, pair, sealed, diag)
                            : tbs_fail(diag, TBS_ERR_CRYPTO, "the escrow key is no private key");
    EVP_PKEY_free(pair);
    return err;
}

static bool put_pkcs8(EVP_PKEY *pair, struct tbs_secret *ret, struct tbs_diag *diag)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
    unsigned char *der = NULL;
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : 0;
    bool ok = len > 0 && tbs_secret_copy(tbs_bytes(der, (size_t)len), ret, diag) == TBS_OK;
    if (len > 0)
        OPENSSL_clear_free(der, (size_t)len);
    PKCS8_PRIV_KEY_INFO_free(info);
    return ok;
}

/* What was changed a little may still be a key, and its public half the same. */
static bool is_whole(EVP_PKEY *pair)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pair, NULL);
    bool ok = ctx && EVP_PKEY_pairwise_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool has_public(EVP_PKEY *pair, struct tbs_bytes spki)
{
    TBS_BUF_AUTO struct tbs_buf own = tbs_buf();
    return put_spki(pair, &own) && tbs_bytes_equal(tbs_buf_view(&own), spki);
}

enum tbs_err escrow_pair_open(const struct tbs_secret *share_key, struct tbs_bytes sealed,
                              struct tbs_bytes spki, struct tbs_secret *ret_pkcs8,
                              struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret passphrase = {0};
    enum tbs_err err = passphrase_of(share_key, &passphrase, diag);
    if (err != TBS_OK)
        return err;
    BIO *bio = BIO_new_mem_buf(sealed.data, (int)sealed.len);
    EVP_PKEY *pair = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, passphrase.data) : NULL;
    bool ok = pair && has_public(pair, spki) && is_whole(pair) && put_pkcs8(pair, ret_pkcs8, diag);
    EVP_PKEY_free(pair);
    BIO_free(bio);
    return ok ? TBS_OK
              : tbs_fail(diag, TBS_ERR_AUTH,
                         "the shares do not open the escrow key, or it is another than its public "
                         "half says");
}
