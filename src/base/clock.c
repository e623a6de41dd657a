#include "base/clock.h"

#define NTP_UNIX_OFFSET 2208988800u /* 1900 to 1970 */

static uint64_t system_now(void *ctx)
{
    (void)ctx;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    uint64_t fraction = ((uint64_t)ts.tv_nsec << 32) / 1000000000u;
    return tbs_ntp_from_unix(ts.tv_sec) | fraction;
}

struct tbs_clock tbs_clock_system(void)
{
    return (struct tbs_clock){system_now, 0};
}

uint64_t tbs_ntp_now(struct tbs_clock clock)
{
    return clock.ntp_now(clock.ctx);
}

uint64_t tbs_ntp_from_unix(time_t seconds)
{
    return (uint64_t)(uint32_t)((uint64_t)seconds + NTP_UNIX_OFFSET) << 32;
}

time_t tbs_unix_from_ntp(uint64_t ntp)
{
    int64_t seconds = (int64_t)(ntp >> 32);
    if (!(ntp >> 63)) /* RFC 4330 3: bit 0 clear means 2036-2104 */
        seconds += INT64_C(1) << 32;
    return (time_t)(seconds - (int64_t)NTP_UNIX_OFFSET);
}

int64_t tbs_ntp_diff_seconds(uint64_t a, uint64_t b)
{
    return (int64_t)tbs_unix_from_ntp(a) - (int64_t)tbs_unix_from_ntp(b);
}
