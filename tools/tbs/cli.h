/* What the commands of a user agent share. */
#ifndef TBS_TOOLS_CLI_H
#define TBS_TOOLS_CLI_H

#include <argp.h>
#include <jansson.h>

#include "account.h"
#include "commands.h"

/* The child of every command that talks to the KMS, or prints facts. */
struct cli {
    const char *command; /* "tbs request", for complaints */
    const char *account;
    struct account_copies copies;
    bool json;
};
extern const struct argp cli_kms_argp;  /* --account, --sent, --received, --json; input: cli */
extern const struct argp cli_json_argp; /* --json; input: cli */

/* Says what is wrong on standard error; the exit status that goes with err. */
int cli_fail(const struct cli *cli, enum tbs_err err, const char *sentence);
/* A word that is missing on the command line; ends the program. */
void cli_need(struct argp_state *state, const char *value, const char *option);
/* Prints an object of facts as lines or as JSON, and gives it up; the exit status. */
int cli_print(const struct cli *cli, json_t *facts);

/* Octets as JSON text, made safe to print. */
json_t *cli_text(struct tbs_bytes octets);
json_t *cli_time(uint64_t ntp);
/* Letters such as "FGHI". */
json_t *cli_flags(unsigned flags);

/* 3600, 90s, 30m, 8h, 7d; 0 for what is none, or is more than 2^31 seconds. */
uint32_t cli_duration(const char *text);
/* srtp, tls or cms; false for another text. */
bool cli_protocol(const char *text, enum tbs_protocol *ret_protocol);
/* A number from 0 to max; -1 otherwise. */
long cli_number(const char *text, long max);
/* TYPE[+salt][:OCTETS]; false for anything else. */
bool cli_key(const char *text, struct tbs_key_wish *ret_key);

#endif
