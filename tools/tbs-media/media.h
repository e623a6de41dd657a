/* Shared by the commands of tbs-media. Each reads its own options with argp (argv[0] is
 * "tbs-media <name>") and returns the exit status of the program. */
#ifndef TBS_TOOLS_MEDIA_H
#define TBS_TOOLS_MEDIA_H

#include <argp.h>

#include "server/address.h"
#include "tools/common/session_keys.h"

/* EXIT_KEYS: packets came, and none was protected with these keys. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_KEYS = 4 };

int cmd_send(int argc, char **argv);
int cmd_receive(int argc, char **argv);
int cmd_open(int argc, char **argv);

/* --- options.c --- */

/* Of every command. */
struct session_options {
    const char *keys;
    uint8_t cs_id; /* 0: not given */
    uint8_t payload_type;
    bool json;
};
/* Of the commands that write sound. */
struct sound_options {
    const char *out;
    int rate;
};
/* Children for a command's argp; their inputs are the structs above, with zeros for what the
 * command line does not say. */
extern const struct argp session_argp, sound_argp;

/* These two end the program with EXIT_USAGE where the text is not what it should be. */
int option_number(const struct argp_state *state, const char *option, const char *text, int min,
                  int max);
struct address option_address(const struct argp_state *state, const char *option, const char *text);

/* The file of keys, and the crypto session in it that was asked for. */
enum tbs_err load_session(const struct session_options *options, struct session_keys *ret_keys,
                          const struct tbs_traffic **ret_traffic, struct tbs_diag *diag);

#endif
