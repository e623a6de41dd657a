#include "base/name.h"

#include <openssl/asn1.h>
#include <string.h>

/* C0, DEL and C1: they could forge lines in a log or move a terminal's cursor. */
static bool is_control(unsigned long c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

enum tbs_err tbs_name(const char *what, struct tbs_bytes in, char ret_name[TBS_NAME_MAX + 1],
                      struct tbs_diag *diag)
{
    if (in.len == 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the %s is empty", what);
    if (in.len > TBS_NAME_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the %s has %zu octets, the limit is %d", what, in.len,
                        TBS_NAME_MAX);
    for (size_t at = 0; at < in.len;) {
        unsigned long c = 0;
        int used = UTF8_getc(in.data + at, (int)(in.len - at), &c);
        if (used <= 0 || c > 0x10ffff) /* the end of Unicode, which not every OpenSSL 3 checks */
            return tbs_fail(diag, TBS_ERR_MALFORMED, "the %s is not UTF-8 at octet %zu", what, at);
        if (is_control(c))
            return tbs_fail(diag, TBS_ERR_MALFORMED, "the %s has a control character at octet %zu",
                            what, at);
        at += (size_t)used;
    }
    memcpy(ret_name, in.data, in.len);
    ret_name[in.len] = '\0';
    return TBS_OK;
}

struct tbs_shown tbs_name_show(const char *name)
{
    struct tbs_shown shown = {0};
    size_t len = strlen(name), room = sizeof shown.text - sizeof "...";
    if (len <= room) {
        memcpy(shown.text, name, len);
        return shown;
    }
    while (room > 0 && ((unsigned char)name[room] & 0xc0) == 0x80) /* not inside a character */
        room--;
    memcpy(shown.text, name, room);
    memcpy(shown.text + room, "...", sizeof "...");
    return shown;
}
