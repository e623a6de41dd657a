#include "ceremony/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "custody/pin.h"

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

/* --- In a file --- */

static enum tbs_err open_file(const char *file, struct signer *ret_signer, struct tbs_diag *diag)
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

/* --- In a token --- */

bool signer_is_uri(const char *key)
{
    return strncmp(key, "pkcs11:", 7) == 0;
}

static enum tbs_err log_in(struct signer *s, struct tbs_diag *diag)
{
    char what[80];
    enum tbs_err err = TBS_OK;
    snprintf(what, sizeof what, "PIN of token '%.40s'", person_key_token(s->in_token));
    if (!person_key_has_pin_pad(s->in_token))
        err = pin_read_for(what, "prompt", &s->pin, diag);
    return err == TBS_OK ? person_key_login(s->in_token, tbs_secret_view(&s->pin), diag) : err;
}

static enum tbs_err sign_in_token(void *ctx, struct tbs_bytes octets, struct tbs_buf *ret_signature,
                                  struct tbs_diag *diag)
{
    struct signer *s = ctx;
    return person_key_sign(s->in_token, tbs_secret_view(&s->pin), octets, ret_signature, diag);
}

/* Nothing that it signs here can pass for anything else. */
static enum tbs_err sign_challenge(struct signer *s, struct tbs_buf *challenge,
                                   struct tbs_buf *signature, struct tbs_diag *diag)
{
    uint8_t octets[32];
    if (RAND_bytes(octets, sizeof octets) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "the crypto library gives no random octets");
    tbs_put_bytes(challenge, tbs_bytes_str("tbs-kms sign-in "));
    tbs_put_bytes(challenge, tbs_bytes(octets, sizeof octets));
    return challenge->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory signing in")
                             : sign_in_token(s, tbs_buf_view(challenge), signature, diag);
}

static enum tbs_err try_public(struct signer *s, const char *file, struct tbs_bytes challenge,
                               struct tbs_bytes signature, bool *ret_is, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf pem = tbs_buf();
    struct signed_signers one = {0};
    enum tbs_err err = file_read(file, &pem, diag);
    if (err == TBS_OK)
        err = signed_signers_add(&one, tbs_buf_view(&pem), file, diag);
    if (err != TBS_OK)
        return err;
    *ret_is = signed_signer_verifies(&one.signers[0], challenge, signature);
    if (*ret_is)
        err = take_public(one.signers[0].public, &s->spki, diag);
    signed_signers_free(&one);
    return err;
}

static enum tbs_err find_public(struct signer *s, const struct signer_place *place,
                                struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf challenge = tbs_buf();
    TBS_BUF_AUTO struct tbs_buf signature = tbs_buf();
    bool is = false;
    enum tbs_err err = sign_challenge(s, &challenge, &signature, diag);
    for (size_t i = 0; err == TBS_OK && !is && i < place->n_publics; i++)
        err = try_public(s, place->publics[i], tbs_buf_view(&challenge), tbs_buf_view(&signature),
                         &is, diag);
    if (err == TBS_OK && !is)
        err = tbs_fail(diag, TBS_ERR_AUTH,
                       "the key in token '%s' is not the private half of %.150s%s",
                       person_key_token(s->in_token), place->publics[0],
                       place->n_publics > 1 ? " or of any other that was named" : "");
    return err;
}

static enum tbs_err open_in_token(const struct signer_place *place, struct signer *ret_signer,
                                  struct tbs_diag *diag)
{
    struct signer s = {.spki = tbs_buf()};
    if (!place->module || place->n_publics == 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "a key in a token takes the token's PKCS#11 module and the public key in "
                        "PEM");
    enum tbs_err err = person_key_open(place->module, place->key, &s.in_token, diag);
    if (err == TBS_OK)
        err = log_in(&s, diag);
    if (err == TBS_OK)
        err = find_public(&s, place, diag);
    if (err == TBS_OK)
        *ret_signer = s;
    else
        signer_free(&s);
    return err;
}

enum tbs_err signer_open(const struct signer_place *place, struct signer *ret_signer,
                         struct tbs_diag *diag)
{
    return signer_is_uri(place->key) ? open_in_token(place, ret_signer, diag)
                                     : open_file(place->key, ret_signer, diag);
}

void signer_free(struct signer *signer)
{
    EVP_PKEY_free(signer->key);
    person_key_close(signer->in_token);
    tbs_secret_free(&signer->pin);
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
    if (signer->in_token)
        return (struct signed_maker){
            .spki = tbs_buf_view(&signer->spki), .sign = sign_in_token, .ctx = signer};
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
