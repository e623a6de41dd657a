/* What happened, as a text file that is true at any time: each line a number of eight digits,
 * right-aligned, and a name. The numbers are counted up where they stand, in mapped memory. */
#ifndef TBS_TESTS_MOCK_COUNTERS_H
#define TBS_TESTS_MOCK_COUNTERS_H

#include <stdbool.h>

#include "functions.h"

enum counter {
    COUNTER_CALLS,                /* + enum function */
    COUNTER_FAILED = N_FUNCTIONS, /* + enum function: not answered by the real module */
    COUNTER_LOGIN_OK = 2 * N_FUNCTIONS,
    COUNTER_LOGIN_PIN_INCORRECT,
    COUNTER_LOGIN_PIN_LOCKED,
    COUNTER_LOGIN_ALREADY,
    COUNTER_LOGIN_OTHER,
    COUNTER_LOGIN_WITHOUT_PIN, /* whatever the answer was */
    COUNTER_SESSIONS_NOW,
    COUNTER_SESSIONS_MOST,
    COUNTER_HANGING_NOW,
    COUNTER_SCRIPTS_READ,
    N_COUNTERS,
};

/* Counts in PATH.PID from now on; goes on where the process's former load of the module stopped. */
bool counters_open(const char *path);
/* All thread-safe. */
void counter_add(unsigned counter, long n);
void counter_set(unsigned counter, unsigned long n);
unsigned long counter_get(unsigned counter);

#endif
