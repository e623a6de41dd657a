/* tbs-admin init --token tpm: a token in a TPM and its keys, made at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/rand.h>

#include "tools/common/private_file.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/init.h"
#include "tools/tbs-admin/new_key.h"

#define PIN_DIGITS 24

/* A PIN of random digits, in a file that only its owner reads. */
static enum tbs_err write_pin(const struct new_kms *kms, struct tbs_diag *diag)
{
    struct tbs_secret pin TBS_SECRET_AUTO = {0};
    enum tbs_err err = tbs_secret_alloc(PIN_DIGITS + 1, &pin, diag);
    char path[PATH_MAX];

    if (err)
        return err;
    for (size_t i = 0; i < PIN_DIGITS;) {
        uint8_t octet;

        if (RAND_priv_bytes(&octet, 1) != 1)
            return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL has no random octets");
        if (octet < 250) /* so that every digit is as likely */
            pin.data[i++] = (uint8_t)('0' + octet % 10);
    }
    pin.data[PIN_DIGITS] = '\n';
    new_kms_path(kms, "user.pin", path);
    return private_file_write(path, tbs_secret_view(&pin), diag);
}

/* A TPM has no security officer. */
static enum tbs_err make_token(struct new_kms *kms, struct tbs_diag *diag)
{
    new_kms_path(kms, "tokens", kms->key_files);
    snprintf(kms->pin, sizeof kms->pin, "file:%s/user.pin", kms->dir);
    kms->custody = (struct custody_token_config){
        .backend = "tpm",
        .tcti = admin_options.tcti ? admin_options.tcti : "device:/dev/tpmrm0",
        .keys = kms->key_files,
        .pin_source = kms->pin,
    };
    if (mkdir(kms->key_files, 0700) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make %.200s: %s",
                            kms->key_files, strerror(errno));
    enum tbs_err err = write_pin(kms, diag);

    return err ? err : custody_init_token(&kms->custody, "tbs", NULL, kms->pin, diag);
}

static enum tbs_err make_key(struct new_kms *kms, struct custody *custody,
                             const struct key_kind *kind, struct tbs_diag *diag)
{
    enum tbs_err err = key_new(custody, kind, NULL, kms->keys[kms->n_keys], diag);

    kms->n_keys += !err;
    return err;
}

/* A token that cannot sign is good enough for all else. */
static enum tbs_err make_audit_key(struct new_kms *kms, struct custody *custody,
                                   struct tbs_diag *diag)
{
    const struct key_kind *kind;
    struct tbs_diag why = {0};
    enum tbs_err err = key_kind_find(CUSTODY_ROLE_AUDIT, NULL, &kind, diag);

    if (err)
        return err;
    err = make_key(kms, custody, kind, &why);
    kms->signs = !err;
    if (err == TBS_ERR_UNSUPPORTED) {
        fprintf(stderr, "tbs-admin: the audit trail will not be signed: %s\n", why.text);
        return TBS_OK;
    }
    return err ? tbs_fail_raw(diag, err, why.raw, "%s", why.text) : TBS_OK;
}

static enum tbs_err make_keys(struct new_kms *kms, struct tbs_diag *diag)
{
    static const struct {
        enum custody_role role;
        const char *alg;
    } wanted[] = {{CUSTODY_ROLE_TPK, "hmac-sha256"},
                  {CUSTODY_ROLE_TPK, "hmac-sha1"},
                  {CUSTODY_ROLE_KEK, "hmac"}};
    const struct key_kind *kind;
    struct custody *custody = NULL;
    enum tbs_err err = custody_open(
        &(struct custody_config){.tokens = &kms->custody, .n_tokens = 1}, &custody, diag);

    for (size_t i = 0; !err && i < sizeof wanted / sizeof *wanted; i++) {
        err = key_kind_find(wanted[i].role, wanted[i].alg, &kind, diag);
        if (!err)
            err = make_key(kms, custody, kind, diag);
    }
    if (!err)
        err = make_audit_key(kms, custody, diag);
    custody_close(custody);
    return err;
}

enum tbs_err new_kms_in_tpm(struct new_kms *kms, struct tbs_diag *diag)
{
    enum tbs_err err = make_token(kms, diag);

    return err ? err : make_keys(kms, diag);
}
