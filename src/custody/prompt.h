/* Asking at the controlling terminal without echo. */
#ifndef TBS_CUSTODY_PROMPT_H
#define TBS_CUSTODY_PROMPT_H

#include "base/secret.h"

/* Shows "what: " and reads one line into room (with its line feed, cut at room->len). The
 * terminal is restored on every way out; a signal that comes in between is delivered after
 * that. Changes the process's signal handlers meanwhile: for programs that have no other
 * threads yet.
 * TBS_ERR_UNAVAILABLE no controlling terminal; TBS_ERR_IO interrupted, or reading failed. */
enum tbs_err prompt_hidden(const char *what, struct tbs_secret *room, size_t *ret_len,
                           struct tbs_diag *diag);

#endif
