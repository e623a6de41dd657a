/* RTP and the little of RTCP that ends a stream. RFC 3550; L16 of RFC 3551 4.5.11. */
#ifndef TBS_TOOLS_RTP_H
#define TBS_TOOLS_RTP_H

#include "base/bytes.h"

struct rtp_packet {
    uint8_t payload_type;
    uint16_t seq;
    uint32_t timestamp, ssrc;
    struct tbs_bytes payload;
};
void rtp_put(struct tbs_buf *b, const struct rtp_packet *packet);
/* Without CSRCs, extension and padding. False when it is not RTP. */
bool rtp_parse(struct tbs_bytes octets, struct rtp_packet *ret_packet);

/* Tells the two apart on one port, protected or not (RFC 5761 4). */
bool rtp_is_rtcp(struct tbs_bytes datagram);

struct rtcp_sender {
    uint32_t ssrc;
    const char *cname;
    uint64_t ntp;       /* now, and */
    uint32_t timestamp; /* the same moment in the stream */
    uint32_t packets, octets;
};
/* A compound of SR, SDES and BYE, as RFC 3550 6.1 wants it. */
void rtcp_put_bye(struct tbs_buf *b, const struct rtcp_sender *sender);
/* Whether a compound has a BYE of this SSRC. */
bool rtcp_says_bye(struct tbs_bytes compound, uint32_t ssrc);

#endif
