#include "custody/pin_record.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* "tbs-kms pin 1 <salt> <state> <tag>\n", always as long: written in place by one call. */
#define FORM "tbs-kms pin 1 "
#define SALT_LEN sizeof((struct pin_record *)NULL)->salt
#define LINE_LEN (sizeof FORM - 1 + 2 * SALT_LEN + 8)
#define LOCK_TRIES 50
#define LOCK_PAUSE_US 100000

enum { CLEAR = '-', TRYING = 't', REFUSED = 'r' };

static enum tbs_err failed(const char *what, const struct pin_record *r, struct tbs_diag *diag)
{
    bool for_a_person = errno == ENOTDIR || errno == EACCES || errno == ELOOP || errno == EROFS;
    return tbs_fail_raw(diag, for_a_person ? TBS_ERR_CONFIG : TBS_ERR_IO, (unsigned long)errno,
                        "cannot %s the record of refused PINs %.160s: %s; no PIN is sent without",
                        what, r->path, strerror(errno));
}

/* --- The file --- */

static enum tbs_err name_file(const char *dir, struct tbs_bytes token, struct pin_record *r,
                              struct tbs_diag *diag)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char name[17];
    if (EVP_Digest(token.data, token.len, digest, NULL, EVP_sha256(), NULL) != 1)
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do SHA-256");
    for (size_t i = 0; i < 8; i++)
        snprintf(name + 2 * i, 3, "%02x", digest[i]);
    if (snprintf(r->path, sizeof r->path, "%s/%s", dir, name) >= (int)sizeof r->path)
        return tbs_fail(diag, TBS_ERR_CONFIG, "the path of custody.pin_records is too long");
    return TBS_OK;
}

static enum tbs_err open_file(const char *dir, struct pin_record *r, struct tbs_diag *diag)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return tbs_fail_raw(diag, TBS_ERR_CONFIG, (unsigned long)errno,
                            "cannot make the folder of refused PINs %.160s: %s; "
                            "custody.pin_records names it",
                            dir, strerror(errno));
    r->file = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return r->file >= 0 ? TBS_OK : failed("open", r, diag);
}

static enum tbs_err lock_file(const struct pin_record *r, struct tbs_diag *diag)
{
    for (int i = 0; flock(r->file, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return failed("lock", r, diag);
        if (i == LOCK_TRIES)
            return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                            "another process has been logging in for seconds (it holds %.180s)",
                            r->path);
        usleep(LOCK_PAUSE_US);
    }
    return TBS_OK;
}

static bool parse(const char *text, size_t len, struct pin_record *r)
{
    char tag[5];
    if (len != LINE_LEN || strncmp(text, FORM, sizeof FORM - 1) != 0 || text[len - 1] != '\n')
        return false;
    text += sizeof FORM - 1;
    for (size_t i = 0; i < sizeof r->salt; i++, text += 2) {
        if (sscanf(text, "%2hhx", &r->salt[i]) != 1)
            return false;
    }
    return sscanf(text, " %c %4[0-9a-f]", &r->before.state, tag) == 2 &&
           strchr("-tr", r->before.state) && strlen(tag) == 4 &&
           sscanf(tag, "%4hx", &r->before.tag) == 1;
}

/* A new file is empty; so is one whose maker was killed before it wrote. */
static enum tbs_err read_line(struct pin_record *r, struct tbs_diag *diag)
{
    char text[LINE_LEN + 2] = "";
    ssize_t n = pread(r->file, text, sizeof text - 1, 0);
    if (n < 0)
        return failed("read", r, diag);
    r->before = (struct pin_line){CLEAR, 0};
    if (n == 0)
        return RAND_bytes(r->salt, sizeof r->salt) == 1
                   ? TBS_OK
                   : tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to make a salt");
    if (parse(text, (size_t)n, r))
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_CONFIG,
                    "%.180s is no record of refused PINs; if the token's PIN is right at its "
                    "source, delete it",
                    r->path);
}

static enum tbs_err write_line(const struct pin_record *r, struct pin_line line,
                               struct tbs_diag *diag)
{
    char text[LINE_LEN + 1];
    int n = snprintf(text, sizeof text, FORM);
    for (size_t i = 0; i < sizeof r->salt; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%02x", r->salt[i]);
    snprintf(text + n, sizeof text - (size_t)n, " %c %04x\n", line.state, line.tag);
    if (pwrite(r->file, text, LINE_LEN, 0) != (ssize_t)LINE_LEN || fsync(r->file) != 0)
        return failed("write", r, diag);
    return TBS_OK;
}

/* A new file's name must survive a power cut, too. */
static enum tbs_err sync_folder(const char *dir, const struct pin_record *r, struct tbs_diag *diag)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    enum tbs_err err = ok ? TBS_OK : failed("keep", r, diag);
    if (fd >= 0)
        close(fd);
    return err;
}

/* --- Attempts --- */

static enum tbs_err put_tag(struct pin_record *r, struct tbs_bytes pin, struct tbs_diag *diag)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    if (!HMAC(EVP_sha256(), r->salt, sizeof r->salt, pin.data, pin.len, mac, NULL))
        return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL failed to do HMAC-SHA-256");
    r->now = (struct pin_line){TRYING, (uint16_t)(mac[0] << 8 | mac[1])};
    OPENSSL_cleanse(mac, sizeof mac);
    return TBS_OK;
}

static bool was_refused(const struct pin_record *r, bool counted_since)
{
    return r->before.tag == r->now.tag &&
           (r->before.state == REFUSED || (r->before.state == TRYING && counted_since));
}

static enum tbs_err try(const char *dir, struct pin_record *r, struct tbs_bytes pin,
                        bool counted_since, struct tbs_diag *diag)
{
    enum tbs_err err = read_line(r, diag);
    if (err == TBS_OK)
        err = put_tag(r, pin, diag);
    if (err == TBS_OK && was_refused(r, counted_since))
        err = tbs_fail(diag, TBS_ERR_CONFIG,
                       "the token has refused this PIN before, so it is not sent again; correct "
                       "the PIN source, or delete %.160s if this PIN is right after all",
                       r->path);
    if (err == TBS_OK)
        err = write_line(r, r->now, diag);
    return err == TBS_OK ? sync_folder(dir, r, diag) : err;
}

static enum tbs_err begin(const char *dir, struct tbs_bytes token, struct tbs_bytes pin,
                          bool counted_since, struct pin_record *r, struct tbs_diag *diag)
{
    enum tbs_err err = name_file(dir, token, r, diag);
    if (err == TBS_OK)
        err = open_file(dir, r, diag);
    if (err != TBS_OK)
        return err;
    err = lock_file(r, diag);
    if (err == TBS_OK)
        err = try(dir, r, pin, counted_since, diag);
    if (err != TBS_OK)
        close(r->file);
    return err;
}

enum tbs_err pin_record_begin(const char *dir, struct tbs_bytes token, struct tbs_bytes pin,
                              bool counted_since, struct pin_record *ret_record,
                              struct tbs_diag *diag)
{
    *ret_record = (struct pin_record){.kept = dir != NULL};
    return dir ? begin(dir, token, pin, counted_since, ret_record, diag) : TBS_OK;
}

void pin_record_end(struct pin_record *r, enum pin_answer answer)
{
    struct pin_line line = r->before;
    if (!r->kept)
        return;
    if (answer == PIN_PASSED)
        line = (struct pin_line){CLEAR, 0};
    else if (answer == PIN_REFUSED)
        line = (struct pin_line){REFUSED, r->now.tag};
    (void)write_line(r, line, NULL);
    close(r->file);
}
