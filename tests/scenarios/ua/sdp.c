#include "ua.h"

#define PAYLOAD_TYPE "96"

static struct sdp_session *media_session(const struct sa *media, struct sdp_media **ret_media)
{
    struct sdp_session *session = NULL;

    if (sdp_session_alloc(&session, media) ||
        sdp_media_add(ret_media, session, sdp_media_audio, sa_port(media), sdp_proto_rtpsavp) ||
        sdp_format_add(NULL, *ret_media, false, PAYLOAD_TYPE, "L16", 16000, 1, NULL, NULL, NULL,
                       false, NULL))
        session = mem_deref(session);
    return session;
}

enum tbs_err sdp_make(const struct sa *media, struct tbs_buf *ret_sdp, struct tbs_diag *diag)
{
    struct sdp_media *m;
    struct sdp_session *session = media_session(media, &m);
    struct mbuf *mb = NULL;
    enum tbs_err err = TBS_OK;

    if (!session || sdp_encode(&mb, session, true)) {
        err = tbs_fail(diag, TBS_ERR_NOMEM, "libre made no SDP");
    } else {
        *ret_sdp = tbs_buf();
        tbs_put_bytes(ret_sdp, tbs_bytes(mbuf_buf(mb), mbuf_get_left(mb)));
    }
    mem_deref(mb);
    mem_deref(session);
    return err;
}

enum tbs_err sdp_read(struct tbs_bytes sdp, struct sa *ret_media, struct tbs_diag *diag)
{
    struct sa any;
    struct sdp_media *m;
    struct sdp_session *session;
    struct mbuf *mb = mbuf_alloc(sdp.len);
    enum tbs_err err = TBS_OK;

    sa_set_str(&any, "127.0.0.1", 9);
    session = media_session(&any, &m);
    if (session)
        sdp_media_set_alt_protos(m, 2, sdp_proto_rtpavp, "RTP/SAVPF");
    if (!session || !mb || mbuf_write_mem(mb, sdp.data, sdp.len))
        err = tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    mb->pos = 0;
    if (!err && (sdp_decode(session, mb, true) || !sdp_media_rport(m)))
        err = tbs_fail(diag, TBS_ERR_MALFORMED, "the SDP has no audio that could be received");
    if (!err)
        *ret_media = *sdp_media_raddr(m);
    mem_deref(mb);
    mem_deref(session);
    return err;
}
