/* Keys in files: JSON with the public and the private area of TPM2_Create, marshalled as TPM2B, so
 * that tpm2_load takes them as they are. */
#include "tpm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tss2/tss2_mu.h>
#include <unistd.h>

#include "base/base64.h"

#define FORMAT "tbs-kms key in a TPM"
#define FORMAT_VERSION 1
#define SUFFIX ".json"

static enum tbs_err io_failed(const char *doing, const char *path, struct tbs_diag *diag)
{
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot %s %.200s: %s", doing, path,
                        strerror(errno));
}

static enum tbs_err not_a_key(const char *path, const char *why, struct tbs_diag *diag)
{
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "%.180s is not a key file of this service: %s; restore it from a backup, or "
                    "take it away",
                    path, why);
}

static enum tbs_err path_of(const char *dir, const char *id, char ret_path[PATH_MAX],
                            struct tbs_diag *diag)
{
    int n = snprintf(ret_path, PATH_MAX, "%s/%s" SUFFIX, dir, id);
    return n > 0 && n < PATH_MAX
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_CONFIG, "the path of the TPM's keys is too long");
}

/* --- Reading --- */

static bool unmarshal(const char *base64, struct tpm_blob *blob, bool is_public)
{
    TBS_BUF_AUTO struct tbs_buf octets = tbs_buf();
    size_t at = 0;
    if (!base64 || !tbs_base64_decode(tbs_bytes_str(base64), &octets) || octets.failed)
        return false;
    TSS2_RC rc =
        is_public ? Tss2_MU_TPM2B_PUBLIC_Unmarshal(octets.data, octets.len, &at, &blob->public)
                  : Tss2_MU_TPM2B_PRIVATE_Unmarshal(octets.data, octets.len, &at, &blob->private);
    return rc == TSS2_RC_SUCCESS && at == octets.len;
}

static bool is_label(const char *label)
{
    size_t len = strlen(label);
    for (size_t i = 0; i < len; i++)
        if (label[i] < ' ' || label[i] > '~')
            return false;
    return len <= CUSTODY_KEY_LABEL_MAX;
}

static const char *parse(json_t *json, struct tpm_blob *blob)
{
    const char *format, *label, *public, *private;
    int version;
    if (json_unpack(json, "{s:s,s:i,s:s,s:s,s:s!}", "format", &format, "version", &version, "label",
                    &label, "public", &public, "private", &private) != 0)
        return "it lacks a member, has one more, or one of another kind";
    if (strcmp(format, FORMAT) != 0 || version != FORMAT_VERSION)
        return "it is of another format or version";
    if (!is_label(label))
        return "its label is too long or not printable";
    if (!unmarshal(public, blob, true))
        return "its public area does not decode";
    if (!unmarshal(private, blob, false))
        return "its private area does not decode";
    snprintf(blob->label, sizeof blob->label, "%s", label);
    return NULL;
}

enum tbs_err tpm_blob_parse(const char *path, struct tbs_bytes text, struct tpm_blob *ret_blob,
                            struct tbs_diag *diag)
{
    struct tpm_blob blob = {0};
    json_t *json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    const char *why = json ? parse(json, &blob) : "it is not JSON";
    if (!why)
        memcpy(blob.id, ret_blob->id, sizeof blob.id);
    json_decref(json);
    if (why)
        return not_a_key(path, why, diag);
    *ret_blob = blob;
    return TBS_OK;
}

static enum tbs_err read_whole(int fd, const char *path, char text[TPM_FILE_MAX + 1],
                               size_t *ret_len, struct tbs_diag *diag)
{
    struct stat st;
    size_t len = 0;
    ssize_t got = 0;
    if (fstat(fd, &st) != 0)
        return io_failed("read", path, diag);
    if (!S_ISREG(st.st_mode))
        return not_a_key(path, "it is not a regular file", diag);
    while (len <= TPM_FILE_MAX && (got = read(fd, text + len, TPM_FILE_MAX + 1 - len)) > 0)
        len += (size_t)got;
    if (got < 0)
        return io_failed("read", path, diag);
    if (len > TPM_FILE_MAX)
        return not_a_key(path, "it is too large", diag);
    *ret_len = len;
    return TBS_OK;
}

