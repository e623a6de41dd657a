#include "tools/tbs-media/udp.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static enum tbs_err fail(const char *what, const struct address *address, struct tbs_diag *diag)
{
    int why = errno;
    char text[ADDRESS_TEXT];

    address_format((const struct sockaddr *)&address->any, text, sizeof text);
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)why, "cannot %s %s: %s", what, text,
                        strerror(why));
}

enum tbs_err udp_socket(const struct address *from, const struct address *to, int *ret_fd,
                        struct tbs_diag *diag)
{
    const struct address *any = from ? from : to;
    int fd = socket(any->any.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    enum tbs_err err = TBS_OK;

    if (fd < 0)
        return fail("make a socket for", any, diag);
    if (from && bind(fd, (const struct sockaddr *)&from->any, from->len) != 0)
        err = fail("use the address", from, diag);
    if (!err && to && connect(fd, (const struct sockaddr *)&to->any, to->len) != 0)
        err = fail("send to", to, diag);
    if (err)
        close(fd);
    else
        *ret_fd = fd;
    return err;
}
