#include "tools/tbs-media/rtp.h"

#include <string.h>

#define VERSION 2

#define RTCP_SR 200
#define RTCP_SDES 202
#define RTCP_BYE 203
#define SDES_CNAME 1

void rtp_put(struct tbs_buf *b, const struct rtp_packet *packet)
{
    tbs_put_u8(b, VERSION << 6);
    tbs_put_u8(b, packet->payload_type);
    tbs_put_u16(b, packet->seq);
    tbs_put_u32(b, packet->timestamp);
    tbs_put_u32(b, packet->ssrc);
    tbs_put_bytes(b, packet->payload);
}

bool rtp_parse(struct tbs_bytes octets, struct rtp_packet *ret_packet)
{
    struct tbs_reader r = tbs_reader(octets);
    uint8_t first = tbs_read_u8(&r);
    struct rtp_packet p = {.payload_type = tbs_read_u8(&r) & 0x7f};
    bool padded = first & 0x20, extended = first & 0x10;
    size_t padding = padded && octets.len > 0 ? octets.data[octets.len - 1] : 0;

    p.seq = tbs_read_u16(&r);
    p.timestamp = tbs_read_u32(&r);
    p.ssrc = tbs_read_u32(&r);
    tbs_read_bytes(&r, (first & 0x0f) * 4u);
    if (extended) {
        tbs_read_u16(&r);
        tbs_read_bytes(&r, tbs_read_u16(&r) * 4u);
    }
    if (r.failed || first >> 6 != VERSION || padding > tbs_reader_left(&r) ||
        (padded && padding == 0))
        return false;
    p.payload = tbs_read_bytes(&r, tbs_reader_left(&r) - padding);
    *ret_packet = p;
    return true;
}

bool rtp_is_rtcp(struct tbs_bytes datagram)
{
    return datagram.len >= 2 && datagram.data[1] >= 192 && datagram.data[1] <= 223;
}

/* `words` follow the first four octets. */
static void put_header(struct tbs_buf *b, uint8_t count, uint8_t type, size_t words)
{
    tbs_put_u8(b, (uint8_t)(VERSION << 6 | count));
    tbs_put_u8(b, type);
    tbs_put_u16(b, (uint16_t)words);
}

void rtcp_put_bye(struct tbs_buf *b, const struct rtcp_sender *sender)
{
    size_t cname = strnlen(sender->cname, UINT8_MAX);
    size_t item = (2 + cname) / 4 + 1; /* words, with the NULs that end the list */

    put_header(b, 0, RTCP_SR, 6);
    tbs_put_u32(b, sender->ssrc);
    tbs_put_u64(b, sender->ntp);
    tbs_put_u32(b, sender->timestamp);
    tbs_put_u32(b, sender->packets);
    tbs_put_u32(b, sender->octets);
    put_header(b, 1, RTCP_SDES, 1 + item);
    tbs_put_u32(b, sender->ssrc);
    tbs_put_u8(b, SDES_CNAME);
    tbs_put_u8(b, (uint8_t)cname);
    tbs_put_bytes(b, tbs_bytes(sender->cname, cname));
    tbs_put_zeros(b, item * 4 - 2 - cname);
    put_header(b, 1, RTCP_BYE, 1);
    tbs_put_u32(b, sender->ssrc);
}

bool rtcp_says_bye(struct tbs_bytes compound, uint32_t ssrc)
{
    struct tbs_reader r = tbs_reader(compound);

    while (tbs_reader_left(&r) > 0) {
        uint8_t count = tbs_read_u8(&r) & 0x1f, type = tbs_read_u8(&r);
        struct tbs_reader body = tbs_reader(tbs_read_bytes(&r, tbs_read_u16(&r) * 4u));

        for (uint8_t i = 0; type == RTCP_BYE && i < count && tbs_reader_left(&body) >= 4; i++)
            if (tbs_read_u32(&body) == ssrc)
                return true;
    }
    return false;
}
