/* A TPM and a folder of key files, for a ceremony: opened, described, and made a token. */
#include "vault_internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"

enum tbs_err tpm_vault_after(struct tpm_vault *v, const char *call, enum tbs_err did,
                             const struct tbs_diag *why, struct tbs_diag *diag)
{
    unsigned long rv = did == TBS_OK ? 0 : why->raw ? why->raw : TSS2_BASE_RC_GENERAL_FAILURE;
    enum tbs_err err = vault_told(&v->base, call, rv, NULL, diag);
    if (err == TBS_OK && did != TBS_OK && diag)
        *diag = *why;
    return err != TBS_OK ? err : did;
}

/* --- The way to it --- */

void tpm_vault_rest(struct vault *base)
{
    struct tpm_vault *v = tpm_vault(base);
    tpm_disconnect(&v->token);
    v->token.esys = NULL;
    v->token.tcti = NULL;
}

enum tbs_err tpm_vault_wake(struct tpm_vault *v, struct tbs_diag *diag)
{
    if (v->token.esys)
        return TBS_OK;
    enum tbs_err err = tpm_connect(&v->token, &v->config, diag);
    if (err == TBS_OK && v->logged_in)
        err = tpm_enter(&v->token, &v->pin, diag);
    if (err != TBS_OK)
        tpm_vault_rest(&v->base);
    return err;
}

enum tbs_err tpm_vault_use(struct tpm_vault *v, struct tbs_diag *diag)
{
    return v->logged_in ? tpm_vault_wake(v, diag)
                        : tbs_fail(diag, TBS_ERR_INVALID, "nobody has given the PIN of token '%s'",
                                   v->token.name);
}

/* --- Opening --- */

static enum tbs_err property(struct tpm_vault *v, TPM2_PT which, uint32_t *ret,
                             struct tbs_diag *diag)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    TSS2_RC rc = Esys_GetCapability(v->token.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    TPM2_CAP_TPM_PROPERTIES, which, 1, &more, &data);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(diag, rc, "asking the TPM about itself");
    const TPML_TAGGED_TPM_PROPERTY *all = &data->data.tpmProperties;
    *ret = all->count > 0 && all->tpmProperty[0].property == which ? all->tpmProperty[0].value : 0;
    Esys_Free(data);
    return TBS_OK;
}

/* Four characters of a property, with a blank for what is not printable, at the end without. */
static void put_text(uint32_t value, char *text)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        char c = (char)(value >> shift & 0xFF);
        *text++ = c >= ' ' && c <= '~' ? c : ' ';
    }
    *text = 0;
}

static void strip(char *text)
{
    for (size_t len = strlen(text); len > 0 && text[len - 1] == ' ';)
        text[--len] = 0;
}

static enum tbs_err learn(struct tpm_vault *v, struct tbs_diag *diag)
{
    uint32_t value = 0;
    VAULT_TRY(property(v, TPM2_PT_MANUFACTURER, &value, diag));
    put_text(value, v->maker);
    strip(v->maker);
    for (unsigned i = 0; i < 4; i++) {
        VAULT_TRY(property(v, TPM2_PT_VENDOR_STRING_1 + i, &value, diag));
        put_text(value, v->model + 4 * i);
    }
    strip(v->model);
    VAULT_TRY(property(v, TPM2_PT_FIRMWARE_VERSION_1, &v->firmware[0], diag));
    return property(v, TPM2_PT_FIRMWARE_VERSION_2, &v->firmware[1], diag);
}

/* By the file of its storage key; that the TPM takes it shows only at the login. */
static enum tbs_err look_for_token(struct tpm_vault *v, struct tbs_diag *diag)
{
    struct tpm_blob blob;
    uint8_t octets[sizeof(TPM2B_PUBLIC)], name[ATTEST_NAME_LEN];
    size_t len = 0;
    enum tbs_err err = tpm_blob_read(v->dir, TPM_TOKEN_FILE, &blob, diag);
    if (err == TBS_ERR_NOT_FOUND)
        return TBS_OK;
    if (err == TBS_OK && !tpm_marshal_public(&blob.public, octets, &len))
        err = tbs_fail(diag, TBS_ERR_CONFIG, "%.200s/token.json has no public area", v->dir);
    if (err == TBS_OK)
        err = attest_name(tbs_bytes(octets, len), name, diag);
    if (err != TBS_OK)
        return err;
    tbs_hex(tbs_bytes(name + 2, CUSTODY_TOKEN_SERIAL_MAX / 2), v->serial);
    snprintf(v->token.name, sizeof v->token.name, "%s", blob.label);
    v->initialised = true;
    return TBS_OK;
}

