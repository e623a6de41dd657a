/* Software TPMs for rehearsals: swtpm, started for as long as this process lives. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "ceremony/internal.h"

#define WAIT_TENTHS 50 /* of a second, for the socket to come */

static enum tbs_err path_of(const char *tokens, const char *name, const char *what,
                            char ret_path[RUN_PATH], struct tbs_diag *diag)
{
    if (snprintf(ret_path, RUN_PATH, "%s/%s.tpm%s", tokens, name, what) < RUN_PATH)
        return TBS_OK;
    return tbs_fail(diag, TBS_ERR_LIMIT, "the path of the folder %.200s is too long", tokens);
}

enum tbs_err rehearsal_tpm_place(const char *tokens, const char *name, char ret_tcti[RUN_PATH],
                                 char ret_keys[RUN_PATH], struct tbs_diag *diag)
{
    char path[RUN_PATH];
    TRY(path_of(tokens, name, "/socket.ctrl", path, diag));
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return tbs_fail(diag, TBS_ERR_LIMIT,
                        "the path of the folder is too long for the socket of a software TPM: "
                        "%.150s; name a folder with a shorter one",
                        path);
    snprintf(ret_tcti, RUN_PATH, "swtpm:path=%.*s", (int)(strlen(path) - strlen(".ctrl")), path);
    return path_of(tokens, name, "/keys", ret_keys, diag);
}

static enum tbs_err make_folder(const char *path, struct tbs_diag *diag)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return TBS_OK;
    return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot make the folder %.200s: %s",
                        path, strerror(errno));
}

/* --- Its making --- */

static enum tbs_err put(const char *folder, const char *name, const char *text,
                        struct tbs_diag *diag)
{
    char path[RUN_PATH];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the path of the folder %.200s is too long", folder);
    return file_replace(path, 0600, tbs_bytes_str(text), diag);
}

/* A CA of the rehearsal's own, for certificates of endorsement keys. */
static enum tbs_err write_ca(const char *folder, struct tbs_diag *diag)
{
    char text[4 * RUN_PATH + 200];
    TRY(make_folder(folder, diag));
    snprintf(text, sizeof text,
             "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = %s/ca.conf\n"
             "create_certs_tool_options = %s/ca.options\nactive_pcr_banks = sha256\n",
             folder, folder);
    TRY(put(folder, "setup.conf", text, diag));
    snprintf(text, sizeof text,
             "statedir = %s\nsigningkey = %s/signkey.pem\nissuercert = %s/issuercert.pem\n"
             "certserial = %s/certserial\n",
             folder, folder, folder, folder);
    TRY(put(folder, "ca.conf", text, diag));
    return put(folder, "ca.options",
               "--platform-manufacturer rehearsal\n--platform-version 1\n"
               "--platform-model rehearsal\n",
               diag);
}

