/* Performing a ceremony: step by step, at a terminal, with a journal to go on from after a crash.
 *
 * A ceremony has a folder:
 *   ceremony.yaml, site.yaml   copies, to the octet, of what was performed
 *   transcript.jsonl           the record that others verify
 *   journal.jsonl              what resuming needs; no evidence
 *   registry.jsonl             the signed registry of keys, once a step has written it
 *   blobs/ID.TOKEN.blob        wrapped keys
 *   keys/NAME.pem              public keys of those who sign
 *   rehearsal/                 in a rehearsal: tokens, PINs and people's keys, none of them secret;
 *                              those who take part in the one before have the same keys again
 *
 * For one thread, in a program that does nothing else: PKCS#11 logins hold for the process. */
#ifndef TBS_CEREMONY_RUN_H
#define TBS_CEREMONY_RUN_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"

struct run_options {
    const char *script;    /* ceremony.yaml; NULL: it is `text` */
    struct tbs_bytes text; /* of a ceremony that is part of the program */
    const char *site;      /* site.yaml; NULL: SoftHSM tokens and people made for a rehearsal */
    const char
        *after; /* the folder of the ceremony before, whose registry and tokens go on; NULL */
    const char *module; /* rehearsal: SoftHSM's, or one that stands before it */
    const char *place;  /* rehearsal: the absolute path of the folder that gets its `tokens`, PINs
                           with them; NULL: rehearsal/ in its own */
    bool rehearse;
    bool automatic; /* rehearsal: the program gives the answers */
    bool silent;    /* and shows nothing */
};

/* SoftHSM's module: the given one, or for NULL the one in its usual places; NULL: there is none. */
const char *run_rehearsal_module(const char *given);

enum run_end {
    RUN_DONE,    /* the ceremony is closed */
    RUN_STOPPED, /* somebody said stop; it can be resumed or aborted */
    RUN_ABORTED,
};

/* A ceremony in a new folder. TBS_ERR_EXISTS when there is one; TBS_ERR_CONFIG when lint finds
 * anything; TBS_ERR_DENIED when a step's people are not there. On any error after the folder was
 * made, the ceremony can be resumed or aborted. */
enum tbs_err run_new(const char *folder, const struct run_options *options, enum run_end *ret_end,
                     struct tbs_diag *diag);

/* Goes on where the journal ends: what the step at hand had made is destroyed, and the step begins
 * anew. TBS_ERR_DENIED when the script, the site, this program or what is on a token is not as it
 * was. */
enum tbs_err run_resume(const char *folder, bool automatic, enum run_end *ret_end,
                        struct tbs_diag *diag);

/* Destroys what the step at hand had made, records it, and closes the ceremony as aborted. The same
 * must be true as for run_resume. */
enum tbs_err run_abort(const char *folder, bool automatic, enum run_end *ret_end,
                       struct tbs_diag *diag);

/* The other end of reading a token back: a ceremony starts /proc/self/exe with the one argument
 * "read-back", and whoever hears that calls this, after secret memory is ready, and nothing else.
 * Standard input says {"module", "serial", "label" or none, "pin_pad", "init_args" or none}, and
 * descriptor 3 has the user's PIN, unless that is typed at the token; all objects go to standard
 * output, as JSON. TBS_ERR_INVALID when no ceremony has started it. */
enum tbs_err run_read_back(struct tbs_diag *diag);

#endif
