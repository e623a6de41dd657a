#ifndef TBS_TOOLS_ADMIN_TOKEN_BENCH_H
#define TBS_TOOLS_ADMIN_TOKEN_BENCH_H

#include "tools/tbs-admin/admin.h"

/* The command token-bench. */
enum tbs_err token_bench(struct admin *a, int n, char **words, struct tbs_diag *diag);

#endif
