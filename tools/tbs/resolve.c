/* tbs resolve: the keys of an offer's ticket from the KMS. RFC 6043 4.2.3. */
#include "responder.h"
#include "tools/common/private_file.h"

struct resolve {
    struct responder responder;
    const char *out;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct resolve *r = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &r->responder;
        return 0;
    case 'o':
        r->out = arg;
        return 0;
    case ARGP_KEY_END:
        cli_need(state, r->out, "--out FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"out", 'o', "FILE", 0, "the new file for the resolved ticket, which is secret", 0},
            {0},
        },
    .parser = parse_option,
    .children = (const struct argp_child[]){{&responder_argp, 0, NULL, 0}, {0}},
    .doc = "Shows an offer's ticket to the KMS, gets its keys, and checks the offer with them.\v"
           "Example:\n"
           "  tbs resolve --account bob.json --offer offer.sdp --out call.resolved\n\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 refused, 4 the KMS does not answer.",
};

static enum tbs_err ask(const struct resolve *r, const struct responder_call *call,
                        struct tbs_resolved **ret_resolved, struct tbs_diag *diag)
{
    struct tbs_buf response TBS_BUF_AUTO = tbs_buf();
    struct tbs_resolve *resolve = NULL;
    enum tbs_err err = tbs_resolve_begin(call->offer, &call->account.credential, tbs_clock_system(),
                                         &resolve, diag);

    if (!err)
        err = account_post(&call->account, tbs_resolve_octets(resolve), &r->responder.cli.copies,
                           &response, diag);
    if (!err)
        err = tbs_resolve_finish(resolve, tbs_buf_view(&response), ret_resolved, diag);
    tbs_resolve_free(resolve);
    return err;
}

static json_t *facts_of(const struct tbs_offer *offer)
{
    struct tbs_offer_info info;

    tbs_offer_info(offer, &info);
    return json_pack("{s:o, s:o, s:o, s:i}", "initiator", cli_text(info.initiator), "responder",
                     cli_text(info.responder), "flags", cli_flags(info.flags), "crypto_sessions",
                     (int)info.n_sessions);
}

static enum tbs_err run(const struct resolve *r, json_t **ret_facts, struct tbs_diag *diag)
{
    struct responder_call call RESPONDER_CALL_AUTO = {0};
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    struct tbs_resolved *resolved = NULL;
    enum tbs_err err = responder_read(&r->responder, &call, diag);

    if (!err)
        err = ask(r, &call, &resolved, diag);
    if (!err)
        err = tbs_resolved_export(resolved, &octets, diag);
    if (!err)
        err = private_file_write(r->out, tbs_secret_view(&octets), diag);
    if (!err)
        *ret_facts = facts_of(call.offer);
    tbs_resolved_free(resolved);
    return err;
}

int cmd_resolve(int argc, char **argv)
{
    struct resolve r = {.responder = {.cli.command = argv[0], .level = TBS_SDP_SESSION}};
    struct tbs_diag diag = {0};
    json_t *facts;
    enum tbs_err err;

    argp_parse(&argp, argc, argv, 0, NULL, &r);
    err = run(&r, &facts, &diag);
    return err ? cli_fail(&r.responder.cli, err, diag.text) : cli_print(&r.responder.cli, facts);
}
