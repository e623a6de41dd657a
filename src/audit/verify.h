/* Reading a trail as a stranger does: no token, only files and public keys. */
#ifndef TBS_AUDIT_VERIFY_H
#define TBS_AUDIT_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum audit_verdict {
    AUDIT_WHOLE,
    AUDIT_BROKEN,     /* lines were changed, removed, inserted or swapped */
    AUDIT_FORGED,     /* a checkpoint is of another key, or of another chain */
    AUDIT_UNFINISHED, /* the last file ends inside a line */
    AUDIT_UNSIGNED,   /* keys were given, and there is no checkpoint of theirs */
};

struct audit_report {
    enum audit_verdict verdict;
    char sentence[320]; /* what is wrong and where; empty for AUDIT_WHOLE */
    uint64_t lines, first_seq, last_seq;
    uint64_t checkpoints;    /* whose signatures were verified, where keys were given */
    uint64_t signed_seq;     /* the last line that one covers; 0: none */
    uint64_t unsigned_lines; /* after that: whoever can write the file may have changed them */
};

/* `files` from the oldest to the newest. `pem`: one public key or several; empty: signatures are
 * not verified, only what they cover. TBS_ERR_NOT_FOUND, TBS_ERR_IO for a file that cannot be
 * read; TBS_ERR_INVALID where pem holds no key. A trail that is not whole is a verdict, not a
 * failure. */
enum tbs_err audit_verify(char *const *files, size_t n, struct tbs_bytes pem,
                          struct audit_report *ret_report, struct tbs_diag *diag);

#endif
