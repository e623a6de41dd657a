/* A software TPM of a test's own, without a resource manager. Everything here asserts. */
#ifndef TBS_TESTS_SWTPM_H
#define TBS_TESTS_SWTPM_H

#include <stdbool.h>
#include <sys/types.h>

/* swtpm is installed, with the library's way to it. */
bool swtpm_is_there(void);
/* Its state is in dir/state, which is there; it listens at dir/socket and dir/socket.ctrl. It ends
 * with this process. */
pid_t swtpm_start(const char *dir);
void swtpm_kill(pid_t swtpm);
/* Waits until somebody listens at dir/name. */
void swtpm_await(const char *dir, const char *name);
/* A connection to it, or -1. */
int swtpm_connect(const char *dir, const char *name);

#endif
