/* tbs-admin backup: a folder with what a restore needs, but for PINs that nobody named. */
#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tools/common/private_file.h"
#include "tools/tbs-admin/admin.h"
#include "tools/tbs-admin/folder.h"

#define PIN_FILE_MAX 1024
#define SOFTHSM_SETTING "SOFTHSM2_CONF="

struct copies {
    char home[PATH_MAX]; /* the configuration's folder */
    const char *folder;
    bool incomplete; /* a file of the key registry is elsewhere */
};

/* The part of a path within the configuration's folder; NULL: it is elsewhere. */
static const char *at_home(const struct copies *c, const char *path)
{
    size_t len = strlen(c->home);

    return strncmp(path, c->home, len) == 0 && path[len] == '/' && !strstr(path, "/../")
               ? path + len + 1
               : NULL;
}

static enum tbs_err join(const char *folder, const char *name, char path[PATH_MAX],
                         struct tbs_diag *diag)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "a path in %.200s is too long", folder);
    return TBS_OK;
}

static enum tbs_err make_folder(const char *path, struct tbs_diag *diag)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST
               ? TBS_OK
               : tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make %.200s: %s",
                              path, strerror(errno));
}

/* Where it lies in the backup: as in the configuration's folder, or under its last name. */
static enum tbs_err place(const struct copies *c, const char *from, char path[PATH_MAX],
                          struct tbs_diag *diag)
{
    const char *name = at_home(c, from);

    if (!name)
        name = strrchr(from, '/') ? strrchr(from, '/') + 1 : from;
    enum tbs_err err = join(c->folder, name, path, diag);

    if (err)
        return err;
    for (char *slash = path + strlen(c->folder) + 1; !err && (slash = strchr(slash, '/'));
         slash++) {
        *slash = '\0';
        err = make_folder(path, diag);
        *slash = '/';
    }
    return err;
}

static enum tbs_err copy_to(const char *from, const char *to, struct tbs_diag *diag)
{
    struct tbs_buf content TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = file_read(from, &content, diag);

    return err ? err : private_file_write(to, tbs_buf_view(&content), diag);
}

static enum tbs_err copy_file(const struct copies *c, const char *from, struct tbs_diag *diag)
{
    char to[PATH_MAX];
    enum tbs_err err = place(c, from, to, diag);

    return err ? err : copy_to(from, to, diag);
}

static enum tbs_err copy_pin_file(const struct copies *c, const char *from, struct tbs_diag *diag)
{
    struct tbs_secret pin TBS_SECRET_AUTO = {0};
    char whole[PATH_MAX], to[PATH_MAX];
    enum tbs_err err = place(c, realpath(from, whole) ? whole : from, to, diag);

    if (!err)
        err = private_file_read(from, PIN_FILE_MAX, &pin, diag);
    return err ? err : private_file_write(to, tbs_secret_view(&pin), diag);
}

/* --- The embedded SoftHSM token --- */

static const char *softhsm_conf(const struct config *config)
{
    for (unsigned i = 0; i < config->custody.token.environment_count; i++)
        if (strncmp(config->custody.token.environment[i], SOFTHSM_SETTING,
                    strlen(SOFTHSM_SETTING)) == 0)
            return config->custody.token.environment[i] + strlen(SOFTHSM_SETTING);
    return NULL;
}

static enum tbs_err find_tokens(const char *conf, char tokens[PATH_MAX], struct tbs_diag *diag)
{
    struct tbs_buf text TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = file_read(conf, &text, diag);
    char *rest, *line;

    if (err)
        return err;
    tbs_put_u8(&text, '\0');
    if (text.failed)
        return tbs_fail(diag, TBS_ERR_LIMIT, "%.200s is too large", conf);
    for (line = strtok_r((char *)text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (sscanf(line, " directories.tokendir = %4095[^#=\r]", tokens) == 1 && tokens[0] == '/')
            return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "%.150s does not say where its tokens are: directories.tokendir needs an "
                    "absolute path",
                    conf);
}

/* Nothing else is taken along: what lies beside may be a PIN. */
static bool is_softhsm_file(const char *name)
{
    const char *dot = strrchr(name, '.');

    return strcmp(name, "generation") == 0 ||
           (dot && (strcmp(dot, ".object") == 0 || strcmp(dot, ".lock") == 0));
}

static enum tbs_err copy_entry(FTS *fts, FTSENT *e, const char *to, bool *found,
                               struct tbs_diag *diag)
{
    char folder[PATH_MAX], path[PATH_MAX];
    enum tbs_err err;

