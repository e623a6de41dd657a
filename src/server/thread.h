/* Threads that take no signals: those are for the main thread, and a token module's system calls
 * in a worker are not to be interrupted. */
#ifndef TBS_SERVER_THREAD_H
#define TBS_SERVER_THREAD_H

#include <pthread.h>
#include <signal.h>

/* As pthread_create: 0 or an errno. */
static inline int thread_start(pthread_t *ret_thread, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* which the thread inherits */
    int error = pthread_create(ret_thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

#endif
