#include "custody/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "custody/prompt.h"
#include "custody/sealed_pin.h"

static const char forms[] =
    "write fd:N, file:/absolute/path, credential:NAME or prompt, never the PIN itself";
static const char sealed[] = "tpm:";

/* Of the words of a share: 33 of at most 8 letters. */
#define WORDS_MAX 300

static const char *after(const char *source, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(source, prefix, n) == 0 ? source + n : NULL;
}

/* Reads up to the line end or the end of the file. By single octets where the file may carry
 * more for later readers; a regular file is read whole, so that a second line is an error. */
static enum tbs_err read_octets(const char *what, int fd, bool one_line, struct tbs_secret *room,
                                size_t *ret_len, struct tbs_diag *diag)
{
    size_t len = 0;
    while (len < room->len) {
        ssize_t n = read(fd, room->data + len, one_line ? 1 : room->len - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot read the %s: %s",
                                what, strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
        if (one_line && room->data[len - 1] == '\n')
            break;
    }
    *ret_len = len;
    return TBS_OK;
}

static enum tbs_err take_pin(const char *what, size_t max, const struct tbs_secret *room,
                             size_t len, struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    if (len > 0 && room->data[len - 1] == '\n')
        len--;
    if (len < PIN_MIN || len > max)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the %s must have %d to %zu octets", what, PIN_MIN,
                        max);
    for (size_t i = 0; i < len; i++) {
        if (room->data[i] < 0x20 || room->data[i] == 0x7f)
            return tbs_fail(diag, TBS_ERR_CONFIG,
                            "the %s holds a control character, such as a CR or a second line; "
                            "its source must hold the PIN alone",
                            what);
    }
    return tbs_secret_copy(tbs_bytes(room->data, len), ret_pin, diag);
}

/* One octet more than there may be with the line end, so that one too long is noticed. */
static enum tbs_err room_for(size_t max, struct tbs_secret *ret_room, struct tbs_diag *diag)
{
    return tbs_secret_alloc(max + 2, ret_room, diag);
}

static enum tbs_err read_from(const char *what, size_t max, int fd, bool one_line,
                              struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret room = {0};
    size_t len = 0;
    enum tbs_err err = room_for(max, &room, diag);
    if (err == TBS_OK)
        err = read_octets(what, fd, one_line, &room, &len, diag);
    return err != TBS_OK ? err : take_pin(what, max, &room, len, ret_pin, diag);
}

static enum tbs_err read_fd(const char *what, size_t max, const char *number,
                            struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    size_t digits = strspn(number, "0123456789");
    if (digits == 0 || digits > 6 || number[digits] != '\0')
        return tbs_fail(diag, TBS_ERR_CONFIG, "the %s source is not one: %s", what, forms);
    return read_from(what, max, atoi(number), true, ret_pin, diag);
}

static enum tbs_err check_file(const char *what, const char *path, int fd, mode_t forbidden,
                               struct tbs_diag *diag)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot examine %.180s: %s",
                            path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return tbs_fail(diag, TBS_ERR_CONFIG, "the %s source %.180s is not a regular file", what,
                        path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%.180s holds the %s and belongs to user %u; it must belong to this user "
                        "or root",
                        path, what, (unsigned)st.st_uid);
    if ((st.st_mode & forbidden) != 0)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "%.180s holds the %s and others may use it (mode %04o): chmod 0400 it and "
                        "change the PIN",
                        path, what, (unsigned)(st.st_mode & 07777));
    return TBS_OK;
}

static enum tbs_err read_file(const char *what, size_t max, const char *path, mode_t forbidden,
                              struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    /* O_NONBLOCK: opening a FIFO must not hang before it is refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the %s source %.180s is a symbolic link; name the file itself", what,
                        path);
    if (fd < 0)
        return tbs_fail_raw(diag, errno == ENOENT ? TBS_ERR_NOT_FOUND : TBS_ERR_IO,
                            (unsigned long)errno, "cannot open the %s source %.180s: %s", what,
                            path, strerror(errno));
    enum tbs_err err = check_file(what, path, fd, forbidden, diag);
    if (err == TBS_OK)
        err = read_from(what, max, fd, false, ret_pin, diag);
    close(fd);
    return err;
}

static enum tbs_err read_credential(const char *what, size_t max, const char *name,
                                    struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    if (*name == '\0' || *name == '.' || strchr(name, '/'))
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the %s source names no credential: a name has no slash and no dot in "
                        "front",
                        what);
    const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
    if (!dir || *dir != '/')
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "the %s is to come from a credential, but CREDENTIALS_DIRECTORY is not "
                        "set; start as a systemd service with LoadCredential=",
                        what);
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the path of the %s credential is too long", what);
    /* systemd may let the service's user in by an ACL, whose mask shows as the group's read
     * bit; the directory keeps everybody else out. */
    return read_file(what, max, path, 0037, ret_pin, diag);
}

