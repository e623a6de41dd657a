/* tbs-admin init: the embedded default. A private folder with a SoftHSM token, its keys, the
 * store and the configuration; all of it, or nothing. */
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "tools/tbs-admin/admin.h"

#define TOKEN_LABEL "tbs"
#define PIN_DIGITS 24

static const char *const softhsm_paths[] = {
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
};

struct place {
    char dir[PATH_MAX - 64];
    const char *module;
    char environment[PATH_MAX];
    const char *environment_list[1];
    struct custody_config custody;
    char user_pin[PATH_MAX], so_pin[PATH_MAX];
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

    if (mkdir(dir, 0700) != 0)
        return tbs_fail_raw(diag, errno == EEXIST ? TBS_ERR_EXISTS : TBS_ERR_IO,
                            (unsigned long)errno, "cannot make the new folder %s: %s", dir,
                            strerror(errno));
    char *real = realpath(dir, NULL);

    if (!real || strlen(real) >= sizeof p->dir) {
        free(real);
        return tbs_fail(diag, TBS_ERR_IO, "the path of %s is too long", dir);
    }
    strcpy(p->dir, real);
    free(real);
    path_of(p, "tokens", tokens);
    if (mkdir(tokens, 0700) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make %s: %s", tokens,
                            strerror(errno));
    return TBS_OK;
}

static enum tbs_err write_text(const struct place *p, const char *name, const char *text,
                               struct tbs_diag *diag)
{
    char path[PATH_MAX];

    path_of(p, name, path);
    return admin_write_new(path, tbs_bytes_str(text), diag);
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
    return admin_write_new(path, tbs_secret_view(&pin), diag);
}

static enum tbs_err write_softhsm(struct place *p, struct tbs_diag *diag)
{
    char text[2 * PATH_MAX];

    snprintf(text, sizeof text,
             "# The token of this KMS; its keys are in the folder below.\n"
             "directories.tokendir = %s/tokens\n"
             "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
             p->dir);
    snprintf(p->environment, sizeof p->environment, "SOFTHSM2_CONF=%s/softhsm2.conf", p->dir);
    p->environment_list[0] = p->environment;
    snprintf(p->user_pin, sizeof p->user_pin, "file:%s/user.pin", p->dir);
    snprintf(p->so_pin, sizeof p->so_pin, "file:%s/so.pin", p->dir);
    p->custody = (struct custody_config){
        .backend = "pkcs11",
        .module = p->module,
        .uri = "pkcs11:token=" TOKEN_LABEL,
        .pin_source = p->user_pin,
        .environment = p->environment_list,
        .n_environment = 1,
    };
    return write_text(p, "softhsm2.conf", text, diag);
}

/* Ids carry the month, so that they sort by age: tpk-2026-01, tpk-sha1-2026-01, kek-2026-01. */
static enum tbs_err make_keys(struct place *p, bool hmac_kek, struct tbs_diag *diag)
{
    struct custody *custody = NULL;
    char month[16], id[3][CUSTODY_KEY_ID_MAX + 1];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(month, sizeof month, "%Y-%m", &tm);
    snprintf(id[0], sizeof id[0], "tpk-%s", month);
    snprintf(id[1], sizeof id[1], "tpk-sha1-%s", month);
    snprintf(id[2], sizeof id[2], "kek-%s", month);
    enum tbs_err err = custody_open(&p->custody, &custody, diag);

    if (!err)
        err = custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_256, id[0],
                                   "TPK suite 256", diag);
    if (!err)
        err = custody_generate_key(custody, CUSTODY_ROLE_TPK, CUSTODY_HMAC_SHA_1, id[1],
                                   "TPK suite 128", diag);
    if (!err)
        err = custody_generate_key(custody, CUSTODY_ROLE_KEK,
                                   hmac_kek ? CUSTODY_HMAC_SHA_256 : CUSTODY_AES_256_GCM, id[2],
                                   "KEK stored secrets", diag);
    custody_close(custody);
    return err;
}

static enum tbs_err write_config(struct place *p, struct tbs_diag *diag)
{
    char *text = NULL, store[PATH_MAX];
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return tbs_fail(diag, TBS_ERR_NOMEM, "no memory for the configuration");
    fprintf(f,
            "# tbs-kmsd, see tbs-kmsd.yaml(5). Relative paths are relative to this folder.\n"
            "kms:\n  identity: %s\n  suites: [256, 128]\n"
            "custody:\n  module: %s\n  uri: \"pkcs11:token=" TOKEN_LABEL "\"\n"
            "  pin: \"file:%s/user.pin\"\n  environment: [\"SOFTHSM2_CONF=%s/softhsm2.conf\"]\n"
            "store:\n  path: store.sqlite\n"
            "server:\n  listen: %s\n  management: %s\n  address_file: addresses\n",
            admin_options.identity ? admin_options.identity : "sip:kms@example.net", p->module,
            p->dir, p->dir, admin_options.listen ? admin_options.listen : "127.0.0.1:8087",
            admin_options.management ? admin_options.management : "127.0.0.1:8088");
    fclose(f);
    enum tbs_err err = write_text(p, "tbs-kmsd.yaml", text, diag);

    free(text);
    path_of(p, "store.sqlite", store);
    return err ? err : store_create(store, diag);
}

/* The configuration that was written is the one that a daemon will accept. */
static enum tbs_err check_config(const struct place *p, struct tbs_diag *diag)
{
    char path[PATH_MAX];
    struct config *config;

    path_of(p, "tbs-kmsd.yaml", path);
    enum tbs_err err = config_load(path, &config, diag);

    if (!err)
        config_free(config);
    return err;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static enum tbs_err init(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    struct place p = {0};
    bool hmac_kek;
    enum tbs_err err = admin_hmac_kek(&hmac_kek, diag);

    (void)a, (void)n;
    if (!err)
        err = find_module(&p, diag);
    if (!err)
        err = make_dir(&p, words[0], diag);
    if (err)
        return err;
    err = write_softhsm(&p, diag);
    if (!err)
        err = write_pin(&p, "so.pin", diag);
    if (!err)
        err = write_pin(&p, "user.pin", diag);
    if (!err)
        err = custody_init_token(&p.custody, TOKEN_LABEL, p.so_pin, p.user_pin, diag);
    if (!err)
        err = make_keys(&p, hmac_kek, diag);
    if (!err)
        err = write_config(&p, diag);
    if (!err)
        err = check_config(&p, diag);
    if (err) /* it is the folder that was made above */
        nftw(p.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    else
        printf("The KMS is ready: tbs-kmsd --config %s/tbs-kmsd.yaml\n"
               "Its keys never leave the token in %s/tokens; back up that folder and the PIN "
               "files together.\n",
               p.dir, p.dir);
    return err;
}

const struct admin_command admin_init_commands[] = {
    {"init", NULL, "DIR", 1, 1, init,
     "make a new folder with a SoftHSM token, keys, store and configuration"},
    {0},
};
