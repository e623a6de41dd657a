/* read-back: what a ceremony asks of a new process, and no person: the objects of a token. */
#include <jansson.h>
#include <stdio.h>

#include "ceremony/run.h"
#include "custody/pin.h"
#include "pkcs11/vault.h"
#include "tools/tbs-ceremony/ceremony.h"

#define STR_(n) #n
#define STR(n) STR_(n)

static enum tbs_err read_token(const struct vault_token *at, bool pin_pad, json_t **ret_objects,
                               struct tbs_diag *diag)
{
    struct tbs_secret pin = {0};
    struct vault *vault = NULL;
    enum tbs_err err = TBS_OK;
    if (!pin_pad)
        err = pin_read_for("PIN of the user", "fd:" STR(READ_BACK_PIN_FD), &pin, diag);
    if (err == TBS_OK)
        err = vault_open(at, NULL, &vault, diag);
    if (err == TBS_OK)
        err = vault_login(vault, false, tbs_secret_view(&pin), diag);
    tbs_secret_free(&pin);
    if (err == TBS_OK)
        err = vault_inventory(vault, ret_objects, diag);
    vault_close(vault);
    return err;
}

static enum tbs_err read_back(const struct options *options, int n, char **words, int *status,
                              struct tbs_diag *diag)
{
    struct vault_token at = {0};
    int pin_pad;
    json_t *request = json_loadf(stdin, JSON_REJECT_DUPLICATES, NULL), *objects = NULL;
    (void)options, (void)n, (void)words, (void)status;
    if (!request || json_unpack(request, "{s:s, s:s, s:b !}", "module", &at.module, "serial",
                                &at.serial, "pin_pad", &pin_pad) != 0) {
        json_decref(request);
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "read-back is for a ceremony that runs, which says at standard input what "
                        "to read");
    }
    enum tbs_err err = read_token(&at, pin_pad, &objects, diag);
    json_decref(request);
    if (err == TBS_OK && json_dumpf(objects, stdout, JSON_COMPACT) != 0)
        err = tbs_fail(diag, TBS_ERR_IO, "nobody listens to what was read back");
    json_decref(objects);
    return err;
}

const struct command read_back_command = {"read-back", "", 0, 0, read_back, NULL};
