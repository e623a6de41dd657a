#include "tools/common/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static bool write_all(int fd, struct tbs_bytes octets)
{
    for (size_t done = 0; done < octets.len;) {
        ssize_t n = write(fd, octets.data + done, octets.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return fsync(fd) == 0;
}

enum tbs_err private_file_write(const char *path, struct tbs_bytes octets, struct tbs_diag *diag)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0 && write_all(fd, octets);
    int why = errno;

    if (fd >= 0)
        close(fd);
    if (written)
        return TBS_OK;
    if (fd >= 0)
        unlink(path);
    return tbs_fail_raw(diag, why == EEXIST ? TBS_ERR_EXISTS : TBS_ERR_IO, (unsigned long)why,
                        "cannot write the new file %.180s: %s", path, strerror(why));
}

enum tbs_err private_file_replace(const char *path, struct tbs_bytes octets, struct tbs_diag *diag)
{
    return file_replace(path, 0600, octets, diag);
}

static enum tbs_err check_file(const char *path, int fd, struct tbs_diag *diag)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot examine %.180s: %s",
                            path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return tbs_fail(diag, TBS_ERR_CONFIG, "%.180s is not a regular file", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%.180s holds secrets and belongs to user %u; it must belong to this user "
                        "or root",
                        path, (unsigned)st.st_uid);
    if ((st.st_mode & 0077) != 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%.180s holds secrets and others may use it (mode %04o): they are secret "
                        "no more, make new ones",
                        path, (unsigned)(st.st_mode & 07777));
    return TBS_OK;
}

/* Up to room->len octets. */
static enum tbs_err read_octets(const char *path, int fd, struct tbs_secret *room, size_t *ret_len,
                                struct tbs_diag *diag)
{
    size_t len = 0;

    while (len < room->len) {
        ssize_t n = read(fd, room->data + len, room->len - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot read %.180s: %s",
                                path, strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return TBS_OK;
}

static enum tbs_err read_file(const char *path, int fd, size_t max, struct tbs_secret *ret_octets,
                              struct tbs_diag *diag)
{
    struct tbs_secret room TBS_SECRET_AUTO = {0};
    size_t len = 0;
    enum tbs_err err = check_file(path, fd, diag);

    if (!err)
        err = tbs_secret_alloc(max + 1, &room, diag);
    if (!err)
        err = read_octets(path, fd, &room, &len, diag);
    if (!err && len > max)
        err = tbs_fail(diag, TBS_ERR_LIMIT, "%.180s has more than %zu octets", path, max);
    return err ? err : tbs_secret_copy(tbs_bytes(room.data, len), ret_octets, diag);
}

enum tbs_err private_file_read(const char *path, size_t max, struct tbs_secret *ret_octets,
                               struct tbs_diag *diag)
{
    /* O_NONBLOCK: opening a FIFO must not hang before it is refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    enum tbs_err err;

    if (fd < 0 && errno == ELOOP)
        return tbs_fail(diag, TBS_ERR_CONFIG, "%.180s is a symbolic link; name the file itself",
                        path);
    if (fd < 0)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open %.180s: %s", path, strerror(errno));
    err = read_file(path, fd, max, ret_octets, diag);
    close(fd);
    return err;
}
