#include "base/secret.h"
#include "commands.h"
#include "tools/common/command_line.h"

#define SECURE_HEAP (1u << 20)

const char *argp_program_version = "tbs " TBS_VERSION;

static const struct command commands[] = {
    {"request", cmd_request, "ask the KMS for a ticket"},
    {"offer", cmd_offer, "put a ticket into an SDP offer"},
    {"resolve", cmd_resolve, "ask the KMS for the keys of an offer's ticket"},
    {"answer", cmd_answer, "answer an offer, and get the session's keys"},
    {"finish", cmd_finish, "take the answer, and get the session's keys"},
    {"update", cmd_update, "change keys or streams of a session in mid-call"},
    {"update-answer", cmd_update_answer, "answer the other side's update, and get the new keys"},
    {"update-finish", cmd_update_finish, "take the answer to an update, and get the new keys"},
    {"inspect", cmd_inspect, "show MIKEY messages field by field"},
    {"ladder", cmd_ladder, "draw captured exchanges as a sequence diagram"},
};

static enum tbs_err prepare(struct tbs_diag *diag)
{
    return tbs_secret_process_init(SECURE_HEAP, diag);
}

static const struct command_line line = {
    .program = "tbs",
    .commands = commands,
    .n = sizeof commands / sizeof *commands,
    .doc = "Speaks and explains MIKEY-TICKET (RFC 6043).\v"
           "Example of a call:\n"
           "  tbs request --account alice.json --to sip:bob@example.net --out bob.ticket\n"
           "  tbs offer   --ticket bob.ticket --to sip:bob@example.net --sdp my.sdp "
           "--out offer.sdp\n"
           "  tbs resolve --account bob.json --offer offer.sdp --out call.resolved\n"
           "  tbs answer  --account bob.json --offer offer.sdp --resolved call.resolved "
           "--sdp my.sdp --out answer.sdp --keys bob.keys\n"
           "  tbs finish  --ticket bob.ticket --offer offer.sdp --answer answer.sdp "
           "--keys alice.keys\n\n"
           "tbs COMMAND --help tells more about a command.\n"
           "Exit status: 0 done, 1 failed, 2 usage, 3 refused, 4 the KMS does not answer.",
    .prepare = prepare,
};

int main(int argc, char **argv)
{
    return command_line_run(&line, argc, argv);
}
