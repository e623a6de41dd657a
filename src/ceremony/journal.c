#include "ceremony/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((off_t)256 << 20)

struct journal {
    int fd;
};

static enum tbs_err failed(struct tbs_diag *diag, const char *what)
{
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot %s the journal: %s", what,
                        strerror(errno));
}

static enum tbs_err open_locked(const char *file, int flags, struct journal **ret_journal,
                                struct tbs_diag *diag)
{
    struct journal *j = malloc(sizeof *j);
    if (!j)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening the journal");
    j->fd = open(file, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (j->fd < 0) {
        enum tbs_err err = errno == EEXIST   ? TBS_ERR_EXISTS
                           : errno == ENOENT ? TBS_ERR_NOT_FOUND
                                             : TBS_ERR_IO;
        free(j);
        return tbs_fail_raw(diag, err, (unsigned long)errno, "cannot open %.200s: %s", file,
                            strerror(errno));
    }
    if (flock(j->fd, LOCK_EX | LOCK_NB) != 0) {
        journal_close(j);
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                        "another process performs the ceremony of %.200s", file);
    }
    *ret_journal = j;
    return TBS_OK;
}

/* A new file's name is on the disk only when its folder is. */
static enum tbs_err sync_folder(const char *file, struct tbs_diag *diag)
{
    char *folder = strdup(file);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        *slash = 0;
    int fd = folder ? open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    if (fd < 0 || fsync(fd) != 0) {
        enum tbs_err err = failed(diag, "sync the folder of");
        if (fd >= 0)
            close(fd);
        return err;
    }
    close(fd);
    return TBS_OK;
}

enum tbs_err journal_create(const char *file, struct journal **ret_journal, struct tbs_diag *diag)
{
    struct journal *j;
    enum tbs_err err = open_locked(file, O_CREAT | O_EXCL, &j, diag);
    if (err != TBS_OK)
        return err;
    err = sync_folder(file, diag);
    if (err == TBS_OK)
        *ret_journal = j;
    else
        journal_close(j);
    return err;
}

static enum tbs_err read_whole(int fd, char **ret_text, size_t *ret_len, struct tbs_diag *diag)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return failed(diag, "examine");
    if (st.st_size > FILE_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the journal is larger than 256 MiB");
    size_t len = 0;
    char *text = malloc((size_t)st.st_size + 1);
    if (!text)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory reading the journal");
    while (len < (size_t)st.st_size) {
        ssize_t n = pread(fd, text + len, (size_t)st.st_size - len, (off_t)len);
        if (n <= 0) {
            free(text);
            return failed(diag, "read");
        }
        len += (size_t)n;
    }
    text[len] = 0;
    *ret_text = text;
    *ret_len = len;
    return TBS_OK;
}

static enum tbs_err read_lines(const char *text, size_t len, json_t *lines, struct tbs_diag *diag)
{
    for (size_t at = 0, n = 1; at < len; n++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t size = (size_t)(end - (text + at));
        json_t *line = json_loadb(text + at, size, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_string(json_object_get(line, "at")) ||
            json_array_append_new(lines, line) != 0) {
            json_decref(line);
            return tbs_fail(diag, TBS_ERR_MALFORMED, "line %zu of the journal is damaged", n);
        }
        at += size + 1;
    }
    return TBS_OK;
}

static enum tbs_err read_journal(int fd, json_t *lines, struct tbs_diag *diag)
{
    char *text = NULL;
    size_t len = 0;
    enum tbs_err err = read_whole(fd, &text, &len, diag);
    if (err != TBS_OK)
        return err;
    size_t whole = len;
    while (whole > 0 && text[whole - 1] != '\n')
        whole--;
    if (whole < len && ftruncate(fd, (off_t)whole) != 0)
        err = failed(diag, "mend");
    if (err == TBS_OK)
        err = read_lines(text, whole, lines, diag);
    free(text);
    return err;
}

enum tbs_err journal_reopen(const char *file, struct journal **ret_journal, json_t **ret_lines,
                            struct tbs_diag *diag)
{
    struct journal *j;
    enum tbs_err err = open_locked(file, 0, &j, diag);
    if (err != TBS_OK)
        return err;
    json_t *lines = json_array();
    err = lines ? read_journal(j->fd, lines, diag)
                : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory reading the journal");
    if (err != TBS_OK) {
        json_decref(lines);
        journal_close(j);
        return err;
    }
    *ret_journal = j;
    *ret_lines = lines;
    return TBS_OK;
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    close(journal->fd);
    free(journal);
}

static enum tbs_err write_line(int fd, const char *line, size_t len, struct tbs_diag *diag)
{
    while (len > 0) {
        ssize_t n = write(fd, line, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(diag, "write");
        line += n;
        len -= (size_t)n;
    }
    return fdatasync(fd) == 0 ? TBS_OK : failed(diag, "sync");
}

enum tbs_err journal_put(struct journal *journal, const char *at, json_t *fields,
                         struct tbs_diag *diag)
{
    char *text = NULL;
    if (fields && json_object_set_new(fields, "at", json_string(at)) == 0)
        text = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(fields);
    size_t len = text ? strlen(text) : 0;
    if (!text)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory writing the journal");
    enum tbs_err err = TBS_OK;
    if (len > JOURNAL_LINE_MAX)
        err = tbs_fail(diag, TBS_ERR_LIMIT, "a line of the journal is larger than %u octets",
                       JOURNAL_LINE_MAX);
    text[len] = '\n'; /* in place of the NUL: one write, so that a line is there or is not */
    if (err == TBS_OK)
        err = write_line(journal->fd, text, len + 1, diag);
    free(text);
    return err;
}
