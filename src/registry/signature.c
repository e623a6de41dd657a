/* Who signs: public keys, their names, and their signatures. */
#include "registry/internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define RSA_BITS_MIN 2048

static const char ecdsa[] = "ECDSA-SHA256", pss[] = "RSA-PSS-SHA256", ed25519[] = "Ed25519";

bool signed_algorithm_known(const char *name)
{
    return strcmp(name, ecdsa) == 0 || strcmp(name, pss) == 0 || strcmp(name, ed25519) == 0;
}

static bool is_our_curve(const EVP_PKEY *key)
{
    char group[32];
    size_t len;
    if (EVP_PKEY_get_group_name(key, group, sizeof group, &len) != 1)
        return false;
    int nid = OBJ_txt2nid(group);
    return nid == NID_X9_62_prime256v1 || nid == NID_secp384r1;
}

/* NULL for a key that signs nothing here. */
static const char *algorithm_of(const EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
        return is_our_curve(key) ? ecdsa : NULL;
    case EVP_PKEY_RSA:
        return EVP_PKEY_get_bits(key) >= RSA_BITS_MIN ? pss : NULL;
    case EVP_PKEY_ED25519:
        return ed25519;
    }
    return NULL;
}

EVP_PKEY *signed_public_of(struct tbs_bytes spki, char ret_key[SIGNED_KEY_LEN + 1],
                           const char **ret_algorithm, struct tbs_diag *diag)
{
    const uint8_t *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    const char *algorithm = key && at == spki.data + spki.len ? algorithm_of(key) : NULL;
    if (!algorithm) {
        EVP_PKEY_free(key);
        ERR_clear_error();
        tbs_fail(diag, TBS_ERR_INVALID,
                 "this public key is not one on P-256 or P-384, RSA of %d bits or more, or Ed25519",
                 RSA_BITS_MIN);
        return NULL;
    }
    uint8_t hash[SIGNED_HASH_LEN];
    SHA256(spki.data, spki.len, hash);
    tbs_hex(tbs_bytes(hash, sizeof hash), ret_key);
    *ret_algorithm = algorithm;
    return key;
}

void signed_public_free(EVP_PKEY *public)
{
    EVP_PKEY_free(public);
}

/* --- Signatures --- */

static bool set_padding(EVP_PKEY *key, EVP_PKEY_CTX *ctx)
{
    return algorithm_of(key) != pss ||
           (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

/* Ed25519 has its hash inside. */
static const EVP_MD *digest_of(const EVP_PKEY *key)
{
    return algorithm_of(key) == ed25519 ? NULL : EVP_sha256();
}

bool signed_verifies(EVP_PKEY *public, struct tbs_bytes octets, struct tbs_bytes signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx;
    bool ok = ctx && EVP_DigestVerifyInit(ctx, &key_ctx, digest_of(public), NULL, public) == 1 &&
              set_padding(public, key_ctx) &&
              EVP_DigestVerify(ctx, signature.data, signature.len, octets.data, octets.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

bool signed_signer_verifies(const struct signed_signer *signer, struct tbs_bytes octets,
                            struct tbs_bytes signature)
{
    return signed_verifies(signer->public, octets, signature);
}

enum tbs_err signed_by_pkey(void *pkey, struct tbs_bytes octets, struct tbs_buf *ret_signature,
                            struct tbs_diag *diag)
{
    EVP_PKEY *key = pkey;
    uint8_t signature[1024];
    size_t len = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx;
    bool ok = ctx && EVP_DigestSignInit(ctx, &key_ctx, digest_of(key), NULL, key) == 1 &&
              set_padding(key, key_ctx) &&
              EVP_DigestSign(ctx, signature, &len, octets.data, octets.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed at a signature");
    tbs_put_bytes(ret_signature, tbs_bytes(signature, len));
    return ret_signature->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for a signature")
                                 : TBS_OK;
}

/* --- Signers --- */

static EVP_PKEY *read_pem(struct tbs_bytes pem)
{
    BIO *bio = pem.len > 0 && pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *second = key ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    if (second) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_free(second);
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static const struct signed_signer *find_signer(const struct signed_signers *signers,
                                               const char *key)
{
    for (size_t i = 0; i < signers->n; i++) {
        if (strcmp(signers->signers[i].key, key) == 0)
            return &signers->signers[i];
    }
    return NULL;
}

static enum tbs_err add_public(struct signed_signers *signers, struct tbs_bytes spki,
                               const char *name, struct tbs_diag *diag)
{
    struct signed_signer *signer = &signers->signers[signers->n];
    struct tbs_diag why = {0};
    const char *algorithm;
    char key[SIGNED_KEY_LEN + 1];
    EVP_PKEY *public = signed_public_of(spki, key, &algorithm, &why);
    if (!public)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%s: %s", name, why.text);
    const struct signed_signer *same = find_signer(signers, key);
    if (same) {
        EVP_PKEY_free(public);
        return tbs_fail(diag, TBS_ERR_EXISTS, "%s and %s are the same key; a signer counts once",
                        same->name, name);
    }
    snprintf(signer->name, sizeof signer->name, "%s", name);
    strcpy(signer->key, key);
    signer->public = public;
    signers->n++;
    return TBS_OK;
}

enum tbs_err signed_signers_add(struct signed_signers *signers, struct tbs_bytes pem,
                                const char *name, struct tbs_diag *diag)
{
    if (signers->n == SIGNED_SIGNERS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "there may be %d signers", SIGNED_SIGNERS_MAX);
    EVP_PKEY *key = read_pem(pem);
    if (!key)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%s does not hold one public key in PEM", name);
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    EVP_PKEY_free(key);
    if (len <= 0)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed at the public key of %s", name);
    enum tbs_err err = add_public(signers, tbs_bytes(der, (size_t)len), name, diag);
    OPENSSL_free(der);
    return err;
}

void signed_signers_free(struct signed_signers *signers)
{
    for (size_t i = 0; i < signers->n; i++)
        EVP_PKEY_free(signers->signers[i].public);
    *signers = (struct signed_signers){0};
}

/* --- Verifying --- */

enum tbs_err signed_lines_verify(const struct signed_lines *lines,
                                 const struct signed_signers *signers, size_t need,
                                 bool ret_signed[SIGNED_SIGNERS_MAX], struct tbs_diag *diag)
{
    bool has_signed[SIGNED_SIGNERS_MAX] = {false};
    size_t n = 0;
    if (need == 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "nobody's signature is asked for");
    for (size_t i = 0; i < lines->n; i++) {
        const struct signed_signature *s = &lines->signatures[i];
        const struct signed_signer *signer = find_signer(signers, s->key);
        if (!signer)
            continue;
        if (strcmp(s->algorithm, algorithm_of(signer->public)) != 0 ||
            !signed_verifies(signer->public, tbs_buf_view(&lines->line), tbs_buf_view(&s->octets)))
            return tbs_fail(diag, TBS_ERR_AUTH,
                            "the signature by %s does not verify: it, or what it signed, was "
                            "changed",
                            signer->name);
        n += !has_signed[signer - signers->signers];
        has_signed[signer - signers->signers] = true;
    }
    if (n < need)
        return tbs_fail(diag, TBS_ERR_AUTH,
                        "%zu of the %zu signers that count signed, and %zu are needed", n,
                        signers->n, need);
    if (ret_signed)
        memcpy(ret_signed, has_signed, sizeof has_signed);
    return TBS_OK;
}
