/* tbs offer: a TRANSFER_INIT in an SDP offer. RFC 6043 4.2.2.1, RFC 4567. */
#include <openssl/rand.h>
#include <string.h>

#include "base/file.h"
#include "cli.h"
#include "keep.h"
#include "own_keys.h"
#include "signalling.h"

enum { KEY_SDP = 256, KEY_LEVEL, KEY_SRTP, KEY_PROTOCOL };

struct offer {
    struct cli cli;
    const char *ticket, *to, *sdp, *out;
    enum tbs_srtp srtp;
    enum tbs_protocol protocol;
    int level;
    struct own_keys own;
};

static bool read_profile(const char *text, enum tbs_srtp *ret_srtp)
{
    static const enum tbs_srtp known[] = {TBS_SRTP_AES_256_CM_HMAC_SHA1_80,
                                          TBS_SRTP_AES_CM_128_HMAC_SHA1_80};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(text, tbs_srtp_name(known[i])) == 0) {
            *ret_srtp = known[i];
            return true;
        }
    return false;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct offer *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->own;
        return 0;
    case 't':
        o->to = arg;
        return 0;
    case 'T':
        o->ticket = arg;
        return 0;
    case 'o':
        o->out = arg;
        return 0;
    case KEY_SDP:
        o->sdp = arg;
        return 0;
    case KEY_SRTP:
        if (!read_profile(arg, &o->srtp))
            argp_error(state, "--srtp takes %s or %s",
                       tbs_srtp_name(TBS_SRTP_AES_256_CM_HMAC_SHA1_80),
                       tbs_srtp_name(TBS_SRTP_AES_CM_128_HMAC_SHA1_80));
        return 0;
    case KEY_PROTOCOL:
        if (!cli_protocol(arg, &o->protocol))
            argp_error(state, "--protocol takes srtp, tls or cms, not '%s'", arg);
        return 0;
    case KEY_LEVEL:
        if (!signalling_level(arg, &o->level))
            argp_error(state, "--level takes session, or the number of an m line from 1");
        return 0;
    case ARGP_KEY_END:
        cli_need(state, o->ticket, "--ticket FILE");
        cli_need(state, o->to, "--to URI");
        cli_need(state, o->out, "--out FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"ticket", 'T', "FILE", 0, "what tbs request wrote; marked there as used", 0},
            {"to", 't', "URI", 0, "who is called", 0},
            {"sdp", KEY_SDP, "FILE", 0, "the offer to add the message to (default: none)", 0},
            {"level", KEY_LEVEL, "LEVEL", 0,
             "where in the SDP: session (default), or the number of an m line", 0},
            {"srtp", KEY_SRTP, "PROFILE", 0,
             "AES_256_CM_HMAC_SHA1_80 or AES_CM_128_HMAC_SHA1_80 (default: as the ticket's suite)",
             0},
            {"protocol", KEY_PROTOCOL, "NAME", 0,
             "what the keys are for: srtp (default), tls (a pre-shared key) or cms", 0},
            {"out", 'o', "FILE", 0, "the offer, or without --sdp the message (- for stdout)", 0},
            {0},
        },
    .parser = parse_option,
    .children = (const struct argp_child[]){{&own_keys_argp, 0, NULL, 0}, {0}},
    .doc = "Makes a TRANSFER_INIT with a ticket. Each m line gets two crypto sessions, one for "
           "each direction: 1 and 2, 3 and 4, and so on; without an SDP there are 1 and 2. For "
           "TLS or CMS there is one alone.\v"
           "Example:\n"
           "  tbs offer --ticket bob.ticket --to sip:bob@example.net --sdp my.sdp "
           "--out offer.sdp\n\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 the ticket cannot be used.",
};

/* The Initiator names the SSRC of what it sends, in the first session of each pair. */
static enum tbs_err make_sessions(const struct offer *o, size_t n,
                                  struct tbs_crypto_session sessions[TBS_SESSIONS_MAX],
                                  struct tbs_diag *diag)
{
    if (n > TBS_SESSIONS_MAX)
        return tbs_fail(diag, TBS_ERR_LIMIT, "%zu m lines are more than %d crypto sessions serve",
                        n / 2, TBS_SESSIONS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct tbs_crypto_session *s = &sessions[i];

        *s = (struct tbs_crypto_session){
            .id = (uint8_t)(i + 1), .protocol = o->protocol, .srtp = o->srtp};
        s->has_ssrc = o->protocol == TBS_PROTOCOL_SRTP && i % 2 == 0;
        if (s->has_ssrc && RAND_bytes((unsigned char *)&s->ssrc, sizeof s->ssrc) != 1)
            return tbs_fail(diag, TBS_ERR_CRYPTO, "OpenSSL gave no random octets");
    }
    return TBS_OK;
}

static enum tbs_err read_sdp(const struct offer *o, char ids[TBS_SDP_IDS_MAX], size_t *ret_n,
                             struct tbs_diag *diag)
{
    struct tbs_buf sdp TBS_BUF_AUTO = tbs_buf();
    enum tbs_err err = file_read(o->sdp, &sdp, diag);

    if (!err)
        err = tbs_sdp_offer_ids(tbs_buf_view(&sdp), o->level, ids, diag);
    if (!err && o->level == TBS_SDP_SESSION)
        *ret_n = 2 * tbs_sdp_media_count(tbs_buf_view(&sdp));
    return err;
}

static enum tbs_err run(struct offer *o, struct tbs_diag *diag)
{
    struct tbs_crypto_session sessions[TBS_SESSIONS_MAX];
    char ids[TBS_SDP_IDS_MAX];
    struct tbs_ticket *ticket = NULL;
    struct tbs_transfer *transfer = NULL;
    size_t n = 2;
    enum tbs_err err = o->sdp ? read_sdp(o, ids, &n, diag) : TBS_OK;

    if (o->protocol != TBS_PROTOCOL_SRTP)
        n = 1;
    if (!err)
        err = make_sessions(o, n, sessions, diag);
    if (!err)
        err = keep_read_ticket(o->ticket, &ticket, diag);
    if (!err)
        err = own_keys_read(&o->own, diag);
    if (!err && o->own.n > 0)
        err = tbs_ticket_supply(ticket, o->own.key, o->own.n, diag);
    if (!err)
        err = tbs_transfer_begin(ticket, o->to, sessions, n, o->sdp ? ids : NULL,
                                 tbs_clock_system(), &transfer, diag);
    if (!err) /* first: an offer that left is never forgotten */
        err = keep_update_ticket(o->ticket, ticket, diag);
    if (!err)
        err = signalling_write(o->out, o->sdp, o->level, tbs_transfer_octets(transfer), diag);
    tbs_transfer_free(transfer);
    tbs_ticket_free(ticket);
    return err;
}

int cmd_offer(int argc, char **argv)
{
    struct offer o = {.cli.command = argv[0], .level = TBS_SDP_SESSION};
    struct tbs_diag diag = {0};
    enum tbs_err err;

    argp_parse(&argp, argc, argv, 0, NULL, &o);
    err = run(&o, &diag);
    own_keys_free(&o.own);
    return err ? cli_fail(&o.cli, err, diag.text) : EXIT_OK;
}
