#include <errno.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/secret.h"
#include "tools/tbs-media/capture.h"

#define SNAPSHOT 65576 /* the longest datagram behind an IPv6 and a UDP header */
#define UDP_HEADER_LEN 8
#define IPV4_HEADER_LEN 20
#define HOPS 64

struct capture {
    pcap_t *pcap;
    pcap_dumper_t *dumper;
};

/* What the headers need of an address. */
struct end {
    struct tbs_bytes ip;
    uint16_t port;
};

static struct end end_of(const struct address *address)
{
    if (address->any.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&address->any;
        return (struct end){tbs_bytes(&a->sin6_addr, 16), ntohs(a->sin6_port)};
    }
    const struct sockaddr_in *a = (const struct sockaddr_in *)&address->any;
    return (struct end){tbs_bytes(&a->sin_addr, 4), ntohs(a->sin_port)};
}

/* The Internet checksum, RFC 1071. */
static uint16_t checksum(struct tbs_bytes octets)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < octets.len; i++)
        sum += i % 2 == 0 ? (uint32_t)octets.data[i] << 8 : octets.data[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put_udp(struct tbs_buf *b, struct end from, struct end to, struct tbs_bytes datagram,
                    uint16_t sum)
{
    tbs_put_u16(b, from.port);
    tbs_put_u16(b, to.port);
    tbs_put_u16(b, (uint16_t)(UDP_HEADER_LEN + datagram.len));
    tbs_put_u16(b, sum);
    tbs_put_bytes(b, datagram);
}

/* Over the addresses, protocol and length as well (RFC 768, RFC 8200 8.1); 0 would mean none. */
static uint16_t udp_checksum(struct end from, struct end to, struct tbs_bytes datagram)
{
    struct tbs_buf b TBS_BUF_AUTO = tbs_buf();
    uint16_t sum;

    tbs_put_bytes(&b, from.ip);
    tbs_put_bytes(&b, to.ip);
    tbs_put_u16(&b, IPPROTO_UDP);
    tbs_put_u16(&b, (uint16_t)(UDP_HEADER_LEN + datagram.len));
    put_udp(&b, from, to, datagram, 0);
    sum = checksum(tbs_buf_view(&b));
    return sum ? sum : 0xffff;
}

static void put_ipv4(struct tbs_buf *b, struct end from, struct end to, size_t len)
{
    tbs_put_u16(b, 0x4500);
    tbs_put_u16(b, (uint16_t)(IPV4_HEADER_LEN + len));
    tbs_put_u32(b, 0); /* not fragmented */
    tbs_put_u8(b, HOPS);
    tbs_put_u8(b, IPPROTO_UDP);
    tbs_put_u16(b, 0);
    tbs_put_bytes(b, from.ip);
    tbs_put_bytes(b, to.ip);
    tbs_buf_patch_u16(b, 10, checksum(tbs_buf_view(b)));
}

static void put_ipv6(struct tbs_buf *b, struct end from, struct end to, size_t len)
{
    tbs_put_u32(b, 0x60000000);
    tbs_put_u16(b, (uint16_t)len);
    tbs_put_u8(b, IPPROTO_UDP);
    tbs_put_u8(b, HOPS);
    tbs_put_bytes(b, from.ip);
    tbs_put_bytes(b, to.ip);
}

enum tbs_err capture_create(const char *path, struct capture **ret_capture, struct tbs_diag *diag)
{
    struct capture *c = calloc(1, sizeof *c);
    enum tbs_err err = TBS_OK;

    if (!c || !(c->pcap = pcap_open_dead(DLT_RAW, SNAPSHOT)))
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    else if (!(c->dumper = pcap_dump_open(c->pcap, path)))
        err = tbs_fail(diag, TBS_ERR_IO, "cannot write the capture %.220s",
                       pcap_geterr(c->pcap)); /* begins with the path */
    if (err)
        capture_free(c);
    else
        *ret_capture = c;
    return err;
}

enum tbs_err capture_add(struct capture *capture, const struct address *from,
                         const struct address *to, struct tbs_bytes datagram, struct tbs_diag *diag)
{
    struct tbs_buf b TBS_BUF_AUTO = tbs_buf();
    struct end source = end_of(from), destination = end_of(to);
    struct pcap_pkthdr header = {0};

    (source.ip.len == 4 ? put_ipv4 : put_ipv6)(&b, source, destination,
                                               UDP_HEADER_LEN + datagram.len);
    put_udp(&b, source, destination, datagram, udp_checksum(source, destination, datagram));
    if (b.failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    gettimeofday(&header.ts, NULL);
    header.caplen = header.len = (bpf_u_int32)b.len;
    pcap_dump((u_char *)capture->dumper, &header, b.data);
    return TBS_OK;
}

enum tbs_err capture_finish(struct capture *capture, struct tbs_diag *diag)
{
    if (pcap_dump_flush(capture->dumper) != 0 || ferror(pcap_dump_file(capture->dumper)))
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot write the capture: %s",
                            strerror(errno));
    return TBS_OK;
}

void capture_free(struct capture *capture)
{
    if (!capture)
        return;
    if (capture->dumper)
        pcap_dump_close(capture->dumper);
    if (capture->pcap)
        pcap_close(capture->pcap);
    free(capture);
}
