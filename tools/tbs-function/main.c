/* tbs-function: a network function that holds a TPK of its own makes and opens tickets without the
 * KMS. RFC 6043 4.1.1, modes 2, 3 and 4. The files are those of tbs(1). */
#include <stdio.h>
#include <string.h>

#include "function/function.h"
#include "tools/common/private_file.h"
#include "tools/tbs/cli.h"
#include "tools/tbs/signalling.h"

#define SECURE_HEAP (1u << 20)

const char *argp_program_version = "tbs-function " TBS_VERSION;

enum {
    KEY_MODULE = 256,
    KEY_URI,
    KEY_TCTI,
    KEY_KEYS,
    KEY_PIN,
    KEY_TPK,
    KEY_IDENTITY,
    KEY_SHARED_WITH,
    KEY_KMS,
    KEY_VALID,
    KEY_FORKING,
    KEY_REUSE,
    KEY_LEVEL,
    KEY_SUITE_128,
    KEY_ALLOW,
};

struct options {
    struct cli cli;
    const char *command;
    struct custody_token_config token;
    const char *identity, *tpk, *shared_with;
    const char *to, *kms, *out, *offer; /* ticket; both; resolve */
    uint32_t validity;
    unsigned flags, allow;
    struct tbs_key_wish keys[TBS_KEYS_MAX];
    size_t n_keys;
    bool no_keys, suite_128;
    int level;
};

static error_t parse_key(struct argp_state *state, struct options *o, const char *text)
{
    if (strcmp(text, "none") == 0)
        o->no_keys = true;
    else if (o->n_keys == TBS_KEYS_MAX || !cli_key(text, &o->keys[o->n_keys++]))
        argp_error(state, "--key takes tgk, tek or gtgk, +salt, :OCTETS, at most %d times; or none",
                   TBS_KEYS_MAX);
    return 0;
}

