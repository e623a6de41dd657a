#include "custody/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGTSTP};
#define N_WATCHED (sizeof watched / sizeof *watched)

static volatile sig_atomic_t caught;

static void catch (int number)
{
    caught = number;
}

struct signals {
    struct sigaction actions[N_WATCHED];
    sigset_t mask;
};

/* The signals are blocked except while waiting in ppoll, so that none slips in between a look
 * at `caught` and the wait. */
static void watch_signals(struct signals *before)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < N_WATCHED; i++)
        sigaddset(&blocked, watched[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, &before->mask);
    caught = 0;
    struct sigaction sa = {.sa_handler = catch};
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < N_WATCHED; i++) {
        sigaction(watched[i], NULL, &before->actions[i]);
        if (before->actions[i].sa_handler != SIG_IGN)
            sigaction(watched[i], &sa, NULL);
    }
}

static void give_signals_back(const struct signals *before)
{
    for (size_t i = 0; i < N_WATCHED; i++)
        sigaction(watched[i], &before->actions[i], NULL);
    pthread_sigmask(SIG_SETMASK, &before->mask, NULL);
}

/* Octet by octet: what follows the line end belongs to the next reader. A line that is too
 * long is read to its end, or its rest would land in the shell. */
static ssize_t read_line(int tty, const sigset_t *mask, struct tbs_secret *room)
{
    size_t len = 0;
    uint8_t octet = 0;
    while (octet != '\n') {
        struct pollfd fd = {.fd = tty, .events = POLLIN};
        if (ppoll(&fd, 1, NULL, mask) < 0)
            return -1;
        ssize_t n = read(tty, &octet, 1);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        if (len < room->len)
            room->data[len++] = octet;
    }
    return (ssize_t)len;
}

static enum tbs_err ask(int tty, const char *what, const sigset_t *mask, struct tbs_secret *room,
                        size_t *ret_len, struct tbs_diag *diag)
{
    struct termios before, hidden;
    if (tcgetattr(tty, &before) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot read the terminal's settings: %s", strerror(errno));
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    if (tcsetattr(tty, TCSAFLUSH, &hidden) != 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                            "cannot turn the terminal's echo off: %s", strerror(errno));
    dprintf(tty, "%s: ", what);
    ssize_t len = read_line(tty, mask, room);
    int saved = errno;
    tcsetattr(tty, TCSAFLUSH, &before);
    dprintf(tty, "\n");
    if (len < 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)saved,
                            "asking for the %s was interrupted", what);
    *ret_len = (size_t)len;
    return TBS_OK;
}

enum tbs_err prompt_hidden(const char *what, struct tbs_secret *room, size_t *ret_len,
                           struct tbs_diag *diag)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return tbs_fail_raw(diag, TBS_ERR_UNAVAILABLE, (unsigned long)errno,
                            "there is no terminal to ask for the %s; name another PIN source",
                            what);
    struct signals before;
    watch_signals(&before);
    enum tbs_err err = ask(tty, what, &before.mask, room, ret_len, diag);
    give_signals_back(&before);
    close(tty);
    if (caught)
        raise(caught);
    return err;
}
