/* A record on disk of the PIN that a token refused, so that it costs one attempt and not one for
 * each start of each program. A file for each token, in a folder of this user alone.
 *
 * The file holds a salt, made once, and of a refused PIN the first two octets of HMAC-SHA-256(salt,
 * PIN): too little to find a PIN by that is not guessed anyhow, and enough that hardly a corrected
 * PIN, one in 65536, is taken for the refused one. It is written, and on disk, before the PIN is
 * sent: a program that is killed during the login has tried, too.
 *
 * Several processes take turns: the file is locked from begin to end. */
#ifndef TBS_CUSTODY_PIN_RECORD_H
#define TBS_CUSTODY_PIN_RECORD_H

#include <limits.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"

/* One attempt, from begin to end. */
struct pin_record {
    bool kept;
    int file;
    char path[PATH_MAX];
    uint8_t salt[16];
    struct pin_line {
        char state; /* '-' nothing known, 't' trying, 'r' refused */
        uint16_t tag;
    } before, now;
};

/* dir is made where it is not there; NULL: nothing is kept, and all is allowed. `token` is what
 * names the token for ever, such as label and serial. counted_since: the token says that a wrong
 * PIN came since the last right one (CKF_USER_PIN_COUNT_LOW), which tells whether an attempt that
 * was cut short was a wrong one.
 *
 * TBS_ERR_CONFIG: the token has refused this PIN before, the folder cannot be made, or the file is
 * no record; TBS_ERR_UNAVAILABLE: another process is logging in for seconds; TBS_ERR_IO. Unless
 * TBS_OK, no PIN may be sent and there is nothing to end. */
enum tbs_err pin_record_begin(const char *dir, struct tbs_bytes token, struct tbs_bytes pin,
                              bool counted_since, struct pin_record *ret_record,
                              struct tbs_diag *diag);

enum pin_answer {
    PIN_PASSED,
    PIN_REFUSED,
    PIN_UNTOLD, /* the call failed for another reason */
};
/* Where the answer cannot be written, the attempt stands as one that was cut short. */
void pin_record_end(struct pin_record *record, enum pin_answer answer);

#endif
