/* Time as MIKEY carries it: NTP-UTC, seconds since 1900 in the upper 32 bits, fraction in
 * the lower. Eras: values with the top bit clear belong to 2036-2104 (RFC 4330 section 3,
 * RFC 6043 6.3); compare with tbs_ntp_diff_seconds, never with `<`. */
#ifndef TBS_BASE_CLOCK_H
#define TBS_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

struct tbs_clock {
    uint64_t (*ntp_now)(void *ctx); /* thread-safe */
    void *ctx;
};

/* The system's real-time clock. */
struct tbs_clock tbs_clock_system(void);
uint64_t tbs_ntp_now(struct tbs_clock clock);

uint64_t tbs_ntp_from_unix(time_t seconds);
/* Range 1968-01-20 to 2104-02-26 (RFC 4330 section 3). */
time_t tbs_unix_from_ntp(uint64_t ntp);
/* a - b in whole seconds, right across the era change of 2036. */
int64_t tbs_ntp_diff_seconds(uint64_t a, uint64_t b);

#endif
