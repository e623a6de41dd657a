/* The terminal of a ceremony: one thing at a time, and what is typed can be put right before it
 * counts. In a rehearsal the answers may be given by the program itself. Not thread-safe. */
#ifndef TBS_CEREMONY_CONSOLE_H
#define TBS_CEREMONY_CONSOLE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/secret.h"

#define CONSOLE_ANSWER_MAX 200 /* octets */

struct console;

/* The controlling terminal; or, if `automatic`, standard output alone, or if `silent`, too,
 * nothing. TBS_ERR_UNAVAILABLE: there is no terminal. */
enum tbs_err console_open(bool automatic, bool silent, struct console **ret_console,
                          struct tbs_diag *diag);
void console_close(struct console *console); /* NULL ok */
bool console_is_automatic(const struct console *console);

/* Shows a paragraph, folded at 78 columns. */
void console_say(struct console *console, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with a label in front, such as "Say aloud". Nothing, where text is NULL. */
void console_show(struct console *console, const char *label, const char *text);
/* A line and a heading. */
void console_heading(struct console *console, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Asks for one line, UTF-8 without control characters; it is shown once more and may be typed
 * anew until it is right. `automatic` is the answer of a rehearsal that answers itself.
 * TBS_ERR_UNAVAILABLE at the end of input: nobody is there. */
enum tbs_err console_ask(struct console *console, const char *what, const char *automatic,
                         char ret_answer[CONSOLE_ANSWER_MAX + 1], struct tbs_diag *diag);

/* Shows the words of a share to one person alone, numbered; the screen, and what has scrolled off
 * it, is cleared before and after. Not for a console that answers itself. */
enum tbs_err console_show_alone(struct console *console, const char *who, struct tbs_bytes words,
                                struct tbs_diag *diag);

enum console_answer { CONSOLE_YES, CONSOLE_EXCEPTION, CONSOLE_STOP };
/* `who` confirms by typing "yes"; "exception" and "stop" are the other ways on. */
enum tbs_err console_confirm(struct console *console, const char *who,
                             enum console_answer *ret_answer, struct tbs_diag *diag);

/* A new PIN, typed twice without echo, until both are the same. */
enum tbs_err console_new_pin(struct console *console, const char *what, struct tbs_secret *ret_pin,
                             struct tbs_diag *diag);

#endif
