/* The PKCS#11 backend: its table, and the opening of a token. */
#include "call.h"

#include <stdio.h>
#include <stdlib.h>

static void p11_close(void *token_)
{
    struct p11_token *token = token_;
    P11_IN_TURN(token);
    /* No C_Logout: it would log out the other custodies of this process, too. */
    if (token->holder != CK_INVALID_HANDLE)
        P11(token, C_CloseSession, token->holder);
    p11_unload(token);
    free(token);
}

static enum tbs_err find_and_login(struct p11_token *token, const P11KitUri *uri,
                                   struct tbs_diag *diag)
{
    CK_TOKEN_INFO *info = &token->info;
    P11_IN_TURN(token);
    enum tbs_err err = p11_find_token(token, uri, true, &token->slot, info, diag);
    if (err != TBS_OK)
        return err;
    p11_copy_field(info->label, sizeof info->label, token->name, sizeof token->name);
    CK_RV rv = P11(token, C_OpenSession, token->slot, p11_session_flags(token, false), NULL, NULL,
                   &token->holder);
    if (rv != CKR_OK)
        return p11_session_refused(token, rv, diag);
    return p11_login(token, info, diag);
}

static enum tbs_err open_token(const struct custody_opening *opening, const P11KitUri *uri,
                               void **ret_token, struct tbs_diag *diag)
{
    struct p11_token *token = calloc(1, sizeof *token);
    if (!token)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening the token");
    enum tbs_err err = p11_load(opening->config, token, diag);
    if (err != TBS_OK) {
        free(token);
        return err;
    }
    token->pin = opening->pin;
    token->stats = opening->stats;
    token->origin = opening->origin;
    token->origin_ctx = opening->origin_ctx;
    err = find_and_login(token, uri, diag);
    if (err != TBS_OK) {
        p11_close(token);
        return err;
    }
    *ret_token = token;
    return TBS_OK;
}

static enum tbs_err p11_check(const struct custody_token_config *config, struct tbs_diag *diag)
{
    P11KitUri *uri;
    struct p11_quirks quirks;
    enum tbs_err err = p11_parse_uri(config->uri, true, &uri, diag);
    if (err != TBS_OK)
        return err;
    p11_kit_uri_free(uri);
    return p11_parse_quirks(config, &quirks, diag);
}

static enum tbs_err p11_open(const struct custody_opening *opening, void **ret_token,
                             struct tbs_diag *diag)
{
    P11KitUri *uri;
    enum tbs_err err = p11_parse_uri(opening->config->uri, true, &uri, diag);
    if (err != TBS_OK)
        return err;
    p11_name_stats(opening->stats);
    err = open_token(opening, uri, ret_token, diag);
    p11_kit_uri_free(uri);
    return err;
}

static void p11_describe(void *token_, char *ret_name, size_t size)
{
    const struct p11_token *token = token_;
    snprintf(ret_name, size, "%s", token->name);
}

static void p11_serial(void *token_, char ret_serial[CUSTODY_TOKEN_SERIAL_MAX + 1])
{
    const struct p11_token *token = token_;
    p11_copy_field(token->info.serialNumber, sizeof token->info.serialNumber, ret_serial,
                   CUSTODY_TOKEN_SERIAL_MAX + 1);
}

static const struct custody_ops ops = {
    .version = CUSTODY_OPS_VERSION,
    .name = "pkcs11",
    .description = "any token with a PKCS#11 2.40 module",
    .config_help =
        "module: absolute path, or file name in p11-kit's module directory. uri: RFC "
        "7512, with token= or serial=. "
        "pin_source: fd:N, file:/path, credential:NAME, tpm:/path or prompt. environment: "
        "NAME=value entries the module needs, such as SOFTHSM2_CONF or "
        "P11_KIT_SERVER_ADDRESS. init_args: for its C_Initialize. quirks: how the token "
        "differs.",
    .check = p11_check,
    .prepare = p11_prepare,
    .open = p11_open,
    .close = p11_close,
    .login = p11_login_again,
    .classify = p11_classify,
    .describe = p11_describe,
    .serial = p11_serial,
    .quirks = p11_quirks,
    .session_open = p11_session_open,
    .session_close = p11_session_close,
    .list_keys = p11_list_keys,
    .generate_key = p11_generate_key,
    .destroy_key = p11_destroy_key,
    .random = p11_random,
    .hmac = p11_hmac,
    .seal = p11_seal,
    .unseal = p11_unseal,
    .sign = p11_sign,
    .init_token = p11_init_token,
};

enum tbs_err custody_backend_pkcs11(const struct custody_ops **ret_ops, struct tbs_diag *diag)
{
    (void)diag;
    *ret_ops = &ops;
    return TBS_OK;
}
