#include "responder.h"

enum { KEY_LEVEL = 512, KEY_APP, KEY_SUITE_128, KEY_ALLOW, KEY_PROTOCOL, KEY_MAX_AGE };

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct responder *r = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &r->cli;
        return 0;
    case 'f':
        r->offer = arg;
        return 0;
    case 'g':
        if (r->n_groups == RESPONDER_GROUPS_MAX)
            argp_error(state, "at most %d groups", RESPONDER_GROUPS_MAX);
        r->groups[r->n_groups++] = arg;
        return 0;
    case KEY_APP:
        r->app = arg;
        return 0;
    case KEY_SUITE_128:
        r->suite_128 = true;
        return 0;
    case KEY_ALLOW:
        if (!signalling_allow(arg, &r->allow))
            argp_error(state, "--allow takes clear or other-keys");
        return 0;
    case KEY_PROTOCOL:
        if (!cli_protocol(arg, &r->protocol))
            argp_error(state, "--protocol takes srtp, tls or cms, not '%s'", arg);
        return 0;
    case KEY_MAX_AGE:
        r->max_age_seconds = cli_duration(arg);
        if (r->max_age_seconds == 0)
            argp_error(state, "--max-age takes a time such as 90s, 30m, 8h or 7d, not '%s'", arg);
        return 0;
    case KEY_LEVEL:
        if (!signalling_level(arg, &r->level))
            argp_error(state, "--level takes session, or the number of an m line from 1");
        return 0;
    case ARGP_KEY_END:
        cli_need(state, r->cli.account, "--account FILE");
        cli_need(state, r->offer, "--offer FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp responder_argp = {
    .options =
        (const struct argp_option[]){
            {"offer", 'f', "FILE", 0, "the offer that came: SDP, or the message alone", 0},
            {"group", 'g', "URI", 0,
             "another identity to answer for, such as a group's; repeatable", 0},
            {"app", KEY_APP, "ID", 0, "one's application, for tickets that name some", 0},
            {"level", KEY_LEVEL, "LEVEL", 0,
             "where in the SDP: session (default), or the number of an m line", 0},
            {"allow", KEY_ALLOW, "WHAT", 0, SIGNALLING_ALLOW_DOC, 0},
            {"protocol", KEY_PROTOCOL, "NAME", 0,
             "what the keys are to be for: srtp (default), tls or cms", 0},
            {"max-age", KEY_MAX_AGE, "TIME", 0,
             "how old the offer may be, such as 7d for what was left (default: 5m)", 0},
            {"suite-128", KEY_SUITE_128, NULL, 0, "accept tickets of suite 128", 0},
            {0},
        },
    .parser = parse_option,
    .children = (const struct argp_child[]){{&cli_kms_argp, 0, NULL, 0}, {0}},
};

void responder_call_free(struct responder_call *call)
{
    tbs_offer_free(call->offer);
    signalling_free(&call->signalling);
    account_free(&call->account);
}

enum tbs_err responder_read(const struct responder *r, struct responder_call *ret_call,
                            struct tbs_diag *diag)
{
    struct responder_call *call = ret_call;
    struct tbs_acceptance acceptance = {
        .groups = r->groups,
        .n_groups = r->n_groups,
        .app = r->app,
        .suite_128 = r->suite_128,
        .protocol = r->protocol,
        .max_age_seconds = r->max_age_seconds,
    };
    enum tbs_err err = account_read(r->cli.account, &call->account, diag);

    if (!err)
        err = signalling_read(r->offer, r->level, &call->signalling, diag);
    if (!err)
        err = signalling_check_offer(&call->signalling, r->level, r->allow, diag);
    if (err)
        return err;
    acceptance.sdp_ids = signalling_ids(&call->signalling);
    return tbs_accept(&call->account.credential, &acceptance,
                      tbs_buf_view(&call->signalling.message), tbs_clock_system(), &call->offer,
                      diag);
}
