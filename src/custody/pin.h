/* Where a PIN comes from. A PIN itself never stands in a configuration or on a command line;
 * a source does:
 *
 *   fd:N               an inherited file descriptor; read up to a line end or the end, so that
 *                      one pipe may carry several PINs, a line each. Stays open.
 *   file:/absolute     a regular file, not a symbolic link, owned by this user or root,
 *                      without any permission for group or others
 *   credential:NAME    $CREDENTIALS_DIRECTORY/NAME, as systemd's LoadCredential= provides it
 *   prompt             the controlling terminal, without echo; its settings are restored also
 *                      when a signal ends the program
 *   tpm:/absolute      sealed to the host's TPM in that file (custody/sealed_pin.h); for a
 *                      pin_keeper, which knows the way to the TPM, and nobody else
 *
 * A PIN has 4 to 255 octets after one trailing line feed is removed, and no control
 * characters. */
#ifndef TBS_CUSTODY_PIN_H
#define TBS_CUSTODY_PIN_H

#include <stdbool.h>

#include "base/secret.h"

#define PIN_MIN 4
#define PIN_MAX 255

/* Reads the PIN; the caller frees it right after use. Errors never repeat the PIN, nor a
 * source that is not of the forms above, since that may be a PIN.
 * TBS_ERR_CONFIG not a source, unsafe permissions, not a PIN; TBS_ERR_NOT_FOUND no such file
 * or credential; TBS_ERR_IO reading failed; TBS_ERR_UNAVAILABLE no terminal to ask at. */
enum tbs_err pin_read(const char *source, struct tbs_secret *ret_pin, struct tbs_diag *diag);

/* The same for a program that asks for several: what ("user PIN") is shown at the prompt and
 * named in errors. */
enum tbs_err pin_read_for(const char *what, const char *source, struct tbs_secret *ret_pin,
                          struct tbs_diag *diag);

/* The same for the words of a share, which are more octets than a PIN has. */
enum tbs_err pin_read_words(const char *what, const char *source, struct tbs_secret *ret_words,
                            struct tbs_diag *diag);

/* A PIN that may be needed again, for a login after an outage. A file, a credential or a sealed PIN
 * is read anew each time, so that a PIN that was corrected is seen; what can be read only once
 * (fd:, prompt) is kept in secret memory, if keep says so. Not thread-safe. */
struct pin_keeper {
    const char *source;  /* NULL: none */
    const char *tcti;    /* for tpm: alone */
    const char *records; /* folder of custody/pin_record.h; NULL: refusals are kept in memory */
    bool keep, used;
    struct tbs_secret kept;
};
/* Before any thread: what reading the source needs in the environment. TBS_ERR_CONFIG,
 * TBS_ERR_UNSUPPORTED. */
enum tbs_err pin_prepare(const struct pin_keeper *keeper, struct tbs_diag *diag);
/* TBS_ERR_CONFIG also when the source was read before, and nothing was kept. */
enum tbs_err pin_obtain(struct pin_keeper *keeper, struct tbs_secret *ret_pin,
                        struct tbs_diag *diag);
/* At the start, while whoever gives the PIN is there, for a token that is not: later nobody
 * reads a pipe or asks at a terminal. What is not to be kept is then not read at all. */
enum tbs_err pin_before_it_is_needed(struct pin_keeper *keeper, struct tbs_diag *diag);
void pin_keeper_free(struct pin_keeper *keeper);

#endif
