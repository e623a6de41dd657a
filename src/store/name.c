/* Names: what is let in, how identities are spelled, and how names are shown. */
#include "store/private.h"

#include <openssl/asn1.h>
#include <string.h>
#include <strings.h>

/* C0, DEL and C1: they could forge lines in a log or move a terminal's cursor. */
static bool is_control(unsigned long c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

enum tbs_err store_name(const char *what, struct tbs_bytes in, char ret_name[STORE_NAME_MAX + 1],
                        struct tbs_diag *diag)
{
    if (in.len == 0)
        return tbs_fail(diag, TBS_ERR_MALFORMED, "the %s is empty", what);
    if (in.len > STORE_NAME_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the %s has %zu octets, the limit is %d", what, in.len,
                        STORE_NAME_MAX);
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

struct store_shown store_show(const char *name)
{
    struct store_shown shown = {0};
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

/* ASCII only, whatever the locale. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void lower_all(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        text[i] = lower(text[i]);
}

static bool is_host(const char *host, size_t len, const char *punctuation)
{
    for (size_t i = 0; i < len; i++) {
        char c = lower(host[i]);
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c & 0x80);
        if (!letter && !strchr(punctuation, c))
            return false;
    }
    return len != 0;
}

/* [user@]host[:port][;parameters][?headers]; no second '@' may stand unescaped. */
static bool canonical_sip(char *rest)
{
    char *at = strchr(rest, '@');
    char *host = at ? at + 1 : rest;
    size_t len = strcspn(host, ";?");
    if (at == rest || strchr(host, '@') || !is_host(host, len, ".-_:[]"))
        return false;
    lower_all(host, len);
    return true;
}

/* user@realm; a colon in the user part would be some other URI scheme. */
static bool canonical_nai(char *nai)
{
    char *at = strchr(nai, '@');
    if (!at || at == nai || memchr(nai, ':', (size_t)(at - nai)))
        return false;
    size_t len = strlen(at + 1);
    if (!is_host(at + 1, len, ".-_"))
        return false;
    lower_all(at + 1, len);
    return true;
}

static bool canonical_tel(char *uri)
{
    lower_all(uri, strlen(uri));
    return uri[strlen("tel:")] != '\0' && !strchr(uri, '@');
}

static bool canonical(char *uri)
{
    if (strncasecmp(uri, "tel:", 4) == 0)
        return canonical_tel(uri);
    size_t scheme = strncasecmp(uri, "sip:", 4) == 0    ? 4
                    : strncasecmp(uri, "sips:", 5) == 0 ? 5
                                                        : 0;
    if (scheme == 0)
        return canonical_nai(uri);
    lower_all(uri, scheme);
    return canonical_sip(uri + scheme);
}

enum tbs_err store_identity_canonical(struct tbs_bytes identity,
                                      struct store_identity *ret_identity, struct tbs_diag *diag)
{
    struct store_identity out;
    enum tbs_err err = store_name("identity", identity, out.uri, diag);
    if (err != TBS_OK)
        return err;
    if (strchr(out.uri, ' ') || !canonical(out.uri))
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "'%s' is neither a sip:, sips: or tel: URI nor a user@realm NAI",
                        store_show(out.uri).text);
    *ret_identity = out;
    return TBS_OK;
}
