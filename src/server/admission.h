/* Which connections may be open: a ceiling on all, one on those of each source address, and who
 * makes room when the first is reached. Shared by the threads of a listener; every function is
 * thread-safe. */
#ifndef TBS_SERVER_ADMISSION_H
#define TBS_SERVER_ADMISSION_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

/* A connection that was told to make room may take a moment: up to so many are open beyond the
 * ceiling meanwhile. */
#define ADMISSION_LEAVING_MAX 32

struct admission;
struct admission_place; /* of one open connection */

/* A limit per source that is not below the ceiling is none. An IPv6 source is a /64 network: less
 * is hardly ever given to one customer. */
enum tbs_err admission_new(unsigned ceiling, unsigned per_source, struct admission **ret_admission,
                           struct tbs_diag *diag);
void admission_free(struct admission *admission); /* NULL ok; every place was left */

/* A place for a new connection. The one that makes room for it is shut down (shutdown(2)), so
 * that its own thread sees the end of its octets; then *ret_evicted is true.
 * TBS_ERR_LIMIT: there is no place; the sentence says why. TBS_ERR_NOMEM. */
enum tbs_err admission_enter(struct admission *admission, int fd, const struct sockaddr *peer,
                             struct admission_place **ret_place, bool *ret_evicted,
                             struct tbs_diag *diag);
/* At work, a connection keeps its place. Else it is its peer's turn, from this call on: to send a
 * request, the rest of one, or its end. Who has kept us waiting longest makes room first, be it
 * without a request or with one that does not get complete: a newcomer that has had no time yet
 * must not go before those. */
void admission_set_working(struct admission_place *place, bool working);
void admission_leave(struct admission_place *place); /* before its descriptor is closed */

#endif
