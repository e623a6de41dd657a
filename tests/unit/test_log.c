/* The log while nobody reads it: the program goes on, and what was lost is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "server/log.h"

#define LINES 5000 /* more than any of the ways below holds */

/* What the child finds in its log. */
struct outcome {
    unsigned lines, lines_dropped;
    bool after, mode_kept;
};

/* Reads what is there, and counts whole lines of the flood and those that the log calls dropped. */
static void read_log(int fd, struct outcome *o)
{
    static char text[LINES * 128];
    size_t len = 0;
    ssize_t n;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 100) == 1 && (n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    for (const char *at = text; (at = strstr(at, "event=flood end=end\n")); at++)
        o->lines++;
    for (const char *at = text; (at = strstr(at, "event=log-dropped lines=")); at++)
        o->lines_dropped += (unsigned)strtoul(at + 24, NULL, 10);
    o->after = strstr(text, "event=after\n") != NULL;
}

static void flood(int reader, int writer, struct outcome *ret_outcome)
{
    struct outcome o = {0};
    int mode = fcntl(writer, F_GETFL);
    dup2(writer, STDERR_FILENO);
    for (unsigned i = 0; i < LINES; i++)
        log_write(LOG_LEVEL_INFO, "flood", LOG_TEXT("end", "end"));
    read_log(reader, &o);
    log_write(LOG_LEVEL_INFO, "after");
    read_log(reader, &o);
    o.mode_kept = fcntl(writer, F_GETFL) == mode;
    *ret_outcome = o;
}

/* In a child, since a log keeps its way out for the whole life of its process. */
static void the_flood_is_survived(int reader, int writer)
{
    struct outcome o;
    int result[2], status;
    assert_int_equal(pipe(result), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(10);
        flood(reader, writer, &o);
        _exit(write(result[1], &o, sizeof o) == sizeof o ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* or SIGALRM, when it stood still */
    assert_int_equal(read(result[0], &o, sizeof o), sizeof o);
    assert_in_range(o.lines, 10, LINES - 10);
    assert_int_equal(o.lines_dropped, LINES - o.lines);
    assert_true(o.after);
    assert_true(o.mode_kept);
    close(result[0]), close(result[1]), close(reader), close(writer);
}

static void a_pipe_that_nobody_reads(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    the_flood_is_survived(ends[0], ends[1]);
}

static void a_socket_that_nobody_reads(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    the_flood_is_survived(ends[0], ends[1]);
}

static void a_terminal_that_nobody_reads(void **state)
{
    (void)state;
    struct termios raw;
    int reader = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(reader >= 0 && grantpt(reader) == 0 && unlockpt(reader) == 0);
    int writer = open(ptsname(reader), O_RDWR | O_NOCTTY);
    assert_true(writer >= 0 && tcgetattr(writer, &raw) == 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(writer, TCSANOW, &raw), 0);
    the_flood_is_survived(reader, writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_that_nobody_reads),
        cmocka_unit_test(a_socket_that_nobody_reads),
        cmocka_unit_test(a_terminal_that_nobody_reads),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
