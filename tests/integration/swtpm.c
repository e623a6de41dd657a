#include "swtpm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

bool swtpm_is_there(void)
{
    return system("command -v swtpm >/dev/null") == 0 &&
           dlopen("libtss2-tcti-swtpm.so.0", RTLD_NOW);
}

int swtpm_connect(const char *dir, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s/%s", dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

void swtpm_await(const char *dir, const char *name)
{
    int fd = -1;
    for (int i = 0; i < 500 && (fd = swtpm_connect(dir, name)) < 0; i++)
        usleep(20000);
    assert_true(fd >= 0);
    close(fd);
}

pid_t swtpm_start(const char *dir)
{
    char state[128], server[128], control[128], socket[128];
    snprintf(state, sizeof state, "dir=%s/state", dir);
    snprintf(server, sizeof server, "type=unixio,path=%s/socket", dir);
    snprintf(control, sizeof control, "type=unixio,path=%s/socket.ctrl", dir);
    snprintf(socket, sizeof socket, "%s/socket", dir);
    unlink(socket);
    pid_t swtpm = fork();
    if (swtpm == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(127);
        execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--flags",
               "not-need-init", "--server", server, "--ctrl", control, NULL);
        _exit(127);
    }
    swtpm_await(dir, "socket");
    swtpm_await(dir, "socket.ctrl");
    return swtpm;
}

void swtpm_kill(pid_t swtpm)
{
    kill(swtpm, SIGKILL);
    waitpid(swtpm, NULL, 0);
}
