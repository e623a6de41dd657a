/* Threads without the signals that the server answers: those are for the main thread, and a token
 * module's system calls in a worker are not to be interrupted. */
#ifndef TBS_SERVER_THREAD_H
#define TBS_SERVER_THREAD_H

#include <pthread.h>
#include <signal.h>

/* As pthread_create: 0 or an errno. */
static inline int thread_start(pthread_t *ret_thread, void *(*run)(void *), void *arg)
{
    sigset_t main_only, before;
    sigemptyset(&main_only);
    sigaddset(&main_only, SIGTERM);
    sigaddset(&main_only, SIGINT);
    sigaddset(&main_only, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &main_only, &before); /* which the thread inherits */
    int error = pthread_create(ret_thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

#endif
