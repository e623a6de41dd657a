#include "ceremony/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "custody/pin.h"

#define COLUMNS 78

struct console {
    FILE *in, *out; /* in NULL: answers itself */
};

static bool open_files(struct console *c, bool automatic, bool silent)
{
    if (!automatic)
        c->in = fopen("/dev/tty", "re");
    if (automatic)
        c->out = silent ? fopen("/dev/null", "we") : stdout;
    else if (c->in)
        c->out = fopen("/dev/tty", "we");
    return c->out;
}

enum tbs_err console_open(bool automatic, bool silent, struct console **ret_console,
                          struct tbs_diag *diag)
{
    struct console *c = calloc(1, sizeof *c);
    if (!c)
        return tbs_fail(diag, TBS_ERR_NOMEM, "out of memory opening the terminal");
    if (!open_files(c, automatic, silent)) {
        console_close(c);
        return tbs_fail_raw(diag, TBS_ERR_UNAVAILABLE, (unsigned long)errno,
                            "there is no terminal for the people of the ceremony; only a "
                            "rehearsal can answer itself (--answers auto)");
    }
    *ret_console = c;
    return TBS_OK;
}

void console_close(struct console *console)
{
    if (!console)
        return;
    if (console->in)
        fclose(console->in);
    if (console->out && console->out != stdout)
        fclose(console->out);
    free(console);
}

bool console_is_automatic(const struct console *console)
{
    return !console->in;
}

/* --- Showing --- */

/* Folds at blanks; later lines are indented to where the first one's text begins. */
static void fold(FILE *out, size_t indent, const char *text)
{
    size_t column = indent;
    while (*text) {
        size_t blanks = strspn(text, " \n");
        text += blanks;
        size_t word = strcspn(text, " \n");
        if (word == 0)
            break;
        if (column > indent && column + 1 + word > COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)word, text);
        column += word;
        text += word;
    }
    fputc('\n', out);
    fflush(out);
}

void console_say(struct console *console, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fputs("  ", console->out);
    fold(console->out, 2, text);
}

void console_show(struct console *console, const char *label, const char *text)
{
    if (!text)
        return;
    int len = fprintf(console->out, "  %-14s ", label);
    fold(console->out, len > 0 ? (size_t)len : 0, text);
}

void console_heading(struct console *console, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fprintf(console->out, "\n--- %s ---\n", text);
    fflush(console->out);
}

/* --- Asking --- */

static bool is_text(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* A line without its end; one that is too long is read to its end and refused. */
static enum tbs_err read_answer(struct console *c, char answer[CONSOLE_ANSWER_MAX + 1],
                                bool *ret_good, struct tbs_diag *diag)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len = getline(&line, &size, c->in);
    if (len <= 0) {
        free(line);
        fputc('\n', c->out);
        return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                        "nobody answers at the terminal; the ceremony stops here and can be "
                        "resumed");
    }
    if (line[len - 1] == '\n')
        line[--len] = 0;
    *ret_good = len <= CONSOLE_ANSWER_MAX && strlen(line) == (size_t)len && is_text(line);
    if (*ret_good)
        memcpy(answer, line, (size_t)len + 1);
    free(line);
    return TBS_OK;
}

static enum tbs_err prompt(struct console *c, const char *text, char answer[CONSOLE_ANSWER_MAX + 1],
                           struct tbs_diag *diag)
{
    bool good = false;
    while (!good) {
        fprintf(c->out, "  %s: ", text);
        fflush(c->out);
        enum tbs_err err = read_answer(c, answer, &good, diag);
        if (err != TBS_OK)
            return err;
        if (!good)
            console_say(c, "That is longer than %d octets or has control characters.",
                        CONSOLE_ANSWER_MAX);
    }
    return TBS_OK;
}

