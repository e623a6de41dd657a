/* tbs finish: the Initiator takes the TRANSFER_RESP, or a network function sees it pass.
 * RFC 6043 4.2.2.4. */
#include "cli.h"
#include "keep.h"
#include "signalling.h"

enum { KEY_LEVEL = 256, KEY_OFFER, KEY_ANSWER, KEY_KEYS, KEY_SESSION, KEY_ALLOW, KEY_RESOLVED };

struct finish {
    struct cli cli;
    const char *ticket, *resolved, *offer, *answer, *keys, *session;
    int level;
    unsigned allow; /* enum tbs_sdp_allow */
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct finish *f = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &f->cli;
        return 0;
    case 'T':
        f->ticket = arg;
        return 0;
    case KEY_RESOLVED:
        f->resolved = arg;
        return 0;
    case KEY_OFFER:
        f->offer = arg;
        return 0;
    case KEY_ANSWER:
        f->answer = arg;
        return 0;
    case KEY_KEYS:
        f->keys = arg;
        return 0;
    case KEY_SESSION:
        f->session = arg;
        return 0;
    case KEY_ALLOW:
        if (!signalling_allow(arg, &f->allow))
            argp_error(state, "--allow takes clear or other-keys");
        return 0;
    case KEY_LEVEL:
        if (!signalling_level(arg, &f->level))
            argp_error(state, "--level takes session, or the number of an m line from 1");
        return 0;
    case ARGP_KEY_END:
        cli_need(state, f->ticket ? f->ticket : f->resolved, "--ticket FILE or --resolved FILE");
        if (f->resolved && (f->ticket || f->session))
            argp_error(state, "--resolved is for a network function, which has no ticket and "
                              "makes no updates");
        cli_need(state, f->offer, "--offer FILE");
        cli_need(state, f->keys, "--keys FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"ticket", 'T', "FILE", 0, "what tbs request wrote", 0},
            {"resolved", KEY_RESOLVED, "FILE", 0,
             "in its place, for a network function that follows the call: what tbs resolve wrote",
             0},
            {"offer", KEY_OFFER, "FILE", 0, "what tbs offer wrote", 0},
            {"answer", KEY_ANSWER, "FILE", 0,
             "the answer that came: SDP, or the message alone; not for a ticket that wants none",
             0},
            {"level", KEY_LEVEL, "LEVEL", 0,
             "where in the SDP: session (default), or the number of an m line", 0},
            {"allow", KEY_ALLOW, "WHAT", 0, SIGNALLING_ALLOW_DOC, 0},
            {"keys", KEY_KEYS, "FILE", 0, "the new file for the session's keys, which are secret",
             0},
            {"session", KEY_SESSION, "FILE", 0,
             "a new file for the session, which is secret: for tbs update (default: none)", 0},
            {0},
        },
    .parser = parse_option,
    .children = (const struct argp_child[]){{&cli_json_argp, 0, NULL, 0}, {0}},
    .doc = "Checks the answer to an offer, and makes the keys of the session.\v"
           "Example:\n"
           "  tbs finish --ticket bob.ticket --offer offer.sdp --answer answer.sdp "
           "--keys alice.keys\n\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 refused.",
};

static enum tbs_err take_answer(const struct finish *f, const struct signalling *offer,
                                struct tbs_transfer *transfer, struct tbs_session **ret_session,
                                struct tbs_diag *diag)
{
    struct signalling answer SIGNALLING_AUTO = {0};
    enum tbs_err err;

    if (!f->answer)
        return tbs_transfer_session(transfer, ret_session, diag);
    err = signalling_read(f->answer, f->level, &answer, diag);
    if (!err)
        err = signalling_check_answer(offer, &answer, f->level, f->allow, diag);
    return err ? err
               : tbs_transfer_finish(transfer, tbs_buf_view(&answer.message), ret_session, diag);
}

static enum tbs_err initiate(const struct finish *f, const struct signalling *offer,
                             struct tbs_session **ret_session, struct tbs_diag *diag)
{
    struct tbs_ticket *ticket = NULL;
    struct tbs_transfer *transfer = NULL;
    enum tbs_err err = keep_read_ticket(f->ticket, &ticket, diag);

    if (!err)
        err = tbs_transfer_restore(ticket, tbs_buf_view(&offer->message), &transfer, diag);
    if (!err)
        err = take_answer(f, offer, transfer, ret_session, diag);
    tbs_transfer_free(transfer);
    tbs_ticket_free(ticket);
    return err;
}

static enum tbs_err follow(const struct finish *f, const struct signalling *offer,
                           struct tbs_session **ret_session, struct tbs_diag *diag)
{
    struct signalling answer SIGNALLING_AUTO = {0};
    struct tbs_resolved *resolved = NULL;
    enum tbs_err err = keep_read_resolved(f->resolved, &resolved, diag);

    if (!err && f->answer)
        err = signalling_read(f->answer, f->level, &answer, diag);
    if (!err)
        err = tbs_follow(resolved, tbs_buf_view(&offer->message), tbs_buf_view(&answer.message),
                         ret_session, diag);
    tbs_resolved_free(resolved);
    return err;
}

static enum tbs_err run(const struct finish *f, json_t **ret_facts, struct tbs_diag *diag)
{
    struct signalling offer SIGNALLING_AUTO = {0};
    struct tbs_session *session = NULL;
    enum tbs_err err = signalling_read(f->offer, f->level, &offer, diag);

    if (!err)
        err = (f->resolved ? follow : initiate)(f, &offer, &session, diag);
    if (!err)
        err = keep_write_keys(f->keys, session, diag);
    if (!err && f->session)
        err = keep_write_session(f->session, session, diag);
    if (!err)
        *ret_facts = keep_session_facts(session);
    tbs_session_free(session);
    return err;
}

int cmd_finish(int argc, char **argv)
{
    struct finish f = {.cli.command = argv[0], .level = TBS_SDP_SESSION};
    struct tbs_diag diag = {0};
    json_t *facts;
    enum tbs_err err;

    argp_parse(&argp, argc, argv, 0, NULL, &f);
    err = run(&f, &facts, &diag);
    return err ? cli_fail(&f.cli, err, diag.text) : cli_print(&f.cli, facts);
}
