#include "call.h"

#include <assert.h>

static_assert(P11_N_FUNCTIONS <= CUSTODY_CALL_KINDS_MAX, "there is room for every function");

void p11_name_stats(struct custody_call_stats *stats)
{
#define P11_NAME(function) stats[P11_##function].name = #function;
    P11_FUNCTIONS(P11_NAME)
#undef P11_NAME
}
