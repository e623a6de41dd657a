#include "server/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 512

static bool parse_port(const char *digits, in_port_t *ret_port)
{
    size_t len = strspn(digits, "0123456789");
    unsigned long port = strtoul(digits, NULL, 10);
    if (len == 0 || len > 5 || digits[len] != 0 || port > 65535)
        return false;
    *ret_port = htons((in_port_t)port);
    return true;
}

static bool parse_ipv6(const char *host, size_t len, in_port_t port, struct address *address)
{
    char ip[INET6_ADDRSTRLEN];
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)&address->any;
    if (len < 2 || host[len - 1] != ']' || len - 2 >= sizeof ip)
        return false;
    snprintf(ip, sizeof ip, "%.*s", (int)(len - 2), host + 1);
    address->len = sizeof *a;
    *a = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    return inet_pton(AF_INET6, ip, &a->sin6_addr) == 1;
}

static bool parse_ipv4(const char *host, size_t len, in_port_t port, struct address *address)
{
    char ip[INET_ADDRSTRLEN];
    struct sockaddr_in *a = (struct sockaddr_in *)&address->any;
    if (len >= sizeof ip)
        return false;
    snprintf(ip, sizeof ip, "%.*s", (int)len, host);
    address->len = sizeof *a;
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
    return inet_pton(AF_INET, ip, &a->sin_addr) == 1;
}

enum tbs_err address_parse(const char *text, struct address *ret_address, struct tbs_diag *diag)
{
    struct address address = {0};
    in_port_t port;
    const char *colon = strrchr(text, ':');
    size_t host = colon ? (size_t)(colon - text) : 0;
    bool parsed = colon && parse_port(colon + 1, &port) &&
                  (text[0] == '[' ? parse_ipv6 : parse_ipv4)(text, host, port, &address);
    if (!parsed)
        return tbs_fail(diag, TBS_ERR_CONFIG,
                        "a numeric address and port such as 127.0.0.1:8087 or [::1]:8087 is "
                        "needed");
    *ret_address = address;
    return TBS_OK;
}

bool address_is_loopback(const struct address *address)
{
    if (address->any.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&address->any)->sin6_addr);
    uint32_t ipv4 = ntohl(((const struct sockaddr_in *)&address->any)->sin_addr.s_addr);
    return ipv4 >> 24 == 127;
}

enum tbs_err address_listen(const struct address *address, int *ret_fd, struct tbs_diag *diag)
{
    char text[ADDRESS_TEXT];
    int on = 1;
    address_format((const struct sockaddr *)&address->any, text, sizeof text);
    int fd = socket(address->any.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&address->any, address->len) == 0 &&
        listen(fd, BACKLOG) == 0) {
        *ret_fd = fd;
        return TBS_OK;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)error, "cannot listen on %s: %s", text,
                        strerror(error));
}

enum tbs_err address_bound(int fd, char text[ADDRESS_TEXT], struct tbs_diag *diag)
{
    struct sockaddr_storage any;
    socklen_t len = sizeof any;
    if (getsockname(fd, (struct sockaddr *)&any, &len) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot read a socket's own address: %s", strerror(errno));
    address_format((const struct sockaddr *)&any, text, ADDRESS_TEXT);
    return TBS_OK;
}

void address_format(const struct sockaddr *address, char *text, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &a->sin6_addr, ip, sizeof ip);
        snprintf(text, size, "[%s]:%u", ip, ntohs(a->sin6_port));
    } else {
        const struct sockaddr_in *a = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &a->sin_addr, ip, sizeof ip);
        snprintf(text, size, "%s:%u", ip, ntohs(a->sin_port));
    }
}
