#include "tools/tbs-admin/pin_key.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "custody/pin.h"
#include "tools/common/private_file.h"

#define KEY_FILE_MAX 8192
#define SIGNATURE_MAX 1024

static int ask_passphrase(char *out, int size, int writing, void *path)
{
    struct tbs_secret passphrase TBS_SECRET_AUTO = {0};
    char what[300];

    (void)writing;
    snprintf(what, sizeof what, "passphrase of %.200s", (const char *)path);
    if (pin_read_for(what, "prompt", &passphrase, NULL) != TBS_OK || passphrase.len > (size_t)size)
        return -1;
    memcpy(out, passphrase.data, passphrase.len);
    return (int)passphrase.len;
}

enum tbs_err pin_key_read(const char *path, EVP_PKEY **ret_key, struct tbs_diag *diag)
{
    struct tbs_secret pem TBS_SECRET_AUTO = {0};
    enum tbs_err err = private_file_read(path, KEY_FILE_MAX, &pem, diag);

    if (err)
        return err;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, ask_passphrase, (void *)path) : NULL;

    BIO_free(bio);
    if (!key)
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "%.180s holds no private key in PEM, or this is not its passphrase", path);
    *ret_key = key;
    return TBS_OK;
}

enum tbs_err pin_key_read_public(const char *path, EVP_PKEY **ret_key, struct tbs_diag *diag)
{
    struct tbs_buf pem TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = file_read(path, &pem, diag);

    if (err)
        return err;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    if (!key)
        return tbs_fail(diag, TBS_ERR_INVALID, "%.200s holds no public key in PEM", path);
    *ret_key = key;
    return TBS_OK;
}

enum tbs_err pin_key_put_spki(const EVP_PKEY *key, struct tbs_buf *ret_spki, struct tbs_diag *diag)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    if (len > 0)
        tbs_put_bytes(ret_spki, tbs_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return len > 0 && !ret_spki->failed
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to write a public key");
}

enum tbs_err pin_key_sign(EVP_PKEY *key, struct tbs_bytes octets, struct tbs_buf *ret_signature,
                          struct tbs_diag *diag)
{
    unsigned char signature[SIGNATURE_MAX];
    size_t len = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature, &len, octets.data, octets.len) == 1;

    EVP_MD_CTX_free(ctx);
    if (ok)
        tbs_put_bytes(ret_signature, tbs_bytes(signature, len));
    return ok && !ret_signature->failed
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to sign with this key");
}
