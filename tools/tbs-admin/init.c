/* tbs-admin init: the embedded default. A private folder with a token, its keys, the
 * store and the configuration; all of it, or nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "tools/audit_trail.h"
#include "tools/common/private_file.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/audit.h"
#include "tools/tbs-admin/folder.h"
#include "tools/tbs-admin/init_config.h"
#include "tools/tbs-admin/new_key.h"

#define TOKEN_LABEL "tbs"
#define PIN_DIGITS 24

static const char *const softhsm_paths[] = {
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
};

struct place {
    char dir[FOLDER_MAX];
    bool in_tpm;
    const char *module;
    char environment[PATH_MAX];
    const char *environment_list[1];
    struct custody_token_config custody;
    char user_pin[PATH_MAX], so_pin[PATH_MAX], keys_dir[PATH_MAX];
    bool signs; /* the token has an audit key */
    char keys[4][CUSTODY_KEY_ID_MAX + 1];
    size_t n_keys;
};

static void path_of(const struct place *p, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", p->dir, name);
}

static enum tbs_err find_module(struct place *p, struct tbs_diag *diag)
{
    if (admin_options.module) {
        p->module = admin_options.module;
        return TBS_OK;
    }
    for (size_t i = 0; i < sizeof softhsm_paths / sizeof *softhsm_paths; i++)
        if (access(softhsm_paths[i], R_OK) == 0) {
            p->module = softhsm_paths[i];
            return TBS_OK;
        }
    return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                    "SoftHSM's module is not where it usually is: install softhsm2 or name it "
                    "with --module");
}

static enum tbs_err make_dir(struct place *p, const char *dir, struct tbs_diag *diag)
{
    char tokens[PATH_MAX];
    enum tbs_err err = folder_make(dir, p->dir, diag);

    if (err)
        return err;
    path_of(p, "tokens", tokens);
    if (!p->in_tpm && strpbrk(p->dir, "#=\n\r"))
        err = tbs_fail(diag, TBS_ERR_INVALID,
                       "SoftHSM takes no path with a #, a = or a line end in it: choose another "
                       "folder");
    else if (mkdir(tokens, 0700) != 0)
        err = tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make %.200s: %s", tokens,
                           strerror(errno));
    if (err)
        folder_remove(p->dir);
    return err;
}

/* A PIN of random digits, in a file that only its owner reads. */
static enum tbs_err write_pin(const struct place *p, const char *name, struct tbs_diag *diag)
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
    path_of(p, name, path);
    return private_file_write(path, tbs_secret_view(&pin), diag);
}

static void name_tpm(struct place *p)
{
    path_of(p, "tokens", p->keys_dir);
    p->custody = (struct custody_token_config){
        .backend = "tpm",
        .tcti = admin_options.tcti ? admin_options.tcti : "device:/dev/tpmrm0",
        .keys = p->keys_dir,
        .pin_source = p->user_pin,
    };
}

static enum tbs_err write_softhsm(struct place *p, struct tbs_diag *diag)
{
    char path[PATH_MAX], text[2 * PATH_MAX];

    snprintf(text, sizeof text,
             "# The token of this KMS; its keys are in the folder below.\n"
             "directories.tokendir = %s/tokens\n"
             "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
             p->dir);
    snprintf(p->environment, sizeof p->environment, "SOFTHSM2_CONF=%s/softhsm2.conf", p->dir);
    p->environment_list[0] = p->environment;
    p->custody = (struct custody_token_config){
        .backend = "pkcs11",
        .module = p->module,
        .uri = "pkcs11:token=" TOKEN_LABEL,
        .pin_source = p->user_pin,
        .environment = p->environment_list,
        .n_environment = 1,
    };
    path_of(p, "softhsm2.conf", path);
    return private_file_write(path, tbs_bytes_str(text), diag);
}

static enum tbs_err make_key(struct place *p, struct custody *custody, const struct key_kind *kind,
                             struct tbs_diag *diag)
{
    enum tbs_err err = key_new(custody, kind, NULL, p->keys[p->n_keys], diag);

    p->n_keys += !err;
    return err;
}

/* A token that cannot sign is good enough for all else. */
static enum tbs_err make_audit_key(struct place *p, struct custody *custody, struct tbs_diag *diag)
{
    const struct key_kind *kind;
    struct tbs_diag why = {0};
    enum tbs_err err = key_kind_find(CUSTODY_ROLE_AUDIT, NULL, &kind, diag);

    if (err)
        return err;
    err = make_key(p, custody, kind, &why);
    p->signs = !err;
    if (err == TBS_ERR_UNSUPPORTED) {
        fprintf(stderr, "tbs-admin: the audit trail will not be signed: %s\n", why.text);
        return TBS_OK;
    }
    return err ? tbs_fail_raw(diag, err, why.raw, "%s", why.text) : TBS_OK;
}

