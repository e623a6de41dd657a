/* Opening a token for a ceremony, and initialising it. */
#include "vault_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"

/* --- The witness --- */

enum tbs_err vault_before(struct vault *v, const char *call, json_t *what, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    if (!what)
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory announcing %s", call);
    else if (v->witness.before)
        err = v->witness.before(v->witness.ctx, call, what, diag);
    json_decref(what);
    return err;
}

enum tbs_err vault_after(struct vault *v, const char *call, CK_RV rv, json_t *result,
                         struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;
    if (v->witness.after)
        err = v->witness.after(v->witness.ctx, call, rv, result, diag);
    if (err == TBS_OK && rv != CKR_OK)
        err = p11_fail(diag, rv, "%s on token '%s'", call, v->token.name);
    return err;
}

/* --- Opening --- */

static void fill_blank(unsigned char *field, size_t len, const char *text)
{
    memset(field, ' ', len);
    memcpy(field, text, strlen(text) < len ? strlen(text) : len);
}

static enum tbs_err find(struct vault *v, const char *serial, const char *label, bool fresh,
                         struct tbs_diag *diag)
{
    P11KitUri *uri = p11_kit_uri_new();
    if (!uri)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory finding a token");
    CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
    if (serial)
        fill_blank(info->serialNumber, sizeof info->serialNumber, serial);
    if (label && !serial)
        fill_blank(info->label, sizeof info->label, label);
    enum tbs_err err = p11_find_token(&v->token, uri, !fresh, &v->token.slot, &v->token.info, diag);
    if (err == TBS_ERR_CONFIG && serial && label) {
        fill_blank(info->label, sizeof info->label, label);
        err = p11_find_token(&v->token, uri, true, &v->token.slot, &v->token.info, diag);
    }
    /* A token that is named by its serial may be initialised or not. */
    if (err == TBS_ERR_NOT_FOUND && serial)
        err = p11_find_token(&v->token, uri, false, &v->token.slot, &v->token.info, diag);
    p11_kit_uri_free(uri);
    if (err != TBS_OK)
        return err;
    p11_copy_field(v->token.info.label, sizeof v->token.info.label, v->token.name,
                   sizeof v->token.name);
    p11_copy_field(v->token.info.serialNumber, sizeof v->token.info.serialNumber, v->serial,
                   sizeof v->serial);
    p11_copy_field(v->token.info.model, sizeof v->token.info.model, v->model, sizeof v->model);
    return TBS_OK;
}

enum tbs_err vault_open(const struct vault_token *token, const struct vault_witness *witness,
                        struct vault **ret_vault, struct tbs_diag *diag)
{
    const struct custody_token_config config = {.backend = "pkcs11",
                                                .module = token->module,
                                                .init_args = token->init_args,
                                                .quirks = token->quirks,
                                                .n_quirks = token->n_quirks};
    struct vault *v = calloc(1, sizeof *v);
    if (!v)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening a token");
    v->oaep = token->oaep;
    if (witness)
        v->witness = *witness;
    snprintf(v->module, sizeof v->module, "%s", token->module);
    enum tbs_err err = p11_load(&config, &v->token, diag);
    if (err == TBS_OK)
        err = find(v, token->serial, token->label, token->fresh, diag);
    if (err == TBS_OK)
        *ret_vault = v;
    else
        vault_close(v);
    return err;
}

void vault_close(struct vault *vault)
{
    if (!vault)
        return;
    vault_logout(vault);
    if (vault->token.f)
        p11_unload(&vault->token);
    free(vault);
}

const char *vault_serial(const struct vault *vault)
{
    return vault->serial;
}

const char *vault_label(const struct vault *vault)
{
    return vault->token.name;
}

const char *vault_model(const struct vault *vault)
{
    return vault->model;
}

bool vault_is_initialised(const struct vault *vault)
{
    return (vault->token.info.flags & CKF_TOKEN_INITIALIZED) != 0;
}

