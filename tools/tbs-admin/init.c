/* tbs-admin init: the embedded default. A private folder with a token, its keys, the
 * store and the configuration; all of it, or nothing. */
#include "tools/tbs-admin/init.h"

#include <stdio.h>
#include <string.h>

#include "ceremony/run.h"
#include "tools/audit_trail.h"
#include "tools/common/private_file.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/audit.h"

void new_kms_path(const struct new_kms *kms, const char *name, char ret_path[PATH_MAX])
{
    snprintf(ret_path, PATH_MAX, "%s/%s", kms->dir, name);
}

static enum tbs_err write_config(const struct new_kms *kms, struct tbs_diag *diag)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    char path[PATH_MAX];
    enum tbs_err err = new_kms_config(kms, &text, diag);

    if (err)
        return err;
    new_kms_path(kms, "tbs-kmsd.yaml", path);
    err = private_file_write(path, tbs_buf_view(&text), diag);
    new_kms_path(kms, "store.sqlite", path);
    return err ? err : store_create(path, diag);
}

static enum tbs_err begin_trail(const struct new_kms *kms, const struct config *config,
                                struct tbs_diag *diag)
{
    struct audit *audit = NULL;
    enum tbs_err err = audit_trail_open(&config->audit, NULL, &audit, diag);

    for (size_t i = 0; !err && i < kms->n_keys; i++)
        err = admin_audit_key(audit, kms->keys[i], diag);
    audit_close(audit);
    return err;
}

/* What was written, and the token with it, is what a daemon will accept. */
static enum tbs_err use_config(const struct new_kms *kms, struct tbs_diag *diag)
{
    char path[PATH_MAX];
    struct admin a = {.config_file = path};

    new_kms_path(kms, "tbs-kmsd.yaml", path);
    enum tbs_err err = admin_custody(&a, diag);

    if (!err && a.registry)
        err = key_registry_check_tokens(a.custody, diag);
    if (!err)
        err = begin_trail(kms, a.config, diag);
    admin_close(&a);
    return err;
}

static enum tbs_err make(struct new_kms *kms, bool in_tpm, struct tbs_diag *diag)
{
    enum tbs_err err = in_tpm ? new_kms_in_tpm(kms, diag) : new_kms_by_ceremony(kms, diag);

    if (!err)
        err = write_config(kms, diag);
    return err ? err : use_config(kms, diag);
}

static void print_json(const struct admin *a, const struct new_kms *kms)
{
    static const char *const columns[] = {"folder", "configuration", "record", "registry", NULL};
    char path[3][PATH_MAX] = {"", "-", "-"};

    new_kms_path(kms, "tbs-kmsd.yaml", path[0]);
    if (kms->registered) {
        new_kms_path(kms, NEW_KMS_CEREMONY, path[1]);
        new_kms_path(kms, NEW_KMS_REGISTRY, path[2]);
    }
    admin_print(a, columns, json_pack("[[s,s,s,s]]", kms->dir, path[0], path[1], path[2]));
}

static void tell(const struct new_kms *kms)
{
    const char *dir = kms->dir;

    printf("The KMS is ready: tbs-kmsd --config %s/tbs-kmsd.yaml\n", dir);
    if (kms->registered)
        printf("Its keys were made in a rehearsed ceremony and never leave the token. Verify its "
               "record:\n"
               "  tbs-ceremony-verify --rehearsal %s/" NEW_KMS_CEREMONY "\n"
               "The token and its PINs are in %s/tokens: whoever has that folder has the keys.\n"
               "tbs-admin backup makes a copy of all but the PINs.\n",
               dir, dir);
    else
        printf(
            "Its keys never leave the TPM, which alone can use the files in %s/tokens.\n"
            "tbs-admin backup makes a copy of all but the PIN file: keep that in another place.\n",
            dir);
}

static enum tbs_err init(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    const char *token = admin_options.token;
    bool in_tpm = token && strcmp(token, "tpm") == 0;
    struct new_kms kms = {0};

    (void)n;
    if (token && !in_tpm && strcmp(token, "softhsm") != 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a --token is softhsm or tpm, not '%.100s'", token);
    if (!in_tpm && admin_options.tcti)
        return tbs_fail(diag, TBS_ERR_INVALID, "--tcti is for --token tpm");
    enum tbs_err err = folder_make(words[0], kms.dir, diag);

    if (err)
        return err;
    err = make(&kms, in_tpm, diag);
    if (err) /* it is the folder that was made above */
        folder_remove(kms.dir);
    else if (a->json)
        print_json(a, &kms);
    else
        tell(&kms);
    return err;
}

static enum tbs_err read_back(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    (void)a, (void)n, (void)words;
    return run_read_back(diag);
}

const struct admin_command admin_init_commands[] = {
    {"init", NULL, "DIR", 1, 1, init,
     "make a new folder with a token, keys by a rehearsed ceremony, store and configuration"},
    {"read-back", NULL, "", 0, 0, read_back, NULL},
    {0},
};
