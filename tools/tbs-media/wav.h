/* WAV files of one channel and 16 bits, what L16 carries. */
#ifndef TBS_TOOLS_WAV_H
#define TBS_TOOLS_WAV_H

#include <sndfile.h>

#include "base/error.h"

struct wav_reader {
    SNDFILE *file;
    int rate;
};
/* TBS_ERR_UNSUPPORTED for other sound. */
enum tbs_err wav_open(const char *path, struct wav_reader *ret_reader, struct tbs_diag *diag);
/* Up to n frames; 0 at the end. */
enum tbs_err wav_read(struct wav_reader *reader, short *frames, size_t n, size_t *ret_n,
                      struct tbs_diag *diag);
void wav_close(struct wav_reader *reader);

/* A file that appears under its name when it is whole, for its owner only. */
struct wav_writer;
enum tbs_err wav_create(const char *path, int rate, struct wav_writer **ret_writer,
                        struct tbs_diag *diag);
enum tbs_err wav_write(struct wav_writer *writer, const short *frames, size_t n,
                       struct tbs_diag *diag);
enum tbs_err wav_finish(struct wav_writer *writer, struct tbs_diag *diag);
/* What was not finished leaves nothing behind. NULL ok. */
void wav_free(struct wav_writer *writer);

#endif
