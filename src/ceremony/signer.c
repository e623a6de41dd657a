#include "ceremony/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum tbs_err take_public(EVP_PKEY *key, struct tbs_buf *spki, struct tbs_diag *diag)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    if (len <= 0)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library cannot write a public key");
    tbs_put_bytes(spki, tbs_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return spki->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a public key") : TBS_OK;
}

enum tbs_err signer_open(const char *file, struct signer *ret_signer, struct tbs_diag *diag)
{
    struct signer s = {.spki = tbs_buf()};
    FILE *in = fopen(file, "re");
    if (!in)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open the key %.200s: %s", file,
                            strerror(errno));
    s.key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    fclose(in);
    if (!s.key)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%.200s is no private key in PEM, or its passphrase was wrong", file);
    enum tbs_err err = take_public(s.key, &s.spki, diag);
    if (err == TBS_OK)
        *ret_signer = s;
    else
        signer_free(&s);
    return err;
}

void signer_free(struct signer *signer)
{
    EVP_PKEY_free(signer->key);
    tbs_buf_free(&signer->spki);
    *signer = (struct signer){0};
}

enum tbs_err signer_make(const char *file, struct tbs_diag *diag)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!out) {
        if (fd >= 0)
            close(fd);
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make %.200s: %s", file,
                            strerror(errno));
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    bool ok = key && PEM_write_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1;
    EVP_PKEY_free(key);
    ok &= fclose(out) == 0;
    return ok ? TBS_OK : tbs_fail(diag, TBS_ERR_CRYPTO, "cannot make a key in %.200s", file);
}

struct signed_maker signer_maker(struct signer *signer)
{
    return (struct signed_maker){
        .spki = tbs_buf_view(&signer->spki), .sign = signed_by_pkey, .ctx = signer->key};
}

enum tbs_err signer_public_pem(struct tbs_bytes spki, struct tbs_buf *pem, struct tbs_diag *diag)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long len = 0;
    if (key && bio && PEM_write_bio_PUBKEY(bio, key) == 1)
        len = BIO_get_mem_data(bio, &text);
    if (len > 0)
        tbs_put_bytes(pem, tbs_bytes(text, (size_t)len));
    EVP_PKEY_free(key);
    BIO_free(bio);
    return len > 0 && !pem->failed
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CRYPTO, "a public key is none, or does not fit");
}