    if (e->fts_info == FTS_DNR || e->fts_info == FTS_NS || e->fts_info == FTS_ERR)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)e->fts_errno, "cannot read %.200s: %s",
                            e->fts_path, strerror(e->fts_errno));
    if (e->fts_level == 2 && e->fts_info == FTS_D)
        fts_set(fts, e, FTS_SKIP);
    if (e->fts_level != 2 || e->fts_info != FTS_F || !is_softhsm_file(e->fts_name))
        return TBS_OK;
    *found = true;
    err = join(to, e->fts_parent->fts_name, folder, diag);
    if (!err)
        err = make_folder(folder, diag);
    if (!err)
        err = join(folder, e->fts_name, path, diag);
    return err ? err : copy_to(e->fts_path, path, diag);
}

/* Each token is a folder of files in `from`. */
static enum tbs_err copy_tokens(char *from, const char *to, struct tbs_diag *diag)
{
    char *const roots[] = {from, NULL};
    bool found = false;
    enum tbs_err err = TBS_OK;
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    if (!fts)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot read %.200s: %s", from,
                            strerror(errno));
    err = make_folder(to, diag);
    for (FTSENT *e; !err && (e = fts_read(fts));)
        err = copy_entry(fts, e, to, &found, diag);
    if (!err && errno != 0) /* fts_read sets it to 0 at the end */
        err = tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot read %.200s: %s", from,
                           strerror(errno));
    fts_close(fts);
    if (!err && !found)
        err = tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is no token in %.200s", from);
    return err;
}

static enum tbs_err backup_softhsm(const struct copies *c, const char *conf, struct tbs_diag *diag)
{
    char from[PATH_MAX], to[PATH_MAX];
    enum tbs_err err = copy_file(c, conf, diag);

    if (!err)
        err = find_tokens(conf, from, diag);
    if (!err)
        err = place(c, from, to, diag);
    return err ? err : copy_tokens(from, to, diag);
}

/* --- The key files of a TPM --- */

static int is_key_file(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot && dot != entry->d_name && strcmp(dot, ".json") == 0;
}

static enum tbs_err copy_key_files(const char *from, const char *to, struct tbs_diag *diag)
{
    struct dirent **entries;
    char source[PATH_MAX], copy[PATH_MAX];
    int n = scandir(from, &entries, is_key_file, alphasort);
    enum tbs_err err = TBS_OK;

    if (n < 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot read %.200s: %s", from,
                            strerror(errno));
    if (n == 0)
        err = tbs_fail(diag, TBS_ERR_NOT_FOUND, "there is no token in %.200s", from);
    for (int i = 0; i < n; i++) {
        if (!err)
            err = join(from, entries[i]->d_name, source, diag);
        if (!err)
            err = join(to, entries[i]->d_name, copy, diag);
        if (!err)
            err = copy_to(source, copy, diag);
        free(entries[i]);
    }
    free(entries);
    return err;
}

static enum tbs_err backup_tpm(const struct copies *c, const char *keys, struct tbs_diag *diag)
{
    char to[PATH_MAX];
    enum tbs_err err = place(c, keys, to, diag);

    if (err)
        return err;
    if (mkdir(to, 0700) == 0)
        return copy_key_files(keys, to, diag);
    return errno == EEXIST
               ? tbs_fail(diag, TBS_ERR_EXISTS,
                          "two tokens have their files in folders named %.200s; rename that of "
                          "custody.keys",
                          strrchr(to, '/') + 1)
               : tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make %.200s: %s", to,
                              strerror(errno));
}

static const struct config_token *token_at(const struct config_custody *custody, unsigned i)
{
    return i == 0 ? &custody->token : &custody->more_tokens[i - 1];
}

static enum tbs_err backup_tpms(const struct copies *c, const struct config_custody *custody,
                                struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    for (unsigned i = 0; !err && i <= custody->more_tokens_count; i++)
        if (token_at(custody, i)->keys)
            err = backup_tpm(c, token_at(custody, i)->keys, diag);
    return err;
}

/* --- The key registry --- */

static enum tbs_err copy_if_at_home(struct copies *c, const char *from, struct tbs_diag *diag)
{
    if (at_home(c, from))
        return copy_file(c, from, diag);
    c->incomplete = true;
    return TBS_OK;
}