static enum tbs_err is_meant(const struct tpm_vault *v, const struct vault_token *at,
                             struct tbs_diag *diag)
{
    if (at->fresh && v->initialised)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is a token in %.200s already", v->dir);
    if (!at->fresh && !v->initialised)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "there is no token in %.200s (token.json is missing)", v->dir);
    if ((at->serial && strcmp(at->serial, v->serial) != 0) ||
        (at->label && strcmp(at->label, v->token.name) != 0))
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "the token in %.150s is '%.32s', serial %s, and not the one that is meant",
                        v->dir, v->token.name, v->serial);
    return TBS_OK;
}

static void tpm_vault_close(struct vault *base)
{
    struct tpm_vault *v = tpm_vault(base);
    tpm_vault_rest(base);
    pthread_mutex_destroy(&v->token.lock);
    tbs_secret_free(&v->pin);
    free(v);
}

static enum tbs_err take(struct tpm_vault *v, const struct vault_token *at, struct tbs_diag *diag)
{
    if (!at->tcti || !at->keys || at->keys[0] != '/' ||
        snprintf(v->tcti, sizeof v->tcti, "%s", at->tcti) >= (int)sizeof v->tcti ||
        snprintf(v->dir, sizeof v->dir, "%s", at->keys) >= (int)sizeof v->dir)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "a TPM needs tcti, the way to it, and keys, the absolute path of the "
                        "folder with its key files");
    v->config = (struct custody_token_config){.backend = "tpm", .tcti = v->tcti, .keys = v->dir};
    v->token.dir = v->dir;
    v->token.encrypts = true;
    VAULT_TRY(tpm_check_tcti(v->tcti, diag));
    VAULT_TRY(tpm_prepare(&v->config, diag));
    VAULT_TRY(look_for_token(v, diag));
    VAULT_TRY(is_meant(v, at, diag));
    VAULT_TRY(tpm_vault_wake(v, diag));
    return learn(v, diag);
}

static enum tbs_err tpm_vault_open(const struct vault_token *token, struct vault **ret_vault,
                                   struct tbs_diag *diag)
{
    struct tpm_vault *v = calloc(1, sizeof *v);
    if (!v)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening a token");
    pthread_mutex_init(&v->token.lock, NULL);
    enum tbs_err err = take(v, token, diag);
    if (err == TBS_OK)
        *ret_vault = &v->base;
    else
        tpm_vault_close(&v->base);
    return err;
}

/* --- What it says of itself --- */

static const char *tpm_vault_serial(const struct vault *base)
{
    return ((const struct tpm_vault *)base)->serial;
}

static const char *tpm_vault_label(const struct vault *base)
{
    return ((const struct tpm_vault *)base)->token.name;
}

static const char *tpm_vault_model(const struct vault *base)
{
    return ((const struct tpm_vault *)base)->model;
}

static bool tpm_vault_is_initialised(const struct vault *base)
{
    return ((const struct tpm_vault *)base)->initialised;
}

static bool tpm_vault_never(const struct vault *base)
{
    (void)base;
    return false;
}

static enum tbs_err tpm_vault_info(struct vault *base, json_t **ret_info, struct tbs_diag *diag)
{
    const struct tpm_vault *v = tpm_vault(base);
    json_t *info =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:[s*], s:[]}", "tcti", v->tcti, "keys",
                  v->dir, "manufacturer", v->maker, "model", v->model, "serial", v->serial, "label",
                  v->token.name, "hardware", "TPM 2.0", "firmware",
                  json_sprintf("%u.%u.%u.%u", v->firmware[0] >> 16, v->firmware[0] & 0xFFFF,
                               v->firmware[1] >> 16, v->firmware[1] & 0xFFFF),
                  "flags", v->initialised ? "TOKEN_INITIALIZED" : NULL, "mechanisms");
    if (!info)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory describing a token");
    *ret_info = info;
    return TBS_OK;
}

/* --- PINs --- */

static void tpm_vault_logout(struct vault *base)
{
    struct tpm_vault *v = tpm_vault(base);
    if (v->logged_in)
        tpm_vault_rest(base);
    v->logged_in = false;
    tbs_secret_free(&v->pin);
}

