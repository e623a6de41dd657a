/* The tokens' part of /metrics. Thread-safe. */
#ifndef TBS_TOOLS_TOKEN_METRICS_H
#define TBS_TOOLS_TOKEN_METRICS_H

#include "custody/custody.h"

/* Appends states, recoveries, operations, and every kind of call into the modules with its
 * latency histogram: Prometheus exposition format 0.0.4. */
void token_metrics(struct custody *custody, struct tbs_buf *text);

#endif
