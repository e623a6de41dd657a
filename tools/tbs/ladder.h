/* Draws a flow. Stateless; thread-safe. */
#ifndef TBS_TOOLS_LADDER_H
#define TBS_TOOLS_LADDER_H

#include <stdio.h>

#include "flow.h"

#define LADDER_COLUMNS 100

/* Lines of UTF-8, at most LADDER_COLUMNS wide. */
void ladder_text(FILE *out, const struct flow *flow);
/* A picture that needs nothing else: styles for light and dark, no script. */
void ladder_svg(FILE *out, const struct flow *flow);

#endif