/* The TPM itself is left alone: only the files of this service's keys go. */
static enum tbs_err tpm_vault_init_token(struct vault *base, const char *label,
                                         struct tbs_bytes so_pin, struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    (void)so_pin;
    if (strlen(label) == 0 || strlen(label) >= sizeof v->label)
        return tbs_fail(diag, TBS_ERR_INVALID, "a token's label has 1 to %zu octets",
                        sizeof v->label - 1);
    if (mkdir(v->dir, 0700) != 0 && errno != EEXIST)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot make the folder %.200s: %s", v->dir, strerror(errno));
    tpm_vault_logout(base);
    if (v->initialised)
        VAULT_TRY(TPM_WITNESSED(v, "unlink", json_pack("{s:s}", "label", v->token.name), diag,
                                tpm_vault_erase(v, why)));
    v->initialised = false;
    v->serial[0] = 0;
    snprintf(v->label, sizeof v->label, "%s", label);
    return TBS_OK;
}

/* With the PIN the storage key is made, and with that the token. */
static enum tbs_err tpm_vault_init_pin(struct vault *base, struct tbs_bytes so_pin,
                                       struct tbs_bytes user_pin, struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    TBS_SECRET_AUTO struct tbs_secret pin = {0};
    (void)so_pin;
    if (!v->label[0] || v->initialised)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "the PIN of a TPM's token is set when it is initialised, and never after");
    VAULT_TRY(tbs_secret_copy(user_pin, &pin, diag));
    tpm_vault_rest(base);
    VAULT_TRY(tpm_connect(&v->token, &v->config, diag));
    enum tbs_err err = tpm_set_pin(&v->token, &pin, diag);
    if (err == TBS_OK)
        err = TPM_WITNESSED(v, "TPM2_Create", json_pack("{s:s}", "label", v->label), diag,
                            tpm_make_storage(&v->token, v->label, why));
    tpm_vault_rest(base);
    return err != TBS_OK ? err : look_for_token(v, diag);
}

static enum tbs_err tpm_vault_login(struct vault *base, bool as_so, struct tbs_bytes pin,
                                    struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    if (as_so)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED, "a TPM has no security officers");
    tpm_vault_logout(base);
    tpm_vault_rest(base);
    VAULT_TRY(tbs_secret_copy(pin, &v->pin, diag));
    v->logged_in = true;
    enum tbs_err err = tpm_vault_wake(v, diag);
    if (err != TBS_OK)
        tpm_vault_logout(base);
    return err;
}

/* A token that is yet to be made has a session, too, so that its PIN does not cross the bus. */
static enum tbs_err tpm_vault_random(struct vault *base, uint8_t *ret_octets, size_t len,
                                     struct tbs_diag *diag)
{
    struct tpm_vault *v = tpm_vault(base);
    ESYS_TR primary = ESYS_TR_NONE;
    enum tbs_err err = tpm_vault_wake(v, diag);
    if (err == TBS_OK && !v->logged_in && v->token.session == ESYS_TR_NONE) {
        err = tpm_make_primary(&v->token, &primary, diag);
        if (err == TBS_OK)
            err = tpm_start_session(&v->token, primary, diag);
        tpm_flush(&v->token, &primary);
    }
    return err != TBS_OK ? err : tpm_random(&v->token, ret_octets, len, diag);
}

/* --- The backend --- */

const struct vault_ops vault_tpm = {
    .open = tpm_vault_open,
    .close = tpm_vault_close,
    .serial = tpm_vault_serial,
    .label = tpm_vault_label,
    .model = tpm_vault_model,
    .is_initialised = tpm_vault_is_initialised,
    .has_pin_pad = tpm_vault_never,
    .has_officers = tpm_vault_never,
    .info = tpm_vault_info,
    .init_token = tpm_vault_init_token,
    .init_pin = tpm_vault_init_pin,
    .login = tpm_vault_login,
    .logout = tpm_vault_logout,
    .rest = tpm_vault_rest,
    .random = tpm_vault_random,
    .generate = tpm_vault_generate,
    .transport_make = tpm_vault_transport_make,
    .transport_trust = tpm_vault_transport_trust,
    .generate_replicated = tpm_vault_generate_replicated,
    .unwrap = tpm_vault_unwrap,
    .inventory = tpm_vault_inventory,
    .destroy_objects = tpm_vault_destroy_objects,
    .check = tpm_vault_check,
    .confirm = tpm_vault_confirm,
    .sign = tpm_vault_sign,
    .destroy_by_check = tpm_vault_destroy_by_check,
    .attack = tpm_vault_attack,
    .identify = tpm_vault_identify,
    .certify = tpm_vault_certify,
    .quote = tpm_vault_quote,
};
