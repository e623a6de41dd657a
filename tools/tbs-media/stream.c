#include "tools/tbs-media/stream.h"

#include <stdlib.h>
#include <string.h>

#include "tools/tbs-media/capture.h"
#include "tools/tbs-media/rtp.h"
#include "tools/tbs-media/srtp_context.h"

#define WINDOW 64 /* packets that may be out of order; libsrtp's replay window is 128 */
#define FRAMES_MAX 2048
#define SOUND_MAX (1u << 27) /* frames: more than two hours at 16 kHz */

struct slot {
    bool full;
    uint32_t timestamp;
    size_t n;
    short frames[FRAMES_MAX];
};

struct stream {
    srtp_t srtp;
    struct wav_writer *out;
    uint32_t ssrc;
    uint8_t payload_type;
    bool begun;                    /* the three below are known */
    uint64_t first, next, highest; /* sequence numbers, extended: seen, not yet written, seen */
    struct slot slots[WINDOW];
    bool written; /* the two below are known */
    uint32_t timestamp;
    size_t n_frames;
    struct stream_report report;
    _Alignas(uint32_t) uint8_t datagram[DATAGRAM_MAX];
};

enum tbs_err stream_new(const struct tbs_traffic *traffic, uint8_t payload_type,
                        struct wav_writer *out, struct stream **ret_stream, struct tbs_diag *diag)
{
    struct stream *s = calloc(1, sizeof *s);
    enum tbs_err err = s ? srtp_context_new(traffic, &s->srtp, diag)
                         : tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");

    if (err) {
        free(s);
        return err;
    }
    s->out = out;
    s->ssrc = traffic->ssrc;
    s->payload_type = payload_type;
    *ret_stream = s;
    return TBS_OK;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    srtp_dealloc(s->srtp);
    free(s);
}

struct stream_report stream_report(const struct stream *s)
{
    struct stream_report report = s->report;

    if (s->begun)
        report.lost = s->highest - s->first + 1 - report.packets;
    return report;
}

/* --- Sound, in the order of the stream --- */

static enum tbs_err write_silence(struct stream *s, size_t n, struct tbs_diag *diag)
{
    static const short silence[FRAMES_MAX];
    enum tbs_err err = TBS_OK;

    for (size_t more; !err && n > 0; n -= more) {
        more = n < FRAMES_MAX ? n : FRAMES_MAX;
        err = wav_write(s->out, silence, more, diag);
    }
    return err;
}

static enum tbs_err write_slot(struct stream *s, const struct slot *slot, struct tbs_diag *diag)
{
    uint32_t gap = s->written ? slot->timestamp - s->timestamp : 0;
    enum tbs_err err;

    if (gap > INT32_MAX) { /* back in time */
        s->report.other++;
        return TBS_OK;
    }
    if (gap + slot->n > SOUND_MAX - s->n_frames)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the sound is longer than %u frames", SOUND_MAX);
    err = write_silence(s, gap, diag);
    if (!err)
        err = wav_write(s->out, slot->frames, slot->n, diag);
    if (err)
        return err;
    s->written = true;
    s->timestamp = slot->timestamp + (uint32_t)slot->n;
    s->n_frames += gap + slot->n;
    s->report.packets++;
    s->report.octets += 2 * slot->n;
    return TBS_OK;
}

static enum tbs_err write_next(struct stream *s, struct tbs_diag *diag)
{
    struct slot *slot = &s->slots[s->next % WINDOW];
    enum tbs_err err = slot->full ? write_slot(s, slot, diag) : TBS_OK;

    slot->full = false;
    s->next++;
    return err;
}

enum tbs_err stream_finish(struct stream *s, struct tbs_diag *diag)
{
    enum tbs_err err = TBS_OK;

    while (!err && s->begun && s->next <= s->highest)
        err = write_next(s, diag);
    return err;
}

/* --- Packets, as they come --- */

/* The sequence number with the rounds that it has made (RFC 3550 A.1). The first round is
 * number 1, so that what came before the first packet has a number too. */
static uint64_t extend(struct stream *s, uint16_t seq)
{
    if (!s->begun) {
        s->begun = true;
        s->first = s->highest = 0x10000u + seq;
        s->next = s->highest - WINDOW + 1;
    }
    return s->highest + (uint64_t)(int16_t)(seq - (uint16_t)s->highest);
}

static void fill(struct slot *slot, const struct rtp_packet *p)
{
    struct tbs_reader r = tbs_reader(p->payload);

    slot->full = true;
    slot->timestamp = p->timestamp;
    slot->n = p->payload.len / 2;
    for (size_t i = 0; i < slot->n; i++)
        slot->frames[i] = (short)tbs_read_u16(&r);
}

static enum tbs_err keep(struct stream *s, const struct rtp_packet *p, struct tbs_diag *diag)
{
    uint64_t seq = extend(s, p->seq);
    enum tbs_err err = TBS_OK;

    if (seq < s->next) {
        s->report.late++;
        return TBS_OK;
    }
    while (!err && seq >= s->next + WINDOW)
        err = write_next(s, diag);
    fill(&s->slots[seq % WINDOW], p);
    s->first = seq < s->first ? seq : s->first;
    s->highest = seq > s->highest ? seq : s->highest;
    return err;
}

/* In place, into s->datagram; false when it is not authentic or not new. */
static bool unprotect(struct stream *s,
                      srtp_err_status_t (*how)(srtp_t, void *, int *, unsigned use_mki),
                      struct tbs_bytes datagram, struct tbs_bytes *ret_octets)
{
    int len = (int)datagram.len;

    if (datagram.len > sizeof s->datagram) {
        s->report.other++;
        return false;
    }
    memcpy(s->datagram, datagram.data, datagram.len);
    switch (how(s->srtp, s->datagram, &len, true)) {
    case srtp_err_status_ok:
        *ret_octets = tbs_bytes(s->datagram, (size_t)len);
        s->report.authentic = true;
        return true;
    case srtp_err_status_auth_fail:
    case srtp_err_status_bad_mki:
        s->report.authentication_failures++;
        return false;
    case srtp_err_status_replay_fail:
    case srtp_err_status_replay_old:
        s->report.replayed++;
        return false;
    default:
        s->report.other++;
        return false;
    }
}

enum tbs_err stream_take(struct stream *s, struct tbs_bytes datagram, bool *ret_authentic,
                         struct tbs_diag *diag)
{
    bool rtcp = rtp_is_rtcp(datagram);
    struct tbs_bytes octets;
    struct rtp_packet p;
    enum tbs_err err = TBS_OK;
    bool authentic =
        unprotect(s, rtcp ? srtp_unprotect_rtcp_mki : srtp_unprotect_mki, datagram, &octets);

    if (authentic && rtcp)
        s->report.bye |= rtcp_says_bye(octets, s->ssrc);
    else if (authentic && (!rtp_parse(octets, &p) || p.payload_type != s->payload_type ||
                           p.payload.len % 2 != 0 || p.payload.len / 2 > FRAMES_MAX))
        s->report.other++;
    else if (authentic)
        err = keep(s, &p, diag);
    if (!err)
        *ret_authentic = authentic;
    return err;
}
