/* Datagrams in capture files, which Wireshark and tcpdump read too. */
#ifndef TBS_TOOLS_CAPTURE_H
#define TBS_TOOLS_CAPTURE_H

#include "base/bytes.h"
#include "server/address.h"

#define DATAGRAM_MAX 65535

/* A pcap file of raw IP packets; headers are made from the addresses. */
struct capture;
enum tbs_err capture_create(const char *path, struct capture **ret_capture, struct tbs_diag *diag);
/* Adds a datagram with the time that it is now. The addresses are of one family. */
enum tbs_err capture_add(struct capture *capture, const struct address *from,
                         const struct address *to, struct tbs_bytes datagram,
                         struct tbs_diag *diag);
enum tbs_err capture_finish(struct capture *capture, struct tbs_diag *diag);
void capture_free(struct capture *capture); /* NULL ok */

/* Hands every UDP datagram in a capture file to `take`, until that fails. Knows raw IP, Ethernet
 * and Linux cooked captures; fragments and other packets are passed over. */
enum tbs_err capture_read(const char *path,
                          enum tbs_err (*take)(void *ctx, struct tbs_bytes datagram,
                                               struct tbs_diag *diag),
                          void *ctx, struct tbs_diag *diag);

#endif