static enum tbs_err make_keys(struct place *p, const struct key_kind *kek, struct tbs_diag *diag)
{
    const struct key_kind *kinds[3] = {[2] = kek};
    struct custody *custody = NULL;
    enum tbs_err err = key_kind_find(CUSTODY_ROLE_TPK, "hmac-sha256", &kinds[0], diag);

    if (!err)
        err = key_kind_find(CUSTODY_ROLE_TPK, "hmac-sha1", &kinds[1], diag);
    if (!err)
        err = custody_open(&(struct custody_config){.tokens = &p->custody, .n_tokens = 1}, &custody,
                           diag);
    for (size_t i = 0; !err && i < 3; i++)
        err = make_key(p, custody, kinds[i], diag);
    if (!err)
        err = make_audit_key(p, custody, diag);
    custody_close(custody);
    return err;
}

static enum tbs_err write_config(struct place *p, struct tbs_diag *diag)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    char path[PATH_MAX];
    enum tbs_err err = init_config(&p->custody, p->signs, &text, diag);

    if (err)
        return err;
    path_of(p, "tbs-kmsd.yaml", path);
    err = private_file_write(path, tbs_buf_view(&text), diag);
    path_of(p, "store.sqlite", path);
    return err ? err : store_create(path, diag);
}

static enum tbs_err begin_trail(const struct place *p, const struct config *config,
                                struct tbs_diag *diag)
{
    struct audit *audit = NULL;
    enum tbs_err err = audit_trail_open(&config->audit, NULL, &audit, diag);

    for (size_t i = 0; !err && i < p->n_keys; i++)
        err = admin_audit_key(audit, p->keys[i], diag);
    audit_close(audit);
    return err;
}

/* The configuration that was written is the one that a daemon will accept. */
static enum tbs_err use_config(const struct place *p, struct tbs_diag *diag)
{
    char path[PATH_MAX];
    struct config *config;

    path_of(p, "tbs-kmsd.yaml", path);
    enum tbs_err err = config_load(path, &config, diag);

    if (err)
        return err;
    err = begin_trail(p, config, diag);
    config_free(config);
    return err;
}

/* A TPM has no security officer. */
static enum tbs_err make_token(struct place *p, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    snprintf(p->user_pin, sizeof p->user_pin, "file:%s/user.pin", p->dir);
    snprintf(p->so_pin, sizeof p->so_pin, "file:%s/so.pin", p->dir);
    if (p->in_tpm)
        name_tpm(p);
    else
        err = write_softhsm(p, diag);
    if (!err && !p->in_tpm)
        err = write_pin(p, "so.pin", diag);
    if (!err)
        err = write_pin(p, "user.pin", diag);
    return err ? err : custody_init_token(&p->custody, TOKEN_LABEL, p->so_pin, p->user_pin, diag);
}

/* SoftHSM where nothing else is said. */
static enum tbs_err choose_token(struct place *p, const struct key_kind **ret_kek,
                                 struct tbs_diag *diag)
{
    const char *token = admin_options.token, *kek = admin_options.kek;

    p->in_tpm = token && strcmp(token, "tpm") == 0;
    if (token && !p->in_tpm && strcmp(token, "softhsm") != 0)
        return tbs_fail(diag, TBS_ERR_INVALID, "a --token is softhsm or tpm, not '%.100s'", token);
    if (!p->in_tpm && admin_options.tcti)
        return tbs_fail(diag, TBS_ERR_INVALID, "--tcti is for --token tpm");
    enum tbs_err err =
        key_kind_find(CUSTODY_ROLE_KEK, kek || !p->in_tpm ? kek : "hmac", ret_kek, diag);

    return err || p->in_tpm ? err : find_module(p, diag);
}

static enum tbs_err init(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct place p = {0};
    const struct key_kind *kek;
    enum tbs_err err = choose_token(&p, &kek, diag);

    (void)a, (void)n;
    if (!err)
        err = make_dir(&p, words[0], diag);
    if (err)
        return err;
    err = make_token(&p, diag);
    if (!err)
        err = make_keys(&p, kek, diag);
    if (!err)
        err = write_config(&p, diag);
    if (!err)
        err = use_config(&p, diag);
    if (err) /* it is the folder that was made above */
        folder_remove(p.dir);
    else
        printf("The KMS is ready: tbs-kmsd --config %s/tbs-kmsd.yaml\n"
               "%s %s/tokens. tbs-admin backup makes a copy of all but the PIN files: keep those "
               "in another place.\n",
               p.dir,
               p.in_tpm ? "Its keys never leave the TPM, which alone can use the files in"
                        : "Its keys never leave the token in",
               p.dir);
    return err;
}

const struct admin_command admin_init_commands[] = {
    {"init", NULL, "DIR", 1, 1, init,
     "make a new folder with a token in SoftHSM or a TPM, keys, store and configuration"},
    {0},
};
