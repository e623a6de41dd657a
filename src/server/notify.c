#include "server/notify.h"

#include <inttypes.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "server/log.h"
#include "server/ticks.h"

static void complain(int result)
{
    if (result < 0)
        log_write(LOG_LEVEL_WARN, "notify-failed", LOG_TEXT("reason", strerror(-result)));
}

void notify_ready(const char *address)
{
    complain(sd_notifyf(0, "READY=1\nSTATUS=Serving on %s", address));
}

void notify_reloading(void)
{
    complain(sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading",
                        ticks_ns() / 1000));
}

void notify_stopping(void)
{
    complain(sd_notify(0, "STOPPING=1\nSTATUS=Finishing what has begun"));
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    complain(sd_notify(0, "WATCHDOG=1"));
}

struct event *notify_watchdog(struct event_base *base)
{
    uint64_t usec;
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return NULL;
    uint64_t half = usec / 2;
    const struct timeval every = {.tv_sec = (time_t)(half / 1000000),
                                  .tv_usec = (suseconds_t)(half % 1000000)};
    struct event *timer = event_new(base, -1, EV_PERSIST, on_watchdog, NULL);
    if (timer)
        event_add(timer, &every);
    return timer;
}
