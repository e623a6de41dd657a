/* tbs request: a ticket from the KMS. RFC 6043 4.2.1. */
#include <string.h>

#include "cli.h"
#include "tools/common/private_file.h"

enum {
    KEY_APP = 256,
    KEY_VALID,
    KEY_REUSE,
    KEY_NO_FORKING,
    KEY_INITIATOR_KEYS,
    KEY_RESPONDER_KEYS,
    KEY_NO_ANSWER,
    KEY_RESPONDER_RESOLVES,
};

struct request {
    struct cli cli;
    const char *out;
    struct tbs_wish wish;
    const char *to[TBS_RESPONDERS_MAX], *apps[TBS_APPS_MAX];
    struct tbs_key_wish keys[TBS_KEYS_MAX];
};

static void add_text(struct argp_state *state, const char **list, size_t *n, size_t max,
                     const char *text)
{
    if (*n == max)
        argp_error(state, "a ticket takes at most %zu of these", max);
    list[(*n)++] = text;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct request *r = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &r->cli;
        return 0;
    case 't':
        add_text(state, r->to, &r->wish.n_responders, TBS_RESPONDERS_MAX, arg);
        return 0;
    case KEY_APP:
        add_text(state, r->apps, &r->wish.n_apps, TBS_APPS_MAX, arg);
        return 0;
    case 'k':
        if (strcmp(arg, "none") == 0) {
            r->wish.no_keys = true;
            return 0;
        }
        if (r->wish.n_keys == TBS_KEYS_MAX || !cli_key(arg, &r->keys[r->wish.n_keys++]))
            argp_error(state,
                       "--key takes tgk, tek or gtgk, +salt, :OCTETS, at most %d times; or none",
                       TBS_KEYS_MAX);
        return 0;
    case KEY_VALID:
        r->wish.validity_seconds = cli_duration(arg);
        if (r->wish.validity_seconds == 0)
            argp_error(state, "--valid takes a time such as 90s, 30m, 8h or 7d, not '%s'", arg);
        return 0;
    case KEY_REUSE:
        r->wish.flags |= TBS_REUSE;
        return 0;
    case KEY_INITIATOR_KEYS:
        r->wish.flags |= TBS_INITIATOR_KEYS;
        return 0;
    case KEY_RESPONDER_KEYS:
        r->wish.flags |= TBS_RESPONDER_KEYS;
        return 0;
    case KEY_NO_FORKING:
        r->wish.flags &= ~(unsigned)TBS_FORKING;
        return 0;
    case KEY_RESPONDER_RESOLVES:
        r->wish.responder_resolves = true;
        r->wish.flags &= ~(unsigned)TBS_FORKING;
        return 0;
    case KEY_NO_ANSWER:
        r->wish.flags &= ~(unsigned)(TBS_FORKING | TBS_RESPONSE | TBS_RANDRR);
        return 0;
    case 'o':
        r->out = arg;
        return 0;
    case ARGP_KEY_END:
        cli_need(state, r->cli.account, "--account FILE");
        cli_need(state, r->to[0], "--to URI");
        cli_need(state, r->out, "--out FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {"to", 't', "URI", 0, "who may resolve the ticket: a user or a group; repeatable", 0},
            {"out", 'o', "FILE", 0, "the new file for the ticket and its keys, which is secret", 0},
            {"valid", KEY_VALID, "TIME", 0, "such as 90s, 30m, 8h, 7d (default: the KMS decides)",
             0},
            {"key", 'k', "TYPE", 0,
             "tgk, tek or gtgk, then +salt, then :OCTETS as wanted; repeatable (default: the KMS "
             "decides, usually one tgk); or none: you or the Responder will supply them",
             0},
            {"app", KEY_APP, "ID", 0, "an application it is for; repeatable (default: all)", 0},
            {"reuse", KEY_REUSE, NULL, 0, "for several sessions", 0},
            {"no-forking", KEY_NO_FORKING, NULL, 0, "the same keys for all who resolve it", 0},
            {"responder-resolves", KEY_RESPONDER_RESOLVES, NULL, 0,
             "for a network function that opens the ticket without the KMS. Implies --no-forking",
             0},
            {"no-answer", KEY_NO_ANSWER, NULL, 0,
             "the keys are ready at once, without an answer; for messages and groups. Implies "
             "--no-forking",
             0},
            {"initiator-keys", KEY_INITIATOR_KEYS, NULL, 0,
             "you may supply session keys, such as new ones in mid-call", 0},
            {"responder-keys", KEY_RESPONDER_KEYS, NULL, 0, "the Responder may supply session keys",
             0},
            {0},
        },
    .parser = parse_option,
    .children = (const struct argp_child[]){{&cli_kms_argp, 0, NULL, 0}, {0}},
    .doc = "Asks the KMS for a ticket and its keys.\v"
           "Example:\n"
           "  tbs request --account alice.json --to sip:bob@example.net --valid 8h "
           "--out bob.ticket\n\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 refused, 4 the KMS does not answer.",
};

