#include "client/sdp_lines.h"

#include <string.h>

#include "client/sdp.h"

bool sdp_begins(struct tbs_bytes line, const char *text)
{
    return tbs_bytes_equal(tbs_bytes_slice(line, 0, strlen(text)), tbs_bytes_str(text));
}

struct sdp_lines sdp_lines(struct tbs_bytes sdp)
{
    return (struct sdp_lines){.sdp = sdp, .level = TBS_SDP_SESSION};
}

bool sdp_next_line(struct sdp_lines *l)
{
    struct tbs_bytes rest = tbs_bytes_slice(l->sdp, l->next, l->sdp.len - l->next);
    const uint8_t *end = rest.len ? memchr(rest.data, '\n', rest.len) : NULL;
    size_t len = end ? (size_t)(end - rest.data) : rest.len;

    if (rest.len == 0)
        return false;
    l->number++;
    l->start = l->next;
    l->next += end ? len + 1 : len;
    if (end && len > 0 && rest.data[len - 1] == '\r')
        len--;
    l->line = tbs_bytes_slice(rest, 0, len);
    l->level += sdp_begins(l->line, "m=");
    return true;
}

static bool is_id_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static size_t id_len(struct tbs_bytes text)
{
    size_t n = 0;

    while (n < text.len && is_id_char(text.data[n]))
        n++;
    return n;
}

/* key-mgmt-att-value = 0*1SP prtcl-id SP keymgmt-data (RFC 4567 3.1). */
enum tbs_err sdp_read_key_mgmt(const struct sdp_lines *l, struct sdp_key_mgmt *ret_attribute,
                               struct tbs_diag *diag)
{
    struct tbs_bytes rest =
        tbs_bytes_slice(l->line, strlen(SDP_KEY_MGMT), l->line.len - strlen(SDP_KEY_MGMT));
    size_t blank = rest.len > 0 && rest.data[0] == ' ', n;

    rest = tbs_bytes_slice(rest, blank, rest.len - blank);
    n = id_len(rest);
    if (n == 0 || n + 1 >= rest.len || rest.data[n] != ' ')
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "line %zu of the SDP: a=key-mgmt is not followed by a protocol, a blank "
                        "and data (RFC 4567 3.1)",
                        l->number);
    *ret_attribute = (struct sdp_key_mgmt){tbs_bytes_slice(rest, 0, n),
                                           tbs_bytes_slice(rest, n + 1, rest.len - n - 1)};
    return TBS_OK;
}
