#include "tools/tbs-media/wav.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum tbs_err wav_open(const char *path, struct wav_reader *ret_reader, struct tbs_diag *diag)
{
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);

    if (!file)
        return tbs_fail(diag, TBS_ERR_IO, "cannot read %.180s as sound: %s", path,
                        sf_strerror(NULL));
    if (info.channels != 1 || (info.format & SF_FORMAT_SUBMASK) != SF_FORMAT_PCM_16) {
        sf_close(file);
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "%.180s is not sound of one channel with 16 bits; convert it", path);
    }
    *ret_reader = (struct wav_reader){file, info.samplerate};
    return TBS_OK;
}

enum tbs_err wav_read(struct wav_reader *reader, short *frames, size_t n, size_t *ret_n,
                      struct tbs_diag *diag)
{
    sf_count_t done = sf_readf_short(reader->file, frames, (sf_count_t)n);

    if (sf_error(reader->file) != SF_ERR_NO_ERROR)
        return tbs_fail(diag, TBS_ERR_IO, "cannot read on in the sound: %s",
                        sf_strerror(reader->file));
    *ret_n = (size_t)done;
    return TBS_OK;
}

void wav_close(struct wav_reader *reader)
{
    if (reader->file)
        sf_close(reader->file);
    reader->file = NULL;
}

struct wav_writer {
    SNDFILE *file;
    int fd;
    char *path, *temporary;
};

static enum tbs_err fail(const struct wav_writer *w, struct tbs_diag *diag)
{
    const char *why = w->file && sf_error(w->file) ? sf_strerror(w->file) : strerror(errno);

    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot write %.180s: %s", w->path,
                        why);
}

static enum tbs_err create(struct wav_writer *w, int rate, struct tbs_diag *diag)
{
    SF_INFO info = {.samplerate = rate, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};

    w->fd = mkstemp(w->temporary);
    if (w->fd < 0)
        return fail(w, diag);
    w->file = sf_open_fd(w->fd, SFM_WRITE, &info, SF_FALSE);
    if (!w->file)
        return tbs_fail(diag, TBS_ERR_IO, "cannot write %.180s as sound: %s", w->path,
                        sf_strerror(NULL));
    return TBS_OK;
}

enum tbs_err wav_create(const char *path, int rate, struct wav_writer **ret_writer,
                        struct tbs_diag *diag)
{
    struct wav_writer *w = calloc(1, sizeof *w);
    enum tbs_err err;

    if (!w)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    w->fd = -1;
    w->path = strdup(path);
    if (asprintf(&w->temporary, "%s.XXXXXX", path) < 0)
        w->temporary = NULL;
    err = w->path && w->temporary ? create(w, rate, diag)
                                  : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    if (err)
        wav_free(w);
    else
        *ret_writer = w;
    return err;
}

enum tbs_err wav_write(struct wav_writer *w, const short *frames, size_t n, struct tbs_diag *diag)
{
    return sf_writef_short(w->file, frames, (sf_count_t)n) == (sf_count_t)n ? TBS_OK
                                                                            : fail(w, diag);
}

enum tbs_err wav_finish(struct wav_writer *w, struct tbs_diag *diag)
{
    int closed = sf_close(w->file);

    w->file = NULL;
    if (closed != 0 || fsync(w->fd) != 0 || rename(w->temporary, w->path) != 0)
        return fail(w, diag);
    free(w->temporary);
    w->temporary = NULL;
    return TBS_OK;
}

void wav_free(struct wav_writer *w)
{
    if (!w)
        return;
    if (w->file)
        sf_close(w->file);
    if (w->fd >= 0)
        close(w->fd);
    if (w->fd >= 0 && w->temporary)
        unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    free(w);
}
