/* The audit trail: what was decided about keys, a line each, chained by hashes, with checkpoints
 * that the token signs. docs/audit.md has the format.
 *
 * A line is in the file (write(2)) when audit_write returns: only then may an answer leave. It is
 * on the disk (fdatasync) at each checkpoint, or, with AUDIT_SYNC_LINE, when audit_write returns;
 * threads that wait for the disk at the same time wait for one call.
 *
 * Thread-safe but for opening and closing. Several processes may write to one file. A program
 * ignores SIGXFSZ, so that a file that may not grow is an error of write. */
#ifndef TBS_AUDIT_AUDIT_H
#define TBS_AUDIT_AUDIT_H

#include <jansson.h>

#include "custody/custody.h"

enum audit_sync { AUDIT_SYNC_CHECKPOINT, AUDIT_SYNC_LINE };
enum audit_on_error { AUDIT_REFUSE, AUDIT_CONTINUE };

struct audit_config {
    const char *file;  /* copied */
    uint64_t max_size; /* octets, then a new file begins */
    enum audit_sync sync;
    enum audit_on_error on_error;
    /* A checkpoint after so many lines, or so many seconds with a line at all. Both 0: none. */
    unsigned every_records, every_seconds;
    /* Signs the checkpoints, and its tokens' changes are written. NULL: neither. */
    struct custody *custody;
};

struct audit;

/* Opens the file, or makes it, and starts a thread for the checkpoints where there is a custody.
 * TBS_ERR_CONFIG when checkpoints are wanted and tokens that are up hold no AUDIT key; and as
 * audit_file_open. */
enum tbs_err audit_open(const struct audit_config *config, struct audit **ret_audit,
                        struct tbs_diag *diag);
/* NULL ok. Makes a last checkpoint. Before the custody is closed. */
void audit_close(struct audit *audit);

/* Adds a line with these fields, whose reference is taken over; "seq", "time", "event" and "prev"
 * are the trail's own. With AUDIT_CONTINUE it never fails. Lines that could not be written are
 * counted, and the next one that can is preceded by one that says how many. */
enum tbs_err audit_write(struct audit *audit, const char *event, json_t *fields,
                         struct tbs_diag *diag);

/* Octets from outside as a value: a string, or {"hex": "..."} for what is not UTF-8. */
json_t *audit_text(struct tbs_bytes octets);
/* SHA-256 of octets, its first 16 octets in hex: the name of a ticket. */
#define AUDIT_NAME_MAX 33
void audit_name(struct tbs_bytes octets, char ret_name[AUDIT_NAME_MAX]);

/* TBS_ERR_UNAVAILABLE while lines cannot be written and answers are refused for that. */
enum tbs_err audit_health(struct audit *audit, struct tbs_diag *diag);

struct audit_stats {
    uint64_t lines, failures; /* since audit_open */
    uint64_t checkpoints, failed_checkpoints;
    uint64_t seq;            /* of the last line */
    uint64_t unsigned_lines; /* after the last checkpoint */
};
void audit_stats(struct audit *audit, struct audit_stats *ret_stats);

#endif