static enum tbs_err backup_registry(struct copies *c, const struct config_registry *registry,
                                    struct tbs_diag *diag)
{
    enum tbs_err err = copy_if_at_home(c, registry->file, diag);

    for (unsigned i = 0; !err && i < registry->signers_count; i++)
        err = copy_if_at_home(c, registry->signers[i], diag);
    return err;
}

/* --- All of it --- */

static enum tbs_err backup_store(struct admin *a, const struct copies *c, struct tbs_diag *diag)
{
    char to[PATH_MAX];
    enum tbs_err err = place(c, a->config->store.path, to, diag);

    return err ? err : store_backup(a->store, to, diag);
}

/* The store before the token: then the keys that wrap what is in it are there for certain. */
static enum tbs_err fill(struct admin *a, struct copies *c, struct tbs_diag *diag)
{
    const char *conf = softhsm_conf(a->config);
    enum tbs_err err = copy_file(c, a->config_file, diag);

    if (!err)
        err = backup_store(a, c, diag);
    if (!err && conf)
        err = backup_softhsm(c, conf, diag);
    if (!err)
        err = backup_tpms(c, &a->config->custody, diag);
    if (!err && a->config->custody.registry.file)
        err = backup_registry(c, &a->config->custody.registry, diag);
    for (size_t i = 0; !err && i < admin_options.n_pin_files; i++)
        err = copy_pin_file(c, admin_options.pin_files[i], diag);
    return err;
}

static void tell(const struct config *config, const struct copies *c)
{
    const struct config_custody *custody = &config->custody;
    bool softhsm = softhsm_conf(config), with_pin = admin_options.n_pin_files > 0;
    unsigned n_tpms = 0, n_tokens = 1 + custody->more_tokens_count;

    for (unsigned i = 0; i < n_tokens; i++)
        n_tpms += token_at(custody, i)->keys != NULL;
    printf("The backup is %s.\n"
           "In it: the configuration and the store%s%s%s.\n",
           c->folder, softhsm ? ", SoftHSM's configuration and token" : "",
           n_tpms > 0 ? ", the key files of the TPM" : "",
           with_pin ? ", and the PIN files that you named" : "");
    if (n_tpms > 0)
        printf("The key files are of use to this TPM alone: nothing brings its keys back when it "
               "is broken or cleared.\n");
    if (softhsm + n_tpms < n_tokens)
        printf("Not in it: %s. Back it up by its own means; the store is of no use without its "
               "keys.\n",
               n_tokens > 1 ? "a token of another kind" : "the token");
    if (c->incomplete)
        printf("Not in it: files of the key registry and its signers outside of %s.\n", c->home);
    if (config->custody.registry.file)
        printf("Restore the newest key registry; an older one brings keys back that were "
               "withdrawn.\n");
    if (!with_pin)
        printf("Not in it: any PIN. Keep the PIN files in another place; the token is of no use "
               "without its PIN.\n");
    if (softhsm && with_pin)
        printf("Whoever has this folder has the keys.\n");
    else if (n_tpms > 0 && with_pin)
        printf("Whoever has this folder and the TPM can use the keys.\n");
}

static enum tbs_err find_home(const char *config_file, char ret_home[PATH_MAX],
                              struct tbs_diag *diag)
{
    if (!realpath(config_file, ret_home))
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot find %.200s: %s",
                            config_file, strerror(errno));
    *strrchr(ret_home, '/') = '\0';
    return TBS_OK;
}

static enum tbs_err backup(struct admin *a, int n, char **words, struct tbs_diag *diag)
{
    char folder[FOLDER_MAX];
    struct copies copies = {.folder = folder};
    enum tbs_err err = admin_store(a, STORE_READ_ONLY, diag);

    (void)n;
    if (!err)
        err = find_home(a->config_file, copies.home, diag);
    if (!err)
        err = folder_make(words[0], folder, diag);
    if (err)
        return err;
    err = fill(a, &copies, diag);
    if (err)
        folder_remove(folder);
    else
        tell(a->config, &copies);
    return err;
}

const struct admin_command admin_backup_commands[] = {
    {"backup", NULL, "DIR [--pin-file FILE]...", 1, 1, backup,
     "make a new folder with a copy of configuration, store and SoftHSM token or TPM key files, "
     "without PINs"},
    {0},
};
