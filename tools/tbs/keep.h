/* Tickets and resolved tickets in private files, between the commands of one call. */
#ifndef TBS_TOOLS_KEEP_H
#define TBS_TOOLS_KEEP_H

#include <jansson.h>

#include "client/tbs.h"

enum tbs_err keep_read_ticket(const char *path, struct tbs_ticket **ret_ticket,
                              struct tbs_diag *diag);
enum tbs_err keep_read_resolved(const char *path, struct tbs_resolved **ret_resolved,
                                struct tbs_diag *diag);
/* In the place of the file that is there. */
enum tbs_err keep_update_ticket(const char *path, const struct tbs_ticket *ticket,
                                struct tbs_diag *diag);
enum tbs_err keep_update_resolved(const char *path, const struct tbs_resolved *resolved,
                                  struct tbs_diag *diag);
enum tbs_err keep_read_session(const char *path, struct tbs_session **ret_session,
                               struct tbs_diag *diag);
enum tbs_err keep_update_session(const char *path, const struct tbs_session *session,
                                 struct tbs_diag *diag);
/* Into a new private file. */
enum tbs_err keep_write_session(const char *path, const struct tbs_session *session,
                                struct tbs_diag *diag);
/* The keys of a session into a new private file: for SRTP as tools/common/session_keys.h says, else
 * one line, the key's identity, a colon and the key in hex, as stunnel and GnuTLS read them. */
enum tbs_err keep_write_keys(const char *path, const struct tbs_session *session,
                             struct tbs_diag *diag);
/* What may be told of a session. */
json_t *keep_session_facts(const struct tbs_session *session);

#endif
