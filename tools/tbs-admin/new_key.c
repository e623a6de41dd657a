#include "tools/tbs-admin/new_key.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* The usual one of a role first. */
static const struct key_kind kinds[] = {
    {CUSTODY_ROLE_TPK, "hmac-sha256", CUSTODY_HMAC_SHA_256, "tpk", "TPK suite 256"},
    {CUSTODY_ROLE_TPK, "hmac-sha1", CUSTODY_HMAC_SHA_1, "tpk-sha1", "TPK suite 128"},
    {CUSTODY_ROLE_KEK, "hmac", CUSTODY_HMAC_SHA_256, "kek", "KEK stored secrets"},
    {CUSTODY_ROLE_AUDIT, "ecdsa", CUSTODY_ECDSA_P_256, "audit", "AUDIT trail"},
};

static const char *const choices[] = {
    [CUSTODY_ROLE_TPK] = "TPK is for hmac-sha256 or hmac-sha1",
    [CUSTODY_ROLE_KEK] = "KEK is for hmac",
    [CUSTODY_ROLE_AUDIT] = "AUDIT key is for ecdsa",
};

enum tbs_err key_kind_find(enum custody_role role, const char *name,
                           const struct key_kind **ret_kind, struct tbs_diag *diag)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].role == role && (!name || strcmp(kinds[i].name, name) == 0)) {
            *ret_kind = &kinds[i];
            return TBS_OK;
        }
    return tbs_fail(diag, TBS_ERR_INVALID, "a %s, not '%.100s'", choices[role], name);
}

static enum tbs_err choose_id(const struct custody *custody, const struct key_kind *kind,
                              char id[CUSTODY_KEY_ID_MAX + 1], struct tbs_diag *diag)
{
    char month[16];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(month, sizeof month, "%Y-%m", &tm);
    for (char letter = 'a'; letter <= 'z'; letter++) {
        snprintf(id, CUSTODY_KEY_ID_MAX + 1, "%s-%s%.*s", kind->stem, month, letter > 'a', &letter);
        if (!custody_find_key(custody, tbs_bytes_str(id), kind->role))
            return TBS_OK;
    }
    return tbs_fail(diag, TBS_ERR_EXISTS, "all ids up to %s are taken; choose one with --id", id);
}

enum tbs_err key_new(struct custody *custody, const struct key_kind *kind, const char *id,
                     char ret_id[CUSTODY_KEY_ID_MAX + 1], struct tbs_diag *diag)
{
    char chosen[CUSTODY_KEY_ID_MAX + 1];
    enum tbs_err err = TBS_OK;

    if (!id) {
        err = choose_id(custody, kind, chosen, diag);
        id = chosen;
    }
    if (!err)
        err = custody_generate_key(custody, kind->role, kind->alg, id, kind->label, diag);
    if (!err)
        snprintf(ret_id, CUSTODY_KEY_ID_MAX + 1, "%s", id);
    return err;
}
