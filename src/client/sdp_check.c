/* Has somebody made an offer or an answer less secure? RFC 4567 3.1, 4.1.2, 4.1.4, 7.1, 8;
 * RFC 4568 7.5; RFC 3264 6. */
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "client/sdp.h"
#include "client/sdp_lines.h"
#include "mikey/message.h"

/* What one level of an SDP says: an m line and what belongs to it, or the session. */
struct section {
    int level;
    struct tbs_bytes type, port, transport;
    size_t n_key_mgmt, n_mikey;
    bool crypto, fingerprint, other_keys;
};

/* The CS IDs in the map of the offer's message, which its MAC protects. */
struct covered {
    bool cs[256];
};

struct check {
    struct tbs_bytes offer, answer; /* answer empty: the offer alone is checked */
    int level;
    unsigned allow;
    struct covered covered;
    struct tbs_diag *diag;
};

#define FAULT(c, fault, ...) tbs_fail_raw((c)->diag, TBS_ERR_DENIED, fault, __VA_ARGS__)

static struct tbs_bytes word(struct tbs_bytes *rest)
{
    const uint8_t *blank = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;
    size_t len = blank ? (size_t)(blank - rest->data) : rest->len;
    struct tbs_bytes found = tbs_bytes_slice(*rest, 0, len);

    *rest = tbs_bytes_slice(*rest, blank ? len + 1 : len, rest->len - len - (blank != NULL));
    return found;
}

static bool is(struct tbs_bytes a, const char *text)
{
    return tbs_bytes_equal(a, tbs_bytes_str(text));
}

/* m=<media> <port> <proto> <fmt> ... (RFC 4566 5.14) */
static void read_media(struct tbs_bytes line, struct section *s)
{
    struct tbs_bytes rest = tbs_bytes_slice(line, 2, line.len - 2);

    s->type = word(&rest);
    s->port = word(&rest);
    s->transport = word(&rest);
}

static enum tbs_err read_line(const struct sdp_lines *l, struct section *s, struct tbs_diag *diag)
{
    static const char *const others[] = {"k=", "a=zrtp-hash:", "a=pcfg:", "a=acfg:"};
    struct sdp_key_mgmt a;
    enum tbs_err err;

    if (sdp_begins(l->line, "m="))
        read_media(l->line, s);
    s->crypto |= sdp_begins(l->line, "a=crypto:");
    s->fingerprint |= sdp_begins(l->line, "a=fingerprint:");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        s->other_keys |= sdp_begins(l->line, others[i]);
    if (!sdp_begins(l->line, SDP_KEY_MGMT))
        return TBS_OK;
    err = sdp_read_key_mgmt(l, &a, diag);
    if (!err) {
        s->n_key_mgmt++;
        s->n_mikey += is(a.protocol, SDP_MIKEY);
    }
    return err;
}

static enum tbs_err read_section(struct tbs_bytes sdp, int level, struct section *ret_section,
                                 struct tbs_diag *diag)
{
    struct section s = {.level = level};
    struct sdp_lines l = sdp_lines(sdp);

    while (sdp_next_line(&l)) {
        enum tbs_err err = l.level == level ? read_line(&l, &s, diag) : TBS_OK;

        if (err)
            return err;
    }
    *ret_section = s;
    return TBS_OK;
}

/* "m line 2", or "the session". */
struct place {
    char text[32];
};

static struct place place_of(int level)
{
    struct place p = {"the session"};

    if (level != TBS_SDP_SESSION)
        snprintf(p.text, sizeof p.text, "m line %d", level + 1);
    return p;
}

static const char *kind_of(const struct check *c)
{
    return c->answer.len > 0 ? "answer" : "offer";
}

/* --- key-mgmt --- */

/* Another level that has MIKEY; the checked one where there is none. */
static int found_elsewhere(struct tbs_bytes sdp, int level)
{
    int n = (int)tbs_sdp_media_count(sdp);

    for (int i = TBS_SDP_SESSION; i < n; i++) {
        struct section s;

        if (i != level && read_section(sdp, i, &s, NULL) == TBS_OK && s.n_mikey > 0)
            return i;
    }
    return level;
}

/* MIKEY stands where it is looked for, once (RFC 4567 3.1, 4.1.2). */
static enum tbs_err check_key_mgmt(const struct check *c, struct tbs_bytes sdp)
{
    bool answered = c->answer.len > 0;
    struct section s;
    enum tbs_err err = read_section(sdp, c->level, &s, c->diag);

