#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum tbs_err read_all(FILE *in, const char *name, struct tbs_buf *content,
                             struct tbs_diag *diag)
{
    uint8_t block[4096];
    size_t n;

    while ((n = fread(block, 1, sizeof block, in)) > 0 && !content->failed)
        tbs_put_bytes(content, tbs_bytes(block, n));
    OPENSSL_cleanse(block, sizeof block);
    if (ferror(in))
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot read %.200s: %s", name,
                            strerror(errno));
    if (content->failed)
        return tbs_fail(diag, TBS_ERR_LIMIT, "%.200s has more than %u octets", name, TBS_BUF_LIMIT);
    return TBS_OK;
}

enum tbs_err file_read(const char *path, struct tbs_buf *content, struct tbs_diag *diag)
{
    if (strcmp(path, "-") == 0)
        return read_all(stdin, "standard input", content, diag);
    FILE *in = fopen(path, "re");
    enum tbs_err err;

    if (!in)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open %.200s: %s", path, strerror(errno));
    err = read_all(in, path, content, diag);
    fclose(in);
    return err;
}

static bool hash_all(FILE *in, uint8_t ret_hash[FILE_HASH_LEN])
{
    uint8_t block[16384];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (size_t n = 1; ok && n > 0;) {
        n = fread(block, 1, sizeof block, in);
        ok = !ferror(in) && EVP_DigestUpdate(ctx, block, n) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, ret_hash, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

enum tbs_err file_sha256(const char *path, uint8_t ret_hash[FILE_HASH_LEN], struct tbs_diag *diag)
{
    uint8_t hash[FILE_HASH_LEN];
    FILE *in = fopen(path, "re");

    if (!in)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open %.200s: %s", path, strerror(errno));
    bool ok = hash_all(in, hash);

    fclose(in);
    if (!ok)
        return tbs_fail(diag, TBS_ERR_IO, "cannot read and hash %.200s", path);
    memcpy(ret_hash, hash, sizeof hash);
    return TBS_OK;
}

static bool write_and_rename(int fd, const char *temporary, const char *path, unsigned mode,
                             struct tbs_bytes octets)
{
    FILE *out = fdopen(fd, "w");
    bool ok = out && fchmod(fd, mode) == 0 &&
              fwrite(octets.data, 1, octets.len, out) == octets.len && fflush(out) == 0 &&
              fsync(fd) == 0;
    int why = errno;

    if (out)
        ok &= fclose(out) == 0;
    else
        close(fd);
    if (ok && rename(temporary, path) == 0)
        return true;
    why = ok ? errno : why;
    unlink(temporary);
    errno = why;
    return false;
}

enum tbs_err file_replace(const char *path, unsigned mode, struct tbs_bytes octets,
                          struct tbs_diag *diag)
{
    char temporary[PATH_MAX];
    int fd = -1;

    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) < (int)sizeof temporary)
        fd = mkostemp(temporary, O_CLOEXEC);
    else
        errno = ENAMETOOLONG;
    if (fd >= 0 && write_and_rename(fd, temporary, path, mode, octets))
        return TBS_OK;
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot write %.200s: %s", path,
                        strerror(errno));
}

enum tbs_err file_write(const char *path, struct tbs_bytes octets, struct tbs_diag *diag)
{
    mode_t mask = umask(0);

    umask(mask);
    if (strcmp(path, "-") != 0)
        return file_replace(path, 0666 & ~mask, octets, diag);
    if (fwrite(octets.data, 1, octets.len, stdout) != octets.len || fflush(stdout) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot write to standard output: %s", strerror(errno));
    return TBS_OK;
}
