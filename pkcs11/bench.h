/* A token to be measured. */
#ifndef TBS_PKCS11_BENCH_H
#define TBS_PKCS11_BENCH_H

#include "custody/bench.h"

/* Opens it for bench_open. */
enum tbs_err p11_bench_token(const struct custody_token_config *config,
                             struct bench_token *ret_token, struct tbs_diag *diag);

#endif
