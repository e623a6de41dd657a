/* What the service manager is told (sd_notify(3)); nothing happens without one. */
#ifndef TBS_SERVER_NOTIFY_H
#define TBS_SERVER_NOTIFY_H

#include <event2/event.h>

void notify_ready(const char *address);
void notify_reloading(void);
void notify_stopping(void);
/* NULL if no watchdog is wanted; else an event, added already, which the caller frees. */
struct event *notify_watchdog(struct event_base *base);

#endif
