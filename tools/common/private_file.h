/* Files that hold secrets: only their owner can use them, and no link stands in for them. */
#ifndef TBS_TOOLS_PRIVATE_FILE_H
#define TBS_TOOLS_PRIVATE_FILE_H

#include "base/secret.h"

/* A new file of mode 0600, on the disk or not at all. TBS_ERR_EXISTS when there is one. */
enum tbs_err private_file_write(const char *path, struct tbs_bytes octets, struct tbs_diag *diag);
/* TBS_ERR_CONFIG unless it is a regular file of this user or root, closed to group and others;
 * TBS_ERR_LIMIT for more than max octets; TBS_ERR_NOT_FOUND. */
enum tbs_err private_file_read(const char *path, size_t max, struct tbs_secret *ret_octets,
                               struct tbs_diag *diag);

#endif
