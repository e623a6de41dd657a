/* The receiving end of one crypto session: SRTP and SRTCP datagrams in, sound out. Packets are
 * put into order within a window; silence stands for those that are lost. */
#ifndef TBS_TOOLS_STREAM_H
#define TBS_TOOLS_STREAM_H

#include "tools/tbs-media/wav.h"

#include "client/tbs.h"

struct stream_report {
    uint64_t packets, octets; /* of sound, as it was written */
    uint64_t lost;            /* between the first packet and the last */
    uint64_t authentication_failures;
    uint64_t replayed;
    uint64_t late;  /* authentic, but after its place was written */
    uint64_t other; /* no RTP, another SSRC or payload type, or not L16 in sequence */
    bool authentic; /* something was */
    bool bye;       /* the sender said so */
};

struct stream;
/* The writer outlives the stream. */
enum tbs_err stream_new(const struct tbs_traffic *traffic, uint8_t payload_type,
                        struct wav_writer *out, struct stream **ret_stream, struct tbs_diag *diag);
/* One datagram from outside. Fails when sound cannot be written; what is wrong with the datagram
 * is counted. ret_authentic: whether it came from who holds the keys. */
enum tbs_err stream_take(struct stream *stream, struct tbs_bytes datagram, bool *ret_authentic,
                         struct tbs_diag *diag);
/* Writes what waits for its turn. */
enum tbs_err stream_finish(struct stream *stream, struct tbs_diag *diag);
struct stream_report stream_report(const struct stream *stream);
void stream_free(struct stream *stream); /* NULL ok */

#endif