static void become_setup(const char *state, const char *ca)
{
    char config[RUN_PATH + 20], log[RUN_PATH + 20];
    snprintf(config, sizeof config, "%s/setup.conf", ca);
    snprintf(log, sizeof log, "%s/log", ca);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    /* As root it would become another user, who may not write here. */
    const char *runas = geteuid() == 0 ? "--runas" : NULL;
    if (out >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
        execlp("swtpm_setup", "swtpm_setup", "--tpm2", "--tpmstate", state, "--create-ek-cert",
               "--config", config, runas, "root", (char *)NULL);
    _exit(126);
}

/* Without swtpm_setup it has no certificate, which the ceremony then says. */
static enum tbs_err manufacture(const char *tokens, const char *state, struct tbs_diag *diag)
{
    char ca[RUN_PATH], there[RUN_PATH + 20];
    int status = 0;
    snprintf(there, sizeof there, "%s/tpm2-00.permall", state);
    if (access(there, F_OK) == 0 || access("/usr/bin/swtpm_setup", X_OK) != 0)
        return TBS_OK;
    if (snprintf(ca, sizeof ca, "%s/tpm-ca", tokens) >= (int)sizeof ca)
        return tbs_fail(diag, TBS_ERR_LIMIT, "the path of the folder %.200s is too long", tokens);
    TRY(write_ca(ca, diag));
    pid_t pid = fork();
    if (pid == 0)
        become_setup(state, ca);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? TBS_OK
               : tbs_fail(diag, TBS_ERR_IO, "swtpm_setup did not make a TPM; %.200s/log says why",
                          ca);
}

/* --- The process --- */

/* In the child: ends with its parent, even where that is killed. */
static void become_swtpm(const char *folder, pid_t parent)
{
    char state[RUN_PATH + 20], server[RUN_PATH + 40], ctrl[RUN_PATH + 40], log[RUN_PATH + 20];
    snprintf(state, sizeof state, "dir=%s/state", folder);
    snprintf(server, sizeof server, "type=unixio,path=%s/socket", folder);
    snprintf(ctrl, sizeof ctrl, "type=unixio,path=%s/socket.ctrl", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (out < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
        _exit(126);
    execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--flags",
           "not-need-init,startup-clear", "--server", server, "--ctrl", ctrl, (char *)NULL);
    _exit(errno == ENOENT ? 127 : 126);
}

static void nap(void)
{
    const struct timespec tenth = {.tv_nsec = 100000000};
    nanosleep(&tenth, NULL);
}

static bool listens(const char *folder)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int len = snprintf(at.sun_path, sizeof at.sun_path, "%s/socket", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && len < (int)sizeof at.sun_path &&
               connect(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

/* The state of an earlier one may still be locked, which then ends the new one. */
static enum tbs_err await(pid_t *pid, const char *folder, struct tbs_diag *diag)
{
    int status = 0;
    for (int i = 0; i < WAIT_TENTHS; i++, nap()) {
        if (waitpid(*pid, &status, WNOHANG) == *pid) {
            *pid = -1;
            return tbs_fail(diag, TBS_ERR_UNAVAILABLE,
                            "swtpm ended with status %d; %.200s/log says why",
                            WIFEXITED(status) ? WEXITSTATUS(status) : -1, folder);
        }
        if (listens(folder))
            return TBS_OK;
    }
    return tbs_fail(diag, TBS_ERR_UNAVAILABLE, "the socket of swtpm in %.200s did not come",
                    folder);
}

static enum tbs_err start(struct run *run, const char *folder, struct tbs_diag *diag)
{
    char socket[RUN_PATH + 10];
    pid_t parent = getpid();
    snprintf(socket, sizeof socket, "%s/socket", folder);
    unlink(socket);
    pid_t pid = fork();
    if (pid < 0)
        return tbs_fail_raw(diag, TBS_ERR_IO, (unsigned long)errno, "cannot start swtpm: %s",
                            strerror(errno));
    if (pid == 0)
        become_swtpm(folder, parent);
    enum tbs_err err = await(&pid, folder, diag);
    if (pid > 0)
        run->tpms[run->n_tpms++] = pid;
    return err;
}

static bool is_installed(void)
{
    static const char *const places[] = {"/usr/bin/swtpm", "/usr/local/bin/swtpm"};
    return access(places[0], X_OK) == 0 || access(places[1], X_OK) == 0;
}

enum tbs_err rehearsal_tpm_start(struct run *run, const char *tokens, const char *name,
                                 struct tbs_diag *diag)
{
    char folder[RUN_PATH], state[RUN_PATH];
    if (!is_installed())
        return tbs_fail(diag, TBS_ERR_NOT_FOUND,
                        "swtpm, which rehearsals with TPMs need, is not installed");
    TRY(path_of(tokens, name, "", folder, diag));
    TRY(path_of(tokens, name, "/state", state, diag));
    TRY(make_folder(folder, diag));
    TRY(make_folder(state, diag));
    TRY(manufacture(tokens, state, diag));
    enum tbs_err err = TBS_ERR_UNAVAILABLE;
    for (int i = 0; i < 10 && err == TBS_ERR_UNAVAILABLE; i++) {
        if (i > 0)
            nap();
        err = start(run, folder, diag);
    }
    return err;
}

void rehearsal_tpm_stop(struct run *run)
{
    for (size_t i = 0; i < run->n_tpms; i++)
        kill(run->tpms[i], SIGTERM);
    for (size_t i = 0; i < run->n_tpms; i++)
        while (waitpid(run->tpms[i], NULL, 0) < 0 && errno == EINTR)
            ;
    run->n_tpms = 0;
}
