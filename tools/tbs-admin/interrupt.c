#include "tools/tbs-admin/interrupt.h"

#include <stdio.h>

volatile sig_atomic_t interrupted;

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

static void note(int signal_number)
{
    interrupted = signal_number;
}

void interrupt_hold(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART | SA_RESETHAND};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

void interrupt_end(void)
{
    if (!interrupted)
        return;
    fflush(NULL);
    signal(interrupted, SIG_DFL);
    raise(interrupted);
}