static json_t *changes_of(unsigned changes)
{
    json_t *list = json_array();

    for (unsigned bit = 1; bit <= TBS_CHANGED_OTHER; bit <<= 1)
        if (changes & bit)
            json_array_append_new(list, json_string(tbs_change_name((enum tbs_change)bit)));
    return list;
}

static json_t *facts_of(const struct tbs_ticket *ticket)
{
    struct tbs_ticket_info info;
    json_t *facts = json_object(), *to = json_array();

    tbs_ticket_info(ticket, &info);
    for (size_t i = 0; i < info.n_responders; i++)
        json_array_append_new(to, cli_text(info.responders[i]));
    json_object_set_new(facts, "kms", cli_text(info.kms));
    json_object_set_new(facts, "initiator", cli_text(info.initiator));
    json_object_set_new(facts, "responders", to);
    json_object_set_new(facts, "suite", json_string(info.suite == TBS_SUITE_256 ? "256" : "128"));
    json_object_set_new(facts, "flags", cli_flags(info.flags));
    json_object_set_new(facts, "keys", json_integer((json_int_t)info.n_keys));
    if (info.has_end)
        json_object_set_new(facts, "valid_until", cli_time(info.end));
    json_object_set_new(facts, "changed", changes_of(info.changes));
    return facts;
}

static enum tbs_err ask(const struct request *r, const struct account *account,
                        struct tbs_ticket **ret_ticket, struct tbs_diag *diag)
{
    struct tbs_buf response TBS_BUF_AUTO = tbs_buf();
    struct tbs_request *request = NULL;
    enum tbs_err err =
        tbs_request_begin(&account->credential, &r->wish, tbs_clock_system(), &request, diag);

    if (!err)
        err = account_post(account, tbs_request_octets(request), &r->cli.copies, &response, diag);
    if (!err)
        err = tbs_request_finish(request, tbs_buf_view(&response), ret_ticket, diag);
    tbs_request_free(request);
    return err;
}

static enum tbs_err run(const struct request *r, json_t **ret_facts, struct tbs_diag *diag)
{
    struct account account ACCOUNT_AUTO = {0};
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    struct tbs_ticket *ticket = NULL;
    enum tbs_err err = account_read(r->cli.account, &account, diag);

    if (!err)
        err = ask(r, &account, &ticket, diag);
    if (!err)
        err = tbs_ticket_export(ticket, &octets, diag);
    if (!err)
        err = private_file_write(r->out, tbs_secret_view(&octets), diag);
    if (!err)
        *ret_facts = facts_of(ticket);
    tbs_ticket_free(ticket);
    return err;
}

int cmd_request(int argc, char **argv)
{
    struct request r = {.cli.command = argv[0], .wish.flags = TBS_FLAGS_RECOMMENDED};
    struct tbs_diag diag = {0};
    json_t *facts;
    enum tbs_err err;

    argp_parse(&argp, argc, argv, 0, NULL, &r);
    r.wish.responders = r.to;
    r.wish.apps = r.apps;
    r.wish.keys = r.keys;
    err = run(&r, &facts, &diag);
    return err ? cli_fail(&r.cli, err, diag.text) : cli_print(&r.cli, facts);
}
