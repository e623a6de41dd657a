/* Where PINs come from: every unsafe source is refused, and no error repeats a PIN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "custody/pin.h"

static char dir[64];

static const char *path_of(const char *name)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static void put_file(const char *name, const void *octets, size_t len, mode_t mode)
{
    unlink(path_of(name));
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, octets, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static enum tbs_err read_source(const char *prefix, const char *rest, struct tbs_secret *pin,
                                struct tbs_diag *diag)
{
    char source[256];
    snprintf(source, sizeof source, "%s%s", prefix, rest);
    return pin_read(source, pin, diag);
}

static void assert_pin(enum tbs_err err, struct tbs_secret *pin, const char *want)
{
    assert_int_equal(err, TBS_OK);
    assert_true(tbs_bytes_equal(tbs_secret_view(pin), tbs_bytes_str(want)));
    tbs_secret_free(pin);
}

static void what_is_no_source_is_refused_and_not_repeated(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "73914682",      "",          "fd:",          "fd:73914682x",
        "fd:-1",         "fd: 3",     "fd:99999999",  "file:73914682",
        "file:../x7391", "prompt:73", "prompt739146", "pin:73914682",
        "File:/73914682"};
    struct tbs_secret pin = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tbs_diag diag = {0};
        assert_int_equal(pin_read(wrong[i], &pin, &diag), TBS_ERR_CONFIG);
        assert_null(strstr(diag.text, "739"));
        assert_non_null(strstr(diag.text, "fd:N, file:/"));
        assert_null(pin.data);
    }
    assert_int_equal(pin_read(NULL, &pin, NULL), TBS_ERR_CONFIG);
}

static void files_must_be_private_and_regular(void **state)
{
    (void)state;
    struct tbs_secret pin = {0};
    struct tbs_diag diag = {0};
    static const mode_t unsafe[] = {0440, 0404, 0620, 0602, 0410, 0401, 0644};
    for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++) {
        put_file("pin", "73914682\n", 9, unsafe[i]);
        assert_int_equal(read_source("file:", path_of("pin"), &pin, &diag), TBS_ERR_CONFIG);
        assert_null(strstr(diag.text, "7391"));
    }
    put_file("pin", "73914682\n", 9, 0400);
    unlink(path_of("link"));
    assert_int_equal(symlink(path_of("pin"), path_of("link")), 0);
    assert_int_equal(read_source("file:", path_of("link"), &pin, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "symbolic link"));

    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_int_equal(read_source("file:", path_of("fifo"), &pin, &diag), TBS_ERR_CONFIG);
    assert_int_equal(read_source("file:", dir, &pin, &diag), TBS_ERR_CONFIG);
    assert_int_equal(read_source("file:", path_of("absent"), &pin, &diag), TBS_ERR_NOT_FOUND);
    assert_null(pin.data);
    if (geteuid() == 0) { /* only root can give a file away */
        assert_int_equal(chown(path_of("pin"), 12345, 0), 0);
        assert_int_equal(read_source("file:", path_of("pin"), &pin, &diag), TBS_ERR_CONFIG);
        assert_non_null(strstr(diag.text, "12345"));
    }
}

static void pins_have_4_to_255_octets_and_no_control_characters(void **state)
{
    (void)state;
    struct tbs_secret pin = {0};
    static const struct {
        const char *octets;
        size_t len;
    } wrong[] = {{"", 0},
                 {"\n", 1},
                 {"123", 3},
                 {"123\n", 4},
                 {"1234\n\n", 6},
                 {"1234\r\n", 6},
                 {"1234\n5678\n", 10},
                 {"12\0004", 4},
                 {"12\x7f"
                  "45",
                  5}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_file("pin", wrong[i].octets, wrong[i].len, 0600);
        assert_int_equal(read_source("file:", path_of("pin"), &pin, NULL), TBS_ERR_CONFIG);
    }
    char text[300];
    memset(text, 'x', sizeof text);
    put_file("pin", text, 256, 0600);
    assert_int_equal(read_source("file:", path_of("pin"), &pin, NULL), TBS_ERR_CONFIG);
    text[255] = '\n';
    put_file("pin", text, 256, 0600);
    text[255] = '\0';
    assert_pin(read_source("file:", path_of("pin"), &pin, NULL), &pin, text);
    put_file("pin", "1234", 4, 0600);
    assert_pin(read_source("file:", path_of("pin"), &pin, NULL), &pin, "1234");
    put_file("pin", "se cr\xc3\xa9t\n", 9, 0400);
    assert_pin(read_source("file:", path_of("pin"), &pin, NULL), &pin, "se cr\xc3\xa9t");
}

