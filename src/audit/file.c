#include "audit/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/secret.h"

#define NUMBER_DIGITS "[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]"

static enum tbs_err failed(const char *what, const char *path, struct tbs_diag *diag)
{
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                        "cannot %s the audit trail %.160s: %s", what, path, strerror(errno));
}

/* --- The end of a file --- */

/* Where the last whole line is, and what an unfinished one after it begins with. */
struct tail {
    struct tbs_bytes line; /* empty: there is none */
    struct tbs_bytes rest;
};

static struct tail find_tail(struct tbs_bytes end)
{
    const uint8_t *feed = end.data ? memrchr(end.data, '\n', end.len) : NULL;
    if (!feed)
        return (struct tail){.rest = end};
    size_t whole = (size_t)(feed - end.data);
    const uint8_t *before = memrchr(end.data, '\n', whole);
    size_t start = before ? (size_t)(before - end.data) + 1 : 0;
    return (struct tail){tbs_bytes_slice(end, start, whole - start),
                         tbs_bytes_slice(end, whole + 1, end.len - whole - 1)};
}

/* Appends as much of the file's end as two lines can be long. */
static enum tbs_err read_end(int fd, const char *path, off_t size, struct tbs_buf *end,
                             struct tbs_diag *diag)
{
    uint8_t part[8192];
    off_t at = size > 2 * (off_t)AUDIT_LINE_MAX ? size - 2 * (off_t)AUDIT_LINE_MAX : 0;
    while (at < size) {
        ssize_t got = pread(fd, part, sizeof part, at);
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            return failed("read", path, diag);
        }
        tbs_put_bytes(end, tbs_bytes(part, (size_t)got));
        at += got;
    }
    return end->failed ? tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the audit trail")
                       : TBS_OK;
}

static enum tbs_err head_of(struct tbs_bytes text, const char *path, struct audit_head *ret_head,
                            struct tbs_diag *diag)
{
    struct audit_line line;
    if (audit_line_read(text, &line, NULL) != TBS_OK)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the last line of %.160s is not of an audit trail: keep that file as "
                        "evidence, in another place, and a new trail begins",
                        path);
    ret_head->seq = line.seq;
    audit_hash(text, ret_head->hash);
    audit_line_free(&line);
    return TBS_OK;
}

/* --- Lines --- */

/* What does not fit as a whole is taken back; where even that fails, the next look at the file
 * finds the unfinished line. */
static enum tbs_err write_line(struct audit_file *f, struct tbs_bytes line, struct tbs_diag *diag)
{
    ssize_t put = write(f->fd, line.data, line.len);
    if (put == (ssize_t)line.len) {
        f->size += put;
        return TBS_OK;
    }
    int error = put < 0 ? errno : ENOSPC;
    if (put > 0 && ftruncate(f->fd, f->size) != 0)
        error = errno;
    errno = error;
    return failed("write", f->path, diag);
}

static enum tbs_err put_line(struct audit_file *f, const char *event, json_t *fields,
                             struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf line = tbs_buf();
    struct audit_head head = f->head;
    enum tbs_err err = audit_line_put(&line, event, fields, &head, diag);
    if (err == TBS_OK)
        err = write_line(f, tbs_buf_view(&line), diag);
    if (err == TBS_OK)
        f->head = head;
    return err;
}

static enum tbs_err repair(struct audit_file *f, off_t size, struct tbs_bytes rest,
                           struct tbs_diag *diag)
{
    uint8_t hash[AUDIT_HASH_LEN];
    char hex[AUDIT_HEX_LEN + 1];
    audit_hash(rest, hash);
    tbs_hex(tbs_bytes(hash, sizeof hash), hex);
    f->size = size - (off_t)rest.len;
    if (ftruncate(f->fd, f->size) != 0)
        return failed("repair", f->path, diag);
    return put_line(f, "repaired",
                    json_pack("{s:I,s:s}", "octets", (json_int_t)rest.len, "sha256", hex), diag);
}