static enum tbs_err read_prompt(const char *what, size_t max, struct tbs_secret *ret_pin,
                                struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret room = {0};
    size_t len;
    enum tbs_err err = room_for(max, &room, diag);
    if (err == TBS_OK)
        err = prompt_hidden(what, &room, &len, diag);
    return err != TBS_OK ? err : take_pin(what, max, &room, len, ret_pin, diag);
}

static enum tbs_err read_source(const char *what, size_t max, const char *source,
                                struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    const char *rest;
    if (!source)
        return tbs_fail(diag, TBS_ERR_CONFIG, "no source for the %s: %s", what, forms);
    if ((rest = after(source, "fd:")))
        return read_fd(what, max, rest, ret_pin, diag);
    if ((rest = after(source, "file:")) && *rest == '/')
        return read_file(what, max, rest, 0077, ret_pin, diag);
    if ((rest = after(source, "credential:")))
        return read_credential(what, max, rest, ret_pin, diag);
    if (strcmp(source, "prompt") == 0)
        return read_prompt(what, max, ret_pin, diag);
    return tbs_fail(diag, TBS_ERR_CONFIG, "the %s source is not one: %s", what, forms);
}

enum tbs_err pin_read_for(const char *what, const char *source, struct tbs_secret *ret_pin,
                          struct tbs_diag *diag)
{
    return read_source(what, PIN_MAX, source, ret_pin, diag);
}

enum tbs_err pin_read_words(const char *what, const char *source, struct tbs_secret *ret_words,
                            struct tbs_diag *diag)
{
    return read_source(what, WORDS_MAX, source, ret_words, diag);
}

enum tbs_err pin_read(const char *source, struct tbs_secret *ret_pin, struct tbs_diag *diag)
{
    return pin_read_for("PIN", source, ret_pin, diag);
}

/* --- Keeping --- */

static bool can_be_read_again(const char *source)
{
    return after(source, "file:") || after(source, "credential:") || after(source, sealed);
}

enum tbs_err pin_prepare(const struct pin_keeper *keeper, struct tbs_diag *diag)
{
    bool needs_tpm = keeper->source && after(keeper->source, sealed);
    return needs_tpm ? sealed_pin_prepare(keeper->tcti, diag) : TBS_OK;
}

static enum tbs_err unseal(const char *tcti, const char *path, struct tbs_secret *ret_pin,
                           struct tbs_diag *diag)
{
    TBS_SECRET_AUTO struct tbs_secret room = {0};
    struct sealed_pin *pin = NULL;
    enum tbs_err err = sealed_pin_read(path, &pin, diag);
    if (err == TBS_OK)
        err = sealed_pin_open(tcti, pin, &room, diag);
    sealed_pin_free(pin);
    return err != TBS_OK ? err : take_pin("sealed PIN", PIN_MAX, &room, room.len, ret_pin, diag);
}

static enum tbs_err read_anew(const struct pin_keeper *keeper, struct tbs_secret *ret_pin,
                              struct tbs_diag *diag)
{
    const char *path = keeper->source ? after(keeper->source, sealed) : NULL;
    return path ? unseal(keeper->tcti, path, ret_pin, diag)
                : pin_read(keeper->source, ret_pin, diag);
}

enum tbs_err pin_obtain(struct pin_keeper *keeper, struct tbs_secret *ret_pin,
                        struct tbs_diag *diag)
{
    bool again = keeper->source && can_be_read_again(keeper->source);
    if (keeper->kept.len > 0)
        return tbs_secret_copy(tbs_secret_view(&keeper->kept), ret_pin, diag);
    if (keeper->used && !again)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "the PIN could be read once, at the start, and was not kept: "
                        "use file: or credential:, keep it (custody.keep_pin), or restart");
    enum tbs_err err = read_anew(keeper, ret_pin, diag);
    keeper->used |= err == TBS_OK;
    if (err != TBS_OK || !keeper->keep || again)
        return err;
    err = tbs_secret_copy(tbs_secret_view(ret_pin), &keeper->kept, diag);
    if (err != TBS_OK)
        tbs_secret_free(ret_pin);
    return err;
}

enum tbs_err pin_before_it_is_needed(struct pin_keeper *keeper, struct tbs_diag *diag)
{
    struct tbs_secret pin = {0};
    enum tbs_err err = TBS_OK;
    if (!keeper->source || keeper->used || can_be_read_again(keeper->source))
        return TBS_OK;
    if (keeper->keep)
        err = pin_obtain(keeper, &pin, diag);
    tbs_secret_free(&pin);
    keeper->used = true;
    return err;
}

void pin_keeper_free(struct pin_keeper *keeper)
{
    tbs_secret_free(&keeper->kept);
}