/* A share of 32 octets has 33 words, of which some have eight letters. */
static void the_words_of_a_share_are_longer_than_a_pin(void **state)
{
    (void)state;
    struct tbs_secret words = {0};
    char text[302], source[256];
    for (size_t i = 0; i < 33; i++)
        memcpy(text + 9 * i, "academic ", 9);
    text[33 * 9 - 1] = '\0';
    put_file("share", text, strlen(text), 0600);
    snprintf(source, sizeof source, "file:%s", path_of("share"));
    assert_pin(pin_read_words("share", source, &words, NULL), &words, text);
    memset(text, 'x', 301);
    put_file("share", text, 301, 0600);
    assert_int_equal(pin_read_words("share", source, &words, NULL), TBS_ERR_CONFIG);
}

static void one_pipe_carries_several_pins(void **state)
{
    (void)state;
    int ends[2];
    char number[16];
    struct tbs_secret pin = {0};
    struct tbs_diag diag = {0};
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "officer-1\nuser-22", 17), 17);
    close(ends[1]);
    snprintf(number, sizeof number, "%d", ends[0]);
    assert_pin(read_source("fd:", number, &pin, NULL), &pin, "officer-1");
    assert_pin(read_source("fd:", number, &pin, NULL), &pin, "user-22");
    assert_int_equal(read_source("fd:", number, &pin, &diag), TBS_ERR_CONFIG); /* at its end */
    close(ends[0]);
    assert_int_equal(read_source("fd:", number, &pin, &diag), TBS_ERR_IO);
    assert_int_equal(diag.raw, EBADF);
}

static void a_pin_from_a_pipe_is_kept_or_given_up_at_the_start(void **state)
{
    (void)state;
    int ends[2];
    char source[16], left;
    struct tbs_secret pin = {0};
    struct tbs_diag diag = {0};
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "user-22\nx", 9), 9); /* and it stays open */
    snprintf(source, sizeof source, "fd:%d", ends[0]);
    struct pin_keeper keeps = {.source = source, .keep = true};
    assert_int_equal(pin_before_it_is_needed(&keeps, &diag), TBS_OK);
    for (int i = 0; i < 2; i++)
        assert_pin(pin_obtain(&keeps, &pin, &diag), &pin, "user-22");
    pin_keeper_free(&keeps);

    struct pin_keeper does_not = {.source = source};
    assert_int_equal(pin_before_it_is_needed(&does_not, &diag), TBS_OK);
    assert_int_equal(pin_obtain(&does_not, &pin, &diag), TBS_ERR_CONFIG);
    assert_non_null(strstr(diag.text, "custody.keep_pin"));
    assert_int_equal(read(ends[0], &left, 1), 1);
    assert_int_equal(left, 'x');
    close(ends[0]);
    close(ends[1]);
}

static void credentials_come_from_systemds_directory(void **state)
{
    (void)state;
    struct tbs_secret pin = {0};
    put_file("kms.pin", "73914682\n", 9, 0400);
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_int_equal(pin_read("credential:kms.pin", &pin, NULL), TBS_ERR_NOT_FOUND);
    setenv("CREDENTIALS_DIRECTORY", "relative", 1);
    assert_int_equal(pin_read("credential:kms.pin", &pin, NULL), TBS_ERR_NOT_FOUND);
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_int_equal(pin_read("credential:", &pin, NULL), TBS_ERR_CONFIG);
    assert_int_equal(pin_read("credential:..", &pin, NULL), TBS_ERR_CONFIG);
    assert_int_equal(pin_read("credential:sub/kms.pin", &pin, NULL), TBS_ERR_CONFIG);
    assert_int_equal(pin_read("credential:absent", &pin, NULL), TBS_ERR_NOT_FOUND);
    put_file("kms.pin", "73914682\n", 9, 0444);
    assert_int_equal(pin_read("credential:kms.pin", &pin, NULL), TBS_ERR_CONFIG);
    put_file("kms.pin", "73914682\n", 9, 0440); /* as an ACL for the service's user shows */
    assert_pin(pin_read("credential:kms.pin", &pin, NULL), &pin, "73914682");
}

