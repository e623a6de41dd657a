#include <netinet/in.h>
#include <pcap/pcap.h>

#include "tools/tbs-media/capture.h"

#define UDP_HEADER_LEN 8
#define IPV4_FRAGMENT 0x3fff /* more fragments, or an offset */

/* How many octets of the link stand before the IP header. */
static const struct link {
    int type;
    size_t header_len;
} links[] = {
    {DLT_RAW, 0},     {DLT_IPV4, 0},       {DLT_IPV6, 0},
    {DLT_EN10MB, 14}, {DLT_LINUX_SLL, 16}, {DLT_LINUX_SLL2, 20},
};

static const struct link *link_of(int type)
{
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (links[i].type == type)
            return &links[i];
    return NULL;
}

static bool skip_ipv4(struct tbs_reader *r, struct tbs_bytes *ret_rest)
{
    size_t header_len = (tbs_read_u8(r) & 0x0f) * 4u, total_len;
    uint16_t fragment;
    uint8_t protocol;

    tbs_read_u8(r);
    total_len = tbs_read_u16(r);
    tbs_read_u16(r);
    fragment = tbs_read_u16(r);
    tbs_read_u8(r);
    protocol = tbs_read_u8(r);
    if (r->failed || header_len < 20 || total_len < header_len || protocol != IPPROTO_UDP ||
        (fragment & IPV4_FRAGMENT))
        return false;
    tbs_read_bytes(r, header_len - 10);
    *ret_rest = tbs_read_bytes(r, total_len - header_len);
    return !r->failed;
}

static bool skip_ipv6(struct tbs_reader *r, struct tbs_bytes *ret_rest)
{
    size_t len;
    uint8_t protocol;

    tbs_read_u32(r);
    len = tbs_read_u16(r);
    protocol = tbs_read_u8(r);
    tbs_read_bytes(r, 1 + 2 * 16);
    *ret_rest = tbs_read_bytes(r, len);
    return !r->failed && protocol == IPPROTO_UDP;
}

/* The datagram in an IP packet; false when there is none. */
static bool find_datagram(struct tbs_bytes packet, struct tbs_bytes *ret_datagram)
{
    struct tbs_reader r = tbs_reader(packet);
    unsigned version = packet.len > 0 ? packet.data[0] >> 4 : 0;
    struct tbs_bytes udp;
    size_t len;

    if (version != 4 && version != 6)
        return false;
    if (!(version == 4 ? skip_ipv4 : skip_ipv6)(&r, &udp))
        return false;
    r = tbs_reader(udp);
    tbs_read_u32(&r);
    len = tbs_read_u16(&r);
    tbs_read_u16(&r);
    if (r.failed || len < UDP_HEADER_LEN || len > udp.len)
        return false;
    *ret_datagram = tbs_bytes_slice(udp, UDP_HEADER_LEN, len - UDP_HEADER_LEN);
    return true;
}

static enum tbs_err read_all(pcap_t *pcap, const struct link *link, const char *path,
                             enum tbs_err (*take)(void *ctx, struct tbs_bytes datagram,
                                                  struct tbs_diag *diag),
                             void *ctx, struct tbs_diag *diag)
{
    struct pcap_pkthdr *header;
    const u_char *data;
    struct tbs_bytes datagram;
    enum tbs_err err = TBS_OK;
    int got = 1;

    while (!err && (got = pcap_next_ex(pcap, &header, &data)) == 1) {
        struct tbs_bytes frame = tbs_bytes(data, header->caplen);

        if (header->caplen < header->len)
            err = tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                           "%.180s has cut packets; capture whole ones (tcpdump -s 0)", path);
        else if (frame.len > link->header_len &&
                 find_datagram(
                     tbs_bytes_slice(frame, link->header_len, frame.len - link->header_len),
                     &datagram))
            err = take(ctx, datagram, diag);
    }
    if (!err && got != PCAP_ERROR_BREAK) /* which is the end of the file */
        err = tbs_fail(diag, TBS_ERR_MALFORMED, "%.120s: %.150s", path, pcap_geterr(pcap));
    return err;
}

enum tbs_err capture_read(const char *path,
                          enum tbs_err (*take)(void *ctx, struct tbs_bytes datagram,
                                               struct tbs_diag *diag),
                          void *ctx, struct tbs_diag *diag)
{
    char why[PCAP_ERRBUF_SIZE] = "";
    pcap_t *pcap = pcap_open_offline(path, why);
    const struct link *link;
    enum tbs_err err;

    if (!pcap)
        return tbs_fail(diag, TBS_ERR_IO, "cannot read the capture %.250s", why);
    link = link_of(pcap_datalink(pcap));
    if (link)
        err = read_all(pcap, link, path, take, ctx, diag);
    else
        err =
            tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                     "%.180s is a capture of link type %d; only raw IP, Ethernet and Linux cooked "
                     "ones can be read",
                     path, pcap_datalink(pcap));
    pcap_close(pcap);
    return err;
}
