/* Tokens are named by what they say of themselves (RFC 7512), never by slot: slot numbers move
 * when tokens are added, initialised or plugged in again. */
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX 1024

void p11_copy_field(const unsigned char *field, size_t len, char *ret_text, size_t size)
{
    size_t n = p11_kit_space_strlen(field, len);
    if (n > size - 1)
        n = size - 1;
    for (size_t i = 0; i < n; i++)
        ret_text[i] = (char)(field[i] < 0x20 || field[i] == 0x7f ? '?' : field[i]);
    ret_text[n] = '\0';
}

bool p11_uri_has(const unsigned char *field, size_t len)
{
    return field[0] != '\0' && p11_kit_space_strlen(field, len) > 0;
}

static bool is_named(P11KitUri *uri)
{
    const CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
    return p11_uri_has(info->label, sizeof info->label) ||
           p11_uri_has(info->serialNumber, sizeof info->serialNumber);
}

/* No error repeats the text: it might hold a PIN where none belongs. */
enum tbs_err p11_parse_uri(const char *text, bool need_name, P11KitUri **ret_uri,
                           struct tbs_diag *diag)
{
    if (!text)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "no token is named; write a URI such as pkcs11:token=kms");
    if (strchr(text, '?'))
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the token URI has a query part (?...): PINs and module paths have their "
                        "own settings; a PIN that stood there is to be changed");
    P11KitUri *uri = p11_kit_uri_new();
    if (!uri)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory reading the token URI");
    int parsed = p11_kit_uri_parse(text, P11_KIT_URI_FOR_TOKEN, uri);
    enum tbs_err err = TBS_OK;
    if (parsed != P11_KIT_URI_OK)
        err = tbs_fail(diag, TBS_ERR_CONFIG, "the token URI is not one of RFC 7512: %s",
                       p11_kit_uri_message(parsed));
    else if (p11_kit_uri_any_unrecognized(uri) || p11_kit_uri_get_pin_value(uri) ||
             p11_kit_uri_get_pin_source(uri))
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       "the token URI may hold token=, serial=, manufacturer= and model= only");
    else if (need_name && !is_named(uri))
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       "the token URI must hold token= or serial=, such as pkcs11:token=kms");
    if (err != TBS_OK) {
        p11_kit_uri_free(uri);
        return err;
    }
    *ret_uri = uri;
    return TBS_OK;
}

static enum tbs_err get_slots(struct p11_token *token, CK_SLOT_ID **ret_slots, CK_ULONG *ret_n,
                              struct tbs_diag *diag)
{
    CK_ULONG n = SLOTS_MAX;
    CK_SLOT_ID *slots = calloc(SLOTS_MAX, sizeof *slots);
    if (!slots)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory listing tokens");
    /* The call without a buffer makes modules look for tokens anew (2.40, 5.5). */
    CK_ULONG announced;
    CK_RV rv = P11(token, C_GetSlotList, CK_TRUE, NULL, &announced);
    if (rv == CKR_OK)
        rv = P11(token, C_GetSlotList, CK_TRUE, slots, &n);
    if (rv != CKR_OK) {
        free(slots);
        return p11_fail(diag, rv, "listing tokens");
    }
    *ret_slots = slots;
    *ret_n = n;
    return TBS_OK;
}

/* What was seen, for the sentence when nothing fits. */
struct seen {
    char text[160];
    size_t len;
};

static void note(struct seen *seen, const CK_TOKEN_INFO *info)
{
    char label[P11_LABEL_LEN + 1], serial[P11_SERIAL_LEN + 1];
    if (seen->len >= sizeof seen->text - 1)
        return;
    p11_copy_field(info->label, sizeof info->label, label, sizeof label);
    p11_copy_field(info->serialNumber, sizeof info->serialNumber, serial, sizeof serial);
    int n = snprintf(seen->text + seen->len, sizeof seen->text - seen->len, "%s'%s' (serial %s)",
                     seen->len > 0 ? ", " : "", label, serial);
    seen->len += (size_t)n;
}

static enum tbs_err judge_count(unsigned found, bool initialized, const struct seen *seen,
                                struct tbs_diag *diag)
{
    if (found == 1)
        return TBS_OK;
    if (found > 1)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the URI fits %u tokens; name the one meant with serial=: %s", found,
                        seen->text);
    if (!initialized)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "the module shows no token that fits the URI and is not initialised yet");
    return tbs_fail(diag, TBS_ERR_NOT_FOUND, "no token fits the URI; the module shows: %s",
                    seen->len > 0 ? seen->text : "none");
}

enum tbs_err p11_find_token(struct p11_token *token, const P11KitUri *uri, bool initialized,
                            CK_SLOT_ID *ret_slot, CK_TOKEN_INFO *ret_info, struct tbs_diag *diag)
{
    CK_SLOT_ID *slots = NULL, slot = 0;
    CK_ULONG n = 0;
    CK_TOKEN_INFO match = {0};
    struct seen all = {0}, fitting = {0};
    unsigned found = 0;
    enum tbs_err err = get_slots(token, &slots, &n, diag);
    if (err != TBS_OK)
        return err;
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;
        /* A token that was just pulled, or is of a foreign kind, is not the one meant. */
        if (P11(token, C_GetTokenInfo, slots[i], &info) != CKR_OK ||
            ((info.flags & CKF_TOKEN_INITIALIZED) != 0) != initialized)
            continue;
        note(&all, &info);
        if (!p11_kit_uri_match_token_info(uri, &info))
            continue;
        note(&fitting, &info);
        found++;
        slot = slots[i];
        match = info;
    }
    free(slots);
    err = judge_count(found, initialized, found > 1 ? &fitting : &all, diag);
    if (err != TBS_OK)
        return err;
    *ret_slot = slot;
    *ret_info = match;
    return TBS_OK;
}
