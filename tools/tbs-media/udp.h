/* A UDP socket, the caller's to close. */
#ifndef TBS_TOOLS_UDP_H
#define TBS_TOOLS_UDP_H

#include "server/address.h"

/* Bound to `from` and connected to `to`, either of which may be NULL. */
enum tbs_err udp_socket(const struct address *from, const struct address *to, int *ret_fd,
                        struct tbs_diag *diag);

#endif