static void check_end(struct argp_state *state, const struct options *o)
{
    bool ticket = o->command && strcmp(o->command, "ticket") == 0;

    if (!o->command)
        argp_error(state, "a command is needed: ticket or resolve");
    if (!ticket && strcmp(o->command, "resolve") != 0)
        argp_error(state, "no command '%s': there are ticket and resolve", o->command);
    if (o->token.tcti)
        cli_need(state, o->token.keys, "--keys FOLDER");
    else
        cli_need(state, o->token.module && o->token.uri ? o->token.uri : NULL,
                 "--module FILE with --uri URI, or --tcti TCTI,");
    cli_need(state, o->token.pin_source, "--pin SOURCE");
    cli_need(state, o->tpk, "--tpk ID");
    cli_need(state, o->identity, "--identity URI");
    cli_need(state, o->out, "--out FILE");
    if (ticket)
        cli_need(state, o->to, "--to URI");
    else
        cli_need(state, o->offer, "--offer FILE");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    const char **const texts[] = {
        [KEY_MODULE - 256] = &o->token.module,
        [KEY_URI - 256] = &o->token.uri,
        [KEY_TCTI - 256] = &o->token.tcti,
        [KEY_KEYS - 256] = &o->token.keys,
        [KEY_PIN - 256] = &o->token.pin_source,
        [KEY_TPK - 256] = &o->tpk,
        [KEY_IDENTITY - 256] = &o->identity,
        [KEY_SHARED_WITH - 256] = &o->shared_with,
        [KEY_KMS - 256] = &o->kms,
    };

    if (key >= KEY_MODULE && key <= KEY_KMS) {
        *texts[key - KEY_MODULE] = arg;
        return 0;
    }
    switch (key) {
    case 't':
        o->to = arg;
        return 0;
    case 'f':
        o->offer = arg;
        return 0;
    case 'o':
        o->out = arg;
        return 0;
    case 'k':
        return parse_key(state, o, arg);
    case KEY_VALID:
        o->validity = cli_duration(arg);
        if (o->validity == 0)
            argp_error(state, "--valid takes a time such as 90s, 30m, 8h or 7d, not '%s'", arg);
        return 0;
    case KEY_FORKING:
        o->flags |= TBS_FORKING;
        return 0;
    case KEY_REUSE:
        o->flags |= TBS_REUSE;
        return 0;
    case KEY_SUITE_128:
        o->suite_128 = true;
        return 0;
    case KEY_LEVEL:
        if (!signalling_level(arg, &o->level))
            argp_error(state, "--level takes session, or the number of an m line from 1");
        return 0;
    case KEY_ALLOW:
        if (!signalling_allow(arg, &o->allow))
            argp_error(state, "--allow takes clear or other-keys");
        return 0;
    case ARGP_KEY_ARG:
        if (o->command)
            argp_error(state, "one command only");
        o->command = arg;
        return 0;
    case ARGP_KEY_END:
        check_end(state, o);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options =
        (const struct argp_option[]){
            {NULL, 0, NULL, 0, "The token and its key:", 1},
            {"module", KEY_MODULE, "FILE", 0, "the PKCS#11 module of the function's own token", 1},
            {"uri", KEY_URI, "URI", 0, "the token, such as pkcs11:token=mrf", 1},
            {"tcti", KEY_TCTI, "TCTI", 0, "instead: the way to a TPM, such as device:/dev/tpmrm0",
             1},
            {"keys", KEY_KEYS, "FOLDER", 0, "the folder of a TPM's key files", 1},
            {"pin", KEY_PIN, "SOURCE", 0,
             "where the PIN comes from: fd:N, file:PATH, credential:NAME or prompt", 1},
            {"tpk", KEY_TPK, "ID", 0, "the ticket protection key, such as tpk-mrf-2026-01", 1},
            {"identity", KEY_IDENTITY, "URI", 0, "the function's own identity", 1},
            {"shared-with", KEY_SHARED_WITH, "URI", 0,
             "the other function that has the key (default: the KMS has it)", 1},
            {"out", 'o', "FILE", 0, "the new file, which is secret", 1},
            {NULL, 0, NULL, 0, "ticket:", 2},
            {"to", 't', "URI", 0, "who may resolve the ticket: a user, a group, or that function",
             2},
            {"kms", KEY_KMS, "URI", 0, "the KMS that resolves it", 2},
            {"valid", KEY_VALID, "TIME", 0, "such as 90s, 30m, 8h, 7d (default: a day)", 2},
            {"key", 'k', "TYPE", 0,
             "tgk, tek or gtgk, then +salt, then :OCTETS as wanted, repeatable; or none (default: "
             "one tgk)",
             2},
            {"forking", KEY_FORKING, NULL, 0, "each who resolves it gets keys of its own", 2},
            {"reuse", KEY_REUSE, NULL, 0, "for several sessions", 2},
            {NULL, 0, NULL, 0, "resolve:", 3},
            {"offer", 'f', "FILE", 0, "the offer that came: SDP, or the message alone", 3},
            {"level", KEY_LEVEL, "LEVEL", 0,
             "where in the SDP: session (default), or the number of an m line", 3},
            {"allow", KEY_ALLOW, "WHAT", 0, SIGNALLING_ALLOW_DOC, 3},
            {"suite-128", KEY_SUITE_128, NULL, 0, "accept tickets of suite 128", 3},
            {0},
        },
    .parser = parse_option,
    .args_doc = "COMMAND",
    .doc = "Makes and opens tickets for a network function that holds a ticket protection key of "
           "its own, without the KMS (RFC 6043 4.1.1). tbs offer and tbs finish go on with what "
           "ticket writes, tbs answer with what resolve writes.\v"
           "Example:\n"
           "  tbs-function ticket --module libsofthsm2.so --uri pkcs11:token=mrf --pin file:./pin "
           "--tpk tpk-mrf-2026-01 --identity sip:mrf@example.net --kms sip:kms@example.net --to "
           "sip:bob@example.net --out bob.ticket\n\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 refused, 4 the token does not answer.",
};

static enum tbs_err write_secret(const char *path, const struct tbs_secret *octets,
                                 struct tbs_diag *diag)
{
    return private_file_write(path, tbs_secret_view(octets), diag);
}

static enum tbs_err make_ticket(const struct options *o, const struct function *f,
                                struct tbs_diag *diag)
{
    const struct tbs_wish wish = {.responders = &o->to,
                                  .n_responders = 1,
                                  .validity_seconds = o->validity,
                                  .flags = TBS_RESPONSE | TBS_RANDRR | TBS_RANDRI | o->flags,
                                  .keys = o->keys,
                                  .n_keys = o->n_keys,
                                  .no_keys = o->no_keys};
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    struct tbs_ticket *ticket = NULL;
    enum tbs_err err = function_issue(f, &wish, o->kms, &ticket, diag);

    if (!err)
        err = tbs_ticket_export(ticket, &octets, diag);
    tbs_ticket_free(ticket);
    return err ? err : write_secret(o->out, &octets, diag);
}

static enum tbs_err open_offer(const struct options *o, const struct function *f,
                               struct tbs_diag *diag)
{
    struct tbs_credential me = {.identity = o->identity, .suite = TBS_SUITE_256};
    struct tbs_acceptance acceptance = {.suite_128 = o->suite_128};
    struct signalling came SIGNALLING_AUTO = {0};
    struct tbs_secret octets TBS_SECRET_AUTO = {0};
    struct tbs_offer *offer = NULL;
    struct tbs_resolved *resolved = NULL;
    enum tbs_err err = signalling_read(o->offer, o->level, &came, diag);

    if (!err)
        err = signalling_check_offer(&came, o->level, o->allow, diag);
    acceptance.sdp_ids = signalling_ids(&came);
    if (!err)
        err = tbs_accept(&me, &acceptance, tbs_buf_view(&came.message), tbs_clock_system(), &offer,
                         diag);
    if (!err)
        err = function_resolve(f, offer, &resolved, diag);
    if (!err)
        err = tbs_resolved_export(resolved, &octets, diag);
    tbs_resolved_free(resolved);
    tbs_offer_free(offer);
    return err ? err : write_secret(o->out, &octets, diag);
}

static enum tbs_err run(const struct options *o, struct tbs_diag *diag)
{
    struct custody_config config = {.tokens = &o->token, .n_tokens = 1};
    struct custody *custody = NULL;
    struct function f = {.identity = o->identity,
                         .tpk = o->tpk,
                         .shared_with = o->shared_with,
                         .clock = tbs_clock_system()};
    enum tbs_err err = custody_open(&config, &custody, diag);

    f.custody = custody;
    if (!err)
        err = custody_session_open(custody, &f.session, diag);
    if (!err)
        err =
            strcmp(o->command, "ticket") == 0 ? make_ticket(o, &f, diag) : open_offer(o, &f, diag);
    custody_session_close(f.session);
    custody_close(custody);
    return err;
}

int main(int argc, char **argv)
{
    struct options o = {.cli.command = "tbs-function", .level = TBS_SDP_SESSION};
    struct tbs_diag diag = {0};
    enum tbs_err err;

    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    o.token.backend = o.token.tcti ? "tpm" : "pkcs11";
    err = tbs_secret_process_init(SECURE_HEAP, &diag);
    if (!err)
        err = run(&o, &diag);
    return err ? cli_fail(&o.cli, err, diag.text) : EXIT_OK;
}