    if (err)
        return err;
    if (s.n_mikey > 1)
        return FAULT(c, TBS_SDP_REPEATED, "the %s has MIKEY %zu times at %s", kind_of(c), s.n_mikey,
                     place_of(c->level).text);
    if (s.n_mikey == 1 && answered && s.n_key_mgmt > 1)
        return FAULT(c, TBS_SDP_REPEATED,
                     "the answer chooses %zu key management protocols at %s, not one "
                     "(RFC 4567 4.1.2)",
                     s.n_key_mgmt, place_of(c->level).text);
    if (s.n_mikey == 1)
        return TBS_OK;
    if (found_elsewhere(sdp, c->level) != c->level)
        return FAULT(c, TBS_SDP_MOVED, "the %s has its a=key-mgmt at %s, not at %s", kind_of(c),
                     place_of(found_elsewhere(sdp, c->level)).text, place_of(c->level).text);
    if (s.n_key_mgmt > 0)
        return FAULT(c, TBS_SDP_OTHER_PROTOCOL,
                     "the %s has key management protocols at %s, but not MIKEY", kind_of(c),
                     place_of(c->level).text);
    return FAULT(c, TBS_SDP_NO_KEY_MGMT,
                 "the %s has no a=key-mgmt: somebody took it away, or the other side knows none",
                 kind_of(c));
}

/* --- Streams --- */

static bool is_srtp(const struct section *s)
{
    return is(s->transport, "RTP/SAVP") || is(s->transport, "RTP/SAVPF");
}

static bool is_dtls(const struct section *s)
{
    return sdp_begins(s->transport, "UDP/TLS/") || sdp_begins(s->transport, "TCP/DTLS/");
}

/* RFC 4567 7.1: two CS IDs for each m line; a message at an m line is for that one alone. */
static bool is_covered(const struct check *c, int media)
{
    int first = c->level == TBS_SDP_SESSION ? media : 0;

    if (c->level != TBS_SDP_SESSION && c->level != media)
        return false;
    return c->covered.cs[2 * first + 1] || c->covered.cs[2 * first + 2];
}

static enum tbs_err check_other_keys(const struct check *c, const struct section *s)
{
    struct place place = place_of(s->level);

    if (c->allow & TBS_SDP_ALLOW_OTHER_KEYS)
        return TBS_OK;
    if (s->crypto)
        return FAULT(c, TBS_SDP_CRYPTO,
                     "the %s has a=crypto at %s: a key that whoever carries it can read "
                     "(RFC 4568 8.3)",
                     kind_of(c), place.text);
    if (s->fingerprint)
        return FAULT(c, TBS_SDP_DTLS, "the %s has a DTLS fingerprint at %s beside MIKEY",
                     kind_of(c), place.text);
    if (s->other_keys)
        return FAULT(c, TBS_SDP_OTHER_KEYS,
                     "the %s has keys or configurations of another kind at %s beside MIKEY (k=, "
                     "a=zrtp-hash, a=pcfg)",
                     kind_of(c), place.text);
    return TBS_OK;
}

/* A stream that the message has crypto sessions for. */
static enum tbs_err check_covered(const struct check *c, const struct section *s)
{
    struct place place = place_of(s->level);

    if (c->level == TBS_SDP_SESSION && s->n_key_mgmt > 0)
        return FAULT(c, TBS_SDP_MOVED,
                     "the %s has a=key-mgmt at %s, which would override the session's, though that "
                     "has crypto sessions for it (RFC 4567 3.1)",
                     kind_of(c), place.text);
    if (is_dtls(s))
        return FAULT(c, TBS_SDP_DTLS, "the %s has %s over DTLS, though there are keys for it",
                     kind_of(c), place.text);
    if (!is_srtp(s))
        return FAULT(c, TBS_SDP_CLEAR,
                     "the %s has %s as %.*s, not as RTP/SAVP(F), though there are keys for it",
                     kind_of(c), place.text, (int)(s->transport.len & 0x3F),
                     (const char *)s->transport.data);
    return check_other_keys(c, s);
}

static enum tbs_err check_uncovered(const struct check *c, const struct section *s)
{
    /* Its own message is checked by itself. */
    if (c->level != TBS_SDP_SESSION || s->n_mikey > 0)
        return TBS_OK;
    if (!is_srtp(s) && c->allow & TBS_SDP_ALLOW_CLEAR)
        return TBS_OK;
    return FAULT(c, TBS_SDP_NOT_COVERED, "the MIKEY message has no crypto session for %s of the %s",
                 place_of(s->level).text, kind_of(c));
}

/* RFC 3264 6, 6.1: the same streams, in the same order, over the same transport. */
static enum tbs_err compare(const struct check *c, const struct section *offered,
                            const struct section *answered)
{
    struct place place = place_of(offered->level);

    if (!tbs_bytes_equal(offered->type, answered->type))
        return FAULT(c, TBS_SDP_MEDIA, "%s of the answer is of another kind than in the offer",
                     place.text);
    if (is_covered(c, offered->level) && is_srtp(answered) &&
        !tbs_bytes_equal(offered->transport, answered->transport))
        return FAULT(c, TBS_SDP_PROFILE, "%s of the answer is %.*s; the offer has %.*s", place.text,
                     (int)(answered->transport.len & 0x3F), (const char *)answered->transport.data,
                     (int)(offered->transport.len & 0x3F), (const char *)offered->transport.data);
    return TBS_OK;
}

static enum tbs_err check_stream(const struct check *c, struct tbs_bytes sdp, int media)
{
    struct section offered, s;
    enum tbs_err err = read_section(sdp, media, &s, c->diag);