enum tbs_err tpm_blob_read(const char *dir, const char *id, struct tpm_blob *ret_blob,
                           struct tbs_diag *diag)
{
    char path[PATH_MAX], text[TPM_FILE_MAX + 1];
    size_t len = 0;
    enum tbs_err err = path_of(dir, id, path, diag);
    if (err != TBS_OK)
        return err;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return tbs_fail_raw(diag, TBS_ERR_NOT_FOUND, ENOENT, "there is no file %.200s", path);
    if (fd < 0)
        return io_failed("open", path, diag);
    err = read_whole(fd, path, text, &len, diag);
    close(fd);
    if (err != TBS_OK)
        return err;
    struct tpm_blob blob;
    snprintf(blob.id, sizeof blob.id, "%s", id);
    err = tpm_blob_parse(path, tbs_bytes(text, len), &blob, diag);
    if (err == TBS_OK)
        *ret_blob = blob;
    return err;
}

/* --- Writing --- */

bool tpm_marshal_public(const TPM2B_PUBLIC *public, uint8_t *out, size_t *ret_len)
{
    size_t len = 0;
    if (Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, out, sizeof *public, &len) !=
        TSS2_RC_SUCCESS)
        return false;
    *ret_len = len;
    return true;
}

static json_t *to_json(const struct tpm_blob *blob)
{
    uint8_t public[sizeof(TPM2B_PUBLIC)], private[sizeof(TPM2B_PRIVATE)];
    size_t n_public = 0, n_private = 0;
    TBS_BUF_AUTO struct tbs_buf a = tbs_buf(), b = tbs_buf();
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(&blob->public, public, sizeof public, &n_public) ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(&blob->private, private, sizeof private, &n_private))
        return NULL;
    tbs_put_base64(&a, tbs_bytes(public, n_public));
    tbs_put_base64(&b, tbs_bytes(private, n_private));
    if (a.failed || b.failed)
        return NULL;
    return json_pack("{s:s,s:i,s:s,s:s%,s:s%}", "format", FORMAT, "version", FORMAT_VERSION,
                     "label", blob->label, "public", a.data, a.len, "private", b.data, b.len);
}

static bool write_whole(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0;
}

static bool sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* link() and not rename(): it never takes the place of a file that is there. */
static enum tbs_err put(const char *dir, const char *path, const char *text, struct tbs_diag *diag)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s/new.XXXXXX", dir) >= (int)sizeof temporary)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the path of the TPM's keys is too long");
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return io_failed("make a file in", dir, diag);
    enum tbs_err err = TBS_OK;
    if (!write_whole(fd, text, strlen(text)))
        err = io_failed("write", temporary, diag);
    else if (link(temporary, path) != 0)
        err = errno == EEXIST ? tbs_fail(diag, TBS_ERR_EXISTS, "%.200s exists already", path)
                              : io_failed("make", path, diag);
    close(fd);
    unlink(temporary);
    if (err == TBS_OK && !sync_dir(dir))
        err = io_failed("write", dir, diag);
    return err;
}

enum tbs_err tpm_blob_write(const char *dir, const struct tpm_blob *blob, struct tbs_diag *diag)
{
    char path[PATH_MAX];
    enum tbs_err err = path_of(dir, blob->id, path, diag);
    if (err != TBS_OK)
        return err;
    json_t *json = to_json(blob);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    err = text ? put(dir, path, text, diag)
               : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory writing %.200s", path);
    free(text);
    return err;
}

enum tbs_err tpm_blob_remove(const char *dir, const char *id, struct tbs_diag *diag)
{
    char path[PATH_MAX];
    enum tbs_err err = path_of(dir, id, path, diag);
    if (err != TBS_OK)
        return err;
    return unlink(path) == 0 && sync_dir(dir) ? TBS_OK : io_failed("remove", path, diag);
}

/* --- Listing --- */

/* False: the name of a file that is none of ours. */
static bool id_of(const char *name, char ret_id[CUSTODY_KEY_ID_MAX + 1])
{
    size_t len = strlen(name), suffix = strlen(SUFFIX);
    enum custody_role role;
    bool valid = false;
    if (len <= suffix || strcmp(name + len - suffix, SUFFIX) != 0)
        return false;
    if (!custody_id_role(tbs_bytes(name, len - suffix), &role, &valid) || !valid)
        return false;
    snprintf(ret_id, CUSTODY_KEY_ID_MAX + 1, "%.*s", (int)(len - suffix), name);
    return true;
}

enum tbs_err tpm_blob_each(const char *dir,
                           enum tbs_err (*found)(void *ctx, const char *id, struct tbs_diag *diag),
                           void *ctx, struct tbs_diag *diag)
{
    DIR *open_dir = opendir(dir);
    char id[CUSTODY_KEY_ID_MAX + 1];
    enum tbs_err err = TBS_OK;
    if (!open_dir)
        return io_failed("read", dir, diag);
    for (const struct dirent *e; err == TBS_OK && (e = readdir(open_dir));)
        if (id_of(e->d_name, id))
            err = found(ctx, id, diag);
    closedir(open_dir);
    return err;
}