/* --- The prompt, on a terminal of its own --- */

static void ask_as_child(void)
{
    struct tbs_secret pin = {0};
    enum tbs_err err = pin_read("prompt", &pin, NULL);
    bool right = err == TBS_OK && tbs_bytes_equal(tbs_secret_view(&pin), tbs_bytes_str("73914682"));
    tbs_secret_free(&pin);
    _exit(right ? 0 : 1);
}

static bool echoes(int terminal)
{
    struct termios t;
    assert_int_equal(tcgetattr(terminal, &t), 0);
    return (t.c_lflag & ECHO) != 0;
}

/* Reads what the terminal shows until it shows `end`; at most 10 s, by the alarm of main. */
static void read_until(int terminal, char *shown, size_t size, const char *end)
{
    size_t len = strlen(shown);
    while (!strstr(shown, end)) {
        ssize_t n = read(terminal, shown + len, size - 1 - len);
        if (n <= 0)
            fail_msg("the terminal ended with: %s", shown);
        len += (size_t)n;
        shown[len] = '\0';
    }
}

static pid_t start_prompt(int *ret_terminal, int *ret_slave, char *shown, size_t size)
{
    char name[64];
    struct termios t;
    int slave;
    /* The parent keeps the slave open, so that the settings can be read after the child. */
    assert_int_equal(openpty(ret_terminal, &slave, name, NULL, NULL), 0);
    assert_int_equal(tcgetattr(slave, &t), 0);
    assert_true((t.c_lflag & ECHO) != 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (login_tty(slave) != 0)
            _exit(2);
        ask_as_child();
    }
    *ret_slave = slave;
    shown[0] = '\0';
    read_until(*ret_terminal, shown, size, "PIN: ");
    assert_false(echoes(*ret_terminal));
    return child;
}

static void the_prompt_does_not_echo_and_restores(void **state)
{
    (void)state;
    int terminal, slave, status;
    char shown[512];
    pid_t child = start_prompt(&terminal, &slave, shown, sizeof shown);
    assert_int_equal(write(terminal, "73914682\n", 9), 9);
    read_until(terminal, shown, sizeof shown, "\n");
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_null(strstr(shown, "739"));
    assert_true(echoes(terminal));
    close(slave);
    close(terminal);
}

static void a_signal_at_the_prompt_restores_and_then_ends_the_program(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int terminal, slave, status;
        char shown[512];
        pid_t child = start_prompt(&terminal, &slave, shown, sizeof shown);
        assert_int_equal(kill(child, signals[i]), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signals[i]);
        assert_true(echoes(terminal));
        close(slave);
        close(terminal);
    }
}

static void without_a_terminal_the_prompt_is_unavailable(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct tbs_secret pin = {0};
        setsid();
        _exit(pin_read("prompt", &pin, NULL) == TBS_ERR_UNAVAILABLE ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/tbs-pin-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = {"pin", "link", "fifo", "kms.pin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_source_is_refused_and_not_repeated),
        cmocka_unit_test(files_must_be_private_and_regular),
        cmocka_unit_test(pins_have_4_to_255_octets_and_no_control_characters),
        cmocka_unit_test(the_words_of_a_share_are_longer_than_a_pin),
        cmocka_unit_test(one_pipe_carries_several_pins),
        cmocka_unit_test(a_pin_from_a_pipe_is_kept_or_given_up_at_the_start),
        cmocka_unit_test(credentials_come_from_systemds_directory),
        cmocka_unit_test(the_prompt_does_not_echo_and_restores),
        cmocka_unit_test(a_signal_at_the_prompt_restores_and_then_ends_the_program),
        cmocka_unit_test(without_a_terminal_the_prompt_is_unavailable),
    };
    alarm(20);
    return cmocka_run_group_tests_name("pin", tests, make_dir, remove_dir);
}
