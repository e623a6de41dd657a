#include "custody/selftest.h"

#include <stdarg.h>
#include <stdio.h>

void selftest_says(struct selftest_finding *finding, enum selftest_verdict verdict,
                   const char *advice, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(finding->finding, sizeof finding->finding, fmt, args);
    va_end(args);
    finding->verdict = verdict;
    finding->advice = advice;
}
