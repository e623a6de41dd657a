#include "client/sdp.h"

#include <string.h>

#include "base/base64.h"
#include "client/sdp_lines.h"

static const char key_mgmt[] = SDP_KEY_MGMT, mikey[] = SDP_MIKEY;

/* What one level has. */
struct found {
    size_t n, n_mikey, line; /* attributes; those of MIKEY; where that stands */
    struct tbs_bytes data;
    char ids[TBS_SDP_IDS_MAX];
};

static enum tbs_err add_id(struct found *f, struct tbs_bytes id, struct tbs_diag *diag)
{
    size_t at = strlen(f->ids);

    if (at + 1 + id.len >= sizeof f->ids)
        return tbs_fail(diag, TBS_ERR_LIMIT,
                        "the SDP offers too many key management protocols for %d octets",
                        TBS_SDP_IDS_MAX);
    if (at > 0)
        f->ids[at++] = ';';
    memcpy(f->ids + at, id.data, id.len);
    f->ids[at + id.len] = '\0';
    return TBS_OK;
}

static enum tbs_err find(struct tbs_bytes sdp, int level, struct found *f, struct tbs_diag *diag)
{
    struct sdp_lines l = sdp_lines(sdp);

    while (sdp_next_line(&l)) {
        struct sdp_key_mgmt a;
        enum tbs_err err;

        if (l.level != level || !sdp_begins(l.line, key_mgmt))
            continue;
        err = sdp_read_key_mgmt(&l, &a, diag);
        if (!err)
            err = add_id(f, a.protocol, diag);
        if (err)
            return err;
        f->n++;
        if (tbs_bytes_equal(a.protocol, tbs_bytes_str(mikey))) {
            f->n_mikey++;
            f->line = l.number;
            f->data = a.data;
        }
    }
    if (level > l.level)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "the SDP has %d m line%s, none of number %d",
                        l.level + 1, l.level == 0 ? "" : "s", level + 1);
    return TBS_OK;
}

static enum tbs_err find_other(struct tbs_bytes sdp, int level, struct found *f,
                               struct tbs_diag *diag)
{
    enum tbs_err err = find(sdp, level, f, diag);

    if (!err && f->n_mikey > 0)
        err = tbs_fail(diag, TBS_ERR_EXISTS, "line %zu of the SDP carries a MIKEY message already",
                       f->line);
    return err;
}

enum tbs_err tbs_sdp_offer_ids(struct tbs_bytes sdp, int level, char ret_ids[TBS_SDP_IDS_MAX],
                               struct tbs_diag *diag)
{
    struct found others = {0}, all = {0};
    enum tbs_err err = find_other(sdp, level, &others, diag);

    if (!err)
        err = add_id(&all, tbs_bytes_str(mikey), diag);
    if (!err && others.n > 0)
        err = add_id(&all, tbs_bytes_str(others.ids), diag);
    if (!err)
        memcpy(ret_ids, all.ids, sizeof all.ids);
    return err;
}

size_t tbs_sdp_media_count(struct tbs_bytes sdp)
{
    struct sdp_lines l = sdp_lines(sdp);

    while (sdp_next_line(&l))
        ;
    return (size_t)(l.level + 1);
}

/* Where a line is added: before the level's first key-mgmt attribute, or at the level's end. */
static size_t place_of(struct tbs_bytes sdp, int level)
{
    struct sdp_lines l = sdp_lines(sdp);

    while (sdp_next_line(&l))
        if (l.level > level || (l.level == level && sdp_begins(l.line, key_mgmt)))
            return l.start;
    return sdp.len;
}

static const char *line_end(struct tbs_bytes sdp)
{
    struct sdp_lines l = sdp_lines(sdp);

    sdp_next_line(&l);
    return l.next == l.start + l.line.len + 1 ? "\n" : "\r\n";
}

enum tbs_err tbs_sdp_insert(struct tbs_bytes sdp, int level, struct tbs_bytes message,
                            struct tbs_buf *ret_sdp, struct tbs_diag *diag)
{
    struct tbs_buf out = tbs_buf();
    struct found found = {0};
    size_t at = place_of(sdp, level);
    struct tbs_bytes end = tbs_bytes_str(line_end(sdp));
    enum tbs_err err = find_other(sdp, level, &found, diag);

    if (err)
        return err;
    tbs_put_bytes(&out, tbs_bytes_slice(sdp, 0, at));
    if (at > 0 && sdp.data[at - 1] != '\n')
        tbs_put_bytes(&out, end);
    tbs_put_bytes(&out, tbs_bytes_str(key_mgmt));
    tbs_put_bytes(&out, tbs_bytes_str(mikey));
    tbs_put_u8(&out, ' ');
    tbs_put_base64(&out, message);
    tbs_put_bytes(&out, end);
    tbs_put_bytes(&out, tbs_bytes_slice(sdp, at, sdp.len - at));
    if (out.failed) {
        tbs_buf_free(&out);
        return tbs_fail(diag, TBS_ERR_LIMIT, "the SDP would have more than %u octets",
                        TBS_BUF_LIMIT);
    }
    *ret_sdp = out;
    return TBS_OK;
}

/* RFC 4567 3.1: an attribute of the m line overrides the session's. */
static enum tbs_err find_applying(struct tbs_bytes sdp, int level, struct found *f,
                                  struct tbs_diag *diag)
{
    enum tbs_err err = find(sdp, level, f, diag);

    if (!err && f->n == 0 && level != TBS_SDP_SESSION)
        err = find(sdp, TBS_SDP_SESSION, f, diag);
    if (err)
        return err;
    if (f->n == 0)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND, "the SDP has no a=key-mgmt attribute");
    if (f->n_mikey == 0)
        return tbs_fail(diag, TBS_ERR_UNSUPPORTED,
                        "the SDP offers the key management protocols '%.100s', not mikey", f->ids);
    if (f->n_mikey > 1)
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "line %zu of the SDP carries a second MIKEY message", f->line);
    return TBS_OK;
}

enum tbs_err tbs_sdp_extract(struct tbs_bytes sdp, int level, struct tbs_buf *ret_message,
                             char ret_ids[TBS_SDP_IDS_MAX], struct tbs_diag *diag)
{
    struct tbs_buf message = tbs_buf();
    struct found f = {0};
    enum tbs_err err = find_applying(sdp, level, &f, diag);

    if (err)
        return err;
    if (!tbs_base64_decode(f.data, &message))
        return tbs_fail(diag, TBS_ERR_MALFORMED, "line %zu of the SDP: the data is not base64",
                        f.line);
    if (message.failed)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory");
    *ret_message = message;
    memcpy(ret_ids, f.ids, sizeof f.ids);
    return TBS_OK;
}
