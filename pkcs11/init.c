/* A new token: C_InitToken on one that is not initialised, then the user's PIN. */
#include "call.h"

#include <string.h>

#include "custody/pin.h"

struct pins {
    struct tbs_secret so, user;
};

/* What C_InitToken takes: padded with blanks, no NUL (2.40, 5.5). There is one all the same,
 * after the end: p11-kit's remoting takes the label for a string. */
struct padded_label {
    CK_UTF8CHAR text[P11_LABEL_LEN + 1];
};

static enum tbs_err pad_label(const char *label, struct padded_label *ret, struct tbs_diag *diag)
{
    size_t len = label ? strlen(label) : 0;
    if (len == 0 || len > P11_LABEL_LEN || label[len - 1] == ' ')
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "a token's name has 1 to %d octets and no blank at its end", P11_LABEL_LEN);
    memset(ret->text, ' ', P11_LABEL_LEN);
    ret->text[P11_LABEL_LEN] = '\0';
    memcpy(ret->text, label, len);
    return TBS_OK;
}

/* The URI's own token= must be the new name; the token to take has none yet. */
static enum tbs_err parse_narrowing_uri(const char *text, const struct padded_label *label,
                                        P11KitUri **ret_uri, struct tbs_diag *diag)
{
    P11KitUri *uri;
    enum tbs_err err = p11_parse_uri(text, false, &uri, diag);
    if (err != TBS_OK)
        return err;
    CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
    bool has_label = p11_uri_has(info->label, sizeof info->label);
    if (has_label && memcmp(info->label, label->text, sizeof info->label) != 0) {
        p11_kit_uri_free(uri);
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the token URI's token= is not the name the token is to get");
    }
    memset(info->label, 0, sizeof info->label);
    *ret_uri = uri;
    return TBS_OK;
}

/* A token that bears the name already, whoever made it. */
static enum tbs_err find_by_label(struct p11_token *token, const struct padded_label *label,
                                  CK_SLOT_ID *ret_slot, CK_TOKEN_INFO *ret_info,
                                  struct tbs_diag *diag)
{
    P11KitUri *uri = p11_kit_uri_new();
    if (!uri)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory finding a token");
    memcpy(p11_kit_uri_get_token_info(uri)->label, label->text, P11_LABEL_LEN);
    enum tbs_err err = p11_find_token(token, uri, true, ret_slot, ret_info, diag);
    p11_kit_uri_free(uri);
    return err;
}

static enum tbs_err choose(struct p11_token *token, const char *uri_text,
                           const struct padded_label *label, CK_SLOT_ID *ret_slot,
                           CK_TOKEN_INFO *ret_info, struct tbs_diag *diag)
{
    P11KitUri *uri = NULL;
    enum tbs_err err = parse_narrowing_uri(uri_text, label, &uri, diag);
    if (err != TBS_OK)
        return err;
    err = find_by_label(token, label, ret_slot, ret_info, diag);
    if (err == TBS_ERR_NOT_FOUND)
        err = p11_find_token(token, uri, false, ret_slot, ret_info, diag);
    else if (err == TBS_OK || err == TBS_ERR_CONFIG)
        err = tbs_fail(diag, TBS_ERR_EXISTS,
                       "a token of that name is initialised already; it is left as it is");
    p11_kit_uri_free(uri);
    return err;
}

static enum tbs_err check_pin(const char *what, const struct tbs_secret *pin,
                              const CK_TOKEN_INFO *info, struct tbs_diag *diag)
{
    if (pin->len >= info->ulMinPinLen && pin->len <= info->ulMaxPinLen)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG, "this token wants a %s of %lu to %lu octets", what,
                    info->ulMinPinLen, info->ulMaxPinLen);
}

/* Both, before anything is changed. A token with its own PIN pad gets none. */
static enum tbs_err read_pins(const CK_TOKEN_INFO *info, const char *so_source,
                              const char *user_source, struct pins *ret, struct tbs_diag *diag)
{
    static const char so[] = "security officer's PIN", user[] = "user PIN";
    if ((info->flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0)
        return TBS_OK;
    enum tbs_err err = pin_read_for(so, so_source, &ret->so, diag);
    if (err == TBS_OK)
        err = check_pin(so, &ret->so, info, diag);
    if (err == TBS_OK)
        err = pin_read_for(user, user_source, &ret->user, diag);
    if (err == TBS_OK)
        err = check_pin(user, &ret->user, info, diag);
    return err;
}

static CK_RV set_user_pin(struct p11_token *token, CK_SLOT_ID slot, const struct pins *pins)
{
    CK_SESSION_HANDLE session;
    CK_RV rv =
        P11(token, C_OpenSession, slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK)
        return rv;
    rv = P11(token, C_Login, session, CKU_SO, pins->so.data, pins->so.len);
    if (rv == CKR_OK) {
        rv = P11(token, C_InitPIN, session, pins->user.data, pins->user.len);
        P11(token, C_Logout, session);
    }
    P11(token, C_CloseSession, session);
    return rv;
}

static enum tbs_err initialise(struct p11_token *token, CK_SLOT_ID slot, struct padded_label *label,
                               const struct pins *pins, struct tbs_diag *diag)
{
    CK_TOKEN_INFO info;
    CK_RV rv = P11(token, C_InitToken, slot, pins->so.data, pins->so.len, label->text);
    if (rv != CKR_OK)
        return p11_fail(diag, rv, "initialising the token");
    /* By its new name: the slot may have moved. */
    enum tbs_err err = find_by_label(token, label, &slot, &info, diag);
    if (err != TBS_OK)
        return err;
    rv = set_user_pin(token, slot, pins);
    return rv == CKR_OK ? TBS_OK
                        : p11_fail(diag, rv, "the token is initialised, but setting its user PIN");
}

enum tbs_err p11_init_token(const struct custody_token_config *config, const char *token_label,
                            const char *so_pin_source, const char *user_pin_source,
                            struct tbs_diag *diag)
{
    struct padded_label label;
    struct p11_token token;
    struct pins pins = {0};
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    enum tbs_err err = pad_label(token_label, &label, diag);
    if (err == TBS_OK)
        err = p11_prepare(config, diag);
    if (err == TBS_OK)
        err = p11_load(config, &token, diag);
    if (err != TBS_OK)
        return err;
    err = choose(&token, config->uri, &label, &slot, &info, diag);
    if (err == TBS_OK)
        err = read_pins(&info, so_pin_source, user_pin_source, &pins, diag);
    if (err == TBS_OK)
        err = initialise(&token, slot, &label, &pins, diag);
    tbs_secret_free(&pins.so);
    tbs_secret_free(&pins.user);
    p11_unload(&token);
    return err;
}