    if (!err && c->answer.len > 0)
        err = read_section(c->offer, media, &offered, c->diag);
    if (err || is(s.port, "0"))
        return err;
    if (c->answer.len > 0)
        err = compare(c, &offered, &s);
    if (err)
        return err;
    return is_covered(c, media) ? check_covered(c, &s) : check_uncovered(c, &s);
}

/* --- All of it --- */

static enum tbs_err read_covered(struct check *c)
{
    struct tbs_buf message TBS_BUF_AUTO = tbs_buf();
    char ids[TBS_SDP_IDS_MAX];
    struct mikey_message m;
    enum tbs_err err = tbs_sdp_extract(c->offer, c->level, &message, ids, c->diag);

    if (!err)
        err = mikey_decode(tbs_buf_view(&message), &m, c->diag);
    if (err)
        return err;
    struct tbs_reader map = tbs_reader(m.hdr.map_info);

    for (unsigned i = 0; m.hdr.map_type == MIKEY_MAP_GENERIC_ID && i < m.hdr.n_cs; i++)
        c->covered.cs[mikey_next_cs(&map).id] = true;
    for (int i = 3; c->level != TBS_SDP_SESSION && i < 256; i++)
        if (c->covered.cs[i])
            return FAULT(c, TBS_SDP_MOVED,
                         "the message at %s has crypto session %d: it is for more m lines, and was "
                         "at session level (RFC 4567 7.1)",
                         place_of(c->level).text, i);
    return TBS_OK;
}

static enum tbs_err check_size(const struct check *c, struct tbs_bytes sdp)
{
    size_t n = tbs_sdp_media_count(sdp);

    if (n > TBS_SDP_MEDIA_MAX)
        return tbs_fail(c->diag, TBS_ERR_LIMIT, "the %s has %zu m lines, more than %d", kind_of(c),
                        n, TBS_SDP_MEDIA_MAX);
    if (c->level >= (int)n)
        return tbs_fail(c->diag, TBS_ERR_NOT_FOUND, "the %s has %zu m line%s, none of number %d",
                        kind_of(c), n, n == 1 ? "" : "s", c->level + 1);
    return TBS_OK;
}

static enum tbs_err check(const struct check *c, struct tbs_bytes sdp)
{
    struct section session;
    int n = (int)tbs_sdp_media_count(sdp);
    enum tbs_err err = read_section(sdp, TBS_SDP_SESSION, &session, c->diag);

    if (!err)
        err = check_other_keys(c, &session);
    for (int i = 0; !err && i < n; i++)
        err = check_stream(c, sdp, i);
    return err;
}

enum tbs_err tbs_sdp_check_offer(struct tbs_bytes offer, int level, unsigned allow,
                                 struct tbs_diag *diag)
{
    struct check c = {.offer = offer, .level = level, .allow = allow, .diag = diag};
    enum tbs_err err = check_size(&c, offer);

    if (!err)
        err = check_key_mgmt(&c, offer);
    if (!err)
        err = read_covered(&c);
    return err ? err : check(&c, offer);
}

enum tbs_err tbs_sdp_check_answer(struct tbs_bytes offer, struct tbs_bytes answer, int level,
                                  unsigned allow, struct tbs_diag *diag)
{
    struct check c = {
        .offer = offer, .answer = answer, .level = level, .allow = allow, .diag = diag};
    enum tbs_err err;

    if (answer.len == 0)
        return FAULT(&c, TBS_SDP_NO_KEY_MGMT, "the answer is empty");
    if (tbs_sdp_media_count(offer) != tbs_sdp_media_count(answer))
        return FAULT(&c, TBS_SDP_MEDIA, "the answer has %zu m lines, the offer %zu (RFC 3264 6)",
                     tbs_sdp_media_count(answer), tbs_sdp_media_count(offer));
    err = check_size(&c, answer);
    if (!err)
        err = check_key_mgmt(&c, answer);
    if (!err)
        err = read_covered(&c);
    return err ? err : check(&c, answer);
}

const char *tbs_sdp_fault_name(enum tbs_sdp_fault fault)
{
    switch (fault) {
    case TBS_SDP_NO_KEY_MGMT:
        return "no key-mgmt";
    case TBS_SDP_OTHER_PROTOCOL:
        return "another protocol";
    case TBS_SDP_REPEATED:
        return "repeated key-mgmt";
    case TBS_SDP_MOVED:
        return "moved key-mgmt";
    case TBS_SDP_CLEAR:
        return "transport in the clear";
    case TBS_SDP_PROFILE:
        return "changed transport";
    case TBS_SDP_CRYPTO:
        return "a=crypto";
    case TBS_SDP_DTLS:
        return "DTLS";
    case TBS_SDP_OTHER_KEYS:
        return "other keys";
    case TBS_SDP_NOT_COVERED:
        return "a stream without keys";
    case TBS_SDP_MEDIA:
        return "other streams";
    }
    return "no fault";
}