/* --- The file and its path --- */

static void put_pattern(const char *path, char ret_pattern[2 * PATH_MAX])
{
    size_t n = 0;
    for (; *path && n < PATH_MAX; path++) {
        if (strchr("*?[\\", *path))
            ret_pattern[n++] = '\\';
        ret_pattern[n++] = *path;
    }
    strcpy(ret_pattern + n, "." NUMBER_DIGITS);
}

/* The head of the last file that was rotated away, where that is news: others may have written to
 * it, and a crash may have come before the new file's first line. */
static enum tbs_err find_predecessor(struct audit_file *f, struct tbs_diag *diag)
{
    char pattern[2 * PATH_MAX];
    struct audit_head head;
    glob_t found;
    put_pattern(f->path, pattern);
    if (glob(pattern, 0, NULL, &found) != 0)
        return TBS_OK;
    const char *last = found.gl_pathv[found.gl_pathc - 1];
    TBS_BUF_AUTO struct tbs_buf end = tbs_buf();
    struct stat st;
    int fd = open(last, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    enum tbs_err err = fd < 0 || fstat(fd, &st) != 0 ? failed("open", last, diag)
                                                     : read_end(fd, last, st.st_size, &end, diag);
    if (err == TBS_OK)
        err = head_of(find_tail(tbs_buf_view(&end)).line, last, &head, diag);
    if (err == TBS_OK && head.seq > f->head.seq)
        f->head = head;
    if (fd >= 0)
        close(fd);
    globfree(&found);
    return err;
}

/* A new file's name is on the disk before its lines are. */
static enum tbs_err sync_folder(const char *path, struct tbs_diag *diag)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum tbs_err err = fd < 0 || fsync(fd) != 0 ? failed("make", path, diag) : TBS_OK;
    if (fd >= 0)
        close(fd);
    return err;
}

static enum tbs_err begin(struct audit_file *f, struct tbs_diag *diag)
{
    enum tbs_err err = find_predecessor(f, diag);
    if (err == TBS_OK)
        err = sync_folder(f->path, diag);
    return err == TBS_OK ? put_line(f, "begin", NULL, diag) : err;
}

static enum tbs_err take_over(struct audit_file *f, off_t size, struct tbs_diag *diag)
{
    TBS_BUF_AUTO struct tbs_buf end = tbs_buf();
    struct audit_head head;
    enum tbs_err err = read_end(f->fd, f->path, size, &end, diag);
    if (err != TBS_OK)
        return err;
    struct tail tail = find_tail(tbs_buf_view(&end));
    if (tail.line.len == 0 && (off_t)tail.rest.len == size) { /* cut off in its first line */
        f->size = 0;
        err = ftruncate(f->fd, 0) != 0 ? failed("repair", f->path, diag) : begin(f, diag);
        return err == TBS_OK ? repair(f, f->size + (off_t)tail.rest.len, tail.rest, diag) : err;
    }
    err = head_of(tail.line, f->path, &head, diag);
    if (err == TBS_OK && head.seq < f->head.seq)
        err = tbs_fail(diag, TBS_ERR_IO,
                       "the audit trail %.160s ends before line %" PRIu64 ", which was written: "
                       "somebody cut it; move it away as evidence, and the chain goes on",
                       f->path, f->head.seq);
    if (err != TBS_OK)
        return err;
    f->head = head;
    f->size = size;
    return tail.rest.len > 0 ? repair(f, size, tail.rest, diag) : TBS_OK;
}

/* Under the lock: the file as it is now. */
static enum tbs_err refresh(struct audit_file *f, off_t size, struct tbs_diag *diag)
{
    if (size == f->size && size > 0)
        return TBS_OK;
    if (size < f->size)
        return tbs_fail(diag, TBS_ERR_IO,
                        "the audit trail %.160s is shorter than what was written: somebody cut "
                        "it; move it away as evidence, and the chain goes on",
                        f->path);
    return size == 0 ? begin(f, diag) : take_over(f, size, diag);
}

