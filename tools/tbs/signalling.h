/* The messages between user agents as files: an SDP with a=key-mgmt (RFC 4567), or the message
 * alone. Stateless; thread-safe. */
#ifndef TBS_TOOLS_SIGNALLING_H
#define TBS_TOOLS_SIGNALLING_H

#include "client/sdp.h"

struct signalling {
    struct tbs_buf message, sdp; /* sdp is empty for a message alone */
    bool in_sdp;
    char ids[TBS_SDP_IDS_MAX]; /* where it is in SDP */
};

#define SIGNALLING_AUTO __attribute__((cleanup(signalling_free)))
void signalling_free(struct signalling *signalling);

/* The MIKEY message of a file. Errors as tbs_sdp_extract and file_read. */
enum tbs_err signalling_read(const char *path, int level, struct signalling *ret_signalling,
                             struct tbs_diag *diag);
/* What tbs_accept and tbs_transfer_begin take; NULL outside SDP. */
const char *signalling_ids(const struct signalling *signalling);
/* Has somebody made it less secure? Of messages that came in SDP; `allow` is enum tbs_sdp_allow. */
enum tbs_err signalling_check_offer(const struct signalling *offer, int level, unsigned allow,
                                    struct tbs_diag *diag);
enum tbs_err signalling_check_answer(const struct signalling *offer,
                                     const struct signalling *answer, int level, unsigned allow,
                                     struct tbs_diag *diag);
/* Writes the message, within a copy of the SDP in sdp_path unless that is NULL. */
enum tbs_err signalling_write(const char *path, const char *sdp_path, int level,
                              struct tbs_bytes message, struct tbs_diag *diag);
/* "session", or the number of an m line from 1; false for anything else. */
bool signalling_level(const char *text, int *ret_level);
/* "clear" or "other-keys", added to `allow`; false for anything else. */
bool signalling_allow(const char *text, unsigned *allow);
#define SIGNALLING_ALLOW_DOC                                                                       \
    "let pass what makes an SDP less secure: clear (streams without keys of MIKEY) or other-keys " \
    "(of another kind beside MIKEY); repeatable"

#endif
