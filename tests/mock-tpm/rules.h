/* The script of mock-tpm. One rule a line; lines that begin with # are comments. A script holds for
 * every command that comes after it was put in place: replace it by renaming. None: nothing ever
 * goes wrong.
 *
 *   fail COMMAND RC [every N]  is the answer; the TPM does not see the command
 *   delay COMMAND MS           goes on after so many milliseconds
 *   hang COMMAND               until the script is replaced, which is then asked anew
 *   cut COMMAND [every N]      the connection ends in place of an answer; the TPM did the command
 *   garble COMMAND [every N]   the answer has its last octet changed
 *
 * COMMAND is a name such as HMAC, or * for all. RC is a name such as RETRY, of part 2, 6.6, of the
 * TPM 2.0 Library. Every N is counted since the script was put in place. */
#ifndef TBS_TESTS_MOCK_TPM_RULES_H
#define TBS_TESTS_MOCK_TPM_RULES_H

#include <stdbool.h>
#include <stdint.h>

enum action { PASS, FAIL, DELAY, HANG, CUT, GARBLE };

/* Reads the script anew if another one is there. False: it does not parse; stderr says why. */
bool rules_read(const char *path);
/* What is to be done about this command, and counts it: the first rule that applies. *ret_value is
 * the RC or the milliseconds. */
enum action rules_ask(uint32_t command, uint32_t *ret_value);

#endif