enum tbs_err console_ask(struct console *console, const char *what, const char *automatic,
                         char ret_answer[CONSOLE_ANSWER_MAX + 1], struct tbs_diag *diag)
{
    char answer[CONSOLE_ANSWER_MAX + 1] = "", again[CONSOLE_ANSWER_MAX + 1];
    if (!console->in) {
        snprintf(ret_answer, CONSOLE_ANSWER_MAX + 1, "%s", automatic);
        fprintf(console->out, "  %s: %s\n", what, ret_answer);
        return TBS_OK;
    }
    enum tbs_err err = prompt(console, what, answer, diag);
    while (err == TBS_OK) {
        char text[CONSOLE_ANSWER_MAX + 80];
        if (answer[0] == 0) {
            err = prompt(console, what, answer, diag);
            continue;
        }
        snprintf(text, sizeof text, "You typed '%s'. Enter if it is right, or type it anew",
                 answer);
        err = prompt(console, text, again, diag);
        if (err == TBS_OK && again[0] == 0)
            break;
        memcpy(answer, again, sizeof answer);
    }
    if (err == TBS_OK)
        memcpy(ret_answer, answer, sizeof answer);
    return err;
}

/* --- For one person's eyes --- */

static void clear(struct console *c)
{
    fputs("\033[H\033[2J\033[3J", c->out);
    fflush(c->out);
}

/* Past the buffer of the stream, where the words would stay. */
static bool put_words(int fd, struct tbs_bytes words)
{
    bool ok = true;
    unsigned number = 1;
    for (size_t at = 0; ok && at < words.len; number++) {
        const uint8_t *end = memchr(words.data + at, ' ', words.len - at);
        size_t len = end ? (size_t)(end - (words.data + at)) : words.len - at;
        ok = dprintf(fd, "%s  %2u ", number % 5 == 1 ? "\n" : "", number) > 0 &&
             write(fd, words.data + at, len) == (ssize_t)len &&
             dprintf(fd, "%*s", len < 8 ? (int)(8 - len) : 0, "") >= 0;
        at += len + 1;
    }
    return ok && dprintf(fd, "\n\n") > 0;
}

enum tbs_err console_show_alone(struct console *console, const char *who, struct tbs_bytes words,
                                struct tbs_diag *diag)
{
    char text[160], answer[CONSOLE_ANSWER_MAX + 1];
    clear(console);
    console_say(console, "Next is %s, alone at the screen. All others turn away.", who);
    snprintf(text, sizeof text, "%.60s: Enter shows your share", who);
    enum tbs_err err = prompt(console, text, answer, diag);
    if (err != TBS_OK)
        return err;
    if (!put_words(fileno(console->out), words))
        err = tbs_fail(diag, TBS_ERR_IO, "the terminal did not take a share");
    if (err == TBS_OK)
        err =
            prompt(console, "Enter when it is on paper; the screen is then cleared", answer, diag);
    clear(console);
    return err;
}

enum tbs_err console_confirm(struct console *console, const char *who,
                             enum console_answer *ret_answer, struct tbs_diag *diag)
{
    static const char *const words[] = {"yes", "exception", "stop"};
    char text[160], answer[CONSOLE_ANSWER_MAX + 1];
    snprintf(text, sizeof text, "%.60s confirms: yes, exception or stop", who);
    if (!console->in) {
        fprintf(console->out, "  %s: yes\n", text);
        *ret_answer = CONSOLE_YES;
        return TBS_OK;
    }
    for (;;) {
        enum tbs_err err = prompt(console, text, answer, diag);
        if (err != TBS_OK)
            return err;
        for (size_t i = 0; i < 3; i++)
            if (strcmp(answer, words[i]) == 0) {
                *ret_answer = (enum console_answer)i;
                return TBS_OK;
            }
        console_say(console, "Type one of the three words.");
    }
}

enum tbs_err console_new_pin(struct console *console, const char *what, struct tbs_secret *ret_pin,
                             struct tbs_diag *diag)
{
    for (;;) {
        TBS_SECRET_AUTO struct tbs_secret first = {0};
        TBS_SECRET_AUTO struct tbs_secret second = {0};
        char again[80];
        snprintf(again, sizeof again, "%.60s once more", what);
        enum tbs_err err = pin_read_for(what, "prompt", &first, diag);
        if (err == TBS_OK)
            err = pin_read_for(again, "prompt", &second, diag);
        if (err != TBS_OK)
            return err;
        if (tbs_secret_equal(tbs_secret_view(&first), tbs_secret_view(&second))) {
            *ret_pin = first;
            first = (struct tbs_secret){0};
            return TBS_OK;
        }
        console_say(console, "The two were not the same. Type both again.");
    }
}
