/* tbs answer: a TRANSFER_RESP in an SDP answer. RFC 6043 4.2.2.3, RFC 4567. */
#include <inttypes.h>
#include <stdio.h>

#include "keep.h"
#include "own_keys.h"
#include "responder.h"

enum { KEY_SDP = 1024, KEY_RESOLVED, KEY_KEYS, KEY_SESSION, KEY_SSRC };

struct answer {
    struct responder responder;
    const char *resolved, *sdp, *out, *keys, *session;
    struct own_keys own;
    struct tbs_ssrc ssrcs[TBS_SESSIONS_MAX];
    size_t n_ssrcs;
};

/* CS=SSRC, the SSRC in hex. */
static bool read_ssrc(const char *text, struct tbs_ssrc *ret_ssrc)
{
    unsigned cs;
    int end = 0;

    if (sscanf(text, "%3u=%8" SCNx32 "%n", &cs, &ret_ssrc->ssrc, &end) != 2 || text[end] != '\0' ||
        cs == 0 || cs > UINT8_MAX)
        return false;
    ret_ssrc->cs_id = (uint8_t)cs;
    return true;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct answer *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->responder;
        state->child_inputs[1] = &a->own;
        return 0;
    case KEY_RESOLVED:
        a->resolved = arg;
        return 0;
    case KEY_SDP:
        a->sdp = arg;
        return 0;
    case KEY_KEYS:
        a->keys = arg;
        return 0;
    case KEY_SESSION:
        a->session = arg;
        return 0;
    case KEY_SSRC:
        if (a->n_ssrcs == TBS_SESSIONS_MAX || !read_ssrc(arg, &a->ssrcs[a->n_ssrcs++]))
            argp_error(state, "--ssrc takes a CS ID and an SSRC in hex, such as 2=ca3032b4");
        return 0;
    case 'o':
        a->out = arg;
        return 0;
    case ARGP_KEY_END:
        cli_need(state, a->resolved, "--resolved FILE");
        cli_need(state, a->out, "--out FILE");
        cli_need(state, a->keys, "--keys FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"resolved", KEY_RESOLVED, "FILE", 0, "what tbs resolve wrote; marked there as used",
             0},
            {"sdp", KEY_SDP, "FILE", 0, "the answer to add the message to (default: none)", 0},
            {"out", 'o', "FILE", 0, "the answer, or without --sdp the message (- for stdout)", 0},
            {"keys", KEY_KEYS, "FILE", 0, "the new file for the session's keys, which are secret",
             0},
            {"session", KEY_SESSION, "FILE", 0,
             "a new file for the session, which is secret: for tbs update (default: none)", 0},
            {"ssrc", KEY_SSRC, "CS=SSRC", 0,
             "the SSRC, in hex, of what you send in this crypto session; repeatable (default: "
             "random)",
             0},
            {0},
        },
    .parser = parse_option,
    .children = (const struct argp_child[]){{&responder_argp, 0, NULL, 0},
                                            {&own_keys_argp, 0, NULL, 0},
                                            {0}},
    .doc = "Answers an offer whose ticket is resolved, and makes the keys of the session. It does "
           "not talk to the KMS. A ticket that wants no answer gives keys and no file.\v"
           "Example:\n"
           "  tbs answer --account bob.json --offer offer.sdp --resolved call.resolved "
           "--sdp my.sdp --out answer.sdp --keys bob.keys\n\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 refused.",
};

/* The resolved ticket is marked before anything leaves, so that no crash makes it new again. */
static enum tbs_err keep(const struct answer *a, const struct tbs_resolved *resolved,
                         const struct tbs_session *session, struct tbs_bytes response,
                         struct tbs_diag *diag)
{
    enum tbs_err err = keep_update_resolved(a->resolved, resolved, diag);

    if (!err)
        err = keep_write_keys(a->keys, session, diag);
    if (!err && a->session)
        err = keep_write_session(a->session, session, diag);
    if (!err && response.len > 0)
        err = signalling_write(a->out, a->sdp, a->responder.level, response, diag);
    return err;
}

static enum tbs_err run(struct answer *a, json_t **ret_facts, struct tbs_diag *diag)
{
    struct responder_call call RESPONDER_CALL_AUTO = {0};
    struct tbs_buf response TBS_BUF_AUTO = tbs_buf();
    struct tbs_resolved *resolved = NULL;
    struct tbs_session *session = NULL;
    enum tbs_err err = responder_read(&a->responder, &call, diag);

    if (!err)
        err = keep_read_resolved(a->resolved, &resolved, diag);
    if (!err)
        err = own_keys_read(&a->own, diag);
    if (!err && a->own.n > 0)
        err = tbs_offer_supply(call.offer, a->own.key, a->own.n, diag);
    if (!err)
        err = tbs_answer(call.offer, resolved, a->ssrcs, a->n_ssrcs, &response, &session, diag);
    if (!err)
        err = keep(a, resolved, session, tbs_buf_view(&response), diag);
    if (!err)
        *ret_facts = keep_session_facts(session);
    tbs_session_free(session);
    tbs_resolved_free(resolved);
    return err;
}

int cmd_answer(int argc, char **argv)
{
    struct answer a = {.responder = {.cli.command = argv[0], .level = TBS_SDP_SESSION}};
    struct tbs_diag diag = {0};
    json_t *facts;
    enum tbs_err err;

    argp_parse(&argp, argc, argv, 0, NULL, &a);
    err = run(&a, &facts, &diag);
    own_keys_free(&a.own);
    return err ? cli_fail(&a.responder.cli, err, diag.text) : cli_print(&a.responder.cli, facts);
}
