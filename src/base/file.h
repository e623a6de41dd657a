/* Files without secrets: read whole, written whole or not at all. */
#ifndef TBS_BASE_FILE_H
#define TBS_BASE_FILE_H

#include "base/bytes.h"
#include "base/error.h"

/* Appends the octets of a file, at most TBS_BUF_LIMIT; "-" is standard input. TBS_ERR_NOT_FOUND,
 * TBS_ERR_IO, TBS_ERR_LIMIT. */
enum tbs_err file_read(const char *path, struct tbs_buf *content, struct tbs_diag *diag);
/* SHA-256 of a file's octets, however many. TBS_ERR_NOT_FOUND, TBS_ERR_IO. */
#define FILE_HASH_LEN 32
enum tbs_err file_sha256(const char *path, uint8_t ret_hash[FILE_HASH_LEN], struct tbs_diag *diag);
/* Replaces a file, or makes it, in one step; "-" is standard output. */
enum tbs_err file_write(const char *path, struct tbs_bytes octets, struct tbs_diag *diag);

/* What file_write and private_file_replace share: a new file beside `path`, with this mode,
 * renamed over it. */
enum tbs_err file_replace(const char *path, unsigned mode, struct tbs_bytes octets,
                          struct tbs_diag *diag);

#endif
