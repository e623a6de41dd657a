/* tbs-admin init: token and keys come from a ceremony, rehearsed; its record and its registry stay,
 * so that the KMS works as one in production does. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "ceremony/run.h"
#include "one_token_yaml.h"
#include "tools/common/private_file.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/init.h"

#define TOKEN "A" /* of the script */

static enum tbs_err perform(const struct new_kms *kms, struct tbs_diag *diag)
{
    const struct run_options options = {.text = tbs_bytes(one_token_yaml, sizeof one_token_yaml),
                                        .module = kms->custody.module,
                                        .place = kms->dir,
                                        .rehearse = true,
                                        .automatic = true,
                                        .silent = true};
    char folder[PATH_MAX];
    enum run_end end;

    if (strpbrk(kms->dir, "#=\n\r"))
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "SoftHSM takes no path with a #, a = or a line end in it: choose another "
                        "folder");
    new_kms_path(kms, NEW_KMS_CEREMONY, folder);
    return run_new(folder, &options, &end, diag);
}

/* A copy, for a later ceremony's registry takes its place. */
static enum tbs_err take_registry(struct new_kms *kms, struct tbs_diag *diag)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    char from[PATH_MAX], to[PATH_MAX];

    new_kms_path(kms, NEW_KMS_CEREMONY "/registry.jsonl", from);
    new_kms_path(kms, NEW_KMS_REGISTRY, to);
    enum tbs_err err = file_read(from, &text, diag);

    kms->registered = kms->signs = !err;
    return err ? err : private_file_write(to, tbs_buf_view(&text), diag);
}

static void name_token(struct new_kms *kms)
{
    snprintf(kms->pin, sizeof kms->pin, "file:%s/tokens/" TOKEN ".user-pin", kms->dir);
    snprintf(kms->environment, sizeof kms->environment, "SOFTHSM2_CONF=%s/tokens/softhsm2.conf",
             kms->dir);
    kms->environments[0] = kms->environment;
    kms->custody = (struct custody_token_config){
        .backend = "pkcs11",
        .module = run_rehearsal_module(admin_options.module),
        .uri = "pkcs11:token=tbs-" TOKEN,
        .pin_source = kms->pin,
        .environment = kms->environments,
        .n_environment = 1,
    };
}

enum tbs_err new_kms_by_ceremony(struct new_kms *kms, struct tbs_diag *diag)
{
    name_token(kms);
    enum tbs_err err = perform(kms, diag);

    return err ? err : take_registry(kms, diag);
}