static enum tbs_err open_path(struct audit_file *f, struct tbs_diag *diag)
{
    if (f->fd >= 0)
        close(f->fd);
    f->size = 0;
    f->fd = open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    struct stat st;
    if (f->fd < 0)
        return failed("open", f->path, diag);
    if (fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode))
        return TBS_OK;
    close(f->fd);
    f->fd = -1;
    return tbs_fail(diag, TBS_ERR_CONFIG, "the audit trail %.160s is not a regular file", f->path);
}

/* Locks the file that the path names, which may be another one than before. */
static enum tbs_err lock(struct audit_file *f, off_t *ret_size, struct tbs_diag *diag)
{
    for (;;) {
        struct stat held, named;
        enum tbs_err err = f->fd < 0 ? open_path(f, diag) : TBS_OK;
        if (err != TBS_OK)
            return err;
        while (flock(f->fd, LOCK_EX) != 0)
            if (errno != EINTR)
                return failed("lock", f->path, diag);
        if (fstat(f->fd, &held) == 0 && stat(f->path, &named) == 0 && held.st_dev == named.st_dev &&
            held.st_ino == named.st_ino) {
            *ret_size = held.st_size;
            return TBS_OK;
        }
        /* It was moved away; others may have written to it before. */
        err = held.st_size > f->size ? take_over(f, held.st_size, diag) : TBS_OK;
        close(f->fd); /* with its lock */
        f->fd = -1;
        if (err != TBS_OK)
            return err;
    }
}

static enum tbs_err lock_and_refresh(struct audit_file *f, struct tbs_diag *diag)
{
    off_t size;
    enum tbs_err err = lock(f, &size, diag);
    if (err != TBS_OK)
        return err;
    err = refresh(f, size, diag);
    if (err != TBS_OK)
        flock(f->fd, LOCK_UN);
    return err;
}

/* --- Rotation --- */

static enum tbs_err rotate(struct audit_file *f, struct tbs_diag *diag)
{
    char aside[PATH_MAX];
    if (snprintf(aside, sizeof aside, "%s.%012" PRIu64, f->path, f->head.seq) >= PATH_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the path of the audit trail is too long");
    if (fdatasync(f->fd) != 0 ||
        renameat2(AT_FDCWD, f->path, AT_FDCWD, aside, RENAME_NOREPLACE) != 0)
        return failed("rotate", f->path, diag);
    return lock_and_refresh(f, diag);
}

enum tbs_err audit_file_append(struct audit_file *f, const char *event, json_t *fields,
                               struct tbs_diag *diag)
{
    enum tbs_err err = lock_and_refresh(f, diag);
    if (err == TBS_OK && f->size >= f->max_size)
        err = rotate(f, diag);
    if (err != TBS_OK) {
        json_decref(fields);
        return err;
    }
    err = put_line(f, event, fields, diag);
    flock(f->fd, LOCK_UN);
    return err;
}

enum tbs_err audit_file_look(struct audit_file *f, struct tbs_diag *diag)
{
    enum tbs_err err = lock_and_refresh(f, diag);
    if (err == TBS_OK)
        flock(f->fd, LOCK_UN);
    return err;
}

enum tbs_err audit_file_open(struct audit_file *ret_file, const char *path, off_t max_size,
                             struct tbs_diag *diag)
{
    struct audit_file f = {.path = strdup(path), .fd = -1, .max_size = max_size};
    if (!f.path)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory for the audit trail");
    enum tbs_err err = audit_file_look(&f, diag);
    if (err == TBS_OK)
        *ret_file = f;
    else
        audit_file_close(&f);
    return err;
}

void audit_file_close(struct audit_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (struct audit_file){.fd = -1};
}
