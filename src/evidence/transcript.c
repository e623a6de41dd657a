#include "evidence/transcript.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hex.h"

struct transcript {
    int fd;
    uint64_t seq;
    char head[TRANSCRIPT_HEX_LEN + 1];
};

static enum tbs_err failed(struct tbs_diag *diag, const char *what)
{
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot %s the transcript: %s",
                        what, strerror(errno));
}

static enum tbs_err open_file(const char *file, int flags, struct transcript **ret_transcript,
                              struct tbs_diag *diag)
{
    struct transcript *t = calloc(1, sizeof *t);
    if (!t)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening the transcript");
    memset(t->head, '0', TRANSCRIPT_HEX_LEN);
    t->fd = open(file, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (t->fd < 0) {
        enum tbs_err err = errno == EEXIST   ? TBS_ERR_EXISTS
                           : errno == ENOENT ? TBS_ERR_NOT_FOUND
                                             : TBS_ERR_IO;
        free(t);
        return tbs_fail_raw(diag, err, (unsigned long)errno, "cannot open %.200s: %s", file,
                            strerror(errno));
    }
    *ret_transcript = t;
    return TBS_OK;
}

enum tbs_err transcript_create(const char *file, struct transcript **ret_transcript,
                               struct tbs_diag *diag)
{
    return open_file(file, O_CREAT | O_EXCL, ret_transcript, diag);
}

static void take_head(struct transcript *t, const char *line, size_t len)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)line, len, hash);
    tbs_hex(tbs_bytes(hash, sizeof hash), t->head);
    t->seq++;
}

/* --- Reading again --- */

static enum tbs_err check_line(struct transcript *t, const char *line, size_t len,
                               struct tbs_diag *diag)
{
    const char *prev = NULL;
    json_int_t seq = 0;
    json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    bool good = object && json_unpack(object, "{s:s, s:I}", "prev", &prev, "seq", &seq) == 0 &&
                seq == (json_int_t)t->seq + 1 && strcmp(prev, t->head) == 0;
    json_decref(object);
    if (!good)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "line %" PRIu64 " of the transcript does not follow the one before",
                        t->seq + 1);
    take_head(t, line, len);
    return TBS_OK;
}

static enum tbs_err check_lines(struct transcript *t, FILE *in, off_t *ret_whole,
                                struct tbs_diag *diag)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    enum tbs_err err = TBS_OK;
    while (err == TBS_OK && (len = getline(&line, &size, in)) > 0 && line[len - 1] == '\n') {
        err = check_line(t, line, (size_t)len - 1, diag);
        *ret_whole += len;
    }
    free(line);
    return err;
}

enum tbs_err transcript_reopen(const char *file, struct transcript **ret_transcript,
                               struct tbs_diag *diag)
{
    struct transcript *t = NULL;
    enum tbs_err err = open_file(file, 0, &t, diag);
    if (err != TBS_OK)
        return err;
    off_t whole = 0;
    FILE *in = fopen(file, "re");
    err = in ? check_lines(t, in, &whole, diag) : failed(diag, "read");
    if (in)
        fclose(in);
    if (err == TBS_OK && ftruncate(t->fd, whole) != 0)
        err = failed(diag, "mend");
    if (err == TBS_OK)
        *ret_transcript = t;
    else
        transcript_close(t);
    return err;
}

void transcript_close(struct transcript *transcript)
{
    if (!transcript)
        return;
    close(transcript->fd);
    free(transcript);
}

/* --- Writing --- */

static bool put_common(json_t *fields, const char *type, const struct transcript *t)
{
    struct timespec now, mono;
    struct tm utc;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_MONOTONIC, &mono);
    gmtime_r(&now.tv_sec, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_object_set_new(fields, "type", json_string(type)) == 0 &&
           json_object_set_new(fields, "seq", json_integer((json_int_t)t->seq + 1)) == 0 &&
           json_object_set_new(fields, "prev", json_string(t->head)) == 0 &&
           json_object_set_new(fields, "time", json_string(text)) == 0 &&
           json_object_set_new(
               fields, "mono_ms",
               json_integer((json_int_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000)) == 0;
}

static enum tbs_err write_whole(int fd, const char *text, size_t len, struct tbs_diag *diag)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(diag, "write");
        text += n;
        len -= (size_t)n;
    }
    return fdatasync(fd) == 0 ? TBS_OK : failed(diag, "sync");
}

enum tbs_err transcript_append(struct transcript *transcript, const char *type, json_t *fields,
                               struct tbs_diag *diag)
{
    char *line = NULL;
    if (fields && put_common(fields, type, transcript))
        line = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(fields);
    if (!line)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory writing the transcript");
    size_t len = strlen(line);
    enum tbs_err err = TBS_OK;
    if (len > TRANSCRIPT_LINE_MAX)
        err = tbs_fail(diag, TBS_ERR_LIMIT, "a line of the transcript is too long");
    line[len] = '\n'; /* in place of the NUL: one write */
    if (err == TBS_OK)
        err = write_whole(transcript->fd, line, len + 1, diag);
    if (err == TBS_OK)
        take_head(transcript, line, len);
    free(line);
    return err;
}

uint64_t transcript_head(const struct transcript *transcript, char ret_hex[TRANSCRIPT_HEX_LEN + 1])
{
    memcpy(ret_hex, transcript->head, TRANSCRIPT_HEX_LEN + 1);
    return transcript->seq;
}

void transcript_signed_text(const struct transcript *transcript,
                            char ret_text[TRANSCRIPT_SIGNED_MAX])
{
    snprintf(ret_text, TRANSCRIPT_SIGNED_MAX, "tbs-kms ceremony 1 %" PRIu64 " %s", transcript->seq,
             transcript->head);
}
