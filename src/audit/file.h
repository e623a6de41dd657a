/* The file that the trail is in now: append-only, one writer at a time. Several processes may
 * write (the daemon and tbs-admin): each line is added under flock(2), after what the others
 * added has been seen, so that there is one chain. Not thread-safe. */
#ifndef TBS_AUDIT_FILE_H
#define TBS_AUDIT_FILE_H

#include <sys/types.h>

#include "audit/line.h"

struct audit_file {
    char *path;
    int fd; /* -1: none */
    off_t size, max_size;
    struct audit_head head; /* of its last line that we know */
};

/* Makes the file if there is none. An unfinished last line, such as a crash leaves it, is cut, and
 * a line says so. TBS_ERR_CONFIG when its end is no line of a trail; TBS_ERR_IO. */
enum tbs_err audit_file_open(struct audit_file *ret_file, const char *path, off_t max_size,
                             struct tbs_diag *diag);
void audit_file_close(struct audit_file *file);

/* Adds one line with one write(2); takes `fields` over. Opens the path anew when the file was
 * moved away, and begins a new file before this one gets larger than max_size: it is renamed,
 * with the number of its last line at its end. TBS_ERR_IO: nothing was added. */
enum tbs_err audit_file_append(struct audit_file *file, const char *event, json_t *fields,
                               struct tbs_diag *diag);
/* Sees what others have added. */
enum tbs_err audit_file_look(struct audit_file *file, struct tbs_diag *diag);

#endif
