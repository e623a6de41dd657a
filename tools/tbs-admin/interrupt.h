/* SIGINT, SIGTERM and SIGHUP for commands that have something to put back first. */
#ifndef TBS_TOOLS_ADMIN_INTERRUPT_H
#define TBS_TOOLS_ADMIN_INTERRUPT_H

#include <signal.h>

/* The signal that came; 0: none. */
extern volatile sig_atomic_t interrupted;
/* From now on the first signal is only noted. The second one ends the program as ever. */
void interrupt_hold(void);
/* Ends the program by the signal that came, if one did. */
void interrupt_end(void);

#endif
