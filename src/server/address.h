/* Numeric listen addresses: "127.0.0.1:8087", "[::1]:0"; port 0 lets the kernel choose. Names
 * are not resolved: where a daemon listens must not depend on a name service. Thread-safe. */
#ifndef TBS_SERVER_ADDRESS_H
#define TBS_SERVER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/error.h"

struct address {
    struct sockaddr_storage any;
    socklen_t len;
};

#define ADDRESS_TEXT 64 /* room for any address in text, with the NUL */

/* TBS_ERR_CONFIG if the text is not of that form. */
enum tbs_err address_parse(const char *text, struct address *ret_address, struct tbs_diag *diag);
bool address_is_loopback(const struct address *address);
/* A non-blocking listening TCP socket that the caller closes. */
enum tbs_err address_listen(const struct address *address, int *ret_fd, struct tbs_diag *diag);
/* Where a listening socket is bound to. */
enum tbs_err address_bound(int fd, char text[ADDRESS_TEXT], struct tbs_diag *diag);
void address_format(const struct sockaddr *address, char *text, size_t size);

#endif
