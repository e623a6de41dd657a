/* Reading a token back in a new process: what the process that made a key remembers, or a session
 * of its own caches, cannot pass there for what the token kept (R17). */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ceremony/keys.h"
#include "custody/pin.h"

#define PIN_FD 3               /* of the new process */
#define REPORT_MAX (16u << 20) /* octets of an inventory as JSON */

extern char **environ;

/* --- Asking --- */

/* Ends of pipes; -1: closed. */
struct ends {
    int to[2], pin[2], from[2];
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_all(struct ends *e)
{
    int *all[] = {&e->to[0], &e->to[1], &e->pin[0], &e->pin[1], &e->from[0], &e->from[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        close_end(all[i]);
}

static enum tbs_err fail(struct tbs_diag *diag, const char *what)
{
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno,
                        "reading the token back in a new process: %s: %s", what, strerror(errno));
}

static bool write_all(int fd, struct tbs_bytes octets)
{
    ssize_t n;
    do
        n = write(fd, octets.data, octets.len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)octets.len;
}

/* Both are shorter than what a pipe takes before somebody reads. */
static enum tbs_err ask(struct ends *e, const struct run *run, const struct run_token *token,
                        struct tbs_diag *diag)
{
    json_t *request =
        json_pack("{s:s, s:s, s:s*, s:b, s:s*}", "module", token->site->module, "serial",
                  token_serial(run, token->name), "label", token_label(run, token->name), "pin_pad",
                  token->site->pin_pad, "init_args", token->site->init_args);
    bool ok = request && json_dumpfd(request, e->to[1], JSON_COMPACT) == 0 &&
              write_all(e->pin[1], tbs_secret_view(&token->user));
    json_decref(request);
    close_end(&e->to[1]);
    close_end(&e->pin[1]);
    return ok ? TBS_OK : fail(diag, "asking it");
}

static enum tbs_err start(struct ends *e, pid_t *ret_pid, struct tbs_diag *diag)
{
    char program[] = "tbs-ceremony", command[] = "read-back";
    char *const argv[] = {program, command, NULL};
    posix_spawn_file_actions_t moves;
    errno = posix_spawn_file_actions_init(&moves);
    if (errno != 0)
        return fail(diag, "starting it");
    int rv = posix_spawn_file_actions_adddup2(&moves, e->to[0], STDIN_FILENO);
    if (rv == 0)
        rv = posix_spawn_file_actions_adddup2(&moves, e->from[1], STDOUT_FILENO);
    if (rv == 0)
        rv = posix_spawn_file_actions_adddup2(&moves, e->pin[0], PIN_FD);
    if (rv == 0)
        rv = posix_spawn(ret_pid, "/proc/self/exe", &moves, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&moves);
    close_end(&e->to[0]);
    close_end(&e->pin[0]);
    close_end(&e->from[1]);
    errno = rv;
    return rv == 0 ? TBS_OK : fail(diag, "starting it");
}

static enum tbs_err listen_to(int fd, struct tbs_buf *report, struct tbs_diag *diag)
{
    uint8_t part[65536];
    report->limit = REPORT_MAX;
    for (;;) {
        ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(diag, "listening to it");
        if (n == 0)
            return TBS_OK;
        tbs_put_bytes(report, tbs_bytes(part, (size_t)n));
        if (report->failed)
            return tbs_fail(diag, TBS_ERR_LIMIT,
                            "reading the token back in a new process: it says more than %u octets",
                            REPORT_MAX);
    }
}

/* What went wrong there, it has said itself at the terminal. */
static enum tbs_err await(pid_t pid, const char *token, struct tbs_diag *diag)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return fail(diag, "awaiting its end");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_TOKEN,
                    "token %s could not be read back in a new process, which ended by %s %d", token,
                    WIFEXITED(status) ? "status" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static enum tbs_err converse(struct ends *e, const struct run *run, const struct run_token *token,
                             struct tbs_buf *report, struct tbs_diag *diag)
{
    pid_t pid;
    if (pipe2(e->to, O_CLOEXEC) != 0 || pipe2(e->pin, O_CLOEXEC) != 0 ||
        pipe2(e->from, O_CLOEXEC) != 0)
        return fail(diag, "making pipes");
    TRY(ask(e, run, token, diag));
    TRY(start(e, &pid, diag));
    enum tbs_err err = listen_to(e->from[0], report, diag);
    close_end(&e->from[0]); /* so that it cannot wait for a reader for ever */
    enum tbs_err ended = await(pid, token->name, err == TBS_OK ? diag : NULL);
    return err != TBS_OK ? err : ended;
}

enum tbs_err token_read_back(struct run *run, struct run_token *token, json_t **ret_objects,
                             struct tbs_diag *diag)
{
    struct ends ends = {{-1, -1}, {-1, -1}, {-1, -1}};
    TBS_BUF_AUTO struct tbs_buf report = tbs_buf();
    TRY(token_open(run, token, diag));
    TRY(token_pin(run, token, false, false, diag));
    enum tbs_err err = converse(&ends, run, token, &report, diag);
    close_all(&ends);
    if (err != TBS_OK)
        return err;
    json_t *objects =
        json_loadb((const char *)report.data, report.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_array(objects)) {
        json_decref(objects);
        return tbs_fail(diag, TBS_ERR_MALFORMED,
                        "token %s was read back in a new process, which does not tell its objects",
                        token->name);
    }
    *ret_objects = objects;
    return TBS_OK;
}

enum tbs_err token_read_back_key(struct run *run, struct run_token *token, const char *id,
                                 const char *class, json_t **ret_attributes, struct tbs_diag *diag)
{
    json_t *objects = NULL, *object, *found = NULL;
    size_t i;
    TRY(token_read_back(run, token, &objects, diag));
    json_array_foreach(objects, i, object)
    {
        if (strcmp(keys_text(object, "id"), id) == 0 &&
            strcmp(keys_text(object, "class"), class) == 0)
            found = json_object_get(object, "attributes");
    }
    json_incref(found);
    json_decref(objects);
    if (!found)
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "key %s was made on token %s, and a new process does not find it there", id,
                        token->name);
    *ret_attributes = found;
    return TBS_OK;
}

/* --- Answering, in the new process --- */

#define STR_(n) #n
#define STR(n) STR_(n)

static enum tbs_err read_token(const struct vault_token *at, bool pin_pad, json_t **ret_objects,
                               struct tbs_diag *diag)
{
    struct tbs_secret pin = {0};
    struct vault *vault = NULL;
    enum tbs_err err = TBS_OK;
    if (!pin_pad)
        err = pin_read_for("PIN of the user", "fd:" STR(PIN_FD), &pin, diag);
    if (err == TBS_OK)
        err = vault_open(at, NULL, &vault, diag);
    if (err == TBS_OK)
        err = vault_login(vault, false, tbs_secret_view(&pin), diag);
    tbs_secret_free(&pin);
    if (err == TBS_OK)
        err = vault_inventory(vault, ret_objects, diag);
    vault_close(vault);
    return err;
}

enum tbs_err run_read_back(struct tbs_diag *diag)
{
    struct vault_token at = {0};
    int pin_pad;
    json_t *request = json_loadf(stdin, JSON_REJECT_DUPLICATES, NULL), *objects = NULL;
    if (!request || json_unpack(request, "{s:s, s:s, s?s, s:b, s?s !}", "module", &at.module,
                                "serial", &at.serial, "label", &at.label, "pin_pad", &pin_pad,
                                "init_args", &at.init_args) != 0) {
        json_decref(request);
        return tbs_fail(diag, TBS_ERR_INVALID,
                        "read-back is for a ceremony that runs, which says at standard input what "
                        "to read");
    }
    enum tbs_err err = read_token(&at, pin_pad, &objects, diag);
    json_decref(request);
    if (err == TBS_OK && json_dumpf(objects, stdout, JSON_COMPACT) != 0)
        err = tbs_fail(diag, TBS_ERR_IO, "nobody listens to what was read back");
    json_decref(objects);
    return err;
}