bool vault_has_pin_pad(const struct vault *vault)
{
    return (vault->token.info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
}

/* --- What it says of itself --- */

static json_t *field(const unsigned char *octets, size_t len)
{
    return vault_text(octets, p11_kit_space_strlen(octets, len));
}

static json_t *version(CK_VERSION v)
{
    return json_sprintf("%d.%d", v.major, v.minor);
}

static json_t *mechanisms(struct vault *v)
{
    CK_ULONG n = 0;
    json_t *list = json_array();
    if (v->token.f->C_GetMechanismList(v->token.slot, NULL, &n) != CKR_OK || n > 1024)
        return list;
    CK_MECHANISM_TYPE *types = calloc(n + 1, sizeof *types);
    if (types && v->token.f->C_GetMechanismList(v->token.slot, types, &n) == CKR_OK)
        for (CK_ULONG i = 0; i < n; i++)
            json_array_append_new(list, vault_mechanism_name(types[i]));
    free(types);
    return list;
}

static json_t *flags_of(CK_FLAGS flags)
{
    static const struct {
        CK_FLAGS flag;
        const char *name;
    } names[] = {{CKF_TOKEN_INITIALIZED, "TOKEN_INITIALIZED"},
                 {CKF_USER_PIN_INITIALIZED, "USER_PIN_INITIALIZED"},
                 {CKF_RNG, "RNG"},
                 {CKF_WRITE_PROTECTED, "WRITE_PROTECTED"},
                 {CKF_PROTECTED_AUTHENTICATION_PATH, "PROTECTED_AUTHENTICATION_PATH"},
                 {CKF_USER_PIN_COUNT_LOW, "USER_PIN_COUNT_LOW"},
                 {CKF_USER_PIN_LOCKED, "USER_PIN_LOCKED"},
                 {CKF_SO_PIN_LOCKED, "SO_PIN_LOCKED"}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (flags & names[i].flag)
            json_array_append_new(list, json_string(names[i].name));
    return list;
}

static json_t *module_hash(const char *path)
{
    uint8_t hash[FILE_HASH_LEN];
    char hex[2 * FILE_HASH_LEN + 1];
    if (file_sha256(path, hash, NULL) != TBS_OK)
        return json_null(); /* a module of p11-kit's own folder, named without its path */
    tbs_hex(tbs_bytes(hash, sizeof hash), hex);
    return json_string(hex);
}

enum tbs_err vault_info(struct vault *vault, json_t **ret_info, struct tbs_diag *diag)
{
    CK_INFO library;
    CK_RV rv = vault->token.f->C_GetInfo(&library);
    if (rv == CKR_OK)
        rv = vault->token.f->C_GetTokenInfo(vault->token.slot, &vault->token.info);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "asking token '%s' about itself", vault->token.name);
    const CK_TOKEN_INFO *t = &vault->token.info;
    json_t *info = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "module", vault->module,
        "module_sha256", module_hash(vault->module), "library",
        field(library.libraryDescription, sizeof library.libraryDescription), "manufacturer",
        field(t->manufacturerID, sizeof t->manufacturerID), "model",
        field(t->model, sizeof t->model), "serial", json_string(vault->serial), "label",
        field(t->label, sizeof t->label), "hardware", version(t->hardwareVersion), "firmware",
        version(t->firmwareVersion), "flags", flags_of(t->flags), "mechanisms", mechanisms(vault));
    if (!info)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory describing a token");
    *ret_info = info;
    return TBS_OK;
}

/* --- PINs --- */

static unsigned char *pin_data(struct tbs_bytes pin)
{
    return pin.len > 0 ? (unsigned char *)pin.data : NULL;
}

enum tbs_err vault_init_token(struct vault *vault, const char *label, struct tbs_bytes so_pin,
                              struct tbs_diag *diag)
{
    CK_UTF8CHAR padded[P11_LABEL_LEN + 1] = {0};
    if (strlen(label) == 0 || strlen(label) > P11_LABEL_LEN)
        return tbs_fail(diag, TBS_ERR_INVALID, "a token's label has 1 to %d octets", P11_LABEL_LEN);
    fill_blank(padded, P11_LABEL_LEN, label);
    vault_logout(vault);
    VAULT_TRY(WITNESSED(vault, json_pack("{s:s}", "label", label), diag, C_InitToken,
                        vault->token.slot, pin_data(so_pin), so_pin.len, padded));
    /* By its new name: the slot may have moved, and the serial may be new. */
    return find(vault, NULL, label, false, diag);
}

static enum tbs_err open_session(struct vault *v, struct tbs_diag *diag)
{
    CK_RV rv = v->token.f->C_OpenSession(v->token.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                         NULL, &v->session);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "opening a session with token '%s'", v->token.name);
    v->token.holder = v->session;
    return TBS_OK;
}

enum tbs_err vault_login(struct vault *vault, bool as_so, struct tbs_bytes pin,
                         struct tbs_diag *diag)
{
    vault_logout(vault);
    VAULT_TRY(open_session(vault, diag));
    CK_RV rv =
        vault->token.f->C_Login(vault->session, as_so ? CKU_SO : CKU_USER, pin_data(pin), pin.len);
    if (rv != CKR_OK) {
        vault->token.f->C_CloseSession(vault->session);
        return p11_fail(diag, rv, "logging in to token '%s' as %s", vault->token.name,
                        as_so ? "security officer" : "user");
    }
    vault->logged_in = true;
    return TBS_OK;
}

void vault_logout(struct vault *vault)
{
    if (!vault->logged_in)
        return;
    vault->token.f->C_Logout(vault->session);
    vault->token.f->C_CloseSession(vault->session);
    vault->logged_in = false;
}

enum tbs_err vault_random(struct vault *vault, uint8_t *ret_octets, size_t len,
                          struct tbs_diag *diag)
{
    CK_RV rv = vault->token.f->C_GenerateRandom(vault->session, ret_octets, len);
    return rv == CKR_OK
               ? TBS_OK
               : p11_fail(diag, rv, "asking token '%s' for random octets", vault->token.name);
}

enum tbs_err vault_init_pin(struct vault *vault, struct tbs_bytes so_pin, struct tbs_bytes user_pin,
                            struct tbs_diag *diag)
{
    VAULT_TRY(vault_login(vault, true, so_pin, diag));
    enum tbs_err err = WITNESSED(vault, json_object(), diag, C_InitPIN, vault->session,
                                 pin_data(user_pin), user_pin.len);
    vault_logout(vault);
    return err;
}
