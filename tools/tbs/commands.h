/* The commands of tbs. Each reads its own options with argp (argv[0] is "tbs <name>") and
 * returns the exit status of the program. */
#ifndef TBS_TOOLS_COMMANDS_H
#define TBS_TOOLS_COMMANDS_H

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_REFUSED = 3,     /* the KMS, the other user agent or the ticket says no */
    EXIT_UNAVAILABLE = 4, /* no answer, or one that says: later */
};

int cmd_request(int argc, char **argv);
int cmd_offer(int argc, char **argv);
int cmd_resolve(int argc, char **argv);
int cmd_answer(int argc, char **argv);
int cmd_finish(int argc, char **argv);
int cmd_update(int argc, char **argv);
int cmd_update_answer(int argc, char **argv);
int cmd_update_finish(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_ladder(int argc, char **argv);

#endif
